// SPDX-License-Identifier: GPL-2.0

//! The stamp that makes all marks of a namespace void at once.
//!
//! A side of a flow that has earned the early path bears the stamp of that moment, and the mark
//! counts as long as the namespace has the same. After a new rule, or when a device or an
//! address goes, the gate is closed: nobody goes early, and nobody earns anything. It opens
//! with a new stamp when a grace period has passed, that is, when every packet that has seen
//! the old state of things is through: what it earned late is void too.

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

use crate::sys::lock::BhLock;
use crate::sys::rcu;

/// The gate of a namespace.
#[pin_data]
pub(crate) struct Gate {
    /// 0 while it is closed.
    stamp: AtomicU32,
    #[pin]
    past: BhLock<Past>,
}

/// What has been.
struct Past {
    /// The stamp that it was opened with last.
    stamp: u32,
    /// How often it was closed.
    closings: u32,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> impl PinInit<Self> {
        let past = Past {
            stamp: 0,
            closings: 0,
        };
        pin_init!(Self {
            stamp: AtomicU32::new(0),
            past <- BhLock::new(past),
        })
    }

    /// The stamp that counts now; `None` while the gate is closed.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> Option<u32> {
        match self.stamp.load(Ordering::Relaxed) {
            0 => None,
            stamp => Some(stamp),
        }
    }

    /// Makes all marks void. From any context.
    pub(crate) fn close(&self) {
        self.past.with(|past| {
            past.closings = past.closings.wrapping_add(1);
            self.stamp.store(0, Ordering::Relaxed);
        });
    }

    /// Opens it, if `wanted`, for marks that are earned from now on. Sleeps for a grace period.
    pub(crate) fn open(&self, wanted: impl Fn() -> bool) {
        if self.stamp().is_some() || !wanted() {
            return;
        }
        let before = self.past.with(|past| past.closings);
        rcu::synchronize();
        self.past.with(|past| {
            // Closed again in the meantime: who did that opens it, or the worker.
            if past.closings == before && wanted() {
                // No stamp comes twice: at the last one the gate stays closed for good.
                past.stamp = past.stamp.saturating_add(1);
                let stamp = if past.stamp == u32::MAX {
                    0
                } else {
                    past.stamp
                };
                self.stamp.store(stamp, Ordering::Relaxed);
            }
        });
    }
}
