// SPDX-License-Identifier: GPL-2.0

//! The ways that packets of known flows take: in by which interface, and out over which route.
//!
//! A director has few of them, and all flows share them. A side of a flow keeps the
//! id of its way: the number of a slot and of the way that was in it, four bytes and no reference.
//! Another way in the slot makes the id void. When a slot's numbers run out the worker has it
//! begin anew: nobody gets an id for it any more, all flows forget those that they have, and a
//! grace period later no packet can hold one.

use kernel::prelude::*;

use core::sync::atomic::{AtomicBool, Ordering};

use crate::pool::numbers::Numbers;
use crate::sys::once::Once;
use crate::sys::rcu::{self, Rcu, RcuBox, RcuCell};
use crate::sys::route::Path;
use crate::sys::skb::Origin;
use crate::sys::time::{Jiffies, HZ};

/// Slots of the table, a power of two.
const SLOTS: usize = 1024;
/// Bits of an id that hold the slot.
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The last number of a slot.
const LAST: u32 = u32::MAX >> SLOT_BITS;
/// Slots that a way may be in, a power of two.
const CHOICE: usize = 4;

/// A way. What each packet asks comes first.
#[repr(C)]
pub(crate) struct Way {
    number: u32,
    /// The gate's stamp when it was earned.
    stamp: u32,
    /// Where packets come from that may take it early; no interface: nobody may.
    pub(crate) origin: Origin,
    /// Type of service, without ECN's bits.
    pub(crate) class: u8,
    /// The route depends on more than the addresses: rules of the host have a say.
    pub(crate) ruled: bool,
    /// Where it leads; the destination of the flow knows if this does not.
    pub(crate) path: Option<Path>,
    since: Jiffies,
}

impl Way {
    /// A way that is known, but that nobody has earned.
    pub(crate) fn known(path: Path, class: u8) -> Self {
        Self::earned(0, Origin::default(), class, false, Some(path))
    }

    /// A way that a packet of `origin` has gone to its end while the gate had `stamp`.
    pub(crate) fn earned(
        stamp: u32,
        origin: Origin,
        class: u8,
        ruled: bool,
        path: Option<Path>,
    ) -> Self {
        Self {
            number: 0,
            stamp,
            origin,
            class,
            ruled,
            path,
            since: Jiffies::now(),
        }
    }

    /// Whether it was earned while the gate had `stamp`.
    #[inline(always)]
    pub(crate) fn has(&self, stamp: u32) -> bool {
        self.stamp == stamp
    }

    /// The path with its MTU, as long as the routing tables stand by it.
    pub(crate) fn route(&self) -> Option<(&Path, u32)> {
        let path = self.path.as_ref()?;
        Some((path, path.mtu()?))
    }

    /// Whether it is of use to one address only, as its route is.
    fn is_single(&self) -> bool {
        self.path.as_ref().is_some_and(Path::is_single)
    }

    /// Whether the routing tables have changed since.
    pub(crate) fn is_stale(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.mtu().is_none())
    }

    /// Whether one can stand for the other.
    fn equals(&self, other: &Self) -> bool {
        let same_path = match (&self.path, &other.path) {
            (Some(one), Some(other)) => one.same_route(other),
            (None, None) => true,
            _ => false,
        };
        same_path
            && (self.stamp, self.class, self.ruled) == (other.stamp, other.class, other.ruled)
            && self.origin == other.origin
    }

    /// Where its slots begin.
    fn home(&self) -> usize {
        let route = self.path.as_ref().map_or(0, Path::route_number) as u64;
        let from = (u64::from(self.origin.interface()) << 32) | u64::from(self.origin.mark());
        let words = route ^ from.rotate_left(8) ^ u64::from(self.class);
        (words.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & (SLOTS - 1)
    }
}

/// A place for a way.
struct Slot {
    way: RcuCell<Way>,
    /// The numbers of the ways that come here.
    numbers: Numbers<LAST>,
}

/// Why a way may have a place; the better comes later.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// What is there has been there for a while.
    Old,
    /// What is there is of use to one address only.
    Single,
    /// Nothing is there, or nothing that is of use.
    Free,
}

/// The ways of a network namespace.
pub(crate) struct Ways {
    slots: Once<[Slot; SLOTS]>,
    /// A slot has handed out its last number.
    spent: AtomicBool,
}

impl Ways {
    /// No way is known yet, and there is no room for any.
    pub(crate) const fn new() -> Self {
        Self {
            slots: Once::empty(),
            spent: AtomicBool::new(false),
        }
    }

    /// Makes room, unless there is. Sleeps.
    pub(crate) fn open(&self) -> Result {
        if !self.is_open() {
            let slots = pin_init::init_array_from_fn(|_| Slot {
                way: RcuCell::empty(),
                numbers: Numbers::new(),
            });
            self.slots.put(KVBox::init(slots, GFP_KERNEL_ACCOUNT)?);
        }
        Ok(())
    }

    /// Whether there is room, that is, whether there was a service.
    pub(crate) fn is_open(&self) -> bool {
        self.slots.get().is_some()
    }

    #[inline(always)]
    fn slot(&self, place: usize) -> Option<&Slot> {
        self.slots.get()?.get(place)
    }

    /// The way with this id, unless another one has taken its place; its route may be out of date.
    #[inline(always)]
    pub(crate) fn get<'a>(&'a self, rcu: &'a Rcu, id: u32) -> Option<&'a Way> {
        let slot = self.slot(id as usize & (SLOTS - 1))?;
        let way = slot.way.get(rcu)?;
        (way.number == id >> SLOT_BITS).then_some(way)
    }

    /// Keeps a way, or finds the one that is like it; returns it with its id for the next time.
    ///
    /// `None`: no memory, or no place for it: they were all taken within the last second, or by
    /// ways that serve more.
    pub(crate) fn keep<'a>(&'a self, rcu: &'a Rcu, way: Way) -> Option<(&'a Way, u32)> {
        let home = way.home();
        let places = (0..CHOICE).map(|i| home ^ i);
        let places = places.filter(|&place| self.has_numbers(place));
        for place in places.clone() {
            let known = self.slot(place).and_then(|slot| slot.way.get(rcu));
            if let Some(known) = known.filter(|known| known.equals(&way) && !known.is_stale()) {
                return Some((known, id(place, known.number)));
            }
        }
        let claims = places.filter_map(|place| Some((self.claim(rcu, place, &way)?, place)));
        let (_, place) = claims.max()?;
        self.put(rcu, place, way)
    }

    /// Whether the place has a number left.
    fn has_numbers(&self, place: usize) -> bool {
        let slot = self.slot(place);
        slot.is_some_and(|slot| slot.numbers.any())
    }

    /// How good a place is for `way`; `None`: what is there stays. A way for one address takes
    /// nothing away from those that serve many, however many such addresses there are.
    fn claim(&self, rcu: &Rcu, place: usize, way: &Way) -> Option<(Claim, Jiffies)> {
        let Some(present) = self.slot(place)?.way.get(rcu) else {
            return Some((Claim::Free, Jiffies(0)));
        };
        let age = Jiffies::now().since(present.since);
        let void = present.stamp != 0 && present.stamp < way.stamp;
        let claim = match (present.is_single(), way.is_single()) {
            _ if void || present.is_stale() => Claim::Free,
            (true, false) => Claim::Single,
            (false, true) => return None,
            _ if age < Jiffies(HZ) => return None,
            _ => Claim::Old,
        };
        Some((claim, age))
    }

    fn put<'a>(&'a self, rcu: &'a Rcu, place: usize, mut way: Way) -> Option<(&'a Way, u32)> {
        let slot = self.slot(place)?;
        way.number = slot.numbers.take()?;
        if way.number == LAST {
            self.spent.store(true, Ordering::Relaxed);
        }
        let way = slot.way.put(rcu, RcuBox::new(way, GFP_ATOMIC).ok()?);
        Some((way, id(place, way.number)))
    }

    /// If the numbers of a slot have run out, retires all slots that have few left, and says so:
    /// the flows are to forget their ids, see [`Self::is_retired`]. Sleeps then.
    pub(crate) fn retire(&self) -> bool {
        if !self.spent.swap(false, Ordering::Relaxed) {
            return false;
        }
        let slots = || self.slots.get().into_iter().flatten();
        for slot in slots() {
            slot.numbers.retire();
        }
        // Who took a number before has put his way in its place, and has its id.
        rcu::synchronize();
        for slot in slots().filter(|slot| slot.numbers.is_retired()) {
            slot.way.clear();
        }
        true
    }

    /// Whether the slot of an id is retired.
    pub(crate) fn is_retired(&self, id: u32) -> bool {
        let slot = self.slot(id as usize & (SLOTS - 1));
        slot.is_some_and(|slot| slot.numbers.is_retired())
    }

    /// Has the retired slots begin anew: no flow has an id for one. Sleeps.
    pub(crate) fn renew(&self) {
        // Who read a flow's id before it was taken away has used it.
        rcu::synchronize();
        for slot in self.slots.get().into_iter().flatten() {
            slot.numbers.renew();
        }
    }

    /// Lets go of all routes.
    pub(crate) fn clear(&self) {
        for slot in self.slots.get().into_iter().flatten() {
            slot.way.clear();
        }
    }

    /// Lets go of the routes that are out of date.
    pub(crate) fn sweep(&self, rcu: &Rcu) {
        for slot in self.slots.get().into_iter().flatten() {
            if slot.way.get(rcu).is_some_and(Way::is_stale) {
                slot.way.replace(None);
            }
        }
    }
}

fn id(place: usize, number: u32) -> u32 {
    // CAST: a place has ten bits.
    (number << SLOT_BITS) | place as u32
}
