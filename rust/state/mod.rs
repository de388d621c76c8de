// SPDX-License-Identifier: GPL-2.0
//! The protocols' states and how long a flow in each of them may be idle.
//!
//! Pure: `core` only. Time is seconds.

pub(crate) mod clock;
pub(crate) mod quarters;
pub(crate) mod rank;
pub(crate) mod tcp;
pub(crate) mod udp;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// TCP's number in the IP header.
const IPPROTO_TCP: u8 = 6;

/// Seconds without a packet after which a flow expires, for each state of each protocol.
///
/// Each can be set while packets read it.
pub(crate) struct Timeouts {
    /// Indexed by the number of a [`tcp::State`].
    tcp: [AtomicU32; tcp::STATES],
    udp: AtomicU32,
}

impl Default for Timeouts {
    /// IPVS's time-outs.
    fn default() -> Self {
        Self {
            tcp: tcp::TIMEOUTS.map(AtomicU32::new),
            udp: AtomicU32::new(udp::TIMEOUT),
        }
    }
}

impl Timeouts {
    /// Sets what IPVS lets the user set: TCP in ESTABLISHED, TCP in FIN_WAIT, and UDP. 0 keeps the present value.
    pub(crate) fn set(&self, tcp_established: u32, tcp_fin: u32, udp: u32) {
        let changes = [
            (self.tcp(tcp::State::Established), tcp_established),
            (self.tcp(tcp::State::FinWait), tcp_fin),
            (&self.udp, udp),
        ];
        for (place, seconds) in changes {
            if seconds != 0 {
                place.store(seconds, Relaxed);
            }
        }
    }

    /// The time-out of a flow of protocol `proto` in `state`, in seconds.
    ///
    /// Every protocol but TCP has UDP's single state. A number that is no TCP state counts as NONE.
    #[inline]
    pub(crate) fn timeout(&self, proto: u8, state: u8) -> u32 {
        let place = match proto {
            IPPROTO_TCP => self.tcp(tcp::State::from_u8(state)),
            _ => &self.udp,
        };
        place.load(Relaxed)
    }

    fn tcp(&self, state: tcp::State) -> &AtomicU32 {
        self.tcp.get(usize::from(state as u8)).unwrap_or(&self.udp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: u8 = 17;

    #[test]
    fn defaults_are_those_of_ipvs() {
        let timeouts = Timeouts::default();
        let tcp = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];
        for (state, seconds) in (0..).zip(tcp) {
            assert_eq!(timeouts.timeout(IPPROTO_TCP, state), seconds);
        }
        assert_eq!(timeouts.timeout(UDP, 0), 300);
    }

    #[test]
    fn unknown_tcp_state_counts_as_none() {
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.timeout(IPPROTO_TCP, 11), 2);
        assert_eq!(timeouts.timeout(IPPROTO_TCP, 255), 2);
    }

    #[test]
    fn zero_keeps_the_present_value() {
        let timeouts = Timeouts::default();
        timeouts.set(1, 0, 0);
        timeouts.set(0, 2, 0);
        timeouts.set(0, 0, 3);
        timeouts.set(0, 0, 0);
        let tcp = [2, 1, 120, 60, 2, 120, 10, 60, 30, 120, 120];
        for (state, seconds) in (0..).zip(tcp) {
            assert_eq!(timeouts.timeout(IPPROTO_TCP, state), seconds);
        }
        assert_eq!(timeouts.timeout(UDP, 0), 3);
    }
}
