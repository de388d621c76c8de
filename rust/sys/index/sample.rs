// SPDX-License-Identifier: GPL-2.0

//! A few objects of an index, as they come.

use core::sync::atomic::Ordering;

use super::table::{for_each_word, Table};
use super::{node, side, Entry, Index, Side, MIN_BUCKETS};
use crate::sys::prefetch::prefetch;
use crate::sys::rcu::Rcu;

/// Objects that one look gives at the most.
pub(crate) const SAMPLE: usize = 16;
/// Buckets that one look goes through at the most. A table that is so sparse that this is
/// not enough is of the smallest size, and seen whole.
const SIGHT: usize = MIN_BUCKETS;

/// The words of the objects that were found.
struct Sample {
    words: [u64; SAMPLE],
    len: usize,
    most: usize,
}

impl Sample {
    fn is_full(&self) -> bool {
        self.len >= self.most
    }

    /// Notes an object, once, by its first word, and asks for its memory.
    fn offer<T: Entry>(&mut self, word: u64) {
        if word == 0 || side(word) == Side::Second || self.is_full() {
            return;
        }
        if let Some(place) = self.words.get_mut(self.len) {
            prefetch(node::<T>(word));
            *place = word;
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Looks through a table from bucket `start` on, which wraps around.
    fn look<T: Entry>(&mut self, table: &Table, start: u64) {
        // CAST: a table has fewer buckets than 2^63.
        for step in 0..table.buckets().min(SIGHT) as u64 {
            if self.is_full() {
                return;
            }
            for_each_word(table.line(start.wrapping_add(step)), |slot| {
                self.offer::<T>(slot.load(Ordering::Acquire));
            });
        }
    }
}

impl<T: Entry> Index<T> {
    /// Calls `f` for up to `most` objects, at most [`SAMPLE`], from the bucket of the number
    /// `start` on. The work is bounded, however full or empty the table is. While the table
    /// grows some may come twice.
    pub(crate) fn sample<'a>(
        &'a self,
        rcu: &'a Rcu,
        start: u64,
        most: usize,
        mut f: impl FnMut(&'a T),
    ) {
        let most = most.min(SAMPLE).min(self.len());
        let mut sample = Sample {
            words: [0; SAMPLE],
            len: 0,
            most,
        };
        let mut table = Some(self.table(rcu));
        while let Some(this) = table {
            sample.look::<T>(this, start);
            table = this.next();
        }
        for &word in sample.words.iter().take(sample.len) {
            // SAFETY: By the invariant a live node, which the token keeps so.
            f(unsafe { &(*node::<T>(word)).value });
        }
    }
}
