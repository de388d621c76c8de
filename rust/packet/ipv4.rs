// SPDX-License-Identifier: GPL-2.0

//! IPv4 packets (RFC 791).

use core::net::Ipv4Addr;

use super::l4::{self, Ip};
use super::{be16, csum, put16, short, Addr, Context, Parsed};

/// Bytes of a header without options.
pub(crate) const HEADER: usize = 20;
/// Offset of type of service.
pub(crate) const TOS: usize = 1;
/// Offset of flags and fragment offset.
pub(crate) const FRAGMENT: usize = 6;
/// Offset of the TTL.
pub(crate) const TTL: usize = 8;
/// Offset of the protocol.
pub(crate) const PROTOCOL: usize = 9;
/// Offset of the header checksum.
pub(crate) const CHECK: usize = 10;
/// The flag "don't fragment".
pub(crate) const DF: u16 = 0x4000;
/// More fragments, or an offset that is not zero.
const FRAGMENTED: u16 = 0x3fff;
/// The offset alone.
const OFFSET: u16 = 0x1fff;

/// Parses a packet as nearly all are: no options, no fragment. `None`: another one, or
/// not enough of it can be read.
#[inline(always)]
pub(crate) fn parse_plain(bytes: &[u8]) -> Option<Context<Ipv4Addr>> {
    let (ip, fragment) = read(bytes.first_chunk::<HEADER>()?, 0)?;
    if ip.l4 != HEADER || is_fragment(fragment) {
        return None;
    }
    l4::parse(bytes, bytes.len(), Ip { l4: HEADER, ..ip }).flow()
}

/// Parses the packet that an ICMP error quotes at `at`.
pub(crate) fn parse_quoted(bytes: &[u8], at: usize, len: usize) -> Parsed<Ipv4Addr> {
    match header(bytes, at, len) {
        Ok((ip, fragment)) if fragment & OFFSET == 0 => l4::parse_quoted(bytes, len, ip),
        Ok(_) => Parsed::Other,
        Err(parsed) => parsed,
    }
}

/// The header at `at` and its fragment word.
#[inline(always)]
pub(crate) fn header(
    bytes: &[u8],
    at: usize,
    len: usize,
) -> Result<(Ip<Ipv4Addr>, u16), Parsed<Ipv4Addr>> {
    let end = at.checked_add(HEADER).ok_or(Parsed::Other)?;
    if bytes.len() < end {
        return Err(short(end, len));
    }
    read(bytes.get(at..).unwrap_or(&[]), at).ok_or(Parsed::Other)
}

#[inline(always)]
fn read(header: &[u8], at: usize) -> Option<(Ip<Ipv4Addr>, u16)> {
    let first = *header.first()?;
    if first >> 4 != 4 {
        return None;
    }
    let ihl = length(header)?;
    let ip = Ip {
        src: Ipv4Addr::read(header.get(12..16)?)?,
        dst: Ipv4Addr::read(header.get(16..20)?)?,
        proto: *header.get(9)?,
        l4: at.checked_add(ihl)?,
        ttl: *header.get(TTL)?,
    };
    Some((ip, be16(header, FRAGMENT)?))
}

/// Bytes of the header that `bytes` starts with, options and all; `None`: there is none.
#[inline(always)]
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let words = usize::from(bytes.first()? & 0xf);
    let length = words.wrapping_mul(4);
    (length >= HEADER).then_some(length)
}

/// Makes the checksum of a header, which `header` is, anew.
#[cold]
pub(super) fn seal(header: &mut [u8]) -> Option<()> {
    put16(header, CHECK, 0)?;
    let check = csum::checksum(header);
    put16(header, CHECK, check)
}

/// Whether a packet with this fragment word is only a part of one.
#[inline(always)]
pub(super) fn is_fragment(word: u16) -> bool {
    word & FRAGMENTED != 0
}

/// Whether the packet must not be fragmented.
pub(crate) fn dont_fragment(bytes: &[u8]) -> bool {
    be16(bytes, FRAGMENT).is_some_and(|word| word & DF != 0)
}
