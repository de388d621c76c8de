// SPDX-License-Identifier: GPL-2.0

//! Tests of parsing and rewriting against packets that are built and summed up in full.

use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::csum::checksum;
use super::tunnel::Inner;
use super::*;

/// What a test packet consists of.
#[derive(Clone, Debug)]
struct Spec {
    proto: u8,
    payload: Vec<u8>,
    options: usize,
}

fn spec() -> impl Strategy<Value = Spec> {
    let proto = prop_oneof![Just(proto::TCP), Just(proto::UDP)];
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    (proto, payload, 0usize..4).prop_map(|(proto, payload, options)| Spec {
        proto,
        payload,
        options,
    })
}

fn tuple4() -> impl Strategy<Value = Tuple<Ipv4Addr>> {
    any::<(u32, u32, u16, u16)>().prop_map(|(src, dst, sport, dport)| Tuple {
        src: src.into(),
        dst: dst.into(),
        sport,
        dport,
    })
}

fn tuple6() -> impl Strategy<Value = Tuple<Ipv6Addr>> {
    any::<(u128, u128, u16, u16)>().prop_map(|(src, dst, sport, dport)| Tuple {
        src: src.into(),
        dst: dst.into(),
        sport,
        dport,
    })
}

/// A family that packets can be built for.
trait Build: Parse + core::fmt::Debug {
    fn header(spec: &Spec, l4: usize, t: &Tuple<Self>) -> Vec<u8>;
    fn octets(self) -> Vec<u8>;
    fn icmp(t: &Tuple<Self>, quoted: &[u8]) -> Vec<u8>;
}

impl Build for Ipv4Addr {
    fn header(spec: &Spec, l4: usize, t: &Tuple<Self>) -> Vec<u8> {
        let ihl = 5 + spec.options;
        let mut h = vec![0u8; ihl * 4];
        h[0] = 0x40 | ihl as u8;
        put16(&mut h, 2, (ihl * 4 + l4) as u16).unwrap();
        h[8] = 64;
        h[9] = spec.proto;
        h[12..16].copy_from_slice(&Ipv4Addr::octets(&t.src));
        h[16..20].copy_from_slice(&Ipv4Addr::octets(&t.dst));
        let check = checksum(&h);
        put16(&mut h, ipv4::CHECK, check).unwrap();
        h
    }

    fn octets(self) -> Vec<u8> {
        Ipv4Addr::octets(&self).to_vec()
    }

    fn icmp(t: &Tuple<Self>, quoted: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3, 0, 0, 0, 0, 0, 0];
        body.extend_from_slice(quoted);
        let check = checksum(&body);
        put16(&mut body, 2, check).unwrap();
        let spec = Spec {
            proto: number::ICMP,
            payload: vec![],
            options: 0,
        };
        let mut packet = Self::header(&spec, body.len(), t);
        packet.extend(body);
        packet
    }
}

impl Build for Ipv6Addr {
    fn header(spec: &Spec, l4: usize, t: &Tuple<Self>) -> Vec<u8> {
        let mut h = vec![0u8; 40];
        h[0] = 0x60;
        put16(&mut h, 4, (spec.options * 8 + l4) as u16).unwrap();
        h[7] = 64;
        h[8..24].copy_from_slice(&Ipv6Addr::octets(&t.src));
        h[24..40].copy_from_slice(&Ipv6Addr::octets(&t.dst));
        let mut next = 6;
        for _ in 0..spec.options {
            h[next] = 60;
            next = h.len();
            h.extend_from_slice(&[0, 0, 1, 4, 0, 0, 0, 0]);
        }
        h[next] = spec.proto;
        h
    }

    fn octets(self) -> Vec<u8> {
        Ipv6Addr::octets(&self).to_vec()
    }

    fn icmp(t: &Tuple<Self>, quoted: &[u8]) -> Vec<u8> {
        let mut body = vec![1, 4, 0, 0, 0, 0, 0, 0];
        body.extend_from_slice(quoted);
        let check = pseudo_sum(t, number::ICMPV6, &body);
        put16(&mut body, 2, check).unwrap();
        let spec = Spec {
            proto: number::ICMPV6,
            payload: vec![],
            options: 0,
        };
        let mut packet = Self::header(&spec, body.len(), t);
        packet.extend(body);
        packet
    }
}

/// The checksum over the pseudo header and `body`, in which the field counts as it stands.
fn pseudo_sum<A: Build>(t: &Tuple<A>, protocol: u8, body: &[u8]) -> u16 {
    let mut all = t.src.octets();
    all.extend(t.dst.octets());
    all.extend((body.len() as u32).to_be_bytes());
    all.extend([0, protocol]);
    all.extend_from_slice(body);
    checksum(&all)
}

/// The bare sum over the pseudo header, as `CHECKSUM_PARTIAL` leaves it.
fn partial_sum<A: Build>(t: &Tuple<A>, protocol: u8, length: usize) -> u16 {
    let mut all = t.src.octets();
    all.extend(t.dst.octets());
    all.extend((length as u32).to_be_bytes());
    all.extend([0, protocol]);
    !checksum(&all)
}

fn segment<A: Build>(spec: &Spec, t: &Tuple<A>) -> Vec<u8> {
    let length = if spec.proto == proto::TCP { 20 } else { 8 };
    let mut body = vec![0u8; length];
    put16(&mut body, 0, t.sport).unwrap();
    put16(&mut body, 2, t.dport).unwrap();
    if spec.proto == proto::TCP {
        body[12] = 0x50;
        body[13] = 0x12;
    } else {
        put16(&mut body, 4, (8 + spec.payload.len()) as u16).unwrap();
    }
    body.extend_from_slice(&spec.payload);
    let check = pseudo_sum(t, spec.proto, &body);
    put_two(
        &mut body,
        proto::check_at(spec.proto).unwrap(),
        rewrite::nonzero(spec.proto, check.to_be_bytes()),
    )
    .unwrap();
    body
}

fn packet<A: Build>(spec: &Spec, t: &Tuple<A>) -> Vec<u8> {
    let body = segment(spec, t);
    let mut all = A::header(spec, body.len(), t);
    all.extend(body);
    all
}

fn context<A: Build>(bytes: &[u8]) -> Context<A> {
    match A::parse(bytes, bytes.len()) {
        Parsed::Flow(context) => context,
        _ => panic!("not a flow's packet"),
    }
}

/// A header or segment sums up to all ones if its checksum is right.
fn sums_up<A: Build>(bytes: &[u8]) -> bool {
    let c = context::<A>(bytes);
    let header_ok = A::V6 || checksum(&bytes[..c.l4]) == 0;
    header_ok && pseudo_sum(&c.tuple, c.proto, &bytes[c.l4..]) == 0
}

fn rewritten_is_right<A: Build>(spec: &Spec, from: &Tuple<A>, to: &Tuple<A>) {
    let mut bytes = packet(spec, from);
    let c = context::<A>(&bytes);
    assert!(c.tuple == *from);
    assert_eq!(A::parse_plain(&bytes), (spec.options == 0).then_some(c));
    if !A::V6 && spec.options != 0 {
        // The host has written into the options, and nothing into the checksum.
        bytes[c.l4 - 1] ^= 0x55;
    }
    rewrite::rewrite(&mut bytes, &c, to, false, true).unwrap();
    let after = context::<A>(&bytes);
    assert!(after.tuple == *to && after.ttl == 63);
    assert!(sums_up::<A>(&bytes));
    assert_eq!(
        &bytes[bytes.len() - spec.payload.len()..],
        &spec.payload[..]
    );
}

fn partial_is_right<A: Build>(spec: &Spec, from: &Tuple<A>, to: &Tuple<A>) {
    let mut bytes = packet(spec, from);
    let c = context::<A>(&bytes);
    let at = c.l4 + proto::check_at(spec.proto).unwrap();
    let length = bytes.len() - c.l4;
    put16(&mut bytes, at, partial_sum(from, spec.proto, length)).unwrap();
    rewrite::rewrite(&mut bytes, &c, to, true, false).unwrap();
    let (got, want) = (
        be16(&bytes, at).unwrap(),
        partial_sum(to, spec.proto, length),
    );
    // 0 and 0xffff are the same number in one's complement.
    assert!(got == want || (got ^ want == 0xffff && (got == 0 || want == 0)));
}

fn error_is_right<A: Build>(
    spec: &Spec,
    outer: &Tuple<A>,
    from: &Tuple<A>,
    to: &Tuple<A>,
    cut: usize,
) {
    let mut quoted = packet(spec, from);
    let least = context::<A>(&quoted).l4 + 8;
    quoted.truncate(least.max(quoted.len().saturating_sub(cut)));
    let whole = quoted.len();
    let mut bytes = A::icmp(outer, &quoted);
    let Parsed::Error(quote) = A::parse(&bytes, bytes.len()) else {
        panic!("not an error");
    };
    assert!(quote.context.tuple == *from && quote.src == outer.src);
    let reach = quote.reach(bytes.len());
    quote
        .translate(&mut bytes[..reach], to.dst, to.src, to)
        .unwrap();
    let Parsed::Error(after) = A::parse(&bytes, bytes.len()) else {
        panic!("no error any more");
    };
    assert!(after.context.tuple == *to && after.src == to.dst);
    let body = &bytes[quote.icmp..];
    let t = Tuple {
        src: to.dst,
        dst: to.src,
        sport: 0,
        dport: 0,
    };
    let sum = if A::V6 {
        pseudo_sum(&t, number::ICMPV6, body)
    } else {
        checksum(body)
    };
    assert_eq!(sum, 0);
    if whole == packet(spec, from).len() {
        assert!(sums_up::<A>(&bytes[quote.inner..]));
    }
}

proptest! {
    #[test]
    fn rewrites4(spec in spec(), from in tuple4(), to in tuple4()) {
        rewritten_is_right(&spec, &from, &to);
    }

    #[test]
    fn rewrites6(spec in spec(), from in tuple6(), to in tuple6()) {
        rewritten_is_right(&spec, &from, &to);
    }

    #[test]
    fn rewrites_partial_sums(spec in spec(), a in tuple4(), b in tuple4(), c in tuple6(), d in tuple6()) {
        partial_is_right(&spec, &a, &b);
        partial_is_right(&spec, &c, &d);
    }

    #[test]
    fn translates_errors4(spec in spec(), outer in tuple4(), from in tuple4(), to in tuple4(), cut in 0usize..80) {
        error_is_right(&spec, &outer, &from, &to, cut);
    }

    #[test]
    fn translates_errors6(spec in spec(), outer in tuple6(), from in tuple6(), to in tuple6(), cut in 0usize..80) {
        error_is_right(&spec, &outer, &from, &to, cut);
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..160), v6 in any::<bool>(), extra in 0usize..64) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = if v6 { 0x60 | (*first & 0xf) } else { 0x40 | (*first & 0xf) };
        }
        let len = bytes.len() + extra;
        let parsed = Ipv4Addr::parse(&bytes, len);
        check_bounds(&mut bytes, len, parsed);
        let parsed = Ipv6Addr::parse(&bytes, len);
        check_bounds(&mut bytes, len, parsed);
    }

    #[test]
    fn outer_headers_sum_up(src in any::<u32>(), dst in any::<u32>(), tos in any::<u8>(), ttl in any::<u8>(), df in any::<bool>(), total in 20u32..70000) {
        let mut header = [0xaau8; 20];
        let inner = Inner { v6: false, tos, ttl, df };
        tunnel::put_ipv4(&mut header, src.into(), dst.into(), inner, total).unwrap();
        prop_assert_eq!(checksum(&header), 0);
        prop_assert_eq!(header[4..6].to_vec(), [0, 0]);
        prop_assert_eq!(header[12..].to_vec(), [src.to_be_bytes(), dst.to_be_bytes()].concat());
        prop_assert_eq!(u16::from_be_bytes([header[2], header[3]]), u16::try_from(total).unwrap_or(0));
        prop_assert_eq!(ipv4::dont_fragment(&header), df);
    }
}

/// What a parser asks for or points at lies inside the packet.
fn check_bounds<A: Addr>(bytes: &mut [u8], len: usize, parsed: Parsed<A>) {
    match parsed {
        Parsed::Short(need) => assert!(need > bytes.len() && need <= len),
        Parsed::Flow(c) => {
            assert!(c.l4 + 8 <= bytes.len());
            let _ = rewrite::rewrite(bytes, &c, &c.tuple.reversed(), false, true);
        }
        Parsed::Error(quote) => {
            assert!(quote.context.l4 + 8 <= bytes.len());
            let _ = quote.translate(bytes, quote.src, quote.src, &quote.context.tuple.reversed());
        }
        Parsed::TunnelError(quote) => assert!(quote.inner < bytes.len()),
        Parsed::Fragment | Parsed::Other => {}
    }
}

#[test]
fn udp_without_checksum_stays_so() {
    let spec = Spec {
        proto: proto::UDP,
        payload: vec![1, 2, 3],
        options: 0,
    };
    let t = Tuple {
        src: Ipv4Addr::new(10, 0, 0, 1),
        dst: Ipv4Addr::new(10, 0, 0, 2),
        sport: 1,
        dport: 2,
    };
    let mut bytes = packet(&spec, &t);
    put16(&mut bytes, 26, 0).unwrap();
    let c = context::<Ipv4Addr>(&bytes);
    rewrite::rewrite(&mut bytes, &c, &t.reversed(), false, false).unwrap();
    assert_eq!(be16(&bytes, 26), Some(0));
}

#[test]
fn fragments_are_told_apart() {
    let spec = Spec {
        proto: proto::UDP,
        payload: vec![0; 16],
        options: 0,
    };
    let t = Tuple {
        src: Ipv4Addr::new(10, 0, 0, 1),
        dst: Ipv4Addr::new(10, 0, 0, 2),
        sport: 1,
        dport: 2,
    };
    for (word, fragment) in [
        (0x2000, true),
        (0x0001, true),
        (0x4000, false),
        (0x8000, false),
    ] {
        let mut bytes = packet(&spec, &t);
        put16(&mut bytes, ipv4::FRAGMENT, word).unwrap();
        assert_eq!(
            Ipv4Addr::parse(&bytes, bytes.len()) == Parsed::Fragment,
            fragment
        );
    }
}

#[test]
fn ipv6_fragments_but_the_whole_ones_wait() {
    let t = Tuple {
        src: Ipv6Addr::LOCALHOST,
        dst: Ipv6Addr::LOCALHOST,
        sport: 7,
        dport: 9,
    };
    let spec = Spec {
        proto: proto::UDP,
        payload: vec![0; 8],
        options: 1,
    };
    for (offset, fragment) in [(0u16, false), (1, true), (8, true)] {
        let mut bytes = packet(&spec, &t);
        bytes[6] = 44;
        put16(&mut bytes, 42, offset).unwrap();
        assert_eq!(
            Ipv6Addr::parse(&bytes, bytes.len()) == Parsed::Fragment,
            fragment
        );
        // The first of them is quoted with its ports.
        let error = Ipv6Addr::icmp(&t, &bytes);
        let quoted = matches!(Ipv6Addr::parse(&error, error.len()), Parsed::Error(_));
        assert_eq!(quoted, offset < 8);
    }
}

#[test]
fn congestion_is_not_copied_outside() {
    for (inner, outer) in [
        (0x00, 0x00),
        (0x01, 0x01),
        (0x02, 0x02),
        (0x03, 0x02),
        (0xbb, 0xba),
    ] {
        let mut header = [0u8; 20];
        let about = Inner {
            v6: false,
            tos: inner,
            ttl: 9,
            df: false,
        };
        let addr = Ipv4Addr::LOCALHOST;
        tunnel::put_ipv4(&mut header, addr, addr, about, 100).unwrap();
        assert_eq!(header[1], outer);
    }
}
