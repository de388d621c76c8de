// SPDX-License-Identifier: GPL-2.0

//! Read-copy-update: the token of a read side, and cells that readers never wait for.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! Pointers are published with `core`'s atomics: unlike the kernel crate's they are
//! inlined on every kernel, and an acquire load costs nothing on x86.

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use kernel::bindings;
use kernel::prelude::*;

use crate::ffi;

/// Proof that the holder is inside an RCU read-side critical section.
///
/// # Invariants
///
/// Exists only inside a read-side critical section, and stays in its thread.
pub(crate) struct Rcu(PhantomData<*mut ()>);

impl Rcu {
    /// States that the caller is inside a read-side critical section.
    ///
    /// # Safety
    ///
    /// That must be so until the token and all that was borrowed from it is gone.
    pub(crate) unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// Runs `f` inside a read-side critical section; `f` must not sleep.
pub(crate) fn read<R>(f: impl FnOnce(&Rcu) -> R) -> R {
    let _guard = kernel::sync::rcu::read_lock();
    // INVARIANT: The guard lives until the end of this function.
    f(&Rcu(PhantomData))
}

/// Waits until all read sides that have begun are over. May sleep.
pub(crate) fn synchronize() {
    // SAFETY: Callable from process context; the callers are not in a read side.
    unsafe { bindings::synchronize_rcu() };
}

/// A grace period that was begun: all read sides from before are over when it is.
#[derive(Clone, Copy)]
pub(crate) struct GracePeriod(pub(super) c_ulong);

impl GracePeriod {
    /// Sees to it that one begins. Never sleeps.
    pub(crate) fn begin() -> Self {
        // SAFETY: Callable from everywhere.
        Self(unsafe { bindings::start_poll_synchronize_rcu() })
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        // SAFETY: As above; from `begin`.
        unsafe { bindings::poll_state_synchronize_rcu(self.0) }
    }
}

/// Dropping it waits until everything that was given to [`defer`] and the like is freed. Sleeps.
pub(crate) struct Barrier;

impl Drop for Barrier {
    fn drop(&mut self) {
        // SAFETY: In process context, by the type's contract.
        unsafe { ffi::rlvs_rcu_barrier() };
    }
}

/// Offers the processor to others. Process context, outside of read sides.
pub(crate) fn cond_resched() {
    // SAFETY: Process context by the contract of all callers in `flow`.
    unsafe { ffi::rlvs_cond_resched() };
}

/// A value that can be freed behind the readers' backs.
#[repr(C)]
pub(crate) struct RcuBox<T> {
    head: bindings::callback_head,
    value: T,
}

impl<T: Send> RcuBox<T> {
    /// Allocates a box; with `GFP_ATOMIC` this works in softirqs too.
    pub(crate) fn new(value: T, flags: kernel::alloc::Flags) -> Result<KBox<Self>> {
        let head = bindings::callback_head::default();
        Ok(KBox::new(Self { head, value }, flags)?)
    }

    /// What is in the box.
    pub(super) fn value(&self) -> &T {
        &self.value
    }
}

/// Drops `boxed` after a grace period, in a softirq: `T`'s drop must not sleep.
pub(crate) fn defer<T: Send>(boxed: KBox<RcuBox<T>>) {
    let raw = KBox::into_raw(boxed);
    // SAFETY: `raw` is a live allocation that nobody else frees, and `head` is its own.
    unsafe { bindings::call_rcu(&raw mut (*raw).head, Some(free::<T>)) };
}

/// Drops `boxed` after a grace period, in process context: it may take a while.
fn defer_large<T: Send>(boxed: KBox<RcuBox<T>>) {
    let raw = KBox::into_raw(boxed);
    // SAFETY: As in `defer`.
    unsafe { bindings::call_rcu(&raw mut (*raw).head, Some(pass_on::<T>)) };
}

/// Bytes that [`defer_large`] may have under way.
const UNDER_WAY: usize = 32 << 20;
/// Bytes that were given to it since all of it was seen to be free.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// Counts `bytes` that were given to [`defer_large`], and waits if they are too many. Sleeps.
fn keep_pace(bytes: usize) {
    let given = GIVEN
        .fetch_add(bytes, Ordering::Relaxed)
        .wrapping_add(bytes);
    if given > UNDER_WAY {
        drop(Barrier);
        // Who comes meanwhile waits, too.
        let less = |now: usize| Some(now.saturating_sub(given));
        let _ = GIVEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// Passes a box whose grace period is over on to a worker.
///
/// # Safety
///
/// As of [`free`].
unsafe extern "C" fn pass_on<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the contract; the head is not in use any more.
    unsafe { ffi::rlvs_drop_later(head, Some(free::<T>)) };
}

/// Frees a box whose grace period is over.
///
/// # Safety
///
/// `head` must be the head of a [`RcuBox<T>`] that was given to `call_rcu` by [`defer`].
unsafe extern "C" fn free<T>(head: *mut bindings::callback_head) {
    // SAFETY: `head` is the first field of the `repr(C)` box, which came from `into_raw`.
    drop(unsafe { KBox::from_raw(head.cast::<RcuBox<T>>()) });
}

/// A place for a value that readers see while a writer replaces it.
///
/// # Invariants
///
/// The pointer is null or from `KBox::into_raw`, and owned by the cell.
pub(crate) struct RcuCell<T: Send>(AtomicPtr<RcuBox<T>>, PhantomData<T>);

impl<T: Send> RcuCell<T> {
    /// An empty cell.
    pub(crate) const fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// A cell that holds `boxed`.
    pub(crate) fn new(boxed: KBox<RcuBox<T>>) -> Self {
        Self(AtomicPtr::new(KBox::into_raw(boxed)), PhantomData)
    }

    /// The present value, for as long as the read side lasts.
    #[inline(always)]
    pub(crate) fn get<'a>(&'a self, _rcu: &'a Rcu) -> Option<&'a T> {
        // SAFETY: By the invariant the pointer is null or live, and `replace` frees only
        // after a grace period, which the token holds off.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }.map(|b| &b.value)
    }

    /// Puts `boxed` in place and returns it, for as long as the read side lasts.
    pub(crate) fn put<'a>(&'a self, _rcu: &'a Rcu, boxed: KBox<RcuBox<T>>) -> &'a T {
        let value = &raw const boxed.value;
        self.replace(Some(boxed));
        // SAFETY: The cell owns the box now, and whoever replaces it frees it only after
        // a grace period, which the token holds off.
        unsafe { &*value }
    }

    /// Empties the cell; cheap if it is empty.
    pub(crate) fn clear(&self) {
        if !self.0.load(Ordering::Relaxed).is_null() {
            self.replace(None);
        }
    }

    /// As [`RcuCell::replace`], for what takes a while to drop. May sleep: whoever replaces
    /// faster than memory becomes free waits until it is. `bytes` is about what the old value
    /// holds.
    pub(crate) fn replace_large(&self, boxed: Option<KBox<RcuBox<T>>>, bytes: usize) {
        if let Some(old) = self.swap(boxed) {
            defer_large(old);
            keep_pace(bytes);
        }
    }

    /// Puts `boxed` (or nothing) in place; readers may see the old value until they end.
    pub(crate) fn replace(&self, boxed: Option<KBox<RcuBox<T>>>) {
        if let Some(old) = self.swap(boxed) {
            defer(old);
        }
    }

    /// Puts `boxed` in place of what is returned, which readers may see still.
    fn swap(&self, boxed: Option<KBox<RcuBox<T>>>) -> Option<KBox<RcuBox<T>>> {
        let new = boxed.map_or(ptr::null_mut(), KBox::into_raw);
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: By the invariant null or from `into_raw`; the swap made it ours alone.
        (!old.is_null()).then(|| unsafe { KBox::from_raw(old) })
    }
}

impl<T: Send> Drop for RcuCell<T> {
    fn drop(&mut self) {
        let old = *self.0.get_mut();
        if !old.is_null() {
            // SAFETY: The cell owned it, and `&mut self` says that no reader is left.
            drop(unsafe { KBox::from_raw(old) });
        }
    }
}
