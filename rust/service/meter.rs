// SPDX-License-Identifier: GPL-2.0

//! What measures how much a destination and its service count a second.

use super::counts::{minus, plus, row};
use crate::rates::Rates;
use crate::sys::stats::Counts;

/// A destination's rates, and its counters at the last sample.
pub(super) struct Meter {
    pub(super) rates: Rates,
    seen: Counts,
}

impl Meter {
    /// One that counts from `seen` on.
    pub(super) fn new(seen: Counts, rates: Rates) -> Self {
        Self { rates, seen }
    }

    /// What came since the last sample.
    pub(super) fn since(&self, counts: Counts) -> Counts {
        minus(counts, self.seen)
    }
}

/// Rates of a service, or of all, and what its parts counted since the last sample.
///
/// It is summed up part by part, so that those that come and go meanwhile count as long as they
/// were there.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) rates: Rates,
    came: Counts,
}

impl Sum {
    /// A part has counted so much.
    pub(super) fn add(&mut self, came: Counts) {
        self.came = plus(self.came, came);
    }

    /// What came since the last sample, which it forgets.
    pub(super) fn take(&mut self) -> Counts {
        core::mem::take(&mut self.came)
    }
}

/// A part of a round of samples.
pub(super) struct Sampling {
    /// How many periods each sample stands for.
    periods: u32,
    /// How many more samples may be taken.
    pub(super) left: usize,
    /// A rate was found that is not 0.
    pub(super) busy: bool,
}

impl Sampling {
    /// Of at most so many samples.
    pub(super) fn new(periods: u32, left: usize) -> Self {
        Self {
            periods,
            left,
            busy: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Samples a destination, whose counters stand at `counts`; returns what came.
    pub(super) fn dest(&mut self, meter: &mut Meter, counts: Counts) -> Counts {
        let came = meter.since(counts);
        meter.seen = counts;
        self.take(&mut meter.rates, came);
        came
    }

    /// Samples a sum, of which all parts have been; returns what came.
    pub(super) fn sum(&mut self, sum: &mut Sum) -> Counts {
        let came = sum.take();
        self.take(&mut sum.rates, came);
        came
    }

    fn take(&mut self, rates: &mut Rates, came: Counts) {
        self.left = self.left.saturating_sub(1);
        rates.sample(row(came), self.periods);
        self.busy |= !rates.is_zero();
    }
}
