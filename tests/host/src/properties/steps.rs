// SPDX-License-Identifier: GPL-2.0
//! What may happen to a service, at random.

use crate::sched::fixture::{Dest, Service};
use proptest::prelude::*;
use proptest::sample::Index;
use std::vec::Vec;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Pick(usize),
    Add(u32),
    Remove(Index),
    SetWeight(Index, u32),
    SetOverloaded(Index, bool),
    SetAllOverloaded(bool),
}

/// Up to 60 steps with weights from this strategy; some steps fall on a service without destinations.
pub(super) fn steps(
    weight: impl Strategy<Value = u32> + Clone,
) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..20usize).prop_map(Step::Pick),
        3 => weight.clone().prop_map(Step::Add),
        1 => any::<Index>().prop_map(Step::Remove),
        2 => (any::<Index>(), weight).prop_map(|(index, weight)| Step::SetWeight(index, weight)),
        2 => any::<(Index, bool)>().prop_map(|(index, on)| Step::SetOverloaded(index, on)),
        1 => any::<bool>().prop_map(Step::SetAllOverloaded),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a step did to the list of destinations.
pub(super) enum Done {
    Added,
    Removed(usize),
    Edited,
    /// Picks are the test's business.
    Pick(usize),
    Other,
}

impl Step {
    pub(super) fn apply(self, service: &mut Service) -> Done {
        let n = service.dests.len();
        match self {
            Self::Pick(count) => return Done::Pick(count),
            Self::Add(weight) => {
                service.add(Dest::numbered(n as u32, weight));
                return Done::Added;
            }
            Self::SetAllOverloaded(on) => service
                .dests
                .iter_mut()
                .for_each(|dest| dest.overloaded = on),
            _ if n == 0 => {}
            Self::SetOverloaded(index, on) => service.dests[index.index(n)].overloaded = on,
            Self::Remove(index) => {
                service.remove(index.index(n));
                return Done::Removed(index.index(n));
            }
            Self::SetWeight(index, weight) => {
                service.set_weight(index.index(n), weight);
                return Done::Edited;
            }
        }
        Done::Other
    }
}
