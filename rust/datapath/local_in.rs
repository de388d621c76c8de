// SPDX-License-Identifier: GPL-2.0

//! LOCAL_IN: packets for this host, behind its packet filter. New flows begin here.

use core::marker::PhantomData;

use super::{callout, icmp, known, parse, renew, schedule, stray};
use crate::director::Director;
use crate::flow::Family;
use crate::packet::{Context, Parsed};
use crate::sys::hook::Hook;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};

/// Where IPVS sits: behind the filter (0), one before source NAT (100).
const PRIORITY: i32 = 99;

/// The hook.
pub(crate) struct LocalIn<A>(PhantomData<A>);

impl<A: Family> Hook for LocalIn<A> {
    type Data = Director;
    const PLACE: Place = Place::LocalIn;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, mut packet: Packet<'_>) -> Verdict {
        let facts = packet.facts();
        if facts.marked() || !facts.to_us() || !facts.routed() {
            return packet.accept();
        }
        match parse::<A>(&mut packet) {
            Parsed::Flow(context) => flow(director, packet, &context),
            Parsed::Error(quote) => icmp::error(director, packet, &quote),
            Parsed::TunnelError(quote) => icmp::tunnel_error::<A>(&director.flows, packet, &quote),
            Parsed::Short(_) => packet.drop(),
            Parsed::Other => stray::other::<A>(director, packet),
            _ => packet.accept(),
        }
    }
}

/// Sends a packet on over its flow, a known or a new one.
pub(super) fn flow<A: Family>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
) -> Verdict {
    let rcu = packet.rcu();
    let flows = A::table(&director.flows);
    match flows.find(rcu, context) {
        Some(found) if renew::ends_here(director, &packet, found, context) => {
            schedule::schedule(director, packet, context, Some(found.0))
        }
        Some((flow, Side::First)) => known::request(&director.flows, packet, flow, context),
        Some((flow, Side::Second)) => known::reply(&director.flows, packet, flow, context),
        None => match outward(director, packet, context) {
            Ok(verdict) => verdict,
            Err(packet) => strange(director, packet, context),
        },
    }
}

/// A packet of a real server on this host may begin a flow.
#[inline(always)]
fn outward<'a, A: Family>(
    director: &'a Director,
    packet: Packet<'a>,
    context: &Context<A>,
) -> Result<Verdict, Packet<'a>> {
    match packet.place() {
        Place::LocalOut => callout::begin(director, packet, context),
        _ => Err(packet),
    }
}

/// A packet of no flow.
#[inline(always)]
fn strange<A: Family>(director: &Director, packet: Packet<'_>, context: &Context<A>) -> Verdict {
    match stray::is_answer(director, packet.rcu(), context) {
        true => stray::reject::<A>(packet),
        false => schedule::schedule(director, packet, context, None),
    }
}
