// SPDX-License-Identifier: GPL-2.0

//! When a bucket wants to be looked at: a byte for each, so that the ends of objects are
//! found without looking at the objects, whose memory is far apart.
//!
//! A byte is 0, or a quarter of a second at which an object of the bucket may be over. It is
//! a promise in one direction only: a bucket with objects is looked at by then, perhaps
//! sooner, at the latest [`HORIZON`] from when it was looked at last. That needs no memory
//! for each object, so it can't fail, and an object that is in use costs nothing.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};
use kernel::bindings;
use kernel::prelude::*;

use crate::ffi;
use crate::sys::time::{Jiffies, HZ};

/// Ticks of the kernel's clock a quarter of a second.
const QUARTER: u32 = HZ / 4;
/// Every bucket with objects is looked at so often, in quarters of a second.
const HORIZON: u32 = 120;

/// The time until which a change that makes an object end sooner must be noted.
pub(crate) const NOTED: Jiffies = Jiffies(HORIZON * QUARTER);

/// A quarter of a second, as a byte holds it; never 0. They are on a circle: one is ahead of
/// another if it is less than half of it away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quarter(u8);

impl Quarter {
    /// Now.
    pub(crate) fn now() -> Self {
        Self::after(Jiffies(0))
    }

    /// The first that begins when `span` from now is over.
    fn at_the_end_of(span: Jiffies) -> Self {
        let Jiffies(span) = span;
        Self::after(Jiffies(span.min(NOTED.0).saturating_add(QUARTER)))
    }

    fn after(Jiffies(span): Jiffies) -> Self {
        // SAFETY: The counter is always there. All of its 64 bits: it must not wrap around.
        let now = unsafe { (&raw const bindings::jiffies).read_volatile() };
        let quarters = now.wrapping_add(span as usize) / QUARTER as usize;
        // CAST: a circle.
        Self((quarters as u8).max(1))
    }

    /// How far ahead of `other` it is; negative: behind.
    fn ahead_of(self, other: Self) -> i8 {
        // CAST: half of the circle is behind.
        self.0.wrapping_sub(other.0) as i8
    }
}

/// The bytes of a table's buckets.
///
/// # Invariants
///
/// `bytes` points to as many bytes as the table has buckets, from `rlvs_kvzalloc`.
pub(super) struct Hints {
    bytes: NonNull<AtomicU8>,
    len: usize,
}

impl Hints {
    /// May sleep.
    pub(super) fn new(len: usize) -> Result<Self> {
        // SAFETY: Process context; zeros are valid.
        let bytes = unsafe { ffi::rlvs_kvzalloc(len) }.cast();
        let bytes = NonNull::new(bytes).ok_or(ENOMEM)?;
        Ok(Self { bytes, len })
    }

    /// None; for a table that never holds anything.
    pub(super) const fn none() -> Self {
        Self {
            bytes: NonNull::dangling(),
            len: 0,
        }
    }

    #[inline(always)]
    pub(super) fn all(&self) -> &[AtomicU8] {
        // SAFETY: By the invariant; they live as long as `self`.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// Has a bucket looked at when `span` is over, or sooner.
    #[inline]
    pub(super) fn note(&self, bucket: usize, span: Jiffies) {
        self.put(bucket, Quarter::at_the_end_of(span));
    }

    /// Has a bucket looked at by `when`.
    pub(super) fn put(&self, bucket: usize, when: Quarter) {
        let Some(byte) = self.all().get(bucket) else {
            return;
        };
        // ORDERING: what makes the object end sooner was written before, and who takes the
        // byte reads it after.
        let sooner = |old| (old == 0 || when.ahead_of(Quarter(old)) < 0).then_some(when.0);
        let _ = byte.fetch_update(Ordering::AcqRel, Ordering::Acquire, sooner);
    }

    /// What a bucket's byte says.
    pub(super) fn get(&self, bucket: usize) -> Option<Quarter> {
        let byte = self.all().get(bucket)?.load(Ordering::Relaxed);
        (byte != 0).then_some(Quarter(byte))
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if self.len != 0 {
            // SAFETY: By the invariant ours alone.
            unsafe { bindings::kvfree(self.bytes.as_ptr().cast()) };
        }
    }
}

/// Whether a byte's time has come; takes it then. With `all` a bucket is looked at whatever its
/// byte says: an object may be there whose time was not noted yet.
#[inline(always)]
pub(super) fn take(byte: &AtomicU8, now: Quarter, all: bool) -> bool {
    let when = byte.load(Ordering::Relaxed);
    if !all && (when == 0 || Quarter(when).ahead_of(now) > 0) {
        return false;
    }
    // ORDERING: as in `Hints::put`.
    byte.swap(0, Ordering::AcqRel) != 0 || all
}
