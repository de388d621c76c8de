// SPDX-License-Identifier: GPL-2.0

//! Packets as bytes: parsing, rewriting, checksums and outer headers. Pure.

pub(crate) mod csum;
pub(crate) mod icmp;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
pub(crate) mod l4;
mod parse;
pub(crate) mod rewrite;
pub(crate) mod tunnel;
pub(crate) mod tuple;

#[cfg(test)]
mod tests;

use crate::proto;
pub(crate) use parse::Parse;
pub(crate) use tuple::{Addr, Tuple};

/// Numbers in the IP header of what is no protocol of [`crate::proto`].
pub(crate) mod number {
    /// ICMP over IPv4.
    pub(crate) const ICMP: u8 = 1;
    /// IPv4 inside another IP packet (RFC 2003).
    pub(crate) const IPIP: u8 = 4;
    /// IPv6 inside another IP packet (RFC 2473, RFC 4213).
    pub(crate) const IPV6: u8 = 41;
    /// ICMPv6.
    pub(crate) const ICMPV6: u8 = 58;
    /// What IPVS balances besides TCP and UDP: ESP, AH, SCTP.
    pub(super) const OF_IPVS: [u8; 3] = [50, 51, 132];
}

/// What a packet of a protocol that is balanced says in its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context<A> {
    /// Addresses and ports as they stand in the packet.
    pub(crate) tuple: Tuple<A>,
    /// The protocol's number in the IP header.
    pub(crate) proto: u8,
    /// Offset of the protocol's header from the start of the IP header.
    pub(crate) l4: usize,
    /// What it does to its connection: TCP's flags byte; 0 if its protocol has nothing like that.
    pub(crate) flags: u8,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
}

impl<A> Context<A> {
    /// Whether it may open a flow.
    #[inline(always)]
    pub(crate) fn may_create(&self) -> bool {
        proto::may_create(self.proto, self.flags)
    }

    /// Whether it may open a flow for a connection that has begun elsewhere.
    pub(crate) fn may_join(&self) -> bool {
        proto::may_join(self.proto, self.flags)
    }

    /// Whether it is the first of a connection, and hardly ever one of a known flow.
    #[inline(always)]
    pub(crate) fn begins(&self) -> bool {
        proto::begins(self.proto, self.flags)
    }

    /// Whether it resets its connection.
    pub(crate) fn resets(&self) -> bool {
        proto::resets(self.proto, self.flags)
    }

    /// Whether it opens a connection, from either side.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        proto::opens(self.proto, self.flags)
    }
}

/// Whether the packet that `bytes` starts with is of a protocol that IPVS balances.
pub(crate) fn is_of_ipvs<A: Addr>(bytes: &[u8]) -> bool {
    let at = if A::V6 { ipv6::NEXT } else { ipv4::PROTOCOL };
    let known = |number: &u8| proto::is_known(*number) || number::OF_IPVS.contains(number);
    bytes.get(at).is_some_and(known)
}

/// The outcome of parsing a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<A> {
    /// One of a protocol that is balanced, with its ports.
    Flow(Context<A>),
    /// An ICMP error that quotes such a packet.
    Error(icmp::Quote<A>),
    /// An ICMP error about an IP-in-IP packet that this host sent.
    TunnelError(icmp::TunnelQuote),
    /// A fragment: the ports can't be known before it is reassembled.
    Fragment,
    /// So many bytes, counted from the IP header, have to be readable first.
    Short(usize),
    /// Nothing that is balanced.
    Other,
}

impl<A> Parsed<A> {
    /// The packet's headers, if it may belong to a flow.
    #[inline(always)]
    fn flow(self) -> Option<Context<A>> {
        match self {
            Self::Flow(context) => Some(context),
            _ => None,
        }
    }
}

/// Reads two bytes at `at`.
#[inline(always)]
pub(crate) fn two(bytes: &[u8], at: usize) -> Option<[u8; 2]> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok()
}

/// Writes two bytes at `at`.
#[inline(always)]
pub(crate) fn put_two(bytes: &mut [u8], at: usize, two: [u8; 2]) -> Option<()> {
    let end = at.checked_add(2)?;
    bytes.get_mut(at..end)?.copy_from_slice(&two);
    Some(())
}

/// Reads a big-endian 16-bit word at `at`.
#[inline(always)]
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    two(bytes, at).map(u16::from_be_bytes)
}

/// Writes a big-endian 16-bit word at `at`.
#[inline(always)]
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    put_two(bytes, at, value.to_be_bytes())
}

/// `Short` if the packet goes on to `need` bytes, `Other` if it ends before.
fn short<A>(need: usize, len: usize) -> Parsed<A> {
    if need <= len {
        Parsed::Short(need)
    } else {
        Parsed::Other
    }
}
