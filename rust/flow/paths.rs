// SPDX-License-Identifier: GPL-2.0

//! The ways back to the clients, shared by all flows that go the same way.
//!
//! A director has few routes to its clients, often one. A flow keeps a ticket: the number
//! of a slot and of the path that was in it, four bytes and no reference. Another path in
//! the slot makes the ticket void, and the way is looked up anew.

use kernel::prelude::*;

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::netns::Net;
use crate::sys::rcu::{Rcu, RcuBox, RcuCell};
use crate::sys::route::{Path, Query};

/// Slots of the table, a power of two.
const SLOTS: usize = 1024;
/// Bits of a ticket that hold the slot.
const SLOT_BITS: u32 = SLOTS.trailing_zeros();

/// A path and the number that it got when it was put in its slot.
struct Numbered {
    number: u32,
    path: Path,
}

/// The ways out of a network namespace.
pub(crate) struct Paths {
    slots: KVVec<RcuCell<Numbered>>,
    numbers: AtomicU32,
}

impl Paths {
    /// No way is known yet.
    pub(crate) fn new() -> Result<Self> {
        let mut slots = KVVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(RcuCell::empty(), GFP_KERNEL)?;
        }
        let numbers = AtomicU32::new(1);
        Ok(Self { slots, numbers })
    }

    /// The path of a ticket, unless it is out of date; the path itself may be.
    #[inline(always)]
    pub(crate) fn get<'a>(&'a self, rcu: &'a Rcu, ticket: u32) -> Option<&'a Path> {
        let slot = self.slots.get(ticket as usize & (SLOTS - 1))?;
        let entry = slot.get(rcu)?;
        (entry.number == ticket >> SLOT_BITS).then_some(&entry.path)
    }

    /// Looks a way up; returns it with its MTU and a ticket for the next time.
    pub(crate) fn find<'a>(
        &'a self,
        rcu: &'a Rcu,
        net: Net,
        query: Query,
    ) -> Option<(&'a Path, u32, u32)> {
        let path = Path::find(net, query)?;
        let number = slot_of(&path);
        let slot = self.slots.get(number)?;
        let entry = match slot.get(rcu) {
            Some(known) if known.path.same_route(&path) && known.path.mtu().is_some() => known,
            _ => slot.put(rcu, RcuBox::new(self.numbered(path), GFP_ATOMIC).ok()?),
        };
        let ticket = (entry.number << SLOT_BITS) | number as u32;
        Some((&entry.path, entry.path.mtu()?, ticket))
    }

    fn numbered(&self, path: Path) -> Numbered {
        let next = self.numbers.fetch_add(1, Ordering::Relaxed);
        // As many bits as a ticket keeps; 0 stays free for "no ticket".
        let number = (next & (u32::MAX >> SLOT_BITS)).max(1);
        Numbered { number, path }
    }

    /// Lets go of all routes.
    pub(crate) fn clear(&self) {
        for slot in self.slots.iter() {
            slot.replace(None);
        }
    }

    /// Lets go of the routes that are out of date.
    pub(crate) fn sweep(&self, rcu: &Rcu) {
        for slot in self.slots.iter() {
            if slot
                .get(rcu)
                .is_some_and(|entry| entry.path.mtu().is_none())
            {
                slot.replace(None);
            }
        }
    }
}

/// Where a route's path is kept.
fn slot_of(path: &Path) -> usize {
    let number = path.route_number() as u64;
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & (SLOTS - 1)
}
