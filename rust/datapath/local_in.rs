// SPDX-License-Identifier: GPL-2.0

//! LOCAL_IN: packets for this host, behind its packet filter. New flows begin here.

use core::marker::PhantomData;

use super::{icmp, known, parse, schedule};
use crate::director::Director;
use crate::flow::{Family, Flow};
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
            Parsed::Error(quote) => icmp::error(&director.flows, packet, &quote),
            Parsed::TunnelError(quote) => icmp::tunnel_error::<A>(&director.flows, packet, &quote),
            Parsed::Short(_) => packet.drop(),
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
        Some(found) if starts_over(director, &packet, found, context) => {
            schedule::schedule(director, packet, context, Some(found.0))
        }
        Some((flow, Side::First)) => known::request(&director.flows, packet, flow, context),
        Some((flow, Side::Second)) => known::reply(&director.flows, packet, flow, context),
        None => schedule::schedule(director, packet, context, None),
    }
}

/// Whether the packet begins anew over the addresses of a connection that is over.
///
/// As IPVS: any SYN ends that one, even if it opens none itself (with RST). A server's SYN does only if it is for a service itself.
/// IPVS: none does over a connection that began by a template, which goes on at the same destination.
#[inline(always)]
fn starts_over<A: Family>(
    director: &Director,
    packet: &Packet<'_>,
    (flow, side): (&Flow<A>, Side),
    context: &Context<A>,
) -> bool {
    context.opens()
        && flow.is_over()
        && !flow.is_persistent()
        && (side == Side::First || schedule::service_of(director, packet, context).is_some())
}
