// SPDX-License-Identifier: GPL-2.0

//! IPv6 packets (RFC 8200).

use core::net::Ipv6Addr;

use super::l4::{self, Ip};
use super::{be16, short, Addr, Context, Parsed};

/// Bytes of the fixed header.
pub(crate) const HEADER: usize = 40;
/// Offset of the hop limit.
pub(crate) const HOP_LIMIT: usize = 7;
/// Offset of the next header's number.
pub(crate) const NEXT: usize = 6;
/// Extension headers that a packet may have before it is none of ours.
const MAX_EXTENSIONS: usize = 8;
/// More fragments, or an offset that is not zero.
const FRAGMENTED: u16 = 0xfff9;
/// The offset alone.
const OFFSET: u16 = 0xfff8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Parses a packet as nearly all are: no extension headers. `None`: another one, or not
/// enough of it can be read.
#[inline(always)]
pub(crate) fn parse_plain(bytes: &[u8]) -> Option<Context<Ipv6Addr>> {
    let ip = read(bytes.first_chunk::<HEADER>()?, HEADER)?;
    l4::parse(bytes, bytes.len(), ip).flow()
}

/// Parses the packet that an ICMPv6 error quotes at `at`, whole or a first fragment.
pub(crate) fn parse_quoted(bytes: &[u8], at: usize, len: usize) -> Parsed<Ipv6Addr> {
    match header_of(bytes, at, len, OFFSET) {
        Ok(ip) => l4::parse_quoted(bytes, len, ip),
        Err(Parsed::Fragment) => Parsed::Other,
        Err(parsed) => parsed,
    }
}

/// The header at `at`, with the extension headers behind it skipped.
#[inline(always)]
pub(crate) fn header(
    bytes: &[u8],
    at: usize,
    len: usize,
) -> Result<Ip<Ipv6Addr>, Parsed<Ipv6Addr>> {
    header_of(bytes, at, len, FRAGMENTED)
}

/// The same; a fragment with any of the bits `cut` in its word is none of ours.
#[inline(always)]
fn header_of(
    bytes: &[u8],
    at: usize,
    len: usize,
    cut: u16,
) -> Result<Ip<Ipv6Addr>, Parsed<Ipv6Addr>> {
    let end = at.checked_add(HEADER).ok_or(Parsed::Other)?;
    if bytes.len() < end {
        return Err(short(end, len));
    }
    let ip = read(bytes.get(at..).unwrap_or(&[]), end).ok_or(Parsed::Other)?;
    if !is_extension(ip.proto) {
        return Ok(ip);
    }
    skip_extensions(bytes, len, ip, cut)
}

#[inline(always)]
fn read(header: &[u8], l4: usize) -> Option<Ip<Ipv6Addr>> {
    if *header.first()? >> 4 != 6 {
        return None;
    }
    Some(Ip {
        src: Ipv6Addr::read(header.get(8..24)?)?,
        dst: Ipv6Addr::read(header.get(24..40)?)?,
        proto: *header.get(6)?,
        l4,
        ttl: *header.get(HOP_LIMIT)?,
    })
}

#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

/// Walks to the upper-layer header; a fragment with any of the bits `cut` ends the walk.
fn skip_extensions(
    bytes: &[u8],
    len: usize,
    mut ip: Ip<Ipv6Addr>,
    cut: u16,
) -> Result<Ip<Ipv6Addr>, Parsed<Ipv6Addr>> {
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(ip.proto) {
            return Ok(ip);
        }
        let end = ip.l4.checked_add(8).ok_or(Parsed::Other)?;
        if bytes.len() < end {
            return Err(short(end, len));
        }
        let rest = bytes.get(ip.l4..).unwrap_or(&[]);
        let length = extension_length(ip.proto, rest, cut)?;
        ip.proto = rest.first().copied().ok_or(Parsed::Other)?;
        ip.l4 = ip.l4.checked_add(length).ok_or(Parsed::Other)?;
    }
    Err(Parsed::Other)
}

/// Bytes of the extension header `kind` that `header` starts with.
fn extension_length(kind: u8, header: &[u8], cut: u16) -> Result<usize, Parsed<Ipv6Addr>> {
    if kind != FRAGMENT {
        let units = header.get(1).copied().ok_or(Parsed::Other)?;
        return Ok(usize::from(units).wrapping_add(1).wrapping_mul(8));
    }
    match be16(header, 2) {
        Some(word) if word & cut == 0 => Ok(8),
        _ => Err(Parsed::Fragment),
    }
}
