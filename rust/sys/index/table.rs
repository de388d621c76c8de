// SPDX-License-Identifier: GPL-2.0

//! The memory of an index: cache lines of words, and arrays of them.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use kernel::c_str;
use kernel::prelude::*;

use super::due::Hints;
use crate::ffi;
use crate::sys::rcu;
use crate::sys::slab::{OpenPool, Pool};

/// Words of a line that hold entries.
const SLOTS: usize = 7;
/// A chain longer than this is cut off: such a load is an attack or a bug.
pub(super) const MAX_CHAIN: usize = 64;
/// Buckets between two offers of the processor.
pub(super) const YIELD: usize = 1024;

const _: () = assert!(size_of::<Line>() == 64);

/// Overflow lines of all indexes.
static LINES: Pool<Line> = Pool::new();

/// What holds the tables of all indexes together.
static TABLES: Pool<Table> = Pool::new();

/// Opens the pools of what all indexes share; call once, before the first one.
pub(crate) fn open_tables() -> Result<[OpenPool; 2]> {
    Ok([
        LINES.open(c_str!("rlvs_line"))?,
        TABLES.open(c_str!("rlvs_table"))?,
    ])
}

/// A bucket or an overflow line of one.
#[repr(C, align(64))]
pub(super) struct Line {
    pub(super) slots: [AtomicU64; SLOTS],
    pub(super) more: AtomicPtr<Line>,
}

/// An array of buckets.
///
/// # Invariants
///
/// `lines` points to `mask + 1` lines, a power of two; every `more` is null or a line
/// from the index's line cache; `next` is null or a table that outlives this one. There is
/// a hint for each bucket.
pub(super) struct Table {
    pub(super) lines: NonNull<Line>,
    mask: usize,
    pub(super) hints: Hints,
    pub(super) next: AtomicPtr<Table>,
    /// Buckets that have been moved to `next`; only the worker uses it.
    pub(super) moved: AtomicUsize,
}

// SAFETY: The table owns its lines, which are atomics.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

/// The bucket of [`NOWHERE`].
static NO_LINE: Line = Line {
    slots: [const { AtomicU64::new(0) }; SLOTS],
    more: AtomicPtr::new(ptr::null_mut()),
};

/// The table of an index that was not opened: readers find nothing there, and nobody writes.
pub(super) static NOWHERE: Table = Table {
    // INVARIANT: One line, which is never changed.
    // SAFETY: The address of a static is not null.
    lines: unsafe { NonNull::new_unchecked((&raw const NO_LINE).cast_mut()) },
    mask: 0,
    hints: Hints::none(),
    next: AtomicPtr::new(ptr::null_mut()),
    moved: AtomicUsize::new(0),
};

impl Table {
    pub(super) fn new(buckets: usize) -> Result<NonNull<Self>> {
        let bytes = buckets.checked_mul(size_of::<Line>()).ok_or(ENOMEM)?;
        let hints = Hints::new(buckets)?;
        // SAFETY: Called in process context; all-zero lines are empty ones.
        let lines = unsafe { ffi::rlvs_kvzalloc(bytes) }.cast::<Line>();
        let lines = NonNull::new(lines).ok_or(ENOMEM)?;
        let table = Self {
            lines,
            mask: buckets.wrapping_sub(1),
            hints,
            next: AtomicPtr::new(ptr::null_mut()),
            moved: AtomicUsize::new(0),
        };
        TABLES.put(table).ok_or_else(|| {
            // SAFETY: Allocated above, used by nobody.
            unsafe { kernel::bindings::kvfree(lines.as_ptr().cast()) };
            ENOMEM
        })
    }

    #[inline(always)]
    pub(super) fn line(&self, hash: u64) -> &Line {
        // SAFETY: By the type's invariant the masked number is inside the array.
        unsafe { self.lines.add(self.bucket(hash)).as_ref() }
    }

    /// The number of the bucket of a hash.
    #[inline(always)]
    pub(super) fn bucket(&self, hash: u64) -> usize {
        // CAST: the low bits are meant.
        hash as usize & self.mask
    }

    #[inline(always)]
    pub(super) fn next(&self) -> Option<&Table> {
        // SAFETY: By the type's invariant null or a table that outlives this one.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    pub(super) fn buckets(&self) -> usize {
        self.mask.wrapping_add(1)
    }
}

impl Line {
    #[inline(always)]
    pub(super) fn more(&self) -> Option<&Line> {
        // SAFETY: Null or a line that lives as long as its table (`Table`'s invariant).
        unsafe { self.more.load(Ordering::Acquire).as_ref() }
    }

    /// The slot of this bucket that holds exactly `word`.
    pub(super) fn find(&self, word: u64) -> Option<&AtomicU64> {
        let mut line = self;
        for _ in 0..MAX_CHAIN {
            let found = line
                .slots
                .iter()
                .find(|slot| slot.load(Ordering::Relaxed) == word);
            if found.is_some() {
                return found;
            }
            line = line.more()?;
        }
        None
    }

    /// A free slot other than `taken`, from a new overflow line if need be; the bucket is
    /// locked.
    pub(super) fn free_slot(&self, taken: Option<&AtomicU64>) -> Option<&AtomicU64> {
        let free = |slot: &&AtomicU64| {
            slot.load(Ordering::Relaxed) == 0 && !taken.is_some_and(|other| ptr::eq(*slot, other))
        };
        let mut line = self;
        for _ in 0..MAX_CHAIN {
            let found = line.slots.iter().find(free);
            if found.is_some() {
                return found;
            }
            line = match line.more() {
                Some(more) => more,
                None => line.extend()?,
            };
        }
        None
    }

    fn extend(&self) -> Option<&Line> {
        let fresh = Line {
            slots: [const { AtomicU64::new(0) }; SLOTS],
            more: AtomicPtr::new(ptr::null_mut()),
        };
        self.more
            .store(LINES.put(fresh)?.as_ptr(), Ordering::Release);
        self.more()
    }
}

/// Calls `f` for every slot of a bucket.
pub(super) fn for_each_word(first: &Line, mut f: impl FnMut(&AtomicU64)) {
    let mut line = first;
    for _ in 0..MAX_CHAIN {
        line.slots.iter().for_each(&mut f);
        match line.more() {
            Some(more) => line = more,
            None => return,
        }
    }
}

/// Frees a table and its overflow lines, not the objects. Sleeps.
///
/// # Safety
///
/// `table` must come from [`Table::new`] and be out of everybody's reach.
pub(super) unsafe fn free_table(table: *mut Table) {
    let Some(place) = NonNull::new(table) else {
        return;
    };
    // SAFETY: By the contract a live table that is ours; it is read once.
    let table = unsafe { place.read() };
    for bucket in 0..table.buckets() {
        if bucket % YIELD == 0 {
            rcu::cond_resched();
        }
        let mut more = table.line(bucket as u64).more.load(Ordering::Relaxed);
        while let Some(line) = NonNull::new(more) {
            // SAFETY: An overflow line of this table, live until freed below.
            more = unsafe { line.as_ref() }.more.load(Ordering::Relaxed);
            // SAFETY: From this pool, and reached through the dead table only.
            unsafe { LINES.free(line) };
        }
    }
    // SAFETY: The array came from `rlvs_kvzalloc`.
    unsafe { kernel::bindings::kvfree(table.lines.as_ptr().cast()) };
    // SAFETY: From this pool, read out, and reached by nobody.
    unsafe { TABLES.free(place) };
}
