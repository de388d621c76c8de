// SPDX-License-Identifier: GPL-2.0

//! Changing addresses, ports and TTL in place, checksums kept right.

use super::csum::Delta;
use super::{be16, ipv4, ipv6, l4, proto, put16, Addr, Context, Tuple};

/// Gives the packet the addresses and ports of `to`.
///
/// `bytes` starts at the IP header and reaches past the checksum of `context`'s
/// protocol. `partial` says that the device is to complete that checksum, so that
/// it holds only the sum of the pseudo header. `None`: the packet is too short and
/// may be half changed; drop it.
#[inline(always)]
pub(crate) fn rewrite<A: Addr>(
    bytes: &mut [u8],
    context: &Context<A>,
    to: &Tuple<A>,
    partial: bool,
) -> Option<()> {
    let addresses = put_addresses(bytes, 0, to.src, to.dst)?;
    let ports = put_ports(bytes, context.l4, to)?;
    let at = context.l4.checked_add(l4::check_at(context.proto)?)?;
    let check = be16(bytes, at)?;
    if partial {
        return put16(bytes, at, addresses.apply_partial(check));
    }
    if context.proto == proto::UDP && check == 0 {
        // The sender sent no checksum, and none it stays (RFC 768).
        return Some(());
    }
    let check = addresses.and(ports).apply(check);
    put16(bytes, at, udp_nonzero(context.proto, check))
}

/// UDP writes a checksum of 0 as 0xffff, 0 being "none".
#[inline(always)]
pub(crate) fn udp_nonzero(protocol: u8, check: u16) -> u16 {
    if protocol == proto::UDP && check == 0 {
        0xffff
    } else {
        check
    }
}

/// Sets both addresses of the IP header at `at`, and its checksum if it has one.
///
/// Returns what the addresses' change does to a pseudo header's sum.
#[inline(always)]
pub(crate) fn put_addresses<A: Addr>(bytes: &mut [u8], at: usize, src: A, dst: A) -> Option<Delta> {
    let from = at.checked_add(A::SRC)?;
    let middle = from.checked_add(A::LEN)?;
    let end = middle.checked_add(A::LEN)?;
    let delta = put_addr(bytes.get_mut(from..middle)?, src)?
        .and(put_addr(bytes.get_mut(middle..end)?, dst)?);
    if !A::V6 {
        let check_at = at.checked_add(ipv4::CHECK)?;
        let check = be16(bytes, check_at)?;
        put16(bytes, check_at, delta.apply(check))?;
    }
    Some(delta)
}

#[inline(always)]
fn put_addr<A: Addr>(place: &mut [u8], addr: A) -> Option<Delta> {
    let old = A::read(place)?;
    addr.write(place)?;
    Some(A::delta(old, addr))
}

/// Sets both ports of the header at `at`.
#[inline(always)]
pub(crate) fn put_ports<A>(bytes: &mut [u8], at: usize, to: &Tuple<A>) -> Option<Delta> {
    let second = at.checked_add(2)?;
    let delta = Delta::default()
        .word(be16(bytes, at)?, to.sport)
        .word(be16(bytes, second)?, to.dport);
    put16(bytes, at, to.sport)?;
    put16(bytes, second, to.dport)?;
    Some(delta)
}

/// Takes one from the TTL or hop limit, which must not be 0.
#[inline(always)]
pub(crate) fn age<A: Addr>(bytes: &mut [u8]) -> Option<()> {
    if A::V6 {
        let limit = bytes.get_mut(ipv6::HOP_LIMIT)?;
        *limit = limit.checked_sub(1)?;
        return Some(());
    }
    let old = be16(bytes, ipv4::TTL)?;
    let new = old.checked_sub(0x100)?;
    put16(bytes, ipv4::TTL, new)?;
    let check = be16(bytes, ipv4::CHECK)?;
    put16(
        bytes,
        ipv4::CHECK,
        Delta::default().word(old, new).apply(check),
    )
}
