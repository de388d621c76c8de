// SPDX-License-Identifier: GPL-2.0

//! What a packet meets on its way through the director, one file a hook.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::director::Director;
use crate::flow::Family;
use crate::packet::Parsed;
use crate::sys::hook::{Hooked, Point};
use crate::sys::skb::Packet;

mod callout;
pub(crate) mod forward;
pub(crate) mod icmp;
pub(crate) mod known;
pub(crate) mod local_in;
pub(crate) mod local_out;
mod persist;
pub(crate) mod postrouting;
pub(crate) mod prerouting;
pub(crate) mod renew;
pub(crate) mod room;
pub(crate) mod schedule;
pub(crate) mod stray;

impl Hooked for Director {
    const HOOKS4: &'static [Point<Self>] = &points::<Ipv4Addr>();
    const HOOKS6: &'static [Point<Self>] = &points::<Ipv6Addr>();
}

const fn points<A: Family>() -> [Point<Director>; 5] {
    [
        Point::new::<prerouting::PreRouting<A>>(A::V6),
        Point::new::<local_in::LocalIn<A>>(A::V6),
        Point::new::<forward::Forward<A>>(A::V6),
        Point::new::<local_out::LocalOut<A>>(A::V6),
        Point::new::<postrouting::PostRouting<A>>(A::V6),
    ]
}

/// Pulls that a parse may ask for before the packet counts as none of ours.
const MAX_PULLS: usize = 16;

/// Parses a packet, making as much of it readable as that takes. `Short`: there is no memory for
/// that. Whose it is can't be told then, and it must go nowhere: the host would answer a client's
/// packet with an error or a reset, and pass on a real server's as it is.
#[inline(always)]
pub(crate) fn parse<A: Family>(packet: &mut Packet<'_>) -> Parsed<A> {
    pulling(packet, A::parse)
}

/// Parses the packet that an ICMP error quotes at `at`.
pub(crate) fn parse_quoted<A: Family>(packet: &mut Packet<'_>, at: usize) -> Parsed<A> {
    pulling(packet, |bytes, len| A::parse_quoted(bytes, at, len))
}

#[inline(always)]
fn pulling<A: Family>(
    packet: &mut Packet<'_>,
    parse: impl Fn(&[u8], usize) -> Parsed<A>,
) -> Parsed<A> {
    for _ in 0..MAX_PULLS {
        let parsed = parse(packet.bytes(), packet.len() as usize);
        match parsed {
            Parsed::Short(need) if packet.pull(need) => {}
            parsed => return parsed,
        }
    }
    Parsed::Other
}
