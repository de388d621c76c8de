// SPDX-License-Identifier: GPL-2.0

//! The way to an address, kept as long as the routing tables stand by it.
//!
//! C headers: [`include/net/route.h`](srctree/include/net/route.h),
//! [`include/net/ip6_route.h`](srctree/include/net/ip6_route.h)

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ptr::NonNull;
use kernel::bindings;

use super::netns::Net;
use crate::ffi;

/// What an address is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddrType {
    /// An address of this host.
    Local,
    /// An address of another host.
    Unicast,
    /// Multicast, broadcast, none.
    Other,
}

/// What `addr` is in the namespace `net`.
pub(crate) fn addr_type(net: &Net, addr: IpAddr) -> AddrType {
    let kind = match addr {
        // SAFETY: The namespace is valid.
        IpAddr::V4(a) => unsafe { ffi::rlvs_addr_type4(net.as_ptr(), be32(a)) },
        // SAFETY: The namespace and the address are valid.
        IpAddr::V6(a) => unsafe { ffi::rlvs_addr_type6(net.as_ptr(), &in6(a)) },
    };
    match kind {
        ffi::RLVS_ADDR_LOCAL => AddrType::Local,
        ffi::RLVS_ADDR_UNICAST => AddrType::Unicast,
        _ => AddrType::Other,
    }
}

/// An IPv4 address as C holds it: in network byte order.
#[inline(always)]
pub(super) fn be32(addr: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(addr.octets())
}

/// An IPv6 address as C holds it.
#[inline(always)]
pub(super) fn in6(addr: Ipv6Addr) -> bindings::in6_addr {
    bindings::in6_addr {
        in6_u: bindings::in6_addr__bindgen_ty_1 {
            u6_addr8: addr.octets(),
        },
    }
}

/// The way from this host to `to`.
///
/// # Invariants
///
/// `dst` is a reference to a route of `to`'s family.
pub(crate) struct Path {
    dst: NonNull<bindings::dst_entry>,
    cookie: u32,
    flags: u32,
    /// Where it leads.
    pub(crate) to: IpAddr,
    /// The source address that packets of this host would have.
    pub(crate) source: IpAddr,
}

// SAFETY: A reference to a route belongs to no thread.
unsafe impl Send for Path {}
// SAFETY: What is done with the route is thread-safe by itself.
unsafe impl Sync for Path {}

/// What a route is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Query {
    /// Where to.
    pub(crate) to: IpAddr,
    /// From which address, or from the one that the host would choose.
    pub(crate) from: Option<IpAddr>,
    /// The packet's mark.
    pub(crate) mark: u32,
    /// `to` is a next hop: it is asked for by itself, whatever the packet says (DR).
    pub(crate) next_hop: bool,
}

impl Path {
    /// Looks up the way; `None`: there is none. Callable from softirqs.
    pub(crate) fn find(net: Net, query: Query) -> Option<Self> {
        match query.to {
            IpAddr::V4(to) => Self::find4(net, to, query),
            IpAddr::V6(to) => Self::find6(net, to, query),
        }
    }

    fn find4(net: Net, to: Ipv4Addr, query: Query) -> Option<Self> {
        let mut source = match query.from {
            Some(IpAddr::V4(from)) => be32(from),
            _ => 0,
        };
        let ask = query.from.is_none();
        // SAFETY: The namespace is valid and `source` a place for an address.
        let dst = unsafe {
            ffi::rlvs_route4(
                net.as_ptr(),
                be32(to),
                &mut source,
                query.mark,
                0,
                query.next_hop,
                ask,
            )
        };
        let source = Ipv4Addr::from(source.to_ne_bytes());
        Self::from_dst(dst, query.to, source.into())
    }

    fn find6(net: Net, to: Ipv6Addr, query: Query) -> Option<Self> {
        let mut source = match query.from {
            Some(IpAddr::V6(from)) => in6(from),
            _ => bindings::in6_addr::default(),
        };
        let ask = query.from.is_none();
        // SAFETY: The namespace and both addresses are valid.
        let dst = unsafe {
            ffi::rlvs_route6(
                net.as_ptr(),
                &in6(to),
                &mut source,
                query.mark,
                query.next_hop,
                ask,
            )
        };
        // SAFETY: Every view of the union is plain bytes.
        let source = Ipv6Addr::from(unsafe { source.in6_u.u6_addr8 });
        Self::from_dst(dst, query.to, source.into())
    }

    /// Takes over a reference that a lookup returned.
    fn from_dst(dst: *mut bindings::dst_entry, to: IpAddr, source: IpAddr) -> Option<Self> {
        let dst = NonNull::new(dst)?;
        let v6 = to.is_ipv6();
        // SAFETY: A route of the family of `to`.
        let (cookie, flags) = unsafe {
            (
                ffi::rlvs_route_cookie(dst.as_ptr(), v6),
                ffi::rlvs_route_flags(dst.as_ptr(), v6),
            )
        };
        Some(Self {
            dst,
            cookie,
            flags,
            to,
            source,
        })
    }

    /// The way's MTU, or `None` if the routing tables have changed: look it up again.
    #[inline(always)]
    pub(crate) fn mtu(&self) -> Option<u32> {
        // SAFETY: A route by the invariant.
        let mtu = unsafe { ffi::rlvs_route_check(self.dst.as_ptr(), self.cookie) };
        (mtu != 0).then_some(mtu)
    }

    /// Whether it ends at this host.
    #[inline(always)]
    pub(crate) fn is_local(&self) -> bool {
        self.flags & ffi::RLVS_ROUTE_LOCAL != 0
    }

    /// Whether a packet may be handed to the neighbour at once.
    #[inline(always)]
    pub(crate) fn is_direct(&self) -> bool {
        self.flags & ffi::RLVS_ROUTE_DIRECT != 0 && !self.is_local()
    }

    /// Whether both lead over the same route.
    pub(crate) fn same_route(&self, other: &Self) -> bool {
        self.dst == other.dst
    }

    /// A number that tells routes apart, for hashing.
    pub(crate) fn route_number(&self) -> usize {
        self.dst.as_ptr() as usize
    }

    #[inline(always)]
    pub(super) fn cookie(&self) -> u32 {
        self.cookie
    }

    #[inline(always)]
    pub(super) fn dst(&self) -> *mut bindings::dst_entry {
        self.dst.as_ptr()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // SAFETY: The reference is ours by the invariant.
        unsafe { ffi::rlvs_route_put(self.dst.as_ptr()) };
    }
}
