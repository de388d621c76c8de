// SPDX-License-Identifier: GPL-2.0

//! What the administrator of a network namespace can set, besides services.

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::state::tcp::State;
use crate::state::Timeouts;
use crate::sys::host;
use crate::sys::netns::Net;
use crate::sys::sysctl::{Bound, Value, Values};
use crate::wire::uapi::proto;

/// The largest time-out in seconds: 24 days, which every tick rate can count.
pub(crate) const MAX_TIMEOUT: u32 = i32::MAX as u32 / 1000;

/// The most connections that can be asked for.
const MAX_CONNS: u32 = 1 << 30;

/// How many states TCP has.
const TCP_STATES: usize = State::SynAck as usize + 1;

/// The values under `/proc/sys/net/rlvs`, by their place in [`Config::values`].
const EARLY: usize = 0;
const CONN_MAX: usize = 1;
const LPORT_MIN: usize = 2;
const LPORT_MAX: usize = 3;

/// The settings of a namespace.
pub(crate) struct Config {
    pub(super) values: Arc<Values<4>>,
    /// Seconds, by the number of the state.
    tcp: [AtomicU32; TCP_STATES],
    /// Seconds.
    udp: AtomicU32,
}

impl Config {
    /// The defaults of a namespace.
    pub(crate) fn new(net: Net) -> Result<Self> {
        let conn_max = default_conn_max();
        // Whoever only rules a container does not rule the machine's memory.
        let conn_limit = if host::owns(net) { MAX_CONNS } else { conn_max };
        let values = Values::new([
            Value::new(c"early", 1, Bound::At(0), Bound::At(1)),
            Value::new(c"conn_max", conn_max, Bound::At(1), Bound::At(conn_limit)),
            Value::new(c"lport_min", 5000, Bound::At(1), Bound::Of(LPORT_MAX)),
            Value::new(
                c"lport_max",
                65_535,
                Bound::Of(LPORT_MIN),
                Bound::At(65_535),
            ),
        ]);
        let timeouts = Timeouts::default();
        let tcp = |state: usize| timeouts.timeout(TCP, state as u8);
        Ok(Self {
            values: Arc::new(values, GFP_KERNEL)?,
            tcp: core::array::from_fn(|state| AtomicU32::new(tcp(state))),
            udp: AtomicU32::new(timeouts.timeout(UDP, 0)),
        })
    }

    /// Whether known connections are served before routing.
    #[inline(always)]
    pub(crate) fn early(&self) -> bool {
        self.values.get(EARLY) != 0
    }

    /// How many connections there may be, IPv4 and IPv6 together.
    pub(crate) fn conn_max(&self) -> u64 {
        self.values.get(CONN_MAX).into()
    }

    /// First and last local port of FULLNAT, for sets of ports that are made from now on.
    pub(crate) fn lports(&self) -> (u16, u16) {
        let port = |index| u16::try_from(self.values.get(index)).unwrap_or(u16::MAX);
        (port(LPORT_MIN), port(LPORT_MAX))
    }

    /// Seconds without a packet after which a connection in `state` expires.
    #[inline]
    pub(crate) fn timeout(&self, proto: u8, state: u8) -> u32 {
        let timeout = match proto {
            TCP => self.tcp.get(usize::from(State::from_u8(state) as u8)),
            _ => None,
        };
        timeout.unwrap_or(&self.udp).load(Ordering::Relaxed)
    }

    /// Sets the time-outs of established TCP, of TCP after a FIN, and of UDP, in seconds; what
    /// is 0 stays.
    pub(crate) fn set_timeouts(&self, established: u32, fin: u32, udp: u32) {
        let tcp = |state: State| self.tcp.get(usize::from(state as u8));
        let values = [
            (tcp(State::Established), established),
            (tcp(State::FinWait), fin),
            (Some(&self.udp), udp),
        ];
        for (place, seconds) in values {
            if let (Some(place), 1..) = (place, seconds) {
                place.store(seconds, Ordering::Relaxed);
            }
        }
    }
}

// CAST: 6 and 17.
const TCP: u8 = proto::TCP as u8;
const UDP: u8 = proto::UDP as u8;

/// As many as take about a quarter of the memory at 256 bytes each.
fn default_conn_max() -> u32 {
    let conns = (host::ram_bytes() >> 10).clamp(1 << 16, 1 << 24);
    // CAST: in range by the line above.
    conns as u32
}
