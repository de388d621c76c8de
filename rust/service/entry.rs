// SPDX-License-Identifier: GPL-2.0

//! A service as its configuration sees it: what users said, and the lists that its scheduler is
//! made from. All of it is behind the configuration's mutex.
//!
//! A change is made here first, then published; if that fails, it is undone.

use core::net::IpAddr;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;

use super::cache::AddrCache;
use super::counts::{minus, plus, read};
use super::dest::{Dest, DestSpec};
use super::id::DestId;
use super::meter::{Meter, Sampling, Sum};
use super::ports::{PortKey, PortSet, PortSets};
use super::refusal::{demand, Outcome, Refusal};
use super::scheduler::{Scheduler, Service};
use super::sources::{LocalAddr, Ready, Source, Sources};
use super::spec::ServiceSpec;
use crate::rates::{Rates, Row};
use crate::sched::Change;
use crate::sys::front::Front;
use crate::sys::quota::{Account, Part, Taken, SOURCES};
use crate::sys::rcu::{self, RcuBox, RcuCell};
use crate::sys::stats::Counts;
use crate::sys::time::Jiffies;
use crate::wire::uapi::fwd;

/// A service with all that belongs to it.
pub(crate) struct Entry {
    pub(super) service: Arc<Service>,
    pub(crate) spec: ServiceSpec,
    /// Oldest first, that is, by their serial numbers.
    pub(super) members: KVVec<Member>,
    /// The serial number of each.
    serials: RBTree<DestId, u64>,
    last_serial: u64,
    /// Oldest first.
    locals: KVVec<Arc<LocalAddr>>,
    /// What the destinations counted that are gone.
    retired: Counts,
    /// The counters at their last zeroing.
    zero: Counts,
    /// How much its destinations count a second.
    sum: Sum,
    /// From which its scheduler takes what it remembers.
    part: Part,
    /// Changes with the destinations and the local addresses.
    pub(crate) generation: u32,
}

/// A destination of a service.
pub(crate) struct Member {
    pub(crate) dest: Arc<Dest>,
    /// No other of the service ever has the same.
    pub(super) serial: u64,
    /// A later one than those that became servers of their method before, of whichever service.
    pub(super) since: u64,
    /// One for each local address of the service, in their order; none without FULLNAT.
    ports: KVVec<Use>,
    /// The counters at their last zeroing.
    pub(super) zero: Counts,
    /// The counters when it joined the service.
    joined: Counts,
    /// How much they count a second.
    pub(super) meter: Meter,
}

impl Member {
    /// A destination that joins a service, with the counters' state at their last zeroing if it
    /// has been there before.
    pub(super) fn new(dest: Arc<Dest>, before: Option<(Counts, Rates)>) -> Self {
        let joined = read(&dest.stats);
        let (zero, rates) = before.unwrap_or((joined, Rates::default()));
        Self {
            dest,
            serial: 0,
            since: 0,
            ports: KVVec::new(),
            zero,
            joined,
            meter: Meter::new(joined, rates),
        }
    }

    /// Its counters since they were zeroed.
    pub(crate) fn counts(&self) -> Counts {
        minus(read(&self.dest.stats), self.zero)
    }

    /// How much they count a second.
    pub(crate) fn rates(&self) -> Row {
        self.meter.rates.shown()
    }

    fn is_fullnat(&self) -> bool {
        is_fullnat(self.dest.method())
    }
}

fn is_fullnat(method: u8) -> bool {
    u32::from(method) == fwd::FULLNAT
}

/// A destination's ports on a local address.
struct Use {
    set: Arc<PortSet>,
    _quota: Taken,
}

/// The ports that FULLNAT uses, and their range.
pub(super) struct Pool<'a> {
    pub(super) sets: &'a mut PortSets,
    /// Who pays for them.
    pub(super) account: &'a Account,
    /// First and last port of new sets.
    pub(super) range: (u16, u16),
}

impl Pool<'_> {
    /// The same for a function that is called.
    fn by_ref(&mut self) -> Pool<'_> {
        let (account, range) = (self.account, self.range);
        let sets = &mut *self.sets;
        Pool {
            sets,
            account,
            range,
        }
    }

    fn acquire(&mut self, key: PortKey) -> Outcome<Use> {
        let _quota = SOURCES.take(self.account)?;
        let set = self.sets.acquire(self.account, key, self.range)?;
        Ok(Use { set, _quota })
    }
}

impl Entry {
    /// A service without destinations.
    pub(super) fn new(service: Arc<Service>, spec: ServiceSpec, part: Part) -> Self {
        Self {
            service,
            spec,
            members: KVVec::new(),
            serials: RBTree::new(),
            last_serial: 0,
            locals: KVVec::new(),
            retired: Counts::default(),
            zero: Counts::default(),
            sum: Sum::default(),
            part,
            generation: 1,
        }
    }

    /// The service's scheduler to begin with, which has no destination.
    pub(super) fn empty_scheduler(spec: &ServiceSpec, part: &Part) -> Outcome<RcuCell<Scheduler>> {
        let slots = Front::with_capacity(0, GFP_KERNEL_ACCOUNT)?;
        let cache = AddrCache::for_kind(spec.kind, part)?;
        let scheduler = Scheduler::build(spec, slots, cache)?;
        Ok(RcuCell::new(RcuBox::new(scheduler, GFP_KERNEL_ACCOUNT)?))
    }

    /// The service itself.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// The destinations, newest first.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.iter().rev()
    }

    /// The local addresses from number `first` on, each with the number of connections that use
    /// it.
    pub(crate) fn locals(&self, first: usize) -> impl Iterator<Item = (&LocalAddr, u64)> {
        let used = |index: usize| {
            let sets = self.members.iter().filter_map(move |m| m.ports.get(index));
            sets.map(|one| u64::from(one.set.used())).sum()
        };
        let locals = self.locals.iter().enumerate().skip(first);
        locals.map(move |(index, local)| (&**local, used(index)))
    }

    /// The service's counters since they were zeroed.
    pub(crate) fn counts(&self) -> Counts {
        minus(self.total(), self.zero)
    }

    /// How much they count a second.
    pub(crate) fn rates(&self) -> Row {
        self.sum.rates.shown()
    }

    /// Takes samples of its counters, of the destinations from serial number `first` on, as far
    /// as `sampling` goes. Says where to go on, if that is not all, or what came since the last.
    pub(super) fn sample(&mut self, first: u64, sampling: &mut Sampling) -> Result<Counts, u64> {
        let first = self.members.partition_point(|m| m.serial < first);
        for member in self.members.iter_mut().skip(first) {
            if sampling.is_over() {
                return Err(member.serial);
            }
            let counts = read(&member.dest.stats);
            let came = sampling.dest(&mut member.meter, counts);
            self.sum.add(came);
        }
        Ok(sampling.sum(&mut self.sum))
    }

    /// What came since the last sample, which it forgets.
    pub(super) fn take_came(&mut self) -> Counts {
        self.sum.take()
    }

    /// All that its destinations counted for it, present and past.
    pub(super) fn total(&self) -> Counts {
        self.members.iter().fold(self.retired, |sum, member| {
            plus(sum, minus(read(&member.dest.stats), member.joined))
        })
    }

    /// Lets all counters start at zero; returns what came since the last sample.
    pub(super) fn zero(&mut self) -> Counts {
        self.zero = self.total();
        for member in self.members.iter_mut() {
            member.zero = read(&member.dest.stats);
            self.sum.add(member.meter.since(member.zero));
            member.meter = Meter::new(member.zero, Rates::default());
        }
        core::mem::take(&mut self.sum).take()
    }

    /// Where a destination stands, counted from the oldest.
    fn position(&self, id: &DestId) -> Option<usize> {
        let serial = self.serials.get(id)?;
        let place = self.members.binary_search_by_key(serial, |m| m.serial);
        place.ok()
    }

    pub(super) fn has(&self, id: &DestId) -> bool {
        self.serials.get(id).is_some()
    }

    /// What a user said of a destination, if it is there.
    pub(super) fn dest_spec(&self, id: &DestId) -> Option<DestSpec> {
        let member = self.members.get(self.position(id)?)?;
        Some(member.dest.spec())
    }

    /// Takes over what the user says now.
    pub(super) fn set_spec(&mut self, spec: ServiceSpec) -> Outcome {
        let fullnat = self.members.iter().any(Member::is_fullnat);
        demand(!(spec.is_one_packet() && fullnat), EINVAL, ANSWERED)?;
        let before = core::mem::replace(&mut self.spec, spec);
        let change = match before.kind == spec.kind {
            true => Change::Other,
            false => Change::Edited,
        };
        let published = self.present().and_then(|slots| self.publish(slots, change));
        match published {
            Ok(()) => self
                .members
                .iter()
                .for_each(|m| m.dest.set_label(spec.label)),
            Err(_) => self.spec = before,
        }
        published
    }

    /// Adds a destination that is not there.
    pub(super) fn add(
        &mut self,
        mut member: Member,
        spec: &DestSpec,
        mut pool: Pool<'_>,
    ) -> Outcome {
        let id = member.dest.id();
        let serial = self.last_serial.wrapping_add(1);
        let node = RBTreeNode::new(id, serial, GFP_KERNEL_ACCOUNT)?;
        self.members.reserve(1, GFP_KERNEL_ACCOUNT)?;
        member.serial = serial;
        let (ports, sources) = self.equip(&id, spec.method, pool.by_ref())?;
        member.ports = ports;
        member.dest.set_sources(sources);
        member.dest.join(spec, self.spec.label);
        // There is room for it.
        let _ = self.members.push_within_capacity(member);
        let published = self
            .grown()
            .and_then(|slots| self.publish(slots, Change::Added));
        if published.is_ok() {
            self.serials.insert(node);
            self.last_serial = serial;
        } else if let Some(member) = self.members.pop() {
            member.dest.leave();
            release(pool.sets, &member.ports);
        }
        published
    }

    /// Changes a destination.
    pub(super) fn edit(&mut self, id: &DestId, spec: &DestSpec, mut pool: Pool<'_>) -> Outcome {
        let index = self.position(id).ok_or(NO_DEST)?;
        let (ports, sources) = self.equip(id, spec.method, pool.by_ref())?;
        let (before, mut unused) = self.swap(index, spec, ports);
        let slots = self.present();
        let published = slots.and_then(|slots| self.publish(slots, Change::Edited));
        match (&published, before) {
            (Err(_), Some(before)) => unused = self.swap(index, &before, unused).1,
            _ => {
                if let Some(member) = self.members.get(index) {
                    member.dest.set_sources(sources);
                }
            }
        }
        release(pool.sets, &unused);
        published
    }

    /// Notes that a destination has its method from now on, if that is another than `method`.
    pub(super) fn renew(&mut self, id: &DestId, method: Option<u8>, now: u64) {
        let index = self.position(id);
        let member = index.and_then(|index| self.members.get_mut(index));
        if let Some(member) = member.filter(|m| Some(m.dest.method()) != method) {
            member.since = now;
        }
    }

    /// Puts `spec` and `ports` in place of a member's, which are returned.
    fn swap(
        &mut self,
        index: usize,
        spec: &DestSpec,
        ports: KVVec<Use>,
    ) -> (Option<DestSpec>, KVVec<Use>) {
        let Some(member) = self.members.get_mut(index) else {
            return (None, ports);
        };
        let before = member.dest.spec();
        member.dest.set(spec);
        (Some(before), core::mem::replace(&mut member.ports, ports))
    }

    /// Takes a destination out.
    pub(super) fn remove(&mut self, id: &DestId, sets: &mut PortSets) -> Outcome<Member> {
        let index = self.position(id).ok_or(NO_DEST)?;
        let member = self.members.remove(index).map_err(|_| EINVAL)?;
        // Schedulers count from the newest.
        let change = Change::Removed(self.members.len().saturating_sub(index));
        let slots = self.list(self.members.len());
        let published = slots.and_then(|slots| self.publish(slots, change));
        if let Err(refusal) = published {
            // It goes back to where it was; there is room for it.
            let _ = self.members.insert_within_capacity(index, member);
            return Err(refusal);
        }
        self.serials.remove(id);
        self.retire(&member, sets);
        Ok(member)
    }

    /// Takes all destinations out, when the service goes.
    pub(super) fn remove_all(&mut self, sets: &mut PortSets, mut each: impl FnMut(Member)) {
        let present = &self.service.scheduler;
        let bytes = rcu::read(|rcu| present.get(rcu).map_or(0, |old| old.bytes(None)));
        present.replace_large(None, bytes);
        self.serials = RBTree::new();
        for member in core::mem::take(&mut self.members) {
            self.retire(&member, sets);
            each(member);
        }
    }

    fn retire(&mut self, member: &Member, sets: &mut PortSets) {
        let counts = read(&member.dest.stats);
        self.retired = plus(self.retired, minus(counts, member.joined));
        self.sum.add(member.meter.since(counts));
        release(sets, &member.ports);
        member.dest.leave();
    }

    /// Adds a local address.
    pub(super) fn add_local(&mut self, addr: IpAddr, mut pool: Pool<'_>) -> Outcome {
        let known = self.locals.iter().any(|local| local.addr == addr);
        demand(!known, EEXIST, c"the service has this local address")?;
        let local = LocalAddr {
            addr,
            exhausted: AtomicU64::new(0),
            _quota: SOURCES.take(pool.account)?,
        };
        let local = Arc::new(local, GFP_KERNEL_ACCOUNT)?;
        self.locals.push(local, GFP_KERNEL_ACCOUNT)?;
        let done = self
            .add_ports(addr, pool.by_ref())
            .and_then(|()| self.renew_sources(None));
        if done.is_err() {
            let last = self.locals.len().saturating_sub(1);
            self.remove_source(last, pool.sets);
        }
        done
    }

    /// Gives all members that want it a set of ports on a new local address, the last.
    fn add_ports(&mut self, local: IpAddr, mut pool: Pool<'_>) -> Outcome {
        let proto = self.service.id.proto;
        for member in self.members.iter_mut().filter(|m| m.is_fullnat()) {
            member.ports.reserve(1, GFP_KERNEL_ACCOUNT)?;
            let one = pool.acquire(PortKey::new(proto, local, &member.dest.id()))?;
            // There is room for it.
            let _ = member.ports.push_within_capacity(one);
        }
        Ok(())
    }

    /// Takes away local address number `index`, and the ports on it.
    fn remove_source(&mut self, index: usize, sets: &mut PortSets) {
        let _ = self.locals.remove(index);
        for member in self.members.iter_mut() {
            if let Ok(one) = member.ports.remove(index) {
                sets.release(&one.set);
            }
        }
    }

    /// Removes a local address.
    pub(super) fn remove_local(&mut self, addr: IpAddr, sets: &mut PortSets) -> Outcome {
        let index = self.locals.iter().position(|local| local.addr == addr);
        let index = index.ok_or(NO_LOCAL)?;
        let needed = self.locals.len() == 1 && self.members.iter().any(Member::is_fullnat);
        demand(
            !needed,
            EBUSY,
            c"FULLNAT destinations need this last local address: remove them or add another first",
        )?;
        self.renew_sources(Some(index))?;
        self.remove_source(index, sets);
        Ok(())
    }

    /// Sets of ports for a destination, one on each local address, if the method wants them.
    fn ports_for(&self, id: &DestId, method: u8, mut pool: Pool<'_>) -> Outcome<KVVec<Use>> {
        let mut ports = KVVec::new();
        if !is_fullnat(method) {
            return Ok(ports);
        }
        demand(!self.spec.is_one_packet(), EINVAL, ANSWERED)?;
        demand(
            !self.locals.is_empty(),
            EINVAL,
            c"FULLNAT needs a local address: add one to the service first",
        )?;
        ports.reserve(self.locals.len(), GFP_KERNEL_ACCOUNT)?;
        for local in &self.locals {
            match pool.acquire(PortKey::new(self.service.id.proto, local.addr, id)) {
                // There is room for it.
                Ok(one) => drop(ports.push_within_capacity(one)),
                Err(refusal) => {
                    release(pool.sets, &ports);
                    return Err(refusal);
                }
            }
        }
        Ok(ports)
    }

    /// The same with what packets see of them.
    fn equip(&self, id: &DestId, method: u8, mut pool: Pool<'_>) -> Outcome<(KVVec<Use>, Ready)> {
        let ports = self.ports_for(id, method, pool.by_ref())?;
        match self.sources(&ports, None) {
            Ok(sources) => Ok((ports, sources)),
            Err(refusal) => {
                release(pool.sets, &ports);
                Err(refusal)
            }
        }
    }

    /// What packets see of a destination's ports, but for those on local address number
    /// `without`; nothing if there are none.
    fn sources(&self, ports: &[Use], without: Option<usize>) -> Outcome<Ready> {
        if ports.is_empty() {
            return Ok(None);
        }
        let mut sources = Sources::with_capacity(ports.len(), GFP_KERNEL_ACCOUNT)?;
        let pairs = self.locals.iter().zip(ports).enumerate();
        for (_, (local, one)) in pairs.filter(|(index, _)| Some(*index) != without) {
            let (local, ports) = (local.clone(), one.set.clone());
            // There is room for it.
            let _ = sources.push_within_capacity(Source { local, ports });
        }
        Ok(Some(RcuBox::new(sources, GFP_KERNEL_ACCOUNT)?))
    }

    /// Has packets see the ports of all members, but for those on local address number `without`.
    fn renew_sources(&mut self, without: Option<usize>) -> Outcome {
        let mut all = KVVec::with_capacity(self.members.len(), GFP_KERNEL_ACCOUNT)?;
        for member in &self.members {
            // There is room for it.
            let _ = all.push_within_capacity(self.sources(&member.ports, without)?);
        }
        for (member, sources) in self.members.iter().zip(all) {
            member.dest.set_sources(sources);
        }
        self.changed();
        Ok(())
    }

    /// What packets see of the destinations.
    fn present(&self) -> Outcome<Front<Arc<Dest>>> {
        let slots = rcu::read(|rcu| self.service.scheduler.get(rcu).map(Scheduler::slots));
        Ok(slots.ok_or(ENOENT)?)
    }

    /// The same with the newest member. Most that come cost nothing of what the others cost.
    fn grown(&self) -> Outcome<Front<Arc<Dest>>> {
        let mut slots = self.present()?;
        let newest = self.members.last().ok_or(ENOENT)?;
        match slots.push(newest.dest.clone()) {
            Ok(()) => Ok(slots),
            Err(_) => self.list(self.members.len().saturating_mul(2)),
        }
    }

    /// What packets are to see of the members, with room for so many.
    fn list(&self, capacity: usize) -> Outcome<Front<Arc<Dest>>> {
        let mut slots = Front::with_capacity(capacity, GFP_KERNEL_ACCOUNT)?;
        for member in &self.members {
            // There is room for it.
            let _ = slots.push(member.dest.clone());
        }
        Ok(slots)
    }

    /// What the scheduler remembers, which goes with it.
    fn cache(&self) -> Outcome<Option<Arc<AddrCache>>> {
        let kind = self.spec.kind;
        match rcu::read(|rcu| self.service.scheduler.get(rcu)?.cache_of(kind)) {
            None => Ok(AddrCache::for_kind(kind, &self.part)?),
            present => Ok(present),
        }
    }

    /// Forgets addresses that were not in use for `expiration` seconds. Sleeps.
    pub(super) fn tend_cache(&self, now: Jiffies, expiration: u32) {
        if let Ok(Some(cache)) = self.cache() {
            cache.tend(now, expiration);
        }
    }

    /// Publishes a scheduler of `slots`, which differ from the present ones by `change`.
    fn publish(&mut self, slots: Front<Arc<Dest>>, change: Change) -> Outcome {
        let mut scheduler = Scheduler::build(&self.spec, slots, self.cache()?)?;
        let present = &self.service.scheduler;
        let bytes = rcu::read(|rcu| {
            present.get(rcu).map_or(0, |old| {
                scheduler.follow(old, change);
                old.bytes(Some(&scheduler))
            })
        });
        let boxed = RcuBox::new(scheduler, GFP_KERNEL_ACCOUNT)?;
        present.replace_large(Some(boxed), bytes);
        self.changed();
        Ok(())
    }

    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(1);
    }
}

pub(super) const NO_DEST: Refusal = Refusal {
    error: ENOENT,
    text: c"the service has no such destination",
};

/// The answers of FULLNAT come to the director, which must know where to.
const ANSWERED: &CStr =
    c"one-packet scheduling remembers nothing, and FULLNAT has to: use another method";

const NO_LOCAL: Refusal = Refusal {
    error: ENOENT,
    text: c"the service has no such local address",
};

fn release(sets: &mut PortSets, ports: &[Use]) {
    for one in ports {
        sets.release(&one.set);
    }
}
