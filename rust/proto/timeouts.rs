// SPDX-License-Identifier: GPL-2.0
//! How long a connection may be idle in each state of its protocol. Time is seconds.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::tcp::{self, Tcp};
use super::udp::Udp;
use super::{ask, states, Protocol, FIRST};

/// What IPVS lets the user set, in its order: TCP in ESTABLISHED, TCP in FIN_WAIT, and UDP.
const SETTABLE: [(u8, u8); 3] = [
    (Tcp::NUMBER, tcp::State::Established as u8),
    (Tcp::NUMBER, tcp::State::FinWait as u8),
    (Udp::NUMBER, FIRST),
];

/// States of all protocols.
const ALL: usize = first_of(u8::MAX) + count(u8::MAX);

/// How many states a protocol has.
const fn count(number: u8) -> usize {
    ask!(number, P => P::STATES.len(), 0)
}

/// How many states those have whose numbers are less.
const fn first_of(number: u8) -> usize {
    let (mut sum, mut other) = (0, 0);
    while other < number {
        sum += count(other);
        other += 1;
    }
    sum
}

/// Seconds without a packet after which a connection expires, for each state of each protocol.
///
/// Each can be set while packets read it.
pub(crate) struct Timeouts([AtomicU32; ALL]);

impl Default for Timeouts {
    /// IPVS's time-outs.
    fn default() -> Self {
        let timeouts = Self([const { AtomicU32::new(0) }; ALL]);
        let all = (0..=u8::MAX).flat_map(states);
        for (place, state) in timeouts.0.iter().zip(all) {
            place.store(state.timeout, Relaxed);
        }
        timeouts
    }
}

impl Timeouts {
    /// The time-out of a connection in a state; a number that no state has counts as the first.
    #[inline]
    pub(crate) fn get(&self, number: u8, state: u8) -> u32 {
        self.place(number, state)
            .map_or(0, |place| place.load(Relaxed))
    }

    /// What IPVS lets the user set: TCP in ESTABLISHED, TCP in FIN_WAIT, and UDP.
    pub(crate) fn settable(&self) -> [u32; 3] {
        SETTABLE.map(|(number, state)| self.get(number, state))
    }

    /// Sets the same. 0 keeps the present value.
    pub(crate) fn set(&self, seconds: [u32; 3]) {
        for ((number, state), seconds) in SETTABLE.into_iter().zip(seconds) {
            match self.place(number, state) {
                Some(place) if seconds != 0 => place.store(seconds, Relaxed),
                _ => {}
            }
        }
    }

    #[inline]
    fn place(&self, number: u8, state: u8) -> Option<&AtomicU32> {
        let first = ask!(number, P => { const AT: usize = first_of(P::NUMBER); AT }, return None);
        let state = usize::from(state);
        let state = if state < count(number) { state } else { 0 };
        self.0.get(first.wrapping_add(state))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TCP, UDP};
    use super::*;

    #[test]
    fn defaults_are_those_of_ipvs() {
        let timeouts = Timeouts::default();
        let tcp = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];
        for (state, seconds) in (0..).zip(tcp) {
            assert_eq!(timeouts.get(TCP, state), seconds);
        }
        assert_eq!(timeouts.get(UDP, 0), 300);
        assert_eq!(timeouts.settable(), [900, 120, 300]);
    }

    #[test]
    fn each_state_has_a_place_of_its_own() {
        let timeouts = Timeouts::default();
        let pairs = (0..=u8::MAX).flat_map(|number| (0..count(number)).map(move |s| (number, s)));
        for (at, (number, state)) in pairs.enumerate() {
            let place = timeouts.place(number, state as u8).unwrap();
            assert!(core::ptr::eq(place, &timeouts.0[at]));
        }
    }

    #[test]
    fn an_unknown_state_counts_as_the_first() {
        let timeouts = Timeouts::default();
        for state in [11, 255] {
            assert_eq!(timeouts.get(TCP, state), 2);
            assert_eq!(timeouts.get(UDP, state), 300);
        }
        assert_eq!(timeouts.get(1, 0), 0);
    }

    #[test]
    fn zero_keeps_the_present_value() {
        let timeouts = Timeouts::default();
        timeouts.set([1, 0, 0]);
        timeouts.set([0, 2, 0]);
        timeouts.set([0, 0, 3]);
        timeouts.set([0, 0, 0]);
        let tcp = [2, 1, 120, 60, 2, 120, 10, 60, 30, 120, 120];
        for (state, seconds) in (0..).zip(tcp) {
            assert_eq!(timeouts.get(TCP, state), seconds);
        }
        assert_eq!(timeouts.get(UDP, 0), 3);
    }
}
