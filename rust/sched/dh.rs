// SPDX-License-Identifier: GPL-2.0
//! Destination hashing: 256 slots, dealt to the destinations in turn whatever their weights; the packet's destination
//! address chooses one.

use super::hashed::{dest_at, number, EMPTY};
use super::{available, Candidate, Key};
use crate::hash::golden::hash_32;

/// Bits of a slot's number: Linux's default of `CONFIG_IP_VS_DH_TAB_BITS`.
const SLOT_BITS: u32 = 8;

/// Slots of the table.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;

/// Deals the slots.
pub(super) fn build(dests: &[impl Candidate], table: &mut [u32]) {
    table.fill(EMPTY);
    for (slot, (index, _)) in table.iter_mut().zip((0..).zip(dests).cycle()) {
        *slot = index;
    }
}

/// The destination of the slot, or nobody: there is no fallback.
#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D], table: &[u32], key: &Key) -> Option<usize> {
    let index = dest_at(table, hash_32(number(key.dst, 0), SLOT_BITS))?;
    available(dests.get(index)?).then_some(index)
}

#[cfg(test)]
mod tests {
    //! The known slots follow from `ip_vs_dh_hashkey` of Linux 7.3.

    use super::super::fixture::{digit, Service};
    use super::super::Kind;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::string::String;

    #[test]
    fn deals_the_slots_in_turn_whatever_the_weights() {
        let service = Service::weighted(Kind::Dh, &[1, 30, 0]);
        assert_eq!(service.table.len(), 256);
        assert_eq!(service.table[..7], [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_destination_address_chooses() {
        let service = Service::weighted(Kind::Dh, &[1; 20]);
        let pick = |last| service.pick_to(Ipv4Addr::new(192, 0, 2, last));
        let picks: String = (1..=8).map(|last| digit(pick(last))).collect();
        assert_eq!(picks, "a8685753");
    }

    #[test]
    fn ipv6_addresses_are_folded() {
        let service = Service::weighted(Kind::Dh, &[1; 20]);
        let folded: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        let address: IpAddr = Ipv6Addr::new(0xff00, 0, 0x3f00, 0, 0, 0, 0, 0x201).into();
        assert_eq!(service.pick_to(address), service.pick_to(folded));
    }

    #[test]
    fn the_client_does_not_count() {
        let service = Service::weighted(Kind::Dh, &[1; 20]);
        let one = service.pick_for(Ipv4Addr::new(198, 51, 100, 1), 1);
        assert_eq!(service.pick_for(Ipv4Addr::new(198, 51, 100, 2), 2), one);
    }

    #[test]
    fn nobody_else_takes_what_is_drained_or_overloaded() {
        let mut service = Service::weighted(Kind::Dh, &[1, 1]);
        let home = service.pick().unwrap();
        service.flags.fallback = true;
        service.dests[home].overloaded = true;
        assert_eq!(service.pick(), None);
        service.dests[home].overloaded = false;
        service.set_weight(home, 0);
        assert_eq!(service.pick(), None);
    }
}
