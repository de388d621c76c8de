// SPDX-License-Identifier: GPL-2.0
//! Arithmetic on a clock of 32 bits that ticks `hz` times a second and wraps around.
//!
//! At 1000 ticks a second it wraps after 49 days; the longest time-out is half of that. So the
//! difference of two times is taken as it is, but for the last minute before it wraps: what seems to lie so far back
//! lies ahead.

/// A noted time may be ahead of another processor's clock by less than this many seconds.
const AHEAD: u32 = 60;

/// Ticks from `earlier` to `now`; none if `earlier` is the later one, as happens when another processor notes a time
/// while this one looks at the clock.
#[inline(always)]
pub(crate) fn since(now: u32, earlier: u32, hz: u32) -> u32 {
    let span = now.wrapping_sub(earlier);
    if span > u32::MAX - AHEAD.saturating_mul(hz) {
        0
    } else {
        span
    }
}

/// So many seconds in ticks, as far as they can be told apart.
#[inline(always)]
pub(crate) fn ticks(seconds: u32, hz: u32) -> u32 {
    let most = u32::MAX - AHEAD.saturating_mul(hz).saturating_mul(2);
    seconds.saturating_mul(hz).min(most)
}

/// Ticks until a flow is over, if it is not: `timeout` ticks after `stamp`, which may be up to a second behind.
#[inline(always)]
pub(crate) fn left(now: u32, stamp: u32, timeout: u32, hz: u32) -> Option<u32> {
    let (span, most) = (since(now, stamp, hz), timeout.saturating_add(hz));
    Some(most.checked_sub(span)?.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_over(now: u32, stamp: u32, timeout: u32, hz: u32) -> bool {
        left(now, stamp, timeout, hz).is_none()
    }

    /// The longest time-out that can be set, in seconds.
    const fn longest(hz: u32) -> u32 {
        i32::MAX as u32 / hz
    }

    const RATES: [u32; 4] = [100, 250, 300, 1000];

    #[test]
    fn what_is_left_leads_to_the_end_and_not_past_it() {
        for hz in RATES {
            for (stamp, timeout) in [
                (0, 1),
                (u32::MAX - 5, 10),
                (7, 900),
                (u32::MAX, longest(hz)),
            ] {
                let span = ticks(timeout, hz);
                for passed in [0, 1, hz, span / 2, span, span.saturating_add(hz)] {
                    let now = u32::wrapping_add(stamp, passed);
                    let Some(more) = left(now, stamp, span, hz) else {
                        panic!("over {passed} ticks after the last packet, of {span}");
                    };
                    let end = now.wrapping_add(more);
                    assert!(is_over(end, stamp, span, hz));
                    assert!(!is_over(end.wrapping_sub(1), stamp, span, hz));
                }
            }
        }
    }

    #[test]
    fn every_timeout_ends_and_none_early() {
        for hz in RATES {
            for seconds in [1, 60, 900, longest(hz) - 1, longest(hz)] {
                let timeout = ticks(seconds, hz);
                assert_eq!(timeout, seconds * hz);
                for stamp in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 5] {
                    let last = stamp.wrapping_add(timeout).wrapping_add(hz);
                    assert!(!is_over(stamp, stamp, timeout, hz));
                    assert!(!is_over(last, stamp, timeout, hz), "{seconds} s at {hz}");
                    for late in [1, hz, 1000 * hz] {
                        assert!(is_over(last.wrapping_add(late), stamp, timeout, hz));
                    }
                }
            }
        }
    }

    #[test]
    fn a_time_that_is_ahead_is_now() {
        for hz in RATES {
            for now in [0, 5, 0x8000_0000, u32::MAX] {
                assert_eq!(since(now, now.wrapping_add(1), hz), 0);
                assert_eq!(since(now, now.wrapping_add(59 * hz), hz), 0);
                assert!(!is_over(now, now.wrapping_add(hz), 1, hz));
            }
        }
    }

    #[test]
    fn spans_wrap_around() {
        assert_eq!(since(3, u32::MAX - 1, 250), 5);
        assert_eq!(since(0x8000_0001, 0, 250), 0x8000_0001);
    }
}
