// SPDX-License-Identifier: GPL-2.0

//! A new connection to a persistent service: where the client's template leads, or, if there is
//! none, where the scheduler says, and a template that remembers it.

use core::sync::atomic::AtomicU64;
use kernel::sync::Arc;

use super::room;
use crate::director::Director;
use crate::flow::{Family, Flow, Hold};
use crate::packet::Context;
use crate::sched::persist::{First, Name, Persistence};
use crate::sched::{self, Candidate};
use crate::service::{Dest, Pick, Service};
use crate::sys::index::Refused;
use crate::sys::rcu::Rcu;

/// How often another processor may be faster with the same template, or take it away.
const TRIES: usize = 3;

/// Where a new connection goes, with its hold on a template if the service is persistent.
pub(super) type Choice<'a> = (Pick<'a>, Option<Hold>);

/// Why it goes nowhere.
pub(super) enum Failed<'a> {
    /// No destination takes it; its sender is told.
    Nobody,
    /// There is no room; it is counted here.
    Full(&'a AtomicU64),
}

/// Chooses for the first packet of a connection.
#[inline(never)]
pub(super) fn choose<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    context: &Context<A>,
    (service, rule): (&'a Service, &Persistence),
    key: &sched::Key,
) -> Result<Choice<'a>, Failed<'a>> {
    let packet = First {
        proto: context.proto,
        src: key.src,
        dst: key.dst,
        dport: context.tuple.dport,
    };
    let name = service.template_name(rule, &packet);
    for _ in 0..TRIES {
        if let Some(choice) = follow::<A>(director, rcu, service, &name) {
            return Ok(choice);
        }
        let pick = service.schedule(rcu, key, &director.config);
        let pick = pick.ok_or(Failed::Nobody)?;
        if let Some(hold) = remember::<A>(director, rcu, &name, pick.dest, rule.timeout)? {
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
    name: &Name,
) -> Option<Choice<'a>> {
    let flows = A::table(&director.flows);
    let template = flows.find_template(rcu, name)?;
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

/// IPVS: neither a weight of 0 nor a threshold keeps a client from where his template leads.
fn is_valid(director: &Director, dest: &Dest) -> bool {
    dest.available() && (dest.weight() != 0 || !director.config.expire_quiescent_template())
}

/// Makes a template that leads to `dest`, with a connection's hold on it. `None`: another
/// processor was faster with one.
fn remember<'a, A: Family>(
    director: &'a Director,
    rcu: &Rcu,
    name: &Name,
    dest: &Arc<Dest>,
    timeout: u32,
) -> Result<Option<Hold>, Failed<'a>> {
    if !room::for_flow(director, rcu) {
        return Err(Failed::Full(&director.drops.limit));
    }
    let none = Failed::Full(&director.drops.nomem);
    let Some(template) = Flow::<A>::template(name, dest.clone(), timeout) else {
        return Err(none);
    };
    let hold = template.hold();
    let flows = A::table(&director.flows);
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
