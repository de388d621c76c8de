// SPDX-License-Identifier: GPL-2.0

//! Bypass: the packet goes on to its own address, past all real servers.

use core::net::IpAddr;

use super::{may_leave, narrowed};
use crate::flow::{Family, Flow, Flows};
use crate::packet::rewrite;
use crate::sys::policy::Ends;
use crate::sys::route::{Hints, Path, Query};
use crate::sys::skb::{Packet, Verdict};

/// By the ordinary output. The way is looked up for each packet, without the mark that brought it here.
pub(crate) fn request<A: Family>(
    flows: &Flows,
    mut packet: Packet<'_>,
    flow: &Flow<A>,
    ttl: u8,
) -> Verdict {
    let to: IpAddr = flow.request.dst.into();
    let query = Query {
        to,
        from: None,
        hints: Hints::default(),
        next_hop: false,
    };
    let path = match Path::find(flows.net(), query) {
        // IPVS: never to this host, which is where it would come from again.
        Ok(path) if path.is_local() => return packet.drop(),
        Ok(path) => path,
        Err(none) => return none.drop(packet),
    };
    let Some(mtu) = path.mtu() else {
        return packet.drop();
    };
    let mtu = narrowed::<A>(&packet, &path, mtu, Ends::as_is);
    let ready = may_leave(&mut packet, flow.request.src, ttl, mtu)
        && packet
            .writable(A::HEADER)
            .and_then(|bytes| rewrite::age::<A>(bytes))
            .is_some();
    if !ready {
        return packet.drop();
    }
    packet.orphan();
    packet.send_out(&path, false)
}
