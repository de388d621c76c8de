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

use crate::expiry::quarters;
use crate::ffi;
use crate::sys::time::{Jiffies, HZ};

/// Ticks of the kernel's clock a quarter of a second.
const QUARTER: u32 = HZ / 4;
/// Every bucket with objects is looked at so often, in quarters of a second.
const HORIZON: u32 = 120;

/// Buckets that are passed over at once if none is due.
pub(super) const TOGETHER: usize = quarters::BYTES;

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

    /// Whether it is ahead of what a byte says.
    fn is_sooner_than(self, byte: u8) -> bool {
        byte == 0 || quarters::ahead(self.0, byte) < 0
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

    /// The bytes of the buckets from `first` on that are passed over at once if none is due, and
    /// whether one may be. `first` is a multiple of [`TOGETHER`].
    #[inline(always)]
    pub(super) fn group(&self, first: usize, now: Quarter) -> (&[AtomicU8], bool) {
        let rest = self.all().get(first..).unwrap_or(&[]);
        let group = rest.get(..TOGETHER).unwrap_or(rest);
        (group, any_due(group, now))
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
        let sooner = |old| when.is_sooner_than(old).then_some(when.0);
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

/// Whether a byte of a group may be due. Most groups have none, and are passed over by this.
#[inline(always)]
fn any_due(group: &[AtomicU8], now: Quarter) -> bool {
    let start = group.as_ptr().cast::<u64>();
    if group.len() < TOGETHER || !start.is_aligned() {
        return true;
    }
    // SAFETY: Eight bytes that live as long as `group`, aligned; they may change meanwhile, and
    // each is read by itself before anything follows from it.
    quarters::any_due(unsafe { start.read_volatile() }, now.0)
}

/// Whether a byte's time has come; takes it then. With `all` a bucket is looked at whatever its
/// byte says: an object may be there whose time was not noted yet.
#[inline(always)]
pub(super) fn take(byte: &AtomicU8, now: Quarter, all: bool) -> bool {
    let when = byte.load(Ordering::Relaxed);
    if !all && !quarters::is_due(when, now.0) {
        return false;
    }
    // ORDERING: as in `Hints::put`.
    byte.swap(0, Ordering::AcqRel) != 0 || all
}
