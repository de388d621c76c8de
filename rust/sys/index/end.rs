// SPDX-License-Identifier: GPL-2.0

//! How objects leave an index, and its end.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::table::{for_each_word, free_table, Table, NOWHERE, YIELD};
use super::{node, pack, side, Entry, Index, Keys, Node, Side, LINE};
use crate::sys::prefetch::prefetch;
use crate::sys::rcu::{self, GracePeriod, Rcu};

/// Lists of the dead: as many as there can be misses of the cache under way at once. A list
/// tells where its next node lies only when this one has come.
const LANES: usize = 8;

/// One list for each lane.
type Lanes<T> = [AtomicPtr<Node<T>>; LANES];

/// Nodes that have left the table.
///
/// # Invariants
///
/// Each is on one list, linked by its `dead`, and out of the table. Those of `waiting` left
/// it before `period` began, which only [`Index::reclaim`] uses, as it does `any`.
pub(super) struct Dead<T> {
    fresh: Lanes<T>,
    waiting: Lanes<T>,
    any: AtomicBool,
    period: AtomicUsize,
    /// How many there are.
    number: AtomicUsize,
}

impl<T> Dead<T> {
    pub(super) fn new() -> Self {
        let none = || [const { AtomicPtr::new(ptr::null_mut()) }; LANES];
        Self {
            fresh: none(),
            waiting: none(),
            any: AtomicBool::new(false),
            period: AtomicUsize::new(0),
            number: AtomicUsize::new(0),
        }
    }

    /// How many nodes wait for their end.
    pub(super) fn number(&self) -> usize {
        // ORDERING: as the number of objects, for whoever asks whether there is work left.
        self.number.load(Ordering::SeqCst)
    }

    /// Puts unlinked nodes on the lists.
    fn bury(&self, gone: &Gone<T>) {
        self.number.fetch_add(gone.nodes, Ordering::SeqCst);
        for (lane, chain) in self.fresh.iter().zip(&gone.chains) {
            if let &Some(chain) = chain {
                push(lane, chain);
            }
        }
    }
}

/// Puts a chain of unlinked nodes in front of a list.
fn push<T>(lane: &AtomicPtr<Node<T>>, (first, last): Chain<T>) {
    let mut head = lane.load(Ordering::Relaxed);
    loop {
        // SAFETY: The node is live, and only its remover writes this field.
        unsafe { last.as_ref() }.dead.store(head, Ordering::Relaxed);
        let swap =
            lane.compare_exchange_weak(head, first.as_ptr(), Ordering::Release, Ordering::Relaxed);
        match swap {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// The first and the last node of a chain, which are linked by their `dead`.
type Chain<T> = (NonNull<Node<T>>, NonNull<Node<T>>);

/// Nodes that were taken out together, in a chain for each list.
///
/// # Invariants
///
/// They are out of the table, and live as long as the token that they were found under.
pub(super) struct Gone<T> {
    chains: [Option<Chain<T>>; LANES],
    /// How many.
    pub(super) nodes: usize,
    words: usize,
}

impl<T> Gone<T> {
    pub(super) fn new() -> Self {
        Self {
            chains: [None; LANES],
            nodes: 0,
            words: 0,
        }
    }

    /// Adds a node that the caller has taken out, with as many words.
    pub(super) fn add(&mut self, node: NonNull<Node<T>>, words: usize) {
        let number = node.as_ptr() as usize / LINE % LANES;
        if let Some(chain) = self.chains.get_mut(number) {
            let (next, last) = match *chain {
                Some((first, last)) => (first.as_ptr(), last),
                None => (ptr::null_mut(), node),
            };
            // SAFETY: The node is live, and only its remover writes this field.
            unsafe { node.as_ref() }.dead.store(next, Ordering::Relaxed);
            *chain = Some((node, last));
        }
        self.nodes = self.nodes.wrapping_add(1);
        self.words = self.words.wrapping_add(words);
    }
}

impl<T: Entry> Index<T> {
    /// Takes `value` out; false if somebody else did. It is freed by [`Index::reclaim`].
    pub(crate) fn remove(&self, rcu: &Rcu, value: &T) -> bool {
        // `value` is the first field of its node.
        let node = NonNull::from(value).cast::<Node<T>>();
        match self.keys(value) {
            Some(keys) => self.unlink(rcu, node, &keys),
            None => false,
        }
    }

    /// Takes a node out whose keys are known.
    pub(super) fn unlink(&self, rcu: &Rcu, node: NonNull<Node<T>>, keys: &Keys<T>) -> bool {
        let first = (keys.hash1, pack(node, Side::First, keys.hash1));
        let hash2 = keys.second.as_ref().map(|_| keys.hash2);
        if !self.take_out(rcu, node, first, hash2) {
            return false;
        }
        let mut gone = Gone::new();
        gone.add(node, keys.words());
        self.bury(&gone);
        true
    }

    /// Clears the entries of a node, of which the first is told by its hash and word, the
    /// second by its hash; false if somebody else did.
    ///
    /// Of a hash only what says the bucket counts. There are no more locks than buckets, so
    /// that it tells the lock too.
    pub(super) fn take_out(
        &self,
        rcu: &Rcu,
        node: NonNull<Node<T>>,
        (hash1, word): (u64, u64),
        hash2: Option<u64>,
    ) -> bool {
        let Some(locks) = self.locks.get() else {
            return false;
        };
        let _locked = locks.lock(hash1, hash2.unwrap_or(hash1));
        if !self.clear(rcu, hash1, word) {
            return false;
        }
        if let Some(hash2) = hash2 {
            self.clear(rcu, hash2, pack(node, Side::Second, hash2));
        }
        true
    }

    /// Counts nodes that are out, and has them freed later.
    pub(super) fn bury(&self, gone: &Gone<T>) {
        self.entries.fetch_sub(gone.words, Ordering::Relaxed);
        self.dead.bury(gone);
        self.objects.fetch_sub(gone.nodes, Ordering::SeqCst);
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

    /// Frees what was removed a grace period ago, without waiting for one; says whether
    /// something is left. Sleeps; one caller at a time.
    pub(crate) fn reclaim(&self) -> bool {
        if self.dead.any.load(Ordering::Relaxed) {
            let period = GracePeriod(self.dead.period.load(Ordering::Relaxed));
            if !period.is_over() {
                return true;
            }
            // SAFETY: By the invariant of `Dead` nobody can reach them since the period.
            let freed = unsafe { Self::free_lanes(&self.dead.waiting) };
            self.dead.number.fetch_sub(freed, Ordering::Relaxed);
        }
        let mut any = false;
        for (fresh, waiting) in self.dead.fresh.iter().zip(&self.dead.waiting) {
            let list = fresh.swap(ptr::null_mut(), Ordering::Acquire);
            waiting.store(list, Ordering::Relaxed);
            any |= !list.is_null();
        }
        if any {
            // INVARIANT: They were off the table before the period begins.
            let GracePeriod(period) = GracePeriod::begin();
            self.dead.period.store(period, Ordering::Relaxed);
        }
        self.dead.any.store(any, Ordering::Relaxed);
        any
    }

    /// Frees all nodes of the lists, one of each in turn; says how many. Sleeps.
    ///
    /// # Safety
    ///
    /// Nobody else may be able to reach the nodes.
    unsafe fn free_lanes(lanes: &Lanes<T>) -> usize {
        let mut freed = 0_usize;
        let mut next = lanes
            .each_ref()
            .map(|lane| lane.swap(ptr::null_mut(), Ordering::Acquire));
        while next.iter().any(|list| !list.is_null()) {
            for _ in 0..YIELD / LANES {
                for list in &mut next {
                    let Some(node) = NonNull::new(*list) else {
                        continue;
                    };
                    // SAFETY: By the contract a node that is ours.
                    *list = unsafe { node.as_ref() }.dead.load(Ordering::Relaxed);
                    announce_end(*list);
                    // SAFETY: As above.
                    unsafe { Self::free(node) };
                    freed = freed.wrapping_add(1);
                }
            }
            rcu::cond_resched();
        }
        freed
    }

    /// Drops and frees a node.
    ///
    /// # Safety
    ///
    /// The node must come from the pool, be initialised, and be out of everybody's reach.
    pub(super) unsafe fn free(node: NonNull<Node<T>>) {
        // SAFETY: By the contract the node is initialised and ours.
        unsafe { ptr::drop_in_place(node.as_ptr()) };
        // SAFETY: By the contract it came from the pool.
        unsafe { T::pool().free(node) };
    }

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

    /// Frees all objects of a table that nobody else sees any more.
    fn free_objects(table: &Table) {
        for bucket in 0..table.buckets() {
            Self::prefetch_nodes(table, bucket.wrapping_add(super::AHEAD));
            for_each_word(table.line(bucket as u64), Self::free_word);
            if bucket % YIELD == 0 {
                rcu::cond_resched();
            }
        }
    }
}

impl<T: Entry> Drop for Index<T> {
    /// Frees all objects; there are no readers left. Sleeps.
    fn drop(&mut self) {
        // SAFETY: Nobody is left who could reach them.
        unsafe {
            Self::free_lanes(&self.dead.waiting);
            Self::free_lanes(&self.dead.fresh);
        }
        let mut table = *self.table.get_mut();
        while !table.is_null() && !ptr::eq(table, &NOWHERE) {
            // SAFETY: A live table (invariant) that nobody else sees any more.
            let this = unsafe { &*table };
            Self::free_objects(this);
            let next = this.next.load(Ordering::Acquire);
            // SAFETY: As above.
            unsafe { free_table(table) };
            table = next;
        }
    }
}

/// Asks for the part of a node that is wanted when it ends, which is behind its value's keys.
pub(super) fn announce_end<T>(node: *const Node<T>) {
    let at = size_of::<Node<T>>().saturating_sub(LINE);
    prefetch(node.cast::<u8>().wrapping_add(at));
}
