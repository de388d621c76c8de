// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers around the kernel; with `ffi` the only place that holds `unsafe`.

pub(crate) mod claim;
pub(crate) mod front;
pub(crate) mod genl;
pub(crate) mod hook;
pub(crate) mod host;
pub(crate) mod index;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod net;
pub(crate) mod netdev;
pub(crate) mod netns;
pub(crate) mod once;
pub(crate) mod pernet;
pub(crate) mod place;
pub(crate) mod policy;
mod prefetch;
pub(crate) mod proc;
pub(crate) mod quota;
pub(crate) mod random;
pub(crate) mod rcu;
pub(crate) mod route;
pub(crate) mod skb;
pub(crate) mod slab;
pub(crate) mod sockopt;
pub(crate) mod stats;
pub(crate) mod sysctl;
pub(crate) mod tally;
pub(crate) mod time;
pub(crate) mod tracking;
pub(crate) mod worker;
