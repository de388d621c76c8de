// SPDX-License-Identifier: GPL-2.0

//! What the administrator of a network namespace can set, besides services.

use kernel::prelude::*;
use kernel::sync::Arc;

use crate::sched::{Kind, Outside};
use crate::sys::host;
use crate::sys::net::Net;
use crate::sys::random;
use crate::sys::sysctl::{Bound, Cpus, Kept, Mirrored, Published, Reading, Value, Values};
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
const CONN_REUSE_MODE: usize = 8;
const EXPIRE_NODEST_CONN: usize = 9;
const SLOPPY_TCP: usize = 10;
const SCHEDULE_ICMP: usize = 11;
const NAT_ICMP_SEND: usize = 12;
const IGNORE_TUNNELED: usize = 13;
const SNAT_REROUTE: usize = 14;
const PMTU_DISC: usize = 15;
const CACHE_BYPASS: usize = 16;
const AMEMTHRESH: usize = 17;
const AM_DROPRATE: usize = 18;
const DROP_ENTRY: usize = 19;
const DROP_PACKET: usize = 20;
const SECURE_TCP: usize = 21;
const CONN_LFACTOR: usize = 24;
const SVC_LFACTOR: usize = 25;
/// How many there are, with those that are only kept.
const SETTINGS: usize = 26;

/// Where IPVS's tools look for the settings, and those of rlvs's own that are not there.
const IPVS_FOLDER: &CStr = c"net/ipv4/vs";
const OURS: [&CStr; 3] = [c"early", c"lport_min", c"lport_max"];
/// What only the machine's administrator may write, as in IPVS.
const SHARED: [&CStr; 7] = [
    c"sync_qlen_max",
    c"sync_sock_size",
    c"run_estimation",
    c"est_cpulist",
    c"est_nice",
    c"conn_lfactor",
    c"svc_lfactor",
];
/// Settings of what is not built yet, which are only kept.
const UNBUILT: usize = 8;

/// A defence, by the place of its mode.
#[derive(Clone, Copy)]
pub(crate) enum Guard {
    DropEntry = DROP_ENTRY as isize,
    DropPacket = DROP_PACKET as isize,
    SecureTcp = SECURE_TCP as isize,
}

/// Seconds for which lblc and lblcr remember an address: a day.
const EXPIRATION: i32 = 24 * 60 * 60;
/// At most as many as IPVS can count in ticks.
// CAST: far below 2^31.
const MAX_EXPIRATION: i32 = i32::MAX / HZ as i32;

/// The values, visible with what `R` reads; gone when dropped.
pub(crate) type Sysctls<R> = Published<R, SETTINGS>;

/// The values by IPVS's names; gone when dropped.
pub(crate) struct IpvsSysctls {
    _values: Mirrored<SETTINGS>,
    _unbuilt: Mirrored<UNBUILT>,
    _kept: Kept,
}

/// What follows when somebody writes a setting; it may sleep.
pub(crate) struct Follow {
    /// `early`.
    pub(crate) early: fn(&Net),
    /// What decides about ways: `snat_reroute`, `pmtu_disc`.
    pub(crate) ways: fn(&Net),
    /// `cache_bypass`.
    pub(crate) bypass: fn(&Net),
    /// `nat_icmp_send`.
    pub(crate) servers: fn(&Net),
    /// `run_estimation`.
    pub(crate) estimation: fn(&Net),
    /// The modes of defences.
    pub(crate) defence: fn(&Net),
}

/// The settings of a namespace; a clone is the same ones.
#[derive(Clone)]
pub(crate) struct Config {
    values: Arc<Values<SETTINGS>>,
    /// Without effect, as no thread estimates rates.
    cpus: Arc<Cpus>,
}

impl Config {
    /// The defaults of a namespace.
    pub(crate) fn new(net: Net, follow: &Follow) -> Result<Self> {
        let conn_max = default_conn_max();
        // Whoever only rules a container does not rule the machine's memory.
        let conn_limit = if host::owns(net) { MAX_CONNS } else { conn_max };
        // IPVS: tables are larger in the machine's own network namespace.
        let [conn_load, svc_load] = match host::is_first(net) {
            true => [-4, -3],
            false => [-2, -2],
        };
        let values = Values::new([
            Value::new(c"early", 1, Bound::At(0), Bound::At(1)).watched(net, follow.early),
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
            any(c"run_estimation", 1).watched(net, follow.estimation),
            any(c"expire_quiescent_template", 0),
            any(c"conn_reuse_mode", 1),
            any(c"expire_nodest_conn", 0),
            any(c"sloppy_tcp", 0),
            any(c"schedule_icmp", 0),
            any(c"nat_icmp_send", 0).watched(net, follow.servers),
            any(c"ignore_tunneled", 0),
            any(c"snat_reroute", 1).watched(net, follow.ways),
            any(c"pmtu_disc", 1).watched(net, follow.ways),
            any(c"cache_bypass", 0).watched(net, follow.bypass),
            any(c"amemthresh", 1024),
            any(c"am_droprate", 10),
            mode(c"drop_entry").watched(net, follow.defence),
            mode(c"drop_packet").watched(net, follow.defence),
            mode(c"secure_tcp").watched(net, follow.defence),
            // Without effect: until there is synchronisation, and where there are no threads for
            // rates and tables fit themselves.
            any(c"backup_only", 0),
            Value::signed(c"est_nice", 0, -20, 19),
            Value::signed(c"conn_lfactor", conn_load, -8, 8),
            Value::signed(c"svc_lfactor", svc_load, -8, 8),
        ]);
        Ok(Self {
            values: Arc::new(values, GFP_KERNEL)?,
            cpus: Arc::new(Cpus::new()?, GFP_KERNEL)?,
        })
    }

    /// Shows the settings in `net`, with what `R` reads.
    pub(crate) fn publish<R: Reading>(&self, net: Net) -> Result<Sysctls<R>> {
        let (path, values) = (c"net/rlvs", self.values.clone());
        Published::new(net, path, values, self.cpus())
    }

    /// Shows them by IPVS's names as well, and what IPVS has besides.
    pub(crate) fn publish_as_ipvs(&self, net: Net) -> Result<IpvsSysctls> {
        let (values, cpus) = (self.values.clone(), self.cpus());
        let mode = |name: &CStr| {
            let shared = SHARED.iter().any(|other| *other == name);
            let mode = if shared && !host::owns(net) {
                0o444
            } else {
                0o644
            };
            (!OURS.iter().any(|other| *other == name)).then_some(mode)
        };
        let unbuilt = Arc::new(unbuilt(), GFP_KERNEL)?;
        let (threshold, conntrack) = (c"sync_threshold", c"conntrack");
        Ok(IpvsSysctls {
            _values: Mirrored::new(net, IPVS_FOLDER, values, Some(cpus), mode)?,
            _unbuilt: Mirrored::new(net, IPVS_FOLDER, unbuilt, None, mode)?,
            _kept: Kept::new(net, IPVS_FOLDER, threshold, [3, 50], conntrack)?,
        })
    }

    fn cpus(&self) -> (&'static CStr, Arc<Cpus>) {
        (c"est_cpulist", self.cpus.clone())
    }

    /// Of the tables of connections and of services, as IPVS would have them.
    pub(crate) fn load_factors(&self) -> [i32; 2] {
        // CAST: kept as C reads it.
        [CONN_LFACTOR, SVC_LFACTOR].map(|index| self.values.get(index) as i32)
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
        self.is_on(RUN_ESTIMATION)
    }

    /// Whether a template whose destination has the weight 0 leads nowhere.
    pub(crate) fn expire_quiescent_template(&self) -> bool {
        self.is_on(EXPIRE_QUIESCENT_TEMPLATE)
    }

    /// For how many seconds a scheduler remembers an address.
    pub(crate) fn expiration(&self, kind: Kind) -> u32 {
        self.at_least_none(match kind {
            Kind::Lblcr => LBLCR_EXPIRATION,
            _ => LBLC_EXPIRATION,
        })
    }

    /// Which connections that are over give way to new ones: 0 none, others those that are, with
    /// bit 1 also those of which one half is and the other can't be seen.
    pub(crate) fn conn_reuse_mode(&self) -> u32 {
        self.values.get(CONN_REUSE_MODE)
    }

    /// Whether connections end with their destination.
    pub(crate) fn expire_nodest_conn(&self) -> bool {
        self.is_on(EXPIRE_NODEST_CONN)
    }

    /// Whether a connection may begin here that has begun elsewhere.
    pub(crate) fn sloppy_tcp(&self) -> bool {
        self.is_on(SLOPPY_TCP)
    }

    /// Whether a connection may begin with an ICMP error about it.
    pub(crate) fn schedule_icmp(&self) -> bool {
        self.is_on(SCHEDULE_ICMP)
    }

    /// Whether a real server is told that nobody waits for its answer (NAT).
    pub(crate) fn nat_icmp_send(&self) -> bool {
        self.is_on(NAT_ICMP_SEND)
    }

    /// Whether packets on their way through may mean something although no connection is known.
    pub(crate) fn looks_at_strangers(&self) -> bool {
        self.schedule_icmp() || self.nat_icmp_send()
    }

    /// Whether what comes out of a tunnel is passed by.
    pub(crate) fn ignore_tunneled(&self) -> bool {
        self.is_on(IGNORE_TUNNELED)
    }

    /// Whether an answer is routed anew as one of this host (NAT).
    pub(crate) fn snat_reroute(&self) -> bool {
        self.is_on(SNAT_REROUTE)
    }

    /// Whether a tunnelled packet must not be fragmented if what it carries must not.
    pub(crate) fn pmtu_disc(&self) -> bool {
        self.is_on(PMTU_DISC)
    }

    /// Whether connections to other hosts go there if there is no destination.
    pub(crate) fn cache_bypass(&self) -> bool {
        self.is_on(CACHE_BYPASS)
    }

    /// With fewer free pages than this the memory is short.
    pub(crate) fn amemthresh(&self) -> u32 {
        self.at_least_none(AMEMTHRESH)
    }

    /// Of so many new connections one is dropped, if that does not go by the memory; all are if
    /// the number is negative (IPVS).
    pub(crate) fn am_droprate(&self) -> u32 {
        self.values.get(AM_DROPRATE)
    }

    /// The mode of a defence, as `expiry/defence.rs` has it.
    pub(crate) fn mode(&self, guard: Guard) -> u32 {
        self.values.get(guard as usize)
    }

    /// Writes back what the mode of a defence has become, unless somebody has just set another.
    pub(crate) fn settle(&self, guard: Guard, before: u32, mode: u32) {
        if before != mode {
            self.values.swap(guard as usize, before, mode);
        }
    }

    /// Whether a defence is on, or would be with less memory.
    pub(crate) fn is_guarded(&self) -> bool {
        let guards = [Guard::DropEntry, Guard::DropPacket, Guard::SecureTcp];
        guards.into_iter().any(|guard| self.mode(guard) != 0)
    }

    /// A number that may be negative, which is as good as 0.
    fn at_least_none(&self, index: usize) -> u32 {
        // CAST: the same bits are an `i32`.
        let number = self.values.get(index) as i32;
        number.max(0).unsigned_abs()
    }

    fn is_on(&self, index: usize) -> bool {
        self.values.get(index) != 0
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

/// One that IPVS takes as it is; where it is a switch, anything but 0 is yes.
const fn any(name: &'static CStr, now: i32) -> Value {
    Value::signed(name, now, i32::MIN, i32::MAX)
}

/// The settings of synchronisation and SCTP, as long as there are none.
fn unbuilt() -> Values<UNBUILT> {
    let pages = u32::try_from(host::buffer_pages() >> 5).unwrap_or(MOST);
    Values::new([
        Value::new(c"sync_version", 1, Bound::At(0), Bound::At(1)),
        Value::new(c"sync_ports", 1, Bound::At(1), Bound::At(64)),
        switch(c"sync_persist_mode", false),
        count(c"sync_qlen_max", pages.min(MOST)),
        count(c"sync_sock_size", 0),
        count(c"sync_refresh_period", 0),
        Value::new(c"sync_retries", 0, Bound::At(0), Bound::At(3)),
        switch(c"sloppy_sctp", false),
    ])
}

const fn switch(name: &'static CStr, on: bool) -> Value {
    Value::new(name, on as u32, Bound::At(0), Bound::At(1))
}

const fn count(name: &'static CStr, now: u32) -> Value {
    Value::new(name, now, Bound::At(0), Bound::At(MOST))
}

const fn mode(name: &'static CStr) -> Value {
    Value::new(name, 0, Bound::At(0), Bound::At(3))
}

const fn expiration(name: &'static CStr) -> Value {
    Value::signed(name, EXPIRATION, -MAX_EXPIRATION, MAX_EXPIRATION)
}

/// As many as take about a quarter of the memory at 256 bytes each.
fn default_conn_max() -> u32 {
    let conns = (host::ram_bytes() >> 10).clamp(1 << 16, 1 << 24);
    // CAST: in range by the line above.
    conns as u32
}
