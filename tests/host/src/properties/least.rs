// SPDX-License-Identifier: GPL-2.0
//! lc, wlc, sed, nq, fo and ovf against the definition of what they choose.

use crate::sched::fixture::{Dest, Service};
use crate::sched::Kind;
use proptest::prelude::*;
use std::vec::Vec;

pub(super) fn dests() -> impl Strategy<Value = Vec<Dest>> {
    let conns = prop_oneof![2 => 0..4u32, 1 => 0..1_000_000u32];
    let weight = prop_oneof![0..4u32, 0..70_000u32];
    let dest = (weight, conns.clone(), conns, prop::bool::weighted(0.2));
    let dest = dest.prop_map(|(weight, active, inactive, overloaded)| Dest {
        overloaded,
        ..Dest::numbered(0, weight).with_conns(active, active + inactive)
    });
    prop::collection::vec(dest, 0..12)
}

/// The first for which no other has less load; a load is a fraction.
fn least(dests: &[Dest], load: impl Fn(&Dest) -> (u128, u128)) -> Option<usize> {
    let takes = |dest: &&Dest| dest.weight > 0 && !dest.overloaded;
    let below = |a: &Dest, b: &Dest| {
        let ((a, per_a), (b, per_b)) = (load(a), load(b));
        a * per_b < b * per_a
    };
    dests.iter().position(|dest| {
        takes(&dest) && !dests.iter().filter(takes).any(|other| below(other, dest))
    })
}

/// The first of the heaviest that `takes` names.
fn heaviest(dests: &[Dest], takes: impl Fn(&Dest) -> bool) -> Option<usize> {
    let takes = |dest: &&Dest| dest.weight > 0 && !dest.overloaded && takes(dest);
    let most = dests.iter().filter(takes).map(|dest| dest.weight).max();
    dests
        .iter()
        .position(|dest| takes(&dest) && Some(dest.weight) == most)
}

fn overhead(dest: &Dest) -> u128 {
    u128::from(dest.active) * 256 + u128::from(dest.total)
}

proptest! {
    #[test]
    fn lc_picks_the_least_overhead(dests in dests()) {
        let expected = least(&dests, |dest| (overhead(dest), 1));
        prop_assert_eq!(Service::new(Kind::Lc, dests).pick(), expected);
    }

    #[test]
    fn wlc_picks_the_least_overhead_for_the_weight(dests in dests()) {
        let expected = least(&dests, |dest| (overhead(dest), dest.weight.into()));
        prop_assert_eq!(Service::new(Kind::Wlc, dests).pick(), expected);
    }

    #[test]
    fn sed_picks_the_shortest_delay(dests in dests()) {
        let expected = least(&dests, |dest| (u128::from(dest.active) + 1, dest.weight.into()));
        prop_assert_eq!(Service::new(Kind::Sed, dests).pick(), expected);
    }

    #[test]
    fn nq_picks_an_idle_one_or_the_shortest_delay(dests in dests()) {
        let idle = dests.iter().position(|dest| dest.weight > 0 && !dest.overloaded && dest.active == 0);
        let expected = idle.or_else(|| Service::new(Kind::Sed, dests.clone()).pick());
        prop_assert_eq!(Service::new(Kind::Nq, dests).pick(), expected);
    }

    #[test]
    fn fo_picks_the_heaviest(dests in dests()) {
        let expected = heaviest(&dests, |_| true);
        prop_assert_eq!(Service::new(Kind::Fo, dests).pick(), expected);
    }

    #[test]
    fn ovf_picks_the_heaviest_with_room(dests in dests()) {
        let expected = heaviest(&dests, |dest| dest.active <= dest.weight);
        prop_assert_eq!(Service::new(Kind::Ovf, dests).pick(), expected);
    }
}
