// SPDX-License-Identifier: GPL-2.0

//! The header behind the IP header: ports and flags.

use super::{be16, short, Addr, Context, Parsed, Tuple};
use crate::proto;

/// Bytes of a packet that an ICMP error has to quote behind the IP header (RFC 792).
const QUOTED: usize = 8;

/// What the IP header of a packet told, for the parser of what follows.
#[derive(Clone, Copy)]
pub(crate) struct Ip<A> {
    pub(crate) src: A,
    pub(crate) dst: A,
    pub(crate) proto: u8,
    pub(crate) l4: usize,
    pub(crate) ttl: u8,
}

/// Parses the protocol's header in a packet of `len` bytes.
#[inline(always)]
pub(crate) fn parse<A: Addr>(bytes: &[u8], len: usize, ip: Ip<A>) -> Parsed<A> {
    let Some(need) = proto::header_len(ip.proto) else {
        return Parsed::Other;
    };
    let Some(end) = ip.l4.checked_add(need) else {
        return Parsed::Other;
    };
    if bytes.len() < end {
        return short(end, len);
    }
    context(bytes, ip).map_or(Parsed::Other, Parsed::Flow)
}

/// Parses as much of the header as an ICMP error has to quote.
pub(crate) fn parse_quoted<A: Addr>(bytes: &[u8], len: usize, ip: Ip<A>) -> Parsed<A> {
    let Some(end) = ip.l4.checked_add(QUOTED) else {
        return Parsed::Other;
    };
    if !proto::is_known(ip.proto) {
        return Parsed::Other;
    }
    if bytes.len() < end {
        return short(end, len);
    }
    context(bytes, ip).map_or(Parsed::Other, Parsed::Flow)
}

#[inline(always)]
fn context<A: Addr>(bytes: &[u8], ip: Ip<A>) -> Option<Context<A>> {
    let flags = match proto::flags_at(ip.proto) {
        Some(at) => bytes.get(ip.l4.wrapping_add(at)).copied().unwrap_or(0),
        None => 0,
    };
    Some(Context {
        tuple: Tuple {
            src: ip.src,
            dst: ip.dst,
            sport: be16(bytes, ip.l4)?,
            dport: be16(bytes, ip.l4.wrapping_add(2))?,
        },
        proto: ip.proto,
        l4: ip.l4,
        flags,
        ttl: ip.ttl,
    })
}
