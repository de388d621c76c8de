// SPDX-License-Identifier: GPL-2.0

//! What IPsec's policies will ask of a packet that has still to be rewritten.
//!
//! C header: [`include/net/xfrm.h`](srctree/include/net/xfrm.h)

use core::net::IpAddr;

use super::route::{in6, Path};
use super::skb::Packet;
use crate::ffi;

/// Between whom a packet will travel.
pub(crate) struct Ends(ffi::rlvs_ends);

impl Ends {
    /// Between those whom it names already.
    pub(crate) fn as_is() -> Self {
        Self(ffi::rlvs_ends::default())
    }

    /// From an address to another, with protocol, source and destination port.
    pub(crate) fn new(from: IpAddr, to: IpAddr, (proto, sport, dport): (u8, u16, u16)) -> Self {
        Self(ffi::rlvs_ends {
            from: in6(mapped(from)),
            to: in6(mapped(to)),
            sport: sport.to_be(),
            dport: dport.to_be(),
            proto,
        })
    }
}

fn mapped(addr: IpAddr) -> core::net::Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

impl Packet<'_> {
    /// Whether IPsec's policies may have a say about it, the namespace's or its socket's.
    pub(crate) fn is_policed(&self) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_skb_policed(self.net().as_ptr(), self.raw()) }
    }

    /// The MTU that is left for it on a way, once it travels between `ends`.
    pub(crate) fn policed_mtu(&self, path: &Path, ends: &Ends) -> u32 {
        // SAFETY: Valid by the invariant; the path lives through the call.
        unsafe { ffi::rlvs_policy_mtu(self.net().as_ptr(), self.raw(), path.dst(), &ends.0) }
    }
}
