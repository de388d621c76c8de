// SPDX-License-Identifier: GPL-2.0
//! The names of templates, against the rules of IPVS written down one by one.

use crate::engine::{Engine, DATA_MAX};
use crate::proto;
use crate::sched::persist::{among_connections, First, Name, Persistence, Said, Sought};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec::Vec;

/// A few ports that mean something, and others.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0), Just(20), Just(21), Just(80), any::<u16>()]
}

/// Addresses of one family: a client, another one, a virtual address.
fn addrs() -> impl Strategy<Value = [IpAddr; 3]> {
    let v4 = any::<[u32; 3]>().prop_map(|bits| bits.map(|bits| Ipv4Addr::from_bits(bits).into()));
    let v6 = any::<[u128; 3]>().prop_map(|bits| bits.map(|bits| Ipv6Addr::from_bits(bits).into()));
    prop_oneof![v4, v6]
}

/// Bits of a network, counted from the front: a mask for IPv4, a prefix for IPv6.
fn rule(bits: u32, v6: bool) -> Persistence {
    let netmask = match v6 {
        true => bits.to_ne_bytes(),
        false => u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes(),
    };
    Persistence {
        timeout: 300,
        netmask,
        engine: None,
    }
}

fn first(src: IpAddr, dst: IpAddr, dport: u16) -> First {
    First {
        proto: proto::TCP,
        src,
        dst,
        dport,
    }
}

/// An address as a list of bits.
fn bits(addr: IpAddr) -> Vec<bool> {
    let bytes = match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1 != 0));
    bits.collect()
}

/// A key like any other.
const KEY: [u64; 6] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
];

fn digest(name: Name, data: &[u8]) -> Name {
    let engine = Engine::Sip;
    let said = Some(Said { engine, data });
    Sought { name, said }.digest(&KEY)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=DATA_MAX)
}

proptest! {
    #[test]
    fn calls_are_told_apart_by_every_byte_and_by_all_of_the_name(
        [client, other, vip] in addrs(),
        data in data(),
        at in any::<prop::sample::Index>(),
        change in 1..=u8::MAX,
        port in port(),
    ) {
        prop_assume!(client != other);
        let name = rule(32, client.is_ipv6()).name(0, port, &first(client, vip, port));
        let name = Name { client, ..name };
        let mine = digest(name, &data);
        prop_assert_eq!(mine, digest(name, &data));
        prop_assert_eq!(mine.client.is_ipv6(), client.is_ipv6());
        let mut changed = data.clone();
        changed[at.index(data.len())] ^= change;
        let longer = [&data[..], &[0]].concat();
        for data in [&changed[..], &longer, &data[1..]] {
            prop_assert_ne!(mine, digest(name, data));
        }
        for name in [
            Name { client: other, ..name },
            Name { addr: other, ..name },
            Name { port: name.port ^ 1, ..name },
            Name { proto: name.proto ^ 1, ..name },
        ] {
            prop_assert_ne!(mine, digest(name, &data));
        }
    }

    #[test]
    fn outward_a_name_is_what_it_is_inward(
        [client, _, vip] in addrs(),
        length in 1..=32_u32,
        port in 22_u16..,
    ) {
        let rule = rule(length, client.is_ipv6());
        let inward = rule.name(0, port, &first(client, vip, port));
        prop_assert_eq!(rule.name_outward(proto::TCP, client, vip, port), inward);
    }

    #[test]
    fn clients_share_a_template_if_the_mask_does_not_tell_them_apart(
        [one, mut other, vip] in addrs(),
        length in 1..=128_u32,
        same in 0..=128_u32,
        port in port(),
    ) {
        let length = if one.is_ipv6() { length } else { length % 33 };
        // The other shares the first bits with the one.
        other = match (one, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shr(same).unwrap_or(0);
                Ipv4Addr::from_bits(a.to_bits() & !mask | b.to_bits() & mask).into()
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shr(same).unwrap_or(0);
                Ipv6Addr::from_bits(a.to_bits() & !mask | b.to_bits() & mask).into()
            }
            (_, other) => other,
        };
        let rule = rule(length, one.is_ipv6());
        let name = |client| rule.name(0, port, &first(client, vip, port));
        let network = |client| bits(client)[..length as usize].to_vec();
        prop_assert_eq!(name(one) == name(other), network(one) == network(other));
        prop_assert!(bits(name(one).client)[length as usize..].iter().all(|bit| !bit));
    }

    #[test]
    fn a_name_is_that_of_ipvs(
        [client, _, vip] in addrs(),
        mark in prop_oneof![Just(0), any::<u32>()],
        service in port(),
        dport in port(),
        proto in prop::sample::select(&proto::ALL[..]),
    ) {
        let service = if mark == 0 { service } else { 0 };
        let packet = First { proto, ..first(client, vip, dport) };
        let found = rule(if vip.is_ipv6() { 128 } else { 32 }, vip.is_ipv6()).name(mark, service, &packet);
        prop_assert_eq!(found.client, client);
        let at_service = dport == service;
        let port = if at_service && service != 21 { dport } else { 0 };
        prop_assert_eq!(found.port, port);
        if at_service || mark == 0 {
            prop_assert_eq!((found.proto, found.addr), (proto, vip));
        } else {
            let addr = bits(found.addr);
            prop_assert_eq!(found.proto, 0);
            prop_assert!((0..32).all(|at| addr[at] == ((mark >> (31 - at)) & 1 != 0)));
            prop_assert!(addr[32..].iter().all(|bit| !bit));
        }
        prop_assert!(!proto::is_known(among_connections(found.proto)));
    }

    #[test]
    fn all_that_bears_a_mark_has_one_name(
        [client, one, other] in addrs(),
        mark in 1_u32..,
        ports in any::<[u16; 2]>(),
    ) {
        let rule = rule(24, client.is_ipv6());
        let name = |dst, dport: u16| -> Name { rule.name(mark, 0, &first(client, dst, dport.max(1))) };
        prop_assert_eq!(name(one, ports[0]), name(other, ports[1]));
        prop_assert_ne!(name(one, ports[0]), rule.name(mark ^ 1, 0, &first(client, one, ports[0].max(1))));
    }
}
