// SPDX-License-Identifier: GPL-2.0

//! The address families, each with the memory and the table of its flows.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU64;

use super::{Flow, FlowTable, Flows};
use crate::packet::Parse;
use crate::sys::index::Node;
use crate::sys::slab::Pool;

/// An address family, with the memory and table of its flows.
pub(crate) trait Family: Parse {
    /// What a flow has room for besides: nothing, or the hash of its second key.
    type Kept: Kept;
    /// Where the family's flows come from.
    fn pool() -> &'static FlowPool<Self>;
    /// The family's flows of a namespace.
    fn table(flows: &Flows) -> &FlowTable<Self>;
}

/// Room for a hash, or none.
pub(crate) trait Kept: Copy + Default + Send + Sync + 'static {
    fn new(hash: u64) -> Self;
    fn get(self) -> Option<u64>;
}

impl Kept for () {
    fn new(_: u64) {}

    fn get(self) -> Option<u64> {
        None
    }
}

impl Kept for Option<NonZeroU64> {
    fn new(hash: u64) -> Self {
        NonZeroU64::new(hash)
    }

    fn get(self) -> Option<u64> {
        self.map(NonZeroU64::get)
    }
}

/// Where flows come from.
pub(super) type FlowPool<A> = Pool<Node<Flow<A>>>;

static FLOWS4: FlowPool<Ipv4Addr> = Pool::new();
static FLOWS6: FlowPool<Ipv6Addr> = Pool::new();

impl Family for Ipv4Addr {
    type Kept = ();

    fn pool() -> &'static FlowPool<Self> {
        &FLOWS4
    }

    #[inline(always)]
    fn table(flows: &Flows) -> &FlowTable<Self> {
        &flows.v4
    }
}

impl Family for Ipv6Addr {
    type Kept = Option<NonZeroU64>;

    fn pool() -> &'static FlowPool<Self> {
        &FLOWS6
    }

    #[inline(always)]
    fn table(flows: &Flows) -> &FlowTable<Self> {
        &flows.v6
    }
}
