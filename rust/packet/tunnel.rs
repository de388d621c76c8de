// SPDX-License-Identifier: GPL-2.0

//! Outer headers of IP in IP (RFC 2003, RFC 2473, RFC 4213).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::csum::Delta;
use super::{ipv4, ipv6, number, put16, Addr};

/// The congestion bits of the type-of-service byte (RFC 3168).
const ECN: u8 = 3;
/// Congestion experienced.
const CE: u8 = 3;
/// Capable of ECN, first codepoint.
const ECT0: u8 = 2;

/// What the outer header takes from the packet that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inner {
    /// Whether the carried packet is IPv6.
    pub(crate) v6: bool,
    /// Its type of service or traffic class.
    pub(crate) tos: u8,
    /// Its TTL or hop limit.
    pub(crate) ttl: u8,
    /// Whether it must not be fragmented (IPv4).
    pub(crate) df: bool,
}

impl Inner {
    /// Reads the packet that `bytes` starts with.
    pub(crate) fn read<A: Addr>(bytes: &[u8]) -> Option<Self> {
        let (a, b) = (*bytes.first()?, *bytes.get(ipv4::TOS)?);
        Some(Self {
            v6: A::V6,
            tos: if A::V6 { (a << 4) | (b >> 4) } else { b },
            ttl: *bytes.get(if A::V6 { ipv6::HOP_LIMIT } else { ipv4::TTL })?,
            df: !A::V6 && ipv4::dont_fragment(bytes),
        })
    }

    /// The outer type of service: the inner one, "congestion experienced" not copied.
    fn outer_tos(&self) -> u8 {
        if self.tos & ECN == CE {
            (self.tos & !ECN) | ECT0
        } else {
            self.tos
        }
    }

    fn protocol(&self) -> u8 {
        if self.v6 {
            number::IPV6
        } else {
            number::IPIP
        }
    }
}

/// Where a packet is that travels inside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Whether it is IPv6.
    pub(crate) v6: bool,
    /// Where the outer packet goes.
    pub(crate) to: IpAddr,
    /// Offset of its header.
    pub(crate) at: usize,
}

/// What the packet that `bytes` starts with carries, if it is plain IP in IP.
pub(crate) fn carried<A: Addr>(bytes: &[u8]) -> Option<Carried> {
    let (protocol, at) = match A::V6 {
        true => (bytes.get(ipv6::NEXT)?, ipv6::HEADER),
        false => (bytes.get(ipv4::PROTOCOL)?, ipv4::HEADER),
    };
    let v6 = match *protocol {
        number::IPIP => false,
        number::IPV6 => true,
        _ => return None,
    };
    let to = A::destination(bytes)?.into();
    let plain = A::V6 || bytes.first() == Some(&0x45);
    plain.then_some(Carried { v6, to, at })
}

/// Bytes of the outer header towards `dst`.
pub(crate) fn length(dst: IpAddr) -> usize {
    match dst {
        IpAddr::V4(_) => ipv4::HEADER,
        IpAddr::V6(_) => ipv6::HEADER,
    }
}

/// Writes an outer IPv4 header with identification 0 and the checksum that goes with it.
///
/// `total` is the length of the whole packet; a segmented one longer than a header
/// can say gets 0, as the kernel's own large packets do.
pub(crate) fn put_ipv4(
    header: &mut [u8],
    src: Ipv4Addr,
    dst: Ipv4Addr,
    inner: Inner,
    total: u32,
) -> Option<()> {
    let header = header.get_mut(..ipv4::HEADER)?;
    let [high, low] = u16::try_from(total).unwrap_or(0).to_be_bytes();
    let fragment = if inner.df { ipv4::DF } else { 0 };
    let [df, rest] = fragment.to_be_bytes();
    let words = |[first, second]: [u8; 2]| {
        [
            [0x45, inner.outer_tos(), high, low],
            [0, 0, df, rest],
            [inner.ttl, inner.protocol(), first, second],
            src.octets(),
            dst.octets(),
        ]
    };
    // Of the words in registers: reading the header back would wait for its stores.
    let sum = |sum: Delta, word| sum.long([0xff; 4], word);
    let check = words([0; 2]).into_iter().fold(Delta::default(), sum);
    let words = words(check.apply([0xff; 2]));
    for (place, word) in header.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    Some(())
}

/// Writes an outer IPv6 header; `payload` is the length of the packet behind it.
pub(crate) fn put_ipv6(
    header: &mut [u8],
    src: Ipv6Addr,
    dst: Ipv6Addr,
    inner: Inner,
    payload: u32,
) -> Option<()> {
    let header = header.get_mut(..ipv6::HEADER)?;
    header.fill(0);
    put16(header, 0, 0x6000 | (u16::from(inner.outer_tos()) << 4))?;
    put16(header, 4, u16::try_from(payload).unwrap_or(0))?;
    put16(header, 6, u16::from_be_bytes([inner.protocol(), inner.ttl]))?;
    src.write(header.get_mut(8..24)?)?;
    dst.write(header.get_mut(24..40)?)
}
