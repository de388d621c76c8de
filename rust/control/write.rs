// SPDX-License-Identifier: GPL-2.0

//! From what there is to attributes.

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

use crate::director::Director;
use crate::flow::list::FlowView;
use crate::proto::Timeouts;
use crate::rates::Row;
use crate::sched::Candidate;
use crate::service::{Entry, Label, LocalAddr, Member};
use crate::sys::genl::Message;
use crate::sys::route::has_policies;
use crate::sys::stats::Counts;
use crate::wire::uapi::{
    af, attr, conn, conn_flags, dest, early, fwd, info, laddr, late, stats, svc, svc_flags, tun,
    ADDR_LEN, IPVS_VERSION,
};

/// The version of this module.
const VERSION: &str = "0.1.0";

/// A service.
pub(super) fn service(message: &mut Message<'_>, entry: &Entry) -> Result {
    let id = entry.service().id;
    message.nest(attr::SERVICE, |m| {
        m.u16(svc::AF, family(id.addr))?;
        if id.is_marked() {
            m.u32(svc::FWMARK, id.mark)?;
        } else {
            m.u16(svc::PROTOCOL, id.proto.into())?;
            m.bytes(svc::ADDR, &sixteen(id.addr))?;
            m.be16(svc::PORT, id.port)?;
        }
        m.str(svc::SCHED_NAME, entry.spec.kind.name())?;
        if let Some(engine) = entry.spec.engine {
            m.str(svc::PE_NAME, engine.name())?;
        }
        label(m, entry.spec.label)?;
        m.bytes(svc::FLAGS, &flags(entry.spec.flags))?;
        m.u32(svc::TIMEOUT, entry.spec.timeout)?;
        m.bytes(svc::NETMASK, &entry.spec.netmask)?;
        counters(
            m,
            &entry.counts(),
            entry.rates(),
            [svc::STATS, svc::STATS64],
        )
    })
}

/// What its packets get, if anything.
fn label(message: &mut Message<'_>, label: Label) -> Result {
    let both = u64::from(label.mask) << 32 | u64::from(label.value);
    match label.is_none() {
        true => Ok(()),
        false => message.bytes(svc::LABEL, &both.to_ne_bytes()),
    }
}

/// All flags are meant.
fn flags(flags: u32) -> [u8; 8] {
    let flags = flags | svc_flags::HASHED;
    (u64::from(u32::MAX) << 32 | u64::from(flags)).to_ne_bytes()
}

/// A destination.
pub(super) fn member(message: &mut Message<'_>, member: &Member) -> Result {
    member_with(message, member, member.dest.method().into())
}

/// A destination as IPVS's tools know it: FULLNAT is NAT to them.
pub(super) fn member_as_ipvs(message: &mut Message<'_>, member: &Member) -> Result {
    member_with(message, member, ipvs_method(member.dest.method().into()))
}

/// The method of IPVS that comes nearest to `method`.
pub(super) fn ipvs_method(method: u32) -> u32 {
    match method {
        fwd::FULLNAT => fwd::MASQ,
        method => method,
    }
}

fn member_with(message: &mut Message<'_>, member: &Member, method: u32) -> Result {
    let (target, spec) = (&*member.dest, member.dest.spec());
    let (active, total) = (target.active(), target.total());
    message.nest(attr::DEST, |m| {
        m.bytes(dest::ADDR, &sixteen(target.addr))?;
        m.be16(dest::PORT, target.port)?;
        m.u32(dest::FWD_METHOD, method)?;
        m.u32(dest::WEIGHT, spec.weight)?;
        m.u8(dest::TUN_TYPE, tun::IPIP)?;
        m.be16(dest::TUN_PORT, 0)?;
        m.u16(dest::TUN_FLAGS, 0)?;
        m.u32(dest::U_THRESH, spec.upper)?;
        m.u32(dest::L_THRESH, spec.lower)?;
        m.u32(dest::ACTIVE_CONNS, active)?;
        m.u32(dest::INACT_CONNS, total.saturating_sub(active))?;
        m.u32(dest::PERSIST_CONNS, target.templates())?;
        m.u16(dest::ADDR_FAMILY, family(target.addr))?;
        counters(
            m,
            &member.counts(),
            member.rates(),
            [dest::STATS, dest::STATS64],
        )
    })
}

/// Counters and rates twice, as IPVS has them.
fn counters(m: &mut Message<'_>, counts: &Counts, rates: Row, [short, long]: [u16; 2]) -> Result {
    let mut rates = RATES.into_iter().zip(rates);
    let packets = [
        (stats::CONNS, counts.conns),
        (stats::INPKTS, counts.inpkts),
        (stats::OUTPKTS, counts.outpkts),
    ];
    let bytes = [
        (stats::INBYTES, counts.inbytes),
        (stats::OUTBYTES, counts.outbytes),
    ];
    m.nest(short, |m| {
        for (kind, count) in packets {
            // CAST: keeps the lower half, as IPVS does.
            m.u32(kind, count as u32)?;
        }
        for (kind, count) in bytes {
            m.u64(kind, count)?;
        }
        for (kind, rate) in rates.clone() {
            // CAST: as above.
            m.u32(kind, rate as u32)?;
        }
        Ok(())
    })?;
    m.nest(long, |m| {
        for (kind, count) in Iterator::chain(packets.into_iter(), bytes) {
            m.u64(kind, count)?;
        }
        rates.try_for_each(|(kind, rate)| m.u64(kind, rate))
    })
}

const RATES: [u16; 5] = [
    stats::CPS,
    stats::INPPS,
    stats::OUTPPS,
    stats::INBPS,
    stats::OUTBPS,
];

/// What all services counted together.
pub(super) fn totals(m: &mut Message<'_>, counts: &Counts, rates: Row) -> Result {
    counters(m, counts, rates, [attr::STATS, attr::STATS64])
}

/// A local address that so many connections use.
pub(super) fn local(message: &mut Message<'_>, local: &LocalAddr, conns: u64) -> Result {
    message.nest(attr::LADDR, |m| {
        m.bytes(laddr::ADDR, &sixteen(local.addr))?;
        m.u16(laddr::ADDR_FAMILY, family(local.addr))?;
        m.u64(laddr::CONNS, conns)?;
        m.u64(laddr::EXHAUSTED, local.exhausted.load(Ordering::Relaxed))
    })
}

/// A connection.
pub(super) fn flow(message: &mut Message<'_>, flow: &FlowView<'_>) -> Result {
    let (client, service, target) = (flow.client, flow.service, flow.dest);
    message.nest(attr::CONN, |m| {
        m.u16(conn::ADDR_FAMILY, family(client.0))?;
        m.u16(conn::PROTOCOL, flow.proto.into())?;
        m.bytes(conn::CADDR, &sixteen(client.0))?;
        m.be16(conn::CPORT, client.1)?;
        m.bytes(conn::VADDR, &sixteen(service.0))?;
        m.be16(conn::VPORT, service.1)?;
        m.bytes(conn::DADDR, &sixteen(target.0))?;
        m.be16(conn::DPORT, target.1)?;
        m.u16(conn::DEST_FAMILY, family(target.0))?;
        if let Some((addr, port)) = flow.local {
            m.bytes(conn::LADDR, &sixteen(addr))?;
            m.be16(conn::LPORT, port)?;
        }
        m.str(conn::STATE, flow.state)?;
        m.u32(conn::EXPIRES, flow.expires)?;
        m.u32(conn::FWD_METHOD, flow.method)?;
        m.u32(
            conn::FLAGS,
            if flow.template {
                conn_flags::TEMPLATE
            } else {
                0
            },
        )?;
        if let Some(said) = flow.said {
            m.str(conn::PE_NAME, said.engine.name())?;
            m.bytes(conn::PE_DATA, said.data)?;
        }
        Ok(())
    })
}

/// The time-outs that can be set.
pub(super) fn timeouts(m: &mut Message<'_>, timeouts: &Timeouts) -> Result {
    let [tcp, tcp_fin, udp] = timeouts.settable();
    m.u32(attr::TIMEOUT_TCP, tcp)?;
    m.u32(attr::TIMEOUT_TCP_FIN, tcp_fin)?;
    m.u32(attr::TIMEOUT_UDP, udp)
}

/// What IPVS says of itself.
pub(super) fn size(m: &mut Message<'_>, director: &Director) -> Result {
    let buckets = u32::try_from(director.flows.buckets()).unwrap_or(u32::MAX);
    m.u32(info::VERSION, IPVS_VERSION)?;
    m.u32(info::CONN_TAB_SIZE, buckets)
}

/// The whole.
pub(super) fn info(m: &mut Message<'_>, director: &Director) -> Result {
    let (drops, displaced) = (&director.drops, &director.displaced);
    size(m, director)?;
    m.u64(info::CONNS, director.conns())?;
    m.u64(info::CONN_MAX, director.config.conn_max())?;
    m.u64(info::DROP_LIMIT, drops.limit.load(Ordering::Relaxed))?;
    m.u64(info::DROP_PORTS, drops.ports.load(Ordering::Relaxed))?;
    m.u64(info::DROP_NOMEM, drops.nomem.load(Ordering::Relaxed))?;
    for (kind, counter) in [
        (info::DISPLACED_OVER, &displaced.over),
        (info::DISPLACED_HALF_OPEN, &displaced.half_open),
        (info::DISPLACED_ONE_WAY, &displaced.one_way),
        (info::DISPLACED_UNCONFIRMED, &displaced.unconfirmed),
        (info::DISPLACED_TEMPLATES, &displaced.templates),
    ] {
        m.u64(kind, counter.load(Ordering::Relaxed))?;
    }
    m.str(info::MODULE_VERSION, VERSION)?;
    m.u32(info::EARLY, early_state(director))?;
    m.nest(info::LATE, |m| {
        let counts = director.flows.late.read();
        let mut rows = (1..).zip(counts).take(late::REASONS.len());
        rows.try_for_each(|(number, count)| m.u64(number, count))
    })?;
    m.u64(info::UPKEEP_RUNS, director.runs())
}

/// One of [`early`].
fn early_state(director: &Director) -> u32 {
    if !director.config.early() {
        early::SWITCHED_OFF
    } else if has_policies(director.net()) {
        early::POLICIES
    } else if director.flows.gate.stamp().is_none() {
        early::PAUSED
    } else {
        early::ON
    }
}

fn family(addr: IpAddr) -> u16 {
    match addr {
        IpAddr::V4(_) => af::INET,
        IpAddr::V6(_) => af::INET6,
    }
}

/// An address as an attribute carries it: IPv4 in the first four bytes.
fn sixteen(addr: IpAddr) -> [u8; ADDR_LEN] {
    match addr {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            let mut bytes = [0; ADDR_LEN];
            if let Some(first) = bytes.first_chunk_mut() {
                *first = [a, b, c, d];
            }
            bytes
        }
        IpAddr::V6(addr) => addr.octets(),
    }
}
