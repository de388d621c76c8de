// SPDX-License-Identifier: GPL-2.0
//! Locality-based least connections with replication: an address has a set of destinations, of which the least loaded one
//! serves. When that is too busy, the set gets another one by wlc; when the set has not changed for a while, it loses the
//! most loaded one.

use super::least::{least, Load};
use super::locality::{is_too_busy, remember, Cache, Known, Set};
use super::{available, overhead, wlc, Candidate, Key, Nobody, Outside};

#[inline]
pub(super) fn pick<D: Candidate>(
    dests: &[D],
    cache: &impl Cache,
    key: &Key,
    outside: &impl Outside,
) -> Result<usize, Nobody> {
    let now = outside.now();
    let seen = cache.recall(key.dst, now, |set| {
        let large = set.members.len() > 1 && outside.is_stale(set.changed);
        (
            serving(dests, &set),
            if large { most(dests, &set) } else { None },
        )
    });
    if let Some((_, Some(surplus))) = &seen {
        cache.remove(key.dst, surplus, now);
    }
    let home = seen.as_ref().and_then(|(home, _)| *home);
    let choice = home
        .filter(|&index| !is_too_busy(dests, index))
        .or_else(|| {
            remember(dests, wlc::pick(dests), key, |addr, known| {
                cache.add(addr, known, now);
            })
        });
    // Of an address that it does not know IPVS says nothing.
    choice.ok_or(if seen.is_some() {
        Nobody::Left
    } else {
        Nobody::Quiet
    })
}

/// Who of the set serves: the one with the smallest overhead for its weight; of equals the newest.
fn serving<D: Candidate>(dests: &[D], set: &Set<'_>) -> Option<usize> {
    let present = set.members.iter().rev().filter_map(|known| {
        let index = known.find(dests)?;
        let dest = dests.get(index).filter(|dest| available(*dest))?;
        Some((index, dest))
    });
    least(present, overhead)
}

/// Who of the set has the largest overhead for its weight; of equals the newest. One that was removed has none: the
/// connections that IPVS would count are not known here.
fn most<D: Candidate>(dests: &[D], set: &Set<'_>) -> Option<Known> {
    let load = |of: &Known| match of.find(dests).and_then(|index| dests.get(index)) {
        Some(dest) => (overhead(dest), u64::from(dest.weight())),
        None => (0, 1),
    };
    set.members
        .iter()
        .rev()
        .map(|&of| (of, load(&of)))
        .map(|(of, (load, weight))| Load { of, load, weight })
        .filter(|load| load.weight > 0)
        .reduce(|most, load| if most.is_below(&load) { load } else { most })
        .map(|most| most.of)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Service;
    use super::super::{Kind, Nobody};
    use core::net::Ipv4Addr;

    const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    /// A service whose address has both destinations, the second being the newer one.
    fn replicated() -> Service {
        let mut service = Service::weighted(Kind::Lblcr, &[2, 2]);
        assert_eq!(service.pick_to(ONE), Some(0));
        service.dests[0].active = 3;
        service.dests[0].total = 3;
        assert_eq!(service.pick_to(ONE), Some(1));
        service
    }

    #[test]
    fn the_least_loaded_of_the_set_serves() {
        let mut service = replicated();
        service.dests[1].active = 2;
        service.dests[1].total = 2;
        assert_eq!(service.pick_to(ONE), Some(1));
        service.dests[0].active = 1;
        assert_eq!(service.pick_to(ONE), Some(0));
        service.dests[0].overloaded = true;
        assert_eq!(service.pick_to(ONE), Some(1));
    }

    #[test]
    fn a_set_that_stays_as_it_is_loses_the_most_loaded() {
        let mut service = replicated();
        service.outside.now += service.outside.expiration;
        assert_eq!(service.pick_to(ONE), Some(1));
        assert_eq!(service.cache.members(ONE), 2);
        service.outside.now += 1;
        assert_eq!(service.pick_to(ONE), Some(1));
        assert_eq!(service.cache.members(ONE), 1);
        // Not any more: it is not in the set.
        service.dests[0].active = 0;
        service.dests[0].total = 0;
        service.dests[1].active = 1;
        assert_eq!(service.pick_to(ONE), Some(1));
        service.outside.now += 2 * service.outside.expiration;
        assert_eq!(service.pick_to(ONE), Some(1));
        assert_eq!(service.cache.members(ONE), 1);
    }

    #[test]
    fn the_newest_of_equals_serves_and_goes() {
        let mut service = replicated();
        service.dests[0].active = 0;
        service.dests[0].total = 0;
        assert_eq!(service.pick_to(ONE), Some(1));
        service.outside.now += service.outside.expiration + 1;
        assert_eq!(service.pick_to(ONE), Some(1));
        assert_eq!(service.pick_to(ONE), Some(0));
    }

    #[test]
    fn it_says_that_nobody_is_left_only_of_what_it_knows() {
        let mut service = replicated();
        service.set_weight(0, 0);
        service.set_weight(1, 0);
        assert_eq!(service.try_pick_to(ONE), Err(Nobody::Left));
        let other = Ipv4Addr::new(192, 0, 2, 2);
        assert_eq!(service.try_pick_to(other), Err(Nobody::Quiet));
    }
}
