// SPDX-License-Identifier: GPL-2.0

//! The director: all that rlvs keeps in one network namespace.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use kernel::prelude::*;

use crate::config::Config;
use crate::control::sysctl::Sysctls;
use crate::datapath;
use crate::flow::paths::Paths;
use crate::flow::{Family, FlowTable};
use crate::service::Services;
use crate::sys::hook::Point;
use crate::sys::netdev::DeviceGone;
use crate::sys::netns::{self, Net, PerNet};
use crate::sys::random;
use crate::sys::rcu;
use crate::sys::time::{Jiffies, HZ};
use crate::sys::worker::Job;

/// New connections that were turned away, by reason.
#[derive(Default)]
pub(crate) struct Drops {
    /// The table holds as many flows as it may.
    pub(crate) limit: AtomicU64,
    /// No local port was left (FULLNAT), or the addresses at the real server are taken.
    pub(crate) ports: AtomicU64,
    /// No memory.
    pub(crate) nomem: AtomicU64,
}

/// What a network namespace has of rlvs; fields stand in drop order.
#[pin_data]
pub(crate) struct Director {
    net: Net,
    _sysctls: Sysctls,
    /// What the administrator set.
    pub(crate) config: Config,
    /// Known connections over IPv4; they refer to destinations.
    pub(crate) flows4: FlowTable<Ipv4Addr>,
    /// Known connections over IPv6.
    pub(crate) flows6: FlowTable<Ipv6Addr>,
    /// Services and their destinations.
    #[pin]
    pub(crate) services: Services,
    /// The ways back to the clients.
    pub(crate) paths: Paths,
    /// New connections that were turned away.
    pub(crate) drops: Drops,
    progress4: AtomicUsize,
    progress6: AtomicUsize,
}

impl Director {
    /// The namespace.
    pub(crate) fn net(&self) -> Net {
        self.net
    }

    /// Starts looking at the packets of a family, unless that is so already. Sleeps.
    pub(crate) fn enable(&self, v6: bool) -> Result {
        netns::enable::<Self>(&self.net, v6)
    }

    /// Makes the worker run now; callable from softirqs.
    pub(crate) fn wake_worker(&self) {
        netns::kick::<Self>(&self.net);
    }

    /// Flows of both families.
    pub(crate) fn conns(&self) -> u64 {
        self.flows4.len().saturating_add(self.flows6.len()) as u64
    }

    /// Buckets of both families' tables.
    pub(crate) fn buckets(&self) -> u64 {
        let buckets = rcu::read(|rcu| {
            let v4 = self.flows4.buckets(rcu);
            v4.saturating_add(self.flows6.buckets(rcu))
        });
        buckets as u64
    }
}

impl PerNet for Director {
    const HOOKS4: &'static [Point<Self>] = datapath::HOOKS4;
    const HOOKS6: &'static [Point<Self>] = datapath::HOOKS6;

    fn new(net: Net) -> Result<impl PinInit<Self, Error>> {
        let config = Config::new(net)?;
        let sysctls = Sysctls::new(net, &config)?;
        let flows4 = FlowTable::new(random::words())?;
        let flows6 = FlowTable::new(random::words())?;
        let paths = Paths::new()?;
        Ok(try_pin_init!(Self {
            net,
            _sysctls: sysctls,
            config,
            flows4,
            flows6,
            services <- Services::new(),
            paths,
            drops: Drops::default(),
            progress4: AtomicUsize::new(0),
            progress6: AtomicUsize::new(0),
        }? Error))
    }
}

impl DeviceGone for Director {
    /// Routes are kept, and a route may hold its device.
    fn device_gone(&self) {
        self.paths.clear();
        self.services.forget_paths();
    }
}

impl Job for Director {
    /// Fits the tables to their load and clears away what is over, four times a second.
    fn run(&self) -> Jiffies {
        collect(&self.config, &self.flows4, &self.progress4);
        collect(&self.config, &self.flows6, &self.progress6);
        rcu::read(|rcu| self.paths.sweep(rcu));
        self.services.sweep();
        Jiffies(HZ / 4)
    }
}

/// One share of a table's upkeep.
fn collect<A: Family>(config: &Config, flows: &FlowTable<A>, progress: &AtomicUsize) {
    flows.fit();
    let next = flows.expire(config, progress.load(Ordering::Relaxed));
    progress.store(next, Ordering::Relaxed);
}
