// SPDX-License-Identifier: GPL-2.0

//! How flows come into the table and leave it.
//!
//! A flow leaves the table at most two seconds after its time-out: the index knows for each
//! bucket by when it must be looked at. A packet that only refreshes a flow says nothing to
//! the index; the look finds out, and sets the time for the next one.

use kernel::prelude::*;

use super::ways::Ways;
use super::{Family, Flow, FlowTable};
use crate::proto::{self, Timeouts};
use crate::sys::index::{Judge, Position, Refused, NOTED};
use crate::sys::rcu::{self, Rcu};
use crate::sys::time::Jiffies;

/// Buckets that are looked through before the processor is offered to others.
const STRIDE: usize = 4096;

impl<A: Family> FlowTable<A> {
    /// Gets the memory that the table needs, unless it has it. Sleeps.
    pub(crate) fn open(&self) -> Result {
        self.0.open()
    }

    /// Takes a flow in.
    #[inline(always)]
    pub(crate) fn insert<'a>(
        &'a self,
        timeouts: &Timeouts,
        rcu: &'a Rcu,
        mut flow: Flow<A>,
    ) -> Result<&'a Flow<A>, Refused> {
        flow.start();
        // The first packet moves the state on at once, if there is another, and so the end.
        let span = match proto::has_states(flow.proto) {
            true => NOTED,
            false => flow.timeout(timeouts),
        };
        let flow = self.0.insert(rcu, flow, span)?;
        self.1.add();
        Ok(flow)
    }

    /// A packet of a flow was noted: if its state is another one now it may end sooner.
    #[inline(never)]
    pub(crate) fn noted(&self, timeouts: &Timeouts, rcu: &Rcu, flow: &Flow<A>) {
        let timeout = flow.timeout(timeouts);
        if timeout < NOTED {
            self.0.note(rcu, flow, timeout);
        }
    }

    /// Takes a flow out; false if somebody else has.
    ///
    /// Its local port is free at once, though others may still hold the flow. They may send one
    /// more packet of it, as if that had been late on its way; none finds the flow any more, as
    /// both its keys are out of the index before its port can be handed out, and an answer to
    /// that port belongs to whoever has it then.
    pub(crate) fn remove(&self, rcu: &Rcu, flow: &Flow<A>) -> bool {
        let removed = self.0.remove(rcu, flow);
        if removed {
            self.1.sub(1);
            self.release(flow);
        }
        removed
    }

    /// Gives back what a flow had that was taken out, but for its owner's part in all flows.
    fn release(&self, flow: &Flow<A>) {
        flow.let_go();
        if flow.end() {
            flow.dest.set_active(false);
        }
        flow.unbind();
    }

    /// Whether the worker should be woken.
    pub(crate) fn crowded(&self, rcu: &Rcu) -> bool {
        self.0.crowded(rcu)
    }

    /// Whether the worker may rest: there are no flows, until [`Self::crowded`] calls it.
    pub(crate) fn rest(&self) -> bool {
        self.0.rest()
    }

    /// One share of the upkeep: fits the table to its load, removes what is over, and frees
    /// what was removed before; with `all` it looks at every flow, as it does if there are ways
    /// of which places are `retired`: flows forget those. Says whether something
    /// is left to free. Sleeps; one caller at a time.
    pub(crate) fn tend(&self, timeouts: &Timeouts, all: bool, retired: Option<&Ways>) -> bool {
        self.0.wake();
        self.0.fit();
        let all = all || retired.is_some();
        // With `all` one that was not counted yet is seen, too.
        let mut next = (all || self.len() != 0).then(Position::default);
        while let Some(at) = next {
            let now = Jiffies::now();
            let clock = Clock {
                timeouts,
                now,
                table: self,
                retired,
            };
            next = rcu::read(|rcu| self.0.scan(rcu, at, STRIDE, all, &clock));
            rcu::cond_resched();
        }
        self.0.reclaim()
    }
}

/// What decides on a flow's end.
struct Clock<'a, A: Family> {
    timeouts: &'a Timeouts,
    now: Jiffies,
    table: &'a FlowTable<A>,
    /// Ways of which places begin anew.
    retired: Option<&'a Ways>,
}

impl<A: Family> Judge<Flow<A>> for Clock<'_, A> {
    #[inline(always)]
    fn left(&self, flow: &Flow<A>) -> Option<Jiffies> {
        if let Some(ways) = self.retired {
            flow.lose_ways(ways);
        }
        flow.left(self.timeouts, self.now)
    }

    fn removed(&self, flow: &Flow<A>) {
        self.table.release(flow);
    }

    fn fewer(&self, number: usize) {
        self.table.1.sub(number);
    }
}

impl<A: Family> Drop for FlowTable<A> {
    fn drop(&mut self) {
        self.1.sub(self.len());
    }
}
