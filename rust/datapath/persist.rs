// SPDX-License-Identifier: GPL-2.0

//! A new connection to a persistent service: where the client's template leads, or, if there is
//! none, where the scheduler says, and a template that remembers it.

use core::sync::atomic::AtomicU64;
use kernel::sync::Arc;

use super::room;
use crate::director::Director;
use crate::engine::Engine;
use crate::flow::{Family, Hold};
use crate::packet::Context;
use crate::proto;
use crate::sched::persist::{First, Persistence, Said, Sought};
use crate::sched::{self, Candidate};
use crate::service::{Dest, Pick, Service};
use crate::sys::index::Refused;
use crate::sys::rcu::Rcu;
use crate::sys::skb::Packet;

/// How often another processor may be faster with the same template, or take it away.
const TRIES: usize = 3;

/// Where a new connection goes, with its hold on a template if the service is persistent.
pub(super) type Choice<'a> = (Pick<'a>, Option<Hold>);

/// Why it goes nowhere.
pub(super) enum Failed<'a> {
    /// No destination takes it; its sender is told.
    Nobody,
    /// It does not say what the service's engine looks for. As in IPVS nobody is told.
    Unsaid,
    /// There is no room; it is counted here.
    Full(&'a AtomicU64),
}

/// What a service's engine reads in a packet, if it has one; `packet`: none if only an ICMP error
/// quotes it, which IPVS does not read.
pub(super) fn listen<'p, A>(
    engine: Option<Engine>,
    packet: Option<&'p mut Packet<'_>>,
    context: &Context<A>,
) -> Result<Option<Said<'p>>, Failed<'static>> {
    let Some(engine) = engine else {
        return Ok(None);
    };
    let said = packet.and_then(|packet| read(engine, packet, context));
    said.map(Some).ok_or(Failed::Unsaid)
}

#[cold]
fn read<'p, A>(
    engine: Engine,
    packet: &'p mut Packet<'_>,
    context: &Context<A>,
) -> Option<Said<'p>> {
    let header = proto::header_len(context.proto).filter(|_| engine.reads(context.proto))?;
    let payload = context.l4.checked_add(header)?;
    let len = packet.len() as usize;
    if len <= payload || !packet.pull(len) {
        return None;
    }
    let data = engine.data(packet.bytes().get(payload..len)?)?;
    Some(Said { engine, data })
}

/// Chooses for the first packet of a connection, of which the service's engine has read `said`.
#[inline(never)]
pub(super) fn choose<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    context: &Context<A>,
    (service, rule): (&'a Service, &Persistence),
    (key, said): (&sched::Key, Option<Said<'_>>),
) -> Result<Choice<'a>, Failed<'a>> {
    let packet = First {
        proto: context.proto,
        src: key.src,
        dst: key.dst,
        dport: context.tuple.dport,
    };
    let name = service.template_name(rule, &packet);
    let sought = Sought { name, said };
    for _ in 0..TRIES {
        if let Some(choice) = follow::<A>(director, rcu, service, &sought) {
            return Ok(choice);
        }
        let pick = service.schedule(rcu, key, &director.config);
        let pick = pick.ok_or(Failed::Nobody)?;
        if let Some(hold) = remember::<A>(director, rcu, &sought, pick.dest, rule.timeout)? {
            return Ok((pick, Some(hold)));
        }
    }
    Err(Failed::Full(&director.drops.ports))
}

/// Where the client's template leads; takes one away that leads nowhere any more.
fn follow<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    service: &'a Service,
    sought: &Sought<'_>,
) -> Option<Choice<'a>> {
    let flows = A::table(&director.flows);
    let template = flows.find_template(rcu, sought)?;
    if is_valid(director, &template.dest) {
        if let Some(pick) = service.keep(rcu, &template.dest) {
            let hold = template.hold();
            if hold.is_some() {
                return Some((pick, hold));
            }
        }
    }
    flows.drop_template(rcu, template);
    None
}

/// A hold on the template that leads to `dest`, which is made if there is none; one that leads
/// elsewhere is taken away (IPVS).
pub(super) fn lead<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    sought: &Sought<'_>,
    dest: &Arc<Dest>,
    timeout: u32,
) -> Result<Hold, Failed<'a>> {
    let flows = A::table(&director.flows);
    for _ in 0..TRIES {
        if let Some(template) = flows.find_template(rcu, sought) {
            let same = Arc::ptr_eq(&template.dest, dest) && is_valid(director, dest);
            if let Some(hold) = same.then(|| template.hold()).flatten() {
                return Ok(hold);
            }
            flows.drop_template(rcu, template);
        }
        if let Some(hold) = remember::<A>(director, rcu, sought, dest, timeout)? {
            return Ok(hold);
        }
    }
    Err(Failed::Full(&director.drops.ports))
}

/// IPVS: neither a weight of 0 nor a threshold keeps a client from where his template leads.
fn is_valid(director: &Director, dest: &Dest) -> bool {
    dest.available() && (dest.weight() != 0 || !director.config.expire_quiescent_template())
}

/// Makes a template that leads to `dest`, with a connection's hold on it. `None`: another
/// processor was faster with one.
fn remember<'a, A: Family>(
    director: &'a Director,
    rcu: &Rcu,
    sought: &Sought<'_>,
    dest: &Arc<Dest>,
    timeout: u32,
) -> Result<Option<Hold>, Failed<'a>> {
    if !room::for_flow(director, rcu) {
        return Err(Failed::Full(&director.drops.limit));
    }
    let none = Failed::Full(&director.drops.nomem);
    let flows = A::table(&director.flows);
    let Some(template) = flows.template(sought, dest.clone(), timeout) else {
        return Err(none);
    };
    let hold = template.hold();
    match flows.insert(&director.flows.timeouts, rcu, template) {
        Ok(_) => {
            // A connection may not follow: its datagram goes alone, or it gets no memory.
            if flows.crowded(rcu) {
                director.wake_worker();
            }
            Ok(hold)
        }
        Err(Refused::Exists) => Ok(None),
        Err(Refused::NoMemory) => Err(none),
    }
}
