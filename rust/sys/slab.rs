// SPDX-License-Identifier: GPL-2.0

//! Pools of equally large objects, shared by all network namespaces.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::bindings;
use kernel::prelude::*;
use kernel::str::CStr;

use crate::ffi;

/// A pool, closed until [`Pool::open`] and again when the guard is dropped.
///
/// # Invariants
///
/// The pointer is null or a cache from `rlvs_cache_create`.
pub(crate) struct Pool(AtomicPtr<bindings::kmem_cache>);

/// Keeps a pool open; dropped after everything from it is freed.
pub(crate) struct OpenPool(&'static Pool);

impl Pool {
    /// A closed pool.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Opens the pool for objects of type `T`; `name` shows in `/proc/slabinfo`.
    pub(super) fn open<T>(&'static self, name: &'static CStr) -> Result<OpenPool> {
        let size = u32::try_from(size_of::<T>())?;
        let align = u32::try_from(align_of::<T>())?;
        // SAFETY: Called in process context with a static name.
        let cache = unsafe { ffi::rlvs_cache_create(name.as_char_ptr(), size, align) };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        self.0.store(cache, Ordering::Release);
        Ok(OpenPool(self))
    }

    /// Zeroed memory for one object, or `None`; never sleeps.
    pub(super) fn alloc<T>(&self) -> Option<NonNull<T>> {
        let cache = self.0.load(Ordering::Acquire);
        if cache.is_null() {
            return None;
        }
        // SAFETY: By the invariant a live cache.
        NonNull::new(unsafe { ffi::rlvs_cache_alloc(cache) }.cast())
    }

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// `object` must come from [`Pool::alloc`] of this pool, and nobody may use it again.
    pub(super) unsafe fn free<T>(&self, object: NonNull<T>) {
        let cache = self.0.load(Ordering::Acquire);
        // SAFETY: The object came from this cache, so the pool is open.
        unsafe { bindings::kmem_cache_free(cache, object.as_ptr().cast()) };
    }
}

impl Drop for OpenPool {
    fn drop(&mut self) {
        let cache = self.0 .0.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: Opened by `Pool::open`; null is harmless.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}
