// SPDX-License-Identifier: GPL-2.0
//! Saved rules: as ipvsadm writes them, and read back to what they were written from.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::address::{Endpoint, Family, ServiceId};
use crate::command::{Change, ServerRule, ServiceRule};
use crate::label::Label;
use crate::model::{Service, Stats};
use crate::persistence::{Mask, Persistence};
use crate::protocol::Proto;
use crate::restore::{self, Rule};
use crate::testing::{endpoint, Table};

fn service(at: &str, scheduler: &str, flags: u32) -> Service {
    Service {
        id: ServiceId::At {
            protocol: Proto::Tcp,
            endpoint: endpoint(at),
        },
        scheduler: scheduler.to_owned(),
        flags,
        persistence: None,
        engine: None,
        label: None,
        stats: Stats::default(),
    }
}

fn dest(endpoint: Endpoint, method: Method, weight: u32, upper: u32, lower: u32) -> Dest {
    Dest {
        endpoint,
        method,
        weight,
        upper,
        lower,
        active: 1,
        inactive: 2,
        persistent: 3,
        stats: Stats::default(),
    }
}

fn entry(at: &str, scheduler: &str, flags: u32, dests: Vec<Dest>) -> Entry {
    Entry {
        service: service(at, scheduler, flags),
        dests,
        laddrs: Vec::new(),
    }
}

#[test]
fn rules_are_those_of_ipvsadm() {
    let dests = vec![
        dest(endpoint("10.0.1.2:8080"), Method::Masq, 1, 0, 0),
        dest(endpoint("10.0.1.3:80"), Method::Tunnel, 65535, 0, 0),
        dest(endpoint("10.0.1.4:80"), Method::Route, 0, 0, 0),
        dest(endpoint("10.0.1.5:80"), Method::Local, 1, 0, 0),
    ];
    let entries = [
        entry("10.0.0.1:80", "rr", 2, dests),
        entry("[fd00::1]:443", "sh", 0x1a, vec![]),
        entry("10.0.0.1:81", "wrr", 0x38, vec![]),
    ];
    let expected = "\
-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 1
-a -t 10.0.0.1:80 -r 10.0.1.3:80 -i -w 65535 --tun-type ipip
-a -t 10.0.0.1:80 -r 10.0.1.4:80 -g -w 0
-a -t 10.0.0.1:80 -r 10.0.1.5:80 -g -w 1
-A -t [fd00::1]:443 -s sh -b sh-fallback,sh-port
-A -t 10.0.0.1:81 -s wrr -b flag-1,flag-2,flag-3
";
    assert_eq!(rules(&entries, true, &Table), expected);
}

#[test]
fn persistence_is_saved() {
    let persistent = |at, timeout, mask, flags| {
        let mut entry = entry(at, "rr", flags, vec![]);
        entry.service.persistence = Some(Persistence { timeout, mask });
        entry
    };
    let entries = [
        persistent("10.0.0.1:80", 360, Mask::V4([255; 4].into()), 3),
        persistent("10.0.0.1:0", 5, Mask::V4([255, 255, 255, 0].into()), 0xf),
        persistent("[fd00::1]:443", 5, Mask::V6(64), 3),
    ];
    let expected = "\
-A -t 10.0.0.1:80 -s rr -p 360
-A -t 10.0.0.1:0 -s rr -p 5 -M 255.255.255.0 -o -b flag-1
-A -t [fd00::1]:443 -s rr -p 5 -M 64
";
    assert_eq!(rules(&entries, true, &Table), expected);
}

#[test]
fn rules_have_names_unless_numeric() {
    let dests = vec![dest(endpoint("10.0.1.2:80"), Method::Masq, 1, 0, 0)];
    let entries = [entry("10.0.0.1:80", "rr", 2, dests)];
    let expected = "\
-A -t vip.example.com:http -s rr
-a -t vip.example.com:http -r a-rather-long-host-name-for-a-server.example.com:http -m -w 1
";
    assert_eq!(rules(&entries, false, &Table), expected);
}

#[test]
fn local_addresses_come_before_those_who_need_them() {
    let laddr = Laddr {
        address: IpAddr::from([10, 0, 1, 1]),
        conns: 1,
        exhausted: 2,
    };
    let dests = vec![dest(endpoint("10.0.1.2:8080"), Method::FullNat, 1, 20, 10)];
    let entries = [Entry {
        laddrs: vec![laddr],
        ..entry("10.0.0.1:80", "rr", 2, dests)
    }];
    let expected = "\
-A -t 10.0.0.1:80 -s rr
-P -t 10.0.0.1:80 -z 10.0.1.1
-a -t 10.0.0.1:80 -r 10.0.1.2:8080 --fullnat -w 1 -x 20 -y 10
";
    assert_eq!(rules(&entries, true, &Table), expected);
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let addresses = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (addresses, any::<u16>()).prop_map(|(address, port)| Endpoint { address, port })
}

fn ids() -> impl Strategy<Value = ServiceId> {
    let protocols = prop_oneof![Just(Proto::Tcp), Just(Proto::Udp)];
    let at = (protocols, endpoints())
        .prop_map(|(protocol, endpoint)| ServiceId::At { protocol, endpoint });
    let families = prop_oneof![Just(Family::IPv4), Just(Family::IPv6)];
    let marks = (1u32.., families).prop_map(|(mark, family)| ServiceId::Mark { mark, family });
    prop_oneof![at, marks]
}

/// Schedulers with the flags that each can have.
fn schedulers() -> impl Strategy<Value = (String, u32)> {
    let hash = prop_oneof![Just("sh"), Just("mh")].prop_map(str::to_owned);
    let two = (0u32..4).prop_map(|bits| bits << 3);
    let three = (0u32..8).prop_map(|bits| bits << 3);
    prop_oneof![(hash, two), ("[a-z]{3,15}", three)]
}

/// A destination of a service with this port, which those that are not NAT have too.
fn dests(port: u16) -> impl Strategy<Value = Dest> {
    let methods = prop_oneof![
        Just(Method::Masq),
        Just(Method::Tunnel),
        Just(Method::Route),
        Just(Method::FullNat),
    ];
    let numbers = [
        0..=i32::MAX as u32,
        0..=i32::MAX as u32,
        0..=i32::MAX as u32,
    ];
    (endpoints(), methods, numbers).prop_map(move |(at, method, [weight, upper, lower])| {
        let own = matches!(method, Method::Masq | Method::FullNat);
        let port = if own { at.port } else { port };
        dest(Endpoint { port, ..at }, method, weight, upper, lower)
    })
}

fn persistence() -> impl Strategy<Value = Option<(u32, [u8; 4], u32, bool)>> {
    prop::option::of((
        1..=2_678_400_u32,
        any::<[u8; 4]>(),
        1..=128_u32,
        any::<bool>(),
    ))
}

fn entries() -> impl Strategy<Value = Entry> {
    (ids(), schedulers(), persistence()).prop_flat_map(|(id, (scheduler, flags), how)| {
        let engine = how.filter(|(.., calls)| *calls).map(|_| "sip".to_owned());
        let persistence = how.map(|(timeout, mask, prefix, _)| {
            let mask = match id.family() {
                Family::IPv4 => Mask::V4(mask.into()),
                Family::IPv6 => Mask::V6(prefix),
            };
            Persistence { timeout, mask }
        });
        let laddrs = prop::collection::vec(endpoints(), 0..3);
        let dests = prop::collection::vec(dests(id.port()), 0..4);
        (laddrs, dests).prop_map(move |(laddrs, dests)| Entry {
            service: Service {
                id,
                persistence,
                engine: engine.clone(),
                label: label(flags),
                ..service("10.0.0.1:80", &scheduler, flags)
            },
            dests,
            laddrs: laddrs.into_iter().map(laddr).collect(),
        })
    })
}

/// Some have one.
fn label(flags: u32) -> Option<Label> {
    (flags != 0).then_some(Label {
        value: flags << 8,
        mask: 0xffff,
    })
}

fn laddr(endpoint: Endpoint) -> Laddr {
    Laddr {
        address: endpoint.address,
        conns: 0,
        exhausted: 0,
    }
}

/// The changes that make what is listed.
fn changes(entry: &Entry) -> Vec<Change> {
    let id = entry.service.id;
    let service = Change::AddService(ServiceRule {
        id,
        scheduler: entry.service.scheduler.clone(),
        flags: entry.service.flags,
        persistence: entry.service.persistence,
        engine: entry.service.engine.clone(),
        label: entry.service.label,
        unused_mask: false,
    });
    let laddrs = entry.laddrs.iter();
    let laddrs = laddrs.map(|laddr| Change::AddLaddr(id, laddr.address));
    let dests = entry.dests.iter().map(|dest| {
        let rule = ServerRule {
            endpoint: dest.endpoint,
            method: dest.method,
            weight: dest.weight,
            upper: dest.upper,
            lower: dest.lower,
            unused_port: None,
        };
        Change::AddServer(id, rule)
    });
    std::iter::once(service)
        .chain(laddrs)
        .chain(dests)
        .collect()
}

proptest! {
    #[test]
    fn saved_rules_are_read_back_as_they_were(entries in prop::collection::vec(entries(), 0..3)) {
        let saved = rules(&entries, true, &Table);
        let read = restore::read(saved.as_bytes(), &Table).unwrap();
        let read: Vec<Change> = read.into_iter().map(|Rule { change, .. }| change).collect();
        prop_assert_eq!(read, entries.iter().flat_map(changes).collect::<Vec<_>>());
    }

    #[test]
    fn no_line_makes_the_reader_panic(line in "[-aAtrRuswzpM0-9:.\\[\\] b,]{0,60}") {
        let _ = restore::read(line.as_bytes(), &Table);
    }
}
