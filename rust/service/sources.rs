// SPDX-License-Identifier: GPL-2.0

//! From where FULLNAT talks to a destination: local addresses, each with its ports.

use core::net::IpAddr;
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;
use kernel::sync::Arc;

use super::ports::PortSet;
use crate::sys::quota::Taken;
use crate::sys::rcu::RcuBox;

/// One of a service's local addresses.
pub(crate) struct LocalAddr {
    pub(crate) addr: IpAddr,
    /// Connections refused because no port was left.
    pub(crate) exhausted: AtomicU64,
    pub(super) _quota: Taken,
}

/// A local address with its ports towards one destination.
pub(super) struct Source {
    pub(super) local: Arc<LocalAddr>,
    pub(super) ports: Arc<PortSet>,
}

/// Those towards one destination, in the order of the service's local addresses.
pub(super) type Sources = KVVec<Source>;

/// The same, ready for packets to see; none without FULLNAT.
pub(super) type Ready = Option<KBox<RcuBox<Sources>>>;

/// A local address and port, taken for one connection.
pub(crate) struct Local {
    pub(crate) addr: IpAddr,
    /// Host order.
    pub(crate) port: u16,
    /// Where the port goes back to.
    pub(crate) set: Arc<PortSet>,
}

impl Source {
    /// Takes a port for a connection to port `peer` at the real server.
    pub(super) fn take(&self, peer: u16) -> Option<Local> {
        Some(Local {
            addr: self.local.addr,
            port: self.ports.take(peer)?,
            set: self.ports.clone(),
        })
    }
}
