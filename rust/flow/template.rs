// SPDX-License-Identifier: GPL-2.0

//! Templates: what remembers, for a persistent service, to which destination a client belongs.
//!
//! A template is an entry of the table that no packet has, and is looked up when a connection
//! begins. It and its connections share a [`Tie`]: it stays as long as they do, and its time-out
//! begins anew with each. Whoever takes a template away closes it first, so that none
//! begins by it any more; one that is closed counts as not there, nor at its destination.

use core::sync::atomic::{AtomicU32, AtomicU8, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::calls::Call;
use super::{Extra, Family, Flow, FlowTable, Key};
use crate::expiry::clock;
use crate::expiry::defence::MANY;
use crate::expiry::rank::{rank_template, rank_void, Rank};
use crate::hash::folded;
use crate::packet::Tuple;
use crate::sched::persist::{among_calls, among_connections, Name, Sought};
use crate::service::Dest;
use crate::sys::rcu::Rcu;
use crate::sys::time::{Jiffies, HZ};

/// Stands in the place of a template's forwarding method: nothing is forwarded by it.
const TEMPLATE: u8 = u8::MAX;
/// Its time-out, in seconds, when the first has run out and it has connections (IPVS).
const REARMED: u32 = 60;
/// In [`Tie::conns`]: no connection begins by the template any more.
const CLOSED: u32 = 1 << 31;

/// What a template and its connections share.
pub(super) struct Tie {
    /// How many connections it has, and perhaps [`CLOSED`].
    conns: AtomicU32,
    /// How long it stays from its last new connection on, in ticks.
    timeout: AtomicU32,
    /// What speaks for its client: [`ASSURED`], [`BACK`], [`SERVED`].
    trust: AtomicU8,
    /// Datagrams that went one by one (one-packet scheduling), up to one more than [`MANY`].
    datagrams: AtomicU8,
}

/// A connection of it got far (IPVS).
const ASSURED: u8 = 1;
/// The client came back after a second or more.
const BACK: u8 = 2;
/// Both ends of a connection of it were known to be there.
const SERVED: u8 = 4;

impl Tie {
    /// One more connection; false if the template is closed.
    fn join(&self) -> bool {
        let more = |conns: u32| (conns & CLOSED == 0).then_some(conns.wrapping_add(1));
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.conns.fetch_update(set, get, more).is_ok()
    }

    /// A connection has ended.
    pub(super) fn leave(&self) {
        self.conns.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes it; true if it was open.
    fn close(&self) -> bool {
        self.conns.fetch_or(CLOSED, Ordering::Relaxed) & CLOSED == 0
    }

    /// Closes it unless it has connections; true if it was open.
    fn close_idle(&self) -> bool {
        let relaxed = Ordering::Relaxed;
        let swap = self.conns.compare_exchange(0, CLOSED, relaxed, relaxed);
        swap.is_ok()
    }

    fn is_closed(&self) -> bool {
        self.conns.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn has_conns(&self) -> bool {
        self.conns.load(Ordering::Relaxed) & !CLOSED != 0
    }

    fn timeout(&self) -> Jiffies {
        Jiffies(self.timeout.load(Ordering::Relaxed))
    }

    fn trust(&self) -> u8 {
        self.trust.load(Ordering::Relaxed)
    }

    fn is_assured(&self) -> bool {
        self.trust() & ASSURED != 0
    }

    fn add_trust(&self, mark: u8) {
        if self.trust() & mark == 0 {
            self.trust.fetch_or(mark, Ordering::Relaxed);
        }
    }

    /// Notes that a connection got far.
    pub(super) fn assure(&self) {
        self.add_trust(ASSURED);
    }

    /// Notes that both ends of a connection are known to be there.
    pub(super) fn serve(&self) {
        self.add_trust(SERVED);
    }
}

/// A connection's hold on its template, from before it is known.
pub(crate) struct Hold(Arc<Tie>);

impl Hold {
    /// The same for one more connection, which is to [`Tie::leave`].
    pub(super) fn tie(&self) -> Arc<Tie> {
        self.0.conns.fetch_add(1, Ordering::Relaxed);
        self.0.clone()
    }

    /// The connection is a datagram that goes by itself.
    pub(crate) fn count_datagram(&self) {
        let datagrams = &self.0.datagrams;
        let number = datagrams.load(Ordering::Relaxed);
        if number <= MANY {
            datagrams.store(number.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Takes that back.
    pub(super) fn untie(&self) {
        self.0.leave();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A name as addresses and ports; `None`: not of this family.
fn tuple<A: Family>(name: &Name) -> Option<Tuple<A>> {
    Some(Tuple {
        src: A::of(name.client)?,
        dst: A::of(name.addr)?,
        sport: 0,
        dport: name.port,
    })
}

/// What a template is looked up by; `None`: not in this family. Data is hashed with `seed`.
fn key<A: Family>(sought: &Sought<'_>, seed: &folded::Key) -> Option<Key<A>> {
    let proto = sought.name.proto;
    let (name, proto) = match sought.said {
        None => (sought.name, among_connections(proto)),
        Some(_) => (sought.digest(seed), among_calls(proto)),
    };
    let tuple = tuple(&name)?;
    Some(Key { tuple, proto })
}

impl<A: Family> Flow<A> {
    /// Whether it is a template.
    #[inline(always)]
    pub(crate) fn is_template(&self) -> bool {
        self.method == TEMPLATE
    }

    /// Whether it is a connection that began by a template.
    pub(crate) fn is_persistent(&self) -> bool {
        !self.is_template() && self.tie().is_some()
    }

    pub(super) fn tie(&self) -> Option<&Tie> {
        let tie = self.extra.as_ref()?.tie.as_ref()?;
        Some(tie)
    }

    /// What a template shares with its connections.
    fn own_tie(&self) -> Option<&Arc<Tie>> {
        let extra = self.extra.as_ref().filter(|_| self.is_template())?;
        extra.tie.as_ref()
    }

    /// A connection begins by this template, whose time-out begins anew. `None`: it is closed,
    /// or no template.
    pub(crate) fn hold(&self) -> Option<Hold> {
        let tie = self.own_tie()?;
        let hold = tie.join().then(|| Hold(tie.clone()))?;
        let now = Jiffies::now();
        if now.since(self.stamp()).0 >= HZ {
            tie.add_trust(BACK);
        }
        self.stamp.store(now.0, Ordering::Relaxed);
        Some(hold)
    }

    /// A template that nothing begins by any more is not to be seen.
    pub(super) fn is_void(&self) -> bool {
        self.own_tie().is_some_and(|tie| tie.is_closed())
    }

    /// Whether it may be taken away: not a template that a connection has just begun by.
    pub(super) fn may_go(&self) -> bool {
        self.own_tie().is_none_or(|tie| self.close_idle(tie))
    }

    /// Closes its template, or itself, unless that has connections; true if it is closed now.
    /// Both have the same destination, where it counts no more.
    fn close_idle(&self, tie: &Tie) -> bool {
        let closed = tie.close_idle();
        if closed {
            self.dest.unbind_template();
        }
        closed || tie.is_closed()
    }

    /// The same, whether that has connections or not.
    fn close(&self, tie: &Tie) {
        if tie.close() {
            self.dest.unbind_template();
        }
    }

    /// IPVS: with a connection that is taken away before its time goes its template, if that has
    /// no other and none got far. The worker clears it away.
    pub(super) fn close_untried(&self) {
        if let Some(tie) = self.tie().filter(|tie| tie.trust() == 0) {
            self.close_idle(tie);
        }
    }

    /// IPVS: with the last connection whose server is gone goes the template.
    pub(super) fn close_orphan(&self) {
        if let Some(tie) = self.tie().filter(|_| !self.dest.available()) {
            self.close_idle(tie);
        }
    }

    /// Whether it is a template that no connection got far with, and that has none now.
    pub(super) fn is_untried(&self) -> bool {
        let tie = self.own_tie();
        tie.is_some_and(|tie| !tie.is_assured() && !tie.has_conns())
    }

    /// How many datagrams went by a template one by one, as far as they are counted.
    pub(super) fn datagrams(&self) -> u8 {
        let tie = self.own_tie();
        tie.map_or(0, |tie| tie.datagrams.load(Ordering::Relaxed))
    }

    /// A template's time-out.
    pub(super) fn template_timeout(&self) -> Option<Jiffies> {
        Some(self.own_tie()?.timeout())
    }

    /// How long a template has left; `None`: its time-out has run out, and it is closed.
    #[cold]
    pub(super) fn template_left(&self, now: Jiffies) -> Option<Jiffies> {
        let tie = self.own_tie().filter(|tie| !tie.is_closed())?;
        let left = clock::left(now.0, self.stamp().0, tie.timeout().0, HZ);
        if left.is_some() || self.close_idle(tie) {
            return left.map(Jiffies);
        }
        // IPVS: with connections it goes on, a minute at a time.
        let minute = Jiffies::seconds(REARMED);
        tie.timeout.store(minute.0, Ordering::Relaxed);
        self.stamp.store(now.0, Ordering::Relaxed);
        Some(minute)
    }

    /// A template's place among those that may give way, if it is one.
    pub(super) fn template_rank(&self, now: Jiffies) -> Option<Rank> {
        let tie = self.own_tie()?;
        match (tie.is_closed(), tie.has_conns()) {
            (true, _) => Some(rank_void()),
            (false, true) => None,
            (false, false) => {
                let Jiffies(idle) = now.since(self.stamp());
                let trust = tie.trust();
                Some(rank_template(trust != 0, trust & SERVED != 0, idle))
            }
        }
    }

    /// The protocol of its connections, and the name of a template's state (IPVS).
    pub(super) fn template_view(&self) -> Option<(u8, &'static str)> {
        let state = match self.own_tie()?.is_assured() {
            true => "ASSURED",
            false => "NONE",
        };
        let proto = match self.said() {
            None => among_connections(self.proto),
            Some(_) => among_calls(self.proto),
        };
        Some((proto, state))
    }

    /// Whether it is the template that is sought, and not one with the same hash.
    fn is_for(&self, sought: &Sought<'_>) -> bool {
        let reply = Tuple {
            sport: 0,
            ..self.reply
        };
        self.said() == sought.said && tuple(&sought.name) == Some(reply)
    }

    /// It counts at its destination from now on.
    pub(super) fn bind(&self) {
        match self.is_template() {
            true => self.dest.bind_template(),
            false => self.dest.bind(),
        }
    }

    /// It does no more.
    pub(super) fn unbind(&self) {
        match self.own_tie() {
            Some(tie) => self.close(tie),
            None => self.dest.unbind(),
        }
    }
}

impl<A: Family> FlowTable<A> {
    /// A template that is to lead to `dest` for `timeout` seconds; it is not known yet. `None`:
    /// no memory.
    pub(crate) fn template(
        &self,
        sought: &Sought<'_>,
        dest: Arc<Dest>,
        timeout: u32,
    ) -> Option<Flow<A>> {
        let key = key(sought, &self.2.seed)?;
        let Jiffies(timeout) = Jiffies::seconds(timeout);
        let tie = Tie {
            conns: AtomicU32::new(0),
            timeout: AtomicU32::new(timeout),
            trust: AtomicU8::new(0),
            datagrams: AtomicU8::new(0),
        };
        let tie = Arc::new(tie, GFP_ATOMIC).ok()?;
        let call = match &sought.said {
            Some(said) => Some(Call::boxed(said)?),
            None => None,
        };
        let extra = KBox::new(Extra::of_template(tie, call), GFP_ATOMIC).ok()?;
        let name = tuple(&sought.name)?;
        // IPVS: the destination's port stands there if the template is for one port.
        let port = if name.dport == 0 { 0 } else { dest.port };
        let reply = Tuple {
            sport: port,
            ..name
        };
        Some(Flow::new(key, reply, dest, TEMPLATE, Some(extra)))
    }

    /// The template for a packet.
    pub(crate) fn find_template<'a>(
        &'a self,
        rcu: &'a Rcu,
        sought: &Sought<'_>,
    ) -> Option<&'a Flow<A>> {
        let (flow, _) = self.0.find(rcu, &key(sought, &self.2.seed)?)?;
        flow.is_for(sought).then_some(flow)
    }

    /// Takes a template out that is not valid any more, or that somebody else is about to take.
    pub(crate) fn drop_template(&self, rcu: &Rcu, template: &Flow<A>) {
        if let Some(tie) = template.own_tie() {
            template.close(tie);
            self.remove(rcu, template);
        }
    }
}
