// SPDX-License-Identifier: GPL-2.0
//! Maglev hashing: few sources change their destination when one comes or goes.
//!
//! "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4 (NSDI 2016), with IPVS's hash functions,
//! table size and weights: each destination visits the slots in an order of its own, and the destinations take turns
//! claiming the next free slot of their order, a heavier one several slots a turn.
//!
//! A destination that is set to weight 0 keeps its slots, so that its sources come back to it later; the table follows
//! the latest weight that was not 0.

use super::hashed::{lookup, number, EMPTY};
use super::{common_divisor, BuildError, Candidate, Flags, Key};
use crate::hash::siphash::hsiphash_u32;

/// Slots of the table: Linux's default, `CONFIG_IP_VS_MH_TAB_INDEX` 12.
pub(super) const SLOTS: usize = 4_093;

/// IPVS's key for sources, and for where a destination's order starts.
const KEY_START: [u64; 2] = [2_654_435_761; 2];

/// IPVS's key for the step of a destination's order.
const KEY_STEP: [u64; 2] = [2_654_446_892; 2];

/// Words of scratch space for each destination: its next slot, its step, its slots a turn.
const SCRATCH: usize = 3;

/// Words of scratch space that [`build`] wants for `n` destinations.
pub(super) fn scratch_len(n: usize) -> usize {
    n.saturating_mul(SCRATCH)
}

/// Fills the table, whose length must be a prime number, with the destinations' indices.
///
/// Any table size goes. The table stays empty when no destination
/// ever had a weight.
pub(super) fn build(
    dests: &[impl Candidate],
    table: &mut [u32],
    scratch: &mut [u32],
) -> Result<(), BuildError> {
    let slots = u32::try_from(table.len()).map_err(|_| BuildError::WrongLength)?;
    if dests.len() > table.len() {
        return Err(BuildError::TooManyDests);
    }
    table.fill(EMPTY);
    order(dests, slots, scratch);
    claim(table, slots, scratch)
}

/// Writes down the start, the step and the turns of every destination's order.
fn order(dests: &[impl Candidate], slots: u32, scratch: &mut [u32]) {
    let share = Share::new(dests, slots);
    for (dest, entry) in dests.iter().zip(scratch.chunks_exact_mut(SCRATCH)) {
        let id = number(dest.addr(), dest.port());
        let start = modulo(hsiphash_u32(KEY_START, id), slots);
        let step = modulo(hsiphash_u32(KEY_STEP, id), slots.wrapping_sub(1));
        entry.copy_from_slice(&[start, step.wrapping_add(1), share.turns(dest)]);
    }
}

/// How weights become slots a turn.
struct Share {
    divisor: u32,
    shift: u32,
}

impl Share {
    /// Weights are divided by what they have in common, and then shifted so that the largest takes no more than half
    /// the bits of a slot's number.
    fn new(dests: &[impl Candidate], slots: u32) -> Self {
        let divisor = common_divisor(dests.iter().map(Candidate::last_weight));
        let largest = dests.iter().map(Candidate::last_weight).max().unwrap_or(0);
        let parts = largest.checked_div(divisor).unwrap_or(0);
        Self {
            divisor,
            shift: bits(parts).saturating_sub(bits(slots) / 2),
        }
    }

    /// Slots a turn; none only for a destination that never had a weight.
    fn turns(&self, dest: &impl Candidate) -> u32 {
        let weight = dest.last_weight();
        let parts = weight.checked_div(self.divisor).unwrap_or(0);
        parts.wrapping_shr(self.shift).max(weight.min(1))
    }
}

/// Lets the destinations claim slots in turn until none is left.
fn claim(table: &mut [u32], slots: u32, scratch: &mut [u32]) -> Result<(), BuildError> {
    let mut left = slots;
    // Each round but an idle one claims a slot.
    while left > 0 {
        let before = left;
        for (index, entry) in (0..).zip(scratch.chunks_exact_mut(SCRATCH)) {
            let [next, step, turns] = entry else { break };
            for _ in 0..(*turns).min(left) {
                *next = claim_slot(table, *next, *step, index)?;
                left = left.wrapping_sub(1);
            }
        }
        if left == before {
            break;
        }
    }
    Ok(())
}

/// Claims the first free slot from `next` on, in steps of `step`, and returns where it was.
fn claim_slot(table: &mut [u32], next: u32, step: u32, index: u32) -> Result<u32, BuildError> {
    let slots = table.len() as u32;
    let mut at = next;
    // A step that has no divisor in common with the number of slots visits them all.
    for _ in 0..slots {
        match table.get_mut(at as usize) {
            Some(slot) if *slot == EMPTY => {
                *slot = index;
                return Ok(at);
            }
            _ => {}
        }
        at = at.wrapping_add(step);
        if at >= slots {
            at = at.wrapping_sub(slots);
        }
    }
    Err(BuildError::WrongLength)
}

fn bits(number: u32) -> u32 {
    u32::BITS.wrapping_sub(number.leading_zeros())
}

/// The remainder of a division; 0 for a divisor of 0.
#[inline]
fn modulo(number: u32, divisor: u32) -> u32 {
    number.checked_rem(divisor).unwrap_or(0)
}

#[inline]
pub(super) fn pick<D: Candidate>(
    dests: &[D],
    table: &[u32],
    flags: Flags,
    key: &Key,
) -> Option<usize> {
    let slots = u32::try_from(table.len()).ok()?;
    lookup(dests, table, flags, key, |source, offset| {
        let hash = hsiphash_u32(KEY_START, source.wrapping_add(offset));
        modulo(hash, slots)
    })
}

#[cfg(test)]
mod tests {
    //! The known answers were printed by `ip_vs_mh.c` of Linux 7.3, compiled for user space.

    use super::super::fixture::{digit, Dest, Service};
    use super::super::Kind;
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    /// The picks for the clients 192.0.2.1 to 192.0.2.24.
    fn picks(service: &Service) -> String {
        let clients = (1..=24).map(|last| Ipv4Addr::new(192, 0, 2, last));
        clients
            .map(|src| digit(service.pick_for(src, 1_000)))
            .collect()
    }

    /// How many slots each destination has.
    fn shares(table: &[u32], dests: usize) -> Vec<usize> {
        let mut shares = vec![0; dests];
        for &index in table {
            shares[index as usize] += 1;
        }
        shares
    }

    #[test]
    fn the_largest_weights_share_the_table() {
        let max = i32::MAX as u32;
        let dests: Vec<_> = [max, max - 1, 1, 0]
            .into_iter()
            .zip(0..)
            .map(|(weight, number)| Dest::numbered(number, weight))
            .collect();
        let mut table = vec![0; SLOTS];
        build(&dests, &mut table, &mut vec![0; scratch_len(dests.len())]).unwrap();
        let shares = shares(&table, dests.len());
        assert!(
            shares[0].abs_diff(shares[1]) < 100 && shares[0] > SLOTS / 3,
            "{shares:?}"
        );
        assert!(shares[2] > 0 && shares[3] == 0, "{shares:?}");
    }

    #[test]
    fn picks_as_ipvs() {
        let service = Service::weighted(Kind::Mh, &[1, 2, 3, 4, 5]);
        assert_eq!(picks(&service), "412232120421444242403123");
    }

    #[test]
    fn picks_as_ipvs_for_ipv6_with_ports() {
        let dest = |n: u16| {
            let addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, n + 1);
            Dest::new(addr, 443, u32::from(n) + 1)
        };
        let mut service = Service::new(Kind::Mh, (0..5).map(dest).collect());
        service.flags.port = true;
        let client = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last);
        let pick = |last| service.pick_for(client(last), 1_000 + last * last);
        let picks: String = (1..=24).map(|last| digit(pick(last))).collect();
        assert_eq!(picks, "233334224431322341424244");
    }

    #[test]
    fn the_sources_of_an_overloaded_destination_find_nobody() {
        let mut service = Service::weighted(Kind::Mh, &[1, 2, 3, 4, 5]);
        service.dests[4].overloaded = true;
        assert_eq!(picks(&service), "-12232120-21---2-2-03123");
    }

    #[test]
    fn falls_back_as_ipvs() {
        let mut service = Service::weighted(Kind::Mh, &[1, 2, 3, 4, 5]);
        service.dests[4].overloaded = true;
        service.flags.fallback = true;
        assert_eq!(picks(&service), "312232120321012222103123");
    }

    #[test]
    fn weight_0_keeps_the_table() {
        let mut service = Service::weighted(Kind::Mh, &[1, 2, 3, 4, 5]);
        let before = service.table.clone();
        service.set_weight(4, 0);
        assert_eq!(service.table, before);
        assert_eq!(picks(&service), "-12232120-21---2-2-03123");
        service.set_weight(4, 5);
        assert_eq!(picks(&service), "412232120421444242403123");
    }

    #[test]
    fn one_that_never_had_a_weight_has_no_slots() {
        let service = Service::weighted(Kind::Mh, &[1, 0, 1]);
        assert_eq!(shares(&service.table, 3)[1], 0);
        let service = Service::weighted(Kind::Mh, &[0, 0]);
        assert!(service.table.iter().all(|&index| index == EMPTY));
    }

    #[test]
    fn slots_follow_the_weights() {
        let weights = [10, 20, 30, 40];
        let service = Service::weighted(Kind::Mh, &weights);
        for (share, weight) in shares(&service.table, 4).into_iter().zip(weights) {
            assert!(share.abs_diff(SLOTS * weight as usize / 100) <= 4);
        }
    }

    #[test]
    fn the_smallest_of_very_different_weights_still_has_slots() {
        let service = Service::weighted(Kind::Mh, &[1, i32::MAX as u32]);
        let shares = shares(&service.table, 2);
        // 63 slots a turn against 1.
        assert!(shares[0].abs_diff(SLOTS / 64) <= 1, "{shares:?}");
    }

    #[test]
    fn more_destinations_than_slots_are_refused() {
        let dests = vec![Dest::numbered(0, 1); SLOTS + 1];
        let (mut table, mut scratch) = (vec![0; SLOTS], vec![0; scratch_len(SLOTS + 1)]);
        let result = build(&dests, &mut table, &mut scratch);
        assert_eq!(result, Err(BuildError::TooManyDests));
        assert_eq!(build(&dests[1..], &mut table, &mut scratch[3..]), Ok(()));
    }

    #[test]
    fn any_prime_number_of_slots_is_filled_evenly() {
        let dests: Vec<_> = (0..1_000).map(|number| Dest::numbered(number, 1)).collect();
        let (mut table, mut scratch) = (vec![0; 65_537], vec![0; scratch_len(1_000)]);
        build(&dests, &mut table, &mut scratch).unwrap();
        let shares = shares(&table, 1_000);
        assert!(shares.iter().all(|&share| share == 65 || share == 66));
    }

    /// Prints the median of many builds for the report of `make bench`.
    #[test]
    #[ignore = "measures; make bench runs it"]
    fn time_of_a_large_table() {
        let dests: Vec<_> = (0..1_000).map(|number| Dest::numbered(number, 1)).collect();
        let (mut table, mut scratch) = (vec![0; 65_537], vec![0; scratch_len(1_000)]);
        let mut times: Vec<_> = core::iter::repeat_with(|| {
            let start = std::time::Instant::now();
            build(&dests, &mut table, &mut scratch).unwrap();
            start.elapsed()
        })
        .take(101)
        .collect();
        times.sort();
        let ms = times[50].as_secs_f64() * 1e3;
        std::println!("measured {{\"case\": \"mh table\", \"system\": \"rlvs\", \"ms\": {ms:.2}}}");
    }

    #[test]
    fn a_number_of_slots_that_is_not_prime_ends_too() {
        let dests: Vec<_> = (0..100).map(|number| Dest::numbered(number, 1)).collect();
        for slots in [100, 1_024, 5_040] {
            let (mut table, mut scratch) = (vec![0; slots], vec![0; scratch_len(100)]);
            let result = build(&dests, &mut table, &mut scratch);
            assert!(matches!(result, Ok(()) | Err(BuildError::WrongLength)));
        }
    }

    #[test]
    fn few_other_slots_move_when_one_destination_goes() {
        let all: Vec<_> = (0..100).map(|number| Dest::numbered(number, 1)).collect();
        let table = |dests: &[Dest]| {
            let mut table = vec![0; 65_537];
            build(dests, &mut table, &mut vec![0; scratch_len(dests.len())]).unwrap();
            table
        };
        let before = table(&all);
        let after = table(&all[..99]);
        let stayed = before.iter().zip(&after).filter(|(&b, _)| b != 99);
        let moved = stayed.filter(|(b, a)| a != b).count();
        assert!(moved < 65_537 / 100, "{moved} slots moved");
    }
}
