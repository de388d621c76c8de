// SPDX-License-Identifier: GPL-2.0
//! The port allocator against an ordered set of the ports in use.

use crate::pool::ports::{words, Ports};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
enum Step {
    Take,
    /// Gives back one of the ports in use, chosen by its rank.
    GiveUsed(prop::sample::Index),
    GiveAny(u16),
    Reset((u16, u16)),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => Just(Step::Take),
        40 => any::<prop::sample::Index>().prop_map(Step::GiveUsed),
        10 => any::<u16>().prop_map(Step::GiveAny),
        1 => range().prop_map(Step::Reset),
    ]
}

/// Mostly short ranges, so that they get full; at any place, also across the words' borders.
fn range() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        9 => (any::<u16>(), 0..200u16).prop_map(|(min, more)| (min, min.saturating_add(more))),
        1 => any::<(u16, u16)>(),
    ]
}

fn fresh((min, max): (u16, u16)) -> Ports<Vec<u64>> {
    Ports::new(vec![0; words(min, max)], min, max)
}

/// The same by searching a set.
struct Model {
    min: u16,
    max: u16,
    next: u32,
    used: BTreeSet<u16>,
}

impl Model {
    fn new((min, max): (u16, u16)) -> Self {
        Self {
            min: min.max(1),
            max,
            next: 0,
            used: BTreeSet::new(),
        }
    }

    fn take(&mut self) -> Option<u16> {
        let (min, max, next) = (self.min, self.max, self.next);
        let ahead = (min..=max).filter(|&port| u32::from(port) >= next);
        let behind = (min..=max).filter(|&port| u32::from(port) < next);
        let port = ahead.chain(behind).find(|port| !self.used.contains(port))?;
        self.next = u32::from(port) + 1;
        self.used.insert(port);
        Some(port)
    }
}

proptest! {
    #[test]
    fn equals_a_set(start in range(), steps in prop::collection::vec(step(), 1..600)) {
        let mut ports = fresh(start);
        let mut model = Model::new(start);
        for step in steps {
            match step {
                Step::Take => prop_assert_eq!(ports.take(), model.take()),
                Step::GiveUsed(_) if model.used.is_empty() => {}
                Step::GiveUsed(rank) => {
                    let port = *model.used.iter().nth(rank.index(model.used.len())).unwrap();
                    model.used.remove(&port);
                    ports.give(port);
                }
                Step::GiveAny(port) => {
                    model.used.remove(&port);
                    ports.give(port);
                }
                Step::Reset(range) => {
                    model = Model::new(range);
                    ports = fresh(range);
                }
            }
            prop_assert_eq!(ports.used() as usize, model.used.len());
        }
    }
}
