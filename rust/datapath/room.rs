// SPDX-License-Identifier: GPL-2.0

//! Room for a new connection where there is none: somebody gives way, if anybody may.

use core::net::IpAddr;

use crate::director::Director;
use crate::expiry::rank::{shares, Kind};
use crate::flow::evict::Worst;
use crate::flow::{Family, Flow, Key};
use crate::packet::Tuple;
use crate::proto;
use crate::service::{Held, Local, Pick};
use crate::sys::index::SAMPLE;
use crate::sys::rcu::Rcu;

/// How often another processor may be faster with the victim or with its port.
const TRIES: usize = 3;
/// So many more give way at most where one was not enough.
const OTHERS: usize = 3;
/// After so many that gave way the worker is woken.
const OFTEN: u64 = 1 << 14;

/// Whether there is room for one more flow; if there is none, one gives way, if it may.
#[inline(always)]
pub(crate) fn for_flow(director: &Director, rcu: &Rcu) -> bool {
    !director.is_full() || make(director, rcu)
}

#[inline(never)]
fn make(director: &Director, rcu: &Rcu) -> bool {
    if director.is_swamped() {
        director.hurry_worker();
        return false;
    }
    if !displace_any(director, rcu) {
        return false;
    }
    // Others, so that the number falls to a limit that was lowered, and as one with much data
    // counts as several. What all users' namespaces may have together is not this one's alone to
    // fall to.
    let others = (0..OTHERS).take_while(|_| director.is_at_limit());
    others.for_each(|_| _ = displace_any(director, rcu));
    true
}

/// Removes one flow of either family.
fn displace_any(director: &Director, rcu: &Rcu) -> bool {
    let (v4, v6) = (&director.flows.v4, &director.flows.v6);
    let (share4, share6) = shares(SAMPLE, v4.len(), v6.len());
    for (share4, share6) in [(share4, share6), (SAMPLE, SAMPLE)] {
        let (worst4, worst6) = (v4.draw(rcu, share4), v6.draw(rcu, share6));
        let first = match (worst4.rank(), worst6.rank()) {
            (Some(rank4), Some(rank6)) => rank4 <= rank6,
            (rank4, _) => rank4.is_some(),
        };
        let gone = match first {
            true => v4.displace(rcu, &worst4),
            false => v6.displace(rcu, &worst6),
        };
        if count(director, gone) {
            return true;
        }
    }
    false
}

/// Counts a flow that gave way, if one did.
fn count(director: &Director, gone: Option<Kind>) -> bool {
    if let Some(kind) = gone {
        // Their memory is not free before the worker looks after it.
        if director.displaced.count(kind) % OFTEN == 0 {
            director.wake_worker();
        }
    }
    gone.is_some()
}

/// A local port towards the real server's address and port `rip`; if there is none, one of
/// those that have had theirs longest gives way, if it may.
pub(crate) fn port<A: Family>(
    director: &Director,
    rcu: &Rcu,
    pick: &Pick<'_>,
    (rip, rport): (A, u16),
) -> Option<Local> {
    let local = pick.local(rcu, rport);
    if local.is_some() {
        return local;
    }
    for _ in 0..TRIES {
        let Some(victim) = displace_holder(director, rcu, pick, rip) else {
            break;
        };
        // Another processor may be faster with the port.
        let local = inherit(victim, rport);
        if local.is_some() {
            return local;
        }
    }
    pick.exhausted(rcu);
    None
}

/// Takes a port towards `peer` where a flow had its own that gave way.
fn inherit<A: Family>(victim: &Flow<A>, peer: u16) -> Option<Local> {
    let set = victim.port_set()?.clone();
    let (addr, _) = victim.local()?;
    let port = set.take(peer)?;
    Some(Local { addr, port, set })
}

/// Removes a flow with a local port that `pick` could have, and returns it; `None` if none may
/// give way.
#[inline(never)]
fn displace_holder<'a, A: Family>(
    director: &'a Director,
    rcu: &'a Rcu,
    pick: &Pick<'_>,
    rip: A,
) -> Option<&'a Flow<A>> {
    let flows = A::table(&director.flows);
    let mut worst = Worst::new();
    pick.eldest(rcu, |local: IpAddr, Held { port, peer, proto }| {
        let Some(local) = A::of(local) else {
            return false;
        };
        let tuple = Tuple {
            src: rip,
            dst: local,
            sport: peer,
            dport: port,
        };
        let mut look = |proto| flows.look_at(rcu, &Key { tuple, proto }, &mut worst);
        match proto {
            0 => proto::ALL.into_iter().any(look),
            proto => look(proto),
        }
    });
    count(director, flows.displace(rcu, &worst));
    worst.flow()
}
