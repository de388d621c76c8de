// SPDX-License-Identifier: GPL-2.0
//! Locality-based least connections: an address keeps its destination as long as that is there and not too busy; then wlc
//! finds it another.

use super::locality::{is_too_busy, remember, Cache};
use super::{wlc, Candidate, Key};

#[inline]
pub(super) fn pick<D: Candidate>(
    dests: &[D],
    cache: &impl Cache,
    key: &Key,
    now: u32,
) -> Option<usize> {
    let known = cache.recall(key.dst, now, |set| set.members.first().copied());
    let home = known.flatten().and_then(|known| known.find(dests));
    // A threshold that is reached does not count here, as in IPVS.
    let stays = |&index: &usize| {
        let takes = dests.get(index).is_some_and(|dest| dest.weight() > 0);
        takes && !is_too_busy(dests, index)
    };
    home.filter(stays).or_else(|| {
        remember(dests, wlc::pick(dests), key, |addr, known| {
            cache.replace(addr, known, now);
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use core::net::{Ipv4Addr, Ipv6Addr};

    /// Picks for the addresses with these last bytes.
    fn picks<const N: usize>(service: &Service, last: [u8; N]) -> [Option<usize>; N] {
        last.map(|last| service.pick_to(Ipv4Addr::new(192, 0, 2, last)))
    }

    /// A connection to that destination, that counts as active.
    fn connect(service: &mut Service, index: usize) {
        service.dests[index].active += 1;
        service.dests[index].total += 1;
    }

    #[test]
    fn an_address_keeps_its_destination() {
        let mut service = Service::weighted(Kind::Lblc, &[4, 4]);
        assert_eq!(picks(&service, [1]), [Some(0)]);
        connect(&mut service, 0);
        assert_eq!(picks(&service, [2, 1]), [Some(1), Some(0)]);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        assert_eq!(service.pick_to(v6), Some(1));
        connect(&mut service, 1);
        connect(&mut service, 1);
        assert_eq!(service.pick_to(v6), Some(1));
    }

    #[test]
    fn one_that_is_too_busy_gives_its_address_to_another() {
        let mut service = Service::weighted(Kind::Lblc, &[1, 3]);
        assert_eq!(picks(&service, [1]), [Some(0)]);
        for _ in 0..2 {
            connect(&mut service, 0);
        }
        assert_eq!(picks(&service, [1]), [Some(1)]);
        service.dests[0].active = 0;
        assert_eq!(picks(&service, [1]), [Some(1)]);
    }

    #[test]
    fn one_that_takes_none_loses_its_addresses_but_not_at_its_threshold() {
        let mut service = Service::weighted(Kind::Lblc, &[1, 1]);
        assert_eq!(picks(&service, [1]), [Some(0)]);
        service.dests[0].overloaded = true;
        assert_eq!(picks(&service, [1, 2]), [Some(0), Some(1)]);
        service.set_weight(0, 0);
        assert_eq!(picks(&service, [1]), [Some(1)]);
        service.set_weight(0, 1);
        assert_eq!(picks(&service, [1]), [Some(1)]);
    }

    #[test]
    fn one_that_was_removed_has_its_addresses_when_it_comes_back() {
        let mut service = Service::weighted(Kind::Lblc, &[1, 1]);
        assert_eq!(picks(&service, [1, 2]), [Some(0), Some(0)]);
        service.remove(0);
        assert_eq!(picks(&service, [2]), [Some(0)]);
        service.add(Dest::numbered(0, 1));
        assert_eq!(picks(&service, [1, 2]), [Some(0), Some(1)]);
    }

    #[test]
    fn without_memory_it_is_wlc() {
        let mut service = Service::weighted(Kind::Lblc, &[1, 1]);
        service.cache.is_full = true;
        assert_eq!(picks(&service, [1]), [Some(0)]);
        connect(&mut service, 0);
        assert_eq!(picks(&service, [1]), [Some(1)]);
    }
}
