// SPDX-License-Identifier: GPL-2.0

//! What services and destinations are known by.

use core::net::IpAddr;

/// A service: protocol, virtual address and port. Port 0 stands for all that have no service of
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceId {
    /// As in the IP header.
    pub(crate) proto: u8,
    pub(crate) addr: IpAddr,
    /// Host order.
    pub(crate) port: u16,
}

impl ServiceId {
    /// Whether it is for every port.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.port == 0
    }

    /// The identity as words for a hash function; different identities give different words.
    pub(super) fn words(&self) -> [u64; 3] {
        let (v6, addr) = match self.addr {
            IpAddr::V4(addr) => (0, u128::from(u32::from(addr))),
            IpAddr::V6(addr) => (1, u128::from(addr)),
        };
        let rest = v6 << 24 | u64::from(self.proto) << 16 | u64::from(self.port);
        // CAST: the upper and the lower half.
        [(addr >> 64) as u64, addr as u64, rest]
    }
}

/// A destination of a service: the real server's address and port, host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DestId {
    pub(crate) addr: IpAddr,
    pub(crate) port: u16,
}
