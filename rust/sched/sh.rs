// SPDX-License-Identifier: GPL-2.0
//! Source hashing: 256 slots, dealt to the destinations in turn, each getting as many in a row as its weight.

use super::hashed::{lookup, EMPTY};
use super::{Candidate, Flags, Key};
use crate::hash::golden::hash_32;
use core::iter::repeat_n;

/// Bits of a slot's number: Linux's default of `CONFIG_IP_VS_SH_TAB_BITS`.
const SLOT_BITS: u32 = 8;

/// Slots of the table.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;

/// Deals the slots. A destination of weight 0 gets one too, as in IPVS; sources that hash to it find nobody.
pub(super) fn build(dests: &[impl Candidate], table: &mut [u32]) {
    table.fill(EMPTY);
    let turns = (0..).zip(dests);
    let dealt = turns.flat_map(|(index, dest)| repeat_n(index, dest.weight().max(1) as usize));
    for (slot, index) in table.iter_mut().zip(dealt.cycle()) {
        *slot = index;
    }
}

#[inline]
pub(super) fn pick<D: Candidate>(
    dests: &[D],
    table: &[u32],
    flags: Flags,
    key: &Key,
) -> Option<usize> {
    lookup(dests, table, flags, key, |source, offset| {
        hash_32(source, SLOT_BITS).wrapping_add(offset) & ((1 << SLOT_BITS) - 1)
    })
}

#[cfg(test)]
mod tests {
    //! The known answers were printed by `ip_vs_sh.c` of Linux 7.3, compiled for user space.

    use super::super::fixture::{digit, Service};
    use super::super::Kind;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::string::String;
    use std::vec::Vec;

    /// The picks for the clients 192.0.2.1 to 192.0.2.24.
    fn picks(service: &Service) -> String {
        let clients = (1..=24).map(|last| Ipv4Addr::new(192, 0, 2, last));
        clients
            .map(|src| digit(service.pick_for(src, 1_000)))
            .collect()
    }

    #[test]
    fn deals_the_slots_by_weight() {
        let service = Service::weighted(Kind::Sh, &[1, 3, 0, 2]);
        assert_eq!(service.table.len(), 256);
        assert_eq!(
            service.table[..16],
            [0, 1, 1, 1, 2, 3, 3, 0, 1, 1, 1, 2, 3, 3, 0, 1]
        );
    }

    #[test]
    fn one_weight_may_take_all_slots() {
        let service = Service::weighted(Kind::Sh, &[1_000, 1]);
        assert!(service.table.iter().all(|&index| index == 0));
    }

    #[test]
    fn picks_as_ipvs() {
        let service = Service::weighted(Kind::Sh, &[1, 2, 3, 4, 5]);
        assert_eq!(picks(&service), "243424242424242424242424");
    }

    #[test]
    fn picks_as_ipvs_for_ipv6_with_ports() {
        let mut service = Service::weighted(Kind::Sh, &[1, 2, 3, 4, 5]);
        service.flags.port = true;
        let client = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last);
        let pick = |last| service.pick_for(client(last), 1_000 + last * last);
        let picks: String = (1..=24).map(|last| digit(pick(last))).collect();
        assert_eq!(picks, "444444333210443314421432");
    }

    #[test]
    fn the_sources_of_an_overloaded_destination_find_nobody() {
        let mut service = Service::weighted(Kind::Sh, &[1, 2, 3, 4, 5]);
        service.dests[4].overloaded = true;
        assert_eq!(picks(&service), "2-3-2-2-2-2-2-2-2-2-2-2-");
    }

    #[test]
    fn falls_back_as_ipvs() {
        let mut service = Service::weighted(Kind::Sh, &[1, 2, 3, 4, 5]);
        service.dests[4].overloaded = true;
        service.flags.fallback = true;
        assert_eq!(picks(&service), "203023202323232323232323");
    }

    #[test]
    fn falls_back_to_the_only_one_left_from_every_slot() {
        let mut service = Service::weighted(Kind::Sh, &[1; 256]);
        for dest in &mut service.dests[..255] {
            dest.overloaded = true;
        }
        service.flags.fallback = true;
        let sources = (0..=u16::MAX)
            .step_by(17)
            .map(|low| Ipv4Addr::from_bits(low.into()));
        let picks: Vec<_> = sources.map(|src| service.pick_for(src, 0)).collect();
        assert!(picks.iter().all(|&pick| pick == Some(255)));
    }
}
