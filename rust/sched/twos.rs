// SPDX-License-Identifier: GPL-2.0
//! Power of two weighted choices: two destinations drawn by their weights, and of them the one with the smaller
//! overhead for its weight.

use super::least::{numbered, Load};
use super::{available, overhead, Candidate};

/// `random` gives words in which every bit is random.
#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D], random: impl Fn() -> u64) -> Option<usize> {
    let takers = || numbered(dests).filter(|(_, dest)| available(*dest));
    let (last, total) = takers().fold((None, 0u64), |(_, total), (index, dest)| {
        (Some(index), total.wrapping_add(dest.weight().into()))
    });
    let last = last?;
    let draw = |number: u64| {
        let mut left = number;
        takers().find_map(|(of, dest)| {
            let weight = u64::from(dest.weight());
            let reached = left <= weight;
            left = left.saturating_sub(weight);
            let load = overhead(dest);
            reached.then_some(Load { of, load, weight })
        })
    };
    // From 0 to the total: the first destination has one number more than its weight, as with IPVS.
    let numbers = total.wrapping_add(1);
    let (first, second) = (below(random(), numbers), below(random(), numbers));
    Some(match (draw(first), draw(second)) {
        (Some(first), Some(second)) if second.is_below(&first) => second.of,
        (Some(first), _) => first.of,
        // Weights that have become smaller meanwhile.
        (None, _) => last,
    })
}

/// A number below `bound` from a random word.
fn below(word: u64, bound: u64) -> u64 {
    // CAST: the upper half of a product of two words is below each of them.
    (u128::from(word).wrapping_mul(bound.into()) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use super::*;
    use std::vec;

    #[test]
    fn a_word_becomes_each_number_below_the_bound() {
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(u64::MAX, 7), 6);
        assert_eq!(below(u64::MAX, 1), 0);
        assert_eq!(below(1 << 63, 10), 5);
    }

    #[test]
    fn the_less_loaded_of_the_two_that_were_drawn() {
        let idle = Dest::numbered(0, 1);
        let busy = Dest::numbered(1, 1).with_conns(1, 1);
        let mut service = Service::new(Kind::Twos, vec![busy, idle]);
        for (words, expected) in [
            ([0, 0], 0),
            ([0, u64::MAX], 1),
            ([u64::MAX, 0], 1),
            ([u64::MAX, u64::MAX], 1),
        ] {
            service.draw(&words);
            assert_eq!(service.pick(), Some(expected), "{words:?}");
        }
    }

    #[test]
    fn of_equals_the_one_drawn_first() {
        let mut service = Service::weighted(Kind::Twos, &[1, 1]);
        service.draw(&[u64::MAX, 0]);
        assert_eq!(service.pick(), Some(1));
        service.draw(&[0, u64::MAX]);
        assert_eq!(service.pick(), Some(0));
    }

    #[test]
    fn largest_weights_and_counts_do_not_overflow() {
        let max = i32::MAX as u32;
        let full = Dest::numbered(0, max).with_conns(u32::MAX, u32::MAX);
        let less = Dest::numbered(1, max).with_conns(u32::MAX - 1, u32::MAX);
        let mut service = Service::new(Kind::Twos, vec![full, less]);
        service.draw(&[0, u64::MAX]);
        assert_eq!(service.pick(), Some(1));
    }
}
