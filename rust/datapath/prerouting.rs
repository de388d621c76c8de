// SPDX-License-Identifier: GPL-2.0

//! PREROUTING: packets of known flows, ahead of connection tracking, routing and filters.

use core::marker::PhantomData;

use super::Stack;
use crate::director::{Director, Why};
use crate::flow::ways::Way;
use crate::flow::Flow;
use crate::forward::{self, stay};
use crate::packet::Context;
use crate::sys::hook::Hook;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};

/// One before the reassembly of fragments, which comes before connection tracking (-400);
/// tables that hook in ahead of it (-450) still see all packets.
const PRIORITY: i32 = -401;

/// The hook.
pub(crate) struct PreRouting<A>(PhantomData<A>);

impl<A: Stack> Hook for PreRouting<A> {
    type Data = Director;
    const PLACE: Place = Place::PreRouting;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, mut packet: Packet<'_>) -> Verdict {
        let Some(stamp) = director.gate.stamp() else {
            return packet.accept();
        };
        if A::flows(director).len() == 0 {
            return packet.accept();
        }
        packet.have(A::PLAIN);
        match A::parse_plain(packet.bytes()) {
            Some(context) if context.opens() => {
                if context.begins() {
                    // Scheduled at LOCAL_IN; until then its place in the table is on its way.
                    A::flows(director).announce(packet.rcu(), &context);
                }
                packet.accept()
            }
            Some(context) => known(director, packet, &context, stamp),
            None => packet.accept(),
        }
    }
}

/// Sends a packet of a known flow on; whatever is out of the ordinary goes the ordinary way.
#[inline(always)]
fn known<A: Stack>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
    stamp: u32,
) -> Verdict {
    let rcu = packet.rcu();
    let Some((flow, side)) = A::flows(director).find(rcu, context) else {
        return packet.accept();
    };
    let way = director.ways.get(rcu, flow.ticket(side));
    let Some(way) = way.filter(|way| way.has(stamp)) else {
        return stay(director, packet, Why::Unmarked);
    };
    match obstacle(flow, side, way, &packet, context) {
        Some(why) => stay(director, packet, why),
        None if side == Side::First => forward::request_early(director, packet, flow, context, way),
        None => forward::nat::reply_early(director, packet, flow, context, way),
    }
}

/// Why a packet can't go early by `way`, as far as the packet itself tells.
#[inline(always)]
fn obstacle<A: Stack>(
    flow: &Flow<A>,
    side: Side,
    way: &Way,
    packet: &Packet<'_>,
    context: &Context<A>,
) -> Option<Why> {
    if context.ttl <= 1 {
        Some(Why::Ttl)
    } else if !flow.dest.available() {
        Some(Why::Path)
    } else if flow.must_show(side, context.flags) {
        Some(Why::Tracking)
    } else if side == Side::Second && A::class(packet.bytes()) != way.class {
        Some(Why::Interface)
    } else {
        None
    }
}
