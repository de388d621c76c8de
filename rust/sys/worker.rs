// SPDX-License-Identifier: GPL-2.0

//! A job that runs again and again in process context.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::prelude::*;

use super::time::Jiffies;
use crate::ffi;

/// What a [`Worker`] works on.
pub(crate) trait Job: Sync {
    /// Does a share of the work; returns how long to wait until the next.
    fn run(&self) -> Jiffies;
}

/// A running job; dropping it waits for a run in progress and ends it.
///
/// # Invariants
///
/// Owns what `rlvs_worker_start` returned, whose data outlives it.
pub(crate) struct Worker<J>(NonNull<ffi::rlvs_worker>, PhantomData<*const J>);

// SAFETY: The handle belongs to no thread.
unsafe impl<J: Job> Send for Worker<J> {}
// SAFETY: Workqueues serialise what the handle does.
unsafe impl<J: Job> Sync for Worker<J> {}

impl<J: Job> Worker<J> {
    /// Starts running `job` at once.
    ///
    /// # Safety
    ///
    /// `job` must outlive the returned value.
    pub(super) unsafe fn start(job: *const J) -> Result<Self> {
        // SAFETY: `call::<J>` gets `job` back, which outlives the worker by the contract.
        let raw = unsafe { ffi::rlvs_worker_start(Some(call::<J>), job.cast_mut().cast()) };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?, PhantomData))
    }

    /// Makes the next run start now; callable from softirqs.
    pub(crate) fn kick(&self) {
        // SAFETY: Started by the type's invariant.
        unsafe { ffi::rlvs_worker_kick(self.0.as_ptr(), 0) };
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        // SAFETY: Started by the type's invariant; ends and frees it.
        unsafe { ffi::rlvs_worker_stop(self.0.as_ptr()) };
    }
}

/// Runs the job.
///
/// # Safety
///
/// `data` must be the `J` that the worker was started with.
unsafe extern "C" fn call<J: Job>(data: *mut c_void) -> c_ulong {
    // SAFETY: By the contract a live `J`.
    let Jiffies(delay) = unsafe { &*data.cast::<J>() }.run();
    delay as c_ulong
}
