// SPDX-License-Identifier: GPL-2.0

//! Ports, flags and checksum places of TCP (RFC 9293) and UDP (RFC 768).

use super::{be16, proto, short, Addr, Context, Parsed, Tuple};

/// Offset of the flags byte in a TCP header.
const TCP_FLAGS: usize = 13;
/// Bytes of a TCP header without options.
const TCP_LEN: usize = 20;
/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

/// Offset of the checksum in the protocol's header.
#[inline(always)]
pub(crate) fn check_at(protocol: u8) -> Option<usize> {
    match protocol {
        proto::TCP => Some(16),
        proto::UDP => Some(6),
        _ => None,
    }
}

/// What the IP header of a packet told, for the parser of what follows.
#[derive(Clone, Copy)]
pub(crate) struct Ip<A> {
    pub(crate) src: A,
    pub(crate) dst: A,
    pub(crate) proto: u8,
    pub(crate) l4: usize,
    pub(crate) ttl: u8,
}

/// Parses the TCP or UDP header of a packet of `len` bytes.
#[inline(always)]
pub(crate) fn parse<A: Addr>(bytes: &[u8], len: usize, ip: Ip<A>) -> Parsed<A> {
    let need = match ip.proto {
        proto::TCP => TCP_LEN,
        proto::UDP => UDP_LEN,
        _ => return Parsed::Other,
    };
    let Some(end) = ip.l4.checked_add(need) else {
        return Parsed::Other;
    };
    if bytes.len() < end {
        return short(end, len);
    }
    context(bytes, ip).map_or(Parsed::Other, Parsed::Flow)
}

/// Parses as much of the header as an ICMP error has to quote: eight bytes.
pub(crate) fn parse_quoted<A: Addr>(bytes: &[u8], len: usize, ip: Ip<A>) -> Parsed<A> {
    let Some(end) = ip.l4.checked_add(8) else {
        return Parsed::Other;
    };
    if !matches!(ip.proto, proto::TCP | proto::UDP) {
        return Parsed::Other;
    }
    if bytes.len() < end {
        return short(end, len);
    }
    context(bytes, ip).map_or(Parsed::Other, Parsed::Flow)
}

#[inline(always)]
fn context<A: Addr>(bytes: &[u8], ip: Ip<A>) -> Option<Context<A>> {
    let flags_at = ip.l4.wrapping_add(TCP_FLAGS);
    let flags = match ip.proto {
        proto::TCP => bytes.get(flags_at).copied().unwrap_or(0),
        _ => 0,
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
