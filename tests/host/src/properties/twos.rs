// SPDX-License-Identifier: GPL-2.0
//! twos against a walk over the destinations that takes their weights from two numbers, as IPVS does it.

use super::least::dests;
use crate::sched::fixture::{Dest, Service};
use crate::sched::Kind;
use proptest::prelude::*;
use std::vec;

fn takes(dest: &Dest) -> bool {
    dest.weight > 0 && !dest.overloaded
}

/// The choice of two for the numbers that were drawn, each from 0 to the sum of the weights.
fn walk(dests: &[Dest], mut numbers: [i64; 2]) -> Option<usize> {
    let mut choices = [None; 2];
    for (index, dest) in dests.iter().enumerate().filter(|(_, dest)| takes(dest)) {
        for (number, choice) in numbers.iter_mut().zip(&mut choices) {
            *number -= i64::from(dest.weight);
            if *number <= 0 && choice.is_none() {
                *choice = Some(index);
            }
        }
    }
    let overhead =
        |index: usize| i128::from(dests[index].active) * 256 + i128::from(dests[index].total);
    let weight = |index: usize| i128::from(dests[index].weight);
    let (first, second) = (choices[0]?, choices[1]?);
    let is_better = weight(second) * overhead(first) > weight(first) * overhead(second);
    Some(if is_better { second } else { first })
}

/// A random word that becomes `number` of `bound`.
fn word(number: u64, bound: u64) -> u64 {
    (u128::from(number) << 64).div_ceil(bound.into()) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn equals_a_walk(dests in dests(), first: prop::sample::Index, second: prop::sample::Index) {
        let total: u64 = dests.iter().filter(|dest| takes(dest)).map(|dest| u64::from(dest.weight)).sum();
        let numbers = [first, second].map(|index| index.index(total as usize + 1) as u64);
        let expected = walk(&dests, numbers.map(|number| number as i64));
        let mut service = Service::new(Kind::Twos, dests);
        service.draw(&numbers.map(|number| word(number, total + 1)));
        prop_assert_eq!(service.pick(), expected);
    }
}

#[test]
fn unequal_weights_share_the_draws() {
    let mut service = Service::weighted(Kind::Twos, &[1, 2, 5]);
    let mut counts = vec![0u32; 3];
    // All pairs of the numbers 0 to 8; without connections the first one drawn wins.
    for first in 0..9 {
        service.draw(&[word(first, 9), word(8 - first, 9)]);
        counts[service.pick().unwrap()] += 1;
    }
    assert_eq!(counts, [2, 2, 5]);
}
