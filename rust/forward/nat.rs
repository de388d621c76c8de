// SPDX-License-Identifier: GPL-2.0

//! NAT and FULLNAT: the packet gets other addresses and ports, both ways.
//!
//! The two differ only in what a flow's reply tuple says: the client's address with NAT,
//! a local address and port with FULLNAT.

use core::net::IpAddr;

use super::{dest_path, may_leave};
use crate::datapath::Stack;
use crate::director::Director;
use crate::flow::Flow;
use crate::packet::icmp::Quote;
use crate::packet::{l4, rewrite, Context, Tuple};
use crate::sys::hook::Place;
use crate::sys::index::Side;
use crate::sys::rcu::Rcu;
use crate::sys::route::{Path, Query};
use crate::sys::skb::{Packet, Verdict};

/// Rewrites a packet; with `age` it also loses one from its TTL. False: drop it.
#[inline(always)]
fn translate<A: Stack>(
    packet: &mut Packet<'_>,
    context: &Context<A>,
    to: &Tuple<A>,
    partial: bool,
    age: bool,
) -> bool {
    let bytes = reach(context).and_then(|reach| packet.writable(reach as usize));
    bytes
        .and_then(|bytes| rewrite::rewrite(bytes, context, to, partial, age))
        .is_some()
}

/// Bytes up to the end of what changes: the checksum of TCP or UDP.
#[inline(always)]
fn reach<A>(context: &Context<A>) -> Option<u32> {
    let check = l4::check_at(context.proto)?;
    u32::try_from(context.l4.checked_add(check)?.checked_add(2)?).ok()
}

/// A client's packet, by the ordinary output.
pub(crate) fn request<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    let Some((path, mtu)) = dest_path(packet.rcu(), director.net(), &flow.dest) else {
        packet.link_failure();
        return packet.drop();
    };
    let to = flow.translated(Side::First);
    if path.is_local() {
        return deliver(packet, context, &to);
    }
    if may_leave::<A>(&mut packet, context.ttl, mtu) {
        send(packet, context, &to, path)
    } else {
        packet.drop()
    }
}

/// Rewrites a packet and sends it by the ordinary output.
fn send<A: Stack>(
    mut packet: Packet<'_>,
    context: &Context<A>,
    to: &Tuple<A>,
    path: &Path,
) -> Verdict {
    let partial = packet.facts().partial();
    if !translate(&mut packet, context, to, partial, true) {
        return packet.drop();
    }
    packet.orphan();
    packet.send_out(path)
}

/// Rewrites a packet whose new destination is this host, and lets it go on.
fn deliver<A: Stack>(mut packet: Packet<'_>, context: &Context<A>, to: &Tuple<A>) -> Verdict {
    // Nobody outside may reach what listens on the loopback address alone (as IPVS).
    let dst: IpAddr = to.dst.into();
    let outside = packet.place() == Place::LocalIn && dst.is_loopback();
    let partial = packet.facts().partial();
    if outside || !translate(&mut packet, context, to, partial, false) {
        return packet.drop();
    }
    packet.orphan();
    packet.accept_marked()
}

/// A packet of a known flow by `path`, past the other hooks.
#[inline(always)]
pub(crate) fn translate_early<A: Stack>(
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    path: &Path,
    side: Side,
) -> Verdict {
    let Some(ready) = reach(context).and_then(|reach| packet.ready(path, 0, reach)) else {
        return packet.accept();
    };
    flow.touch(side, context.flags);
    let to = flow.translated(side);
    let bytes = packet.own(&ready);
    if rewrite::rewrite(bytes, context, &to, ready.partial(), true).is_none() {
        return packet.drop();
    }
    let len = packet.len();
    packet.send_early(path, &flow.dest.stats, len, side)
}

/// A real server's packet, past the other hooks.
#[inline(always)]
pub(crate) fn reply_early<A: Stack>(
    director: &Director,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    match director.paths.get(packet.rcu(), flow.ticket()) {
        Some(path) if path.is_direct() => {
            translate_early(packet, flow, context, path, Side::Second)
        }
        _ => packet.accept(),
    }
}

/// The way back to the flow's client with its MTU, looked up if need be.
fn client_path<'a, A: Stack>(
    director: &'a Director,
    rcu: &'a Rcu,
    flow: &Flow<A>,
) -> Option<(&'a Path, u32)> {
    if let Some(path) = director.paths.get(rcu, flow.ticket()) {
        if let Some(mtu) = path.mtu() {
            return Some((path, mtu));
        }
    }
    let query = Query {
        to: flow.request.src.into(),
        from: Some(flow.request.dst.into()),
        mark: 0,
        next_hop: false,
    };
    let (path, mtu, ticket) = director.paths.find(rcu, director.net(), query)?;
    flow.set_ticket(ticket);
    Some((path, mtu))
}

/// A real server's packet, at the hooks where IPVS works.
pub(crate) fn reply<A: Stack>(
    director: &Director,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    let to = flow.translated(Side::Second);
    let path = client_path(director, packet.rcu(), flow);
    if packet.place() != Place::LocalOut {
        flow.let_replies_go_early();
    }
    match packet.place() {
        Place::LocalIn => reply_from_local_in(packet, context, &to, path),
        _ => pass_on(packet, context, &to, path),
    }
}

/// The reply was sent to this host: to the local address, or because the client is here.
fn reply_from_local_in<A: Stack>(
    mut packet: Packet<'_>,
    context: &Context<A>,
    to: &Tuple<A>,
    path: Option<(&Path, u32)>,
) -> Verdict {
    match path {
        Some((path, _)) if path.is_local() => deliver(packet, context, to),
        Some((path, mtu)) if may_leave::<A>(&mut packet, context.ttl, mtu) => {
            send(packet, context, to, path)
        }
        Some(_) => packet.drop(),
        None => {
            packet.link_failure();
            packet.drop()
        }
    }
}

/// The reply is on its way out already: the host has taken one from its TTL.
fn pass_on<'a, A: Stack>(
    mut packet: Packet<'a>,
    context: &Context<A>,
    to: &Tuple<A>,
    path: Option<(&'a Path, u32)>,
) -> Verdict {
    let partial = packet.facts().partial();
    if !translate(&mut packet, context, to, partial, false) {
        return packet.drop();
    }
    go_out(packet, path)
}

/// Lets a rewritten packet go on, over the way that suits its new addresses.
fn go_out<'a>(mut packet: Packet<'a>, path: Option<(&'a Path, u32)>) -> Verdict {
    match path {
        Some((path, _)) if !path.is_local() => packet.set_route(path),
        _ => {}
    }
    packet.accept_marked()
}

/// An ICMP error about a reply, to the real server.
pub(crate) fn error_to_server<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    let Some((path, _)) = dest_path(packet.rcu(), director.net(), &flow.dest) else {
        return packet.drop();
    };
    // The real server knows the client by the local address, if there is one.
    let src = if flow.is_fullnat() {
        flow.reply.dst
    } else {
        quote.src
    };
    let age = !path.is_local();
    if !translate_error(&mut packet, quote, src, flow.reply.src, &flow.reply, age) {
        return packet.drop();
    }
    if path.is_local() {
        return packet.accept_marked();
    }
    packet.orphan();
    packet.send_out(path)
}

/// An ICMP error about a request, to the client.
pub(crate) fn error_to_client<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    let path = client_path(director, packet.rcu(), flow);
    let far = path.is_some_and(|(path, _)| !path.is_local());
    let turn = packet.place() == Place::LocalIn && far;
    let (src, dst) = (flow.request.dst, flow.request.src);
    if !translate_error(&mut packet, quote, src, dst, &flow.request, turn) {
        return packet.drop();
    }
    match path {
        Some((path, _)) if turn => {
            packet.orphan();
            packet.send_out(path)
        }
        path => go_out(packet, path),
    }
}

/// Rewrites an ICMP error and what it quotes. False: drop it.
fn translate_error<A: Stack>(
    packet: &mut Packet<'_>,
    quote: &Quote<A>,
    src: A,
    dst: A,
    quoted: &Tuple<A>,
    age: bool,
) -> bool {
    let sound = packet.icmp_is_valid(quote.icmp, A::V6) && packet.complete_checksum();
    if !sound || (age && quote.ttl <= 1) {
        return false;
    }
    let reach = quote.reach(packet.len() as usize);
    let Some(bytes) = packet.writable(reach) else {
        return false;
    };
    quote.translate(bytes, src, dst, quoted).is_some()
        && (!age || rewrite::age::<A>(bytes).is_some())
}
