// SPDX-License-Identifier: GPL-2.0

//! Destinations that were removed, while connections may still hold them: IPVS's `dest_trash`.
//!
//! Adding a destination that lies here brings it back with its connections, as in IPVS.

use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;

use super::dest::Dest;
use super::entry::{Entry, Member};
use super::id::{DestId, ServiceId};
use super::tree::retain;
use super::Rules;
use crate::rates::Rates;
use crate::sched::Candidate;
use crate::sys::stats::Counts;
use crate::sys::time::Jiffies;

/// So many seconds after its last connection or template a destination is forgotten.
const TRASH_PERIOD: u32 = 120;

/// A destination of a certain service.
type Key = (ServiceId, DestId);

/// A destination that was removed.
pub(super) struct Trashed {
    pub(super) dest: Arc<Dest>,
    /// The serial number of the service that had it.
    pub(super) owner: u64,
    /// The counters at their last zeroing.
    pub(super) zero: Counts,
    /// How much they counted a second when it was removed; as in IPVS, that goes on from there.
    pub(super) rates: Rates,
    /// Since when it was seen without connections.
    idle: Option<Jiffies>,
}

/// The destinations that were removed.
pub(super) struct Trash(RBTree<Key, Trashed>);

impl Trash {
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    pub(super) fn get(&self, service: ServiceId, dest: DestId) -> Option<&Trashed> {
        self.0.get(&(service, dest))
    }

    /// Lets go of one that is back, if it was there.
    pub(super) fn remove(&mut self, service: ServiceId, dest: DestId) -> Option<Arc<Dest>> {
        self.0.remove(&(service, dest)).map(|trashed| trashed.dest)
    }

    /// Takes a destination in. Without memory it is forgotten at once: its connections go on
    /// to their end, but can't be brought back.
    pub(super) fn put(&mut self, service: ServiceId, owner: u64, member: Member) {
        let key = (service, member.dest.id());
        let trashed = Trashed {
            dest: member.dest,
            owner,
            zero: member.zero,
            rates: member.meter.rates,
            idle: None,
        };
        if let Ok(node) = RBTreeNode::new(key, trashed, GFP_KERNEL_ACCOUNT) {
            self.0.insert(node);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what has had no connections for a while.
    pub(super) fn sweep(&mut self, now: Jiffies) {
        retain(&mut self.0, |trashed| !trashed.is_forgotten(now));
    }
}

impl Trashed {
    fn is_forgotten(&mut self, now: Jiffies) -> bool {
        if self.dest.total() != 0 || self.dest.templates() != 0 {
            self.idle = None;
            return false;
        }
        let idle = *self.idle.get_or_insert(now);
        now.since(idle) >= Jiffies::seconds(TRASH_PERIOD)
    }
}

impl Rules {
    /// Takes the destinations of a service that goes into the trash, and what they counted to the totals.
    pub(super) fn trash_dests(&mut self, entry: &mut Entry) {
        let (id, serial) = (entry.service.id, entry.service.serial);
        self.count_caches(Some(entry.spec.kind), None);
        let (trash, totals) = (&mut self.dest_trash, &mut self.totals);
        entry.remove_all(&mut self.sets, |member| {
            totals.moved(&member.dest.stats, true);
            trash.put(id, serial, member);
        });
        self.totals.retire(entry);
    }
}
