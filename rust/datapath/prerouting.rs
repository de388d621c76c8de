// SPDX-License-Identifier: GPL-2.0

//! PREROUTING: packets of known flows, ahead of connection tracking, routing and filters.

use core::marker::PhantomData;

use crate::director::Director;
use crate::flow::ways::Way;
use crate::flow::{Family, Flow, Flows, Why};
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

impl<A: Family> Hook for PreRouting<A> {
    type Data = Director;
    const PLACE: Place = Place::PreRouting;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, mut packet: Packet<'_>) -> Verdict {
        let flows = &director.flows;
        let Some(stamp) = flows.gate.stamp() else {
            return packet.accept();
        };
        if A::table(flows).len() == 0 {
            return packet.accept();
        }
        packet.have(A::PLAIN);
        match A::parse_plain(packet.bytes()) {
            Some(context) if context.opens() => {
                if context.begins() {
                    // Scheduled at LOCAL_IN; until then its place in the table is on its way.
                    A::table(flows).announce(packet.rcu(), &context);
                }
                packet.accept()
            }
            Some(context) => known(flows, packet, &context, stamp),
            None => packet.accept(),
        }
    }
}

/// Sends a packet of a known flow on; whatever is out of the ordinary goes the ordinary way.
#[inline(always)]
fn known<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    context: &Context<A>,
    stamp: u32,
) -> Verdict {
    let rcu = packet.rcu();
    let Some((flow, side)) = A::table(flows).find(rcu, context) else {
        return packet.accept();
    };
    let way = flows.ways.get(rcu, flow.way(side));
    let Some(way) = way.filter(|way| way.has(stamp)) else {
        return stay(flows, packet, Why::Unmarked);
    };
    match obstacle(flow, side, way, &packet, context) {
        Some(why) => stay(flows, packet, why),
        None if side == Side::First => forward::request_early(flows, packet, flow, context, way),
        None => forward::nat::reply_early(flows, packet, flow, context, way),
    }
}

/// Why a packet can't go early by `way`, as far as the packet itself tells.
#[inline(always)]
fn obstacle<A: Family>(
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
