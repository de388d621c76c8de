// SPDX-License-Identifier: GPL-2.0

//! ICMP errors: matched by the packet that they quote, translated, sent on.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::known::{self, is_let_in};
use super::persist::Failed;
use super::schedule;
use crate::director::Director;
use crate::flow::{Family, Flow, Flows};
use crate::forward::{self, nat};
use crate::packet::icmp::{Quote, TunnelQuote};
use crate::packet::{ipv4, tunnel, Context, Parsed};
use crate::service::Dest;
use crate::sys::index::Side;
use crate::sys::net::Net;
use crate::sys::route::{addr_type, AddrType, Hints, Path, Query, Route};
use crate::sys::skb::{Icmp, Packet, Verdict};
use crate::wire::uapi::fwd;

/// Sends an error about a packet of a known flow to the one who sent that packet.
pub(crate) fn error<A: Family>(
    director: &Director,
    mut packet: Packet<'_>,
    quote: &Quote<A>,
) -> Verdict {
    let (rcu, flows) = (packet.rcu(), &director.flows);
    if A::destination(packet.bytes()) != Some(quote.context.tuple.src) {
        // It is for the sender of what it quotes: whoever it is for otherwise, it is not for us.
        return packet.accept();
    }
    let back = quote.context.tuple.reversed();
    let found = A::table(flows).find_tuple(rcu, back, quote.context.proto);
    if found.is_some() && !is_let_in::<A>(&mut packet) {
        return packet.drop();
    }
    match found {
        Some((flow, Side::First)) => to_server(flows, packet, flow, quote),
        Some((flow, Side::Second)) => to_client(flows, packet, flow, quote),
        None => past(director, packet, quote),
    }
}

/// An error about a request whose addresses were left alone is the client's own already: it is
/// counted, and passes.
fn past<A: Family>(director: &Director, packet: Packet<'_>, quote: &Quote<A>) -> Verdict {
    let back = quote.context.tuple.reversed();
    let Some(flow) = known::answered(director, &packet, back, quote.context.proto) else {
        return match director.config.schedule_icmp() {
            true => begin(director, packet, quote),
            false => packet.accept(),
        };
    };
    flow.dest.count_out(packet.len());
    packet.accept_marked()
}

/// An error about a reply of no flow that is known: one begins with it (IPVS: `schedule_icmp`).
#[cold]
fn begin<A: Family>(director: &Director, mut packet: Packet<'_>, quote: &Quote<A>) -> Verdict {
    let context = Context {
        tuple: quote.context.tuple.reversed(),
        ..quote.context
    };
    let Some(service) = schedule::service_of(director, &packet, &context) else {
        return packet.accept();
    };
    if director.flows.defence.drops_new() {
        return packet.drop();
    }
    if schedule::is_foreign(packet.rcu(), &context, service) {
        return packet.accept();
    }
    if !is_let_in::<A>(&mut packet) {
        return packet.drop();
    }
    match schedule::quoted(director, &packet, &context, service) {
        Ok(flow) => to_server(&director.flows, packet, flow, quote),
        // As for a packet of its own.
        Err(Failed::Nobody) if service.is_beside(context.tuple.dport) => packet.accept(),
        Err(Failed::Nobody | Failed::Unsaid) => packet.drop(),
        Err(Failed::Full(counter)) => schedule::refuse(packet, counter),
    }
}

/// An error about a reply, from the client or on the way to it.
fn to_server<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    // As IPVS: what nobody reads here is not checked here.
    if flow.translates() && !nat::is_sound(&mut packet, quote) {
        return packet.drop();
    }
    // As IPVS: a server that was removed is told nevertheless, but counts no more.
    flow.dest.count_in(packet.len());
    if flow.translates() {
        nat::error_to_server(flows, packet, flow, quote)
    } else {
        forward::request_as_is(flows, packet, flow, quote.ttl, false)
    }
}

/// An error about a request, from the real server or on the way to it.
fn to_client<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    if !nat::is_sound(&mut packet, quote) {
        return packet.drop();
    }
    flow.dest.count_out(packet.len());
    nat::error_to_client(flows, packet, flow, quote)
}

/// An error about a packet that was sent to a real server through a tunnel: the client
/// gets one about its own packet inside.
pub(crate) fn tunnel_error<'a, A: Family>(
    flows: &'a Flows,
    mut packet: Packet<'a>,
    quote: &TunnelQuote,
) -> Verdict {
    let net = packet.net();
    let ours = addr_type(&net, quote.src) == AddrType::Local;
    let found = if quote.inner_v6 {
        quoted_flow::<Ipv6Addr>(flows, &mut packet, quote)
    } else {
        quoted_flow::<Ipv4Addr>(flows, &mut packet, quote)
    };
    let Some((service, dest)) = found.filter(|_| ours) else {
        return packet.accept();
    };
    // Anybody's damaged packet would narrow the way; the host drops and counts it.
    if !packet.icmp_is_valid(quote.icmp, A::V6) || !packet.strip(quote.outer, A::V6) {
        return packet.accept();
    }
    if quote.too_big() {
        packet.update_pmtu(A::V6, quote.mtu);
    }
    let header = quote.inner.saturating_sub(quote.outer);
    let query = Query {
        to: service,
        from: None,
        hints: Hints::default(),
        next_hop: false,
    };
    // The packet inside came here for the service; the family of its route must be its own.
    if let Ok(path) = Path::find(net, query) {
        let ready = packet.strip(header, quote.inner_v6) && packet.set_route(Route::Own(path));
        // As IPVS: what is quoted counts, besides the error to the client.
        if ready && relay(&mut packet, quote) {
            dest.count_out(packet.len());
        }
    }
    packet.drop()
}

/// The service's address and the destination, if the packet inside belongs to a flow that is
/// tunnelled there.
fn quoted_flow<'a, B: Family>(
    flows: &'a Flows,
    packet: &mut Packet<'a>,
    quote: &TunnelQuote,
) -> Option<(IpAddr, &'a Dest)> {
    let rcu = packet.rcu();
    let Parsed::Flow(context) = super::parse_quoted::<B>(packet, quote.inner) else {
        return None;
    };
    let (flow, side) = B::table(flows).find(rcu, &context)?;
    let tunnelled =
        side == Side::First && u32::from(flow.method) == fwd::TUNNEL && flow.dest.addr == quote.dst;
    tunnelled.then(|| (flow.request.dst.into(), &*flow.dest))
}

/// The MTU that the way to the real server has become: the host does not believe everything.
fn learned(net: Net, quote: &TunnelQuote) -> u32 {
    let query = Query {
        to: quote.dst,
        from: None,
        hints: Hints::default(),
        next_hop: false,
    };
    let path = Path::find(net, query).ok();
    path.and_then(|path| path.mtu()).unwrap_or(quote.mtu)
}

/// Sends the client the error in the terms of its own packet, which `packet` is by now. False:
/// it need not know.
fn relay(packet: &mut Packet<'_>, quote: &TunnelQuote) -> bool {
    let overhead = tunnel::length(quote.dst) as u32;
    let may_fragment = !quote.inner_v6 && !ipv4::dont_fragment(packet.bytes());
    match (quote.too_big(), quote.src.is_ipv6(), quote.inner_v6) {
        (true, _, _) if may_fragment => return false,
        (true, _, v6) => {
            // Nobody has to take less for true; the outer packet is cut then.
            let least = forward::least_mtu(v6);
            let mtu = learned(packet.net(), quote);
            let room = mtu.saturating_sub(overhead).max(least);
            packet.icmp(v6, Icmp::TooBig(room));
        }
        (false, false, false) => packet.icmp_raw(false, quote.kind, quote.code, quote.info),
        (false, _, v6) => packet.icmp(v6, Icmp::HostUnreachable),
    }
    true
}
