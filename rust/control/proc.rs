// SPDX-License-Identifier: GPL-2.0

//! IPVS's files under `/proc/net`.

use core::fmt::Display;
use kernel::prelude::*;

use super::write::ipvs_method;
use crate::director::Director;
use crate::flow::list::FlowView;
use crate::flow::{self, FlowTable};
use crate::sched::Candidate;
use crate::service::{row, Entry, Member, Rules};
use crate::sys::host::processor_from;
use crate::sys::net::Net;
use crate::sys::netns;
use crate::sys::proc::{File, Listing, Place, Text};
use crate::sys::rcu;
use crate::sys::time::HZ;
use crate::wire::listing::{self, Conn, Dest, Origin, Service, APPS, CONNS, CONNS_SYNC, SERVICES};
use crate::wire::uapi::svc_flags;

/// The files of a namespace.
pub(super) struct Files {
    _services: File,
    _conns: File,
    _origins: File,
    _status: File,
    _apps: File,
    _totals: File,
    _processors: File,
}

impl Files {
    /// Adds them.
    pub(super) fn new(net: Net) -> Result<Self> {
        Ok(Self {
            _services: File::new::<Services>(net)?,
            _conns: File::new::<Conns>(net)?,
            _origins: File::new::<Origins>(net)?,
            _status: File::new::<Status>(net)?,
            _apps: File::new::<Apps>(net)?,
            _totals: File::new::<Totals>(net)?,
            _processors: File::new::<Processors>(net)?,
        })
    }
}

/// `ip_vs`: the services with their destinations.
struct Services;

impl Listing for Services {
    const NAME: &'static CStr = c"ip_vs";

    /// The places: the head; the services from a serial number on; the destinations of one that
    /// came before a serial number.
    fn show(net: &Net, at: Place, out: &mut Text<'_>) -> Option<Place> {
        let director = netns::get::<Director>(net)?;
        match at {
            [0, _] => {
                let size = director.flows.buckets();
                out.line(format_args!(
                    "IP Virtual Server version 1.2.1 (size={size})\n"
                ));
                out.text(SERVICES);
                Some([1, 0])
            }
            [serial, 0] => director
                .services
                .read(|rules| show_service(rules, serial, out)),
            [serial, before] => director
                .services
                .read(|rules| show_dests(rules, serial, before, out)),
        }
    }
}

/// The first service from a serial number on.
fn show_service(rules: &Rules, first: u64, out: &mut Text<'_>) -> Option<Place> {
    let found = rules.each_after(first.saturating_sub(1), |serial, entry| {
        out.line(service(entry));
        Err([serial, u64::MAX])
    });
    found.err()
}

/// Destinations that are shown at a time.
const DESTS: usize = 32;

/// Some destinations of a service, newest first.
fn show_dests(rules: &Rules, serial: u64, before: u64, out: &mut Text<'_>) -> Option<Place> {
    let mut next = [serial.saturating_add(1), 0];
    let Some(entry) = rules.get(serial) else {
        return Some(next);
    };
    for (number, (dest_serial, member)) in (1..=DESTS).zip(entry.members_before(before)) {
        out.line(dest(member));
        if number == DESTS {
            next = [serial, dest_serial];
        }
    }
    Some(next)
}

fn service(entry: &Entry) -> impl Display + '_ {
    let (id, spec) = (entry.service().id, &entry.spec);
    let flag = |flag| spec.flags & flag != 0;
    let ticks = spec.timeout.saturating_mul(HZ);
    Service {
        mark: id.mark,
        proto: id.proto,
        addr: id.addr,
        port: id.port,
        scheduler: spec.kind.name(),
        one_packet: flag(svc_flags::ONEPACKET),
        persistent: flag(svc_flags::PERSISTENT).then_some((ticks, spec.netmask)),
    }
}

fn dest(member: &Member) -> impl Display {
    let dest = &member.dest;
    let (active, total) = (dest.active(), dest.total());
    Dest {
        addr: dest.addr,
        port: dest.port,
        method: ipvs_method(dest.method().into()),
        weight: dest.weight(),
        active,
        inactive: total.saturating_sub(active),
    }
}

/// `ip_vs_conn`: the connections.
struct Conns;

impl Listing for Conns {
    const NAME: &'static CStr = c"ip_vs_conn";

    fn show(net: &Net, at: Place, out: &mut Text<'_>) -> Option<Place> {
        show_conns(net, at, out, CONNS, |out, flow| {
            out.line(conn(flow));
            if let Some(said) = flow.said {
                let data = said.data.split(|&byte| byte == 0).next();
                let parts = [
                    b" ",
                    said.engine.name().as_bytes(),
                    b" ",
                    data.unwrap_or(b""),
                ];
                parts.into_iter().for_each(|part| out.bytes(part));
            }
        })
    }
}

/// `ip_vs_conn_sync`: the same with their origin.
struct Origins;

impl Listing for Origins {
    const NAME: &'static CStr = c"ip_vs_conn_sync";

    fn show(net: &Net, at: Place, out: &mut Text<'_>) -> Option<Place> {
        show_conns(net, at, out, CONNS_SYNC, |out, flow| {
            out.line(Origin(conn(flow)))
        })
    }
}

/// The head, then the connections of IPv4, then those of IPv6, a bucket at a time.
fn show_conns(
    net: &Net,
    [part, at]: Place,
    out: &mut Text<'_>,
    head: &str,
    write: fn(&mut Text<'_>, &FlowView<'_>),
) -> Option<Place> {
    let director = netns::get::<Director>(net)?;
    match part {
        0 => {
            out.text(head);
            Some([1, 0])
        }
        1 => {
            let next = show_bucket(director, &director.flows.v4, at, out, write);
            Some(next.map_or([2, 0], |next| [1, next]))
        }
        _ => {
            let next = show_bucket(director, &director.flows.v6, at, out, write);
            next.map(|next| [2, next])
        }
    }
}

fn show_bucket<A: flow::Family>(
    director: &Director,
    table: &FlowTable<A>,
    at: u64,
    out: &mut Text<'_>,
    write: fn(&mut Text<'_>, &FlowView<'_>),
) -> Option<u64> {
    let timeouts = &director.flows.timeouts;
    let at = usize::try_from(at).ok()?;
    let next = rcu::read(|rcu| {
        table.list(timeouts, rcu, at, |flow| {
            write(out, &flow);
            out.text("\n");
        })
    });
    next.map(|next| next as u64)
}

fn conn<'a>(flow: &'a FlowView<'_>) -> Conn<'a> {
    Conn {
        proto: flow.proto,
        client: flow.client,
        service: flow.service,
        dest: flow.dest,
        state: flow.state,
        expires: flow.expires,
    }
}

/// `ip_vs_status`: how large the tables are. IPVS's threads that work out rates do not exist here.
struct Status;

impl Listing for Status {
    const NAME: &'static CStr = c"ip_vs_status";
    const MODE: u16 = 0o440;

    fn show(net: &Net, _at: Place, out: &mut Text<'_>) -> Option<Place> {
        let director = netns::get::<Director>(net)?;
        let [conn_load, svc_load] = director.config.load_factors();
        out.line(format_args!("Conns:\t{}\n", director.conns()));
        table(out, "Conn", director.flows.buckets(), conn_load);
        out.line(format_args!("Services:\t{}\n", director.services.len()));
        table(out, "Service", director.services.buckets(), svc_load);
        out.text(
            "Stats thread slots:\t0 (max 0)\nStats chain max len:\t0\nStats thread ests:\t0\n",
        );
        None
    }
}

/// A table's size.
fn table(out: &mut Text<'_>, name: &str, buckets: u64, load: i32) {
    let (bits, load) = match buckets {
        0 => (0, 0),
        buckets => (buckets.ilog2(), load),
    };
    out.line(format_args!(
        "{name} buckets:\t{buckets} ({bits} bits, lfactor {load})\n"
    ));
}

/// `ip_vs_app`: the helpers, of which there is none.
struct Apps;

impl Listing for Apps {
    const NAME: &'static CStr = c"ip_vs_app";

    fn show(_net: &Net, _at: Place, out: &mut Text<'_>) -> Option<Place> {
        out.text(APPS);
        None
    }
}

/// `ip_vs_stats`: what was counted in all, and how much it is a second.
struct Totals;

impl Listing for Totals {
    const NAME: &'static CStr = c"ip_vs_stats";

    fn show(net: &Net, _at: Place, out: &mut Text<'_>) -> Option<Place> {
        let director = netns::get::<Director>(net)?;
        let (counts, rates) = director.services.totals();
        let [head, below] = listing::TOTALS;
        out.text(head);
        out.line(listing::Totals(row(counts)));
        out.text(below);
        out.line(listing::Totals(rates));
        None
    }
}

/// `ip_vs_stats_percpu`: the same, after what each processor counted.
struct Processors;

impl Listing for Processors {
    const NAME: &'static CStr = c"ip_vs_stats_percpu";

    /// The places: the head; the processors from a number on; the sum.
    fn show(net: &Net, [part, at]: Place, out: &mut Text<'_>) -> Option<Place> {
        let director = netns::get::<Director>(net)?;
        let [head, below] = listing::PROCESSORS;
        if part == 0 {
            out.text(head);
            return Some([1, 0]);
        }
        if let Some(cpu) = processor_from(u32::try_from(at).ok()?) {
            let counts = director.services.counted_by(cpu);
            out.line(format_args!("{cpu:3X} {}", listing::Totals(row(counts))));
            return Some([1, u64::from(cpu).saturating_add(1)]);
        }
        let (counts, rates) = director.services.totals();
        out.line(format_args!("  ~ {}", listing::Totals(row(counts))));
        out.text(below);
        out.line(format_args!("    {}", listing::Totals(rates)));
        None
    }
}
