// SPDX-License-Identifier: GPL-2.0
//! How often work is done that takes long, and that anybody may ask for: it rests for several times as long as it took.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::clock::since;

/// So many times as long as it took it rests.
const REST: u32 = 8;

/// When a piece of work was done last, in ticks. One context uses it; it is atomic only so that it may be shared.
#[derive(Default)]
pub(crate) struct Pace {
    end: AtomicU32,
    rest: AtomicU32,
}

impl Pace {
    /// Ticks until it may be done again; 0: it may now. A second has `hz` ticks.
    pub(crate) fn left(&self, now: u32, hz: u32) -> u32 {
        let rested = since(now, self.end.load(Relaxed), hz);
        self.rest.load(Relaxed).saturating_sub(rested)
    }

    /// It was done from `begun` to `now`.
    pub(crate) fn done(&self, begun: u32, now: u32, hz: u32) {
        let took = since(now, begun, hz);
        self.end.store(now, Relaxed);
        self.rest.store(took.saturating_mul(REST), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 250;

    #[test]
    fn what_was_never_done_may_be_done_at_once() {
        for now in [0, 1, u32::MAX, 0x8000_0000] {
            assert_eq!(Pace::default().left(now, HZ), 0);
        }
    }

    #[test]
    fn whoever_asks_all_the_time_gets_a_ninth_of_it() {
        for took in [1, 3, HZ, 60 * HZ] {
            let pace = Pace::default();
            // The counter wraps around on the way.
            let begin = u32::MAX - 50 * took;
            let (mut now, mut busy) = (begin, 0);
            for _ in 0..100 {
                now = u32::wrapping_add(now, pace.left(now, HZ));
                assert_eq!(pace.left(now, HZ), 0);
                let begun = now;
                now = now.wrapping_add(took);
                pace.done(begun, now, HZ);
                busy += took;
            }
            let all = u32::wrapping_add(now, pace.left(now, HZ)).wrapping_sub(begin);
            assert_eq!(all, 9 * busy);
        }
    }

    #[test]
    fn what_takes_no_time_need_not_rest() {
        let pace = Pace::default();
        pace.done(77, 77, HZ);
        assert_eq!(pace.left(77, HZ), 0);
    }
}
