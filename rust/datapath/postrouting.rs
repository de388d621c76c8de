// SPDX-License-Identifier: GPL-2.0

//! POSTROUTING, behind everybody else: packets that have gone the ordinary way to its end, and
//! by that decide for those that follow.

use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{parse, parse_quoted};
use crate::director::Director;
use crate::flow::{Family, Flow, Flows};
use crate::forward::earn;
use crate::packet::tunnel::{self, Carried};
use crate::packet::{Context, Parsed};
use crate::sys::hook::Hook;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::skb::{Packet, Verdict};
use crate::wire::uapi::fwd;

/// The last of all.
const PRIORITY: i32 = i32::MAX;

/// The hook.
pub(crate) struct PostRouting<A>(PhantomData<A>);

impl<A: Family> Hook for PostRouting<A> {
    type Data = Director;
    const PLACE: Place = Place::PostRouting;
    const PRIORITY: i32 = PRIORITY;

    fn run(director: &Director, mut packet: Packet<'_>) -> Verdict {
        let flows = &director.flows;
        let open = flows.gate.stamp().is_some();
        if open && packet.facts().marked() && packet.origin(A::V6).interface() != 0 {
            look::<A>(flows, &mut packet);
        }
        packet.accept()
    }
}

/// Finds the flow that the packet, as it leaves, belongs to.
fn look<A: Family>(flows: &Flows, packet: &mut Packet<'_>) {
    match tunnel::carried::<A>(packet.bytes()) {
        Some(Carried { v6: true, to, at }) => tunnelled::<Ipv6Addr>(flows, packet, to, at),
        Some(Carried { v6: false, to, at }) => tunnelled::<Ipv4Addr>(flows, packet, to, at),
        None => {
            if let Parsed::Flow(context) = parse::<A>(packet) {
                plain(flows, packet, &context);
            }
        }
    }
}

/// A packet that leaves without an outer header.
fn plain<A: Family>(flows: &Flows, packet: &mut Packet<'_>, context: &Context<A>) {
    let rcu = packet.rcu();
    let table = A::table(flows);
    let back = context.tuple.reversed();
    match table.find_tuple(rcu, back, context.proto) {
        Some((flow, Side::First)) if flow.translates() => earn::answer(flows, packet, flow),
        Some((_, Side::First)) => {}
        Some((flow, Side::Second)) => earn::request(flows, packet, flow),
        None => match table.find(rcu, context) {
            Some((flow, Side::First)) if u32::from(flow.method) == fwd::DROUTE => {
                earn::request(flows, packet, flow);
            }
            _ => {}
        },
    }
}

/// A packet inside another one to the real server `to`.
fn tunnelled<B: Family>(flows: &Flows, packet: &mut Packet<'_>, to: IpAddr, at: usize) {
    let Parsed::Flow(context) = parse_quoted::<B>(packet, at) else {
        return;
    };
    let flow = B::table(flows).find(packet.rcu(), &context);
    let ours = |flow: &Flow<B>| u32::from(flow.method) == fwd::TUNNEL && flow.dest.addr == to;
    match flow {
        Some((flow, Side::First)) if ours(flow) => earn::request(flows, packet, flow),
        _ => {}
    }
}
