// SPDX-License-Identifier: GPL-2.0

//! How the objects of an index are looked at when they may be over.
//!
//! What is looked at lies all over the memory. So it is done in steps, each for a batch: the
//! buckets whose time has come, their objects, the ends of those that are over; each step
//! asks for what the next one needs, and the memory works at all of it at once.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::due::{take, Quarter, TOGETHER};
use super::end::{announce_end, Gone};
use super::table::{for_each_word, Table};
use super::{node, side, Entry, Index, Node, Side};
use crate::sys::prefetch::prefetch;
use crate::sys::rcu::Rcu;
use crate::sys::time::Jiffies;

/// Buckets of a batch.
const BATCH: usize = 32;
/// Objects that are looked at, and ended, together.
const NODES: usize = 32;
/// Tables that an index may have at a time.
const TABLES: usize = 2;

/// Where a look through an index goes on; by default at the beginning.
#[derive(Clone, Copy, Default)]
pub(crate) struct Position {
    table: usize,
    bucket: usize,
}

impl Position {
    /// A bucket, whose number is a multiple of [`TOGETHER`], of a table as [`Index::sizes`] has
    /// them.
    pub(crate) fn at(table: usize, bucket: usize) -> Self {
        Self { table, bucket }
    }
}

/// What may be over is looked at by this.
pub(crate) trait Judge<T> {
    /// How long `value` has left; `None`: it is over.
    fn left(&self, value: &T) -> Option<Jiffies>;
    /// `value` was taken out.
    fn removed(&self, value: &T);
    /// So many were.
    fn fewer(&self, number: usize);
}

/// An object that was found: its node, the word of its first entry and the bucket of that.
type Seen<T> = (NonNull<Node<T>>, u64, usize);

/// A list of up to `N`.
struct Few<X, const N: usize> {
    items: [Option<X>; N],
    len: usize,
}

impl<X: Copy, const N: usize> Few<X, N> {
    fn new() -> Self {
        Self {
            items: [None; N],
            len: 0,
        }
    }

    /// Adds an item; true when the list is full then.
    fn push(&mut self, item: X) -> bool {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = Some(item);
            self.len = self.len.wrapping_add(1);
        }
        self.len >= N
    }

    fn iter(&self) -> impl Iterator<Item = X> + '_ {
        self.items.iter().take(self.len).filter_map(|item| *item)
    }
}

impl<T: Entry> Index<T> {
    /// Buckets of the present table, and of the one that it moves to: a move may have stopped half
    /// way for want of memory.
    pub(crate) fn sizes(&self, rcu: &Rcu) -> [usize; TABLES] {
        let next = self.table(rcu).next();
        [self.buckets(rcu), next.map_or(0, Table::buckets)]
    }

    /// Looks through `count` buckets for those whose time has come, or at all, and lets
    /// `judge` decide. Returns where to go on, or `None` at the end. For the one who resizes.
    pub(crate) fn scan(
        &self,
        rcu: &Rcu,
        at: Position,
        count: usize,
        all: bool,
        judge: &impl Judge<T>,
    ) -> Option<Position> {
        let first = self.table(rcu);
        let table = match at.table {
            0 => first,
            _ => first.next()?,
        };
        let now = Quarter::now();
        let mut batch = Few::<usize, BATCH>::new();
        let end = at.bucket.saturating_add(count);
        for first in (at.bucket..end.min(table.buckets())).step_by(TOGETHER) {
            let (group, due) = table.hints.group(first, now);
            if !due && !all {
                continue;
            }
            for (bucket, byte) in Iterator::zip(first.., group) {
                if take(byte, now, all) {
                    prefetch(table.line(bucket as u64));
                    if batch.push(bucket) {
                        self.look(rcu, table, &batch, judge);
                        batch = Few::new();
                    }
                }
            }
        }
        self.look(rcu, table, &batch, judge);
        if end < table.buckets() {
            return Some(Position {
                table: at.table,
                bucket: end,
            });
        }
        let table = at.table.wrapping_add(1);
        (table < TABLES).then_some(Position { table, bucket: 0 })
    }

    /// Looks at the objects of a batch of buckets.
    fn look(&self, rcu: &Rcu, table: &Table, batch: &Few<usize, BATCH>, judge: &impl Judge<T>) {
        let mut seen = Few::<Seen<T>, NODES>::new();
        for bucket in batch.iter() {
            each_first(table, bucket, |node: NonNull<Node<T>>, word| {
                announce_end(node.as_ptr());
                if seen.push((node, word, bucket)) {
                    self.decide(rcu, table, &seen, judge);
                    seen = Few::new();
                }
            });
        }
        self.decide(rcu, table, &seen, judge);
    }

    /// Lets `judge` decide on a batch of objects, of which each bucket's come one after the other.
    fn decide(&self, rcu: &Rcu, table: &Table, seen: &Few<Seen<T>, NODES>, judge: &impl Judge<T>) {
        let mut over = Few::<Seen<T>, NODES>::new();
        let mut soonest: Option<(usize, Jiffies)> = None;
        for (node, word, bucket) in seen.iter() {
            // SAFETY: By the index's invariant a live node, which the token keeps so.
            let Some(left) = judge.left(unsafe { &(*node.as_ptr()).value }) else {
                over.push((node, word, bucket));
                continue;
            };
            soonest = match soonest {
                Some((same, least)) if same == bucket => Some((bucket, least.min(left))),
                other => {
                    note(table, other);
                    Some((bucket, left))
                }
            };
        }
        note(table, soonest);
        self.end(rcu, &over, judge);
    }

    /// Takes a batch of objects out. None leaves its table for another one meanwhile: whoever
    /// looks is the one who resizes. So a bucket's number does for the hash that led to it.
    fn end(&self, rcu: &Rcu, over: &Few<Seen<T>, NODES>, judge: &impl Judge<T>) {
        // SAFETY: By the index's invariant live nodes, which the token keeps so.
        let value = |node: NonNull<Node<T>>| unsafe { &(*node.as_ptr()).value };
        let newest = self.newest(rcu);
        let mut seconds = Few::<Option<u64>, NODES>::new();
        for (node, ..) in over.iter() {
            let hash = value(node).second_hash(&self.seed);
            if let Some(hash) = hash {
                prefetch(newest.line(hash));
            }
            seconds.push(hash);
        }
        let mut gone = Gone::new();
        for ((node, word, bucket), hash2) in Iterator::zip(over.iter(), seconds.iter()) {
            if self.take_out(rcu, node, (bucket as u64, word), hash2) {
                gone.add(node, 1 + usize::from(hash2.is_some()));
                judge.removed(value(node));
            }
        }
        if gone.nodes != 0 {
            judge.fewer(gone.nodes);
            self.bury(&gone);
        }
    }
}

/// Has a bucket looked at when the soonest end of its objects may have come.
fn note(table: &Table, soonest: Option<(usize, Jiffies)>) {
    if let Some((bucket, left)) = soonest {
        table.hints.note(bucket, left);
    }
}

/// Calls `f` for the objects whose first entry is in a bucket, with that entry.
fn each_first<T>(table: &Table, bucket: usize, mut f: impl FnMut(NonNull<Node<T>>, u64)) {
    for_each_word(table.line(bucket as u64), |slot| {
        let word = slot.load(Ordering::Acquire);
        if word == 0 || side(word) != Side::First {
            return;
        }
        if let Some(node) = NonNull::new(node::<T>(word).cast_mut()) {
            f(node, word);
        }
    });
}
