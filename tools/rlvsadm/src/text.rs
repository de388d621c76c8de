// SPDX-License-Identifier: GPL-2.0
//! Listings as ipvsadm prints them, to the byte.

use std::net::IpAddr;

use crate::address::{label, Endpoint, Family, ServiceId};
use crate::command::{Format, View};
use crate::flags;
use crate::model::{Conn, Dest, Entry, Info, Method, Service, Stats, Timeouts, Totals};
use crate::names::Names;
use crate::protocol::Proto;
use crate::wire::uapi::{early, late};

/// Widths at which ipvsadm cuts the name of an IPv4 service and destination.
const SERVICE_WIDTH: usize = 33;
const DEST_WIDTH: usize = 28;

/// The titles of counters and of rates.
const COUNTERS: [&str; 5] = ["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"];
const RATES: [&str; 5] = ["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"];

/// The first line of a listing of all services.
pub fn header(info: &Info) -> String {
    let version = info.ipvs_version();
    format!(
        "IP Virtual Server version {version} (size={})\n",
        info.table_size
    )
}

/// The column titles, the services and their destinations.
pub fn services(entries: &[Entry], format: Format, names: &dyn Names) -> String {
    let entries = entries.iter().map(|entry| service(entry, format, names));
    title(format.view) + &entries.collect::<String>()
}

fn title(view: View) -> String {
    const SERVICE: &str = "Prot LocalAddress:Port";
    const DEST: &str = "  -> RemoteAddress:Port";
    let columns = match view {
        View::Plain => {
            return format!(
                "{SERVICE} Scheduler Flags\n\
                 {DEST}           Forward Weight ActiveConn InActConn\n"
            )
        }
        View::Tunnel => {
            return format!(
                "{SERVICE} Scheduler Flags\n\
                 {DEST}           Forward TunnelInfo    Weight ActiveConn InActConn\n"
            )
        }
        View::Stats => counters(COUNTERS),
        View::Rate => counters(RATES),
        View::Thresholds => {
            format!(
                " {:<10} {:<10} {:<10} {:<10}",
                "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
            )
        }
        View::Persistent => {
            format!(
                " {:<9} {:<11} {:<10} {:<10}",
                "Weight", "PersistConn", "ActiveConn", "InActConn"
            )
        }
    };
    format!("{SERVICE:<33}{columns}\n{DEST}\n")
}

fn counters(titles: [&str; 5]) -> String {
    titles.map(|title| format!(" {title:>8}")).concat()
}

fn service(entry: &Entry, format: Format, names: &dyn Names) -> String {
    let service = &entry.service;
    let protocol = service.id.shown_protocol();
    let name = service_name(service.id, format.numeric, names);
    let columns = match format.view {
        View::Stats => format!("{name:<33}{}", counted(&service.stats, format.exact)),
        View::Rate => format!("{name:<33}{}", rates(&service.stats, format.exact)),
        _ => format!("{name} {}{}", service.scheduler, flag_list(service)),
    };
    let dests = entry.dests.iter().map(|d| dest(d, protocol, format, names));
    format!("{columns}\n{}", dests.collect::<String>())
}

/// Protocol, address and port, or the mark.
fn service_name(id: ServiceId, numeric: bool, names: &dyn Names) -> String {
    match id {
        ServiceId::At { protocol, endpoint } => {
            let name = label(endpoint, protocol, numeric, names);
            cut(format!("{protocol:<4} {name}"), endpoint, SERVICE_WIDTH)
        }
        ServiceId::Mark { mark, family } => match family {
            Family::IPv4 => format!("FWM  {mark}"),
            Family::IPv6 => format!("FWM  {mark} IPv6"),
        },
    }
}

fn flag_list(service: &Service) -> String {
    let names = flags::names(service.flags, &service.scheduler);
    let names = match names.is_empty() {
        true => String::new(),
        false => format!(" ({})", names.join(",")),
    };
    let ops = if service.is_one_packet() { " ops" } else { "" };
    let label = service.label.map(|label| format!(" mark {label}"));
    format!(
        "{names}{}{ops}{}",
        persistence(service),
        label.unwrap_or_default()
    )
}

fn persistence(service: &Service) -> String {
    let Some(how) = service.persistence else {
        return String::new();
    };
    let mask = how.mask.listed();
    let mask = mask.map_or_else(String::new, |mask| format!(" mask {mask}"));
    let engine = service.engine.as_ref();
    let engine = engine.map_or_else(String::new, |name| format!(" pe {name}"));
    format!(" persistent {}{mask}{engine}", how.timeout)
}

fn dest(dest: &Dest, protocol: Option<Proto>, format: Format, names: &dyn Names) -> String {
    let name = label(dest.endpoint, protocol, format.numeric, names);
    let name = cut(name, dest.endpoint, DEST_WIDTH);
    let Dest {
        weight,
        upper,
        lower,
        active,
        inactive,
        persistent,
        stats,
        ..
    } = dest;
    let columns = match format.view {
        View::Plain => {
            let method = dest.method.name();
            format!(" {method:<7} {weight:<6} {active:<10} {inactive:<10}")
        }
        View::Tunnel => {
            let (method, tunnel) = (dest.method.name(), tunnel(dest.method));
            format!(" {method:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}")
        }
        View::Stats => counted(stats, format.exact),
        View::Rate => dest_rates(stats, format.exact),
        View::Thresholds => format!(" {upper:<10} {lower:<10} {active:<10} {inactive:<10}"),
        View::Persistent => format!(" {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"),
    };
    format!("  -> {name:<28}{columns}\n")
}

/// How packets are wrapped.
fn tunnel(method: Method) -> &'static str {
    match method {
        Method::Tunnel => "ipip",
        _ => "n/a",
    }
}

fn cut(name: String, endpoint: Endpoint, width: usize) -> String {
    match endpoint.address {
        IpAddr::V4(_) => name.chars().take(width).collect(),
        IpAddr::V6(_) => name,
    }
}

fn counted(stats: &Stats, exact: bool) -> String {
    let Stats {
        conns,
        inpkts,
        outpkts,
        inbytes,
        outbytes,
        ..
    } = *stats;
    [conns, inpkts, outpkts, inbytes, outbytes]
        .map(|value| number(value, exact))
        .concat()
}

fn rates(stats: &Stats, exact: bool) -> String {
    let Stats {
        cps,
        inpps,
        outpps,
        inbps,
        outbps,
        ..
    } = *stats;
    [cps, inpps, outpps, inbps, outbps]
        .map(|value| number(value, exact))
        .concat()
}

/// A destination's connections and packets a second are never rounded.
fn dest_rates(stats: &Stats, exact: bool) -> String {
    let whole = [stats.cps, stats.inpps, stats.outpps].map(|value| format!(" {value:>8}"));
    let bytes = [stats.inbps, stats.outbps].map(|value| number(value, exact));
    whole.concat() + &bytes.concat()
}

/// A number nine wide, in thousands (K), millions (M) … where it would not fit, unless it is to be exact.
fn number(value: u64, exact: bool) -> String {
    const K: u64 = 1_000;
    const M: u64 = 1_000 * K;
    const G: u64 = 1_000 * M;
    const T: u64 = 1_000 * G;
    match value {
        _ if exact => {
            let digits = value.to_string();
            let width = 9.max(digits.len() + 1);
            format!("{digits:>width$}")
        }
        0..100_000_000 => format!("{value:>9}"),
        100_000_000..G => format!("{:>8}K", value / K),
        G..100_000_000_000 => format!("{:>8}M", value / M),
        100_000_000_000..100_000_000_000_000 => format!("{:>8}G", value / G),
        _ => format!("{:>8}T", value / T),
    }
}

/// The connections.
pub fn connections(conns: &[Conn], format: Format, names: &dyn Names) -> String {
    let title = "IPVS connection entries\npro expire state       source             virtual            destination";
    let title = match format.persistent {
        false => format!("{title}\n"),
        true => format!("{title}        {:<16} {}\n", "pe name", "pe_data"),
    };
    let rows = conns.iter().map(|conn| connection(conn, format, names));
    title + &rows.collect::<String>()
}

fn connection(conn: &Conn, format: Format, names: &dyn Names) -> String {
    let protocol = conn.protocol;
    let [client, virt, dest] = [conn.client, conn.virt, conn.dest]
        .map(|endpoint| label(endpoint, protocol, format.numeric, names));
    let expires = format!("{:02}:{:02}", conn.expires / 60, conn.expires % 60);
    let state = &conn.state;
    let row = format!("{protocol:<3} {expires:<6} {state:<11} {client:<18} {virt:<18}");
    match &conn.engine {
        // ipvsadm's columns, which do not stand under their titles.
        Some((name, data)) if format.persistent => format!("{row} {dest:<16} {name:<18} {data}\n"),
        _ => format!("{row} {dest}\n"),
    }
}

/// The time-outs.
pub fn timeouts(timeouts: &Timeouts) -> String {
    let Timeouts { tcp, tcp_fin, udp } = timeouts;
    format!("Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}\n")
}

/// What all services have counted together, in the columns of a service.
pub fn totals(totals: &Totals, exact: bool) -> String {
    let Totals(stats) = totals;
    let row =
        |name, titles, numbers| format!("{:<33}{}\n{name:<33}{numbers}\n", "", counters(titles));
    row("Total", COUNTERS, counted(stats, exact)) + &row("A second", RATES, rates(stats, exact))
}

/// The module: what ipvsadm has no listing for.
pub fn info(info: &Info) -> String {
    let rows = [
        ("connection table buckets", u64::from(info.table_size)),
        ("connections", info.conns),
        ("connections at most", info.conn_max),
        ("new connections refused:", 0),
        ("  at the most", info.drop_limit),
        ("  no free port or address", info.drop_ports),
        ("  no memory", info.drop_nomem),
        ("connections that gave way to new ones:", 0),
        ("  closed", info.displaced_over),
        ("  half-open", info.displaced_half_open),
        ("  one-way UDP", info.displaced_one_way),
        ("  unconfirmed", info.displaced_unconfirmed),
        ("  templates", info.displaced_templates),
    ];
    let rows = rows.map(|(name, value)| match name.ends_with(':') {
        true => format!("{name}\n"),
        false => format!("{name:<25} {value:>20}\n"),
    });
    let version = info.ipvs_version();
    format!(
        "rlvs {} (IPVS {version})\n{}{}",
        info.module_version,
        rows.concat(),
        early_path(info)
    )
}

/// What a reason for the ordinary way is called, in the order of `late::REASONS`.
const REASONS: [&str; late::REASONS.len()] = [
    "SYN",
    "first of its side",
    "other interface or mark",
    "IPsec policies",
    "no way out known",
    "too large for the way",
    "TTL",
    "options or fragments",
    "not to be forwarded",
    "connection tracking",
];

/// The early path: whether it is on, and what went past it.
fn early_path(info: &Info) -> String {
    let state = match info.early {
        early::ON => "on",
        early::SWITCHED_OFF => "off: net.rlvs.early is 0",
        early::POLICIES => "off: there are IPsec policies, which each packet is shown to",
        _ => "off for a moment: every connection is shown to the rules again",
    };
    let rows: Vec<_> = REASONS
        .iter()
        .zip(info.late)
        .map(|(reason, packets)| format!("  {reason:<23} {packets:>20}\n"))
        .collect();
    let rows = rows.concat();
    format!("early path: {state}\npackets of known connections that did not take it:\n{rows}")
}

/// The services' local addresses, as the FULLNAT tools list them.
pub fn laddrs(entries: &[Entry], numeric: bool, names: &dyn Names) -> String {
    let title = laddr_row("VIP:VPORT", "TOTAL", "LADDR", "EXHAUSTED", "CONNS");
    let rows = entries.iter().map(|entry| {
        let name = match entry.service.id {
            ServiceId::At { protocol, endpoint } => label(endpoint, protocol, numeric, names),
            mark @ ServiceId::Mark { .. } => service_name(mark, numeric, names),
        };
        let total = entry.laddrs.len().to_string();
        let laddrs = entry.laddrs.iter().map(|laddr| {
            let [exhausted, conns] = [laddr.exhausted, laddr.conns].map(|n| n.to_string());
            laddr_row("", "", &laddr.address.to_string(), &exhausted, &conns)
        });
        laddr_row(&name, &total, "", "", "") + &laddrs.collect::<String>()
    });
    title + &rows.collect::<String>()
}

fn laddr_row(service: &str, total: &str, laddr: &str, exhausted: &str, conns: &str) -> String {
    let row = format!("{service:<20} {total:<8} {laddr:<20} {exhausted:<10} {conns}");
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests;
