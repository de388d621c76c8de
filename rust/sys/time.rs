// SPDX-License-Identifier: GPL-2.0

//! The kernel's tick, the clock of all time-outs.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use kernel::bindings;

use crate::expiry::clock;
use crate::ffi;

/// Ticks a second.
pub(crate) const HZ: u32 = ffi::CONFIG_HZ;

/// A point in time or a time span in ticks; wraps around, so compare by [`Jiffies::since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Jiffies(pub(crate) u32);

impl Jiffies {
    /// Now.
    #[inline(always)]
    pub(crate) fn now() -> Self {
        // SAFETY: The counter is always there; the read is one instruction.
        Self(unsafe { (&raw const bindings::jiffies).read_volatile() } as u32)
    }

    /// A span of so many seconds, as far as they can be told apart.
    #[inline(always)]
    pub(crate) fn seconds(seconds: u32) -> Self {
        Self(clock::ticks(seconds, HZ))
    }

    /// The span from `earlier` to this point; none if `earlier` is the later one.
    #[inline(always)]
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self(clock::since(self.0, earlier.0, HZ))
    }

    /// The span in whole seconds, rounded down.
    pub(crate) fn as_seconds(self) -> u32 {
        self.0.checked_div(HZ).unwrap_or(0)
    }
}
