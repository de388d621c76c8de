// SPDX-License-Identifier: GPL-2.0

//! Flows: the connections that are known, and their table.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU32, AtomicU8, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::expiry::clock;
use crate::hash::folded;
use crate::packet::{Context, Tuple};
use crate::proto::{self, Direction, Phase, Timeouts};
use crate::service::{Dest, PortSet};
use crate::sys::index::{Entry, Index, Node, Side};
use crate::sys::quota::{Account, Part, FLOWS};
use crate::sys::rcu::Rcu;
use crate::sys::slab::Pool;
use crate::sys::time::{Jiffies, HZ};
use crate::wire::uapi::fwd;

mod calls;
mod defence;
pub(crate) mod evict;
pub(crate) mod expire;
mod extra;
mod family;
mod flows;
pub(crate) mod gate;
mod late;
pub(crate) mod list;
mod seen;
mod template;
pub(crate) mod ways;

use self::calls::Calls;
use self::family::Kept;
use self::seen::{BOTH, CONFIRMED, COUNTED, TRACKED};

pub(crate) use self::defence::Defence;
pub(crate) use self::extra::Extra;
pub(crate) use self::family::Family;
pub(crate) use self::flows::Flows;
pub(crate) use self::late::Why;
pub(crate) use self::template::Hold;

/// Seconds after which connection tracking sees a packet of each side again.
const SHOW: u32 = 5;
/// The state of a flow that is not in the table, not yet or not any more: nothing changes it.
const ENDED: u8 = u8::MAX;

/// What a flow is looked up by.
#[derive(Clone, Copy)]
pub(crate) struct Key<A> {
    /// Addresses and ports as they stand in the packet.
    pub(crate) tuple: Tuple<A>,
    /// The IP protocol.
    pub(crate) proto: u8,
}

/// A known connection.
///
/// Its first key is the client's packet at the director, its second, for NAT and FULLNAT,
/// the real server's answer. With the index's link an IPv4 flow fills one cache line, an IPv6
/// flow two, of which the second has all that its end needs.
///
/// It counts at its destination from when it is about to be known until it ends.
#[repr(C)]
pub(crate) struct Flow<A: Family> {
    /// Client to virtual service.
    pub(crate) request: Tuple<A>,
    /// Real server to client, or to the local address (FULLNAT).
    pub(crate) reply: Tuple<A>,
    /// The IP protocol.
    pub(crate) proto: u8,
    /// The forwarding method, one of [`fwd`].
    pub(crate) method: u8,
    state: AtomicU8,
    /// What is known of its ends: marks and a count, see `flow/seen.rs`.
    seen: AtomicU8,
    stamp: AtomicU32,
    /// The way of each side's packets, as [`ways::Ways`] knows it.
    ways: [AtomicU32; 2],
    /// The destination that it was given.
    pub(crate) dest: Arc<Dest>,
    /// What few flows have.
    extra: Option<KBox<Extra>>,
    kept: A::Kept,
}

const _: () = assert!(size_of::<Node<Flow<Ipv4Addr>>>() == 64);
const _: () = assert!(size_of::<Node<Flow<Ipv6Addr>>>() == 128);

impl<A: Family> Entry for Flow<A> {
    type Key = Key<A>;
    type Seed = folded::Key;

    fn key(&self, side: Side) -> Option<Key<A>> {
        let tuple = match side {
            Side::First => self.request,
            Side::Second if self.translates() => self.reply,
            Side::Second => return None,
        };
        let proto = self.proto;
        Some(Key { tuple, proto })
    }

    #[inline(always)]
    fn matches(&self, side: Side, key: &Key<A>) -> bool {
        let tuple = match side {
            Side::First => &self.request,
            Side::Second => &self.reply,
        };
        *tuple == key.tuple && self.proto == key.proto
    }

    #[inline(always)]
    fn hash(key: &Key<A>, seed: &folded::Key) -> u64 {
        A::hash(&key.tuple, key.proto, seed)
    }

    fn second_hash(&self, seed: &folded::Key) -> Option<u64> {
        let hash = || A::hash(&self.reply, self.proto, seed);
        self.translates()
            .then(|| Kept::get(self.kept).unwrap_or_else(hash))
    }

    fn keep(&mut self, hash: u64) {
        self.kept = <A::Kept as Kept>::new(hash);
    }

    fn pool() -> &'static Pool<Node<Self>> {
        A::pool()
    }
}

/// Whether a method rewrites addresses.
#[inline(always)]
fn translates(method: u8) -> bool {
    matches!(u32::from(method), fwd::MASQ | fwd::FULLNAT)
}

/// What is known of a flow's ends before its first packet. IPVS says of a connection that goes
/// past all destinations, as of NAT's, that its answers come by.
fn first_seen(method: u8) -> u8 {
    match translates(method) || u32::from(method) == fwd::BYPASS {
        true => BOTH,
        false => 0,
    }
}

impl<A: Family> Flow<A> {
    /// A flow that no packet has been counted for yet.
    ///
    /// `extra` says where `reply`'s destination port came from (FULLNAT).
    #[inline(always)]
    pub(crate) fn new(
        key: Key<A>,
        reply: Tuple<A>,
        dest: Arc<Dest>,
        method: u8,
        extra: Option<KBox<Extra>>,
    ) -> Self {
        Self {
            request: key.tuple,
            reply,
            proto: key.proto,
            method,
            state: AtomicU8::new(ENDED),
            seen: AtomicU8::new(first_seen(method)),
            stamp: AtomicU32::new(Jiffies::now().0),
            ways: Default::default(),
            dest,
            extra,
            kept: A::Kept::default(),
        }
    }

    /// It is about to be known: from now on it counts at its destination.
    fn start(&mut self) {
        self.bind();
        *self.state.get_mut() = proto::FIRST;
    }

    /// Whether addresses are rewritten, so that replies come back through here.
    #[inline(always)]
    pub(crate) fn translates(&self) -> bool {
        translates(self.method)
    }

    /// Whether the local address stands for the client.
    pub(crate) fn is_fullnat(&self) -> bool {
        u32::from(self.method) == fwd::FULLNAT
    }

    /// The tuple that a packet found by `side` leaves with.
    #[inline(always)]
    pub(crate) fn translated(&self, side: Side) -> Tuple<A> {
        match side {
            Side::First => self.reply.reversed(),
            Side::Second => self.request.reversed(),
        }
    }

    /// Notes a packet: the state moves on, the time-out starts anew.
    ///
    /// True if that was written down, which happens at most once a second in one state; then
    /// [`FlowTable::noted`] must be told.
    #[must_use]
    #[inline(always)]
    pub(crate) fn touch(&self, side: Side, flags: u8, defence: &Defence) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        let done = match side {
            Side::First => COUNTED,
            Side::Second => CONFIRMED,
        };
        if seen & done != done {
            self.notice(side, seen, flags);
        }
        let now = Jiffies::now();
        let state = self.state.load(Ordering::Relaxed);
        let mut next = self.next_state(state, side, seen, flags);
        // Where IPVS's tables for attack times differ a state changes, or a SYN comes.
        if (next != state || proto::opens(self.proto, flags)) && defence.is_secure() {
            next = self.next_secure_state(state, side, seen, flags);
        }
        let refresh = next != state || now.since(self.stamp()).0 >= HZ;
        if refresh {
            self.enter(state, next, side, now);
        }
        refresh
    }

    /// Lets it look as if its last packet had come `earlier`.
    fn backdate(&self, earlier: Jiffies) {
        let now = Jiffies::now().0;
        let stamp = now.wrapping_sub(earlier.0);
        self.stamp.store(stamp, Ordering::Relaxed);
    }

    #[inline(always)]
    fn stamp(&self) -> Jiffies {
        Jiffies(self.stamp.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn next_state(&self, state: u8, side: Side, seen: u8, flags: u8) -> u8 {
        if !proto::has_states(self.proto) || state == ENDED {
            return state;
        }
        proto::next(self.proto, state, flags, Self::direction(side, seen))
    }

    /// The same in attack times (IPVS: `secure_tcp`).
    #[cold]
    fn next_secure_state(&self, state: u8, side: Side, seen: u8, flags: u8) -> u8 {
        if state == ENDED {
            return state;
        }
        proto::next_secure(self.proto, state, flags, Self::direction(side, seen))
    }

    #[inline(always)]
    fn direction(side: Side, seen: u8) -> Direction {
        match side {
            Side::Second => Direction::Output,
            Side::First if seen & BOTH != 0 => Direction::Input,
            Side::First => Direction::InputOnly,
        }
    }

    /// Changes the state, unless another processor did at the same time.
    #[inline(never)]
    fn enter(&self, old: u8, new: u8, side: Side, now: Jiffies) {
        // ORDERING: whoever sees the new state, whose time-out may be shorter, sees the time with it.
        self.stamp.store(now.0, Ordering::Relaxed);
        let swap = self
            .state
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed);
        if swap.is_err() || old == new {
            return;
        }
        if side == Side::Second && self.phase_of(new) == Phase::Reset {
            // The server does not know this connection, whatever its client seems to say.
            self.unconfirm();
        }
        if self.phase_of(new) == Phase::Open {
            self.assure();
        }
        let (was, is) = (self.is_active(old), self.is_active(new));
        if was != is {
            self.dest.set_active(is);
        }
    }

    /// The connection got far: its template, if it has one, is worth more from now on.
    fn assure(&self) {
        if let Some(tie) = self.tie() {
            tie.assure();
        }
    }

    /// Whether a client has asked for it and nobody knows whether he is there.
    fn is_half_open(&self) -> bool {
        proto::is_half_open(self.proto, self.state.load(Ordering::Relaxed))
    }

    /// Whether it counts among its destination's active ones in a state.
    fn is_active(&self, state: u8) -> bool {
        proto::is_active(self.proto, state)
    }

    fn phase_of(&self, state: u8) -> Phase {
        proto::phase(self.proto, state)
    }

    /// How far it is.
    fn phase(&self) -> Phase {
        self.phase_of(self.state.load(Ordering::Relaxed))
    }

    /// How long it may be idle in its present state.
    fn timeout(&self, timeouts: &Timeouts) -> Jiffies {
        if let Some(timeout) = self.template_timeout() {
            return timeout;
        }
        // ORDERING: see `enter`; the stamp is read after.
        Jiffies::seconds(timeouts.get(self.proto, self.state.load(Ordering::Acquire)))
    }

    /// How long it has left, if no packet comes; `None`: its time-out has run out.
    fn left(&self, timeouts: &Timeouts, now: Jiffies) -> Option<Jiffies> {
        if self.is_template() {
            return self.template_left(now);
        }
        let Jiffies(timeout) = self.timeout(timeouts);
        clock::left(now.0, self.stamp().0, timeout, HZ).map(Jiffies)
    }

    /// Seconds until it expires, if no packet comes.
    pub(crate) fn expires_in(&self, timeouts: &Timeouts, now: Jiffies) -> u32 {
        let Jiffies(timeout) = self.timeout(timeouts);
        Jiffies(timeout.saturating_sub(now.since(self.stamp()).0)).as_seconds()
    }

    /// Whether a new connection may take the place of this one: it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.phase().is_over()
    }

    /// Whether a new connection from the same client takes its place: IPVS's `conn_reuse_mode`,
    /// where 0 is never, and the second bit adds those that are half closed if the other half
    /// can't be seen.
    pub(crate) fn gives_way(&self, reuse_mode: u32) -> bool {
        let phase = self.phase();
        let half = reuse_mode & 2 != 0 && phase == Phase::Closing && !self.hears_answers();
        // IPVS: none does that began by a template, which goes on at the same destination.
        reuse_mode != 0 && (phase.is_over() || half) && !self.is_persistent()
    }

    /// Ends the flow's part in its destination's load; true if it had counted as active.
    fn end(&self) -> bool {
        self.is_active(self.state.swap(ENDED, Ordering::Relaxed))
    }

    /// The state's name, as `ipvsadm -L -c` prints it.
    pub(crate) fn state_name(&self) -> &'static str {
        proto::state_name(self.proto, self.state.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn way_of(&self, side: Side) -> &AtomicU32 {
        let [first, second] = &self.ways;
        match side {
            Side::First => first,
            Side::Second => second,
        }
    }

    /// The way of a side's packets, as [`ways::Ways`] knows it.
    #[inline(always)]
    pub(crate) fn way(&self, side: Side) -> u32 {
        self.way_of(side).load(Ordering::Relaxed)
    }

    /// Notes the way of a side's packets.
    pub(crate) fn set_way(&self, side: Side, id: u32) {
        self.way_of(side).store(id, Ordering::Relaxed);
    }

    /// Forgets the ways that were in places that begin anew.
    fn lose_ways(&self, ways: &ways::Ways) {
        for way in &self.ways {
            if ways.is_retired(way.load(Ordering::Relaxed)) {
                way.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The interface that answers must go back to, if the client's address does not tell; or 0.
    pub(crate) fn link(&self) -> u32 {
        self.extra.as_ref().map_or(0, |extra| extra.link)
    }

    /// Notes that connection tracking has just been shown a packet of `side`, and whether it took
    /// it: one that knew the flow may have been told to see it no more.
    pub(crate) fn show(&self, side: Side, taken: bool) {
        let Some(extra) = &self.extra else {
            return;
        };
        if taken {
            self.note(TRACKED);
        } else if self.seen.load(Ordering::Relaxed) & TRACKED == 0 {
            return;
        }
        let Some(shown) = extra.shown(side) else {
            return;
        };
        let now = Jiffies::now();
        if now.since(Jiffies(shown.load(Ordering::Relaxed))).0 >= HZ {
            shown.store(now.0, Ordering::Relaxed);
        }
    }

    /// Whether connection tracking has to see a packet of `side` with these flags: one that ends
    /// a connection, and one every now and then, so that it keeps what it knows.
    #[inline(always)]
    pub(crate) fn must_show(&self, side: Side, flags: u8) -> bool {
        self.seen.load(Ordering::Relaxed) & TRACKED != 0 && self.owes(side, flags)
    }

    #[inline(never)]
    fn owes(&self, side: Side, flags: u8) -> bool {
        let Some(shown) = self.extra.as_ref().and_then(|extra| extra.shown(side)) else {
            return false;
        };
        let shown = Jiffies(shown.load(Ordering::Relaxed));
        proto::ends(self.proto, flags) || Jiffies::now().since(shown).0 >= SHOW * HZ
    }

    /// Where its local port comes from (FULLNAT).
    pub(crate) fn port_set(&self) -> Option<&Arc<PortSet>> {
        self.extra.as_ref()?.ports()
    }

    /// The local address and port that stand for the client, if they do (FULLNAT).
    pub(crate) fn local(&self) -> Option<(IpAddr, u16)> {
        self.is_fullnat()
            .then(|| (self.reply.dst.into(), self.reply.dport))
    }
}

impl<A: Family> Flow<A> {
    /// Gives the local port back where it came from and leaves the template, the first time only.
    fn let_go(&self) {
        let Some(extra) = &self.extra else {
            return;
        };
        if extra.given.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(ports) = extra.ports() {
            ports.give(self.reply.dport);
        }
        if let Some(tie) = &extra.tie {
            // Only now: a reset may have taken it back.
            if self.confirmed() {
                tie.serve();
            }
            tie.leave();
        }
    }
}

impl<A: Family> Drop for Flow<A> {
    /// It may never have been in the table, or go with it.
    fn drop(&mut self) {
        self.let_go();
        if *self.state.get_mut() != ENDED {
            self.unbind();
        }
    }
}

/// The flows of one family in one network namespace: their index, what counts them for whom they are paid by, and
/// what the templates of calls need.
pub(crate) struct FlowTable<A: Family>(Index<Flow<A>>, Part, Calls);

impl<A: Family> FlowTable<A> {
    /// An empty table that `account` pays for, hashed with `seed`.
    pub(crate) fn new(account: &Account, seed: folded::Key) -> Self {
        Self(Index::new(seed), Part::new(&FLOWS, account), Calls::new())
    }

    /// Flows that have left the table and whose memory is not free yet.
    pub(crate) fn dead(&self) -> usize {
        self.0.dead()
    }

    /// Whether there are as many flows as the namespace's user may have, if he is an ordinary one.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.1.is_used_up()
    }

    /// Flows that are known.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many there would be that take as much memory.
    pub(crate) fn weight(&self) -> usize {
        self.0.len().saturating_add(self.2.weight())
    }

    /// Buckets of the index.
    pub(crate) fn buckets(&self, rcu: &Rcu) -> usize {
        self.0.buckets(rcu)
    }

    /// The flow that a packet belongs to, and in which direction it goes.
    #[inline(always)]
    pub(crate) fn find<'a>(
        &'a self,
        rcu: &'a Rcu,
        context: &Context<A>,
    ) -> Option<(&'a Flow<A>, Side)> {
        self.find_tuple(rcu, context.tuple, context.proto)
    }

    /// Says that [`Self::find`] will soon be asked for this packet.
    #[inline(always)]
    pub(crate) fn announce(&self, rcu: &Rcu, context: &Context<A>) {
        let (tuple, proto) = (context.tuple, context.proto);
        self.0.announce(rcu, &Key { tuple, proto });
    }

    /// The flow that a packet with this tuple would belong to.
    #[inline(always)]
    pub(crate) fn find_tuple<'a>(
        &'a self,
        rcu: &'a Rcu,
        tuple: Tuple<A>,
        proto: u8,
    ) -> Option<(&'a Flow<A>, Side)> {
        self.0.find(rcu, &Key { tuple, proto })
    }
}
