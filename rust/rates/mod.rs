// SPDX-License-Identifier: GPL-2.0
//! Rates as IPVS estimates them: averages that every two seconds move a quarter of the way to what those two seconds
//! brought. They are fixed-point numbers, and IPVS's, to the last bit.
//!
//! Pure: `core` only.

/// Seconds between two samples.
pub(crate) const PERIOD: u32 = 2;

/// Connections, packets in and out, bytes in and out; or as many of them a second.
pub(crate) type Row = [u64; 5];

/// How many bits of each average stand behind its point.
const POINT: [u32; 5] = [10, 10, 10, 5, 5];

/// More than a machine can count in a period; so much can be scaled.
const MOST: u64 = 1 << 52;

/// Nothing is left of what an average was so many periods ago.
const LONG: u32 = 256;

/// The averages of what is counted, a second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rates(Row);

impl Rates {
    /// Takes in what was counted in the last `periods`: one, unless samples were missed.
    pub(crate) fn sample(&mut self, counted: Row, periods: u32) {
        let periods = periods.max(1);
        for ((average, counted), point) in self.0.iter_mut().zip(counted).zip(POINT) {
            // Half as many a second.
            let scaled = counted.min(MOST) << point.saturating_sub(1);
            let rate = scaled.checked_div(periods.into()).unwrap_or(scaled);
            for _ in 0..periods.min(LONG) {
                *average = step(*average, rate);
            }
        }
    }

    /// The rates, rounded as IPVS rounds them: a half and less goes down.
    pub(crate) fn shown(&self) -> Row {
        let mut shown = self.0;
        for (number, point) in shown.iter_mut().zip(POINT) {
            let half = 1_u64 << point.saturating_sub(1);
            *number = number.saturating_add(half.saturating_sub(1)) >> point;
        }
        shown
    }

    /// Whether nothing is left that could become less.
    pub(crate) fn is_zero(&self) -> bool {
        self.0 == Row::default()
    }
}

/// An average moves a quarter of the way to `rate`. IPVS rounds the way down, so that a fall is never less than one.
fn step(average: u64, rate: u64) -> u64 {
    match rate.checked_sub(average) {
        Some(rise) => average.saturating_add(rise >> 2),
        None => average.saturating_sub(average.abs_diff(rate).div_ceil(4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What is shown of packets after each of these samples.
    fn packets(samples: &[u64]) -> Vec<u64> {
        let mut rates = Rates::default();
        let shown = samples.iter().map(|&counted| {
            rates.sample([0, counted, 0, 0, 0], 1);
            rates.shown()[1]
        });
        shown.collect()
    }

    #[test]
    fn a_burst_is_shown_as_ipvs_shows_it() {
        assert_eq!(packets(&[1000, 0, 0, 0]), [125, 94, 70, 53]);
        assert_eq!(packets(&[1, 1, 1, 1, 1]), [0, 0, 0, 0, 0]);
        assert_eq!(packets(&[4, 4, 4, 4, 4]), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn what_is_steady_is_shown_as_it_is() {
        for second in [1, 7, 1_000, 12_345_678, 40_000_000_000] {
            let mut rates = Rates::default();
            (0..128).for_each(|_| rates.sample([second * 2; 5], 1));
            assert_eq!(rates.shown(), [second; 5]);
        }
    }

    #[test]
    fn without_traffic_nothing_is_left() {
        for counted in [1, 9, 1_000_000, u64::MAX] {
            let mut rates = Rates::default();
            rates.sample([counted; 5], 1);
            assert!(!rates.is_zero());
            let periods = (0..LONG).find(|_| {
                rates.sample([0; 5], 1);
                rates.is_zero()
            });
            assert!(periods.is_some(), "{counted}");
        }
    }

    #[test]
    fn missed_samples_are_spread() {
        let (mut one, mut other) = (Rates::default(), Rates::default());
        (0..3).for_each(|_| one.sample([400, 800, 80, 80_000, 0], 1));
        other.sample([1200, 2400, 240, 240_000, 0], 3);
        assert_eq!(one.shown(), other.shown());
        other.sample([0; 5], u32::MAX);
        assert!(other.is_zero());
    }
}
