// SPDX-License-Identifier: GPL-2.0

//! Calls from the server's side: a real server's packet of no known flow begins one, as if its
//! receiver had called the service (IPVS: a persistence engine's `conn_out`; NAT alone).

use core::sync::atomic::Ordering;
use kernel::sync::Arc;

use super::persist::{self, Failed};
use super::{known, room};
use crate::director::Director;
use crate::flow::{Extra, Family, Flow, Hold, Key};
use crate::packet::{Context, Tuple};
use crate::sched::persist::Sought;
use crate::service::{Dest, Service};
use crate::sys::index::{Refused, Side};
use crate::sys::rcu::Rcu;
use crate::sys::skb::{Packet, Verdict};
use crate::wire::uapi::fwd;

/// How often other flows may be met in the places of a new one.
const TRIES: usize = 3;

/// Sends the packet to its receiver, if it begins a flow; gives it back otherwise, as IPVS lets
/// it go on.
#[inline]
pub(super) fn begin<'a, A: Family>(
    director: &'a Director,
    packet: Packet<'a>,
    context: &Context<A>,
) -> Result<Verdict, Packet<'a>> {
    match director.services.call_out(A::V6) {
        true => look(director, packet, context),
        false => Err(packet),
    }
}

#[cold]
fn look<'a, A: Family>(
    director: &'a Director,
    mut packet: Packet<'a>,
    context: &Context<A>,
) -> Result<Verdict, Packet<'a>> {
    let flows = &director.flows;
    match flow(director, &mut packet, context) {
        Some(Begun::Known(flow)) => Ok(known::reply(flows, packet, flow, context)),
        Some(Begun::Once(flow)) => {
            // Another service's flow may have its rewritten addresses, and earns nothing by it.
            packet.forget_origin(A::V6);
            Ok(known::reply(flows, packet, &flow, context))
        }
        None => Err(packet),
    }
}

/// A flow that a server's packet has begun.
enum Begun<'a, A: Family> {
    Known(&'a Flow<A>),
    /// Nobody remembers it (one-packet scheduling).
    Once(Flow<A>),
}

fn flow<'a, A: Family>(
    director: &'a Director,
    packet: &mut Packet<'a>,
    context: &Context<A>,
) -> Option<Begun<'a, A>> {
    let rcu = packet.rcu();
    let (from, to) = (context.tuple.src.into(), context.tuple.dst.into());
    let from = (from, context.tuple.sport);
    let (service, dest) = director.services.caller(rcu, context.proto, from)?;
    let rule = service.persistence(rcu)?;
    let calls = rule
        .engine
        .filter(|engine| engine.calls_out() && engine.reads(context.proto))?;
    if known::answered(director, packet, context.tuple, context.proto).is_some() {
        return None;
    }
    let said = persist::listen(Some(calls), Some(packet), context).ok()?;
    let id = service.id;
    let name = rule.name_outward(context.proto, to, id.addr, id.port);
    let sought = Sought { name, said };
    let begun = persist::lead::<A>(director, rcu, &sought, dest, rule.timeout)
        .and_then(|hold| make(director, rcu, context, (service, dest, &hold)));
    match begun {
        Ok(begun) => Some(begun),
        Err(Failed::Full(counter)) => {
            counter.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(_) => None,
    }
}

/// The flow from the packet's receiver to the server that sent it.
fn make<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    context: &Context<A>,
    (service, dest, hold): (&Service, &Arc<Dest>, &Hold),
) -> Result<Begun<'a, A>, Failed<'a>> {
    let reply = context.tuple;
    let request = Tuple {
        src: reply.dst,
        dst: A::of(service.id.addr).ok_or(Failed::Unsaid)?,
        sport: reply.dport,
        dport: service.id.port,
    };
    let key = Key {
        tuple: request,
        proto: context.proto,
    };
    let flow = || -> Result<Flow<A>, Failed<'a>> {
        let extra = Extra::boxed(None, Some(hold), 0, 0);
        let extra = extra.ok_or(Failed::Full(&director.drops.nomem))?;
        // CAST: three bits.
        let method = fwd::MASQ as u8;
        Ok(Flow::new(key, reply, dest.clone(), method, Some(extra)))
    };
    if service.is_one_packet(rcu) {
        let flow = flow()?;
        flow.dest.stats.connection();
        return Ok(Begun::Once(flow));
    }
    remember(director, rcu, &key, flow).map(Begun::Known)
}

/// Takes a new flow in, or finds it, if another processor was faster.
fn remember<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    key: &Key<A>,
    make: impl Fn() -> Result<Flow<A>, Failed<'a>>,
) -> Result<&'a Flow<A>, Failed<'a>> {
    let flows = A::table(&director.flows);
    for _ in 0..TRIES {
        let flow = make()?;
        if !room::for_flow(director, rcu) {
            return Err(Failed::Full(&director.drops.limit));
        }
        let reply = flow.reply;
        match flows.insert(&director.flows.timeouts, rcu, flow) {
            Ok(flow) => {
                flow.dest.stats.connection();
                if flows.crowded(rcu) {
                    director.wake_worker();
                }
                return Ok(flow);
            }
            Err(Refused::NoMemory) => return Err(Failed::Full(&director.drops.nomem)),
            Err(Refused::Exists) => {}
        }
        if let Some((flow, Side::Second)) = flows.find_tuple(rcu, reply, key.proto) {
            return Ok(flow);
        }
        // The receiver has called the service himself, or another server has called him: who
        // called last has the answers.
        if let Some((flow, _)) = flows.find_tuple(rcu, key.tuple, key.proto) {
            flows.remove(rcu, flow);
        }
    }
    Err(Failed::Full(&director.drops.ports))
}
