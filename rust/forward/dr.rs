// SPDX-License-Identifier: GPL-2.0

//! Direct routing: the packet goes to the real server's link address as it is.

use super::{dest_path, earn, header, local, may_leave, narrowed, stay, touch};
use crate::flow::{Family, Flow, Flows, Why};
use crate::packet::{rewrite, Context};
use crate::sys::index::Side;
use crate::sys::policy::Ends;
use crate::sys::route::Path;
use crate::sys::skb::{Origin, Packet, Verdict};

/// By the ordinary output.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    ttl: u8,
    own: bool,
) -> Verdict {
    let (path, mtu) = match dest_path(packet.rcu(), flows, flow) {
        Ok(known) => known,
        Err(none) => return none.drop(packet),
    };
    if path.is_local() {
        return local::request(packet);
    }
    let mtu = narrowed::<A>(&packet, path, mtu, Ends::as_is);
    if !may_leave(&mut packet, flow.request.src, ttl, mtu) || !age::<A>(&mut packet) {
        return packet.drop();
    }
    packet.orphan();
    if packet.is_straight(path) {
        if own {
            earn::request_by(flows, &packet, flow, Some(path));
        }
        return packet.send_straight(path);
    }
    packet.send_out(path, false)
}

/// Past the other hooks.
#[inline(always)]
pub(crate) fn request_early<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    context: &Context<A>,
    (origin, path): (&Origin, &Path),
) -> Verdict {
    if !path.is_next_hop() {
        return stay(flows, packet, Why::Path);
    }
    let ready = match packet.ready(origin, path, 0, A::HEADER as u32) {
        Ok(ready) => ready,
        Err(why) => return stay(flows, packet, why.into()),
    };
    touch(flows, &packet, flow, Side::First, context.flags);
    if rewrite::age::<A>(packet.own(&ready)).is_none() {
        return packet.drop();
    }
    let len = packet.len();
    packet.send_early(path, &flow.dest.stats, len, Side::First)
}

fn age<A: Family>(packet: &mut Packet<'_>) -> bool {
    header::<A>(packet).and_then(rewrite::age::<A>).is_some()
}
