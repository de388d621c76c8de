// SPDX-License-Identifier: GPL-2.0

//! The numbers of a place, by which its users know that it is still theirs.
//!
//! No number is handed out twice, until all have gone and the place begins anew. Who begins it
//! anew sees to it that nobody is left with an old number: he retires the place, after which no
//! number is handed out any more; takes the old ones away, and only then renews it.

use core::sync::atomic::{AtomicU32, Ordering};

/// Numbers from 1 to `LAST`, which is less than `u32::MAX`.
pub(crate) struct Numbers<const LAST: u32>(AtomicU32);

impl<const LAST: u32> Numbers<LAST> {
    /// What stands for the last number of a place that is retired.
    const RETIRED: u32 = u32::MAX;

    /// Of a place that begins.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn last(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The next number; `None`: all have gone, or the place is retired.
    pub(crate) fn take(&self) -> Option<u32> {
        let next = |last: u32| (last < LAST).then(|| last.wrapping_add(1));
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        Some(taken.ok()?.wrapping_add(1))
    }

    /// Whether there is a number left.
    pub(crate) fn any(&self) -> bool {
        self.last() < LAST
    }

    /// Hands out no number any more, if half of them have gone; says whether that is so.
    pub(crate) fn retire(&self) -> bool {
        let low = self.last() > LAST / 2;
        if low {
            self.0.store(Self::RETIRED, Ordering::Relaxed);
        }
        low
    }

    /// Whether it is retired.
    pub(crate) fn is_retired(&self) -> bool {
        self.last() == Self::RETIRED
    }

    /// Begins anew if it was retired: nobody has an old number any more.
    pub(crate) fn renew(&self) {
        if self.is_retired() {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn each_once() {
        let numbers = Numbers::<5>::new();
        let taken: Vec<_> = core::iter::from_fn(|| numbers.take()).collect();
        assert_eq!(taken, [1, 2, 3, 4, 5]);
        assert!(!numbers.any() && !numbers.is_retired());
        numbers.renew();
        assert_eq!(numbers.take(), None, "it was not retired");
    }

    #[test]
    fn retired_only_when_low() {
        let numbers = Numbers::<5>::new();
        numbers.take();
        numbers.take();
        assert!(!numbers.retire() && numbers.any());
        numbers.take();
        assert!(numbers.retire() && numbers.is_retired());
        assert!(!numbers.any() && numbers.take().is_none());
        numbers.renew();
        assert_eq!(numbers.take(), Some(1));
    }

    /// Users with a place and a number each, while others take the places again and again and
    /// all numbers run out many times: a number that counts is always that of the same taker.
    #[test]
    fn no_number_means_another() {
        const PLACES: usize = 4;
        let places = [const { Numbers::<7>::new() }; PLACES];
        let mut present = [(0, 0); PLACES];
        let mut users = vec![(0, 0, 0); 64];
        let (mut random, mut counted, mut renewed) = (1u64, 0, 0);
        for taker in 1..100_000u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let (place, user) = (
                (random >> 33) as usize % PLACES,
                (random >> 40) as usize % 64,
            );
            let Some(number) = places[place].take() else {
                let gone: Vec<_> = places.iter().map(Numbers::retire).collect();
                assert!(gone[place]);
                users.retain(|&(place, ..)| !gone[place]);
                users.resize(64, (0, 0, 0));
                for (place, _) in gone.iter().enumerate().filter(|(_, gone)| **gone) {
                    present[place] = (0, 0);
                    assert_eq!(places[place].take(), None);
                    places[place].renew();
                }
                renewed += 1;
                continue;
            };
            present[place] = (number, taker);
            users[user] = (place, number, taker);
            for &(place, number, taker) in users.iter().filter(|user| user.1 != 0) {
                if present[place].0 == number {
                    assert_eq!(present[place].1, taker);
                    counted += 1;
                }
            }
        }
        assert!(counted > 100_000 && renewed > 1000);
    }
}
