// SPDX-License-Identifier: GPL-2.0

//! Services and their destinations: a configuration behind a mutex, and what packets see of it,
//! which they never wait for.
//!
//! Every function that changes something may sleep. What it refuses, it leaves as it was.

mod bypass;
mod cache;
mod check;
mod counts;
mod dest;
mod entry;
mod estimate;
mod id;
mod label;
mod meter;
mod ports;
mod refusal;
mod scheduler;
mod servers;
mod shown;
mod sources;
mod spec;
mod table;
mod totals;
mod trash;
mod tree;

use core::net::IpAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::{Arc, Mutex};

use self::bypass::Bypass;
use self::entry::{Pool, NO_DEST};
use self::estimate::Round;
use self::ports::PortSets;
use self::refusal::demand;
use self::servers::Servers;
use self::table::{Place, Table};
use self::totals::Totals;
use self::trash::Trash;
use crate::proto;
use crate::sched::persist::{FTP, FTP_DATA};
use crate::sched::Kind;
use crate::sys::net::Net;
use crate::sys::once::Once;
use crate::sys::quota::{Account, Part, REMEMBERED, SERVICES};
use crate::sys::rcu::{self, Rcu};
use crate::sys::route::addr_type;
use crate::sys::time::Jiffies;

pub(crate) use self::counts::row;
pub(crate) use self::dest::{Dest, DestSpec};
pub(crate) use self::entry::{Entry, Member};
pub(crate) use self::id::{DestId, ServiceId};
pub(crate) use self::label::Label;
pub(crate) use self::ports::{Held, PortSet};
pub(crate) use self::refusal::{Outcome, Refusal};
pub(crate) use self::scheduler::{Pick, Service};
pub(crate) use self::sources::{Local, LocalAddr};
pub(crate) use self::spec::ServiceSpec;

/// The network namespace that services are in, as far as they need it.
pub(crate) trait Namespace {
    /// Which it is.
    fn net(&self) -> Net;
    /// Who pays for what it has.
    fn account(&self) -> &Account;
    /// First and last local port of FULLNAT, for sets of ports that are made from now on.
    fn lports(&self) -> (u16, u16);
    /// Starts looking at the packets of a family, unless that is so already. Sleeps, and may
    /// load a module: to be called without a lock.
    fn enable(&self, v6: bool) -> Result;
}

/// Seconds between two looks for what is not used any more.
pub(crate) const SWEEP_INTERVAL: u32 = 5;

/// The services of a network namespace.
///
/// Requests hold `rules`, and may sleep for memory meanwhile. So nobody else waits for it: not
/// the notifier of devices, which runs under the kernel's lock of all devices, not the
/// worker, which others wait for. At the end of the namespace no request is left.
#[pin_data]
pub(crate) struct Services {
    table: Table,
    /// How many there are for IPv4 and for IPv6.
    number: [AtomicU32; 2],
    /// How many of them go by a mark.
    marks: [AtomicU32; 2],
    /// How many of them are at FTP's port.
    ftp: [AtomicU32; 2],
    /// How many are for all ports.
    wildcards: AtomicU32,
    /// How many have an engine that lets real servers call.
    engines: [AtomicU32; 2],
    /// For connections that may go past all destinations, once that is set.
    bypass: Once<Bypass>,
    servers: Servers,
    #[pin]
    rules: Mutex<Rules>,
}

/// The configuration: the rules that an administrator has set.
pub(crate) struct Rules {
    /// By serial number, that is, oldest first.
    entries: RBTree<u64, Entry>,
    last_serial: u64,
    /// How often destinations were added or changed.
    turns: u64,
    /// Changes when a service comes, goes, or is edited.
    pub(crate) generation: u32,
    dest_trash: Trash,
    sets: PortSets,
    /// How many services have a scheduler that remembers addresses.
    caches: usize,
    swept: Jiffies,
    round: Round,
    totals: Totals,
}

impl Services {
    /// No services.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table: Table::new(),
            number: Default::default(),
            marks: Default::default(),
            ftp: Default::default(),
            wildcards: AtomicU32::new(0),
            engines: Default::default(),
            bypass: Once::empty(),
            servers: Servers::new(),
            rules <- new_mutex!(Rules::new(), "rlvs::services"),
        })
    }

    /// The service for a packet with `mark` to `addr` and `port` (host order): in IPVS's order
    /// the one for the mark, the one for this port, FTP's, the one for all ports.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        rcu: &'a Rcu,
        mark: impl FnOnce() -> u32,
        is_privileged: impl FnOnce(u16) -> bool,
        proto: u8,
        (addr, port): (IpAddr, u16),
    ) -> Option<&'a Service> {
        let find = |id| self.table.find(rcu, &id);
        let v6 = addr.is_ipv6();
        if of(&self.marks, v6).load(Ordering::Relaxed) != 0 {
            let mark = Some(mark()).filter(|&mark| mark != 0);
            let marked = mark.and_then(|mark| find(ServiceId::marked(mark, v6)));
            if marked.is_some() {
                return marked;
            }
        }
        let exact = find(ServiceId::at(proto, addr, port));
        if exact.is_some() {
            return exact;
        }
        if of(&self.ftp, v6).load(Ordering::Relaxed) != 0 {
            // Data connections, to a port that either end may have chosen.
            let data = || port == FTP_DATA || !is_privileged(port);
            let wanted = (proto::carries_ftp(proto) && data()).then_some(FTP);
            let ftp = wanted.and_then(|port| find(ServiceId::at(proto, addr, port)));
            if ftp.is_some() {
                return ftp;
            }
        }
        if self.wildcards.load(Ordering::Relaxed) == 0 {
            return None;
        }
        find(ServiceId::at(proto, addr, 0))
    }

    /// Whether a family has no services.
    #[inline]
    pub(crate) fn is_empty(&self, v6: bool) -> bool {
        of(&self.number, v6).load(Ordering::Relaxed) == 0
    }

    /// Looks at the configuration, which stands still meanwhile. May sleep, `f` must not.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&Rules) -> R) -> R {
        f(&self.rules.lock())
    }

    /// Looks at one service.
    pub(crate) fn entry<R>(&self, id: &ServiceId, f: impl FnOnce(&Entry) -> R) -> Outcome<R> {
        self.read(|rules| self.entry_in(rules, id).map(f))
    }

    /// The service `id` in `rules`.
    pub(crate) fn entry_in<'a>(&self, rules: &'a Rules, id: &ServiceId) -> Outcome<&'a Entry> {
        let serial = self.serial(id)?;
        rules.entries.get(&serial).ok_or(NO_SERVICE)
    }

    fn entry_mut<'a>(&self, rules: &'a mut Rules, id: &ServiceId) -> Outcome<&'a mut Entry> {
        let serial = self.serial(id)?;
        rules.entries.get_mut(&serial).ok_or(NO_SERVICE)
    }

    fn serial(&self, id: &ServiceId) -> Outcome<u64> {
        let serial = rcu::read(|rcu| self.table.find(rcu, id).map(|service| service.serial));
        serial.ok_or(NO_SERVICE)
    }

    /// Adds a service.
    pub(crate) fn add(&self, ns: &impl Namespace, id: ServiceId, spec: ServiceSpec) -> Outcome {
        check::service_id(&id)?;
        check::service(&id, &spec)?;
        // Before the lock: it may load a module.
        ns.enable(id.addr.is_ipv6())?;
        let mut rules = self.rules.lock();
        demand(self.serial(&id).is_err(), EEXIST, c"the service exists")?;
        rules.totals.prepare()?;
        let serial = rules.last_serial.wrapping_add(1);
        let part = Part::new(&REMEMBERED, ns.account());
        let scheduler = Entry::empty_scheduler(&spec, &part)?;
        let service = Service {
            id,
            serial,
            scheduler,
            _quota: SERVICES.take(ns.account())?,
        };
        let service = Arc::new(service, GFP_KERNEL_ACCOUNT)?;
        let entry = Entry::new(service.clone(), spec, part);
        let node = RBTreeNode::new(serial, entry, GFP_KERNEL_ACCOUNT)?;
        let others = rules.entries.values().map(|entry| &entry.service);
        self.table.insert(&service, others, self.len())?;
        rules.last_serial = serial;
        rules.entries.insert(node);
        rules.count_caches(None, Some(spec.kind));
        rules.changed();
        self.count(&id, |number| number.wrapping_add(1));
        self.count_engine(id.addr.is_ipv6(), None, spec.engine);
        Ok(())
    }

    /// How many services there are.
    pub(crate) fn len(&self) -> usize {
        let numbers = self.number.iter().map(|n| n.load(Ordering::Relaxed));
        // CAST: a number of things in memory.
        numbers.fold(0, |sum, number| sum.saturating_add(number as usize))
    }

    /// Counts a service that has come or gone. The configuration's mutex is held.
    fn count(&self, id: &ServiceId, f: impl Fn(u32) -> u32) {
        let step =
            |number: &AtomicU32| number.store(f(number.load(Ordering::Relaxed)), Ordering::Relaxed);
        let v6 = id.addr.is_ipv6();
        step(of(&self.number, v6));
        if id.is_marked() {
            step(of(&self.marks, v6));
        }
        if id.is_ftp() {
            step(of(&self.ftp, v6));
        }
        if id.is_wildcard() {
            step(&self.wildcards);
        }
    }

    /// Changes a service; `spec` is made from what it was. Says whether its packets get another label.
    pub(crate) fn set(
        &self,
        id: &ServiceId,
        spec: impl FnOnce(&ServiceSpec) -> ServiceSpec,
    ) -> Outcome<bool> {
        let mut rules = self.rules.lock();
        let entry = self.entry_mut(&mut rules, id)?;
        let before = entry.spec;
        let spec = spec(&entry.spec);
        check::service(id, &spec)?;
        entry.set_spec(spec)?;
        rules.count_caches(Some(before.kind), Some(spec.kind));
        self.count_engine(id.addr.is_ipv6(), before.engine, spec.engine);
        rules.changed();
        Ok(before.label != spec.label)
    }

    /// Removes a service. Its connections stay, and come back to life with it.
    pub(crate) fn remove(&self, id: &ServiceId) -> Outcome {
        let mut rules = self.rules.lock();
        let service = self.entry_in(&rules, id)?.service.clone();
        self.table.remove(&service)?;
        self.count(id, |number| number.wrapping_sub(1));
        if let Some(mut entry) = rules.entries.remove(&service.serial) {
            self.count_engine(id.addr.is_ipv6(), entry.spec.engine, None);
            rules.trash_dests(&mut entry);
        }
        rules.changed();
        Ok(())
    }

    /// Removes all services.
    pub(crate) fn flush(&self) {
        let mut rules = self.rules.lock();
        self.table.clear();
        let numbers = [&self.number, &self.marks, &self.ftp, &self.engines];
        let numbers = numbers.into_iter().flatten();
        for number in Iterator::chain(numbers, [&self.wildcards]) {
            number.store(0, Ordering::Relaxed);
        }
        let mut entries = core::mem::replace(&mut rules.entries, RBTree::new());
        for entry in entries.values_mut() {
            rules.trash_dests(entry);
            rcu::cond_resched();
        }
        rules.changed();
    }

    /// Lets the counters of one service, or of all, start at zero. Only these start the totals at zero, as in IPVS.
    pub(crate) fn zero(&self, id: Option<&ServiceId>) -> Outcome {
        let mut rules = self.rules.lock();
        match id {
            Some(id) => {
                let came = self.entry_mut(&mut rules, id)?.zero();
                rules.totals.add(came);
            }
            None => {
                rules
                    .entries
                    .values_mut()
                    .for_each(|entry| _ = entry.zero());
                rules.zero_totals();
            }
        }
        Ok(())
    }

    /// Adds a destination to a service.
    pub(crate) fn add_dest(
        &self,
        ns: &impl Namespace,
        service: &ServiceId,
        id: DestId,
        spec: &DestSpec,
    ) -> Outcome {
        let crosses = id.addr.is_ipv6() != service.addr.is_ipv6();
        let known = self.serial(service).is_ok();
        if crosses && known {
            // Errors about a tunnel come by its own family. Before the lock, as above.
            ns.enable(id.addr.is_ipv6())?;
        }
        let mut rules = self.rules.lock();
        let entry = self.entry_in(&rules, service)?;
        demand(
            known || !crosses,
            EAGAIN,
            c"the service came this moment: try again",
        )?;
        demand(!entry.has(&id), EEXIST, c"the service has this destination")?;
        check::room(ns.net(), entry.members().len())?;
        check::dest(service, &id, spec)?;
        let kind = addr_type(&ns.net(), id.addr);
        check::dest_addr(id.addr, kind, spec)?;
        let serial = self.serial(service)?;
        let member = rules.take_dest(ns.account(), service, serial, id)?;
        let now = rules.turn();
        let (entry, pool) = self.parts(&mut rules, ns, service)?;
        entry.add(member, spec, pool)?;
        entry.renew(&id, None, now);
        if let Some(back) = rules.dest_trash.remove(*service, id) {
            rules.totals.moved(&back.stats, false);
        }
        // It may have come back with its rates.
        rules.round.look();
        Ok(())
    }

    /// Changes a destination; `spec` is made from what it was.
    pub(crate) fn set_dest(
        &self,
        ns: &impl Namespace,
        service: &ServiceId,
        id: &DestId,
        spec: impl FnOnce(&DestSpec) -> DestSpec,
    ) -> Outcome {
        let mut rules = self.rules.lock();
        let now = rules.turn();
        let (entry, pool) = self.parts(&mut rules, ns, service)?;
        let before = entry.dest_spec(id).ok_or(NO_DEST)?;
        let spec = spec(&before);
        check::dest(service, id, &spec)?;
        if spec.method != before.method {
            check::dest_addr(id.addr, addr_type(&ns.net(), id.addr), &spec)?;
        }
        entry.edit(id, &spec, pool)?;
        entry.renew(id, Some(before.method), now);
        Ok(())
    }

    /// Removes a destination. Its connections stay, and come back to life with it.
    pub(crate) fn remove_dest(&self, service: &ServiceId, id: &DestId) -> Outcome {
        let mut rules = self.rules.lock();
        let rules = &mut *rules;
        let serial = self.serial(service)?;
        let entry = rules.entries.get_mut(&serial).ok_or(NO_SERVICE)?;
        let member = entry.remove(id, &mut rules.sets)?;
        rules.totals.moved(&member.dest.stats, true);
        rules.dest_trash.put(*service, serial, member);
        Ok(())
    }

    /// Adds a local address, from which FULLNAT talks to the service's destinations.
    pub(crate) fn add_local(
        &self,
        ns: &impl Namespace,
        service: &ServiceId,
        addr: IpAddr,
    ) -> Outcome {
        let mut rules = self.rules.lock();
        let (entry, pool) = self.parts(&mut rules, ns, service)?;
        check::local_addr(service, addr, addr_type(&ns.net(), addr))?;
        entry.add_local(addr, pool)
    }

    /// Removes a local address. The connections that use it stay.
    pub(crate) fn remove_local(&self, service: &ServiceId, addr: IpAddr) -> Outcome {
        let mut rules = self.rules.lock();
        let rules = &mut *rules;
        let serial = self.serial(service)?;
        let entry = rules.entries.get_mut(&serial).ok_or(NO_SERVICE)?;
        entry.remove_local(addr, &mut rules.sets)
    }

    /// What a change of a service's destinations works on.
    fn parts<'a>(
        &self,
        rules: &'a mut Rules,
        ns: &'a impl Namespace,
        service: &ServiceId,
    ) -> Outcome<(&'a mut Entry, Pool<'a>)> {
        let serial = self.serial(service)?;
        let entry = rules.entries.get_mut(&serial).ok_or(NO_SERVICE)?;
        let pool = Pool {
            sets: &mut rules.sets,
            account: ns.account(),
            range: ns.lports(),
        };
        Ok((entry, pool))
    }

    /// Lets go of the ways to all destinations; they are looked up again. It waits for no
    /// request: whoever calls holds what requests may wait for. Sleeps.
    ///
    /// A destination that was removed has no way, and gets none: see [`Dest::keep_path`].
    pub(crate) fn forget_paths(&self) {
        let mut next = Some(Place::default());
        while let Some(place) = next {
            next = rcu::read(|rcu| {
                self.table
                    .visit(rcu, place, |service| service.forget_paths(rcu))
            });
            rcu::cond_resched();
        }
    }

    /// Forgets what nobody has used for a while; says whether nothing is left that will be
    /// forgotten. To be called every few seconds, or more often: it does something after
    /// [`SWEEP_INTERVAL`]. It waits for no request. Sleeps.
    ///
    /// `expiration` says for how many seconds a scheduler remembers an address.
    pub(crate) fn sweep(&self, expiration: impl Fn(Kind) -> u32) -> bool {
        let swept = self
            .rules
            .try_lock()
            .map(|mut rules| rules.sweep(expiration));
        let Some(idle) = swept else {
            return false;
        };
        if idle {
            rcu::synchronize();
        }
        self.rules.try_lock().is_some_and(|mut rules| {
            if idle {
                rules.sets.drop_idle();
            }
            rules.is_tidy()
        })
    }
}

/// The one of a family.
#[inline(always)]
fn of(numbers: &[AtomicU32; 2], v6: bool) -> &AtomicU32 {
    let [number4, number6] = numbers;
    if v6 {
        number6
    } else {
        number4
    }
}

const NO_SERVICE: Refusal = Refusal {
    error: ESRCH,
    text: c"there is no such service",
};

impl Rules {
    fn new() -> Self {
        Self {
            entries: RBTree::new(),
            last_serial: 0,
            turns: 0,
            generation: 1,
            dest_trash: Trash::new(),
            sets: PortSets::new(),
            caches: 0,
            swept: Jiffies::now(),
            round: Round::new(),
            totals: Totals::default(),
        }
    }

    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.round.look();
    }

    /// A number that is larger with each change of a destination.
    fn turn(&mut self) -> u64 {
        self.turns = self.turns.wrapping_add(1);
        self.turns
    }

    /// The service with this serial number, unless it is gone.
    pub(crate) fn get(&self, serial: u64) -> Option<&Entry> {
        self.entries.get(&serial)
    }

    /// Calls `f` with the services after `serial`, oldest first, until it fails.
    pub(crate) fn each_after<E>(
        &self,
        mut serial: u64,
        mut f: impl FnMut(u64, &Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(next) = self.entries.cursor_lower_bound(&serial.wrapping_add(1)) {
            let (&number, entry) = next.current();
            f(number, entry)?;
            serial = number;
        }
        Ok(())
    }

    /// Forgets old destinations and addresses, and says whether there are sets of ports to drop
    /// after a grace period.
    fn sweep(&mut self, expiration: impl Fn(Kind) -> u32) -> bool {
        let now = Jiffies::now();
        if now.since(self.swept) < Jiffies::seconds(SWEEP_INTERVAL) {
            return false;
        }
        self.swept = now;
        self.dest_trash.sweep(now);
        if self.caches != 0 {
            let entries = self.entries.values();
            entries.for_each(|entry| entry.tend_cache(now, expiration(entry.spec.kind)));
        }
        self.sets.find_idle()
    }

    /// Whether all that there is is in use.
    fn is_tidy(&self) -> bool {
        self.dest_trash.is_empty() && self.sets.all_used() && self.caches == 0
    }

    /// Counts the caches of a service that comes, goes, or changes its scheduler.
    fn count_caches(&mut self, gone: Option<Kind>, come: Option<Kind>) {
        let count = |kind: Option<Kind>| usize::from(kind.is_some_and(Kind::has_cache));
        let more = self.caches.saturating_add(count(come));
        self.caches = more.saturating_sub(count(gone));
    }

    /// A destination for the service with number `serial`: the one that was removed lately, with
    /// its connections, or a new one.
    fn take_dest(
        &self,
        account: &Account,
        service: &ServiceId,
        serial: u64,
        id: DestId,
    ) -> Outcome<Member> {
        if let Some(trashed) = self.dest_trash.get(*service, id) {
            let mine = trashed.owner == serial;
            let before = mine.then_some((trashed.zero, trashed.rates));
            return Ok(Member::new(trashed.dest.clone(), before));
        }
        let dest = Arc::new(Dest::new(account, id)?, GFP_KERNEL_ACCOUNT)?;
        Ok(Member::new(dest, None))
    }
}
