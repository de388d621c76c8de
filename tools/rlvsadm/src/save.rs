// SPDX-License-Identifier: GPL-2.0
//! Rules that describe what is there, as ipvsadm writes them and `-R` reads them.

use crate::address::label;
use crate::flags;
use crate::model::{Dest, Entry, Laddr, Method};
use crate::names::Names;

/// The rules, one a line. A service's local addresses come before the destinations that need them.
pub fn rules(entries: &[Entry], numeric: bool, names: &dyn Names) -> String {
    entries.iter().map(|e| entry(e, numeric, names)).collect()
}

fn entry(entry: &Entry, numeric: bool, names: &dyn Names) -> String {
    let id = entry.service.id;
    let name = |endpoint| label(endpoint, id.shown_protocol(), numeric, names);
    let service = id.options(name);
    let laddrs = entry.laddrs.iter().map(|l| laddr_rule(&service, l));
    let dests = entry.dests.iter();
    let dests = dests.map(|d| dest_rule(&service, &name(d.endpoint), d));
    let head = service_rule(&service, entry);
    laddrs.chain(dests).fold(head, |rules, rule| rules + &rule)
}

fn service_rule(service: &str, entry: &Entry) -> String {
    let scheduler = &entry.service.scheduler;
    let flags = flags::names(entry.service.flags, scheduler).join(",");
    let flags = option("-b", (!flags.is_empty()).then_some(flags));
    let persistence = entry.service.persistence;
    let seconds = option("-p", persistence.map(|how| how.timeout));
    let mask = option("-M", persistence.and_then(|how| how.mask.listed()));
    let engine = option("--pe", entry.service.engine.as_ref());
    let label = option("--set-mark", entry.service.label);
    let ops = if entry.service.is_one_packet() {
        " -o"
    } else {
        ""
    };
    format!("-A {service} -s {scheduler}{seconds}{mask}{engine}{label}{ops}{flags}\n")
}

fn laddr_rule(service: &str, laddr: &Laddr) -> String {
    format!("-P {service} -z {}\n", laddr.address)
}

/// ipvsadm leaves the thresholds out, and they are lost.
fn dest_rule(service: &str, name: &str, dest: &Dest) -> String {
    let method = match dest.method {
        Method::Masq => "-m",
        Method::Tunnel => "-i",
        Method::FullNat => "--fullnat",
        Method::Route | Method::Local | Method::Bypass => "-g",
    };
    let tunnel = option(
        "--tun-type",
        (dest.method == Method::Tunnel).then_some("ipip"),
    );
    let upper = option("-x", (dest.upper != 0).then_some(dest.upper));
    let lower = option("-y", (dest.lower != 0).then_some(dest.lower));
    let weight = dest.weight;
    format!("-a {service} -r {name} {method} -w {weight}{tunnel}{upper}{lower}\n")
}

/// An option with its value, if it has one.
fn option(name: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(String::new, |value| format!(" {name} {value}"))
}

#[cfg(test)]
mod tests;
