// SPDX-License-Identifier: GPL-2.0

//! How an index fits its table to its load, under traffic.

use core::sync::atomic::Ordering;
use kernel::prelude::*;

use super::due::Quarter;
use super::locks::Locks;
use super::table::{for_each_word, free_table, Table};
use super::{node, side, Entry, Index, Side, AHEAD, CROWDED, MIN_BUCKETS};
use crate::sys::rcu::{self, Rcu};

impl<T: Entry> Index<T> {
    /// The number of buckets that suits the present load, if it is another one.
    pub(crate) fn wanted(&self, rcu: &Rcu) -> Option<usize> {
        let (entries, buckets) = (self.entries.load(Ordering::Relaxed), self.buckets(rcu));
        if self.table(rcu).next().is_some() {
            // The last change of size stopped half way.
            return Some(buckets);
        }
        let most = buckets.saturating_mul(CROWDED);
        if entries > most {
            return entries.checked_div(CROWDED)?.checked_next_power_of_two();
        }
        let shrink = buckets > MIN_BUCKETS && entries < buckets / 2;
        shrink.then(|| entries.next_power_of_two().max(MIN_BUCKETS))
    }

    /// Whether the worker should be woken: to make room, or because it rests.
    #[inline(always)]
    pub(crate) fn crowded(&self, rcu: &Rcu) -> bool {
        let table = self.table(rcu);
        let most = table.buckets().saturating_mul(CROWDED);
        let crowded = self.entries.load(Ordering::Relaxed) > most && table.next().is_none();
        // ORDERING: see `rest`.
        crowded || self.resting.load(Ordering::SeqCst)
    }

    /// Says whether there is nothing to look after: then the worker may rest until
    /// [`Index::crowded`] calls it.
    pub(crate) fn rest(&self) -> bool {
        // ORDERING: whoever takes an object in counts it, then looks at `resting`; here it is
        // the other way round. All four are in one order, so one of the two sees the other.
        self.resting.store(true, Ordering::SeqCst);
        let empty = self.objects.load(Ordering::SeqCst) == 0 && self.dead.number() == 0;
        if !empty {
            self.resting.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// Objects that have left the table and whose memory is not free yet.
    pub(crate) fn dead(&self) -> usize {
        self.dead.number()
    }

    /// Says that the worker does not rest.
    pub(crate) fn wake(&self) {
        self.resting.store(false, Ordering::SeqCst);
    }

    /// Moves everything to a table of `buckets`. Sleeps; one caller at a time.
    ///
    /// Without memory it stops half way, which is harmless, and goes on when called again.
    pub(crate) fn resize(&self, buckets: usize) -> Result {
        // SAFETY: Only this function frees tables, and it has one caller at a time.
        let old = unsafe { &*self.table.load(Ordering::Acquire) };
        let locks = self.locks.get().ok_or(ENODEV)?;
        if old.next().is_none() {
            let new = Table::new(buckets.max(MIN_BUCKETS))?;
            old.next.store(new.as_ptr(), Ordering::Release);
        }
        let new = old.next().ok_or(EINVAL)?;
        for bucket in old.moved.load(Ordering::Relaxed)..old.buckets() {
            Self::prefetch_nodes(old, bucket.wrapping_add(AHEAD));
            self.migrate(locks, old, new, bucket)?;
            old.moved.store(bucket.wrapping_add(1), Ordering::Relaxed);
            rcu::cond_resched();
        }
        let new = old.next.load(Ordering::Acquire);
        let old = self.table.swap(new, Ordering::AcqRel);
        rcu::synchronize();
        // SAFETY: Unreachable since the grace period, and empty.
        unsafe { free_table(old) };
        Ok(())
    }

    /// Moves one bucket; its entries are in the new table before they leave the old.
    fn migrate(&self, locks: &Locks, old: &Table, new: &Table, bucket: usize) -> Result {
        let _locked = locks.lock(bucket as u64, bucket as u64);
        let mut result = Ok(());
        let when = old.hints.get(bucket).unwrap_or(Quarter::now());
        for_each_word(old.line(bucket as u64), |slot| {
            let word = slot.load(Ordering::Relaxed);
            if word == 0 || result.is_err() {
                return;
            }
            // SAFETY: The entry is linked and its bucket locked.
            let place = unsafe { self.hash_of(word) }.and_then(|hash| {
                let place = new.line(hash).free_slot(None)?;
                Some((place, new.bucket(hash)))
            });
            let Some((place, number)) = place else {
                result = Err(ENOMEM);
                return;
            };
            place.store(word, Ordering::Release);
            slot.store(0, Ordering::Release);
            if side(word) == Side::First {
                new.hints.put(number, when);
            }
        });
        result
    }

    /// The whole hash of an entry, of which the word holds only a part.
    ///
    /// # Safety
    ///
    /// `word` was read from a table whose bucket is locked, or under RCU that is still held.
    pub(super) unsafe fn hash_of(&self, word: u64) -> Option<u64> {
        // SAFETY: A node stays live while its entry is linked and locked, and for a grace period.
        let value = unsafe { &(*node::<T>(word)).value };
        Some(T::hash(&value.key(side(word))?, &self.seed))
    }
}
