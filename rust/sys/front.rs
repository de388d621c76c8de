// SPDX-License-Identifier: GPL-2.0

//! A list that grows at its front, while others look at what it was before.
//!
//! Who has a list of ten thousand and makes one that has one more need not copy it: both share
//! their memory, and the shorter one is the end of the longer one.

use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::{ptr, slice};
use kernel::alloc::Flags;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A list, newest first.
///
/// # Invariants
///
/// At least `len` places of `room` are filled.
pub(crate) struct Front<T> {
    room: Arc<Room<T>>,
    len: usize,
}

/// Memory for lists that share it, filled from its end on.
///
/// # Invariants
///
/// `start` is that of an empty `KVVec` with this capacity. The last `filled` of its places, and no
/// others, hold a value, which only changes when this is dropped; whoever moves `filled` on
/// fills that place before he lets go of his reference to the room.
struct Room<T> {
    start: *mut T,
    capacity: usize,
    filled: AtomicUsize,
}

// SAFETY: It owns its values, and gives out shared references to them.
unsafe impl<T: Send + Sync> Send for Room<T> {}
// SAFETY: As above; a place is written by the one that moved `filled`, before anybody sees it.
unsafe impl<T: Send + Sync> Sync for Room<T> {}

impl<T> Room<T> {
    /// The place of the last value but `len`.
    fn place(&self, len: usize) -> *mut T {
        self.start.wrapping_add(self.capacity.saturating_sub(len))
    }
}

impl<T> Front<T> {
    /// An empty list that can grow to `capacity`.
    pub(crate) fn with_capacity(capacity: usize, flags: Flags) -> Result<Self> {
        let memory = KVVec::<T>::with_capacity(capacity, flags)?;
        let (start, _, capacity) = memory.into_raw_parts();
        // INVARIANT: Nothing is filled.
        let room = Room {
            start,
            capacity,
            filled: AtomicUsize::new(0),
        };
        let room = Arc::new(room, flags)?;
        Ok(Self { room, len: 0 })
    }

    /// Whether both lie in the same memory.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        ptr::eq(&raw const *self.room, &raw const *other.room)
    }

    /// Puts `value` before all others. It is given back if there is no room for it: the memory
    /// is full, or another list that shares it has grown.
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        let next = self.len.saturating_add(1);
        let filled = &self.room.filled;
        if self.len >= self.room.capacity
            || filled
                .compare_exchange(self.len, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return Err(value);
        }
        // SAFETY: The place is within the room's memory, holds nothing, and is ours: nobody
        // else has moved `filled` from `len`, and no list is that long yet.
        unsafe { self.room.place(next).write(value) };
        // INVARIANT: It is filled now.
        self.len = next;
        Ok(())
    }
}

impl<T> Clone for Front<T> {
    fn clone(&self) -> Self {
        Self {
            room: self.room.clone(),
            len: self.len,
        }
    }
}

impl<T> Deref for Front<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: By the invariants the last `len` places are filled, and stay as they are as
        // long as this list has its part in them.
        unsafe { slice::from_raw_parts(self.room.place(self.len), self.len) }
    }
}

impl<T> Drop for Room<T> {
    fn drop(&mut self) {
        let filled = *self.filled.get_mut();
        let values = ptr::slice_from_raw_parts_mut(self.place(filled), filled);
        // SAFETY: By the invariants these hold values, and nobody has a list any more.
        unsafe { ptr::drop_in_place(values) };
        // SAFETY: From `into_raw_parts`; what is in it is dropped.
        drop(unsafe { KVVec::from_raw_parts(self.start, 0, self.capacity) });
    }
}
