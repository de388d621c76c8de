// SPDX-License-Identifier: GPL-2.0

//! What services and destinations are known by.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::sched::persist::FTP;

/// A service: protocol, virtual address and port, where port 0 stands for all that have no
/// service of their own; or a firewall mark and the address family, whose unspecified address
/// stands in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceId {
    /// 0: it goes by protocol, address and port.
    pub(crate) mark: u32,
    /// As in the IP header; 0: any.
    pub(crate) proto: u8,
    pub(crate) addr: IpAddr,
    /// Host order.
    pub(crate) port: u16,
}

impl ServiceId {
    /// The service of packets to an address and port.
    pub(crate) fn at(proto: u8, addr: IpAddr, port: u16) -> Self {
        Self {
            mark: 0,
            proto,
            addr,
            port,
        }
    }

    /// The service of packets that bear a mark, which is not 0.
    pub(crate) fn marked(mark: u32, v6: bool) -> Self {
        let addr = match v6 {
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self {
            mark,
            ..Self::at(0, addr, 0)
        }
    }

    /// Whether it is for packets that bear its mark.
    pub(crate) fn is_marked(&self) -> bool {
        self.mark != 0
    }

    /// Whether it is for every port of its address.
    pub(crate) fn is_wildcard(&self) -> bool {
        !self.is_marked() && self.port == 0
    }

    /// Whether it is for FTP's control connections.
    pub(crate) fn is_ftp(&self) -> bool {
        !self.is_marked() && self.port == FTP
    }

    /// The identity as words for a hash function; different identities give different words.
    pub(super) fn words(&self) -> [u64; 3] {
        let (v6, addr) = match self.addr {
            IpAddr::V4(addr) => (0, u128::from(u32::from(addr))),
            IpAddr::V6(addr) => (1, u128::from(addr)),
        };
        let rest = u64::from(self.mark) << 32
            | v6 << 24
            | u64::from(self.proto) << 16
            | u64::from(self.port);
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
