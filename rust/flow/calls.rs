// SPDX-License-Identifier: GPL-2.0

//! What the templates of calls have besides others: what a persistence engine has read in a packet.
//!
//! That may be some hundred bytes, too many for a key of the index. A hash of them and of the name stands in the
//! template's first key, where others have the client and the service; these stand in the second, by which no template
//! is found.

use core::sync::atomic::{AtomicUsize, Ordering};
use kernel::prelude::*;

use super::{Family, Flow, FlowTable};
use crate::engine::Engine;
use crate::hash::folded;
use crate::sched::persist::Said;
use crate::sys::random;

/// Bytes that take as much memory as a flow, about.
const UNIT: usize = 128;

/// What an engine has read in the packet that a template began with.
pub(super) struct Call {
    engine: Engine,
    data: KVec<u8>,
}

impl Call {
    /// `None`: no memory.
    pub(super) fn boxed(said: &Said<'_>) -> Option<KBox<Self>> {
        let mut data = KVec::new();
        data.extend_from_slice(said.data, GFP_ATOMIC).ok()?;
        let engine = said.engine;
        KBox::new(Self { engine, data }, GFP_ATOMIC).ok()
    }

    fn said(&self) -> Said<'_> {
        Said {
            engine: self.engine,
            data: &self.data,
        }
    }

    /// How many flows take as much memory.
    fn weight(&self) -> usize {
        self.data.len().div_ceil(UNIT)
    }
}

/// What a table has for all its templates of calls.
pub(super) struct Calls {
    /// What their data is hashed with.
    pub(super) seed: folded::Key,
    weight: AtomicUsize,
}

impl Calls {
    /// There are none.
    pub(super) fn new() -> Self {
        Self {
            seed: random::words(),
            weight: AtomicUsize::new(0),
        }
    }

    /// How many flows take as much memory as what they have besides.
    pub(super) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }
}

impl<A: Family> Flow<A> {
    fn call(&self) -> Option<&Call> {
        self.extra.as_ref()?.call()
    }

    /// How many flows take as much memory as what it has besides.
    pub(super) fn weight(&self) -> usize {
        self.call().map_or(0, Call::weight)
    }

    /// What an engine has read for a template, if its service has one.
    pub(super) fn said(&self) -> Option<Said<'_>> {
        self.call().map(Call::said)
    }
}

impl<A: Family> FlowTable<A> {
    /// Counts what a flow has besides that is about to be known.
    pub(super) fn charge(&self, weight: usize) {
        if weight != 0 {
            self.1.add(weight);
            self.2.weight.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// The same for one that is not known, or not any more.
    pub(super) fn discharge(&self, weight: usize) {
        if weight != 0 {
            self.1.sub(weight);
            self.2.weight.fetch_sub(weight, Ordering::Relaxed);
        }
    }
}
