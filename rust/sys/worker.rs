// SPDX-License-Identifier: GPL-2.0

//! A job that runs in process context, again and again as long as there is work.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;

use super::time::Jiffies;
use crate::ffi;

/// What a [`Worker`] works on.
pub(crate) trait Job: Sync {
    /// Does a share of the work; returns how long to wait until the next. `None`: until the
    /// worker is told that there is some.
    fn run(&self) -> Option<Jiffies>;
}

/// A job; dropping it waits for a run in progress and ends it.
///
/// # Invariants
///
/// Owns what `rlvs_worker_new` returned, whose data outlives it.
pub(crate) struct Worker<J>(NonNull<ffi::rlvs_worker>, PhantomData<*const J>);

// SAFETY: The handle belongs to no thread.
unsafe impl<J: Job> Send for Worker<J> {}
// SAFETY: Workqueues serialise what the handle does.
unsafe impl<J: Job> Sync for Worker<J> {}

impl<J: Job> Worker<J> {
    /// Gets ready to run `job`, but does not run it yet.
    ///
    /// # Safety
    ///
    /// `job` must outlive the returned value.
    pub(super) unsafe fn new(job: *const J) -> Result<Self> {
        // SAFETY: `call::<J>` gets `job` back, which outlives the worker by the contract.
        let raw = unsafe { ffi::rlvs_worker_new(Some(call::<J>), job.cast_mut().cast()) };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?, PhantomData))
    }

    /// Puts the next run `delay` from now; callable from softirqs.
    pub(crate) fn kick(&self, Jiffies(delay): Jiffies) {
        // SAFETY: Made by `new`, by the type's invariant.
        unsafe { ffi::rlvs_worker_kick(self.0.as_ptr(), delay as c_ulong) };
    }

    /// Sees to it that a run starts within `delay`; callable from softirqs.
    pub(crate) fn nudge(&self, Jiffies(delay): Jiffies) {
        // SAFETY: As in `kick`.
        unsafe { ffi::rlvs_worker_nudge(self.0.as_ptr(), delay as c_ulong) };
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        // SAFETY: Made by `new`, by the type's invariant; ends and frees it.
        unsafe { ffi::rlvs_worker_stop(self.0.as_ptr()) };
    }
}

/// Runs the job; `c_ulong::MAX` stands for no next time.
///
/// # Safety
///
/// `data` must be the `J` that the worker was made with.
unsafe extern "C" fn call<J: Job>(data: *mut c_void) -> c_ulong {
    // SAFETY: By the contract a live `J`.
    let delay = unsafe { &*data.cast::<J>() }.run();
    delay.map_or(c_ulong::MAX, |Jiffies(delay)| delay as c_ulong)
}
