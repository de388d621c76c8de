// SPDX-License-Identifier: GPL-2.0

//! When a packet of a known flow is scheduled as if there were none: the flow is over, or its
//! destination is gone.

use super::schedule;
use crate::director::Director;
use crate::flow::{Family, Flow};
use crate::packet::Context;
use crate::sched::Candidate;
use crate::sys::index::Side;
use crate::sys::skb::Packet;

/// Whether the flow that was found ends here. Most packets are asked for no more than whether
/// they open a connection, and whether their destination is there.
#[inline(always)]
pub(super) fn ends_here<A: Family>(
    director: &Director,
    packet: &Packet<'_>,
    found: (&Flow<A>, Side),
    context: &Context<A>,
) -> bool {
    let (flow, side) = found;
    let orphan = side == Side::First && !flow.dest.available();
    (context.opens() || orphan) && is_due(director, packet, found, context)
}

#[inline(never)]
fn is_due<A: Family>(
    director: &Director,
    packet: &Packet<'_>,
    (flow, side): (&Flow<A>, Side),
    context: &Context<A>,
) -> bool {
    // IPVS has no hooks then.
    if director.services.is_empty(A::V6) {
        return false;
    }
    let config = &director.config;
    let over = context.opens() && flow.gives_way(config.conn_reuse_mode());
    match side {
        Side::First if over => true,
        // IPVS, `expire_nodest_conn`: nobody waits for a server that is gone, nor opens a
        // connection to one that is on its way out.
        Side::First if config.expire_nodest_conn() => {
            !flow.dest.available() || context.opens() && flow.dest.weight() == 0
        }
        Side::First => false,
        // A server's SYN begins a connection only if it is for a service itself.
        Side::Second => {
            over && context.may_create()
                && schedule::service_of(director, packet, context).is_some()
        }
    }
}
