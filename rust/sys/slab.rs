// SPDX-License-Identifier: GPL-2.0

//! Pools of equally large objects, shared by all network namespaces.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::marker::PhantomData;
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
/// The pointer is null or a cache from `rlvs_cache_create` for objects of type `T`.
pub(crate) struct Pool<T> {
    cache: AtomicPtr<bindings::kmem_cache>,
    _type: PhantomData<fn(T)>,
}

/// Keeps a pool open; to be dropped after everything from it is freed.
pub(crate) struct OpenPool(&'static AtomicPtr<bindings::kmem_cache>);

impl<T> Pool<T> {
    /// A closed pool.
    pub(crate) const fn new() -> Self {
        Self {
            cache: AtomicPtr::new(ptr::null_mut()),
            _type: PhantomData,
        }
    }

    /// Opens the pool; `name` shows in `/proc/slabinfo`.
    pub(super) fn open(&'static self, name: &'static CStr) -> Result<OpenPool> {
        let size = u32::try_from(size_of::<T>())?;
        let align = u32::try_from(align_of::<T>())?;
        // SAFETY: Called in process context with a static name.
        let cache = unsafe { ffi::rlvs_cache_create(name.as_char_ptr(), size, align) };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        self.cache.store(cache, Ordering::Release);
        Ok(OpenPool(&self.cache))
    }

    /// Puts `value` into memory of the pool, or drops it if there is none; never sleeps.
    #[inline(always)]
    pub(super) fn put(&self, value: T) -> Option<NonNull<T>> {
        let cache = self.cache.load(Ordering::Acquire);
        if cache.is_null() {
            return None;
        }
        // SAFETY: By the invariant a live cache.
        let place = NonNull::new(unsafe { ffi::rlvs_cache_alloc(cache) }.cast::<T>())?;
        // SAFETY: Fresh memory of the size and alignment of a `T`.
        unsafe { place.write(value) };
        Some(place)
    }

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// `object`, dropped or without anything to drop, must come from [`Pool::put`] of this pool,
    /// and nobody may use it again.
    pub(super) unsafe fn free(&self, object: NonNull<T>) {
        let cache = self.cache.load(Ordering::Acquire);
        // SAFETY: The object came from this cache, so the pool is open.
        unsafe { bindings::kmem_cache_free(cache, object.as_ptr().cast()) };
    }
}

impl Drop for OpenPool {
    fn drop(&mut self) {
        let cache = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: Opened by `Pool::open`; null is harmless.
        unsafe { bindings::kmem_cache_destroy(cache) };
    }
}
