// SPDX-License-Identifier: GPL-2.0
//! A service for tests: destinations, table and cursor kept as the module keeps them.

use super::locality::{Cache, Known, Set};
use super::{build, carry, pick, scratch_len, table_len};
use super::{Candidate, Change, Flags, Key, Kind, Nobody, Outside, State};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::collections::HashMap;
use std::string::String;
use std::sync::{Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;

/// A destination whose values the test sets.
#[derive(Clone, Debug)]
pub(crate) struct Dest {
    pub(crate) addr: IpAddr,
    pub(crate) port: u16,
    pub(crate) weight: u32,
    pub(crate) last_weight: u32,
    pub(crate) active: u32,
    pub(crate) total: u32,
    pub(crate) overloaded: bool,
}

impl Dest {
    pub(crate) fn new(addr: impl Into<IpAddr>, port: u16, weight: u32) -> Self {
        Self {
            addr: addr.into(),
            port,
            weight,
            last_weight: weight,
            active: 0,
            total: 0,
            overloaded: false,
        }
    }

    /// Number `number` of many: 10.0.0.1 port 80 is number 0.
    pub(crate) fn numbered(number: u32, weight: u32) -> Self {
        Self::new(Ipv4Addr::from_bits(0x0a00_0001 + number), 80, weight)
    }

    pub(crate) fn with_conns(self, active: u32, total: u32) -> Self {
        Self {
            active,
            total,
            ..self
        }
    }
}

impl Candidate for Dest {
    fn addr(&self) -> IpAddr {
        self.addr
    }
    fn port(&self) -> u16 {
        self.port
    }
    fn weight(&self) -> u32 {
        self.weight
    }
    fn last_weight(&self) -> u32 {
        self.last_weight
    }
    fn active(&self) -> u32 {
        self.active
    }
    fn total(&self) -> u32 {
        self.total
    }
    fn usable(&self) -> bool {
        !self.overloaded
    }
}

/// What is remembered of addresses: the members of each set, and when it changed.
#[derive(Default)]
pub(crate) struct Memory {
    sets: Mutex<HashMap<IpAddr, (Vec<Known>, u32)>>,
    /// Nothing more is taken in.
    pub(crate) is_full: bool,
}

impl Memory {
    fn sets(&self) -> MutexGuard<'_, HashMap<IpAddr, (Vec<Known>, u32)>> {
        self.sets.lock().unwrap()
    }

    /// How many destinations serve `addr`.
    pub(crate) fn members(&self, addr: impl Into<IpAddr>) -> usize {
        let sets = self.sets();
        sets.get(&addr.into())
            .map_or(0, |(members, _)| members.len())
    }
}

impl Cache for Memory {
    fn recall<R>(&self, addr: IpAddr, _: u32, f: impl FnOnce(Set<'_>) -> R) -> Option<R> {
        let sets = self.sets();
        let (members, changed) = sets.get(&addr)?;
        let changed = *changed;
        Some(f(Set { members, changed }))
    }

    fn replace(&self, addr: IpAddr, dest: Known, now: u32) {
        if !self.is_full {
            self.sets().insert(addr, (vec![dest], now));
        }
    }

    fn add(&self, addr: IpAddr, dest: Known, now: u32) {
        let mut sets = self.sets();
        let (members, changed) = sets.entry(addr).or_default();
        if !self.is_full && !members.iter().any(|member| member.is(&dest)) {
            members.push(dest);
            *changed = now;
        }
    }

    fn remove(&self, addr: IpAddr, dest: &Known, now: u32) {
        let mut sets = self.sets();
        let (members, changed) = sets.get_mut(&addr).unwrap();
        assert!(members.len() > 1);
        members.retain(|member| !member.is(dest));
        *changed = now;
    }
}

/// Time and chance as the test sets them.
pub(crate) struct World {
    pub(crate) now: u32,
    pub(crate) expiration: u32,
    /// The random words to come, over and over.
    words: Vec<u64>,
    drawn: AtomicUsize,
}

impl Outside for World {
    fn now(&self) -> u32 {
        self.now
    }
    fn is_stale(&self, time: u32) -> bool {
        self.now - time > self.expiration
    }
    fn random(&self) -> u64 {
        self.words[self.drawn.fetch_add(1, Relaxed) % self.words.len()]
    }
}

/// A service with one scheduler.
pub(crate) struct Service {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) dests: Vec<Dest>,
    pub(crate) table: Vec<u32>,
    pub(crate) cursor: AtomicU64,
    pub(crate) cache: Memory,
    pub(crate) outside: World,
}

impl Service {
    pub(crate) fn new(kind: Kind, dests: Vec<Dest>) -> Self {
        let mut service = Self {
            kind,
            flags: Flags::default(),
            dests,
            table: Vec::new(),
            cursor: AtomicU64::new(0),
            cache: Memory::default(),
            outside: World {
                now: 0,
                expiration: 1_000,
                words: vec![0, 1 << 63, 3 << 62],
                drawn: AtomicUsize::new(0),
            },
        };
        service.rebuild(Change::Edited);
        service
    }

    /// A service of [`Dest::numbered`] with these weights.
    pub(crate) fn weighted(kind: Kind, weights: &[u32]) -> Self {
        let numbered = (0..).zip(weights);
        let dests = numbered.map(|(number, &weight)| Dest::numbered(number, weight));
        Self::new(kind, dests.collect())
    }

    pub(crate) fn rebuild(&mut self, change: Change) {
        let n = self.dests.len();
        self.table = vec![7; table_len(self.kind, n)];
        let mut scratch = vec![7; scratch_len(self.kind, n)];
        build(self.kind, &self.dests, &mut self.table, &mut scratch).unwrap();
        let cursor = self.cursor.get_mut();
        *cursor = carry(self.kind, *cursor, change, &self.table);
    }

    pub(crate) fn add(&mut self, dest: Dest) {
        self.dests.insert(0, dest);
        self.rebuild(Change::Added);
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.dests.remove(index);
        self.rebuild(Change::Removed(index));
    }

    pub(crate) fn set_weight(&mut self, index: usize, weight: u32) {
        let dest = &mut self.dests[index];
        dest.weight = weight;
        if weight > 0 {
            dest.last_weight = weight;
        }
        self.rebuild(Change::Edited);
    }

    /// Lets the next random words be these.
    pub(crate) fn draw(&mut self, words: &[u64]) {
        self.outside.words = words.to_vec();
        self.outside.drawn = AtomicUsize::new(0);
    }

    fn pick_by(&self, key: &Key) -> Result<usize, Nobody> {
        let Self { kind, flags, .. } = *self;
        let state = State {
            table: &self.table,
            cursor: &self.cursor,
            cache: &self.cache,
        };
        pick(kind, flags, &self.dests, state, key, &self.outside)
    }

    pub(crate) fn pick_for(&self, src: impl Into<IpAddr>, sport: u16) -> Option<usize> {
        self.pick_by(&Key {
            src: src.into(),
            sport,
            dst: Ipv6Addr::LOCALHOST.into(),
        })
        .ok()
    }

    pub(crate) fn pick_to(&self, dst: impl Into<IpAddr>) -> Option<usize> {
        self.try_pick_to(dst).ok()
    }

    pub(crate) fn try_pick_to(&self, dst: impl Into<IpAddr>) -> Result<usize, Nobody> {
        self.pick_by(&Key {
            src: Ipv6Addr::LOCALHOST.into(),
            sport: 0,
            dst: dst.into(),
        })
    }

    pub(crate) fn pick(&self) -> Option<usize> {
        self.pick_for(Ipv6Addr::LOCALHOST, 0)
    }

    /// The next `count` picks, a digit each; `-` for none.
    pub(crate) fn picks(&self, count: usize) -> String {
        (0..count).map(|_| digit(self.pick())).collect()
    }
}

/// An index as a digit; `-` for none.
pub(crate) fn digit(pick: Option<usize>) -> char {
    pick.map_or('-', |index| char::from_digit(index as u32, 36).unwrap())
}
