// SPDX-License-Identifier: GPL-2.0

//! The rounds of samples by which rates are worked out: one every two seconds, through all
//! services and destinations, in parts so that neither the worker nor a request waits for long.
//!
//! Where nothing is counted and no rate is left, there are no rounds.

use core::ops::ControlFlow::{self, Break, Continue};

use super::meter::Sampling;
use super::{Rules, Services};
use crate::rates;
use crate::sys::rcu;
use crate::sys::time::{Jiffies, HZ};

/// Ticks from one round to the next.
const PERIOD: u32 = HZ.saturating_mul(rates::PERIOD);
/// Until the next try, if a request is at work.
const SOON: Jiffies = Jiffies(HZ / 50);
/// So many samples are taken with the configuration's mutex held.
const PART: usize = 64;
/// So many are taken in one run of the worker, at least.
const SHARE: usize = 1024;

/// How far the present round has come, or what the last one found.
pub(super) struct Round {
    begun: Jiffies,
    /// Where it goes on: a service, and a destination of it, by their serial numbers.
    next: Option<(u64, u64)>,
    /// How many periods its samples stand for.
    periods: u32,
    /// How many samples it has taken, and how many the one before took.
    taken: usize,
    before: usize,
    /// There is nothing that could count, and it has found no rate but 0.
    idle: bool,
    /// No round is needed until something is counted, or changed.
    at_rest: bool,
}

/// When the worker is wanted again, if it is.
type Wanted = Option<Jiffies>;

impl Services {
    /// Takes samples, if they are due; returns when it wants to be called again. `None`: when
    /// there are connections again, or something has changed.
    ///
    /// `on`: rates are wanted. `idle`: there are no connections. `pause`: how long the worker
    /// waits at most while there are some. Waits for no request, but may sleep.
    pub(crate) fn estimate(&self, on: bool, idle: bool, pause: Jiffies) -> Wanted {
        let mut taken = 0;
        loop {
            let Some(mut rules) = self.rules.try_lock() else {
                // With connections the worker comes anyway.
                return Some(if idle { SOON } else { pause });
            };
            let part = match on {
                true => rules.estimate(idle, pause, &mut taken),
                false => Break(rules.round.stop()),
            };
            drop(rules);
            match part {
                Break(wanted) => return wanted,
                Continue(()) => rcu::cond_resched(),
            }
        }
    }
}

impl Rules {
    /// A part of a round. `taken`: how many samples this run of the worker has taken.
    fn estimate(&mut self, idle: bool, pause: Jiffies, taken: &mut usize) -> ControlFlow<Wanted> {
        let round = &mut self.round;
        if idle && round.at_rest {
            return Break(None);
        }
        round.idle &= idle;
        if round.next.is_none() {
            round.begin(Jiffies::now(), idle)?;
        }
        if *taken >= round.share(pause, *taken) {
            return Break(Some(pause));
        }
        *taken = taken.saturating_add(self.sample(PART));
        if self.round.next.is_some() {
            return Continue(());
        }
        Break(self.round.end(Jiffies::now()))
    }

    /// Takes up to `most` samples of the present round; returns how many.
    fn sample(&mut self, most: usize) -> usize {
        let round = &mut self.round;
        let mut sampling = Sampling::new(round.periods, most);
        while let Some((first, dest)) = round.next.filter(|_| !sampling.is_over()) {
            let found = self.entries.cursor_lower_bound(&first);
            // No service has the number 0.
            let serial = found.map_or(0, |cursor| *cursor.current().0);
            let Some(entry) = self.entries.get_mut(&serial) else {
                round.next = None;
                self.totals.sample(&mut sampling);
                break;
            };
            let dest = if serial == first { dest } else { 0 };
            round.next = Some(match entry.sample(dest, &mut sampling) {
                Err(dest) => (serial, dest),
                Ok(came) => {
                    self.totals.add(came);
                    (serial.wrapping_add(1), 0)
                }
            });
            // Its datagrams are counted without a connection.
            round.idle &= !entry.spec.is_one_packet();
        }
        round.idle &= !sampling.busy;
        let taken = most.saturating_sub(sampling.left);
        round.taken = round.taken.saturating_add(taken);
        taken
    }
}

impl Round {
    pub(super) fn new() -> Self {
        Self {
            begun: Jiffies::now(),
            next: None,
            periods: 1,
            taken: 0,
            before: 0,
            idle: false,
            at_rest: true,
        }
    }

    /// Something has changed that the next round should look at.
    pub(super) fn look(&mut self) {
        if self.at_rest {
            // Nothing was counted until now.
            self.begun = Jiffies::now();
        }
        (self.idle, self.at_rest) = (false, false);
    }

    /// Begins one, unless it is not time yet.
    fn begin(&mut self, now: Jiffies, idle: bool) -> ControlFlow<Wanted> {
        let Jiffies(since) = now.since(self.begun);
        let due = since.checked_div(PERIOD).unwrap_or(1);
        if self.at_rest {
            // What came before was none, however long that was.
            (self.begun, self.periods) = (now, 1);
        } else if due == 0 {
            return Break(Some(self.wait(now)));
        } else {
            // One that is late makes no other late.
            let passed = due.saturating_mul(PERIOD);
            self.begun = Jiffies(self.begun.0.wrapping_add(passed));
            self.periods = due;
        }
        (self.before, self.taken) = (self.taken, 0);
        (self.next, self.idle, self.at_rest) = (Some((0, 0)), idle, false);
        Continue(())
    }

    /// How many samples a run of the worker takes that has taken `taken`: so many that a round
    /// is over in time, with runs that are `pause` apart.
    fn share(&self, Jiffies(pause): Jiffies, taken: usize) -> usize {
        let runs = PERIOD.checked_div(pause).unwrap_or(1).saturating_sub(1);
        // CAST: a few.
        let even = self.before.div_ceil(runs.max(1) as usize);
        // With many new ones a run takes as many as all before it.
        let more = self.taken.saturating_sub(taken);
        even.max(more).max(SHARE)
    }

    fn end(&mut self, now: Jiffies) -> Wanted {
        self.at_rest = self.idle;
        (!self.at_rest).then(|| self.wait(now))
    }

    /// How long it is until the next one begins.
    fn wait(&self, now: Jiffies) -> Jiffies {
        let Jiffies(since) = now.since(self.begun);
        Jiffies(PERIOD.saturating_sub(since)).max(SOON)
    }

    /// Leaves the rates as they are, until it is begun again.
    fn stop(&mut self) -> Wanted {
        (self.next, self.at_rest) = (None, false);
        None
    }
}
