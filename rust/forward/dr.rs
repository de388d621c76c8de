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
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    path: &Path,
) -> Verdict {
    let Some(ready) = packet.ready(path, 0, A::HEADER as u32) else {
        return packet.accept();
    };
    flow.touch(Side::First, context.flags);
    if rewrite::age::<A>(packet.own(&ready)).is_none() {
        return packet.drop();
    }
    let len = packet.len();
    packet.send_early(path, &flow.dest.stats, len, Side::First)
}

fn age<A: Stack>(packet: &mut Packet<'_>) -> bool {
    let header = packet.writable(A::HEADER);
    header.and_then(|bytes| rewrite::age::<A>(bytes)).is_some()
}
