// SPDX-License-Identifier: GPL-2.0
//! What the module answers, taken out of its attributes.

use std::net::IpAddr;

use serde::Serialize;

use crate::address::{Endpoint, Family, ServiceId};
use crate::error::LinkError;
use crate::fields::Fields;
use crate::label::Label;
use crate::persistence::{Mask, Persistence};
use crate::protocol::Proto;
use crate::wire::uapi::{
    af, attr, conn, conn_flags, dest, fwd, info, laddr, late, stats, svc, svc_flags,
};

/// How packets get to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Masq,
    Local,
    Tunnel,
    Route,
    Bypass,
    FullNat,
}

impl Method {
    /// The method of a forwarding word, whose other bits are flags.
    fn from_word(word: u32) -> Result<Self, LinkError> {
        match word & fwd::MASK {
            fwd::MASQ => Ok(Method::Masq),
            fwd::LOCALNODE => Ok(Method::Local),
            fwd::TUNNEL => Ok(Method::Tunnel),
            fwd::DROUTE => Ok(Method::Route),
            fwd::BYPASS => Ok(Method::Bypass),
            fwd::FULLNAT => Ok(Method::FullNat),
            other => Err(LinkError::Answer(format!("forwarding method {other}"))),
        }
    }

    /// The number that the protocol gives it.
    pub fn number(self) -> u32 {
        match self {
            Method::Masq => fwd::MASQ,
            Method::Local => fwd::LOCALNODE,
            Method::Tunnel => fwd::TUNNEL,
            Method::Route => fwd::DROUTE,
            Method::Bypass => fwd::BYPASS,
            Method::FullNat => fwd::FULLNAT,
        }
    }

    /// The name in a listing.
    pub fn name(self) -> &'static str {
        match self {
            Method::Masq => "Masq",
            Method::Local => "Local",
            Method::Tunnel => "Tunnel",
            Method::Route => "Route",
            Method::Bypass => "Bypass",
            Method::FullNat => "FullNat",
        }
    }
}

/// Counters and rates of a service or a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub conns: u64,
    pub inpkts: u64,
    pub outpkts: u64,
    pub inbytes: u64,
    pub outbytes: u64,
    pub cps: u64,
    pub inpps: u64,
    pub outpps: u64,
    pub inbps: u64,
    pub outbps: u64,
}

impl Stats {
    fn read(fields: &Fields<'_>) -> Result<Self, LinkError> {
        Ok(Stats {
            conns: fields.count(stats::CONNS)?,
            inpkts: fields.count(stats::INPKTS)?,
            outpkts: fields.count(stats::OUTPKTS)?,
            inbytes: fields.count(stats::INBYTES)?,
            outbytes: fields.count(stats::OUTBYTES)?,
            cps: fields.count(stats::CPS)?,
            inpps: fields.count(stats::INPPS)?,
            outpps: fields.count(stats::OUTPPS)?,
            inbps: fields.count(stats::INBPS)?,
            outbps: fields.count(stats::OUTBPS)?,
        })
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub id: ServiceId,
    pub scheduler: String,
    pub flags: u32,
    pub persistence: Option<Persistence>,
    /// The persistence engine.
    pub engine: Option<String>,
    /// What its packets get.
    pub label: Option<Label>,
    pub stats: Stats,
}

impl Service {
    /// Whether each datagram is scheduled by itself.
    pub fn is_one_packet(&self) -> bool {
        self.flags & svc_flags::ONEPACKET != 0
    }

    /// Reads the service in an answer.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message")?.nest(attr::SERVICE, "service")?;
        // The second word says which flags are meant; in an answer all are.
        let [flags, _] = words(fields.need(svc::FLAGS)?.bytes()?);
        let id = service_id(&fields)?;
        let persistence = match flags & svc_flags::PERSISTENT {
            0 => None,
            _ => Some(persistence(&fields, id.family())?),
        };
        Ok(Service {
            id,
            scheduler: fields.text(svc::SCHED_NAME)?,
            flags,
            persistence,
            engine: fields.maybe_text(svc::PE_NAME)?,
            label: label(&fields)?,
            stats: Stats::read(&fields.nest(svc::STATS64, "statistics")?)?,
        })
    }
}

fn label(fields: &Fields<'_>) -> Result<Option<Label>, LinkError> {
    let Some(attr) = fields.find(svc::LABEL) else {
        return Ok(None);
    };
    let [value, mask] = words(attr.bytes()?);
    Ok(Some(Label { value, mask }))
}

fn persistence(fields: &Fields<'_>, family: Family) -> Result<Persistence, LinkError> {
    let mask = fields.need(svc::NETMASK)?.bytes()?;
    Ok(Persistence {
        timeout: fields.u32(svc::TIMEOUT)?,
        mask: Mask::from_bytes(mask, family),
    })
}

fn service_id(fields: &Fields<'_>) -> Result<ServiceId, LinkError> {
    let af = fields.u16(svc::AF)?;
    let mark = fields.find(svc::FWMARK).map(|attr| attr.u32());
    match mark.transpose()? {
        Some(mark) if mark != 0 => {
            let family = match af {
                af::INET => Family::IPv4,
                af::INET6 => Family::IPv6,
                other => return Err(LinkError::Answer(format!("address family {other}"))),
            };
            Ok(ServiceId::Mark { mark, family })
        }
        _ => Ok(ServiceId::At {
            protocol: protocol(fields.u16(svc::PROTOCOL)?)?,
            endpoint: endpoint(fields, svc::ADDR, svc::PORT, af)?,
        }),
    }
}

/// A destination of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dest {
    pub endpoint: Endpoint,
    pub method: Method,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub stats: Stats,
}

impl Dest {
    /// Reads the destination in an answer; `service_family` is that of an address that does not say its own.
    pub fn read(answer: &[u8], service_family: u16) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message")?.nest(attr::DEST, "destination")?;
        let own = fields.find(dest::ADDR_FAMILY).map(|attr| attr.u16());
        let family = match own.transpose()? {
            None | Some(af::UNSPEC) => service_family,
            Some(family) => family,
        };
        Ok(Dest {
            endpoint: endpoint(&fields, dest::ADDR, dest::PORT, family)?,
            method: Method::from_word(fields.u32(dest::FWD_METHOD)?)?,
            weight: fields.u32(dest::WEIGHT)?,
            upper: fields.u32(dest::U_THRESH)?,
            lower: fields.u32(dest::L_THRESH)?,
            active: fields.u32(dest::ACTIVE_CONNS)?,
            inactive: fields.u32(dest::INACT_CONNS)?,
            persistent: fields.u32(dest::PERSIST_CONNS)?,
            stats: Stats::read(&fields.nest(dest::STATS64, "statistics")?)?,
        })
    }
}

/// A local address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Laddr {
    pub address: IpAddr,
    pub conns: u64,
    /// New connections refused because no port was left on it.
    pub exhausted: u64,
}

impl Laddr {
    /// Reads the local address in an answer.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message")?.nest(attr::LADDR, "local address")?;
        let family = fields.u16(laddr::ADDR_FAMILY)?;
        Ok(Laddr {
            address: fields.need(laddr::ADDR)?.ip(family)?,
            conns: fields.count(laddr::CONNS)?,
            exhausted: fields.count(laddr::EXHAUSTED)?,
        })
    }
}

/// A connection, or a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conn {
    pub protocol: Proto,
    pub client: Endpoint,
    pub virt: Endpoint,
    pub dest: Endpoint,
    /// FULLNAT's source towards the destination.
    pub local: Option<Endpoint>,
    pub method: Method,
    pub state: String,
    /// Seconds until it expires.
    pub expires: u32,
    /// It remembers where a client, or a network of clients, belongs.
    pub template: bool,
    /// The persistence engine of a template's service, and what it has read in a packet.
    pub engine: Option<(String, String)>,
}

impl Conn {
    /// Reads the connection in an answer.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message")?.nest(attr::CONN, "connection")?;
        let family = fields.u16(conn::ADDR_FAMILY)?;
        let dest_family = fields.u16(conn::DEST_FAMILY)?;
        // The local address talks to the destination and is of its family.
        let local = fields
            .find(conn::LADDR)
            .map(|_| endpoint(&fields, conn::LADDR, conn::LPORT, dest_family));
        let flags = fields.find(conn::FLAGS).map(|attr| attr.u32());
        let flags = flags.transpose()?.unwrap_or(0);
        Ok(Conn {
            protocol: protocol(fields.u16(conn::PROTOCOL)?)?,
            client: endpoint(&fields, conn::CADDR, conn::CPORT, family)?,
            virt: endpoint(&fields, conn::VADDR, conn::VPORT, family)?,
            dest: endpoint(&fields, conn::DADDR, conn::DPORT, dest_family)?,
            local: local.transpose()?,
            method: Method::from_word(fields.u32(conn::FWD_METHOD)?)?,
            state: fields.text(conn::STATE)?,
            expires: fields.u32(conn::EXPIRES)?,
            template: flags & conn_flags::TEMPLATE != 0,
            engine: engine(&fields)?,
        })
    }
}

/// What a persistence engine takes out of a packet need not be text.
fn engine(fields: &Fields<'_>) -> Result<Option<(String, String)>, LinkError> {
    let Some(name) = fields.maybe_text(conn::PE_NAME)? else {
        return Ok(None);
    };
    let data = fields.need(conn::PE_DATA)?.payload;
    Ok(Some((name, String::from_utf8_lossy(data).into_owned())))
}

/// The module as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// IPVS's version, a byte a part.
    pub version: u32,
    /// Buckets of the connection table.
    pub table_size: u32,
    pub conns: u64,
    pub conn_max: u64,
    /// New connections refused because there were `conn_max`.
    pub drop_limit: u64,
    /// New connections refused because FULLNAT had no local port left, or the real server has one with the same
    /// addresses and ports.
    pub drop_ports: u64,
    /// New connections refused for want of memory.
    pub drop_nomem: u64,
    /// Closed connections that gave way to new ones.
    pub displaced_over: u64,
    /// Half-open connections that gave way.
    pub displaced_half_open: u64,
    /// Unanswered UDP that gave way.
    pub displaced_one_way: u64,
    /// Connections that gave way whose ends were not known to be there.
    pub displaced_unconfirmed: u64,
    /// Templates without connections that gave way.
    pub displaced_templates: u64,
    /// How often the upkeep of the network namespace has run.
    pub upkeep_runs: u64,
    pub module_version: String,
    /// One of [`crate::wire::uapi::early`].
    pub early: u32,
    /// Packets of known connections that did not go early, in the order of [`late::REASONS`].
    pub late: [u64; late::REASONS.len()],
}

impl Info {
    /// Reads an answer about the module.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message about the module")?;
        Ok(Info {
            version: fields.u32(info::VERSION)?,
            table_size: fields.u32(info::CONN_TAB_SIZE)?,
            conns: fields.count(info::CONNS)?,
            conn_max: fields.count(info::CONN_MAX)?,
            drop_limit: fields.count(info::DROP_LIMIT)?,
            drop_ports: fields.count(info::DROP_PORTS)?,
            drop_nomem: fields.count(info::DROP_NOMEM)?,
            displaced_over: fields.count(info::DISPLACED_OVER)?,
            displaced_half_open: fields.count(info::DISPLACED_HALF_OPEN)?,
            displaced_one_way: fields.count(info::DISPLACED_ONE_WAY)?,
            displaced_unconfirmed: fields.count(info::DISPLACED_UNCONFIRMED)?,
            displaced_templates: fields.count(info::DISPLACED_TEMPLATES)?,
            upkeep_runs: fields.count(info::UPKEEP_RUNS)?,
            module_version: fields.text(info::MODULE_VERSION)?,
            early: fields.u32(info::EARLY)?,
            late: counts(&fields)?,
        })
    }

    /// IPVS's version in its usual form.
    pub fn ipvs_version(&self) -> String {
        let [_, major, minor, patch] = self.version.to_be_bytes();
        format!("{major}.{minor}.{patch}")
    }
}

/// The packets that did not go early, by reason.
fn counts(fields: &Fields<'_>) -> Result<[u64; late::REASONS.len()], LinkError> {
    let nest = fields.nest(info::LATE, "counters of the early path")?;
    let mut counts = [0; late::REASONS.len()];
    for (number, count) in (1..).zip(&mut counts) {
        *count = nest.count(number)?;
    }
    Ok(counts)
}

/// What all services have counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals(pub Stats);

impl Totals {
    /// Reads the totals in an answer.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message")?;
        let stats = Stats::read(&fields.nest(attr::STATS64, "statistics")?)?;
        Ok(Totals(stats))
    }
}

/// The time-outs in seconds; in a request 0 leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    pub tcp: u32,
    pub tcp_fin: u32,
    pub udp: u32,
}

impl Timeouts {
    /// Reads the time-outs in an answer.
    pub fn read(answer: &[u8]) -> Result<Self, LinkError> {
        let fields = Fields::read(answer, "message about time-outs")?;
        Ok(Timeouts {
            tcp: fields.u32(attr::TIMEOUT_TCP)?,
            tcp_fin: fields.u32(attr::TIMEOUT_TCP_FIN)?,
            udp: fields.u32(attr::TIMEOUT_UDP)?,
        })
    }
}

/// A service with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub service: Service,
    pub dests: Vec<Dest>,
    pub laddrs: Vec<Laddr>,
}

/// One message of an answer: the attributes behind its headers.
pub type Answer = Vec<u8>;

fn protocol(number: u16) -> Result<Proto, LinkError> {
    Proto::from_number(number).ok_or_else(|| LinkError::Answer(format!("protocol {number}")))
}

fn endpoint(
    fields: &Fields<'_>,
    address: u16,
    port: u16,
    family: u16,
) -> Result<Endpoint, LinkError> {
    Ok(Endpoint {
        address: fields.need(address)?.ip(family)?,
        port: fields.need(port)?.be16()?,
    })
}

/// Two u32 in a row, in the host's byte order.
fn words(bytes: [u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = bytes;
    [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{endpoint, full_answers, service_answer, Nest};

    #[test]
    fn a_service_is_read() {
        let service = Service::read(&service_answer("10.0.0.1:80", "sh", 0x1a)).unwrap();
        assert_eq!(service.id.to_string(), "-t 10.0.0.1:80");
        assert_eq!(service.scheduler, "sh");
        assert_eq!(service.flags, 0x1a);
        assert_eq!(service.persistence, None);
        assert_eq!(service.stats.conns, u64::from(u32::MAX) + 1);
        assert_eq!(service.stats.outbps, 10);
    }

    #[test]
    fn a_persistent_service_has_a_time_and_a_mask() {
        for (at, mask) in [
            ("[fd00::1]:80", Mask::V6(64)),
            ("10.0.0.1:80", Mask::V4(64_u32.to_ne_bytes().into())),
        ] {
            let service = Service::read(&service_answer(at, "sh", 3)).unwrap();
            assert_eq!(
                service.persistence,
                Some(Persistence { timeout: 300, mask })
            );
        }
    }

    #[test]
    fn a_destination_has_its_own_family_or_the_services() {
        let fields = |nest: Nest| {
            nest.u32(dest::FWD_METHOD, fwd::FULLNAT | 0x100)
                .u32(dest::WEIGHT, 7)
                .u32(dest::U_THRESH, 9)
                .u32(dest::L_THRESH, 8)
                .u32(dest::ACTIVE_CONNS, 1)
                .u32(dest::INACT_CONNS, 2)
                .u32(dest::PERSIST_CONNS, 3)
                .nest(dest::STATS64, Nest::new())
        };
        let v6 = fields(Nest::new().at(dest::ADDR, dest::PORT, "[fd00::2]:8080"));
        let own = v6.clone().u16(dest::ADDR_FAMILY, af::INET6);
        for (nest, family) in [(own, af::INET), (v6, af::INET6)] {
            let answer = Nest::new().nest(attr::DEST, nest).bytes();
            let dest = Dest::read(&answer, family).unwrap();
            assert_eq!(dest.endpoint, endpoint("[fd00::2]:8080"));
            assert_eq!(dest.method, Method::FullNat);
            assert_eq!((dest.weight, dest.upper, dest.lower), (7, 9, 8));
            assert_eq!((dest.active, dest.inactive, dest.persistent), (1, 2, 3));
        }
    }

    #[test]
    fn a_connection_has_a_local_address_only_with_fullnat() {
        let nest = |nest: Nest| {
            nest.u16(conn::ADDR_FAMILY, af::INET)
                .u16(conn::DEST_FAMILY, af::INET)
                .u16(conn::PROTOCOL, 6)
                .at(conn::CADDR, conn::CPORT, "192.0.2.1:4000")
                .at(conn::VADDR, conn::VPORT, "10.0.0.1:80")
                .at(conn::DADDR, conn::DPORT, "10.0.1.2:8080")
                .text(conn::STATE, "ESTABLISHED")
                .u32(conn::EXPIRES, 897)
                .u32(conn::FWD_METHOD, fwd::FULLNAT)
        };
        let plain = Nest::new().nest(attr::CONN, nest(Nest::new()));
        let conn_plain = Conn::read(&plain.bytes()).unwrap();
        assert_eq!(conn_plain.local, None);
        assert_eq!(conn_plain.client, endpoint("192.0.2.1:4000"));
        assert_eq!(conn_plain.state, "ESTABLISHED");
        let local = nest(Nest::new()).at(conn::LADDR, conn::LPORT, "10.0.1.1:5000");
        let template = nest(Nest::new()).u32(conn::FLAGS, conn_flags::TEMPLATE);
        let template = Nest::new().nest(attr::CONN, template).bytes();
        assert!(Conn::read(&template).unwrap().template && !conn_plain.template);
        let full = Nest::new().nest(attr::CONN, local).bytes();
        assert_eq!(
            Conn::read(&full).unwrap().local,
            Some(endpoint("10.0.1.1:5000"))
        );
    }

    #[test]
    fn a_template_of_a_call_says_which() {
        let answer = |data: &[u8]| {
            let nest = Nest::new()
                .u16(conn::ADDR_FAMILY, af::INET)
                .u16(conn::DEST_FAMILY, af::INET)
                .u16(conn::PROTOCOL, 17)
                .at(conn::CADDR, conn::CPORT, "192.0.2.0:0")
                .at(conn::VADDR, conn::VPORT, "10.0.0.1:5060")
                .at(conn::DADDR, conn::DPORT, "10.0.1.2:5060")
                .text(conn::STATE, "NONE")
                .u32(conn::EXPIRES, 60)
                .u32(conn::FWD_METHOD, fwd::MASQ)
                .u32(conn::FLAGS, conn_flags::TEMPLATE)
                .text(conn::PE_NAME, "sip")
                .put(conn::PE_DATA, data);
            Nest::new().nest(attr::CONN, nest).bytes()
        };
        for (data, text) in [(&b"a@b"[..], "a@b"), (b"\xe9@b", "\u{fffd}@b")] {
            let conn = Conn::read(&answer(data)).unwrap();
            assert_eq!(conn.engine, Some(("sip".to_owned(), text.to_owned())));
        }
    }

    #[test]
    fn answers_with_parts_missing_are_refused_by_name() {
        let error = |result: Result<Service, LinkError>| result.unwrap_err().to_string();
        let nothing = Nest::new().bytes();
        assert!(error(Service::read(&nothing)).ends_with("a message without attribute 1"));
        let empty = Nest::new().nest(attr::SERVICE, Nest::new()).bytes();
        assert!(error(Service::read(&empty)).ends_with("a service without attribute 7"));
        let wrong = Nest::new().nest(attr::SERVICE, Nest::new().u16(svc::FLAGS, 1));
        assert!(
            error(Service::read(&wrong.bytes())).ends_with("attribute 7 has 2 bytes instead of 8")
        );
    }

    /// Cut anywhere, an answer is an error or, at the end of an attribute that nothing needs, still good.
    #[test]
    fn cut_answers_never_panic() {
        for answer in full_answers() {
            for cut in 0..answer.len() {
                let short = &answer[..cut];
                let _ = (
                    Service::read(short),
                    Dest::read(short, af::INET),
                    Laddr::read(short),
                );
                let _ = (Conn::read(short), Info::read(short), Timeouts::read(short));
                let _ = Totals::read(short);
            }
        }
    }

    #[test]
    fn versions_are_a_byte_a_part() {
        let info = Info {
            version: 0x01_02_0f,
            ..Info::default()
        };
        assert_eq!(info.ipvs_version(), "1.2.15");
    }
}
