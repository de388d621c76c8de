// SPDX-License-Identifier: GPL-2.0

//! LOCAL_OUT: clients and real servers on the director itself.

use core::marker::PhantomData;

use super::{icmp, local_in, parse, stray};
use crate::director::Director;
use crate::flow::{Family, Flows};
use crate::packet::Parsed;
use crate::sys::hook::Hook;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};

/// Where IPVS sits: behind connection tracking and destination NAT (-100).
const PRIORITY: i32 = -98;

/// The hook.
pub(crate) struct LocalOut<A>(PhantomData<A>);

impl<A: Family> Hook for LocalOut<A> {
    type Data = Director;
    const PLACE: Place = Place::LocalOut;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, mut packet: Packet<'_>) -> Verdict {
        let facts = packet.facts();
        if facts.marked() {
            guard::<A>(&director.flows, &mut packet);
            return packet.accept();
        }
        if !facts.routed() || facts.nodefrag() {
            return packet.accept();
        }
        match parse::<A>(&mut packet) {
            Parsed::Flow(context) => local_in::flow(director, packet, &context),
            Parsed::Error(quote) => icmp::error(director, packet, &quote),
            Parsed::Short(_) => packet.drop(),
            Parsed::Other => stray::other::<A>(director, packet),
            _ => packet.accept(),
        }
    }
}

/// Keeps the host's own NAT away from a FULLNAT connection to a real server; others that are
/// marked may be IPVS's.
fn guard<A: Family>(flows: &Flows, packet: &mut Packet<'_>) {
    if !packet.is_open() {
        return;
    }
    if let Parsed::Flow(context) = parse::<A>(packet) {
        let back = context.tuple.reversed();
        let flow = A::table(flows).find_tuple(packet.rcu(), back, context.proto);
        if flow.is_some_and(|(flow, _)| flow.is_fullnat()) {
            packet.keep_addresses();
        }
    }
}
