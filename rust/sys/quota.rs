// SPDX-License-Identifier: GPL-2.0

//! What all namespaces of ordinary users may have together.
//!
//! Whoever owns a user namespace rules network namespaces of his own, as many as he likes, and
//! what he configures there takes the machine's memory. Where the kernel can tell who asks it
//! is charged to his memory cgroup besides; flows are made by packets, for which nobody is
//! charged. So there is one count for all of them, whose bound is a few thousandths of the
//! memory for each kind of thing. Namespaces of the machine's own user namespace, whose
//! administrator rules the machine, are not counted.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use kernel::prelude::*;

use super::host;
use super::netns::Net;

/// A bound for all namespaces of ordinary users together, and how much of it is taken.
pub(crate) struct Quota {
    taken: AtomicUsize,
    /// There may be one for each two to the power of so many bytes of memory.
    shift: u32,
}

/// What the operator leaves of the bounds, in percent.
static PERCENT: AtomicU32 = AtomicU32::new(100);

/// Lowers all bounds to so many percent. To be called before there are namespaces.
pub(crate) fn set(percent: u32) -> Result {
    if percent > 100 {
        pr_err!("the parameter quota is a percentage: 0 to 100\n");
        return Err(EINVAL);
    }
    PERCENT.store(percent, Ordering::Relaxed);
    Ok(())
}

/// Flows: of 64 or 128 bytes, and their entries.
pub(crate) static FLOWS: Quota = Quota::new(15);
/// Services, and tables of flows: a service may have a scheduler's table of 16 kB.
pub(crate) static SERVICES: Quota = Quota::new(22);
/// Destinations, with their counters for each processor.
pub(crate) static DESTS: Quota = Quota::new(18);
/// Sets of ports, of 9 kB each.
pub(crate) static SETS: Quota = Quota::new(22);
/// Local addresses of services, and each once more for every destination.
pub(crate) static SOURCES: Quota = Quota::new(16);

impl Quota {
    const fn new(shift: u32) -> Self {
        let taken = AtomicUsize::new(0);
        Self { taken, shift }
    }

    /// How many there may be.
    fn bound(&self) -> usize {
        let most = host::ram_bytes() >> self.shift;
        let percent = PERCENT.load(Ordering::Relaxed);
        // CAST: a machine of 64 bits.
        (most.saturating_mul(percent.into()) / 100) as usize
    }

    /// Takes one for a namespace; `ENOSPC`: there are as many as there may be.
    pub(crate) fn take(&'static self, net: Net) -> Result<Taken> {
        if host::owns(net) {
            return Ok(Taken(None));
        }
        let taken = Taken(Some(self));
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.bound() {
            Ok(taken)
        } else {
            Err(ENOSPC)
        }
    }
}

/// One of what a quota bounds, given back when dropped.
pub(crate) struct Taken(Option<&'static Quota>);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(quota) = self.0 {
            quota.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A namespace's part in a quota that is counted in the way of packets.
pub(crate) struct Part {
    /// Nothing is counted for the machine's own namespaces.
    of: Option<&'static Quota>,
    bound: usize,
}

impl Part {
    /// The part of `net`.
    pub(crate) fn new(quota: &'static Quota, net: Net) -> Self {
        Self {
            of: (!host::owns(net)).then_some(quota),
            bound: quota.bound(),
        }
    }

    /// Whether there are as many as there may be.
    #[inline]
    pub(crate) fn is_used_up(&self) -> bool {
        self.of
            .is_some_and(|quota| quota.taken.load(Ordering::Relaxed) >= self.bound)
    }

    /// Counts one that is made.
    #[inline(always)]
    pub(crate) fn add(&self) {
        if let Some(quota) = self.of {
            quota.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts `number` that are gone.
    #[inline(always)]
    pub(crate) fn sub(&self, number: usize) {
        if let Some(quota) = self.of {
            quota.taken.fetch_sub(number, Ordering::Relaxed);
        }
    }
}
