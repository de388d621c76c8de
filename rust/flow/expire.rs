// SPDX-License-Identifier: GPL-2.0

//! How flows come into the table and leave it.

use super::{Family, Flow, FlowTable};
use crate::config::Config;
use crate::sys::index::Refused;
use crate::sys::rcu::{self, Rcu};
use crate::sys::time::Jiffies;

/// Buckets that are looked through before the processor is offered to others.
const STRIDE: usize = 1024;
/// Buckets that one run looks through at the most.
const SHARE: usize = 1 << 16;

impl<A: Family> FlowTable<A> {
    /// Takes a flow in and counts it at its destination.
    #[inline(always)]
    pub(crate) fn insert<'a>(
        &'a self,
        rcu: &'a Rcu,
        flow: Flow<A>,
    ) -> Result<&'a Flow<A>, Refused> {
        let dest = flow.dest.clone();
        dest.bind();
        let result = self.0.insert(rcu, flow);
        if result.is_err() {
            dest.unbind();
        }
        result
    }

    /// Takes a flow out, unless somebody else has.
    pub(crate) fn remove(&self, rcu: &Rcu, flow: &Flow<A>) {
        if !self.0.remove(rcu, flow) {
            return;
        }
        let dest = &flow.dest;
        if flow.end() {
            dest.set_active(false);
        }
        dest.unbind();
    }

    /// Whether the worker should be woken to enlarge the table.
    pub(crate) fn crowded(&self, rcu: &Rcu) -> bool {
        self.0.crowded(rcu)
    }

    /// Fits the table to its load. Sleeps; one caller at a time.
    pub(crate) fn fit(&self) {
        if let Some(buckets) = rcu::read(|rcu| self.0.wanted(rcu)) {
            // Without memory the table stays as it is, only slower; the next run tries again.
            let _ = self.0.resize(buckets);
        }
    }

    /// Removes expired flows from `start` on; returns where the next run goes on. Sleeps.
    pub(crate) fn expire(&self, config: &Config, start: usize) -> usize {
        let mut at = if self.len() == 0 { 0 } else { start };
        for _ in 0..SHARE / STRIDE {
            match rcu::read(|rcu| self.expire_stride(config, rcu, at)) {
                Some(next) => at = next,
                None => {
                    at = 0;
                    break;
                }
            }
            rcu::cond_resched();
        }
        self.0.reclaim();
        at
    }

    fn expire_stride(&self, config: &Config, rcu: &Rcu, start: usize) -> Option<usize> {
        let now = Jiffies::now();
        self.0.walk(rcu, start, STRIDE, |flow| {
            if flow.expired(config, now) {
                self.remove(rcu, flow);
            }
        })
    }
}
