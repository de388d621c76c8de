// SPDX-License-Identifier: GPL-2.0

//! Direct routing: the packet goes to the real server's link address as it is.

use super::{dest_path, local, may_leave};
use crate::datapath::Stack;
use crate::director::Director;
use crate::flow::Flow;
use crate::packet::{rewrite, Context};
use crate::service::Dest;
use crate::sys::index::Side;
use crate::sys::route::Path;
use crate::sys::skb::{Packet, Verdict};

/// Bytes that change: the IP header.
fn header<A: Stack>() -> usize {
    A::SRC.wrapping_add(A::LEN).wrapping_add(A::LEN)
}

/// By the ordinary output.
pub(crate) fn request<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    dest: &Dest,
    ttl: u8,
) -> Verdict {
    let Some((path, mtu)) = dest_path(packet.rcu(), director.net(), dest) else {
        packet.link_failure();
        return packet.drop();
    };
    if path.is_local() {
        return local::request(packet);
    }
    if !may_leave::<A>(&mut packet, ttl, mtu) || !age::<A>(&mut packet) {
        return packet.drop();
    }
    packet.orphan();
    packet.send_out(path)
}

/// Past the other hooks.
#[inline(always)]
pub(crate) fn request_early<A: Stack>(
    director: &Director,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    path: &Path,
    mtu: u32,
) -> Verdict {
    if !packet.fits(mtu) {
        return packet.accept();
    }
    flow.dest.stats.packet_in(packet.len());
    flow.touch(&director.config, Side::First, context.flags);
    if !age::<A>(&mut packet) {
        return packet.drop();
    }
    packet.send_to_neighbour(path, path.to)
}

#[inline(always)]
fn age<A: Stack>(packet: &mut Packet<'_>) -> bool {
    let header = packet.writable(header::<A>());
    header.and_then(|bytes| rewrite::age::<A>(bytes)).is_some()
}
