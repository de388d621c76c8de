// SPDX-License-Identifier: GPL-2.0

//! Tunnelling: the packet travels inside another one to the real server.

use core::net::IpAddr;

use super::{dest_path, earn, header, least_mtu, local, may_leave, narrowed, stay, touch};
use crate::flow::{Family, Flow, Flows, Why};
use crate::packet::tunnel::{self, Inner};
use crate::packet::{number, rewrite, Context};
use crate::sys::index::Side;
use crate::sys::policy::Ends;
use crate::sys::route::{has_policies, Path};
use crate::sys::skb::{Origin, Packet, Verdict};

/// What a way with `mtu` leaves for the packet inside; `None`: too little to be a way.
fn room(path: &Path, mtu: u32) -> Option<u32> {
    let room = mtu.checked_sub(tunnel::length(path.to) as u32)?;
    (room >= least_mtu(path.to.is_ipv6())).then_some(room)
}

/// What the policies ask of the outer packet.
fn ends<A: Family>(path: &Path) -> Ends {
    let proto = if A::V6 { number::IPV6 } else { number::IPIP };
    Ends::new(path.source, path.to, (proto, 0, 0))
}

/// By the ordinary output.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    ttl: u8,
    own: bool,
) -> Verdict {
    let (path, mtu) = match dest_path(packet.rcu(), flows, flow) {
        Ok(known) => known,
        Err(none) => return none.drop(packet),
    };
    if path.is_local() {
        return local::request(packet);
    }
    let Some(room) = room(path, mtu) else {
        return packet.drop();
    };
    let policed = narrowed::<A>(&packet, path, mtu, || ends::<A>(path));
    let room = room.min(policed.saturating_sub(tunnel::length(path.to) as u32));
    // Nobody can be told of less; the outer packet is fragmented then.
    let limit = match !A::V6 && path.may_fragment() {
        true => u32::MAX,
        false => room.max(least_mtu(A::V6)),
    };
    if !may_leave(&mut packet, flow.request.src, ttl, limit) {
        return packet.drop();
    }
    let inner = header::<A>(&mut packet).and_then(age::<A>);
    if !inner.is_some_and(|inner| encapsulate(&mut packet, path, inner)) {
        return packet.drop();
    }
    packet.orphan();
    if packet.is_straight(path) {
        if own {
            earn::request_by(flows, &packet, flow, Some(path));
        }
        return packet.send_straight(path);
    }
    packet.send_tunnelled(path)
}

/// Past the other hooks.
#[inline(always)]
pub(crate) fn request_early<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    (origin, path): (&Origin, &Path),
) -> Verdict {
    if path.to.is_ipv6() != A::V6 && has_policies(flows.net()) {
        // New policies make routes of their own family void only.
        return stay(flows, packet, Why::Policy);
    }
    let spare = tunnel::length(path.to) as u32;
    let ready = match packet.ready(origin, path, spare, A::HEADER as u32) {
        Ok(ready) if room(path, ready.mtu()).is_some() => ready,
        Ok(_) => return stay(flows, packet, Why::Size),
        Err(why) => return stay(flows, packet, why.into()),
    };
    let len = packet.len();
    touch(flows, &packet, flow, Side::First, context.flags);
    let inner = age::<A>(packet.own(&ready));
    if !inner.is_some_and(|inner| encapsulate(&mut packet, path, inner)) {
        return packet.drop();
    }
    packet.send_early(path, &flow.dest.stats, len, Side::First)
}

/// Takes one from the TTL; returns what the outer header takes from the packet.
#[inline(always)]
fn age<A: Family>(bytes: &mut [u8]) -> Option<Inner> {
    rewrite::age::<A>(bytes)?;
    Inner::read::<A>(bytes)
}

/// Puts the outer header in front. False: drop the packet.
#[inline(always)]
fn encapsulate(packet: &mut Packet<'_>, path: &Path, inner: Inner) -> bool {
    put_outer(packet, path, inner).is_some()
}

#[inline(always)]
fn put_outer(packet: &mut Packet<'_>, path: &Path, inner: Inner) -> Option<()> {
    let payload = packet.len();
    let length = tunnel::length(path.to);
    let total = payload.checked_add(length as u32)?;
    let inner = Inner {
        // IPVS, `pmtu_disc`.
        df: inner.df && !path.may_fragment(),
        ..inner
    };
    let head = packet.encapsulate(path, length, inner.v6)?;
    match (path.source, path.to) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            tunnel::put_ipv4(head, src, dst, inner, total)?;
            packet.seal();
            Some(())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => tunnel::put_ipv6(head, src, dst, inner, payload),
        _ => None,
    }
}
