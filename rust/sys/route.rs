// SPDX-License-Identifier: GPL-2.0

//! The way to an address, kept as long as the routing tables stand by it.
//!
//! C headers: [`include/net/route.h`](srctree/include/net/route.h),
//! [`include/net/ip6_route.h`](srctree/include/net/ip6_route.h)

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Deref;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::prelude::*;

use super::net::Net;
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
#[repr(C)]
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
    /// What else of a packet the rules of the host may ask for.
    pub(crate) hints: Hints,
    /// `to` is a next hop: it is asked for by itself, whatever the packet says (DR).
    pub(crate) next_hop: bool,
}

/// What of a packet, besides its addresses, may decide where it goes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hints {
    /// Type of service, without ECN's bits.
    pub(crate) class: u8,
    /// The packet's mark.
    pub(crate) mark: u32,
    /// The number of the VRF device that it belongs to, or 0.
    pub(crate) vrf: u32,
    /// The number of the interface that it must leave by, or 0.
    pub(crate) link: u32,
    /// Protocol, source and destination port, or zeros.
    pub(crate) ports: (u8, u16, u16),
}

impl Hints {
    fn raw(&self, query: &Query) -> ffi::rlvs_query {
        let (proto, sport, dport) = self.ports;
        ffi::rlvs_query {
            mark: self.mark,
            l3mdev: self.vrf,
            oif: self.link,
            sport: sport.to_be(),
            dport: dport.to_be(),
            proto,
            tos: self.class,
            known_nh: query.next_hop,
            want_saddr: query.from.is_none(),
        }
    }
}

/// Whether more than addresses decide about routes in a namespace: rules beyond the usual ones.
pub(crate) fn has_rules(net: Net, v6: bool) -> bool {
    // SAFETY: The namespace is valid.
    unsafe { ffi::rlvs_route_ruled(net.as_ptr(), v6) }
}

/// Whether the namespace has IPsec policies, which each packet has to be shown to.
#[inline]
pub(crate) fn has_policies(net: Net) -> bool {
    // SAFETY: The namespace is valid.
    unsafe { ffi::rlvs_policed(net.as_ptr()) }
}

/// Why there is no way to an address.
pub(crate) enum NoWay {
    /// No route leads there.
    Unreachable,
    /// There is no memory, or the route is already out of date: the next packet may have one.
    Lost,
}

impl From<Error> for NoWay {
    /// From what a lookup says.
    fn from(error: Error) -> Self {
        match error {
            ENOBUFS => Self::Lost,
            _ => Self::Unreachable,
        }
    }
}

/// Of a path's flags, beside C's: it was asked for as a next hop.
const NEXT_HOP: u32 = 1 << 31;
/// A tunnel's packets may be fragmented, whatever they carry.
const FRAGMENT: u32 = 1 << 30;

impl Path {
    /// Looks up the way. Callable from softirqs.
    pub(crate) fn find(net: Net, query: Query) -> Result<Self, NoWay> {
        let mut path = match query.to {
            IpAddr::V4(to) => Self::find4(net, to, query),
            IpAddr::V6(to) => Self::find6(net, to, query),
        }?;
        if query.next_hop {
            path.flags |= NEXT_HOP;
        }
        Ok(path)
    }

    fn find4(net: Net, to: Ipv4Addr, query: Query) -> Result<Self, NoWay> {
        let mut source = match query.from {
            Some(IpAddr::V4(from)) => be32(from),
            _ => 0,
        };
        let raw = query.hints.raw(&query);
        // SAFETY: The namespace and the query are valid and `source` a place for an address.
        let dst = unsafe { ffi::rlvs_route4(net.as_ptr(), be32(to), &mut source, &raw) };
        let source = Ipv4Addr::from(source.to_ne_bytes());
        Self::found(net, dst, query.to, source.into())
    }

    fn find6(net: Net, to: Ipv6Addr, query: Query) -> Result<Self, NoWay> {
        let mut source = match query.from {
            Some(IpAddr::V6(from)) => in6(from),
            _ => bindings::in6_addr::default(),
        };
        let raw = query.hints.raw(&query);
        // SAFETY: The namespace, the query and both addresses are valid.
        let dst = unsafe { ffi::rlvs_route6(net.as_ptr(), &in6(to), &mut source, &raw) };
        // SAFETY: Every view of the union is plain bytes.
        let source = Ipv6Addr::from(unsafe { source.in6_u.u6_addr8 });
        Self::found(net, dst, query.to, source.into())
    }

    /// What a lookup came to.
    fn found(
        net: Net,
        dst: *mut bindings::dst_entry,
        to: IpAddr,
        source: IpAddr,
    ) -> Result<Self, NoWay> {
        Self::from_dst(net, from_err_ptr(dst)?, to, source).ok_or(NoWay::Unreachable)
    }

    /// The way that a packet to `to` has, if it may be handed to the neighbour at once.
    pub(super) fn of_packet(net: Net, skb: NonNull<bindings::sk_buff>, to: IpAddr) -> Option<Self> {
        // SAFETY: The caller's packet is valid.
        let dst = unsafe { ffi::rlvs_skb_hold_dst(skb.as_ptr()) };
        let source = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self::from_dst(net, dst, to, source).filter(Self::is_direct)
    }

    /// Takes over a reference that a lookup returned.
    fn from_dst(
        net: Net,
        dst: *mut bindings::dst_entry,
        to: IpAddr,
        source: IpAddr,
    ) -> Option<Self> {
        let dst = NonNull::new(dst)?;
        // SAFETY: A route of the family of `to`, in this namespace.
        let (flags, cookie) = unsafe {
            (
                ffi::rlvs_route_flags(net.as_ptr(), dst.as_ptr()),
                ffi::rlvs_route_cookie(dst.as_ptr()),
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

    /// Whether there were IPsec policies when it was looked up.
    pub(crate) fn is_policed(&self) -> bool {
        self.flags & ffi::RLVS_ROUTE_POLICED != 0
    }

    /// Whether a packet may be handed to the neighbour at once.
    #[inline(always)]
    pub(crate) fn is_direct(&self) -> bool {
        self.flags & ffi::RLVS_ROUTE_DIRECT != 0 && !self.is_local()
    }

    /// Whether it leads to its address whatever a packet's own says (DR).
    #[inline(always)]
    pub(crate) fn is_next_hop(&self) -> bool {
        self.flags & NEXT_HOP != 0
    }

    /// Lets a tunnel's packets be fragmented, whatever they carry.
    pub(crate) fn let_fragment(&mut self) {
        self.flags |= FRAGMENT;
    }

    /// Whether a tunnel's packets may be fragmented, whatever they carry.
    #[inline(always)]
    pub(crate) fn may_fragment(&self) -> bool {
        self.flags & FRAGMENT != 0
    }

    /// Whether its route is for its address alone: what the host has learned about that one, or
    /// nothing that is kept in the routing tables.
    pub(crate) fn is_single(&self) -> bool {
        self.flags & ffi::RLVS_ROUTE_SINGLE != 0
    }

    /// Whether both lead over the same route.
    pub(crate) fn same_route(&self, other: &Self) -> bool {
        self.dst == other.dst
    }

    /// The same once more; `None`: it is going away.
    pub(crate) fn share(&self) -> Option<Self> {
        // SAFETY: A route by the invariant.
        let held = unsafe { ffi::rlvs_route_hold(self.dst.as_ptr()) };
        // INVARIANT: The new value has a reference of its own.
        held.then(|| Self { ..*self })
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

/// A way that is kept somewhere, or one that was looked up for this packet alone.
pub(crate) enum Route<'a> {
    /// Lives as long as the read side.
    Kept(&'a Path),
    /// For one packet.
    Own(Path),
}

impl Deref for Route<'_> {
    type Target = Path;

    fn deref(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Own(path) => path,
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // SAFETY: The reference is ours by the invariant.
        unsafe { ffi::rlvs_route_put(self.dst.as_ptr()) };
    }
}
