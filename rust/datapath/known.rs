// SPDX-License-Identifier: GPL-2.0

//! A packet of a known flow, at the hooks where IPVS works.

use crate::director::Director;
use crate::flow::{Family, Flow, Flows, Why};
use crate::forward::{self, earn};
use crate::packet::{Context, Tuple};
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};
use crate::sys::tracking::Tracking;

/// Sends a client's packet to the real server.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if !flow.dest.available() {
        // As IPVS: the flow gets no more packets and expires.
        return packet.drop();
    }
    if !passes(flows, &mut packet, flow, context, Side::First) {
        return packet.drop();
    }
    flow.dest.stats.packet_in(packet.len());
    forward::request(flows, packet, flow, context)
}

/// Sends a real server's packet to the client.
pub(crate) fn reply<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if !passes(flows, &mut packet, flow, context, Side::Second) {
        return packet.drop();
    }
    flow.dest.count_out(packet.len());
    forward::nat::reply(flows, packet, flow, context)
}

/// A packet that no flow's key fits goes on; an answer whose addresses stay as they are is noted.
pub(crate) fn past<A: Family>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
) -> Verdict {
    match answered(director, &packet, context.tuple, context.proto) {
        Some(flow) => answer(director, packet, flow, context),
        None => packet.accept(),
    }
}

/// An answer whose addresses stay as they are goes on: as in IPVS it moves its connection's state
/// on, and from then on both ends do.
pub(super) fn answer<A: Family>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    flow.hear_answers();
    put_label(&mut packet, flow);
    let _ = forward::touch(&director.flows, &packet, flow, Side::Second, context.flags);
    flow.dest.count_out(packet.len());
    packet.accept_marked()
}

/// The flow that a packet with this tuple is an answer of, if its addresses stay as they are; none
/// if the family has no service any more, as then IPVS sees nothing.
pub(super) fn answered<'a, A: Family>(
    director: &'a Director,
    packet: &Packet<'a>,
    answer: Tuple<A>,
    proto: u8,
) -> Option<&'a Flow<A>> {
    let flow = director.flows.answered(packet.rcu(), answer, proto);
    flow.filter(|_| !director.services.is_empty(A::V6))
}

/// What every packet of a flow goes through that goes the ordinary way. False: drop it.
fn passes<A: Family>(
    flows: &Flows,
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
    if forward::touch(flows, packet, flow, side, context.flags) {
        earn::reconsider(flows, packet, flow, side);
    }
    if flows.gate.stamp().is_some() {
        note(flows, packet, context);
    }
    put_label(packet, flow);
    true
}

/// Lets the host's other rules know the packet as its service's.
#[inline(always)]
fn put_label<A: Family>(packet: &mut Packet<'_>, flow: &Flow<A>) {
    let label = flow.dest.label();
    if !label.is_none() {
        packet.set_mark(label.on(packet.mark()));
    }
}

/// Whether IPsec's policies let the host take a packet in: the socket that asks them is passed by.
pub(crate) fn is_let_in<A: Family>(packet: &mut Packet<'_>) -> bool {
    packet.place() != Place::LocalIn || packet.is_let_in(A::V6)
}

/// Counts why the packet was not even looked up early.
fn note<A: Family>(flows: &Flows, packet: &Packet<'_>, context: &Context<A>) {
    // While its route still tells whether it had to wait: it will get another one.
    let _ = packet.origin(A::V6);
    if context.opens() {
        flows.late.count(Why::Syn);
    } else if A::parse_plain(packet.bytes()).is_none() || packet.largest_fragment(A::V6) != 0 {
        flows.late.count(Why::Form);
    }
}
