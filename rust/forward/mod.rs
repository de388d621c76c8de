// SPDX-License-Identifier: GPL-2.0

//! The forwarding methods, one file each, and what they share.

use core::net::IpAddr;
use core::sync::atomic::{fence, Ordering};
use kernel::prelude::*;

use crate::flow::ways::Way;
use crate::flow::{Family, Flow, Flows, Why};
use crate::packet::{ipv4, Context};
use crate::service::Dest;
use crate::sys::index::Side;
use crate::sys::net::Net;
use crate::sys::policy::Ends;
use crate::sys::rcu::{Rcu, RcuBox};
use crate::sys::route::{has_policies, Hints, NoWay, Path, Query};
use crate::sys::skb::{Icmp, Packet, Verdict};
use crate::wire::uapi::fwd;

pub(crate) mod bypass;
pub(crate) mod dr;
pub(crate) mod earn;
pub(crate) mod local;
pub(crate) mod nat;
pub(crate) mod tunnel;

/// The smallest MTU that IPv4 knows (RFC 791).
const MIN_MTU4: u32 = 68;
/// The smallest MTU that IPv6 knows (RFC 8200).
const MIN_MTU6: u32 = 1280;

/// The smallest MTU that a way of the family may have.
pub(crate) fn least_mtu(v6: bool) -> u32 {
    if v6 {
        MIN_MTU6
    } else {
        MIN_MTU4
    }
}

/// Lets a packet go the ordinary way, and counts why.
#[cold]
pub(crate) fn stay(flows: &Flows, packet: Packet<'_>, why: Why) -> Verdict {
    let policed = why == Why::Path && has_policies(flows.net());
    flows.late.count(if policed { Why::Policy } else { why });
    packet.accept()
}

/// Sends a client's packet to the real server, by the ordinary output.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if flow.translates() {
        nat::request(flows, packet, flow, context)
    } else {
        request_as_is(flows, packet, flow, context.ttl, true)
    }
}

/// Sends a packet to the real server by a method that leaves its addresses alone. It is one of
/// the flow's own, by which the flow may earn the early path, or (`own` is false) an error.
pub(crate) fn request_as_is<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    flow: &Flow<A>,
    ttl: u8,
    own: bool,
) -> Verdict {
    match u32::from(flow.method) {
        fwd::DROUTE => dr::request(flows, packet, flow, ttl, own),
        fwd::TUNNEL => tunnel::request(flows, packet, flow, ttl, own),
        fwd::BYPASS => bypass::request(flows, packet, flow, ttl),
        _ => local::request(packet),
    }
}

/// Hands a client's packet to the real server's neighbour; the ordinary way takes what
/// this one can't.
#[inline(always)]
pub(crate) fn request_early<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    way: &Way,
) -> Verdict {
    let path = flow.dest.path.get(packet.rcu());
    let Some(path) = path.filter(|path| path.is_direct()) else {
        return stay(flows, packet, Why::Path);
    };
    match u32::from(flow.method) {
        fwd::MASQ | fwd::FULLNAT => {
            let origin = &way.origin;
            nat::translate_early(flows, packet, flow, context, (origin, path), Side::First)
        }
        fwd::DROUTE => dr::request_early(flows, packet, flow, context, (&way.origin, path)),
        fwd::TUNNEL => tunnel::request_early(flows, packet, flow, context, (&way.origin, path)),
        _ => packet.accept(),
    }
}

/// The way to a destination with its MTU, if it is known and up to date.
fn known_path<'a>(
    rcu: &'a Rcu,
    net: Net,
    dest: &'a Dest,
    next_hop: bool,
) -> Option<(&'a Path, u32)> {
    let path = dest.path.get(rcu)?;
    if next_hop && !path.is_next_hop() {
        // Looked up for another method: a destination's flows keep the one that they began with.
        return None;
    }
    // New policies make routes void by themselves, but nothing tells that they are gone.
    if path.is_policed() && !has_policies(net) {
        return None;
    }
    Some((path, path.mtu()?))
}

impl NoWay {
    /// Drops a packet that would have taken the way; its sender is told if that would not help
    /// to send it again.
    #[cold]
    fn drop(self, mut packet: Packet<'_>) -> Verdict {
        if matches!(self, Self::Unreachable) {
            packet.link_failure();
        }
        packet.drop()
    }
}

/// The way to a destination with its MTU, looked up if need be.
///
/// The packets of DR keep their own address, and want the next hop for it.
fn dest_path<'a, A: Family>(
    rcu: &'a Rcu,
    flows: &Flows,
    flow: &'a Flow<A>,
) -> Result<(&'a Path, u32), NoWay> {
    let (net, dest): (Net, &Dest) = (flows.net(), &flow.dest);
    let next_hop = u32::from(flow.method) == fwd::DROUTE;
    if let Some(known) = known_path(rcu, net, dest, next_hop) {
        return Ok(known);
    }
    let query = Query {
        to: dest.addr,
        from: None,
        hints: Hints::default(),
        next_hop,
    };
    let mut path = Path::find(net, query)?;
    if !flows.config.pmtu_disc() {
        path.let_fragment();
    }
    let path = RcuBox::new(path, GFP_ATOMIC).map_err(|_| NoWay::Lost)?;
    let path = dest.keep_path(rcu, path);
    // ORDERING: between the way and the setting. If that was written meanwhile either this sees it,
    // or who wrote it forgets the way.
    fence(Ordering::SeqCst);
    if path.may_fragment() == flows.config.pmtu_disc() {
        dest.path.clear();
    }
    Ok((path, path.mtu().ok_or(NoWay::Lost)?))
}

/// Notes a packet of a flow; true as [`Flow::touch`] says, which is once a second at most.
#[inline(always)]
pub(crate) fn touch<A: Family>(
    flows: &Flows,
    packet: &Packet<'_>,
    flow: &Flow<A>,
    side: Side,
    flags: u8,
) -> bool {
    let written = flow.touch(side, flags, &flows.defence);
    if written {
        A::table(flows).noted(&flows.timeouts, packet.rcu(), flow);
    }
    written
}

/// What IPsec's policies leave of a way's `mtu` for a packet that will travel between `ends`.
fn narrowed<A: Family>(
    packet: &Packet<'_>,
    path: &Path,
    mtu: u32,
    ends: impl FnOnce() -> Ends,
) -> u32 {
    // Nobody can be told of less than the smallest MTU.
    if packet.len() <= least_mtu(A::V6) || !packet.is_policed() {
        return mtu;
    }
    let left = packet.policed_mtu(path, &ends());
    left.min(mtu).max(least_mtu(A::V6))
}

/// Whether a packet may leave over a way with this MTU; its sender is told if not.
fn may_leave<A: Family>(packet: &mut Packet<'_>, src: A, ttl: u8, mtu: u32) -> bool {
    if is_loopback(src) {
        return false;
    }
    if ttl <= 1 {
        packet.icmp(A::V6, Icmp::TimeExceeded);
        return false;
    }
    if packet.is_merged() {
        // As ip_forward(): it was made for this host alone.
        return false;
    }
    fits_or_told::<A>(packet, mtu)
}

/// Whether the address is for packets that stay on this host (as IPVS: nobody else gets them).
fn is_loopback<A: Family>(addr: A) -> bool {
    let addr: IpAddr = addr.into();
    addr.is_loopback()
}

/// Whether a packet may leave as far as its size goes.
fn fits_or_told<A: Family>(packet: &mut Packet<'_>, mtu: u32) -> bool {
    if !too_big::<A>(packet, mtu) || packet.own_too_big(A::V6, mtu) {
        return true;
    }
    packet.icmp(A::V6, Icmp::TooBig(mtu));
    false
}

/// The packet's IP header, IPv4's with its options, to be changed.
fn header<'p, A: Family>(packet: &'p mut Packet<'_>) -> Option<&'p mut [u8]> {
    let length = match A::V6 {
        true => A::HEADER,
        false => ipv4::length(packet.bytes())?,
    };
    packet.writable(length)
}

/// Whether the packet is too large and nobody on the way may fragment it.
fn too_big<A: Family>(packet: &Packet<'_>, mtu: u32) -> bool {
    if !A::V6 {
        return ipv4::dont_fragment(packet.bytes()) && !packet.fits(mtu);
    }
    match packet.largest_fragment(true) {
        0 => !packet.fits(mtu),
        largest => largest > mtu,
    }
}
