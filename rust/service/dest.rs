// SPDX-License-Identifier: GPL-2.0

//! A destination: a real server in the role that it has for one service.

use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU8, Ordering};
use kernel::prelude::*;

use super::id::DestId;
use super::label::{Label, Shared};
use super::sources::{Ready, Source, Sources};
use crate::sched::Candidate;
use crate::sys::quota::{Account, Taken, DESTS};
use crate::sys::rcu::{self, Rcu, RcuBox, RcuCell};
use crate::sys::route::Path;
use crate::sys::stats::Stats;

/// What a user says of a destination besides its identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DestSpec {
    /// A forwarding method, one of `wire::uapi::fwd`.
    pub(crate) method: u8,
    pub(crate) weight: u32,
    /// With so many connections it gets no new ones; 0: no limit.
    pub(crate) upper: u32,
    /// With fewer it gets new ones again; 0: three quarters of `upper`.
    pub(crate) lower: u32,
}

/// A destination. What every packet reads, and what every connection writes, are on lines of
/// their own; the schedulers need only the second.
#[repr(C)]
pub(crate) struct Dest {
    /// The way there, found by the first packet that needs it.
    pub(crate) path: RcuCell<Path>,
    pub(crate) stats: Stats,
    pub(crate) addr: IpAddr,
    /// Host order; 0: the packet's.
    pub(crate) port: u16,
    method: AtomicU8,
    available: AtomicBool,
    /// FULLNAT's local addresses and ports; without that none.
    sources: RcuCell<Sources>,
    /// What its service's packets get.
    label: Shared,
    _quota: Taken,
    load: Load,
}

/// How busy a destination is, and how busy it may be.
#[repr(align(64))]
struct Load {
    active: AtomicU32,
    total: AtomicU32,
    /// Templates that lead here.
    templates: AtomicU32,
    weight: AtomicU32,
    last_weight: AtomicU32,
    upper: AtomicU32,
    lower: AtomicU32,
    /// With fewer connections it is not overloaded any more: `lower` or its default.
    relieved: AtomicU32,
    overloaded: AtomicBool,
}

impl Dest {
    /// A destination that no service has yet.
    pub(super) fn new(account: &Account, id: DestId) -> Result<Self> {
        Ok(Self {
            path: RcuCell::empty(),
            stats: Stats::new()?,
            addr: id.addr,
            port: id.port,
            method: AtomicU8::new(0),
            available: AtomicBool::new(false),
            sources: RcuCell::empty(),
            label: Shared::default(),
            _quota: DESTS.take(account)?,
            load: Load {
                active: AtomicU32::new(0),
                total: AtomicU32::new(0),
                templates: AtomicU32::new(0),
                weight: AtomicU32::new(0),
                last_weight: AtomicU32::new(0),
                upper: AtomicU32::new(0),
                lower: AtomicU32::new(0),
                relieved: AtomicU32::new(0),
                overloaded: AtomicBool::new(false),
            },
        })
    }

    pub(crate) fn id(&self) -> DestId {
        DestId {
            addr: self.addr,
            port: self.port,
        }
    }

    /// The forwarding method of new connections, one of `wire::uapi::fwd`.
    #[inline]
    pub(crate) fn method(&self) -> u8 {
        self.method.load(Ordering::Relaxed)
    }

    /// Whether it belongs to a service, so that its connections go on.
    #[inline]
    pub(crate) fn available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// What packets to it and from it get.
    #[inline]
    pub(crate) fn label(&self) -> Label {
        self.label.get()
    }

    /// Has them get another one.
    pub(super) fn set_label(&self, label: Label) {
        self.label.set(label);
    }

    /// From where FULLNAT talks to it.
    pub(super) fn sources<'a>(&'a self, rcu: &'a Rcu) -> &'a [Source] {
        self.sources.get(rcu).map_or(&[], |sources| sources)
    }

    /// Has FULLNAT talk to it from there. Sleeps.
    pub(super) fn set_sources(&self, sources: Ready) {
        let number = rcu::read(|rcu| self.sources(rcu).len());
        let bytes = number.saturating_mul(size_of::<Source>());
        self.sources.replace_large(sources, bytes);
    }

    /// Counts a packet of `bytes` to it; as in IPVS not once it was removed.
    #[inline]
    pub(crate) fn count_in(&self, bytes: u32) {
        if self.available() {
            self.stats.packet_in(bytes);
        }
    }

    /// The same for one to the client.
    #[inline]
    pub(crate) fn count_out(&self, bytes: u32) {
        if self.available() {
            self.stats.packet_out(bytes);
        }
    }

    /// A connection takes it.
    pub(crate) fn bind(&self) {
        // ORDERING: all of bind, unbind and recheck on `total` and `overloaded` are in one order,
        // so that the last to look at `total` is the last to write `overloaded`.
        self.load.total.fetch_add(1, Ordering::SeqCst);
        self.recheck();
    }

    /// A connection that had taken it ends.
    pub(crate) fn unbind(&self) {
        // ORDERING: as in `bind`.
        self.load.total.fetch_sub(1, Ordering::SeqCst);
        self.recheck();
    }

    /// A template leads here from now on. It is no connection: the thresholds do not count it.
    pub(crate) fn bind_template(&self) {
        self.load.templates.fetch_add(1, Ordering::Relaxed);
    }

    /// A template that led here ends.
    pub(crate) fn unbind_template(&self) {
        self.load.templates.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many templates lead here: IPVS's persistent connections.
    pub(crate) fn templates(&self) -> u32 {
        self.load.templates.load(Ordering::Relaxed)
    }

    /// One of its connections gets into a state that counts as active, or out of it.
    pub(crate) fn set_active(&self, active: bool) {
        if active {
            self.load.active.fetch_add(1, Ordering::Relaxed);
        } else {
            self.load.active.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Compares the number of connections with the thresholds.
    fn recheck(&self) {
        let upper = self.load.upper.load(Ordering::Relaxed);
        if upper == 0 {
            return;
        }
        // ORDERING: as in `bind`.
        let total = self.load.total.load(Ordering::SeqCst);
        if total >= upper {
            self.load.overloaded.store(true, Ordering::SeqCst);
        }
        // ORDERING: as in `bind`; another look, for those that ended in between, and for a user
        // who took the thresholds away.
        let total = self.load.total.load(Ordering::SeqCst);
        let lifted = self.load.upper.load(Ordering::SeqCst) == 0;
        if lifted || total < self.load.relieved.load(Ordering::Relaxed) {
            self.load.overloaded.store(false, Ordering::SeqCst);
        }
    }

    /// Keeps a way to it for the packets to come, unless it has left its service.
    pub(crate) fn keep_path<'a>(&'a self, rcu: &'a Rcu, path: KBox<RcuBox<Path>>) -> &'a Path {
        let path = self.path.put(rcu, path);
        // Either this sees that the destination has left, or `leave` empties the cell after:
        // both take hold of the cell between.
        if !self.available() {
            self.path.clear();
        }
        path
    }

    /// What the user said of it.
    pub(crate) fn spec(&self) -> DestSpec {
        DestSpec {
            method: self.method(),
            weight: self.weight(),
            upper: self.load.upper.load(Ordering::Relaxed),
            lower: self.load.lower.load(Ordering::Relaxed),
        }
    }

    /// Takes over what the user says now. The way there is looked for anew.
    pub(super) fn set(&self, spec: &DestSpec) {
        self.method.store(spec.method, Ordering::Relaxed);
        self.set_weight(spec.weight);
        let relieved = match spec.lower {
            0 => spec.upper.saturating_sub(spec.upper >> 2),
            lower => lower,
        };
        // ORDERING: as in `bind`: before `overloaded`, which whoever saw the old one may set after.
        self.load.upper.store(spec.upper, Ordering::SeqCst);
        self.load.lower.store(spec.lower, Ordering::Relaxed);
        self.load.relieved.store(relieved, Ordering::Relaxed);
        if spec.upper == 0 {
            // ORDERING: as in `bind`.
            self.load.overloaded.store(false, Ordering::SeqCst);
        }
        self.recheck();
        self.path.replace(None);
    }

    fn set_weight(&self, weight: u32) {
        self.load.weight.store(weight, Ordering::Relaxed);
        if weight != 0 {
            self.load.last_weight.store(weight, Ordering::Relaxed);
        }
    }

    /// Joins a service, whose packets get `label`, as if it were new: a weight of the past does not count.
    pub(super) fn join(&self, spec: &DestSpec, label: Label) {
        self.set_label(label);
        self.load.last_weight.store(spec.weight, Ordering::Relaxed);
        self.set(spec);
        self.available.store(true, Ordering::Relaxed);
    }

    /// Leaves its service. Sleeps.
    pub(super) fn leave(&self) {
        self.available.store(false, Ordering::Relaxed);
        self.path.replace(None);
        self.set_sources(None);
    }
}

impl Candidate for Dest {
    fn addr(&self) -> IpAddr {
        self.addr
    }

    fn port(&self) -> u16 {
        self.port
    }

    #[inline]
    fn weight(&self) -> u32 {
        self.load.weight.load(Ordering::Relaxed)
    }

    fn last_weight(&self) -> u32 {
        self.load.last_weight.load(Ordering::Relaxed)
    }

    #[inline]
    fn active(&self) -> u32 {
        self.load.active.load(Ordering::Relaxed)
    }

    #[inline]
    fn total(&self) -> u32 {
        self.load.total.load(Ordering::Relaxed)
    }

    #[inline]
    fn usable(&self) -> bool {
        !self.load.overloaded.load(Ordering::Relaxed)
    }
}
