// SPDX-License-Identifier: GPL-2.0

//! A packet of a known flow, at the hooks where IPVS works.

use super::{schedule, Stack};
use crate::director::{Director, Why};
use crate::flow::Flow;
use crate::forward::{self, earn};
use crate::packet::Context;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::rcu::Rcu;
use crate::sys::skb::{Packet, Verdict};
use crate::sys::tracking::Tracking;

/// Whether the packet opens a new connection over the addresses of one that is over.
///
/// A server's SYN does only if it is for a service itself.
#[inline(always)]
pub(crate) fn starts_over<A: Stack>(
    director: &Director,
    rcu: &Rcu,
    (flow, side): (&Flow<A>, Side),
    context: &Context<A>,
) -> bool {
    context.may_create()
        && flow.is_over()
        && (side == Side::First || schedule::service_of(director, rcu, context).is_some())
}

/// Sends a client's packet to the real server.
pub(crate) fn request<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if !flow.dest.available() {
        // As IPVS: the flow gets no more packets and expires.
        return packet.drop();
    }
    if !passes(director, &mut packet, flow, context, Side::First) {
        return packet.drop();
    }
    flow.dest.stats.packet_in(packet.len());
    forward::request(director, packet, flow, context)
}

/// Sends a real server's packet to the client.
pub(crate) fn reply<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if !passes(director, &mut packet, flow, context, Side::Second) {
        return packet.drop();
    }
    if flow.dest.available() {
        flow.dest.stats.packet_out(packet.len());
    }
    forward::nat::reply(director, packet, flow, context)
}

/// What every packet of a flow goes through that goes the ordinary way. False: drop it.
fn passes<A: Stack>(
    director: &Director,
    packet: &mut Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    side: Side,
) -> bool {
    if !is_let_in::<A>(packet) {
        return false;
    }
    if packet.place() == Place::LocalIn && flow.is_fullnat() {
        match packet.arrive() {
            Tracking::Refused => return false,
            answer => flow.show(side, answer == Tracking::Tracked),
        }
    }
    if side == Side::Second && context.opens() {
        flow.doubt();
    }
    if forward::touch(director, packet, flow, side, context.flags) {
        earn::reconsider(director, packet, flow, side);
    }
    if director.gate.stamp().is_some() {
        note(director, packet, context);
    }
    true
}

/// Whether IPsec's policies let the host take a packet in: the socket that asks them is passed by.
pub(crate) fn is_let_in<A: Stack>(packet: &mut Packet<'_>) -> bool {
    packet.place() != Place::LocalIn || packet.is_let_in(A::V6)
}

/// Counts why the packet was not even looked up early.
fn note<A: Stack>(director: &Director, packet: &Packet<'_>, context: &Context<A>) {
    // While its route still tells whether it had to wait: it will get another one.
    let _ = packet.origin(A::V6);
    if context.opens() {
        director.late.count(Why::Syn);
    } else if A::parse_plain(packet.bytes()).is_none() || packet.largest_fragment(A::V6) != 0 {
        director.late.count(Why::Form);
    }
}
