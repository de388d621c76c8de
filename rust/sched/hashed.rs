// SPDX-License-Identifier: GPL-2.0
//! What sh, dh and mh share: a table of slots, each with the index of a destination, and the way from a source to a slot.

use super::{available, Candidate, Flags, Key};
use core::net::IpAddr;

/// A slot without a destination.
pub(super) const EMPTY: u32 = u32::MAX;

/// The destination of the slot that the source hashes to.
///
/// `slot` maps a source, as a number, to a slot of the table. If the destination takes no connections and the fallback
/// is on, the source is hashed again with one offset after the other, the first one following from its own slot.
#[inline]
pub(super) fn lookup<D: Candidate>(
    dests: &[D],
    table: &[u32],
    flags: Flags,
    key: &Key,
    slot: impl Fn(u32, u32) -> u32,
) -> Option<usize> {
    let source = number(key.src, if flags.port { key.sport } else { 0 });
    let home = slot(source, 0);
    let index = dest_at(table, home)?;
    if available(dests.get(index)?) {
        return Some(index);
    }
    // The search visits every slot when nobody takes connections, for every SYN.
    if !flags.fallback || !dests.iter().any(available) {
        return None;
    }
    let slots = u32::try_from(table.len()).ok()?;
    (home..slots)
        .chain(0..home)
        .map_while(|offset| dest_at(table, slot(source, offset)))
        .find(|&index| dests.get(index).is_some_and(available))
}

/// The index in a slot, if there is one.
pub(super) fn dest_at(table: &[u32], slot: u32) -> Option<usize> {
    let index = *table.get(usize::try_from(slot).ok()?)?;
    (index != EMPTY).then_some(index as usize)
}

/// An address and a port as IPVS hashes them: the sum of the port and the address's 32-bit words folded by XOR.
///
/// IPVS takes the service's family, so it hashes the first 32 bits of an IPv6 destination of an IPv4 service. Here the
/// address's own family counts.
#[inline]
pub(super) fn number(addr: IpAddr, port: u16) -> u32 {
    let folded = match addr {
        IpAddr::V4(addr) => addr.to_bits(),
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            // CAST: the four words, one after the other.
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    };
    folded.wrapping_add(port.into())
}
