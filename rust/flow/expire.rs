// SPDX-License-Identifier: GPL-2.0

//! How flows come into the table and leave it.
//!
//! A flow leaves the table some two seconds after its time-out at most, or later if millions are
//! over at once: the index knows for each bucket by when it must be looked at. A packet that only
//! refreshes a flow says nothing to the index; the look finds out, and sets the time for the next
//! one.

use kernel::prelude::*;

use super::ways::Ways;
use super::{Family, Flow, FlowTable};
use crate::expiry::defence::Turns;
use crate::proto::{self, Timeouts};
use crate::sys::index::{Judge, Position, Refused, NOTED};
use crate::sys::random;
use crate::sys::rcu::{self, Rcu};
use crate::sys::time::Jiffies;

/// Seconds that a flow has which no packet of its own has come for.
const UNTRIED: u32 = 3;

/// A part of the buckets that is thinned out at a time: one of so many.
const SHARE: usize = 32;
/// Buckets next to each other of which it is made up.
const STRIP: usize = 32;

/// What the upkeep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Where something may be over.
    Due,
    /// Every flow.
    All,
    /// Every flow; those end whose destination was removed.
    Orphans,
}

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
        let weight = flow.weight();
        self.charge(weight);
        match self.0.insert(rcu, flow, span) {
            Ok(flow) => {
                self.1.add(1);
                Ok(flow)
            }
            Err(refused) => {
                self.discharge(weight);
                Err(refused)
            }
        }
    }

    /// A packet of a flow was noted: if its state is another one now it may end sooner.
    #[inline(never)]
    pub(crate) fn noted(&self, timeouts: &Timeouts, rcu: &Rcu, flow: &Flow<A>) {
        let timeout = flow.timeout(timeouts);
        if timeout < NOTED {
            self.0.note(rcu, flow, timeout);
        }
    }

    /// Drops some flows that hardly anybody misses, of a thirty-second of all: to be called once a
    /// second, by the one who calls [`Self::tend`]. Sleeps.
    pub(crate) fn thin(&self, timeouts: &Timeouts, turns: &Turns) {
        if self.len() == 0 {
            return;
        }
        // Only who calls this makes the table grow.
        let sizes = rcu::read(|rcu| self.0.sizes(rcu));
        for (table, buckets) in sizes.into_iter().enumerate() {
            for _ in 0..buckets / SHARE / STRIP {
                let [chance] = random::words();
                // CAST: the low bits are meant.
                let bucket = chance as usize & buckets.wrapping_sub(1) & !(STRIP - 1);
                self.thin_at(timeouts, turns, Position::at(table, bucket));
                rcu::cond_resched();
            }
        }
    }

    /// The same for a strip of buckets.
    fn thin_at(&self, timeouts: &Timeouts, turns: &Turns, at: Position) {
        let clock = Clock {
            thin: Some(turns),
            ..Clock::new(self, timeouts)
        };
        rcu::read(|rcu| self.0.scan(rcu, at, STRIP, true, &clock));
    }

    /// Lets a flow end soon unless a packet of it comes (IPVS: three seconds before the first).
    pub(crate) fn shorten(&self, timeouts: &Timeouts, rcu: &Rcu, flow: &Flow<A>) {
        // Another processor's packet may have been faster with the flow.
        if flow.packets() != 0 {
            return;
        }
        let (soon, timeout) = (Jiffies::seconds(UNTRIED), flow.timeout(timeouts));
        if soon < timeout {
            flow.backdate(Jiffies(timeout.0.wrapping_sub(soon.0)));
        }
        self.0.note(rcu, flow, Jiffies(soon.0.min(timeout.0)));
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
        self.discharge(flow.weight());
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
    /// what was removed before; it looks at every flow if `round` wants that, and if there are
    /// ways of which places are `retired`: flows forget those. Says whether something
    /// is left to free. Sleeps; one caller at a time.
    pub(crate) fn tend(&self, timeouts: &Timeouts, round: Round, retired: Option<&Ways>) -> bool {
        self.0.wake();
        self.0.fit();
        self.look(timeouts, round, retired);
        if round == Round::Orphans {
            // A template that was looked at before the last of its connections went.
            self.look(timeouts, round, None);
        }
        self.0.reclaim()
    }

    /// Looks at what may be over, or at every flow. Sleeps.
    fn look(&self, timeouts: &Timeouts, round: Round, retired: Option<&Ways>) {
        let all = round != Round::Due || retired.is_some();
        // With `all` one that was not counted yet is seen, too.
        let mut next = (all || self.len() != 0).then(Position::default);
        while let Some(at) = next {
            let clock = Clock {
                orphans: round == Round::Orphans,
                retired,
                ..Clock::new(self, timeouts)
            };
            next = rcu::read(|rcu| self.0.scan(rcu, at, STRIDE, all, &clock));
            rcu::cond_resched();
        }
    }
}

/// What decides on a flow's end.
struct Clock<'a, A: Family> {
    timeouts: &'a Timeouts,
    now: Jiffies,
    table: &'a FlowTable<A>,
    /// Flows end whose destination was removed.
    orphans: bool,
    /// Flows end that hardly anybody misses.
    thin: Option<&'a Turns>,
    /// Ways of which places begin anew.
    retired: Option<&'a Ways>,
}

impl<'a, A: Family> Clock<'a, A> {
    /// Nothing but the time.
    fn new(table: &'a FlowTable<A>, timeouts: &'a Timeouts) -> Self {
        Self {
            timeouts,
            now: Jiffies::now(),
            table,
            orphans: false,
            thin: None,
            retired: None,
        }
    }
}

impl<A: Family> Clock<'_, A> {
    /// Whether it is to end before its time.
    #[inline(always)]
    fn is_unwanted(&self, flow: &Flow<A>) -> bool {
        let thin = |turns| flow.is_dispensable(turns, self.now);
        self.orphans && !flow.dest.available() || self.thin.is_some_and(thin)
    }
}

impl<A: Family> Judge<Flow<A>> for Clock<'_, A> {
    #[inline(always)]
    fn left(&self, flow: &Flow<A>) -> Option<Jiffies> {
        if let Some(ways) = self.retired {
            flow.lose_ways(ways);
        }
        if self.is_unwanted(flow) && flow.may_go() {
            return None;
        }
        flow.left(self.timeouts, self.now)
    }

    fn removed(&self, flow: &Flow<A>) {
        self.table.release(flow);
        if self.orphans {
            flow.close_orphan();
        }
        if self.thin.is_some() {
            flow.close_untried();
        }
    }

    fn fewer(&self, number: usize) {
        self.table.1.sub(number);
    }
}

impl<A: Family> Drop for FlowTable<A> {
    fn drop(&mut self) {
        self.1.sub(self.weight());
    }
}
