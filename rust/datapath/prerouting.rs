// SPDX-License-Identifier: GPL-2.0

//! PREROUTING: packets of known flows, ahead of connection tracking, routing and filters.

use core::marker::PhantomData;

use super::known::opens;
use super::Stack;
use crate::director::Director;
use crate::forward;
use crate::packet::Context;
use crate::sys::hook::{Hook, Place};
use crate::sys::index::Side;
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
        if A::flows(director).len() == 0 || !director.config.early() {
            return packet.accept();
        }
        packet.have(A::PLAIN);
        match A::parse_plain(packet.bytes()) {
            Some(context) if opens(&context) => {
                // Scheduled at LOCAL_IN; until then its place in the table is on its way.
                A::flows(director).announce(packet.rcu(), &context);
                packet.accept()
            }
            Some(context) if context.ttl > 1 => known(director, packet, &context),
            _ => packet.accept(),
        }
    }
}

/// Sends a packet of a known flow on; whatever is out of the ordinary goes the ordinary way.
#[inline(always)]
fn known<A: Stack>(director: &Director, packet: Packet<'_>, context: &Context<A>) -> Verdict {
    let rcu = packet.rcu();
    let Some((flow, side)) = A::flows(director).find(rcu, context) else {
        return packet.accept();
    };
    if !flow.may_go_early(side) || !flow.dest.available() {
        return packet.accept();
    }
    match side {
        Side::First => forward::request_early(packet, flow, context),
        Side::Second => forward::nat::reply_early(director, packet, flow, context),
    }
}
