// SPDX-License-Identifier: GPL-2.0

//! Which destinations serve which addresses: what lblc and lblcr remember of a service's
//! packets, as long as it has this scheduler.
//!
//! Packets make it grow, so it has a bound of its own, and in users' namespaces takes from a
//! quota. Without memory for another address a connection is scheduled and not remembered.

use core::net::IpAddr;
use kernel::alloc::{flags::__GFP_NOWARN, Flags};
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;

use crate::sched::locality::{Cache, Check, Known, Set, Upkeep, CHECK_INTERVAL, MOST};
use crate::sched::Kind;
use crate::sys::lock::BhLock;
use crate::sys::quota::Part;
use crate::sys::rcu;
use crate::sys::time::Jiffies;

/// Addresses that are looked at in one go, while packets wait for the lock.
const PIECE: usize = 64;

/// What is remembered for a service.
#[pin_data]
pub(super) struct AddrCache {
    #[pin]
    store: BhLock<Store>,
}

struct Store {
    entries: RBTree<IpAddr, Entry>,
    /// How many entries there are.
    len: usize,
    /// How many members they have together.
    members: usize,
    part: Part,
    upkeep: Upkeep,
    checked: Jiffies,
    /// Where the next check begins.
    rover: Option<IpAddr>,
}

/// What is remembered of an address.
struct Entry {
    /// Oldest first.
    members: KVec<Known>,
    used: Jiffies,
    changed: u32,
}

impl AddrCache {
    /// One for a scheduler that needs it.
    pub(super) fn for_kind(kind: Kind, part: &Part) -> Result<Option<Arc<Self>>> {
        if !kind.has_cache() {
            return Ok(None);
        }
        let store = Store::new(part.clone());
        let cache = pin_init!(Self { store <- BhLock::new(store) });
        Arc::pin_init(cache, GFP_KERNEL_ACCOUNT).map(Some)
    }

    /// The bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<(IpAddr, Entry)>();
        self.store.with(|store| store.members.saturating_mul(entry))
    }

    /// Takes away what was not in use for a while, if it is time to look: as IPVS does, with
    /// `expiration` in seconds. Sleeps.
    pub(super) fn tend(&self, now: Jiffies, expiration: u32) {
        let Some((mut check, mut left)) = self.store.with(|store| store.due(now, expiration))
        else {
            return;
        };
        while left > 0 && check.most > 0 {
            let piece = left.min(PIECE);
            self.store.with(|store| store.clear(now, &mut check, piece));
            left = left.saturating_sub(piece);
            rcu::cond_resched();
        }
    }
}

impl Store {
    fn new(part: Part) -> Self {
        Self {
            entries: RBTree::new(),
            len: 0,
            members: 0,
            part,
            upkeep: Upkeep::default(),
            checked: Jiffies::now(),
            rover: None,
        }
    }

    /// The check that is due now, and how many entries there are to look at.
    fn due(&mut self, now: Jiffies, expiration: u32) -> Option<(Check, usize)> {
        let interval = Jiffies::seconds(CHECK_INTERVAL).0;
        let late = now.since(self.checked).0.checked_sub(interval)?;
        // The next one is due when it would be if this one were not late.
        let late = late.checked_rem(interval).unwrap_or(0);
        self.checked = Jiffies(now.0.wrapping_sub(late));
        let check = self.upkeep.next(self.len, expiration)?;
        Some((check, self.len))
    }

    /// Does some steps of a check.
    fn clear(&mut self, now: Jiffies, check: &mut Check, steps: usize) {
        for _ in 0..steps {
            let Some((addr, used)) = self.step() else {
                return;
            };
            if now.since(used) >= Jiffies::seconds(check.idle) {
                self.forget(&addr);
                check.most = check.most.saturating_sub(1);
            }
            if check.most == 0 {
                return;
            }
        }
    }

    /// The next address, and when it was used; after the last comes the first.
    fn step(&mut self) -> Option<(IpAddr, Jiffies)> {
        let rover = self.rover.as_ref();
        let ahead = rover.and_then(|addr| self.entries.cursor_lower_bound(addr));
        let cursor = ahead.or_else(|| self.entries.cursor_front())?;
        let (&addr, entry) = cursor.current();
        let (used, next) = (entry.used, cursor.peek_next().map(|(&next, _)| next));
        self.rover = next;
        Some((addr, used))
    }

    fn forget(&mut self, addr: &IpAddr) {
        if let Some(entry) = self.entries.remove(addr) {
            self.len = self.len.saturating_sub(1);
            self.count_out(entry.members.len());
        }
    }

    /// Counts another member, if there may be one more.
    fn count_in(&mut self) -> Option<()> {
        if self.part.is_used_up() {
            return None;
        }
        self.part.add(1);
        self.members = self.members.saturating_add(1);
        Some(())
    }

    fn count_out(&mut self, number: usize) {
        self.part.sub(number);
        self.members = self.members.saturating_sub(number);
    }

    /// Takes in an address that is not there.
    fn insert(&mut self, addr: IpAddr, dest: Known, now: u32) -> Option<()> {
        if self.len >= MOST {
            return None;
        }
        let mut members = KVec::with_capacity(1, atomic()).ok()?;
        members.push_within_capacity(dest).ok()?;
        let entry = Entry {
            members,
            used: Jiffies(now),
            changed: now,
        };
        let node = RBTreeNode::new(addr, entry, atomic()).ok()?;
        self.count_in()?;
        self.entries.insert(node);
        self.len = self.len.saturating_add(1);
        Some(())
    }

    /// Puts `dest` in place of those that serve `addr`.
    fn replace(&mut self, addr: IpAddr, dest: Known, now: u32) -> Option<()> {
        let Some(entry) = self.entries.get_mut(&addr) else {
            return self.insert(addr, dest, now);
        };
        *entry.members.first_mut()? = dest;
        entry.used = Jiffies(now);
        Some(())
    }

    /// Adds `dest` to those that serve `addr`, unless it is one of them.
    fn add(&mut self, addr: IpAddr, dest: Known, now: u32) -> Option<()> {
        let Some(entry) = self.entries.get(&addr) else {
            return self.insert(addr, dest, now);
        };
        if entry.members.iter().any(|member| member.is(&dest)) {
            return None;
        }
        self.count_in()?;
        let entry = self.entries.get_mut(&addr)?;
        if entry.members.push(dest, atomic()).is_err() {
            self.count_out(1);
            return None;
        }
        entry.changed = now;
        Some(())
    }

    /// Takes `dest` from those that serve `addr`, unless it is the only one.
    fn remove(&mut self, addr: &IpAddr, dest: &Known, now: u32) -> Option<()> {
        let entry = self.entries.get_mut(addr)?;
        let place = entry.members.iter().position(|member| member.is(dest))?;
        if entry.members.len() > 1 {
            entry.members.remove(place).ok()?;
            entry.changed = now;
            self.count_out(1);
        }
        Some(())
    }
}

/// How packets get memory; that there is none is no news.
fn atomic() -> Flags {
    GFP_ATOMIC | __GFP_NOWARN
}

impl Drop for Store {
    fn drop(&mut self) {
        self.part.sub(self.members);
    }
}

/// A service without a cache remembers nothing.
impl Cache for Option<Arc<AddrCache>> {
    fn recall<R>(&self, addr: IpAddr, now: u32, f: impl FnOnce(Set<'_>) -> R) -> Option<R> {
        self.as_ref()?.store.with(|store| {
            let entry = store.entries.get_mut(&addr)?;
            entry.used = Jiffies(now);
            let (members, changed) = (&*entry.members, entry.changed);
            Some(f(Set { members, changed }))
        })
    }

    fn replace(&self, addr: IpAddr, dest: Known, now: u32) {
        if let Some(cache) = self {
            cache.store.with(|store| store.replace(addr, dest, now));
        }
    }

    fn add(&self, addr: IpAddr, dest: Known, now: u32) {
        if let Some(cache) = self {
            cache.store.with(|store| store.add(addr, dest, now));
        }
    }

    fn remove(&self, addr: IpAddr, dest: &Known, now: u32) {
        if let Some(cache) = self {
            cache.store.with(|store| store.remove(&addr, dest, now));
        }
    }
}
