// SPDX-License-Identifier: GPL-2.0

//! A spinlock that both softirqs and processes take.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use core::cell::UnsafeCell;
use kernel::prelude::*;
use kernel::types::Opaque;

use crate::ffi;

/// Data behind a spinlock that is taken with softirqs off.
///
/// # Invariants
///
/// `lock` is an initialised spinlock; `data` is only reached while it is held.
#[pin_data]
pub(crate) struct BhLock<T> {
    #[pin]
    lock: Opaque<kernel::bindings::spinlock>,
    data: UnsafeCell<T>,
}

// SAFETY: Moving the lock to another thread moves only the data, which is `Send`.
unsafe impl<T: Send> Send for BhLock<T> {}
// SAFETY: The lock serialises all access to the data.
unsafe impl<T: Send> Sync for BhLock<T> {}

impl<T> BhLock<T> {
    /// Creates the lock around `data`.
    pub(crate) fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is memory for a spinlock, which stays where it is (pinned).
            lock <- Opaque::ffi_init(|slot| unsafe { ffi::rlvs_spin_init(slot) }),
            data: UnsafeCell::new(data),
        })
    }

    /// Runs `f` on the data, with the lock held and softirqs off.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: The lock is initialised by the type's invariant.
        unsafe { ffi::rlvs_spin_lock_bh(self.lock.get()) };
        // SAFETY: The lock is held, so nobody else has a reference to the data.
        let result = f(unsafe { &mut *self.data.get() });
        // SAFETY: Taken above by this very thread.
        unsafe { ffi::rlvs_spin_unlock_bh(self.lock.get()) };
        result
    }
}
