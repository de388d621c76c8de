// SPDX-License-Identifier: GPL-2.0

//! ICMP errors and the packets that they quote (RFC 792, RFC 4443).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::csum::Delta;
use super::l4::Ip;
use super::{be16, ipv4, ipv6, number, put_two, rewrite, short, two, Addr, Context, Parsed, Tuple};
use crate::proto;

/// Bytes of an ICMP header in front of the quoted packet.
const HEADER: usize = 8;
/// Offset of the checksum in an ICMP header.
const CHECK: usize = 2;
/// Offset of the low half of the MTU that the way has.
const MTU: usize = 6;

/// IPv4: destination unreachable.
pub(crate) const UNREACHABLE4: u8 = 3;
/// IPv4: source quench.
const SOURCE_QUENCH: u8 = 4;
/// IPv4: time exceeded.
pub(crate) const TIME_EXCEEDED4: u8 = 11;
/// IPv6: packet too big.
pub(crate) const TOO_BIG6: u8 = 2;
/// IPv4, code of [`UNREACHABLE4`]: fragmentation needed.
pub(crate) const FRAG_NEEDED4: u8 = 4;
/// IPv6: types from here on are no errors.
const FIRST_INFORMATIONAL6: u8 = 128;

/// An ICMP error and the packet that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote<A> {
    /// Offset of the ICMP header.
    pub(crate) icmp: usize,
    /// Offset of the quoted IP header.
    pub(crate) inner: usize,
    /// The quoted packet; its offsets count from the outer IP header.
    pub(crate) context: Context<A>,
    /// Sender of the error.
    pub(crate) src: A,
    /// TTL of the error itself.
    pub(crate) ttl: u8,
}

/// An ICMP error about a packet that this host had put inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TunnelQuote {
    /// Type and code of the error.
    pub(crate) kind: u8,
    /// Code of the error.
    pub(crate) code: u8,
    /// The MTU of the way, where the error tells one; otherwise 0.
    pub(crate) mtu: u32,
    /// The last word of the ICMP header.
    pub(crate) info: u32,
    /// Offset of the ICMP header.
    pub(crate) icmp: usize,
    /// Offset of the quoted outer header.
    pub(crate) outer: usize,
    /// Offset of the client's packet behind it.
    pub(crate) inner: usize,
    /// Whether the client's packet is IPv6.
    pub(crate) inner_v6: bool,
    /// Where the quoted outer packet came from.
    pub(crate) src: IpAddr,
    /// Where it went: a real server.
    pub(crate) dst: IpAddr,
}

/// Parses an ICMP packet behind the header `ip`.
pub(crate) fn parse4(bytes: &[u8], len: usize, ip: Ip<Ipv4Addr>) -> Parsed<Ipv4Addr> {
    let Some(inner) = ip.l4.checked_add(HEADER) else {
        return Parsed::Other;
    };
    if bytes.len() < inner {
        return short(inner, len);
    }
    match bytes.get(ip.l4) {
        Some(&(UNREACHABLE4 | SOURCE_QUENCH | TIME_EXCEEDED4)) => {}
        _ => return Parsed::Other,
    }
    match ipv4::header(bytes, inner, len) {
        Ok((outer, 0 | ipv4::DF)) if matches!(outer.proto, number::IPIP | number::IPV6) => {
            tunnel_quote(bytes, len, ip.l4, inner, outer)
        }
        _ => quote(ip, inner, ipv4::parse_quoted(bytes, inner, len)),
    }
}

/// Parses an ICMPv6 packet behind the header `ip`.
pub(crate) fn parse6(bytes: &[u8], len: usize, ip: Ip<Ipv6Addr>) -> Parsed<Ipv6Addr> {
    let Some(inner) = ip.l4.checked_add(HEADER) else {
        return Parsed::Other;
    };
    if bytes.len() < inner {
        return short(inner, len);
    }
    match bytes.get(ip.l4) {
        Some(&kind) if kind < FIRST_INFORMATIONAL6 => {}
        _ => return Parsed::Other,
    }
    match ipv6::header(bytes, inner, len) {
        Ok(outer) if matches!(outer.proto, number::IPIP | number::IPV6) => {
            tunnel_quote(bytes, len, ip.l4, inner, outer)
        }
        _ => quote(ip, inner, ipv6::parse_quoted(bytes, inner, len)),
    }
}

/// Turns the quoted packet's parse into that of the error.
fn quote<A: Addr>(ip: Ip<A>, inner: usize, parsed: Parsed<A>) -> Parsed<A> {
    match parsed {
        Parsed::Flow(context) => Parsed::Error(Quote {
            icmp: ip.l4,
            inner,
            context,
            src: ip.src,
            ttl: ip.ttl,
        }),
        other => other,
    }
}

fn tunnel_quote<A: Addr>(
    bytes: &[u8],
    len: usize,
    icmp: usize,
    at: usize,
    outer: Ip<A>,
) -> Parsed<A> {
    // Enough of the client's packet to tell whose it was.
    let Some(need) = outer.l4.checked_add(ipv4::HEADER) else {
        return Parsed::Other;
    };
    if bytes.len() < need {
        return short(need, len);
    }
    let word = |offset: usize| be16(bytes, icmp.wrapping_add(offset)).unwrap_or(0);
    let [kind, code] = word(0).to_be_bytes();
    let info = (u32::from(word(MTU - 2)) << 16) | u32::from(word(MTU));
    Parsed::TunnelError(TunnelQuote {
        kind,
        code,
        mtu: if A::V6 { info } else { info & 0xffff },
        info,
        icmp,
        outer: at,
        inner: outer.l4,
        inner_v6: outer.proto == number::IPV6,
        src: outer.src.into(),
        dst: outer.dst.into(),
    })
}

impl TunnelQuote {
    /// Whether the error says that the outer packet was too large.
    pub(crate) fn too_big(&self) -> bool {
        match self.src {
            IpAddr::V4(_) => self.kind == UNREACHABLE4 && self.code == FRAG_NEEDED4,
            IpAddr::V6(_) => self.kind == TOO_BIG6,
        }
    }
}

impl<A: Addr> Quote<A> {
    /// So many bytes of the packet may be changed by [`Quote::translate`].
    pub(crate) fn reach(&self, len: usize) -> usize {
        // The quoted checksum is the farthest field, if it is quoted at all.
        let check = proto::check_at(self.context.proto).unwrap_or(0);
        let end = check.saturating_add(2);
        self.context.l4.saturating_add(end).min(len)
    }

    /// Rewrites the error: `src` and `dst` outside, `to` in the quoted packet.
    ///
    /// `None`: too short, and perhaps half changed; drop it.
    pub(crate) fn translate(&self, bytes: &mut [u8], src: A, dst: A, to: &Tuple<A>) -> Option<()> {
        let outer = rewrite::put_addresses(bytes, 0, src, dst)?;
        let inner = self.translate_quoted(bytes, to)?;
        // The pseudo header of ICMPv6 holds the addresses, ICMP has none.
        let delta = if A::V6 { outer.and(inner) } else { inner };
        let at = self.icmp.checked_add(CHECK)?;
        let check = two(bytes, at)?;
        put_two(bytes, at, delta.apply(check))?;
        rewrite::seal::<A>(bytes.get_mut(..self.icmp)?)
    }

    /// Rewrites the quoted packet; returns what that does to the error's checksum.
    fn translate_quoted(&self, bytes: &mut [u8], to: &Tuple<A>) -> Option<Delta> {
        let ip_check = self.inner.checked_add(ipv4::CHECK)?;
        let old_ip_check = two(bytes, ip_check)?;
        let addresses = rewrite::put_addresses(bytes, self.inner, to.src, to.dst)?;
        let ports = rewrite::put_ports(bytes, self.context.l4, to)?;
        let mut delta = addresses.and(ports);
        if !A::V6 {
            delta = delta.word(old_ip_check, two(bytes, ip_check)?);
        }
        let l4_change = self.quoted_check(bytes, addresses.and(ports));
        Some(delta.and(l4_change.unwrap_or_default()))
    }

    /// Mends the quoted packet's checksum, if so much was quoted.
    fn quoted_check(&self, bytes: &mut [u8], change: Delta) -> Option<Delta> {
        let protocol = self.context.proto;
        let at = self.context.l4.checked_add(proto::check_at(protocol)?)?;
        let old = two(bytes, at)?;
        if old == [0; 2] && proto::check_is_optional(protocol) {
            return None;
        }
        let new = rewrite::nonzero(protocol, change.apply(old));
        put_two(bytes, at, new)?;
        Some(Delta::default().word(old, new))
    }
}
