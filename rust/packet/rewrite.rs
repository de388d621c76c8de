// SPDX-License-Identifier: GPL-2.0

//! Changing addresses, ports and TTL in place, checksums kept right.

use super::csum::Delta;
use super::{ipv4, ipv6, put_two, two, Addr, Context, Tuple};
use crate::proto;

/// Gives the packet the addresses and ports of `to`; with `age`, takes one from its TTL, which
/// must not be 0, as well.
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
    age: bool,
) -> Option<()> {
    let (ip, l4) = bytes.split_at_mut_checked(context.l4)?;
    let aged = if age {
        decrement::<A>(ip)?
    } else {
        Delta::default()
    };
    let addresses = swap_addresses(ip, 0, to.src, to.dst)?;
    finish::<A>(ip, addresses.and(aged))?;
    let ports = put_ports(l4, 0, to)?;
    let at = proto::check_at(context.proto)?;
    let check = two(l4, at)?;
    if partial {
        return put_two(l4, at, addresses.apply_partial(check));
    }
    if check == [0; 2] && proto::check_is_optional(context.proto) {
        // The sender sent no checksum, and none it stays (RFC 768).
        return Some(());
    }
    let check = addresses.and(ports).apply(check);
    put_two(l4, at, nonzero(context.proto, check))
}

/// Where a checksum of 0 means "none", one that comes to 0 is written as 0xffff.
#[inline(always)]
pub(crate) fn nonzero(protocol: u8, check: [u8; 2]) -> [u8; 2] {
    if check == [0; 2] && proto::check_is_optional(protocol) {
        [0xff; 2]
    } else {
        check
    }
}

/// Sets both addresses of the IP header at `at`, and its checksum if it has one.
///
/// Returns what the addresses' change does to a pseudo header's sum.
#[inline(always)]
pub(crate) fn put_addresses<A: Addr>(bytes: &mut [u8], at: usize, src: A, dst: A) -> Option<Delta> {
    let delta = swap_addresses(bytes, at, src, dst)?;
    fix_header::<A>(bytes, at, delta)?;
    Some(delta)
}

/// Sets both addresses of the IP header at `at`, and nothing else.
#[inline(always)]
fn swap_addresses<A: Addr>(bytes: &mut [u8], at: usize, src: A, dst: A) -> Option<Delta> {
    let from = at.checked_add(A::SRC)?;
    let middle = from.checked_add(A::LEN)?;
    let end = middle.checked_add(A::LEN)?;
    Some(
        put_addr(bytes.get_mut(from..middle)?, src)?
            .and(put_addr(bytes.get_mut(middle..end)?, dst)?),
    )
}

/// Lets the checksum of the packet's own header, which `ip` is, follow a change.
///
/// With options it is made anew: the host may have filled in its address or the time, and leaves
/// the checksum to whoever sends the packet on.
#[inline(always)]
fn finish<A: Addr>(ip: &mut [u8], delta: Delta) -> Option<()> {
    if A::V6 || ip.len() <= ipv4::HEADER {
        return fix_header::<A>(ip, 0, delta);
    }
    ipv4::seal(ip)
}

/// The packet's own header is about to leave: what the host has done to its options counts.
pub(crate) fn seal<A: Addr>(ip: &mut [u8]) -> Option<()> {
    finish::<A>(ip, Delta::default())
}

/// Lets the checksum of the IP header at `at`, if it has one, follow a change.
#[inline(always)]
fn fix_header<A: Addr>(bytes: &mut [u8], at: usize, delta: Delta) -> Option<()> {
    if A::V6 {
        return Some(());
    }
    let at = at.checked_add(ipv4::CHECK)?;
    let check = two(bytes, at)?;
    put_two(bytes, at, delta.apply(check))
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
    let (sport, dport) = (to.sport.to_be_bytes(), to.dport.to_be_bytes());
    let delta = Delta::default()
        .word(two(bytes, at)?, sport)
        .word(two(bytes, second)?, dport);
    put_two(bytes, at, sport)?;
    put_two(bytes, second, dport)?;
    Some(delta)
}

/// Takes one from the TTL or hop limit, which must not be 0, of the header that `ip` is.
#[inline(always)]
pub(crate) fn age<A: Addr>(ip: &mut [u8]) -> Option<()> {
    let delta = decrement::<A>(ip)?;
    finish::<A>(ip, delta)
}

/// The same without the header's checksum.
#[inline(always)]
fn decrement<A: Addr>(bytes: &mut [u8]) -> Option<Delta> {
    let at = if A::V6 { ipv6::HOP_LIMIT } else { ipv4::TTL };
    let left = bytes.get_mut(at)?;
    *left = left.checked_sub(1)?;
    // Only IPv4's header has a checksum; there it is a word's first byte.
    let delta = Delta::default();
    Some(match A::V6 {
        true => delta,
        false => delta.word([1, 0], [0, 0]),
    })
}
