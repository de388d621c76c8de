// SPDX-License-Identifier: GPL-2.0

//! The flow index: a hash table that is read without locks and grows under traffic.
//!
//! A bucket is one cache line of seven words and a link to an overflow line. A word
//! packs the address of an object, which of its two keys this entry stands for, and
//! twelve bits of the key's hash, so that a lookup touches the bucket's line and the
//! object that it wants, hardly ever another one.
//!
//! Growing: the worker hangs a larger table behind the present one and moves bucket by
//! bucket, each under its lock, an entry being in the new table before it leaves the
//! old. Readers look in the old one, then in the new one, so they miss nothing and never
//! wait. The lock follows from the low bits of the hash, which no table's size changes:
//! one lock covers an entry's bucket in both tables.
//!
//! An index has no memory until it is opened, which a namespace does with its first service.
//!
//! Lock order: the locks of an object's two entries, the lower number first.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use kernel::prelude::*;
use kernel::str::CStr;

use self::locks::Locks;
use self::table::{for_each_word, Table, MAX_CHAIN, NOWHERE};
use super::once::Once;
use super::prefetch::prefetch;
use super::rcu::Rcu;
use super::slab::{OpenPool, Pool};
use super::time::Jiffies;
use crate::ffi;
use crate::hash::cursor;

mod due;
mod end;
mod grow;
mod locks;
mod sample;
mod scan;
mod table;

pub(crate) use self::due::NOTED;
pub(crate) use self::sample::SAMPLE;
pub(crate) use self::scan::{Judge, Position};
pub(crate) use self::table::open_tables;

/// Fewest buckets; at least as many as there are locks.
const MIN_BUCKETS: usize = 1024;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Buckets that walks look ahead.
const AHEAD: usize = 4;
/// Low bits of an entry: the side and five bits of the hash, free through alignment.
const LOW_BITS: u64 = 0x3f;
/// Bits of an address that tell kernel addresses apart (57-bit virtual addresses).
const ADDRESS: u64 = ((1 << 57) - 1) & !LOW_BITS;

const _: () = assert!(MIN_BUCKETS >= ffi::RLVS_INDEX_LOCKS as usize);
const _: () = assert!(ffi::RLVS_INDEX_LOCKS.is_power_of_two());

/// Which of its two keys an object was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The key that every object has.
    First,
    /// The key that an object may have besides.
    Second,
}

/// What the index has to know of the objects in it.
pub(crate) trait Entry: Send + Sync + 'static {
    /// What an object is looked up by.
    type Key: Copy;
    /// What makes an index's hash its own.
    type Seed: Send + Sync;
    /// The key of one side, if the object has it; never changes.
    fn key(&self, side: Side) -> Option<Self::Key>;
    /// Whether `key` is the object's key of that side.
    fn matches(&self, side: Side, key: &Self::Key) -> bool;
    /// A hash that nobody without `seed` can steer.
    fn hash(key: &Self::Key, seed: &Self::Seed) -> u64;
    /// The hash of the second key, if there is one.
    fn second_hash(&self, seed: &Self::Seed) -> Option<u64>;
    /// Keeps that hash, if there is room for it. It is told once, before anybody sees the object.
    fn keep(&mut self, hash: u64);
    /// Where the objects' memory comes from.
    fn pool() -> &'static Pool<Node<Self>>
    where
        Self: Sized;
}

/// Opens the pool that the objects of type `T` come from.
pub(crate) fn open_pool<T: Entry>(name: &'static CStr) -> Result<OpenPool> {
    T::pool().open(name)
}

/// Why an object was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// One of its keys is taken.
    Exists,
    /// No memory.
    NoMemory,
}

/// An object and the link by which it waits for its end.
#[repr(C, align(64))]
pub(crate) struct Node<T> {
    value: T,
    dead: AtomicPtr<Node<T>>,
}

/// Packs an entry's word.
#[inline(always)]
fn pack<T>(node: NonNull<Node<T>>, side: Side, hash: u64) -> u64 {
    (node.as_ptr() as u64 & ADDRESS) | tag(hash) | u64::from(side == Side::Second)
}

/// The twelve bits of the hash that a word holds: five below the address, seven above.
#[inline(always)]
fn tag(hash: u64) -> u64 {
    (hash & !((1 << 57) - 1)) | ((hash >> 47) & 0x3e)
}

/// Whether `word` may stand for a key with `hash`.
#[inline(always)]
fn tagged(word: u64, hash: u64) -> bool {
    (word ^ tag(hash)) & (!((1 << 57) - 1) | 0x3e) == 0
}

#[inline(always)]
fn side(word: u64) -> Side {
    if word & 1 == 0 {
        Side::First
    } else {
        Side::Second
    }
}

/// The object that `word` stands for.
#[inline(always)]
fn node<T>(word: u64) -> *const Node<T> {
    // Kernel addresses carry bit 56 up to the top.
    ((((word & ADDRESS) << 7) as i64) >> 7) as u64 as *const Node<T>
}

/// A set of objects that are found by one or two keys.
///
/// # Invariants
///
/// `table` is a live table; every word in it stands for a live node of `T::pool`, and a
/// node is freed only after a grace period from when its words were cleared. Without locks
/// it is [`NOWHERE`], which nobody changes.
pub(crate) struct Index<T: Entry> {
    table: AtomicPtr<Table>,
    locks: Once<Locks>,
    seed: T::Seed,
    objects: AtomicUsize,
    entries: AtomicUsize,
    resting: AtomicBool,
    /// The worker was called to make room, and has not yet done or given up.
    called: AtomicBool,
    fit: grow::Fit,
    dead: end::Dead<T>,
}

// SAFETY: The index owns its objects, which are `Send`.
unsafe impl<T: Entry> Send for Index<T> {}
// SAFETY: Shared access is by atomics and the bucket locks; objects are `Sync`.
unsafe impl<T: Entry> Sync for Index<T> {}

/// An object's keys and their hashes; without a second key both hashes are the first's.
struct Keys<T: Entry> {
    first: T::Key,
    second: Option<T::Key>,
    hash1: u64,
    hash2: u64,
}

impl<T: Entry> Keys<T> {
    /// Entries that the object has in the table.
    fn words(&self) -> usize {
        1 + usize::from(self.second.is_some())
    }
}

impl<T: Entry> Index<T> {
    /// An empty index, without memory.
    pub(crate) fn new(seed: T::Seed) -> Self {
        Self {
            // INVARIANT: Nobody changes the table; see `locks`.
            table: AtomicPtr::new((&raw const NOWHERE).cast_mut()),
            locks: Once::empty(),
            seed,
            objects: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            resting: AtomicBool::new(true),
            called: AtomicBool::new(false),
            fit: grow::Fit::new(),
            dead: end::Dead::new(),
        }
    }

    /// Gets the memory that the index needs to take objects in, unless it has it. Sleeps.
    pub(crate) fn open(&self) -> Result {
        if self.locks.get().is_some() {
            return Ok(());
        }
        let locks = KVBox::new(Locks::new()?, GFP_KERNEL_ACCOUNT)?;
        let new = Table::new(MIN_BUCKETS)?.as_ptr();
        let nowhere = (&raw const NOWHERE).cast_mut();
        let swap = self
            .table
            .compare_exchange(nowhere, new, Ordering::AcqRel, Ordering::Relaxed);
        if swap.is_err() {
            // SAFETY: From `Table::new`, and nobody saw it.
            unsafe { table::free_table(new) };
        }
        // INVARIANT: The table is one that may be changed.
        self.locks.put(locks);
        Ok(())
    }

    /// Objects in the index.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.objects.load(Ordering::Relaxed)
    }

    /// Buckets of the present table.
    pub(crate) fn buckets(&self, rcu: &Rcu) -> usize {
        let table = self.table(rcu);
        if ptr::eq(table, &NOWHERE) {
            return 0;
        }
        table.buckets()
    }

    #[inline(always)]
    fn table<'a>(&'a self, _rcu: &'a Rcu) -> &'a Table {
        // SAFETY: By the invariant live, and `resize` frees it after a grace period only.
        unsafe { &*self.table.load(Ordering::Acquire) }
    }

    /// The object that has `key`, and which of its keys that is.
    #[inline(always)]
    pub(crate) fn find<'a>(&'a self, rcu: &'a Rcu, key: &T::Key) -> Option<(&'a T, Side)> {
        self.find_hashed(rcu, key, T::hash(key, &self.seed))
    }

    /// Asks for the memory where `key` would be found.
    #[inline(always)]
    pub(crate) fn announce(&self, rcu: &Rcu, key: &T::Key) {
        prefetch(self.table(rcu).line(T::hash(key, &self.seed)));
    }

    #[inline(always)]
    fn find_hashed<'a>(&'a self, rcu: &'a Rcu, key: &T::Key, hash: u64) -> Option<(&'a T, Side)> {
        let mut table = self.table(rcu);
        loop {
            let found = self.find_in(rcu, table.line(hash), hash, key);
            if found.is_some() {
                return found;
            }
            // Ends: each table's successor is newer, and only the last has none.
            table = table.next()?;
        }
    }

    #[inline(always)]
    fn find_in<'a>(
        &'a self,
        _rcu: &'a Rcu,
        first: &table::Line,
        hash: u64,
        key: &T::Key,
    ) -> Option<(&'a T, Side)> {
        let mut line = first;
        for _ in 0..MAX_CHAIN {
            for slot in &line.slots {
                let word = slot.load(Ordering::Acquire);
                if word == 0 || !tagged(word, hash) {
                    continue;
                }
                let node = node::<T>(word);
                if size_of::<Node<T>>() > LINE {
                    prefetch(node.cast::<u8>().wrapping_add(LINE));
                }
                // SAFETY: By the invariant a live node, which the token keeps so.
                let value = unsafe { &(*node).value };
                if value.matches(side(word), key) {
                    return Some((value, side(word)));
                }
            }
            line = line.more()?;
        }
        None
    }

    /// Takes `value` in, unless one of its keys is taken. It will be looked at when `span` is
    /// over, or sooner.
    #[inline(always)]
    pub(crate) fn insert<'a>(
        &'a self,
        rcu: &'a Rcu,
        mut value: T,
        span: Jiffies,
    ) -> Result<&'a T, Refused> {
        let locks = self.locks.get().ok_or(Refused::NoMemory)?;
        let keys = self.keys(&value).ok_or(Refused::Exists)?;
        value.keep(keys.hash2);
        // Their lines come while memory is found for the object.
        let table = self.newest(rcu);
        prefetch(table.line(keys.hash1));
        prefetch(table.line(keys.hash2));
        let dead = AtomicPtr::new(ptr::null_mut());
        let node = T::pool().put(Node { value, dead });
        let node = node.ok_or(Refused::NoMemory)?;
        match self.link(rcu, locks, node, &keys) {
            Ok(()) => {
                self.note_hash(rcu, keys.hash1, span);
                // SAFETY: Linked, so the token keeps it alive.
                Ok(unsafe { &(*node.as_ptr()).value })
            }
            Err(why) => {
                // SAFETY: Nobody saw the node.
                unsafe { Self::free(node) };
                Err(why)
            }
        }
    }

    /// Has `value` looked at when `span` is over, or sooner.
    pub(crate) fn note(&self, rcu: &Rcu, value: &T, span: Jiffies) {
        if let Some(key) = value.key(Side::First) {
            self.note_hash(rcu, T::hash(&key, &self.seed), span);
        }
    }

    #[inline(always)]
    fn note_hash(&self, rcu: &Rcu, hash: u64, span: Jiffies) {
        let mut table = self.table(rcu);
        loop {
            table.hints.note(table.bucket(hash), span);
            match table.next() {
                Some(next) => table = next,
                None => return,
            }
        }
    }

    #[inline(always)]
    fn keys(&self, value: &T) -> Option<Keys<T>> {
        let first = value.key(Side::First)?;
        let second = value.key(Side::Second);
        let hash1 = T::hash(&first, &self.seed);
        let hash2 = value.second_hash(&self.seed).unwrap_or(hash1);
        Some(Keys {
            first,
            second,
            hash1,
            hash2,
        })
    }

    /// Enters the node's words. Both places are found before a reader can see the node, so
    /// that one that is refused was seen by nobody.
    #[inline(always)]
    fn link(
        &self,
        rcu: &Rcu,
        locks: &Locks,
        node: NonNull<Node<T>>,
        keys: &Keys<T>,
    ) -> Result<(), Refused> {
        let &Keys { hash1, hash2, .. } = keys;
        let _locked = locks.lock(hash1, hash2);
        let taken = |key: &T::Key, hash| self.find_hashed(rcu, key, hash).is_some();
        if taken(&keys.first, hash1) || keys.second.is_some_and(|key| taken(&key, hash2)) {
            return Err(Refused::Exists);
        }
        let table = self.newest(rcu);
        let place = |hash, other| table.line(hash).free_slot(other).ok_or(Refused::NoMemory);
        let first = place(hash1, None)?;
        if keys.second.is_some() {
            let second = place(hash2, Some(first))?;
            second.store(pack(node, Side::Second, hash2), Ordering::Release);
        }
        first.store(pack(node, Side::First, hash1), Ordering::Release);
        // ORDERING: see `rest`.
        self.objects.fetch_add(1, Ordering::SeqCst);
        self.entries.fetch_add(keys.words(), Ordering::Relaxed);
        Ok(())
    }

    fn newest<'a>(&'a self, rcu: &'a Rcu) -> &'a Table {
        let mut table = self.table(rcu);
        while let Some(next) = table.next() {
            table = next;
        }
        table
    }

    /// Calls `f` for the objects of the bucket at `at`, and returns where to go on, or `None` at
    /// the end; a walk begins at 0. Objects that are there from the beginning to the end come
    /// once or, seldom and while the table changes its size, twice.
    pub(crate) fn walk(&self, rcu: &Rcu, at: usize, mut f: impl FnMut(&T)) -> Option<usize> {
        let first = self.table(rcu);
        let mut second = first.next();
        let mut mask = self.visit(rcu, (first, second), at, &mut f);
        if second.is_none() && first.next().is_some() {
            // Growth has begun meanwhile, and may have moved what was to be seen.
            second = first.next();
            mask = self.visit(rcu, (first, second), at, &mut f);
        }
        let next = cursor::next(at, mask);
        if let Some(next) = next {
            Self::prefetch_nodes(second.unwrap_or(first), next);
        }
        next
    }

    /// Calls `f` for what is in bucket `at` of a table, and of the one that it moves to: those of
    /// the larger one's buckets. Returns the mask of that one's numbers.
    fn visit(
        &self,
        rcu: &Rcu,
        (first, second): (&Table, Option<&Table>),
        at: usize,
        f: &mut impl FnMut(&T),
    ) -> usize {
        let buckets = second.map_or(0, Table::buckets).max(first.buckets());
        let mask = buckets.wrapping_sub(1);
        // The old table first: from there they move to the new one.
        for table in Iterator::chain([first].into_iter(), second) {
            for_each_word(table.line(at as u64), |slot| {
                let word = slot.load(Ordering::Acquire);
                if word != 0 && side(word) == Side::First && self.is_at(rcu, table, word, at, mask)
                {
                    // SAFETY: By the invariant a live node, which the token keeps so.
                    f(unsafe { &(*node::<T>(word)).value });
                }
            });
        }
        mask
    }

    /// Whether an entry, which was found in `table` under `_rcu`, would be in bucket `at` of a
    /// table with `mask` + 1 buckets.
    fn is_at(&self, _rcu: &Rcu, table: &Table, word: u64, at: usize, mask: usize) -> bool {
        // CAST: the low bits are meant.
        let bucket = |hash: u64| hash as usize & mask;
        // SAFETY: By the contract above.
        table.buckets() > mask || unsafe { self.hash_of(word) }.map(bucket) == Some(at & mask)
    }

    /// Asks for the objects of a bucket, which are spread over all memory.
    fn prefetch_nodes(table: &Table, bucket: usize) {
        for slot in &table.line(bucket as u64).slots {
            prefetch(node::<T>(slot.load(Ordering::Relaxed)));
        }
    }
}
