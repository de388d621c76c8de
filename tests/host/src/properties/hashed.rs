// SPDX-License-Identifier: GPL-2.0
//! What holds for sh and mh whatever the destinations.

use crate::sched::fixture::Service;
use crate::sched::Kind;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use std::vec::Vec;

fn service() -> impl Strategy<Value = Service> {
    let kind = prop_oneof![Just(Kind::Sh), Just(Kind::Mh)];
    let weight = prop_oneof![0..4u32, 0..70_000u32];
    let dests = prop::collection::vec((weight, any::<bool>()), 0..12);
    (kind, dests, any::<bool>()).prop_map(|(kind, dests, port)| {
        let weights: Vec<_> = dests.iter().map(|&(weight, _)| weight).collect();
        let mut service = Service::weighted(kind, &weights);
        service.flags.port = port;
        for (dest, (_, overloaded)) in service.dests.iter_mut().zip(dests) {
            dest.overloaded = overloaded;
        }
        service
    })
}

fn source() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn takes(service: &Service, index: usize) -> bool {
    service.dests[index].weight > 0 && !service.dests[index].overloaded
}

impl core::fmt::Debug for Service {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{:?} port {} {:?}",
            self.kind, self.flags.port, self.dests
        )
    }
}

proptest! {
    #[test]
    fn a_source_goes_to_its_destination_or_nowhere(
        mut service in service(),
        source in source(),
        port: u16,
    ) {
        let pick = service.pick_for(source, port);
        prop_assert_eq!(service.pick_for(source, port), pick);
        service.dests.iter_mut().for_each(|dest| dest.overloaded = false);
        let home = service.pick_for(source, port);
        prop_assert!(pick == home || pick.is_none());
    }

    #[test]
    fn the_fallback_finds_somebody_if_anybody_has_a_slot(
        mut service in service(),
        source in source(),
        port: u16,
    ) {
        let home = service.pick_for(source, port);
        service.flags.fallback = true;
        let pick = service.pick_for(source, port);
        let mut slots = service.table.iter().map(|&index| index as usize);
        let anybody = slots.any(|index| index < service.dests.len() && takes(&service, index));
        prop_assert_eq!(pick.is_some(), anybody);
        prop_assert!(pick.is_none_or(|index| takes(&service, index)));
        prop_assert!(home.is_none() || pick == home);
    }

    #[test]
    fn the_port_counts_only_with_its_flag(mut service in service(), source in source()) {
        service.flags.port = false;
        prop_assert_eq!(service.pick_for(source, 1), service.pick_for(source, 2));
    }

    #[test]
    fn mh_shares_follow_the_turns(weights in prop::collection::vec(0..64u32, 1..40)) {
        let service = Service::weighted(Kind::Mh, &weights);
        let divisor = (1..=63).rev().find(|d| weights.iter().all(|w| w % d == 0)).unwrap_or(1);
        let round: u32 = weights.iter().sum::<u32>() / divisor;
        prop_assume!(round > 0);
        let mut rest = 4_093 % round;
        for (index, weight) in (0..).zip(weights) {
            let turns = weight / divisor;
            let more = rest.min(turns);
            rest -= more;
            let share = service.table.iter().filter(|&&slot| slot == index).count();
            prop_assert_eq!(share as u32, 4_093 / round * turns + more);
        }
    }
}
