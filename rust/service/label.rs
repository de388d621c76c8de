// SPDX-License-Identifier: GPL-2.0

//! What a service's packets are known by to the host's other rules: bits of their firewall mark.
//! It stands for what `xt_ipvs` does for IPVS.

use core::sync::atomic::{AtomicU64, Ordering};

/// Bits of the firewall mark, and their values; without bits nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) value: u32,
    pub(crate) mask: u32,
}

impl Label {
    /// Whether there is such a label.
    pub(super) fn is_sound(self) -> bool {
        self.value & !self.mask == 0
    }

    /// The mark of a packet that has had `mark`.
    pub(crate) fn on(self, mark: u32) -> u32 {
        mark & !self.mask | self.value
    }

    /// Whether there is nothing to do.
    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.mask == 0
    }
}

/// A label that packets read while it is changed.
#[derive(Default)]
pub(super) struct Shared(AtomicU64);

impl Shared {
    /// The label.
    #[inline]
    pub(super) fn get(&self) -> Label {
        let both = self.0.load(Ordering::Relaxed);
        Label {
            // CAST: the lower half, and the upper one.
            value: both as u32,
            mask: (both >> 32) as u32,
        }
    }

    /// Has it be another one.
    pub(super) fn set(&self, label: Label) {
        let both = u64::from(label.mask) << 32 | u64::from(label.value);
        self.0.store(both, Ordering::Relaxed);
    }
}
