// SPDX-License-Identifier: GPL-2.0

//! Small sets of plain counters, one set a processor.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use core::ptr::NonNull;
use kernel::prelude::*;

use crate::ffi;

/// Counters of a set.
pub(crate) const SIZE: usize = ffi::RLVS_TALLY as usize;

/// A set of counters.
///
/// # Invariants
///
/// Owns what `rlvs_tally_alloc` returned.
pub(crate) struct Tally(NonNull<ffi::rlvs_tally>);

// SAFETY: The memory belongs to no thread.
unsafe impl Send for Tally {}
// SAFETY: Each processor writes only its own share, by single instructions.
unsafe impl Sync for Tally {}

impl Tally {
    /// Allocates counters that stand at zero. May sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Always callable from process context.
        let raw = unsafe { ffi::rlvs_tally_alloc() };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?))
    }

    /// Adds one to counter `index`; nothing if there is no such counter.
    pub(crate) fn count(&self, index: usize) {
        if index < SIZE {
            // SAFETY: Allocated by the type's invariant, and the index is in range.
            unsafe { ffi::rlvs_tally_add(self.0.as_ptr(), index as u32) };
        }
    }

    /// All processors' counts.
    pub(crate) fn read(&self) -> [u64; SIZE] {
        let mut sum = ffi::rlvs_tally { n: [0; SIZE] };
        // SAFETY: Allocated by the type's invariant; `sum` is a valid set.
        unsafe { ffi::rlvs_tally_read(self.0.as_ptr(), &mut sum) };
        sum.n
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: Allocated by the type's invariant, and nobody can use it after this.
        unsafe { ffi::rlvs_tally_free(self.0.as_ptr()) };
    }
}
