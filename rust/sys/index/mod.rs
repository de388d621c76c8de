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
//! Lock order: the locks of an object's two entries, the lower number first.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use kernel::prelude::*;
use kernel::str::CStr;

use self::table::{for_each_word, free_table, Table, MAX_CHAIN};
use super::prefetch::prefetch;
use super::rcu::{self, Rcu};
use super::slab::{OpenPool, Pool};
use crate::ffi;

mod table;

pub(crate) use self::table::open_lines;

/// Fewest buckets; at least as many as there are locks.
const MIN_BUCKETS: usize = 1024;
/// Entries a bucket, on average, from which the table should grow.
const CROWDED: usize = 5;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Buckets that walks look ahead.
const AHEAD: usize = 4;
/// Low bits of an entry: the side and five bits of the hash, free through alignment.
const LOW_BITS: u64 = 0x3f;
/// Bits of an address that tell kernel addresses apart (57-bit virtual addresses).
const ADDRESS: u64 = ((1 << 57) - 1) & !LOW_BITS;

const _: () = assert!(MIN_BUCKETS >= ffi::RLVS_INDEX_LOCKS as usize);

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
/// node is freed only after a grace period from when its words were cleared.
pub(crate) struct Index<T: Entry> {
    table: AtomicPtr<Table>,
    seed: T::Seed,
    objects: AtomicUsize,
    entries: AtomicUsize,
    dead: AtomicPtr<Node<T>>,
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

/// The locks of two hashes, held.
struct Locked(u32, u32);

impl Locked {
    fn new(a: u64, b: u64) -> Self {
        let (a, b) = (
            a as u32 % ffi::RLVS_INDEX_LOCKS,
            b as u32 % ffi::RLVS_INDEX_LOCKS,
        );
        // SAFETY: The locks were initialised by `open_lines`; no other one is held.
        unsafe { ffi::rlvs_index_lock(a, b) };
        Self(a, b)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: Taken by `new`.
        unsafe { ffi::rlvs_index_unlock(self.0, self.1) };
    }
}

impl<T: Entry> Index<T> {
    /// An empty index.
    pub(crate) fn new(seed: T::Seed) -> Result<Self> {
        Ok(Self {
            table: AtomicPtr::new(Table::new(MIN_BUCKETS)?.as_ptr()),
            seed,
            objects: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            dead: AtomicPtr::new(ptr::null_mut()),
        })
    }

    /// Objects in the index.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.objects.load(Ordering::Relaxed)
    }

    /// Buckets of the present table.
    pub(crate) fn buckets(&self, rcu: &Rcu) -> usize {
        self.table(rcu).buckets()
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

    /// Takes `value` in, unless one of its keys is taken.
    #[inline(always)]
    pub(crate) fn insert<'a>(&'a self, rcu: &'a Rcu, value: T) -> Result<&'a T, Refused> {
        let keys = self.keys(&value).ok_or(Refused::Exists)?;
        // Their lines come while memory is found for the object.
        let table = self.newest(rcu);
        prefetch(table.line(keys.hash1));
        prefetch(table.line(keys.hash2));
        let dead = AtomicPtr::new(ptr::null_mut());
        let node = T::pool().put(Node { value, dead });
        let node = node.ok_or(Refused::NoMemory)?;
        match self.link(rcu, node, &keys) {
            // SAFETY: Linked, so the token keeps it alive.
            Ok(()) => Ok(unsafe { &(*node.as_ptr()).value }),
            Err(why) => {
                // SAFETY: Nobody saw the node.
                unsafe { Self::free(node) };
                Err(why)
            }
        }
    }

    #[inline(always)]
    fn keys(&self, value: &T) -> Option<Keys<T>> {
        let first = value.key(Side::First)?;
        let second = value.key(Side::Second);
        let hash1 = T::hash(&first, &self.seed);
        let hash2 = second.map_or(hash1, |key| T::hash(&key, &self.seed));
        Some(Keys {
            first,
            second,
            hash1,
            hash2,
        })
    }

    /// Enters the node's words.
    fn link(&self, rcu: &Rcu, node: NonNull<Node<T>>, keys: &Keys<T>) -> Result<(), Refused> {
        let &Keys { hash1, hash2, .. } = keys;
        let _locked = Locked::new(hash1, hash2);
        let taken = |key: &T::Key, hash| self.find_hashed(rcu, key, hash).is_some();
        if taken(&keys.first, hash1) || keys.second.is_some_and(|key| taken(&key, hash2)) {
            return Err(Refused::Exists);
        }
        let table = self.newest(rcu);
        let slot = table.line(hash1).free_slot().ok_or(Refused::NoMemory)?;
        slot.store(pack(node, Side::First, hash1), Ordering::Release);
        if keys.second.is_some() {
            let Some(slot) = table.line(hash2).free_slot() else {
                slot.store(0, Ordering::Release);
                return Err(Refused::NoMemory);
            };
            slot.store(pack(node, Side::Second, hash2), Ordering::Release);
        }
        self.objects.fetch_add(1, Ordering::Relaxed);
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

    /// Takes `value` out; false if somebody else did. It is freed by [`Index::reclaim`].
    pub(crate) fn remove(&self, rcu: &Rcu, value: &T) -> bool {
        // `value` is the first field of its node.
        let node = NonNull::from(value).cast::<Node<T>>();
        let Some(keys) = self.keys(value) else {
            return false;
        };
        let Keys { hash1, hash2, .. } = keys;
        {
            let _locked = Locked::new(hash1, hash2);
            if !self.clear(rcu, hash1, pack(node, Side::First, hash1)) {
                return false;
            }
            if keys.second.is_some() {
                self.clear(rcu, hash2, pack(node, Side::Second, hash2));
            }
        }
        self.entries.fetch_sub(keys.words(), Ordering::Relaxed);
        self.objects.fetch_sub(1, Ordering::Relaxed);
        self.bury(node);
        true
    }

    /// Clears `word`, wherever it stands; its bucket is locked.
    fn clear(&self, rcu: &Rcu, hash: u64, word: u64) -> bool {
        let mut table = self.table(rcu);
        loop {
            if let Some(slot) = table.line(hash).find(word) {
                slot.store(0, Ordering::Release);
                return true;
            }
            match table.next() {
                Some(next) => table = next,
                None => return false,
            }
        }
    }

    /// Puts an unlinked node on the list of the dead.
    fn bury(&self, node: NonNull<Node<T>>) {
        let mut head = self.dead.load(Ordering::Relaxed);
        loop {
            // SAFETY: The node is live, and only its remover writes this field.
            unsafe { node.as_ref() }.dead.store(head, Ordering::Relaxed);
            let swap = self.dead.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match swap {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Frees what has been removed. Sleeps.
    pub(crate) fn reclaim(&self) {
        let mut list = self.dead.swap(ptr::null_mut(), Ordering::Acquire);
        if list.is_null() {
            return;
        }
        rcu::synchronize();
        while let Some(node) = NonNull::new(list) {
            // SAFETY: Unlinked before the grace period; the list is ours alone.
            list = unsafe { node.as_ref() }.dead.load(Ordering::Relaxed);
            // SAFETY: As above, so nobody can reach the node any more.
            unsafe { Self::free(node) };
        }
    }

    /// Drops and frees a node.
    ///
    /// # Safety
    ///
    /// The node must come from the pool, be initialised, and be out of everybody's reach.
    unsafe fn free(node: NonNull<Node<T>>) {
        // SAFETY: By the contract the node is initialised and ours.
        unsafe { ptr::drop_in_place(node.as_ptr()) };
        // SAFETY: By the contract it came from the pool.
        unsafe { T::pool().free(node) };
    }

    /// Calls `f` for the objects of `count` buckets from `start` on; returns where to go
    /// on, or `None` at the end. While the table grows some may come twice or not at all.
    pub(crate) fn walk(
        &self,
        rcu: &Rcu,
        start: usize,
        count: usize,
        mut f: impl FnMut(&T),
    ) -> Option<usize> {
        let table = self.newest(rcu);
        let end = start.saturating_add(count).min(table.buckets());
        for bucket in start..end {
            Self::prefetch_nodes(table, bucket.wrapping_add(AHEAD));
            for_each_word(table.line(bucket as u64), |slot| {
                let word = slot.load(Ordering::Acquire);
                if word != 0 && side(word) == Side::First {
                    // SAFETY: By the invariant a live node, which the token keeps so.
                    f(unsafe { &(*node::<T>(word)).value });
                }
            });
        }
        (end < table.buckets()).then_some(end)
    }

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

    /// Whether the worker should be woken to make room.
    #[inline(always)]
    pub(crate) fn crowded(&self, rcu: &Rcu) -> bool {
        let table = self.table(rcu);
        let most = table.buckets().saturating_mul(CROWDED);
        self.entries.load(Ordering::Relaxed) > most && table.next().is_none()
    }

    /// Moves everything to a table of `buckets`. Sleeps; one caller at a time.
    ///
    /// Without memory it stops half way, which is harmless, and goes on when called again.
    pub(crate) fn resize(&self, buckets: usize) -> Result {
        // SAFETY: Only this function frees tables, and it has one caller at a time.
        let old = unsafe { &*self.table.load(Ordering::Acquire) };
        if old.next().is_none() {
            let new = Table::new(buckets.max(MIN_BUCKETS))?;
            old.next.store(new.as_ptr(), Ordering::Release);
        }
        let new = old.next().ok_or(EINVAL)?;
        for bucket in old.moved.load(Ordering::Relaxed)..old.buckets() {
            Self::prefetch_nodes(old, bucket.wrapping_add(AHEAD));
            self.migrate(old, new, bucket as u64)?;
            old.moved.store(bucket.wrapping_add(1), Ordering::Relaxed);
            // SAFETY: Process context.
            unsafe { ffi::rlvs_cond_resched() };
        }
        let new = old.next.load(Ordering::Acquire);
        let old = self.table.swap(new, Ordering::AcqRel);
        rcu::synchronize();
        // SAFETY: Unreachable since the grace period, and empty.
        unsafe { free_table(old) };
        Ok(())
    }

    /// Asks for the objects of a bucket, which are spread over all memory.
    fn prefetch_nodes(table: &Table, bucket: usize) {
        for slot in &table.line(bucket as u64).slots {
            prefetch(node::<T>(slot.load(Ordering::Relaxed)));
        }
    }

    /// Moves one bucket; its entries are in the new table before they leave the old.
    fn migrate(&self, old: &Table, new: &Table, bucket: u64) -> Result {
        let _locked = Locked::new(bucket, bucket);
        let mut result = Ok(());
        for_each_word(old.line(bucket), |slot| {
            let word = slot.load(Ordering::Relaxed);
            if word == 0 || result.is_err() {
                return;
            }
            match self
                .hash_of(word)
                .and_then(|hash| new.line(hash).free_slot())
            {
                Some(place) => {
                    place.store(word, Ordering::Release);
                    slot.store(0, Ordering::Release);
                }
                None => result = Err(ENOMEM),
            }
        });
        result
    }

    /// The whole hash of an entry, of which the word holds only a part.
    fn hash_of(&self, word: u64) -> Option<u64> {
        // SAFETY: The entry is linked and its bucket locked, so the node is live.
        let value = unsafe { &(*node::<T>(word)).value };
        Some(T::hash(&value.key(side(word))?, &self.seed))
    }
}

impl<T: Entry> Drop for Index<T> {
    /// Frees all objects; there are no readers left.
    fn drop(&mut self) {
        self.reclaim();
        let mut table = *self.table.get_mut();
        while !table.is_null() {
            // SAFETY: A live table (invariant) that nobody else sees any more.
            let this = unsafe { &*table };
            for bucket in 0..this.buckets() {
                for_each_word(this.line(bucket as u64), Self::free_word);
            }
            let next = this.next.load(Ordering::Acquire);
            // SAFETY: As above.
            unsafe { free_table(table) };
            table = next;
        }
    }
}

impl<T: Entry> Index<T> {
    /// Frees the object of a word; each once, by its first word.
    fn free_word(slot: &AtomicU64) {
        let word = slot.load(Ordering::Relaxed);
        if word == 0 || side(word) == Side::Second {
            return;
        }
        if let Some(node) = NonNull::new(node::<T>(word).cast_mut()) {
            // SAFETY: Only called when the index is dropped: nobody else is left.
            unsafe { Self::free(node) };
        }
    }
}
