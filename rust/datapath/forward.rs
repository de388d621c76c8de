// SPDX-License-Identifier: GPL-2.0

//! FORWARD: answers of real servers on their way through, behind the packet filter.

use core::marker::PhantomData;

use super::{callout, icmp, known, parse, stray};
use crate::director::Director;
use crate::flow::Family;
use crate::packet::{Context, Parsed};
use crate::sys::hook::Hook;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};

/// Where IPVS sits.
const PRIORITY: i32 = 99;

/// The hook.
pub(crate) struct Forward<A>(PhantomData<A>);

impl<A: Family> Hook for Forward<A> {
    type Data = Director;
    const PLACE: Place = Place::Forward;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, packet: Packet<'_>) -> Verdict {
        let facts = packet.facts();
        if facts.marked() || !facts.routed() || is_idle::<A>(director) {
            return packet.accept();
        }
        through::<A>(director, packet)
    }
}

/// Whether nothing that comes through means anything here.
#[inline(always)]
fn is_idle<A: Family>(director: &Director) -> bool {
    // IPVS reassembles IPv4 fragments as long as there are services.
    let reassembles = !A::V6 && !director.services.is_empty(false);
    A::table(&director.flows).len() == 0
        && !reassembles
        && !director.config.looks_at_strangers()
        && !director.services.call_out(A::V6)
}

fn through<A: Family>(director: &Director, mut packet: Packet<'_>) -> Verdict {
    match parse::<A>(&mut packet) {
        Parsed::Flow(context) => answer(director, packet, &context),
        Parsed::Error(quote) => icmp::error(director, packet, &quote),
        // IPv6 fragments were reassembled before, if the kernel can.
        Parsed::Fragment if !A::V6 => match packet.defragment4() {
            Ok(whole) => reassembled::<A>(director, whole),
            Err(kept) => kept,
        },
        Parsed::Short(_) => packet.drop(),
        _ => packet.accept(),
    }
}

fn reassembled<A: Family>(director: &Director, mut packet: Packet<'_>) -> Verdict {
    match parse::<A>(&mut packet) {
        Parsed::Flow(context) => answer(director, packet, &context),
        Parsed::Error(quote) => icmp::error(director, packet, &quote),
        Parsed::Short(_) => packet.drop(),
        _ => packet.accept(),
    }
}

fn answer<A: Family>(director: &Director, packet: Packet<'_>, context: &Context<A>) -> Verdict {
    let (rcu, flows) = (packet.rcu(), &director.flows);
    match A::table(flows).find(rcu, context) {
        Some((flow, Side::Second)) => known::reply(flows, packet, flow, context),
        Some((_, Side::First)) => packet.accept(),
        None => match callout::begin(director, packet, context) {
            Ok(verdict) => verdict,
            Err(packet) => strange(director, packet, context),
        },
    }
}

/// A packet of no flow.
fn strange<A: Family>(director: &Director, packet: Packet<'_>, context: &Context<A>) -> Verdict {
    match stray::is_answer(director, packet.rcu(), context) {
        true => stray::reject::<A>(packet),
        false => known::past(director, packet, context),
    }
}
