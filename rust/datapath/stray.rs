// SPDX-License-Identifier: GPL-2.0

//! Packets that belong to nothing here, which a setting has something to say about.

use crate::director::Director;
use crate::flow::Family;
use crate::packet::{self, Context};
use crate::sys::rcu::Rcu;
use crate::sys::skb::{Icmp, Packet, Verdict};

/// Whether a packet of no known flow is a real server's, which is to be told so (IPVS:
/// `nat_icmp_send`).
#[inline]
pub(super) fn is_answer<A: Family>(director: &Director, rcu: &Rcu, context: &Context<A>) -> bool {
    director.config.nat_icmp_send() && has_sent(director, rcu, context)
}

#[cold]
fn has_sent<A: Family>(director: &Director, rcu: &Rcu, context: &Context<A>) -> bool {
    let from = (context.tuple.src.into(), context.tuple.sport);
    let answered = || director.flows.answered(rcu, context.tuple, context.proto);
    !context.resets()
        && director.services.has_server(rcu, context.proto, from)
        && answered().is_none()
}

/// Tells a real server that nobody waits for what it says.
#[cold]
pub(super) fn reject<A: Family>(mut packet: Packet<'_>) -> Verdict {
    packet.icmp(A::V6, Icmp::PortUnreachable);
    packet.drop()
}

/// Lets a packet of another protocol go on. What comes out of it may be passed by (IPVS:
/// `ignore_tunneled`).
pub(super) fn other<A: Family>(director: &Director, packet: Packet<'_>) -> Verdict {
    if director.config.ignore_tunneled() && !packet::is_of_ipvs::<A>(packet.bytes()) {
        return packet.accept_passed_by();
    }
    packet.accept()
}
