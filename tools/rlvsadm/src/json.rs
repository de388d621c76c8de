// SPDX-License-Identifier: GPL-2.0
//! Listings as JSON: always numeric, always with all counters in full.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::address::{Endpoint, ServiceId};
use crate::flags;
use crate::label::Label;
use crate::model::{Conn, Dest, Entry, Info, Laddr, Method, Stats, Timeouts, Totals};
use crate::persistence::Persistence;
use crate::protocol::Proto;
use crate::wire::uapi::{early, late};

#[derive(Serialize)]
struct Table<'a> {
    version: String,
    size: u32,
    totals: &'a Totals,
    services: Vec<Service<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    #[serde(flatten)]
    id: ServiceId,
    scheduler: &'a str,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence: Option<Sticky<'a>>,
    one_packet: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_mark: Option<Label>,
    stats: Stats,
    local_addresses: &'a [Laddr],
    destinations: Vec<Destination>,
}

#[derive(Serialize)]
struct Sticky<'a> {
    #[serde(flatten)]
    how: Persistence,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    engine: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct Destination {
    #[serde(flatten)]
    endpoint: Endpoint,
    forward: Method,
    weight: u32,
    upper_threshold: u32,
    lower_threshold: u32,
    active_connections: u32,
    inactive_connections: u32,
    persistent_connections: u32,
    stats: Stats,
}

#[derive(Serialize)]
struct Connection<'a> {
    protocol: Proto,
    forward: Method,
    state: &'a str,
    expires: u32,
    client: Endpoint,
    #[serde(rename = "virtual")]
    virt: Endpoint,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<Endpoint>,
    destination: Endpoint,
    template: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Call<'a>>,
}

#[derive(Serialize)]
struct Module<'a> {
    module_version: &'a str,
    version: String,
    size: u32,
    connections: u64,
    connections_max: u64,
    refused_limit: u64,
    refused_ports: u64,
    refused_memory: u64,
    displaced_over: u64,
    displaced_half_open: u64,
    displaced_one_way: u64,
    displaced_unconfirmed: u64,
    displaced_templates: u64,
    upkeep_runs: u64,
    early_path: &'static str,
    early: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct LocalAddresses<'a> {
    #[serde(flatten)]
    id: ServiceId,
    local_addresses: &'a [Laddr],
}

/// All services, with the version and the size that ipvsadm prints above them.
pub fn table(info: &Info, totals: &Totals, entries: &[Entry]) -> String {
    print(&Table {
        version: info.ipvs_version(),
        size: info.table_size,
        totals,
        services: entries.iter().map(service).collect(),
    })
}

fn service(entry: &Entry) -> Service<'_> {
    let service = &entry.service;
    Service {
        id: service.id,
        scheduler: &service.scheduler,
        flags: flags::names(service.flags, &service.scheduler),
        persistence: service.persistence.map(|how| Sticky {
            how,
            engine: service.engine.as_deref(),
        }),
        one_packet: service.is_one_packet(),
        set_mark: service.label,
        stats: service.stats,
        local_addresses: &entry.laddrs,
        destinations: entry.dests.iter().map(destination).collect(),
    }
}

fn destination(dest: &Dest) -> Destination {
    Destination {
        endpoint: dest.endpoint,
        forward: dest.method,
        weight: dest.weight,
        upper_threshold: dest.upper,
        lower_threshold: dest.lower,
        active_connections: dest.active,
        inactive_connections: dest.inactive,
        persistent_connections: dest.persistent,
        stats: dest.stats,
    }
}

/// The connections.
pub fn connections(conns: &[Conn]) -> String {
    print(&conns.iter().map(connection).collect::<Vec<_>>())
}

fn connection(conn: &Conn) -> Connection<'_> {
    Connection {
        protocol: conn.protocol,
        forward: conn.method,
        state: &conn.state,
        expires: conn.expires,
        client: conn.client,
        virt: conn.virt,
        local: conn.local,
        destination: conn.dest,
        template: conn.template,
        call: conn
            .engine
            .as_ref()
            .map(|(engine, data)| Call { engine, data }),
    }
}

/// What all services have counted together.
pub fn totals(totals: &Totals) -> String {
    print(totals)
}

/// The time-outs in seconds.
pub fn timeouts(timeouts: &Timeouts) -> String {
    print(timeouts)
}

/// The module.
pub fn info(info: &Info) -> String {
    print(&Module {
        module_version: &info.module_version,
        version: info.ipvs_version(),
        size: info.table_size,
        connections: info.conns,
        connections_max: info.conn_max,
        refused_limit: info.drop_limit,
        refused_ports: info.drop_ports,
        refused_memory: info.drop_nomem,
        displaced_over: info.displaced_over,
        displaced_half_open: info.displaced_half_open,
        displaced_one_way: info.displaced_one_way,
        displaced_unconfirmed: info.displaced_unconfirmed,
        displaced_templates: info.displaced_templates,
        upkeep_runs: info.upkeep_runs,
        early_path: match info.early {
            early::ON => "on",
            early::SWITCHED_OFF => "off",
            early::POLICIES => "policies",
            _ => "paused",
        },
        early: late::REASONS.into_iter().zip(info.late).collect(),
    })
}

/// The services' local addresses.
pub fn laddrs(entries: &[Entry]) -> String {
    let local = |entry| {
        let Entry {
            service, laddrs, ..
        }: &Entry = entry;
        LocalAddresses {
            id: service.id,
            local_addresses: laddrs,
        }
    };
    print(&entries.iter().map(local).collect::<Vec<_>>())
}

/// # Panics
/// Never: what is printed here has no map whose keys are not strings, and writing to a string does not fail.
fn print(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain values are JSON");
    text.push('\n');
    text
}
