// SPDX-License-Identifier: GPL-2.0

//! The director: all that rlvs keeps in one network namespace.

use core::sync::atomic::{fence, AtomicBool, AtomicU64, Ordering};
use kernel::prelude::*;

use crate::config::{Config, Follow, Sysctls};
use crate::expiry::pace::Pace;
use crate::expiry::rank::Kind;
use crate::flow::expire::Round;
use crate::flow::Flows;
use crate::service::{Namespace, Services, SWEEP_INTERVAL};
use crate::sys::net::Net;
use crate::sys::netdev::Departures;
use crate::sys::netns::{self, PerNet};
use crate::sys::once::Once;
use crate::sys::quota::{Account, Taken, SERVICES};
use crate::sys::rcu;
use crate::sys::sysctl::Reading;
use crate::sys::time::{Jiffies, HZ};
use crate::sys::worker::Job;

/// How long the worker waits between two runs.
const INTERVAL: Jiffies = Jiffies(HZ / 4);
/// And at least, however often it is called.
const SOON: Jiffies = Jiffies(HZ / 50);
/// So many buckets make tables large.
const MANY_BUCKETS: u64 = 1 << 18;

/// New connections that were turned away, by reason.
#[derive(Default)]
pub(crate) struct Drops {
    /// The table holds as many flows as it may.
    pub(crate) limit: AtomicU64,
    /// No local port was left (FULLNAT), or the addresses at the real server are taken.
    pub(crate) ports: AtomicU64,
    /// No memory.
    pub(crate) nomem: AtomicU64,
}

/// Known connections that gave way to new ones, by what they were.
#[derive(Default)]
pub(crate) struct Displaced {
    /// Closed or reset.
    pub(crate) over: AtomicU64,
    /// A SYN that nothing followed.
    pub(crate) half_open: AtomicU64,
    /// UDP that nobody had answered.
    pub(crate) one_way: AtomicU64,
    /// Neither end was known to be there.
    pub(crate) unconfirmed: AtomicU64,
    /// Templates without connections.
    pub(crate) templates: AtomicU64,
}

impl Displaced {
    /// Counts one; says how many of its kind that makes.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        let counter = match kind {
            Kind::Closed | Kind::TimeWait | Kind::Leaving => &self.over,
            Kind::HalfOpen | Kind::Opening => &self.half_open,
            Kind::OneWay => &self.one_way,
            Kind::Unconfirmed => &self.unconfirmed,
            Kind::Untried | Kind::Heard | Kind::Remembered => &self.templates,
        };
        counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// What a network namespace has of rlvs; fields stand in drop order.
#[pin_data]
pub(crate) struct Director {
    net: Net,
    _sysctls: Sysctls<Conns>,
    /// What the administrator set.
    pub(crate) config: Config,
    /// Known connections; they refer to destinations.
    #[pin]
    pub(crate) flows: Flows,
    /// Services and their destinations.
    #[pin]
    pub(crate) services: Services,
    /// New connections that were turned away.
    pub(crate) drops: Drops,
    /// Connections that gave way to them.
    pub(crate) displaced: Displaced,
    /// What the families' tables have of the quota.
    tables: [Once<Taken>; 2],
    /// The time-outs have changed: every flow is to be looked at.
    retimed: AtomicBool,
    /// Destinations were removed, and their connections are to end.
    orphaned: AtomicBool,
    /// How often every flow is looked at, whoever asks for it.
    pace: Pace,
    /// The worker will run soon.
    hurried: AtomicBool,
    /// How often the worker ran.
    runs: AtomicU64,
    /// Who pays for all this.
    account: Account,
}

/// So many flows may wait for their memory to be freed besides as many as there may be.
const SWAMP: u64 = 1 << 14;

impl Director {
    /// The namespace.
    pub(crate) fn net(&self) -> Net {
        self.net
    }

    /// Makes all marks void; those that are earned from now on count. Sleeps.
    pub(crate) fn recheck(&self) {
        self.flows.gate.close();
        self.open_gate();
    }

    /// Makes all ways void, too.
    fn reroute(&self) {
        // ORDERING: between the setting and the ways; who keeps one looks the other way round.
        fence(Ordering::SeqCst);
        self.services.forget_paths();
        self.recheck();
    }

    /// Makes it possible that connections go past all destinations, if that is set. Without
    /// memory they are refused, until a change or the worker, whom they call, has found some.
    fn open_bypass(&self) {
        if self.config.cache_bypass() {
            let _ = self.services.open_bypass(&self.account);
        }
    }

    /// Whether packets ask who is a real server.
    fn lists_servers(&self) -> bool {
        let services = &self.services;
        self.config.nat_icmp_send() || services.call_out(false) || services.call_out(true)
    }

    /// Has the worker list the real servers, or forget them, as is set.
    fn list_servers(&self) {
        self.services.servers_changed();
        self.nudge_worker(INTERVAL);
    }

    /// Takes over the modes of defences, and has the worker look after them.
    fn defend(&self) {
        self.flows.defence.update(&self.config);
        self.nudge_worker(INTERVAL);
    }

    /// Looks after the defences once a second, while there is something to defend (IPVS: as
    /// long as there are services); says when to come again.
    fn guard(&self) -> Option<Jiffies> {
        let served = !self.services.is_empty(false) || !self.services.is_empty(true);
        let on = served && self.config.is_guarded();
        on.then(|| self.flows.guard())
    }

    /// Has the worker open the gate, where there is something behind it.
    fn reopen(&self) {
        if self.flows.ways.is_open() {
            self.nudge_worker(SOON);
        }
    }

    fn open_gate(&self) {
        self.flows.gate.open(|| self.config.early());
    }

    /// Has the worker run within `delay`, however often that is asked for. Whoever rules a
    /// namespace may ask as often as he likes, and must not keep a thread busy by it.
    fn nudge_worker(&self, delay: Jiffies) {
        netns::nudge::<Self>(&self.net, delay);
    }

    /// Makes the worker run now, for those who ask once in many packets; callable from softirqs.
    pub(crate) fn wake_worker(&self) {
        netns::kick::<Self>(&self.net, Jiffies(0));
    }

    /// Has the worker run soon; for those who may ask with each packet that comes.
    pub(crate) fn hurry_worker(&self) {
        if !self.hurried.load(Ordering::Relaxed) && !self.hurried.swap(true, Ordering::Relaxed) {
            self.nudge_worker(SOON);
        }
    }

    /// Says that the configuration has changed, so that the worker looks after it.
    pub(crate) fn changed(&self) {
        self.open_bypass();
        if self.config.nat_icmp_send() || self.services.servers_matter() {
            self.services.servers_changed();
            if !self.services.list_few_servers(|| self.lists_servers()) {
                self.hurry_worker();
            }
        }
        self.nudge_worker(INTERVAL);
    }

    /// Says that time-outs have changed, which may be over for flows that had longer ones.
    pub(crate) fn retimed(&self) {
        self.retimed.store(true, Ordering::Release);
        if self.conns() != 0 {
            self.nudge_worker(SOON);
        }
    }

    /// Says that destinations were removed. Their connections end if that is set (IPVS:
    /// `expire_nodest_conn` has them flushed in the background).
    pub(crate) fn bereaved(&self) {
        if self.config.expire_nodest_conn() && self.conns() != 0 {
            self.orphaned.store(true, Ordering::Release);
            self.nudge_worker(SOON);
        }
    }

    /// What the worker has to look at, which is said once. Every flow is looked at again when it
    /// has rested from the last time.
    fn round(&self) -> Round {
        if self.pace.left(Jiffies::now().0, HZ) != 0 {
            return Round::Due;
        }
        let all = self.retimed.swap(false, Ordering::Acquire);
        match self.orphaned.swap(false, Ordering::Acquire) {
            true => Round::Orphans,
            false if all => Round::All,
            false => Round::Due,
        }
    }

    /// One share of the upkeep of connections; says whether something is left to free.
    fn tend(&self) -> bool {
        let (round, begun) = (self.round(), Jiffies::now());
        let left = self.flows.tend(round);
        if round == Round::Orphans {
            // Templates may have lost their last connection behind the look.
            self.retimed.store(true, Ordering::Relaxed);
        }
        if round != Round::Due {
            self.pace.done(begun.0, Jiffies::now().0, HZ);
        }
        left
    }

    /// When the worker is to come again because every flow is to be looked at, if it is.
    fn next_round(&self) -> Option<Jiffies> {
        let asked = [&self.retimed, &self.orphaned];
        let any = asked.into_iter().any(|flag| flag.load(Ordering::Relaxed));
        let left = self.pace.left(Jiffies::now().0, HZ);
        (any && self.conns() != 0).then_some(Jiffies(left).max(SOON))
    }

    /// How often the worker ran.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Flows of both families.
    pub(crate) fn conns(&self) -> u64 {
        self.flows.len()
    }

    /// Whether there are as many flows as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.is_at_limit() || self.flows.v4.is_full()
    }

    /// Whether there are as many flows as the namespace itself may have, or what takes as much
    /// memory.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.flows.weight() >= self.config.conn_max()
    }

    /// Whether so many flows have given way that their memory could not be freed yet: as many
    /// again as there may be, and some.
    pub(crate) fn is_swamped(&self) -> bool {
        self.flows.dead() > self.config.conn_max().saturating_add(SWAMP)
    }

    /// How long the worker pauses. A round through large tables takes a while, and what is in
    /// them ends soon enough if there is one a second.
    fn interval(&self) -> Jiffies {
        if self.flows.buckets() > MANY_BUCKETS {
            Jiffies(HZ)
        } else {
            INTERVAL
        }
    }
}

impl Namespace for Director {
    fn net(&self) -> Net {
        self.net
    }

    fn account(&self) -> &Account {
        &self.account
    }

    fn lports(&self) -> (u16, u16) {
        self.config.lports()
    }

    fn enable(&self, v6: bool) -> Result {
        netns::enable::<Self>(&self.net, v6)?;
        self.open_gate();
        Ok(())
    }
}

/// What follows when somebody writes a setting.
const FOLLOW: Follow = Follow {
    early: |net| follow(net, Director::recheck),
    ways: |net| follow(net, Director::reroute),
    bypass: |net| follow(net, Director::open_bypass),
    servers: |net| follow(net, Director::list_servers),
    estimation: |net| follow(net, |director| director.nudge_worker(INTERVAL)),
    defence: |net| follow(net, Director::defend),
};

fn follow(net: &Net, what: impl FnOnce(&Director)) {
    if let Some(director) = netns::get::<Director>(net) {
        what(director);
    }
}

/// `conns`: the number of connections.
struct Conns;

impl Reading for Conns {
    const NAME: &'static CStr = c"conns";

    fn read(net: &Net) -> u64 {
        netns::get::<Director>(net).map_or(0, Director::conns)
    }
}

impl PerNet for Director {
    fn new(net: Net) -> Result<impl PinInit<Self, Error>> {
        let config = Config::new(net, &FOLLOW)?;
        let sysctls = config.publish(net)?;
        let account = Account::new(net)?;
        let flows = Flows::new(net, &account, config.clone())?;
        Ok(try_pin_init!(Self {
            net,
            _sysctls: sysctls,
            config,
            flows <- flows,
            services <- Services::new(),
            drops: Drops::default(),
            displaced: Displaced::default(),
            tables: [const { Once::empty() }; 2],
            retimed: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            pace: Pace::default(),
            hurried: AtomicBool::new(false),
            runs: AtomicU64::new(0),
            account,
        }? Error))
    }

    fn open(&self, v6: bool) -> Result {
        let table = self.tables.get(usize::from(v6));
        if let Some(room) = table.filter(|room| room.get().is_none()) {
            room.put(KVBox::new(
                SERVICES.take(&self.account)?,
                GFP_KERNEL_ACCOUNT,
            )?);
        }
        self.flows.open(v6)
    }
}

impl Departures for Director {
    /// Routes are kept, and a route may hold its device.
    fn device_gone(&self) {
        self.flows.gate.close();
        self.flows.ways.clear();
        self.services.forget_paths();
        self.reopen();
    }

    fn address_gone(&self) {
        self.flows.gate.close();
        self.reopen();
    }
}

impl Job for Director {
    /// Fits the tables to their load and clears away what is over, four times a second while
    /// there are flows, once with large tables; and takes the samples for rates. It waits for no lock that a request holds.
    fn run(&self) -> Option<Jiffies> {
        self.hurried.store(false, Ordering::Relaxed);
        self.runs.fetch_add(1, Ordering::Relaxed);
        let left = self.tend();
        self.open_gate();
        self.open_bypass();
        let tidy = self.services.sweep(|kind| self.config.expiration(kind));
        let (on, idle) = (self.config.run_estimation(), self.conns() == 0);
        let rates = self.services.estimate(on, idle, self.interval());
        let listed = self.services.list_servers(|| self.lists_servers());
        let guard = self.guard();
        let rest = self.flows.rest();
        let wanted = if left || !rest {
            rcu::read(|rcu| self.flows.ways.sweep(rcu));
            Some(self.interval())
        } else {
            // Nobody needs the ways, and nobody would look after them.
            self.flows.ways.clear();
            let again = (!listed).then(|| self.interval()).or(guard);
            again.or((!tidy).then_some(Jiffies::seconds(SWEEP_INTERVAL)))
        };
        let asked = Iterator::chain(rates.into_iter(), self.next_round());
        Iterator::chain(wanted.into_iter(), asked).min()
    }
}
