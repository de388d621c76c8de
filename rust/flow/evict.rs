// SPDX-License-Identifier: GPL-2.0

//! Who gives way to a new connection when there is no room for it.
//!
//! A few flows are looked at and the one with least to lose goes (`expiry/rank.rs`). Which are
//! looked at, nobody outside can choose: they are drawn at random, or they hold the local
//! ports that were handed out longest ago. The work for one packet is bounded.

use core::sync::atomic::Ordering;

use super::seen::ANSWERED;
use super::{Family, Flow, FlowTable, Key};
use crate::expiry::defence::{Turns, IDLE};
use crate::expiry::rank::{self, Kind, Rank, Standing};
use crate::proto::Phase;
use crate::sys::index::Side;
use crate::sys::random;
use crate::sys::rcu::Rcu;
use crate::sys::time::{Jiffies, HZ};

/// Of the flows that were looked at, the one with least to lose, if one may give way at all.
pub(crate) struct Worst<'a, A: Family> {
    now: Jiffies,
    found: Option<(Rank, &'a Flow<A>)>,
}

impl<'a, A: Family> Worst<'a, A> {
    /// Nothing has been looked at.
    pub(crate) fn new() -> Self {
        Self {
            now: Jiffies::now(),
            found: None,
        }
    }

    /// Looks at a flow; says whether it may give way.
    fn offer(&mut self, flow: &'a Flow<A>) -> bool {
        let Some(rank) = flow.rank(self.now) else {
            return false;
        };
        if self.found.is_none_or(|(worst, _)| rank < worst) {
            self.found = Some((rank, flow));
        }
        true
    }

    /// The flow.
    pub(crate) fn flow(&self) -> Option<&'a Flow<A>> {
        self.found.map(|(_, flow)| flow)
    }

    /// Its place among others.
    pub(crate) fn rank(&self) -> Option<Rank> {
        self.found.map(|(rank, _)| rank)
    }
}

impl<A: Family> Flow<A> {
    /// Its place among those that may give way, if it is one.
    fn rank(&self, now: Jiffies) -> Option<Rank> {
        if self.is_template() {
            return self.template_rank(now);
        }
        let standing = Standing {
            phase: self.phase(),
            answered: self.seen.load(Ordering::Relaxed) & ANSWERED != 0,
            // Without its destination it gets no more packets, so it is nothing that lives.
            confirmed: self.confirmed() && self.dest.available(),
            idle: now.since(self.stamp()).0,
        };
        rank::rank(&standing, HZ)
    }

    /// Whether hardly anybody misses it (IPVS: `drop_entry`): it is half open, or has been idle
    /// for a minute, few packets have come from its client, and it is its turn.
    pub(super) fn is_dispensable(&self, turns: &Turns, now: Jiffies) -> bool {
        let idle = now.since(self.stamp()) >= Jiffies::seconds(IDLE);
        if self.is_template() {
            // IPVS: one that no connection got far with, and that has none now; where datagrams
            // go one by one it is as a connection.
            return match self.datagrams() {
                0 => self.is_untried(),
                number => idle && turns.takes(number),
            };
        }
        if self.is_half_open() {
            return true;
        }
        let open = matches!(self.phase(), Phase::Open | Phase::Datagrams);
        open && idle && turns.takes(self.packets())
    }
}

impl<A: Family> FlowTable<A> {
    /// Looks at up to `most` flows, drawn at random.
    pub(crate) fn draw<'a>(&'a self, rcu: &'a Rcu, most: usize) -> Worst<'a, A> {
        let mut worst = Worst::new();
        if most != 0 && self.len() != 0 {
            let [start] = random::words();
            self.0.sample(rcu, start, most, |flow| {
                worst.offer(flow);
            });
        }
        worst
    }

    /// Looks at the flow whose answers have `key`, too; says whether it may give way.
    pub(crate) fn look_at<'a>(
        &'a self,
        rcu: &'a Rcu,
        key: &Key<A>,
        worst: &mut Worst<'a, A>,
    ) -> bool {
        match self.0.find(rcu, key) {
            Some((flow, Side::Second)) if flow.is_fullnat() => worst.offer(flow),
            _ => false,
        }
    }

    /// Removes it; `None` if there is none or another processor was faster.
    pub(crate) fn displace(&self, rcu: &Rcu, worst: &Worst<'_, A>) -> Option<Kind> {
        let (rank, flow) = worst.found?;
        let gone = flow.may_go() && self.remove(rcu, flow);
        gone.then(|| {
            flow.close_untried();
            rank.kind()
        })
    }
}
