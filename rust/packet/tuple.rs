// SPDX-License-Identifier: GPL-2.0

//! Addresses and ports of a packet, generic over the address family.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::csum::Delta;
use crate::hash::folded::{self, hash2, hash5};

/// What an IP header's layout gives for an address family.
pub(crate) trait Addr: Copy + Eq + Into<IpAddr> + Send + Sync + 'static {
    /// Whether this is IPv6.
    const V6: bool;
    /// Bytes of an address.
    const LEN: usize;
    /// Offset of the source address in the IP header; the destination follows it.
    const SRC: usize;
    /// Bytes of the IP header, without options or extensions.
    const HEADER: usize = Self::SRC + Self::LEN + Self::LEN;
    /// Bytes of the headers of a TCP packet, without options or extensions.
    const PLAIN: u32 = Self::HEADER as u32 + 20;
    /// The address in `bytes`, which must be [`Addr::LEN`] long.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Writes the address to `bytes`, which must be [`Addr::LEN`] long.
    fn write(self, bytes: &mut [u8]) -> Option<()>;
    /// Where the packet that `bytes` starts with goes.
    fn destination(bytes: &[u8]) -> Option<Self> {
        let start = Self::SRC.checked_add(Self::LEN)?;
        Self::read(bytes.get(start..start.checked_add(Self::LEN)?)?)
    }
    /// What it does to a checksum that one address takes another's place.
    fn delta(old: Self, new: Self) -> Delta;
    /// The address out of either family, if it is of this one.
    fn of(addr: IpAddr) -> Option<Self>;
    /// Type of service or traffic class without ECN's bits, of the header that `bytes` starts
    /// with: what routing rules may ask for.
    fn class(bytes: &[u8]) -> u8;
    /// A hash of the tuple and protocol that nobody without `key` can steer. It is this machine's
    /// alone, so addresses count as they lie in memory.
    fn hash(tuple: &Tuple<Self>, proto: u8, key: &folded::Key) -> u64;
}

/// The bits of a type of service that are not ECN's (RFC 2474).
const DSCP: u8 = 0xfc;

/// Ports and protocol of a tuple in one word.
#[inline(always)]
fn tail<A>(t: &Tuple<A>, proto: u8) -> u64 {
    (u64::from(t.sport) << 48) | (u64::from(t.dport) << 32) | u64::from(proto)
}

impl Addr for Ipv4Addr {
    const V6: bool = false;
    const LEN: usize = 4;
    const SRC: usize = 12;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(<[u8; 4]>::try_from(bytes).ok()?.into())
    }

    #[inline(always)]
    fn write(self, bytes: &mut [u8]) -> Option<()> {
        *<&mut [u8; 4]>::try_from(bytes).ok()? = self.octets();
        Some(())
    }

    #[inline(always)]
    fn delta(old: Self, new: Self) -> Delta {
        Delta::default().long(old.octets(), new.octets())
    }

    fn of(addr: IpAddr) -> Option<Self> {
        match addr {
            IpAddr::V4(a) => Some(a),
            IpAddr::V6(_) => None,
        }
    }

    #[inline(always)]
    fn class(bytes: &[u8]) -> u8 {
        bytes.get(1).map_or(0, |tos| tos & DSCP)
    }

    #[inline(always)]
    fn hash(t: &Tuple<Self>, proto: u8, key: &folded::Key) -> u64 {
        let [src, dst] = [t.src, t.dst].map(|addr| u64::from(u32::from_ne_bytes(addr.octets())));
        let pair = (src << 32) | dst;
        hash2(key, [pair, tail(t, proto)])
    }
}

impl Addr for Ipv6Addr {
    const V6: bool = true;
    const LEN: usize = 16;
    const SRC: usize = 8;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(<[u8; 16]>::try_from(bytes).ok()?.into())
    }

    #[inline(always)]
    fn write(self, bytes: &mut [u8]) -> Option<()> {
        *<&mut [u8; 16]>::try_from(bytes).ok()? = self.octets();
        Some(())
    }

    #[inline(always)]
    fn delta(old: Self, new: Self) -> Delta {
        Delta::default().wide(old.octets(), new.octets())
    }

    fn of(addr: IpAddr) -> Option<Self> {
        match addr {
            IpAddr::V6(a) => Some(a),
            IpAddr::V4(_) => None,
        }
    }

    #[inline(always)]
    fn class(bytes: &[u8]) -> u8 {
        let word = bytes.first_chunk().map_or(0, |&b| u16::from_be_bytes(b));
        (word >> 4) as u8 & DSCP
    }

    #[inline(always)]
    fn hash(t: &Tuple<Self>, proto: u8, key: &folded::Key) -> u64 {
        let [s, d] = [t.src, t.dst].map(|addr| u128::from_ne_bytes(addr.octets()));
        let words = [
            (s >> 64) as u64,
            s as u64,
            (d >> 64) as u64,
            d as u64,
            tail(t, proto),
        ];
        hash5(key, words)
    }
}

/// Source and destination of a packet; ports in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Tuple<A> {
    /// Source address.
    pub(crate) src: A,
    /// Destination address.
    pub(crate) dst: A,
    /// Source port.
    pub(crate) sport: u16,
    /// Destination port.
    pub(crate) dport: u16,
}

impl<A: Copy> Tuple<A> {
    /// The tuple of a packet that goes the other way.
    #[inline(always)]
    pub(crate) fn reversed(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}
