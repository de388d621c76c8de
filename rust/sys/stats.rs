// SPDX-License-Identifier: GPL-2.0

//! Counters that every processor keeps for itself.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use core::ptr::NonNull;
use kernel::prelude::*;

use crate::ffi;

/// Sums of the counters: connections, packets and bytes in and out.
pub(crate) type Counts = ffi::rlvs_stats;

/// One set of counters a processor.
///
/// # Invariants
///
/// Owns what `rlvs_stats_alloc` returned.
pub(crate) struct Stats(NonNull<ffi::rlvs_stats>);

// SAFETY: The memory belongs to no thread.
unsafe impl Send for Stats {}
// SAFETY: Each processor writes only its own share, by single instructions.
unsafe impl Sync for Stats {}

impl Stats {
    /// Allocates counters that stand at zero. May sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Always callable from process context.
        let raw = unsafe { ffi::rlvs_stats_alloc() };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?))
    }

    /// Counts a new connection.
    pub(crate) fn connection(&self) {
        // SAFETY: Allocated by the type's invariant.
        unsafe { ffi::rlvs_stats_conn(self.0.as_ptr()) };
    }

    /// Counts a packet of `bytes` from the client.
    #[inline(always)]
    pub(crate) fn packet_in(&self, bytes: u32) {
        // SAFETY: Allocated by the type's invariant.
        unsafe { ffi::rlvs_stats_in(self.0.as_ptr(), bytes) };
    }

    /// Counts a packet of `bytes` to the client.
    #[inline(always)]
    pub(crate) fn packet_out(&self, bytes: u32) {
        // SAFETY: Allocated by the type's invariant.
        unsafe { ffi::rlvs_stats_out(self.0.as_ptr(), bytes) };
    }

    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut ffi::rlvs_stats {
        self.0.as_ptr()
    }

    /// Adds all processors' counts to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Counts) {
        // SAFETY: Allocated by the type's invariant; `sum` is a valid struct.
        unsafe { ffi::rlvs_stats_read(self.0.as_ptr(), sum) };
    }

    /// Adds what processor `cpu` has counted to `sum`; nothing if there can be no such processor.
    pub(crate) fn add_cpu_to(&self, cpu: u32, sum: &mut Counts) {
        // SAFETY: Allocated by the type's invariant; `sum` is a valid struct.
        unsafe { ffi::rlvs_stats_read_cpu(self.0.as_ptr(), cpu, sum) };
    }

    /// Adds the counts of `by` to these, each processor's to its own, or takes them off.
    pub(crate) fn shift(&mut self, by: &Self, up: bool) {
        // SAFETY: Both are allocated by the type's invariant, and nobody else has these.
        unsafe { ffi::rlvs_stats_shift(self.0.as_ptr(), by.0.as_ptr(), up) };
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        // SAFETY: Allocated by the type's invariant, and nobody can use it after this.
        unsafe { ffi::rlvs_stats_free(self.0.as_ptr()) };
    }
}
