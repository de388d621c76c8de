// SPDX-License-Identifier: GPL-2.0
//! rr against a walk around the list of destinations.

use super::steps::{steps, Done};
use crate::sched::fixture::Service;
use crate::sched::Kind;
use proptest::prelude::*;

/// The first after `last` that takes connections, once around.
fn walk(service: &Service, last: Option<usize>) -> Option<usize> {
    let n = service.dests.len();
    let start = last.map_or(0, |last| last + 1);
    (start..start + n)
        .map(|index| index % n)
        .find(|&index| service.dests[index].weight > 0 && !service.dests[index].overloaded)
}

proptest! {
    #[test]
    fn equals_a_walk(steps in steps(0..3u32)) {
        let mut service = Service::weighted(Kind::Rr, &[]);
        let mut last = None;
        for step in steps {
            match step.apply(&mut service) {
                Done::Pick(count) => for _ in 0..count {
                    let expected = walk(&service, last);
                    prop_assert_eq!(service.pick(), expected);
                    last = expected.or(last);
                },
                Done::Added => last = last.map(|last| last + 1),
                Done::Removed(gone) => {
                    last = last.and_then(|last| if gone <= last { last.checked_sub(1) } else { Some(last) });
                }
                Done::Edited | Done::Other => {}
            }
        }
    }
}
