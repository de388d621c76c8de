// SPDX-License-Identifier: GPL-2.0

//! What the administrator of a network namespace can set, besides services.

use kernel::prelude::*;
use kernel::sync::Arc;

use crate::sched::{Kind, Outside};
use crate::sys::host;
use crate::sys::net::Net;
use crate::sys::random;
use crate::sys::sysctl::{Bound, Published, Reading, Value, Values};
use crate::sys::time::{Jiffies, HZ};

/// The largest number of those that IPVS takes as they are.
const MOST: u32 = i32::MAX as u32;
/// The most connections that can be asked for.
const MAX_CONNS: u32 = 1 << 30;

/// The values under `/proc/sys/net/rlvs`, by their place in [`Config::values`].
const EARLY: usize = 0;
const CONN_MAX: usize = 1;
const LPORT_MIN: usize = 2;
const LPORT_MAX: usize = 3;
const LBLC_EXPIRATION: usize = 4;
const LBLCR_EXPIRATION: usize = 5;
const RUN_ESTIMATION: usize = 6;
const EXPIRE_QUIESCENT_TEMPLATE: usize = 7;
/// How many there are.
const SETTINGS: usize = 8;

/// Seconds for which lblc and lblcr remember an address: a day.
const EXPIRATION: u32 = 24 * 60 * 60;
/// At most as many as IPVS can count in ticks.
const MAX_EXPIRATION: u32 = i32::MAX as u32 / HZ;

/// The values, visible with what `R` reads; gone when dropped.
pub(crate) type Sysctls<R> = Published<R, SETTINGS>;

/// The settings of a namespace.
pub(crate) struct Config {
    values: Arc<Values<SETTINGS>>,
}

impl Config {
    /// The defaults of a namespace; `changed` follows when somebody writes `early`, `estimate`
    /// when it is `run_estimation`.
    pub(crate) fn new(net: Net, changed: fn(&Net), estimate: fn(&Net)) -> Result<Self> {
        let conn_max = default_conn_max();
        // Whoever only rules a container does not rule the machine's memory.
        let conn_limit = if host::owns(net) { MAX_CONNS } else { conn_max };
        let values = Values::new([
            Value::new(c"early", 1, Bound::At(0), Bound::At(1)).watched(net, changed),
            Value::new(c"conn_max", conn_max, Bound::At(1), Bound::At(conn_limit)),
            Value::new(c"lport_min", 5000, Bound::At(1), Bound::Of(LPORT_MAX)),
            Value::new(
                c"lport_max",
                65_535,
                Bound::Of(LPORT_MIN),
                Bound::At(65_535),
            ),
            expiration(c"lblc_expiration"),
            expiration(c"lblcr_expiration"),
            // As in IPVS anything but 0 is yes.
            Value::new(c"run_estimation", 1, Bound::At(0), Bound::At(MOST)).watched(net, estimate),
            Value::new(
                c"expire_quiescent_template",
                0,
                Bound::At(0),
                Bound::At(MOST),
            ),
        ]);
        Ok(Self {
            values: Arc::new(values, GFP_KERNEL)?,
        })
    }

    /// Shows the settings in `net`, with what `R` reads.
    pub(crate) fn publish<R: Reading>(&self, net: Net) -> Result<Sysctls<R>> {
        Published::new(net, c"net/rlvs", self.values.clone())
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

    /// Whether rates are worked out.
    pub(crate) fn run_estimation(&self) -> bool {
        self.values.get(RUN_ESTIMATION) != 0
    }

    /// Whether a template whose destination has the weight 0 leads nowhere.
    pub(crate) fn expire_quiescent_template(&self) -> bool {
        self.values.get(EXPIRE_QUIESCENT_TEMPLATE) != 0
    }

    /// For how many seconds a scheduler remembers an address.
    pub(crate) fn expiration(&self, kind: Kind) -> u32 {
        self.values.get(match kind {
            Kind::Lblcr => LBLCR_EXPIRATION,
            _ => LBLC_EXPIRATION,
        })
    }
}

impl Outside for Config {
    fn now(&self) -> u32 {
        Jiffies::now().0
    }

    fn is_stale(&self, time: u32) -> bool {
        let most = Jiffies::seconds(self.expiration(Kind::Lblcr));
        Jiffies::now().since(Jiffies(time)) > most
    }

    fn random(&self) -> u64 {
        let [word] = random::words();
        word
    }
}

const fn expiration(name: &'static CStr) -> Value {
    Value::new(name, EXPIRATION, Bound::At(0), Bound::At(MAX_EXPIRATION))
}

/// As many as take about a quarter of the memory at 256 bytes each.
fn default_conn_max() -> u32 {
    let conns = (host::ram_bytes() >> 10).clamp(1 << 16, 1 << 24);
    // CAST: in range by the line above.
    conns as u32
}
