// SPDX-License-Identifier: GPL-2.0

//! The first packet of a flow: find the service, pick a destination, remember it.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::sync::Arc;

use super::persist::{self, Choice, Failed};
use super::{known, room};
use crate::director::Director;
use crate::flow::{Extra, Family, Flow, FlowTable, Hold, Key};
use crate::packet::{Context, Tuple};
use crate::proto;
use crate::sched;
use crate::sched::persist::FTP_DATA;
use crate::service::{Dest, Local, Pick, Service};
use crate::sys::index::{Refused, Side};
use crate::sys::net::Net;
use crate::sys::place::Place;
use crate::sys::rcu::Rcu;
use crate::sys::route::{addr_type, AddrType};
use crate::sys::skb::{Icmp, Packet, Verdict};
use crate::wire::uapi::fwd;

/// How often a new flow may meet others in its places, which give way or turn out to be gone.
const TRIES: usize = 3;

/// Schedules a packet that belongs to no flow, or takes the place of one that is over; one that
/// is for no service goes on untouched.
pub(crate) fn schedule<A: Family>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
    over: Option<&Flow<A>>,
) -> Verdict {
    // As in IPVS what this host's own servers answer is not for a service, whatever its port.
    let own = packet.place() == Place::LocalOut && over.is_none();
    if own {
        if let Some(flow) = known::answered(director, &packet, context.tuple, context.proto) {
            return known::answer(director, packet, flow, context);
        }
    }
    match service_of(director, &packet, context) {
        Some(service) if may_begin(director, context) => {
            begin(director, packet, context, (service, over))
        }
        _ => {
            forget(director, packet.rcu(), over);
            match own {
                true => packet.accept(),
                false => known::past(director, packet, context),
            }
        }
    }
}

/// Removes a flow that is over, or whose destination is gone, and that a packet has begun anew.
#[inline(always)]
fn forget<A: Family>(director: &Director, rcu: &Rcu, over: Option<&Flow<A>>) {
    if let Some(flow) = over {
        A::table(&director.flows).remove(rcu, flow);
    }
}

/// Whether a flow may begin with the packet.
fn may_begin<A>(director: &Director, context: &Context<A>) -> bool {
    // IPVS, `sloppy_tcp`: a connection may come here that has begun elsewhere.
    context.may_create() || context.may_join() && director.config.sloppy_tcp()
}

/// Whether a packet that a service was found for is not for it.
pub(super) fn is_foreign<A>(rcu: &Rcu, context: &Context<A>, service: &Service) -> bool {
    // IPVS: the one is how a server of FTP calls its client; other ports than its own FTP's
    // service serves with persistence only.
    let beside = service.is_beside(context.tuple.dport);
    context.tuple.sport == FTP_DATA || beside && service.persistence(rcu).is_none()
}

/// The service that a packet is for.
pub(super) fn service_of<'a, A: Family>(
    director: &'a Director,
    packet: &Packet<'a>,
    context: &Context<A>,
) -> Option<&'a Service> {
    if director.services.is_empty(A::V6) {
        return None;
    }
    let to = (context.tuple.dst.into(), context.tuple.dport);
    let mark = || packet.mark();
    let is_privileged = |port| packet.net().is_privileged(port);
    let services = &director.services;
    services.find(packet.rcu(), mark, is_privileged, context.proto, to)
}

fn begin<A: Family>(
    director: &Director,
    mut packet: Packet<'_>,
    context: &Context<A>,
    (service, over): (&Service, Option<&Flow<A>>),
) -> Verdict {
    // IPVS, `drop_packet`: before anybody is chosen.
    let dropped = director.flows.defence.drops_new();
    if !dropped && is_foreign(packet.rcu(), context, service) {
        forget(director, packet.rcu(), over);
        return known::past(director, packet, context);
    }
    if !known::is_let_in::<A>(&mut packet) {
        return packet.drop();
    }
    let rcu = packet.rcu();
    let picked = match dropped {
        true => None,
        false => Some(choose(director, Some(&mut packet), context, (service, rcu))),
    };
    if let Some(Err(Failed::Nobody)) = picked {
        return nobody(director, packet, context, (service, over));
    }
    // Only now: as in IPVS it counts at its destination while the scheduler chooses.
    match picked {
        Some(Ok((pick, hold))) => {
            let _both = Both::of(over, &pick);
            forget(director, rcu, over);
            send(director, packet, context, (&pick, hold.as_ref()))
        }
        Some(Err(Failed::Full(counter))) => {
            forget(director, rcu, over);
            refuse(packet, counter)
        }
        _ => {
            forget(director, rcu, over);
            packet.drop()
        }
    }
}

/// As in IPVS a flow counts until the one that follows it does: at one destination the two may
/// reach its threshold.
struct Both<'a>(Option<&'a Dest>);

impl<'a> Both<'a> {
    #[inline(always)]
    fn of<A: Family>(over: Option<&Flow<A>>, pick: &Pick<'a>) -> Self {
        let same = |flow: &&Flow<A>| Arc::ptr_eq(&flow.dest, pick.dest);
        let dest = over.filter(same).map(|_| &**pick.dest);
        if let Some(dest) = dest {
            dest.bind();
        }
        Self(dest)
    }
}

impl Drop for Both<'_> {
    fn drop(&mut self) {
        if let Some(dest) = self.0 {
            dest.unbind();
        }
    }
}

/// Sends a packet by a new flow.
#[inline(always)]
fn send<A: Family>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
    chosen: Chosen<'_>,
) -> Verdict {
    if chosen.0.one_packet && !proto::has_states(context.proto) {
        return once(director, packet, context, chosen);
    }
    enter(director, packet, context, chosen)
}

/// The destination for a new flow; `packet` is none if it begins with an error about one.
#[inline(always)]
fn choose<'a, A: Family>(
    director: &'a Director,
    packet: Option<&mut Packet<'_>>,
    context: &Context<A>,
    (service, rcu): (&'a Service, &'a Rcu),
) -> Result<Choice<'a>, Failed<'a>> {
    let key = sched::Key {
        src: context.tuple.src.into(),
        sport: context.tuple.sport,
        dst: context.tuple.dst.into(),
    };
    match service.persistence(rcu) {
        Some(rule) => {
            let said = persist::listen(rule.engine, packet, context)?;
            persist::choose(director, rcu, context, (service, rule), (&key, said))
        }
        None => match service.schedule(rcu, &key, &director.config) {
            Some(pick) => Ok((pick, None)),
            None => Err(Failed::Nobody),
        },
    }
}

/// What becomes of a packet that a service has no destination for; `over` is the flow that it
/// was to follow.
#[cold]
fn nobody<A: Family>(
    director: &Director,
    mut packet: Packet<'_>,
    context: &Context<A>,
    (service, over): (&Service, Option<&Flow<A>>),
) -> Verdict {
    // IPVS: what is not for FTP's own port may be for the host.
    if service.is_beside(context.tuple.dport) {
        forget(director, packet.rcu(), over);
        return known::past(director, packet, context);
    }
    // IPVS, `cache_bypass`: what is for another host goes there.
    let (services, rcu) = (&director.services, packet.rcu());
    let passes = director.config.cache_bypass();
    if passes && !services.has_bypass() {
        director.hurry_worker();
    }
    let pick = services
        .bypass(rcu, service, A::V6)
        .filter(|_| passes && is_elsewhere(&packet.net(), context.tuple.dst));
    if let Some(pick) = pick {
        forget(director, rcu, over);
        return send(director, packet, context, (&pick, None));
    }
    packet.icmp(A::V6, Icmp::PortUnreachable);
    // As in IPVS the error counts for the flow that was there.
    forget(director, rcu, over);
    packet.drop()
}

/// Whether an address is another host's.
fn is_elsewhere<A: Family>(net: &Net, addr: A) -> bool {
    addr_type(net, addr.into()) == AddrType::Unicast
}

/// A flow that begins with an error about one of its packets, whatever the flags of that.
pub(super) fn quoted<'a, A: Family>(
    director: &'a Director,
    packet: &Packet<'a>,
    context: &Context<A>,
    service: &'a Service,
) -> Result<&'a Flow<A>, Failed<'a>> {
    let rcu = packet.rcu();
    let (pick, hold) = choose(director, None, context, (service, rcu))?;
    let flow = remember(director, packet, context, (&pick, hold.as_ref()));
    let flow = flow.map_err(Failed::Full)?;
    A::table(&director.flows).shorten(&director.flows.timeouts, rcu, flow);
    Ok(flow)
}

/// Where a new connection goes, and its hold on a template, if it has one.
type Chosen<'a> = (&'a Pick<'a>, Option<&'a Hold>);

/// Sends a datagram as a connection of its own, which nobody remembers (one-packet scheduling).
#[cold]
fn once<A: Family>(
    director: &Director,
    mut packet: Packet<'_>,
    context: &Context<A>,
    chosen: Chosen<'_>,
) -> Verdict {
    let link = packet.link(A::V6);
    let Some(flow) = make_flow(director, packet.rcu(), context, chosen, link) else {
        return refuse(packet, &director.drops.ports);
    };
    // Another service's flow may have its rewritten addresses, and earns nothing by it.
    packet.forget_origin(A::V6);
    flow.dest.stats.connection();
    if let Some(hold) = chosen.1 {
        hold.count_datagram();
    }
    known::request(&director.flows, packet, &flow, context)
}

pub(super) fn refuse(packet: Packet<'_>, counter: &AtomicU64) -> Verdict {
    counter.fetch_add(1, Ordering::Relaxed);
    packet.drop()
}

/// The flow from the packet's addresses to the picked destination.
#[inline(always)]
fn make_flow<A: Family>(
    director: &Director,
    rcu: &Rcu,
    context: &Context<A>,
    (pick, hold): Chosen<'_>,
    link: u32,
) -> Option<Flow<A>> {
    let request = context.tuple;
    let dest = pick.dest;
    let method = dest.method();
    let dport = pick.port(request.dport, method);
    // Another family only behind a tunnel, which has no replies to match.
    let rip = A::of(dest.addr).unwrap_or(request.dst);
    let mut reply = Tuple {
        src: rip,
        dst: request.src,
        sport: dport,
        dport: request.sport,
    };
    let mut ports = None;
    if u32::from(method) == fwd::FULLNAT {
        let Local { addr, port, set } = room::port(director, rcu, pick, (rip, dport))?;
        reply.dst = A::of(addr)?;
        reply.dport = port;
        ports = Some(set);
    }
    let extra = match (ports, hold, link) {
        (None, None, 0) => None,
        (ports, hold, link) => Some(Extra::boxed(ports, hold, link, reply.dport)?),
    };
    let key = Key {
        tuple: request,
        proto: context.proto,
    };
    let dest = dest.clone();
    Some(Flow::new(key, reply, dest, method, extra))
}

/// Takes a new flow in and sends its first packet.
#[inline(always)]
fn enter<A: Family>(
    director: &Director,
    packet: Packet<'_>,
    context: &Context<A>,
    chosen: Chosen<'_>,
) -> Verdict {
    match remember(director, &packet, context, chosen) {
        Ok(flow) => known::request(&director.flows, packet, flow, context),
        Err(counter) => refuse(packet, counter),
    }
}

/// Takes a new flow in, or finds it, if another processor was faster; otherwise says what counts
/// that it was refused.
#[inline(always)]
fn remember<'a, A: Family>(
    director: &'a Director,
    packet: &Packet<'a>,
    context: &Context<A>,
    chosen: Chosen<'_>,
) -> Result<&'a Flow<A>, &'a AtomicU64> {
    let (rcu, flows) = (packet.rcu(), A::table(&director.flows));
    let link = packet.link(A::V6);
    for _ in 0..TRIES {
        let flow = make_flow(director, rcu, context, chosen, link).ok_or(&director.drops.ports)?;
        // Only now: nobody gives way to one that can't be made.
        if !room::for_flow(director, rcu) {
            return Err(&director.drops.limit);
        }
        let reply = flow.translates().then_some(flow.reply);
        match flows.insert(&director.flows.timeouts, rcu, flow) {
            Ok(flow) => {
                flow.dest.stats.connection();
                if reply.is_none() {
                    director.flows.leave_addresses();
                }
                if flows.crowded(rcu) {
                    director.wake_worker();
                }
                return Ok(flow);
            }
            Err(Refused::NoMemory) => return Err(&director.drops.nomem),
            Err(Refused::Exists) => {}
        }
        match flows.find(rcu, context) {
            // Another processor was faster with a packet of the same flow.
            Some((flow, Side::First)) => return Ok(flow),
            _ if make_way(flows, rcu, context, reply) => {}
            // The real server still talks to this client's port, by another service.
            _ => break,
        }
    }
    Err(&director.drops.ports)
}

/// Removes flows that are over from the places that a new one wants. False: one is not over.
#[cold]
fn make_way<A: Family>(
    flows: &FlowTable<A>,
    rcu: &Rcu,
    context: &Context<A>,
    reply: Option<Tuple<A>>,
) -> bool {
    for tuple in [Some(context.tuple), reply].into_iter().flatten() {
        match flows.find_tuple(rcu, tuple, context.proto) {
            Some((flow, _)) if !flow.is_over() => return false,
            Some((flow, _)) => {
                flows.remove(rcu, flow);
            }
            None => {}
        }
    }
    true
}
