// SPDX-License-Identifier: GPL-2.0

//! How a side of a flow earns the early path: a packet of it has come out behind the host's
//! rules. Those that follow by the same interface may go early.

use crate::flow::ways::Way;
use crate::flow::{Family, Flow, Flows};
use crate::sys::index::Side;
use crate::sys::route::{has_rules, Path};
use crate::sys::skb::Packet;

/// The number that the loopback device has in every namespace.
const LOOPBACK: u32 = 1;

/// A request has come out, which has its route and its last form.
pub(crate) fn request<A: Family>(flows: &Flows, packet: &mut Packet<'_>, flow: &Flow<A>) {
    if packet.is_settled() {
        let path = packet.path(flow.dest.addr);
        request_by(flows, packet, flow, path.as_ref());
    }
}

/// A request comes out by `path`.
pub(super) fn request_by<A: Family>(
    flows: &Flows,
    packet: &Packet<'_>,
    flow: &Flow<A>,
    path: Option<&Path>,
) {
    give(flows, packet, flow, Side::First, || {
        // What this host itself asks goes by its own rules each time. It has no interface here:
        // where it comes in again, by the loopback device or a VRF, it brings a route along that
        // is counted, so its origin names none; this is for what is put into the loopback device.
        let foreign = packet.origin(A::V6).interface() != LOOPBACK;
        // Those that follow take the destination's own way: it must be the one that was taken.
        let known = flow.dest.path.get(packet.rcu())?;
        let same = known.is_direct() && known.same_route(path?);
        (foreign && same).then_some((0, None))
    });
}

/// An answer has come out, which has its route and its last form.
pub(crate) fn answer<A: Family>(flows: &Flows, packet: &mut Packet<'_>, flow: &Flow<A>) {
    if packet.is_settled() {
        let class = A::class(packet.bytes());
        let path = || packet.path(flow.request.src.into());
        answer_by(flows, packet, flow, class, path);
    }
}

/// An answer of `class` comes out by `path`.
pub(super) fn answer_by<A: Family>(
    flows: &Flows,
    packet: &Packet<'_>,
    flow: &Flow<A>,
    class: u8,
    path: impl FnOnce() -> Option<Path>,
) {
    let path = || Some((class, Some(path().filter(Path::is_direct)?)));
    give(flows, packet, flow, Side::Second, path);
}

/// Gives a side its mark, unless it has one that counts.
fn give<A: Family>(
    flows: &Flows,
    packet: &Packet<'_>,
    flow: &Flow<A>,
    side: Side,
    leaves: impl FnOnce() -> Option<(u8, Option<Path>)>,
) {
    let Some(stamp) = flows.gate.stamp() else {
        return;
    };
    let (rcu, origin) = (packet.rcu(), packet.origin(A::V6));
    if origin.interface() == 0 {
        return;
    }
    let present = flows.ways.get(rcu, flow.way(side));
    if present.is_some_and(|way| way.has(stamp) && !way.is_stale()) {
        return;
    }
    let Some((class, path)) = leaves() else {
        return;
    };
    let ruled = has_rules(flows.net(), A::V6) || flow.link() != 0;
    let way = Way::earned(stamp, origin, class, ruled, path);
    if let Some((_, id)) = flows.ways.keep(rcu, way) {
        flow.set_way(side, id);
    }
}

/// Takes a side's mark away if it is for others than `packet`, so that one that comes out like
/// it earns it anew. To be called at most once a second for a flow: traffic may have moved, or
/// goes over two ways in turn.
pub(crate) fn reconsider<A: Family>(
    flows: &Flows,
    packet: &Packet<'_>,
    flow: &Flow<A>,
    side: Side,
) {
    let Some(way) = flows.ways.get(packet.rcu(), flow.way(side)) else {
        return;
    };
    let (earned, came) = (way.origin.interface(), packet.origin(A::V6).interface());
    let class = A::class(packet.bytes());
    let other = earned != came || side == Side::Second && way.class != class;
    if earned != 0 && came != 0 && other {
        flow.set_way(side, 0);
    }
}
