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

pub(crate) use parse::Parse;
pub(crate) use tuple::{Addr, Tuple};

/// IP protocol numbers.
pub(crate) mod proto {
    /// ICMP over IPv4.
    pub(crate) const ICMP: u8 = 1;
    /// IPv4 inside another IP packet (RFC 2003).
    pub(crate) const IPIP: u8 = 4;
    /// TCP.
    pub(crate) const TCP: u8 = 6;
    /// UDP.
    pub(crate) const UDP: u8 = 17;
    /// IPv6 inside another IP packet (RFC 2473, RFC 4213).
    pub(crate) const IPV6: u8 = 41;
    /// ICMPv6.
    pub(crate) const ICMPV6: u8 = 58;
}

/// What a TCP or UDP packet says in its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context<A> {
    /// Addresses and ports as they stand in the packet.
    pub(crate) tuple: Tuple<A>,
    /// [`proto::TCP`] or [`proto::UDP`].
    pub(crate) proto: u8,
    /// Offset of the TCP or UDP header from the start of the IP header.
    pub(crate) l4: usize,
    /// The TCP flags byte; 0 for UDP.
    pub(crate) flags: u8,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
}

/// The outcome of parsing a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<A> {
    /// TCP or UDP with its ports.
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
    /// The packet's TCP or UDP headers, if it has any.
    #[inline(always)]
    fn flow(self) -> Option<Context<A>> {
        match self {
            Self::Flow(context) => Some(context),
            _ => None,
        }
    }
}

/// Reads a big-endian 16-bit word at `at`.
#[inline(always)]
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let end = at.checked_add(2)?;
    let word: [u8; 2] = bytes.get(at..end)?.try_into().ok()?;
    Some(u16::from_be_bytes(word))
}

/// Writes a big-endian 16-bit word at `at`.
#[inline(always)]
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    let end = at.checked_add(2)?;
    bytes
        .get_mut(at..end)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

/// `Short` if the packet goes on to `need` bytes, `Other` if it ends before.
fn short<A>(need: usize, len: usize) -> Parsed<A> {
    if need <= len {
        Parsed::Short(need)
    } else {
        Parsed::Other
    }
}
