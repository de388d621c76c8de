// SPDX-License-Identifier: GPL-2.0

//! The services as the packets find them: a hash table that its readers never wait for.
//!
//! A bucket is replaced as a whole when a service comes or goes, and so is the table when it
//! has become too small. The configuration's mutex keeps writers apart.

use kernel::prelude::*;
use kernel::sync::Arc;

use super::id::ServiceId;
use super::scheduler::Service;
use crate::hash::folded::{self, hash3};
use crate::sys::random;
use crate::sys::rcu::{self, Rcu, RcuBox, RcuCell};

/// The services of a namespace by their identity.
pub(super) struct Table {
    key: folded::Key,
    buckets: RcuCell<Buckets>,
}

/// A place in the table, from which a visit goes on.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    bucket: usize,
    /// The services of the bucket from this serial number on.
    serial: u64,
}

/// As many buckets as services or more, a power of two.
type Buckets = KVVec<RcuCell<Bucket>>;

/// The services whose hash leads here.
type Bucket = KVVec<Arc<Service>>;

impl Table {
    pub(super) fn new() -> Self {
        Self {
            key: random::words(),
            buckets: RcuCell::empty(),
        }
    }

    /// The service with exactly this identity.
    #[inline]
    pub(super) fn find<'a>(&'a self, rcu: &'a Rcu, id: &ServiceId) -> Option<&'a Service> {
        let mut services = self.bucket(rcu, id).iter();
        let found = services.find(|service| service.id == *id);
        found.map(|service| &**service)
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self, rcu: &Rcu) -> usize {
        self.buckets.get(rcu).map_or(0, |buckets| buckets.len())
    }

    /// Adds a service that is not there, next to the `others` that are.
    pub(super) fn insert<'a>(
        &self,
        service: &'a Arc<Service>,
        others: impl Iterator<Item = &'a Arc<Service>>,
        number_of_others: usize,
    ) -> Result {
        let size = rcu::read(|rcu| self.buckets.get(rcu).map_or(0, |buckets| buckets.len()));
        if number_of_others < size {
            return self.change(&service.id, |_| true, Some(service));
        }
        let size = size.saturating_mul(2).max(16);
        let buckets = self.spread(Iterator::chain(others, [service]), size)?;
        let boxed = RcuBox::new(buckets, GFP_KERNEL_ACCOUNT)?;
        self.buckets
            .replace_large(Some(boxed), size.saturating_mul(size_of::<Bucket>()));
        Ok(())
    }

    /// Takes a service out.
    pub(super) fn remove(&self, service: &Service) -> Result {
        self.change(&service.id, |other| other.serial != service.serial, None)
    }

    /// Takes all services out.
    pub(super) fn clear(&self) {
        self.buckets.replace_large(None, 0);
    }

    /// Visits one service, if there is one at `place` or behind it; returns the next place.
    /// Services that come meanwhile may be left out. The table may grow: then each bucket
    /// becomes two, and the second is behind the first.
    pub(super) fn visit(&self, rcu: &Rcu, place: Place, f: impl FnOnce(&Service)) -> Option<Place> {
        let cell = self.buckets.get(rcu)?.get(place.bucket)?;
        let services = cell.get(rcu).map_or(&[][..], |bucket| bucket);
        let rest = services.iter().filter(|s| s.serial >= place.serial);
        let Some(service) = rest.min_by_key(|service| service.serial) else {
            let bucket = place.bucket.wrapping_add(1);
            return Some(Place { bucket, serial: 0 });
        };
        f(service);
        let serial = service.serial.wrapping_add(1);
        Some(Place { serial, ..place })
    }

    fn number(&self, id: &ServiceId, size: usize) -> usize {
        // CAST: `size` is far below 2^32.
        hash3(&self.key, id.words()) as usize & size.wrapping_sub(1)
    }

    fn cell<'a>(&'a self, rcu: &'a Rcu, id: &ServiceId) -> Option<&'a RcuCell<Bucket>> {
        let buckets = self.buckets.get(rcu)?;
        buckets.get(self.number(id, buckets.len()))
    }

    fn bucket<'a>(&'a self, rcu: &'a Rcu, id: &ServiceId) -> &'a [Arc<Service>] {
        let bucket = self.cell(rcu, id).and_then(|cell| cell.get(rcu));
        bucket.map_or(&[], |bucket| bucket)
    }

    /// Reduces the bucket of `id` to what is to be kept, and adds `new`.
    fn change(
        &self,
        id: &ServiceId,
        keep: impl Fn(&Service) -> bool,
        new: Option<&Arc<Service>>,
    ) -> Result {
        let len = rcu::read(|rcu| self.bucket(rcu, id).len());
        let mut bucket = Bucket::with_capacity(len.saturating_add(1), GFP_KERNEL_ACCOUNT)?;
        rcu::read(|rcu| {
            let kept = self.bucket(rcu, id).iter().filter(|service| keep(service));
            for service in Iterator::chain(kept, new) {
                // There is room for all of them: nobody else writes.
                let _ = bucket.push_within_capacity(service.clone());
            }
        });
        let boxed = pack(bucket)?;
        rcu::read(|rcu| self.cell(rcu, id).map(|cell| cell.replace(boxed)));
        Ok(())
    }

    /// Sorts `services` into a new table.
    fn spread<'a>(
        &self,
        services: impl Iterator<Item = &'a Arc<Service>>,
        size: usize,
    ) -> Result<Buckets> {
        let mut sorted = KVVec::with_capacity(size, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..size {
            sorted.push_within_capacity(Bucket::new())?;
        }
        for service in services {
            if let Some(bucket) = sorted.get_mut(self.number(&service.id, size)) {
                bucket.push(service.clone(), GFP_KERNEL_ACCOUNT)?;
            }
        }
        let mut buckets = Buckets::with_capacity(size, GFP_KERNEL_ACCOUNT)?;
        for bucket in sorted {
            let cell = pack(bucket)?.map_or(RcuCell::empty(), RcuCell::new);
            buckets.push_within_capacity(cell)?;
        }
        Ok(buckets)
    }
}

/// Makes a bucket ready to be published.
fn pack(bucket: Bucket) -> Result<Option<KBox<RcuBox<Bucket>>>> {
    if bucket.is_empty() {
        return Ok(None);
    }
    RcuBox::new(bucket, GFP_KERNEL_ACCOUNT).map(Some)
}
