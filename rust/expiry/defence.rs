// SPDX-License-Identifier: GPL-2.0
//! IPVS's defences: which of them are on, as is set or by the free memory, and which connections go.
//!
//! Each has a mode: 0 is off, 3 on; 1 and 2 go by the memory, 2 while it is short.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// By the memory, which is not short.
pub(crate) const WATCHING: u32 = 1;
/// By the memory, which is short.
pub(crate) const ALERT: u32 = 2;
/// On.
const ALWAYS: u32 = 3;

/// A mode after a look at the memory.
pub(crate) fn settled(mode: u32, short: bool) -> u32 {
    match mode {
        WATCHING | ALERT if short => ALERT,
        WATCHING | ALERT => WATCHING,
        other => other,
    }
}

/// Whether a defence in this mode is on.
pub(crate) fn is_on(mode: u32) -> bool {
    mode >= ALERT
}

/// Of so many new connections one is dropped; 0: none is. The less memory is `free` of the `least` that should be, the
/// more; without regard to that it is one of `fixed`.
pub(crate) fn drop_rate(mode: u32, least: u32, free: u32, fixed: u32) -> u32 {
    match mode {
        ALERT => least.checked_div(least.saturating_sub(free)).unwrap_or(0),
        ALWAYS => fixed,
        _ => 0,
    }
}

/// More packets than this from a client speak for his connection.
pub(crate) const MANY: u8 = 8;

/// A connection that is idle for fewer seconds is left alone.
pub(crate) const IDLE: u32 = 60;

/// Whose turn it is to go among those with as many packets.
#[derive(Default)]
pub(crate) struct Turns([AtomicU8; MANY as usize]);

impl Turns {
    /// Whether a connection goes from whose client `packets` came: one of so many with that number, the first at once.
    pub(crate) fn takes(&self, packets: u8) -> bool {
        let class = packets.checked_sub(1).map(usize::from);
        let Some(left) = class.and_then(|class| self.0.get(class)) else {
            return false;
        };
        let rest = left.load(Relaxed).saturating_sub(1);
        left.store(if rest == 0 { packets } else { rest }, Relaxed);
        rest == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_go_by_the_memory_or_stay() {
        let after = |short| [0, 1, 2, 3].map(|mode| settled(mode, short));
        assert_eq!(after(false), [0, 1, 1, 3]);
        assert_eq!(after(true), [0, 2, 2, 3]);
        assert_eq!([0, 1, 2, 3].map(is_on), [false, false, true, true]);
    }

    #[test]
    fn the_less_memory_the_more_are_dropped() {
        assert_eq!(drop_rate(2, 1024, 1023, 7), 1024);
        assert_eq!(drop_rate(2, 1024, 512, 7), 2);
        assert_eq!(drop_rate(2, 1024, 0, 7), 1);
        assert_eq!(drop_rate(2, 1024, 5000, 7), 0);
        assert_eq!(drop_rate(3, 1024, 5000, 7), 7);
        assert_eq!([0, 1].map(|mode| drop_rate(mode, 1024, 0, 7)), [0, 0]);
    }

    #[test]
    fn of_those_with_n_packets_each_nth_goes() {
        let turns = Turns::default();
        assert!(!turns.takes(0) && !turns.takes(MANY + 1) && !turns.takes(u8::MAX));
        for packets in 1..=MANY {
            for round in 0..3 * u32::from(packets) {
                assert_eq!(turns.takes(packets), round % u32::from(packets) == 0);
            }
        }
    }
}
