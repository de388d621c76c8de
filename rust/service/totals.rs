// SPDX-License-Identifier: GPL-2.0

//! What all services of a namespace have counted together, those that were removed too (IPVS:
//! `tot_stats`, which `/proc/net/ip_vs_stats` shows). Packets are not counted once more for it: it is summed up of
//! what destinations counted for their services.

use super::counts::{minus, plus};
use super::meter::{Sampling, Sum};
use super::refusal::Outcome;
use super::{Entry, Rules, Services};
use crate::rates::Row;
use crate::sys::rcu;
use crate::sys::stats::{Counts, Stats};

/// What is summed up beside the services that there are.
#[derive(Default)]
pub(super) struct Totals {
    /// What services counted that are gone.
    retired: Counts,
    /// The sums at their last zeroing.
    zero: Counts,
    /// How much it is a second.
    sum: Sum,
    /// What each processor counted beside the destinations that there are: for those that left, less what those
    /// had that came back. There since the first service came.
    left: Option<Stats>,
}

impl Totals {
    /// A service has counted so much since the last sample.
    pub(super) fn add(&mut self, came: Counts) {
        self.sum.add(came);
    }

    /// A service goes, whose destinations have gone before.
    pub(super) fn retire(&mut self, entry: &mut Entry) {
        self.retired = plus(self.retired, entry.total());
        self.add(entry.take_came());
    }

    /// Makes room for what processors count.
    pub(super) fn prepare(&mut self) -> Outcome {
        if self.left.is_none() {
            self.left = Some(Stats::new()?);
        }
        Ok(())
    }

    /// A destination leaves its service, or one that had left is back.
    pub(super) fn moved(&mut self, stats: &Stats, left: bool) {
        if let Some(sum) = &mut self.left {
            sum.shift(stats, left);
        }
    }

    /// Samples them, when all services have been.
    pub(super) fn sample(&mut self, sampling: &mut Sampling) {
        sampling.sum(&mut self.sum);
    }
}

impl Rules {
    /// What was ever counted.
    fn counted(&self) -> Counts {
        let services = self.entries.values().map(|entry| {
            rcu::cond_resched();
            entry.total()
        });
        services.fold(self.totals.retired, plus)
    }

    /// Lets the totals start at zero. Sleeps.
    pub(super) fn zero_totals(&mut self) {
        self.totals.zero = self.counted();
        self.totals.sum = Sum::default();
    }
}

impl Services {
    /// What all services have counted since that was zeroed, and how much it is a second. As in
    /// IPVS nothing but zeroing lets it fall. Sleeps.
    pub(crate) fn totals(&self) -> (Counts, Row) {
        let rules = self.rules.lock();
        let counts = minus(rules.counted(), rules.totals.zero);
        (counts, rules.totals.sum.rates.shown())
    }

    /// What processor `cpu` has ever counted: as in IPVS nothing zeroes it. Sleeps.
    pub(crate) fn counted_by(&self, cpu: u32) -> Counts {
        let rules = self.rules.lock();
        let mut sum = Counts::default();
        if let Some(left) = &rules.totals.left {
            left.add_cpu_to(cpu, &mut sum);
        }
        for entry in rules.entries.values() {
            for member in entry.members() {
                member.dest.stats.add_cpu_to(cpu, &mut sum);
            }
            rcu::cond_resched();
        }
        sum
    }
}
