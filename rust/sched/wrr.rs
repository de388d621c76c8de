// SPDX-License-Identifier: GPL-2.0
//! Weighted round robin: rounds at falling levels, each over the destinations whose weight reaches the level.
//!
//! The levels fall from the largest weight to 1 by what the weights have in common. IPVS walks over all destinations at
//! every level; here a tree of maxima over the weights leads straight to the next one that reaches the level, so a pick
//! costs O(log n), also between one heavy and a thousand light destinations. The order is IPVS's exactly.

use super::{advance, available, common_divisor, Candidate, Nobody};
use core::sync::atomic::AtomicU64;

/// Words of the table for `n` destinations.
pub(super) fn table_len(n: usize) -> usize {
    n.checked_next_power_of_two()
        .map_or(usize::MAX, |leaves| leaves.saturating_mul(2))
}

/// Fills the table: see [`Levels`].
pub(super) fn build(dests: &[impl Candidate], table: &mut [u32]) {
    table.fill(0);
    let leaves = table.len() / 2;
    for (leaf, dest) in table.iter_mut().skip(leaves).zip(dests) {
        *leaf = dest.weight();
    }
    for node in (1..leaves).rev() {
        let children = table.iter().skip(node.wrapping_mul(2)).take(2);
        let max = children.copied().max().unwrap_or(0);
        if let Some(parent) = table.get_mut(node) {
            *parent = max;
        }
    }
    let step = common_divisor(table.iter().skip(leaves).copied()).max(1);
    if let Some(first) = table.first_mut() {
        *first = step;
    }
}

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D], table: &[u32], cursor: &AtomicU64) -> Option<usize> {
    let levels = Levels::new(table);
    advance(cursor, |seen| levels.next(dests, seen))
}

/// Why [`pick`] finds nobody.
#[cold]
pub(super) fn nobody(table: &[u32]) -> Nobody {
    match Levels::new(table).top {
        0 => Nobody::Left,
        _ => Nobody::Overloaded,
    }
}

/// Starts over before the first destination, at the present level as far as the new weights have it.
pub(super) fn carry(cursor: u64, table: &[u32]) -> u64 {
    let levels = Levels::new(table);
    let level = match Cursor::unpack(cursor).level {
        0 => levels.top,
        level if level > levels.top => levels.top,
        level if levels.step > 1 => levels.reached_by(level.wrapping_add(1)),
        level => level,
    };
    Cursor { level, position: 0 }.pack()
}

/// Where the rounds are.
#[derive(Clone, Copy)]
struct Cursor {
    /// The weight that a destination must reach; 0 stands for the top level.
    level: u32,
    /// 1 + the index of the destination picked last; 0 stands before the first.
    position: u32,
}

impl Cursor {
    fn unpack(cursor: u64) -> Self {
        // CAST: the halves.
        Self {
            level: (cursor >> 32) as u32,
            position: cursor as u32,
        }
    }

    fn pack(self) -> u64 {
        (u64::from(self.level) << 32) | u64::from(self.position)
    }
}

/// A table: word 0 is the step from level to level; word 1 is the root of a binary heap of maxima, whose leaves, the
/// upper half of the table, are the weights.
struct Levels<'a> {
    table: &'a [u32],
    step: u32,
    /// The top level, less than the largest weight by at most the step; 0 if no weight is above 0.
    top: u32,
}

impl<'a> Levels<'a> {
    #[inline]
    fn new(table: &'a [u32]) -> Self {
        let step = table.first().map_or(1, |&step| step.max(1));
        let largest = table.get(1).copied().unwrap_or(0);
        Self {
            table,
            step,
            top: largest.saturating_sub(step.wrapping_sub(1)),
        }
    }

    /// The next cursor and the pick.
    #[inline]
    fn next<D: Candidate>(&self, dests: &[D], cursor: u64) -> (u64, Option<usize>) {
        if self.top == 0 {
            return (cursor, None);
        }
        let mut now = Cursor::unpack(cursor);
        if now.level == 0 {
            now.level = self.top;
        }
        let below = self.below(now.level);
        let found = self
            .first(dests, now.position, now.level)
            .or_else(|| self.first(dests, 0, below))
            .or_else(|| self.first(dests, 0, self.reached(dests)?));
        match found {
            Some((next, index)) => (next.pack(), Some(index)),
            None => (self.after_failure(now).pack(), None),
        }
    }

    /// The level after `level`.
    fn below(&self, level: u32) -> u32 {
        match level.saturating_sub(self.step) {
            0 => self.top,
            lower => lower,
        }
    }

    /// The highest level that a destination reaches which takes connections.
    ///
    /// Only wanted when destinations that would be next are overloaded, so a walk over all will do.
    #[cold]
    fn reached<D: Candidate>(&self, dests: &[D]) -> Option<u32> {
        let weights = self.table.iter().skip(self.leaves());
        let taking = weights.zip(dests).filter(|(_, dest)| available(*dest));
        let largest = taking.map(|(&weight, _)| weight).max()?;
        (largest > 0).then(|| self.reached_by(largest))
    }

    /// The highest level that `weight`, at least 1, reaches: levels are 1 + a multiple of the step.
    fn reached_by(&self, weight: u32) -> u32 {
        let over = weight.wrapping_sub(1);
        over.wrapping_sub(over.checked_rem(self.step).unwrap_or(0))
            .wrapping_add(1)
    }

    /// Where IPVS's rounds stand after they found nobody: at the start, unless they were at the last level.
    fn after_failure(&self, now: Cursor) -> Cursor {
        if now.position == 0 || now.level > self.step {
            Cursor {
                level: self.top,
                position: 0,
            }
        } else {
            now
        }
    }

    /// The first destination from index `from` on that reaches `level` and takes connections.
    #[inline]
    fn first<D: Candidate>(&self, dests: &[D], from: u32, level: u32) -> Option<(Cursor, usize)> {
        let mut from = from as usize;
        while let Some(index) = self.reaching(from, level) {
            let next = index.wrapping_add(1);
            if available(dests.get(index)?) {
                let position = u32::try_from(next).ok()?;
                return Some((Cursor { level, position }, index));
            }
            from = next;
        }
        None
    }

    /// The first leaf from `from` on whose weight reaches `level`, which is at least 1.
    #[inline]
    fn reaching(&self, from: usize, level: u32) -> Option<usize> {
        let leaves = self.leaves();
        if from >= leaves {
            return None;
        }
        let reaches = |node: usize| self.table.get(node).is_some_and(|&max| max >= level);
        let mut node = leaves.wrapping_add(from);
        // Up, and at every turn to the neighbour on the right.
        while !reaches(node) {
            // The node and its ancestors that are right children have nothing on their right.
            node = node.checked_shr(node.trailing_ones()).unwrap_or(0);
            if node == 0 {
                return None;
            }
            node = node.wrapping_add(1);
        }
        while node < leaves {
            node = node.wrapping_mul(2);
            if !reaches(node) {
                node = node.wrapping_add(1);
            }
        }
        node.checked_sub(leaves)
    }

    fn leaves(&self) -> usize {
        self.table.len() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn levels_interleave_the_destinations() {
        let service = Service::weighted(Kind::Wrr, &[4, 3, 2]);
        assert_eq!(service.picks(18), "001012012001012012");
    }

    #[test]
    fn the_common_divisor_shortens_the_rounds() {
        let service = Service::weighted(Kind::Wrr, &[40, 30, 20]);
        assert_eq!(service.picks(9), "001012012");
    }

    #[test]
    fn the_largest_weights_take_turns() {
        let max = i32::MAX as u32;
        assert_eq!(
            Service::weighted(Kind::Wrr, &[max, max - 1, 1]).picks(6),
            "001010"
        );
        assert_eq!(Service::weighted(Kind::Wrr, &[max, max]).picks(4), "0101");
    }

    #[test]
    fn weight_0_takes_nothing() {
        assert_eq!(
            Service::weighted(Kind::Wrr, &[0, 2, 0, 1]).picks(6),
            "113113"
        );
    }

    #[test]
    fn one_destination() {
        assert_eq!(Service::weighted(Kind::Wrr, &[65_535]).picks(3), "000");
        assert_eq!(
            Service::weighted(Kind::Wrr, &[i32::MAX as u32]).picks(3),
            "000"
        );
    }

    #[test]
    fn the_rest_takes_over_when_the_heaviest_is_overloaded() {
        let mut service = Service::weighted(Kind::Wrr, &[9, 2, 1]);
        service.dests[0].overloaded = true;
        assert_eq!(service.picks(6), "112112");
    }

    #[test]
    fn overload_of_all_starts_the_rounds_over() {
        let mut service = Service::weighted(Kind::Wrr, &[3, 2]);
        assert_eq!(service.picks(2), "00");
        service
            .dests
            .iter_mut()
            .for_each(|dest| dest.overloaded = true);
        assert_eq!(service.picks(2), "--");
        service
            .dests
            .iter_mut()
            .for_each(|dest| dest.overloaded = false);
        assert_eq!(service.picks(5), "00101");
    }

    #[test]
    fn a_change_keeps_the_level() {
        let mut service = Service::weighted(Kind::Wrr, &[3, 2]);
        assert_eq!(service.picks(3), "001");
        // Level 2 stays, from the first destination on: 2 and 1 left of 4.
        service.add(Dest::numbered(9, 4));
        assert_eq!(service.picks(6), "012012");
        assert_eq!(service.picks(9), "001012012");
    }

    #[test]
    fn a_change_to_smaller_weights_starts_at_their_top() {
        let mut service = Service::weighted(Kind::Wrr, &[9, 3]);
        assert_eq!(service.picks(1), "0");
        service.set_weight(0, 2);
        assert_eq!(service.picks(5), "10101");
    }

    #[test]
    fn a_cursor_out_of_range_does_no_harm() {
        let service = Service::weighted(Kind::Wrr, &[3, 2]);
        for cursor in [u64::MAX, u64::from(u32::MAX), u64::from(u32::MAX) << 32] {
            service.cursor.store(cursor, Relaxed);
            let picks = service.picks(50);
            assert!((29..=31).contains(&picks.matches('0').count()), "{picks}");
        }
    }
}
