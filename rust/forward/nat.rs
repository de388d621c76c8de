// SPDX-License-Identifier: GPL-2.0

//! NAT and FULLNAT: the packet gets other addresses and ports, both ways.
//!
//! The two differ only in what a flow's reply tuple says: the client's address with NAT,
//! a local address and port with FULLNAT.

use core::net::IpAddr;

use super::{dest_path, earn, fits_or_told, is_loopback, may_leave, narrowed, stay, touch};
use crate::flow::ways::Way;
use crate::flow::{Family, Flow, Flows, Why};
use crate::packet::icmp::Quote;
use crate::packet::{rewrite, Context, Tuple};
use crate::proto;
use crate::sys::index::Side;
use crate::sys::place::Place;
use crate::sys::policy::Ends;
use crate::sys::route::{has_rules, Hints, NoWay, Path, Query, Route};
use crate::sys::skb::{Origin, Packet, Verdict};

/// Rewrites a packet; with `age` it also loses one from its TTL. False: drop it.
#[inline(always)]
fn translate<A: Family>(
    packet: &mut Packet<'_>,
    context: &Context<A>,
    to: &Tuple<A>,
    age: bool,
) -> bool {
    let Some(reach) = reach(context) else {
        return false;
    };
    let partial = packet.is_partial(reach);
    let bytes = packet.writable(reach as usize);
    bytes
        .and_then(|bytes| rewrite::rewrite(bytes, context, to, partial, age))
        .is_some()
}

/// What the policies ask of a rewritten packet.
fn ends<A: Family>(to: &Tuple<A>, proto: u8) -> Ends {
    Ends::new(to.src.into(), to.dst.into(), (proto, to.sport, to.dport))
}

/// Bytes up to the end of what changes: the protocol's checksum.
#[inline(always)]
fn reach<A>(context: &Context<A>) -> Option<u32> {
    let check = proto::check_at(context.proto)?;
    u32::try_from(context.l4.checked_add(check)?.checked_add(2)?).ok()
}

/// A client's packet, by the ordinary output.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    let (path, mtu) = match dest_path(packet.rcu(), flows, flow) {
        Ok(known) => known,
        Err(none) => return none.drop(packet),
    };
    let to = flow.translated(Side::First);
    if path.is_local() {
        return deliver(packet, context, &to);
    }
    let mtu = narrowed::<A>(&packet, path, mtu, || ends(&to, context.proto));
    if !may_leave(&mut packet, context.tuple.src, context.ttl, mtu)
        || !turn(&mut packet, context, &to)
    {
        return packet.drop();
    }
    if packet.is_straight(path) {
        earn::request_by(flows, &packet, flow, Some(path));
        return packet.send_straight(path);
    }
    packet.send_out(path, flow.is_fullnat())
}

/// Rewrites a packet that this host was to take in, so that it can leave. False: drop it.
fn turn<A: Family>(packet: &mut Packet<'_>, context: &Context<A>, to: &Tuple<A>) -> bool {
    let done = translate(packet, context, to, true);
    packet.orphan();
    done
}

/// Rewrites a packet whose new destination is this host, and lets it go on.
fn deliver<A: Family>(mut packet: Packet<'_>, context: &Context<A>, to: &Tuple<A>) -> Verdict {
    // Nobody outside may reach what listens on the loopback address alone (as IPVS).
    let dst: IpAddr = to.dst.into();
    let outside = packet.place() == Place::LocalIn && dst.is_loopback();
    if outside || !translate(&mut packet, context, to, false) {
        return packet.drop();
    }
    packet.orphan();
    packet.accept_marked()
}

/// A packet of a known flow that came from where `origin` says by `path`, past the other hooks.
#[inline(always)]
pub(crate) fn translate_early<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    (origin, path): (&Origin, &Path),
    side: Side,
) -> Verdict {
    let Some(reach) = reach(context) else {
        return packet.accept();
    };
    let ready = match packet.ready(origin, path, 0, reach) {
        Ok(ready) => ready,
        Err(why) => return stay(flows, packet, why.into()),
    };
    touch(flows, &packet, flow, side, context.flags);
    let to = flow.translated(side);
    let bytes = packet.own(&ready);
    if rewrite::rewrite(bytes, context, &to, ready.partial(), true).is_none() {
        return packet.drop();
    }
    let len = packet.len();
    packet.send_early(path, &flow.dest.stats, len, side)
}

/// A real server's packet, past the other hooks.
#[inline(always)]
pub(crate) fn reply_early<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    way: &Way,
) -> Verdict {
    // FULLNAT's come to this host itself.
    if A::V6 && !flow.is_fullnat() && !packet.forwards6() {
        return stay(flows, packet, Why::Refused);
    }
    match &way.path {
        Some(path) => {
            let way = (&way.origin, path);
            translate_early(flows, packet, flow, context, way, Side::Second)
        }
        None => stay(flows, packet, Why::Path),
    }
}

/// The way back to the flow's client with its MTU.
///
/// It is kept as long as nothing but the addresses decides about it; where the host has rules
/// or policies each packet asks for itself (IPVS: `snat_reroute`).
fn client_route<'a, A: Family>(
    flows: &'a Flows,
    packet: &Packet<'a>,
    flow: &Flow<A>,
) -> Result<(Route<'a>, u32), NoWay> {
    if packet.place() != Place::LocalIn && !flows.config.snat_reroute() {
        // IPVS, `snat_reroute`: the answer keeps the way that the host has found for it.
        return Err(NoWay::Lost);
    }
    let (rcu, net) = (packet.rcu(), flows.net());
    let class = A::class(packet.bytes());
    let open = has_rules(net, A::V6) || packet.is_policed() || flow.link() != 0;
    let present = flows.ways.get(rcu, flow.way(Side::Second));
    let present = present.filter(|way| !way.is_stale());
    let known = present.filter(|way| !open && !way.ruled && way.class == class);
    if let Some((path, mtu)) = known.and_then(Way::route) {
        return Ok((Route::Kept(path), mtu));
    }
    let path = Path::find(net, client_query(packet, flow, class))?;
    let mtu = path.mtu().ok_or(NoWay::Lost)?;
    if open {
        let new = || ends(&flow.translated(Side::Second), flow.proto);
        let mtu = narrowed::<A>(packet, &path, mtu, new);
        return Ok((Route::Own(path), mtu));
    }
    let fallback = path.share();
    match flows.ways.keep(rcu, Way::known(path, class)) {
        Some((way, id)) => {
            if present.is_none() {
                flow.set_way(Side::Second, id);
            }
            let (path, mtu) = way.route().ok_or(NoWay::Lost)?;
            Ok((Route::Kept(path), mtu))
        }
        None => Ok((Route::Own(fallback.ok_or(NoWay::Lost)?), mtu)),
    }
}

/// What the way back to the client depends on.
fn client_query<A: Family>(packet: &Packet<'_>, flow: &Flow<A>, class: u8) -> Query {
    let request = &flow.request;
    let to: IpAddr = request.src.into();
    let link = flow.link();
    let on_a_link = matches!(to, IpAddr::V6(to) if to.is_unicast_link_local());
    let hints = Hints {
        class,
        mark: packet.origin(A::V6).mark(),
        vrf: packet.vrf(link),
        link: if on_a_link { link } else { 0 },
        ports: (flow.proto, request.dport, request.sport),
    };
    Query {
        to,
        from: Some(request.dst.into()),
        hints,
        next_hop: false,
    }
}

/// A real server's packet, at the hooks where IPVS works.
pub(crate) fn reply<A: Family>(
    flows: &Flows,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    let route = client_route(flows, &packet, flow);
    match packet.place() {
        Place::LocalIn => reply_from_local_in(flows, packet, flow, context, route),
        _ => pass_on(packet, context, &flow.translated(Side::Second), route.ok()),
    }
}

/// The reply was sent to this host: to the local address, or because the client is here.
fn reply_from_local_in<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    route: Result<(Route<'_>, u32), NoWay>,
) -> Verdict {
    let to = flow.translated(Side::Second);
    let (route, mtu) = match route {
        Ok(route) => route,
        Err(none) => return none.drop(packet),
    };
    if route.is_local() {
        return deliver(packet, context, &to);
    }
    if !may_leave(&mut packet, context.tuple.src, context.ttl, mtu)
        || !turn(&mut packet, context, &to)
    {
        return packet.drop();
    }
    packet.prioritise(A::V6);
    if packet.is_straight(&route) {
        let class = A::class(packet.bytes());
        earn::answer_by(flows, &packet, flow, class, || route.share());
        return packet.send_straight(&route);
    }
    packet.send_out(&route, flow.is_fullnat())
}

/// The reply is on its way out already: the host has taken one from its TTL.
fn pass_on<'a, A: Family>(
    mut packet: Packet<'a>,
    context: &Context<A>,
    to: &Tuple<A>,
    route: Option<(Route<'a>, u32)>,
) -> Verdict {
    // What let it come here knows another way, or nothing of what encryption adds.
    let far = route.as_ref().filter(|(route, _)| !route.is_local());
    let fits = far.is_none_or(|&(_, mtu)| fits_or_told::<A>(&mut packet, mtu));
    if !fits || !translate(&mut packet, context, to, false) {
        return packet.drop();
    }
    go_out(packet, route)
}

/// Gives a rewritten packet the way that suits its new addresses. False: drop it.
fn take_route<'a>(packet: &mut Packet<'a>, route: Option<(Route<'a>, u32)>) -> bool {
    match route {
        Some((route, _)) if !route.is_local() => packet.set_route(route),
        _ => true,
    }
}

/// Lets a rewritten packet go on, over the way that suits its new addresses.
fn go_out<'a>(mut packet: Packet<'a>, route: Option<(Route<'a>, u32)>) -> Verdict {
    if take_route(&mut packet, route) {
        packet.accept_marked()
    } else {
        packet.drop()
    }
}

/// An ICMP error about a reply, to the real server.
pub(crate) fn error_to_server<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    let Ok((path, _)) = dest_path(packet.rcu(), flows, flow) else {
        return packet.drop();
    };
    // The real server knows the client by the local address, if there is one.
    let src = if flow.is_fullnat() {
        flow.reply.dst
    } else {
        quote.src
    };
    let age = !path.is_local();
    if age && is_loopback(src) {
        return packet.drop();
    }
    if !translate_error(&mut packet, quote, src, flow.reply.src, &flow.reply, age) {
        return packet.drop();
    }
    if path.is_local() {
        return packet.accept_marked();
    }
    packet.orphan();
    packet.send_out(path, flow.is_fullnat())
}

/// An ICMP error about a request, to the client.
pub(crate) fn error_to_client<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    quote: &Quote<A>,
) -> Verdict {
    let route = client_route(flows, &packet, flow).ok();
    let far = route.as_ref().is_some_and(|(route, _)| !route.is_local());
    let turn = packet.place() == Place::LocalIn && far;
    let (src, dst) = (flow.request.dst, flow.request.src);
    if !translate_error(&mut packet, quote, src, dst, &flow.request, turn) {
        return packet.drop();
    }
    match route {
        Some((route, _)) if turn => {
            packet.orphan();
            packet.send_out(&route, flow.is_fullnat())
        }
        route => go_out(packet, route),
    }
}

/// Rewrites an ICMP error and what it quotes. False: drop it.
fn translate_error<A: Family>(
    packet: &mut Packet<'_>,
    quote: &Quote<A>,
    src: A,
    dst: A,
    quoted: &Tuple<A>,
    age: bool,
) -> bool {
    if age && quote.ttl <= 1 {
        return false;
    }
    let reach = quote.reach(packet.len() as usize);
    let Some(bytes) = packet.writable(reach) else {
        return false;
    };
    quote.translate(bytes, src, dst, quoted).is_some() && (!age || aged::<A>(bytes, quote.icmp))
}

/// Whether an ICMP error is as it was sent: nobody is told what a damaged one says.
pub(crate) fn is_sound<A: Family>(packet: &mut Packet<'_>, quote: &Quote<A>) -> bool {
    packet.icmp_is_valid(quote.icmp, A::V6) && packet.complete_checksum()
}

/// Takes one from the TTL of a packet whose header is `length` bytes long. False: drop it.
fn aged<A: Family>(bytes: &mut [u8], length: usize) -> bool {
    let header = bytes.get_mut(..length);
    header.and_then(rewrite::age::<A>).is_some()
}
