// SPDX-License-Identifier: GPL-2.0

//! How an index fits its table to its load, under traffic.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::prelude::*;

use super::due::Quarter;
use super::locks::Locks;
use super::table::{for_each_word, free_table, Table};
use super::{node, side, Entry, Index, Side, AHEAD, MIN_BUCKETS};
use crate::hash::size;
use crate::sys::rcu::{self, Rcu};
use crate::sys::time::Jiffies;

/// So long a table has to be roomy before it shrinks.
const ROOMY: u32 = 20;
/// So many seconds pass after an attempt that found no memory.
const PAUSE: u32 = 3;

/// What the worker remembers of a table's size. Nobody else uses it.
pub(super) struct Fit {
    /// Since when the table has had far more buckets than would do, if it has.
    roomy: AtomicBool,
    since: AtomicU32,
    /// When an attempt found no memory, if the last one did.
    failed: AtomicBool,
    at: AtomicU32,
}

impl Fit {
    pub(super) fn new() -> Self {
        Self {
            roomy: AtomicBool::new(false),
            since: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            at: AtomicU32::new(0),
        }
    }

    /// Notes whether the table is roomy; says whether it has been so for long.
    fn is_long_roomy(&self, roomy: bool) -> bool {
        let now = Jiffies::now();
        if !self.roomy.swap(roomy, Ordering::Relaxed) {
            self.since.store(now.0, Ordering::Relaxed);
        }
        let since = Jiffies(self.since.load(Ordering::Relaxed));
        roomy && now.since(since) >= Jiffies::seconds(ROOMY)
    }

    /// Notes how an attempt went.
    fn note(&self, result: Result) {
        self.at.store(Jiffies::now().0, Ordering::Relaxed);
        self.failed.store(result.is_err(), Ordering::Relaxed);
    }

    /// Whether it is too early for another attempt.
    fn pauses(&self) -> bool {
        let at = Jiffies(self.at.load(Ordering::Relaxed));
        self.failed.load(Ordering::Relaxed) && Jiffies::now().since(at) < Jiffies::seconds(PAUSE)
    }
}

impl<T: Entry> Index<T> {
    /// Fits the table to the present load. Sleeps; one caller at a time.
    ///
    /// Without memory the table stays as it is, only slower, and another attempt follows some
    /// seconds later; nobody has to call for it.
    pub(crate) fn fit(&self) {
        if self.fit.pauses() {
            return;
        }
        let wanted = rcu::read(|rcu| self.wanted(rcu));
        let result = wanted.map_or(Ok(()), |buckets| self.resize(buckets));
        self.fit.note(result);
        if result.is_ok() {
            self.called.store(false, Ordering::Relaxed);
        }
    }

    /// The number of buckets that suits the present load, if it is another one.
    fn wanted(&self, rcu: &Rcu) -> Option<usize> {
        let (entries, buckets) = (self.entries.load(Ordering::Relaxed), self.buckets(rcu));
        if self.table(rcu).next().is_some() {
            // The last change of size stopped half way.
            return Some(buckets);
        }
        let roomy = size::is_roomy(entries, buckets, MIN_BUCKETS);
        let long = self.fit.is_long_roomy(roomy);
        size::wanted(entries, buckets, MIN_BUCKETS, long)
    }

    /// Whether the worker should be woken: to make room, or because it rests. True for one of
    /// many who ask; the worker goes on by itself then.
    #[inline(always)]
    pub(crate) fn crowded(&self, rcu: &Rcu) -> bool {
        let table = self.table(rcu);
        let entries = self.entries.load(Ordering::Relaxed);
        let crowded = size::is_crowded(entries, table.buckets())
            && !self.called.load(Ordering::Relaxed)
            && table.next().is_none()
            && !self.called.swap(true, Ordering::Relaxed);
        // ORDERING: see `rest`.
        crowded || self.resting.load(Ordering::SeqCst) && self.resting.swap(false, Ordering::SeqCst)
    }

    /// Says whether there is nothing to look after, nor a table larger than the smallest: then
    /// the worker may rest until [`Index::crowded`] calls it.
    pub(crate) fn rest(&self) -> bool {
        // ORDERING: whoever takes an object in counts it, then looks at `resting`; here it is
        // the other way round. All four are in one order, so one of the two sees the other.
        self.resting.store(true, Ordering::SeqCst);
        let empty = self.objects.load(Ordering::SeqCst) == 0 && self.dead.number() == 0;
        let empty = empty && rcu::read(|rcu| self.is_small(rcu));
        if !empty {
            self.resting.store(false, Ordering::SeqCst);
        }
        empty
    }

    fn is_small(&self, rcu: &Rcu) -> bool {
        let table = self.table(rcu);
        table.buckets() <= MIN_BUCKETS && table.next().is_none()
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
    fn resize(&self, buckets: usize) -> Result {
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
        match side(word) {
            Side::First => Some(T::hash(&value.key(Side::First)?, &self.seed)),
            Side::Second => value.second_hash(&self.seed),
        }
    }
}
