// SPDX-License-Identifier: GPL-2.0

//! The known connections of a network namespace, and all that their packets need.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

use super::defence::Defence;
use super::expire::Round;
use super::gate::Gate;
use super::late::Late;
use super::ways::Ways;
use super::{Family, Flow, FlowTable};
use crate::config::Config;
use crate::packet::Tuple;
use crate::proto::Timeouts;
use crate::sys::index::Side;
use crate::sys::net::Net;
use crate::sys::quota::Account;
use crate::sys::random;
use crate::sys::rcu::{self, Rcu};
use crate::sys::time::{Jiffies, HZ};

/// The known connections of a network namespace; fields stand in drop order.
#[pin_data]
pub(crate) struct Flows {
    net: Net,
    /// What the administrator set.
    pub(crate) config: Config,
    /// Those over IPv4; they refer to destinations.
    pub(crate) v4: FlowTable<Ipv4Addr>,
    /// Those over IPv6.
    pub(crate) v6: FlowTable<Ipv6Addr>,
    /// How long they may be idle.
    pub(crate) timeouts: Timeouts,
    /// What is done against too many of them.
    pub(crate) defence: Defence,
    /// The ways that packets take.
    pub(crate) ways: Ways,
    /// Whether anybody may go early, and which marks count.
    #[pin]
    pub(crate) gate: Gate,
    /// Packets of known flows that did not go early, by reason.
    pub(crate) late: Late,
    /// Whether there have been flows whose answers keep their addresses, so that they may come
    /// by here and be none of the table's second keys.
    untranslated: AtomicBool,
}

impl Flows {
    /// None yet, in `net`; `account` pays for those to come. May sleep.
    pub(crate) fn new(net: Net, account: &Account, config: Config) -> Result<impl PinInit<Self>> {
        let late = Late::new()?;
        let v4 = FlowTable::new(account, random::words());
        let v6 = FlowTable::new(account, random::words());
        Ok(pin_init!(Self {
            net,
            config,
            v4,
            v6,
            timeouts: Timeouts::default(),
            defence: Defence::default(),
            ways: Ways::new(),
            gate <- Gate::new(),
            late,
            untranslated: AtomicBool::new(false),
        }))
    }

    /// The namespace.
    #[inline(always)]
    pub(crate) fn net(&self) -> Net {
        self.net
    }

    /// Notes a flow whose addresses stay as they are.
    pub(crate) fn leave_addresses(&self) {
        if !self.untranslated.load(Ordering::Relaxed) {
            self.untranslated.store(true, Ordering::Relaxed);
        }
    }

    /// The flow that a packet is an answer of, if its addresses are as the real server wrote them
    /// (DR, TUN, and real servers on this host).
    #[inline(always)]
    pub(crate) fn answered<'a, A: Family>(
        &'a self,
        rcu: &'a Rcu,
        answer: Tuple<A>,
        proto: u8,
    ) -> Option<&'a Flow<A>> {
        if !self.untranslated.load(Ordering::Relaxed) {
            return None;
        }
        match A::table(self).find_tuple(rcu, answer.reversed(), proto) {
            Some((flow, Side::First)) if !flow.translates() => Some(flow),
            _ => None,
        }
    }

    /// Flows of both families.
    pub(crate) fn len(&self) -> u64 {
        self.v4.len().saturating_add(self.v6.len()) as u64
    }

    /// How many flows of both families there would be that take as much memory.
    pub(crate) fn weight(&self) -> u64 {
        self.v4.weight().saturating_add(self.v6.weight()) as u64
    }

    /// Flows of both families that have left and whose memory is not free yet.
    pub(crate) fn dead(&self) -> u64 {
        self.v4.dead().saturating_add(self.v6.dead()) as u64
    }

    /// Buckets of both families' tables.
    pub(crate) fn buckets(&self) -> u64 {
        let buckets = rcu::read(|rcu| self.v4.buckets(rcu).saturating_add(self.v6.buckets(rcu)));
        buckets as u64
    }

    /// Gets the memory that a family's packets need, unless it is there. Sleeps.
    pub(crate) fn open(&self, v6: bool) -> Result {
        self.ways.open()?;
        if v6 {
            self.v6.open()
        } else {
            self.v4.open()
        }
    }

    /// One share of the upkeep of both tables. Says whether something is left to free. Sleeps;
    /// one caller at a time.
    pub(crate) fn tend(&self, round: Round) -> bool {
        let retired = self.ways.retire().then_some(&self.ways);
        let left4 = self.v4.tend(&self.timeouts, round, retired);
        let left6 = self.v6.tend(&self.timeouts, round, retired);
        if let Some(ways) = retired {
            ways.renew();
        }
        left4 || left6
    }

    /// Looks at the memory and drops what hardly anybody misses, as the defences are set and if
    /// it is time to, which it is once a second; says how long to wait. Sleeps; for the one who
    /// calls [`Self::tend`].
    pub(crate) fn guard(&self) -> Jiffies {
        if let Some(wait) = self.defence.wait(Jiffies::now()) {
            return wait;
        }
        self.defence.update(&self.config);
        if let Some(turns) = self.defence.thins() {
            self.v4.thin(&self.timeouts, turns);
            self.v6.thin(&self.timeouts, turns);
        }
        Jiffies(HZ)
    }

    /// Whether the worker may rest: there are no flows, until [`FlowTable::crowded`] calls it.
    pub(crate) fn rest(&self) -> bool {
        [self.v4.rest(), self.v6.rest()] == [true; 2]
    }
}
