// SPDX-License-Identifier: GPL-2.0

//! A value that comes once and stays.

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::prelude::*;

/// A place for a value that is put in while others look.
///
/// # Invariants
///
/// The pointer is null or from `KVBox::into_raw`, owned by this, and never changes again.
pub(crate) struct Once<T: Send + Sync>(AtomicPtr<T>, PhantomData<T>);

impl<T: Send + Sync> Once<T> {
    /// Empty.
    pub(crate) const fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// The value, if it has come.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: By the invariant null or a value that lives as long as `self`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Puts the value in, unless there is one.
    pub(crate) fn put(&self, value: KVBox<T>) {
        let (new, none) = (KVBox::into_raw(value), ptr::null_mut());
        let swap = self
            .0
            .compare_exchange(none, new, Ordering::AcqRel, Ordering::Relaxed);
        if swap.is_err() {
            // SAFETY: From `into_raw` above, and nobody saw it.
            drop(unsafe { KVBox::from_raw(new) });
        }
    }
}

impl<T: Send + Sync> Drop for Once<T> {
    fn drop(&mut self) {
        let value = *self.0.get_mut();
        if !value.is_null() {
            // SAFETY: By the invariant from `into_raw` and owned; nobody borrows it any more.
            drop(unsafe { KVBox::from_raw(value) });
        }
    }
}
