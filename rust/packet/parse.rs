// SPDX-License-Identifier: GPL-2.0

//! Whole packets of either family: of a flow, an ICMP error about such a packet, or neither.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{icmp, ipv4, ipv6, l4, number, Addr, Context, Parsed};
use crate::proto;

/// An address family whose packets can be read.
pub(crate) trait Parse: Addr {
    /// Parses a packet as nearly all are: no options or extension headers, no fragment, a
    /// protocol that is balanced. `None`: another one, or not enough of it can be read.
    fn parse_plain(bytes: &[u8]) -> Option<Context<Self>>;
    /// Parses a packet of `len` bytes, of which `bytes` can be read.
    fn parse(bytes: &[u8], len: usize) -> Parsed<Self>;
    /// Parses the packet that an ICMP error quotes at `at`.
    fn parse_quoted(bytes: &[u8], at: usize, len: usize) -> Parsed<Self>;
}

impl Parse for Ipv4Addr {
    #[inline(always)]
    fn parse_plain(bytes: &[u8]) -> Option<Context<Self>> {
        ipv4::parse_plain(bytes)
    }

    #[inline(always)]
    fn parse(bytes: &[u8], len: usize) -> Parsed<Self> {
        let ip = match ipv4::header(bytes, 0, len) {
            Ok((ip, word)) if !ipv4::is_fragment(word) => ip,
            Ok((ip, _)) if ip.proto == number::ICMP || proto::is_known(ip.proto) => {
                return Parsed::Fragment
            }
            Ok(_) => return Parsed::Other,
            Err(parsed) => return parsed,
        };
        match ip.proto {
            number::ICMP => icmp::parse4(bytes, len, ip),
            _ => l4::parse(bytes, len, ip),
        }
    }

    fn parse_quoted(bytes: &[u8], at: usize, len: usize) -> Parsed<Self> {
        ipv4::parse_quoted(bytes, at, len)
    }
}

impl Parse for Ipv6Addr {
    #[inline(always)]
    fn parse_plain(bytes: &[u8]) -> Option<Context<Self>> {
        ipv6::parse_plain(bytes)
    }

    #[inline(always)]
    fn parse(bytes: &[u8], len: usize) -> Parsed<Self> {
        match ipv6::header(bytes, 0, len) {
            Ok(ip) if ip.proto == number::ICMPV6 => icmp::parse6(bytes, len, ip),
            Ok(ip) => l4::parse(bytes, len, ip),
            Err(parsed) => parsed,
        }
    }

    fn parse_quoted(bytes: &[u8], at: usize, len: usize) -> Parsed<Self> {
        ipv6::parse_quoted(bytes, at, len)
    }
}
