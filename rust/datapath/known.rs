// SPDX-License-Identifier: GPL-2.0

//! A packet of a known flow, at the hooks where IPVS works.

use super::Stack;
use crate::director::Director;
use crate::flow::Flow;
use crate::forward;
use crate::packet::{proto, Context};
use crate::sys::index::Side;
use crate::sys::skb::{Packet, Verdict};

/// TCP flags of a first packet, and those that tell it from a second one.
const SYN: u8 = 0x02;
const SYN_MASK: u8 = 0x16;

/// Whether the packet is a bare SYN: hardly ever one of a known flow.
#[inline(always)]
pub(crate) fn opens<A>(context: &Context<A>) -> bool {
    context.proto == proto::TCP && context.flags & SYN_MASK == SYN
}

/// Whether the packet opens a new connection over the addresses of one that is over.
///
/// IPVS, `conn_reuse_mode` 1: only a bare SYN starts over.
#[inline(always)]
pub(crate) fn starts_over<A: Stack>(flow: &Flow<A>, side: Side, context: &Context<A>) -> bool {
    side == Side::First && opens(context) && flow.is_over()
}

/// Sends a client's packet to the real server.
pub(crate) fn request<A: Stack>(
    director: &Director,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if !flow.dest.available() {
        // As IPVS: the flow gets no more packets and expires.
        return packet.drop();
    }
    flow.dest.stats.packet_in(packet.len());
    flow.touch(Side::First, context.flags);
    forward::request(director, packet, flow, context)
}

/// Sends a real server's packet to the client.
pub(crate) fn reply<A: Stack>(
    director: &Director,
    packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
) -> Verdict {
    if flow.dest.available() {
        flow.dest.stats.packet_out(packet.len());
    }
    flow.touch(Side::Second, context.flags);
    forward::nat::reply(director, packet, flow, context)
}
