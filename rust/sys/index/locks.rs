// SPDX-License-Identifier: GPL-2.0

//! The locks of an index's buckets: its own, so that nobody waits for another namespace.
//!
//! Held in softirqs and with softirqs off, for a bucket or two; nothing is allocated under
//! them but lines, which does not sleep.

use core::ptr::NonNull;
use kernel::prelude::*;

use crate::ffi;

/// The locks, numbered by the low bits of a hash.
///
/// # Invariants
///
/// Owns what `rlvs_index_locks_alloc` returned.
pub(super) struct Locks(NonNull<ffi::rlvs_index_locks>);

// SAFETY: Locks belong to no thread.
unsafe impl Send for Locks {}
// SAFETY: They are made to be shared.
unsafe impl Sync for Locks {}

impl Locks {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: Process context.
        let locks = unsafe { ffi::rlvs_index_locks_alloc() };
        Ok(Self(NonNull::new(locks).ok_or(ENOMEM)?))
    }

    /// Takes the locks of two hashes.
    pub(super) fn lock(&self, a: u64, b: u64) -> Locked<'_> {
        // CAST: the low bits are meant.
        let numbers = [a, b].map(|hash| hash as u32 % ffi::RLVS_INDEX_LOCKS);
        let [a, b] = numbers;
        // SAFETY: Live by the invariant; the caller holds no lock of an index.
        unsafe { ffi::rlvs_index_lock(self.0.as_ptr(), a, b) };
        Locked(self, numbers)
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // SAFETY: By the invariant ours, and nobody holds one.
        unsafe { kernel::bindings::kvfree(self.0.as_ptr().cast()) };
    }
}

/// The locks of two hashes, held.
pub(super) struct Locked<'a>(&'a Locks, [u32; 2]);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let [a, b] = self.1;
        // SAFETY: Taken by `lock`.
        unsafe { ffi::rlvs_index_unlock(self.0 .0.as_ptr(), a, b) };
    }
}
