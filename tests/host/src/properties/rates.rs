// SPDX-License-Identifier: GPL-2.0
//! Rates against IPVS's own formula, with signed numbers and shifts.

use crate::rates::Rates;
use proptest::prelude::*;

/// An average of IPVS: how far counts are shifted, and how many bits are behind its point.
struct Plain {
    average: i64,
    shift: u32,
    point: u32,
}

impl Plain {
    fn sample(&mut self, counted: u64) {
        let rate = (counted << self.shift) as i64;
        self.average += (rate - self.average) >> 2;
    }

    fn shown(&self) -> u64 {
        let round = (1 << (self.point - 1)) - 1;
        (self.average as u64 + round) >> self.point
    }
}

/// Counts of all sizes, often none.
fn counts() -> impl Strategy<Value = [u64; 5]> {
    let count = prop_oneof![
        2 => Just(0),
        4 => 0..50_u64,
        2 => 0..1_000_000_u64,
        1 => 0..1_u64 << 52,
    ];
    prop::array::uniform5(count)
}

proptest! {
    #[test]
    fn samples_move_averages_as_in_ipvs(samples in prop::collection::vec(counts(), 1..200)) {
        let mut rates = Rates::default();
        let fine = || Plain { average: 0, shift: 9, point: 10 };
        let coarse = || Plain { average: 0, shift: 4, point: 5 };
        let mut plain = [fine(), fine(), fine(), coarse(), coarse()];
        for sample in samples {
            rates.sample(sample, 1);
            plain.iter_mut().zip(sample).for_each(|(plain, counted)| plain.sample(counted));
            prop_assert_eq!(rates.shown(), plain.each_ref().map(Plain::shown));
            prop_assert_eq!(rates.is_zero(), plain.iter().all(|plain| plain.average == 0));
        }
    }
}
