// SPDX-License-Identifier: GPL-2.0
//! Whose turn it is among several that can say no.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Which one is next.
#[derive(Default)]
pub(crate) struct Turn(AtomicU32);

impl Turn {
    /// Goes on where `other` stands.
    pub(crate) fn follow(&mut self, other: &Self) {
        *self.0.get_mut() = other.0.load(Relaxed);
    }

    /// Asks up to `most` of `items`, from the one whose turn it is on, until one gives something.
    ///
    /// The turn moves on past all that were asked: whoever comes next does not ask those again that said no, so that
    /// all are asked sooner or later, however many they are.
    pub(crate) fn find<'a, T, R>(
        &self,
        items: &'a [T],
        most: usize,
        mut f: impl FnMut(&'a T) -> Option<R>,
    ) -> Option<R> {
        let start = self.0.fetch_add(1, Relaxed);
        let mut asked: u32 = 0;
        let found = from(items, start).take(most).find_map(|item| {
            asked = asked.wrapping_add(1);
            f(item)
        });
        if asked > 1 {
            self.0.fetch_add(asked.wrapping_sub(1), Relaxed);
        }
        found
    }

    /// Those that were asked last, if `find` asked as many as it may.
    pub(crate) fn last<'a, T>(&self, items: &'a [T], most: usize) -> impl Iterator<Item = &'a T> {
        let number = most.min(items.len());
        // CAST: `most` is small.
        let start = self.0.load(Relaxed).wrapping_sub(number as u32);
        from(items, start).take(number)
    }
}

/// All of `items`, from number `start` on.
fn from<T>(items: &[T], start: u32) -> impl Iterator<Item = &T> {
    // CAST: an index may wrap around.
    let start = (start as usize).checked_rem(items.len()).unwrap_or(0);
    let (before, after) = items.split_at_checked(start).unwrap_or_default();
    Iterator::chain(after.iter(), before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn yes(item: &u32) -> Option<u32> {
        Some(*item)
    }

    #[test]
    fn all_serve_in_turn() {
        let turn = Turn::default();
        let served = (0..7).filter_map(|_| turn.find(&[0, 1, 2], 64, yes));
        assert_eq!(served.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn nobody_is_asked_of_nobody() {
        let turn = Turn::default();
        assert_eq!(turn.find(&[], 64, yes), None);
        assert_eq!(turn.last(&[0; 0], 64).count(), 0);
    }

    #[test]
    fn no_more_are_asked_than_may_be() {
        let (turn, items) = (Turn::default(), [0; 1000]);
        let mut asked = 0;
        let found = turn.find(&items, 64, |_| -> Option<()> {
            asked += 1;
            None
        });
        assert_eq!((found, asked), (None, 64));
    }

    #[test]
    fn one_among_thousands_is_found_as_soon_as_all_are_asked_once() {
        let items: Vec<u32> = (0..5000).collect();
        for wanted in [0, 63, 64, 2500, 4999] {
            let turn = Turn::default();
            let mut tries = 1..=5000_usize.div_ceil(64);
            let find = |_: &usize| turn.find(&items, 64, |&item| (item == wanted).then_some(item));
            let found = tries.find(|tries| find(tries).is_some());
            assert_eq!(found, Some(wanted as usize / 64 + 1), "{wanted}");
        }
    }

    #[test]
    fn those_that_say_no_are_passed_over_by_the_next() {
        let turn = Turn::default();
        let free = |&item: &u32| (item >= 40).then_some(item);
        let items: Vec<u32> = (0..42).collect();
        // Not all to the one that stands behind those that are full.
        let found = (0..6).filter_map(|_| turn.find(&items, 64, free));
        assert_eq!(found.collect::<Vec<_>>(), [40, 41, 40, 41, 40, 41]);
    }

    #[test]
    fn the_last_are_those_that_were_asked() {
        for number in [1, 3, 64, 65, 200] {
            let (turn, items) = (Turn::default(), (0..number).collect::<Vec<u32>>());
            for _ in 0..7 {
                let mut asked = Vec::new();
                turn.find(&items, 64, |item| -> Option<()> {
                    asked.push(item);
                    None
                });
                assert_eq!(turn.last(&items, 64).collect::<Vec<_>>(), asked);
            }
        }
    }
}
