// SPDX-License-Identifier: GPL-2.0
//! wrr against a walk over all destinations at every level, as IPVS does it.

use super::steps::{steps, Done};
use crate::sched::fixture::Service;
use crate::sched::Kind;
use proptest::prelude::*;

#[derive(Default)]
struct Walk {
    /// The destination picked last; none at the start of the list.
    last: Option<usize>,
    level: i64,
    top: i64,
    step: i64,
}

impl Walk {
    /// Any change of the destinations goes back to the start of the list and keeps the level within the new levels.
    fn changed(&mut self, service: &Service) {
        let weights = || service.dests.iter().map(|dest| i64::from(dest.weight));
        let largest = weights().max().unwrap_or(0);
        self.step = (1..=largest)
            .rev()
            .find(|step| weights().all(|weight| weight % step == 0))
            .unwrap_or(1);
        self.top = largest - (self.step - 1);
        self.last = None;
        if self.level > self.top || self.level == 0 {
            self.level = self.top;
        } else if self.step > 1 {
            self.level = self.level / self.step * self.step + 1;
        }
    }

    fn pick(&mut self, service: &Service) -> Option<usize> {
        if self.top == 0 {
            return None;
        }
        let start = self.last;
        let mut from = start.map_or(0, |last| last + 1);
        let mut stop = None;
        let (mut last_pass, mut restarted) = (false, false);
        loop {
            for (index, dest) in service.dests.iter().enumerate().skip(from) {
                if !dest.overloaded && i64::from(dest.weight) >= self.level {
                    self.last = Some(index);
                    return Some(index);
                }
                if stop == Some(index) {
                    return None;
                }
            }
            from = 0;
            self.level -= self.step;
            if self.level <= 0 {
                self.level = self.top;
                if last_pass || start.is_none() {
                    self.last = None;
                    return None;
                }
                restarted = true;
            }
            last_pass = self.level <= self.step;
            // Those behind the start were looked at before the levels went round.
            if last_pass && restarted {
                stop = start;
            }
        }
    }
}

/// Weights with and without a common divisor, some far above the others.
fn weight() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![
        1 => Just(0),
        4 => 1..5u32,
        4 => (1..5u32).prop_map(|part| part * 6),
        1 => 1..500u32,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn equals_a_walk(steps in steps(weight())) {
        let mut service = Service::weighted(Kind::Wrr, &[]);
        let mut walk = Walk::default();
        for step in steps {
            match step.apply(&mut service) {
                Done::Pick(count) => for _ in 0..count {
                    prop_assert_eq!(service.pick(), walk.pick(&service));
                },
                Done::Added | Done::Removed(_) | Done::Edited => walk.changed(&service),
                Done::Other => {}
            }
        }
    }

    #[test]
    fn a_full_round_gives_everyone_its_weight(weights in prop::collection::vec(0..30u32, 1..20)) {
        let service = Service::weighted(Kind::Wrr, &weights);
        let round: u32 = weights.iter().sum();
        let mut left = weights;
        for _ in 0..round {
            let index = service.pick().unwrap();
            left[index] -= 1;
        }
        prop_assert!(left.iter().all(|&left| left == 0));
    }
}
