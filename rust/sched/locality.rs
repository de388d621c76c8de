// SPDX-License-Identifier: GPL-2.0
//! What lblc and lblcr share: which destinations serve an address is remembered, for the caches that they are.

use super::{Candidate, Key};
use core::net::IpAddr;

/// Addresses that a service remembers at most: half as much again as IPVS's size of the table, from which on it clears
/// up.
pub(crate) const MOST: usize = SIZE / 2 * 3;

/// With more addresses than these, those that have been idle for a while go.
const SIZE: usize = 16 << 10;

/// Seconds between two checks of a table.
pub(crate) const CHECK_INTERVAL: u32 = 60;

/// Every so many checks of a table that is not too large, all that is too old goes.
const CHECKS: u32 = 30;

/// So many seconds make an address idle, in a table that is too large.
const IDLE: u32 = 6 * 60;

/// A destination as it is remembered, whether the service has it or not: IPVS keeps one that was removed, and takes the
/// same one back when it is added again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    addr: IpAddr,
    port: u16,
    /// Where it stood, counted from the last.
    place: u32,
}

impl Known {
    /// Destination number `index`.
    pub(super) fn new(dests: &[impl Candidate], index: usize) -> Option<Self> {
        let dest = dests.get(index)?;
        let place = dests.len().checked_sub(index)?;
        Some(Self {
            addr: dest.addr(),
            port: dest.port(),
            place: u32::try_from(place).ok()?,
        })
    }

    /// Whether both are the same destination.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.addr, self.port) == (other.addr, other.port)
    }

    /// Its index, if the service has it now. Those before it do not matter, as they come and go; of those behind it some
    /// may be gone, so that it stands a bit further on.
    pub(super) fn find<D: Candidate>(&self, dests: &[D]) -> Option<usize> {
        let start = dests.len().saturating_sub(self.place as usize);
        let (before, after) = dests.split_at_checked(start)?;
        let is_it = |dest: &D| (dest.addr(), dest.port()) == (self.addr, self.port);
        match after.iter().position(is_it) {
            Some(index) => index.checked_add(start),
            None => before.iter().position(is_it),
        }
    }
}

/// The destinations that serve an address.
pub(crate) struct Set<'a> {
    /// Oldest first.
    pub(crate) members: &'a [Known],
    /// When one came or went, by [`super::Outside::now`].
    pub(crate) changed: u32,
}

/// Where a service keeps which destinations serve which addresses. It may refuse to take in anything.
pub(crate) trait Cache {
    /// Shows to `f` who serves `addr`, and notes that it is in use.
    fn recall<R>(&self, addr: IpAddr, now: u32, f: impl FnOnce(Set<'_>) -> R) -> Option<R>;
    /// Lets nobody but `dest` serve `addr`.
    fn replace(&self, addr: IpAddr, dest: Known, now: u32);
    /// Lets `dest` serve `addr`, too.
    fn add(&self, addr: IpAddr, dest: Known, now: u32);
    /// Does not let `dest` serve `addr` any more, unless it is the only one.
    fn remove(&self, addr: IpAddr, dest: &Known, now: u32);
}

/// Remembers `choice`, if there is one, by `f`.
#[inline]
pub(super) fn remember<D: Candidate>(
    dests: &[D],
    choice: Option<usize>,
    key: &Key,
    f: impl FnOnce(IpAddr, Known),
) -> Option<usize> {
    let choice = choice?;
    if let Some(known) = Known::new(dests, choice) {
        f(key.dst, known);
    }
    Some(choice)
}

/// Whether destination number `index` has more active connections than its weight, while another one has fewer than half
/// of its.
pub(super) fn is_too_busy<D: Candidate>(dests: &[D], index: usize) -> bool {
    let busy = dests.get(index).is_some_and(|d| d.active() > d.weight());
    let is_slack = |d: &D| u64::from(d.active()).wrapping_mul(2) < d.weight().into();
    busy && dests.iter().any(is_slack)
}

/// What a check is to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What was not in use for so many seconds.
    pub(crate) idle: u32,
    /// So many addresses, and then no more.
    pub(crate) most: usize,
}

/// When what is remembered is looked through.
#[derive(Default)]
pub(crate) struct Upkeep(u32);

impl Upkeep {
    /// What is to be done now, [`CHECK_INTERVAL`] after the last time, with so many addresses, if anything is. All that
    /// were not in use for `expiration` seconds go every half hour.
    pub(crate) fn next(&mut self, addresses: usize, expiration: u32) -> Option<Check> {
        self.0 = self.0.wrapping_add(1);
        if self.0 >= CHECKS {
            self.0 = 0;
            return Some(Check {
                idle: expiration,
                most: usize::MAX,
            });
        }
        let excess = addresses.checked_sub(SIZE).filter(|&excess| excess > 0)?;
        // A check that clears up does not count.
        self.0 = self.0.wrapping_sub(1);
        Some(Check {
            idle: IDLE,
            most: (excess.saturating_mul(4) / 3).min(SIZE / 2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Dest;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_destination_is_found_wherever_it_stands() {
        let mut dests: Vec<_> = (0..5).map(|number| Dest::numbered(number, 1)).collect();
        let known = Known::new(&dests, 2).unwrap();
        assert_eq!(known.find(&dests), Some(2));
        dests.insert(0, Dest::numbered(9, 1));
        assert_eq!(known.find(&dests), Some(3));
        dests.pop();
        assert_eq!(known.find(&dests), Some(3));
        dests.drain(1..3);
        assert_eq!(known.find(&dests), Some(1));
        // One that comes back stands first.
        let again = dests.remove(1);
        assert_eq!(known.find(&dests), None);
        dests.insert(0, again);
        assert_eq!(known.find(&dests), Some(0));
        assert_eq!(known.find::<Dest>(&[]), None);
    }

    #[test]
    fn the_port_tells_destinations_apart() {
        let one = Dest::new([192, 0, 2, 1], 80, 1);
        let other = Dest::new([192, 0, 2, 1], 81, 1);
        let known = Known::new(&[one.clone(), other], 1).unwrap();
        assert_eq!(known.find(&[one]), None);
    }

    #[test]
    fn too_busy_only_while_another_is_slack() {
        for (active, other, expected) in [(2, 0, false), (3, 0, true), (3, 1, true), (3, 2, false)]
        {
            let dests = [
                Dest::numbered(0, 2).with_conns(active, active),
                Dest::numbered(1, 4).with_conns(other, other),
            ];
            assert_eq!(is_too_busy(&dests, 0), expected, "{active} {other}");
        }
    }

    #[test]
    fn all_that_is_old_goes_every_half_hour() {
        let mut upkeep = Upkeep::default();
        for _ in 0..3 {
            for _ in 1..CHECKS {
                assert_eq!(upkeep.next(SIZE, 77), None);
            }
            let all = Check {
                idle: 77,
                most: usize::MAX,
            };
            assert_eq!(upkeep.next(SIZE, 77), Some(all));
        }
    }

    #[test]
    fn too_many_addresses_give_way_when_they_are_idle() {
        let mut upkeep = Upkeep::default();
        for (addresses, most) in [
            (SIZE + 3, 4),
            (SIZE + 1, 1),
            (SIZE + 6144, 8192),
            (MOST, 8192),
        ] {
            for _ in 0..40 {
                let some = Check { idle: 360, most };
                assert_eq!(upkeep.next(addresses, 77), Some(some));
            }
        }
    }
}
