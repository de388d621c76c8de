// SPDX-License-Identifier: GPL-2.0

//! What a service decides by: its scheduler, with the destinations and the tables made of them,
//! never changed but replaced as a whole.

use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::cache::AddrCache;
use super::dest::Dest;
use super::id::ServiceId;
use super::ports::Held;
use super::refusal::{demand, Outcome};
use super::sources::Local;
use super::spec::ServiceSpec;
use crate::pool::turn::Turn;
use crate::sched::persist::{First, Name, Persistence};
use crate::sched::{self, Candidate, Change, Flags, Key, Kind, Nobody, Outside, State};
use crate::sys::front::Front;
use crate::sys::log;
use crate::sys::quota::Taken;
use crate::sys::rcu::{Rcu, RcuCell};
use crate::wire::uapi::fwd;

/// A service as the packets see it.
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(super) serial: u64,
    pub(super) scheduler: RcuCell<Scheduler>,
    pub(super) _quota: Taken,
}

impl Service {
    /// Which one it is; no other service of the namespace ever has the same, nor 0.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Lets go of the ways to its destinations.
    pub(super) fn forget_paths(&self, rcu: &Rcu) {
        let slots = self
            .scheduler
            .get(rcu)
            .map_or(&[][..], |scheduler| &scheduler.slots);
        slots.iter().for_each(|dest| dest.path.clear());
    }

    /// Chooses a destination for a new connection.
    pub(crate) fn schedule<'a>(
        &'a self,
        rcu: &'a Rcu,
        key: &Key,
        outside: &impl Outside,
    ) -> Option<Pick<'a>> {
        let scheduler = self.scheduler.get(rcu)?;
        match scheduler.pick(key, outside) {
            Ok(pick) => Some(self.at_port(pick)),
            Err(nobody) => {
                self.report(scheduler.kind, nobody);
                None
            }
        }
    }

    /// Whether it is FTP's, and was found for a packet to another port.
    #[inline]
    pub(crate) fn is_beside(&self, dport: u16) -> bool {
        dport != self.id.port && self.id.is_ftp()
    }

    /// How it is persistent, if it is.
    #[inline]
    pub(crate) fn persistence<'a>(&'a self, rcu: &'a Rcu) -> Option<&'a Persistence> {
        self.scheduler.get(rcu)?.persistence.as_ref()
    }

    /// What the template for a packet is found by.
    pub(crate) fn template_name(&self, rule: &Persistence, packet: &First) -> Name {
        rule.name(self.id.mark, self.id.port, packet)
    }

    /// Gives a new connection the destination of its template, which may be another service's
    /// that has a template of the same name. `None`: the service is gone.
    pub(crate) fn keep<'a>(&'a self, rcu: &'a Rcu, dest: &'a Arc<Dest>) -> Option<Pick<'a>> {
        Some(self.at_port(self.scheduler.get(rcu)?.picked(dest)))
    }

    /// IPVS: a persistent service leads each port but its own to itself.
    #[inline]
    fn at_port<'a>(&self, mut pick: Pick<'a>) -> Pick<'a> {
        pick.own_port = (!self.id.is_marked()).then_some(self.id.port);
        pick
    }

    /// Whether no datagram is to be remembered.
    pub(crate) fn is_one_packet(&self, rcu: &Rcu) -> bool {
        let scheduler = self.scheduler.get(rcu);
        scheduler.is_some_and(|scheduler| scheduler.one_packet)
    }

    /// Says in the log, as IPVS does, that nobody takes a connection.
    #[cold]
    fn report(&self, kind: Kind, nobody: Nobody) {
        let ServiceId {
            mark,
            proto,
            addr,
            port,
        } = self.id;
        if let Some(text) = nobody.text() {
            log::scheduler(kind.name(), mark, proto, addr, port, text);
        }
    }
}

/// A scheduler with its destinations, newest first.
pub(super) struct Scheduler {
    kind: Kind,
    flags: Flags,
    /// Each datagram is a connection of its own.
    one_packet: bool,
    persistence: Option<Persistence>,
    slots: Front<Arc<Dest>>,
    table: KVVec<u32>,
    cursor: AtomicU64,
    cache: Option<Arc<AddrCache>>,
    /// Which local address is next.
    turn: Turn,
    /// Which is next to be looked at for ports that may be taken away.
    look: Turn,
}

impl Scheduler {
    /// Works out the tables for `slots`.
    pub(super) fn build(
        spec: &ServiceSpec,
        slots: Front<Arc<Dest>>,
        cache: Option<Arc<AddrCache>>,
    ) -> Outcome<Self> {
        let kind = spec.kind;
        let len = slots.len();
        let mut table = KVVec::from_elem(0, sched::table_len(kind, len), GFP_KERNEL_ACCOUNT)?;
        let mut scratch = KVVec::from_elem(0, sched::scratch_len(kind, len), GFP_KERNEL_ACCOUNT)?;
        demand(
            sched::build(kind, &slots, &mut table, &mut scratch).is_ok(),
            EINVAL,
            c"this scheduler can't tell so many destinations apart: use another",
        )?;
        let cursor = sched::carry(kind, 0, Change::Edited, &table);
        Ok(Self {
            kind,
            flags: spec.sched_flags(),
            one_packet: spec.is_one_packet(),
            persistence: spec.persistence(),
            slots,
            table,
            cursor: AtomicU64::new(cursor),
            cache,
            turn: Turn::default(),
            look: Turn::default(),
        })
    }

    /// What it is made from.
    pub(super) fn slots(&self) -> Front<Arc<Dest>> {
        self.slots.clone()
    }

    /// What it remembers, if it is of this kind.
    pub(super) fn cache_of(&self, kind: Kind) -> Option<Arc<AddrCache>> {
        self.cache.clone().filter(|_| self.kind == kind)
    }

    /// The bytes that become free with it, about, when `next` or nothing stands in its place.
    pub(super) fn bytes(&self, next: Option<&Self>) -> usize {
        let table = self.table.len().saturating_mul(size_of::<u32>());
        let cache = self.cache.as_ref();
        let ends = cache.filter(|_| next.is_none_or(|next| next.kind != self.kind));
        let table = ends.map_or(table, |cache| cache.bytes().saturating_add(table));
        if next.is_some_and(|next| self.slots.shares(&next.slots)) {
            return table;
        }
        let slots = self.slots.len().saturating_mul(size_of::<Arc<Dest>>());
        table.saturating_add(slots)
    }

    /// Goes on where `old` stands, from which it differs by `change`.
    pub(super) fn follow(&mut self, old: &Self, change: Change) {
        if old.kind == self.kind {
            let cursor = old.cursor.load(Ordering::Relaxed);
            *self.cursor.get_mut() = sched::carry(self.kind, cursor, change, &self.table);
        }
        self.turn.follow(&old.turn);
        self.look.follow(&old.look);
    }

    fn pick(&self, key: &Key, outside: &impl Outside) -> Result<Pick<'_>, Nobody> {
        let state = State {
            table: &self.table,
            cursor: &self.cursor,
            cache: &self.cache,
        };
        let index = sched::pick(self.kind, self.flags, &self.slots, state, key, outside)?;
        let dest = self.slots.get(index).ok_or(Nobody::Left)?;
        Ok(self.picked(dest))
    }

    fn picked<'a>(&'a self, dest: &'a Arc<Dest>) -> Pick<'a> {
        Pick {
            dest,
            one_packet: self.one_packet,
            persistent: self.persistence.is_some(),
            own_port: None,
            turn: &self.turn,
            look: &self.look,
        }
    }
}

/// A destination that was chosen for a new connection.
pub(crate) struct Pick<'a> {
    pub(crate) dest: &'a Arc<Dest>,
    /// No datagram is to be remembered.
    pub(crate) one_packet: bool,
    persistent: bool,
    /// The service's port; none if it goes by mark.
    own_port: Option<u16>,
    turn: &'a Turn,
    look: &'a Turn,
}

/// How many of a service's local addresses a new connection tries for a port. Each costs a lock
/// and a few words, in the way of packets.
const TRY: usize = 64;

/// How many of them are looked at for a port that may be taken away.
const LOOK: usize = 4;

impl<'a> Pick<'a> {
    /// A destination that is not FULLNAT's.
    pub(super) fn without_locals(dest: &'a Arc<Dest>, one_packet: bool, turn: &'a Turn) -> Self {
        Self {
            dest,
            one_packet,
            persistent: true,
            own_port: None,
            turn,
            look: turn,
        }
    }
}

impl Pick<'_> {
    /// The port at the destination for a packet to port `dport`.
    #[inline(always)]
    pub(crate) fn port(&self, dport: u16, method: u8) -> u16 {
        match self.dest.port {
            0 => dport,
            _ if self.persistent && self.keeps(dport, method) => dport,
            port => port,
        }
    }

    /// Whether a packet to a persistent service keeps its port: it is not the service's own.
    fn keeps(&self, dport: u16, method: u8) -> bool {
        match self.own_port {
            Some(port) => dport != port,
            // Not with FULLNAT, whose local ports are for the destination's.
            None => u32::from(method) != fwd::FULLNAT,
        }
    }

    /// Takes a local port for FULLNAT towards port `peer` at the real server, the service's
    /// local addresses serving in turn. `None`: there is none left on those that were tried;
    /// the next try goes on behind them.
    pub(crate) fn local(&self, rcu: &Rcu, peer: u16) -> Option<Local> {
        let sources = self.dest.sources(rcu);
        self.turn.find(sources, TRY, |source| source.take(peer))
    }

    /// Shows to `f`, of some local addresses, the ports that were handed out longest ago. If it
    /// says no to all of an address, others of that come next time.
    pub(crate) fn eldest(&self, rcu: &Rcu, mut f: impl FnMut(IpAddr, Held) -> bool) {
        let sources = self.dest.sources(rcu);
        self.look.find(sources, LOOK, |source| -> Option<()> {
            let held = source.ports.eldest().into_iter().flatten();
            // All are looked at, whatever `f` says to the first.
            if !held.fold(false, |any, held| f(source.local.addr, held) | any) {
                source.ports.pass_by();
            }
            None
        });
    }

    /// Counts a connection that gets no port, at the addresses that were tried.
    pub(crate) fn exhausted(&self, rcu: &Rcu) {
        for source in self.turn.last(self.dest.sources(rcu), TRY) {
            source.local.exhausted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Candidate for Arc<Dest> {
    fn addr(&self) -> IpAddr {
        Candidate::addr(&**self)
    }

    fn port(&self) -> u16 {
        Candidate::port(&**self)
    }

    #[inline]
    fn weight(&self) -> u32 {
        (**self).weight()
    }

    fn last_weight(&self) -> u32 {
        (**self).last_weight()
    }

    #[inline]
    fn active(&self) -> u32 {
        (**self).active()
    }

    #[inline]
    fn total(&self) -> u32 {
        (**self).total()
    }

    #[inline]
    fn usable(&self) -> bool {
        (**self).usable()
    }
}
