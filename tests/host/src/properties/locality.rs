// SPDX-License-Identifier: GPL-2.0
//! lblc and lblcr against IPVS's rule, with destinations that come and go, connections, thresholds and time.

use crate::sched::fixture::{Dest, Service};
use crate::sched::Kind;
use core::net::{IpAddr, Ipv4Addr};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

#[derive(Clone, Debug)]
enum Step {
    /// A connection to the address with this number.
    Pick(u8),
    /// Puts the destination with this number there, if it is not, and with new values.
    Add(u32, u32),
    Remove(Index),
    SetWeight(Index, u32),
    SetConns(Index, u32, u32),
    SetOverloaded(Index, bool),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let weight = || 0..5u32;
    let step = prop_oneof![
        8 => (0..4u8).prop_map(Step::Pick),
        2 => (0..6u32, weight()).prop_map(|(number, weight)| Step::Add(number, weight)),
        1 => any::<Index>().prop_map(Step::Remove),
        1 => (any::<Index>(), weight()).prop_map(|(index, weight)| Step::SetWeight(index, weight)),
        4 => (any::<Index>(), 0..8u32, 0..600u32)
            .prop_map(|(index, active, over)| Step::SetConns(index, active, over)),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(index, on)| Step::SetOverloaded(index, on)),
        1 => (0..1_500u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

/// What IPVS remembers: destinations by their address, the newest first, and when the set changed.
#[derive(Default)]
struct Model(HashMap<u8, (Vec<IpAddr>, u32)>);

fn takes(dest: &Dest) -> bool {
    dest.weight > 0 && !dest.overloaded
}

fn overhead(dest: &Dest) -> u64 {
    u64::from(dest.active) * 256 + u64::from(dest.total)
}

/// The index of a destination in the service.
fn place(service: &Service, addr: IpAddr) -> Option<usize> {
    service.dests.iter().position(|dest| dest.addr == addr)
}

/// The first of these with the least overhead for its weight.
fn least(service: &Service, indices: impl Iterator<Item = usize>) -> Option<usize> {
    let mut least: Option<usize> = None;
    for index in indices.filter(|&index| takes(&service.dests[index])) {
        let dest = &service.dests[index];
        let better = least.is_none_or(|least| {
            let least = &service.dests[least];
            overhead(least) * u64::from(dest.weight) > overhead(dest) * u64::from(least.weight)
        });
        if better {
            least = Some(index);
        }
    }
    least
}

fn is_too_busy(service: &Service, index: usize) -> bool {
    let dest = &service.dests[index];
    let slack = |dest: &Dest| dest.active * 2 < dest.weight;
    dest.active > dest.weight && service.dests.iter().any(slack)
}

impl Model {
    fn lblc(&mut self, service: &Service, addr: u8) -> Option<usize> {
        let known = self.0.get(&addr).map(|(members, _)| members[0]);
        let home = known.and_then(|known| place(service, known));
        if let Some(index) = home {
            if service.dests[index].weight > 0 && !is_too_busy(service, index) {
                return Some(index);
            }
        }
        let index = least(service, 0..service.dests.len())?;
        self.0.insert(addr, (vec![service.dests[index].addr], 0));
        Some(index)
    }

    fn lblcr(&mut self, service: &Service, addr: u8) -> Option<usize> {
        let now = service.outside.now;
        let Some((members, changed)) = self.0.get_mut(&addr) else {
            let index = least(service, 0..service.dests.len())?;
            self.0.insert(addr, (vec![service.dests[index].addr], now));
            return Some(index);
        };
        let present = members.iter().filter_map(|&addr| place(service, addr));
        let home = least(service, present);
        if members.len() > 1 && now > *changed + service.outside.expiration {
            if let Some(most) = Self::most(service, members) {
                members.remove(most);
                *changed = now;
            }
        }
        if let Some(index) = home.filter(|&index| !is_too_busy(service, index)) {
            return Some(index);
        }
        let index = least(service, 0..service.dests.len())?;
        let dest = service.dests[index].addr;
        if !members.contains(&dest) {
            members.insert(0, dest);
            *changed = now;
        }
        Some(index)
    }

    /// Which of the members has the largest overhead for its weight. One that was removed has no connections left.
    fn most(service: &Service, members: &[IpAddr]) -> Option<usize> {
        let mut most: Option<(usize, u64, u64)> = None;
        for (number, &addr) in members.iter().enumerate() {
            let (load, weight) = match place(service, addr) {
                Some(index) => (
                    overhead(&service.dests[index]),
                    u64::from(service.dests[index].weight),
                ),
                None => (0, 1),
            };
            if weight > 0 && most.is_none_or(|(_, load0, weight0)| load0 * weight < load * weight0)
            {
                most = Some((number, load, weight));
            }
        }
        most.map(|(number, _, _)| number)
    }
}

/// Does a step, and compares what it picks.
fn apply(step: Step, service: &mut Service, model: &mut Model) -> Result<(), TestCaseError> {
    let n = service.dests.len();
    match step {
        Step::Pick(addr) => {
            let expected = match service.kind {
                Kind::Lblc => model.lblc(service, addr),
                _ => model.lblcr(service, addr),
            };
            prop_assert_eq!(service.pick_to(Ipv4Addr::new(192, 0, 2, addr)), expected);
        }
        Step::Wait(ticks) => service.outside.now += ticks,
        Step::Add(number, weight) => {
            let dest = Dest::numbered(number, weight);
            if place(service, dest.addr).is_none() {
                service.add(dest);
            }
        }
        _ if n == 0 => {}
        Step::Remove(index) => service.remove(index.index(n)),
        Step::SetWeight(index, weight) => service.set_weight(index.index(n), weight),
        Step::SetOverloaded(index, on) => service.dests[index.index(n)].overloaded = on,
        Step::SetConns(index, active, over) => {
            let dest = &mut service.dests[index.index(n)];
            (dest.active, dest.total) = (active, active + over);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn equals_the_rule(steps in steps(), replicates: bool) {
        let kind = if replicates { Kind::Lblcr } else { Kind::Lblc };
        let mut service = Service::weighted(kind, &[3, 1, 2]);
        let mut model = Model::default();
        for step in steps {
            apply(step, &mut service, &mut model)?;
        }
    }
}
