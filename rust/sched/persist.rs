// SPDX-License-Identifier: GPL-2.0
//! Persistence: which clients stay with the same server, and by what they are remembered.
//!
//! What remembers them is a template: an entry beside the connections, which has the client's network in the place of
//! the client, and no port of his. Here is only how it is named; a name that a packet could have is none of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::engine::Engine;
use crate::hash::folded::{self, hash3};

/// The longest time-out in seconds, ipvsadm's: 31 days.
pub(crate) const MAX_TIMEOUT: u32 = 31 * 24 * 60 * 60;

/// The port of FTP's control connections.
pub(crate) const FTP: u16 = 21;
/// The port that FTP servers send files from (RFC 959).
pub(crate) const FTP_DATA: u16 = 20;
/// The protocol of a template of a service by mark (`IPPROTO_IP`).
const ANY: u8 = 0;
/// What tells the protocol of a template from that of a connection.
const MARK: u8 = 0x80;
/// The same, of a template of one call.
const CALL: u8 = 0xc0;

/// How a service is persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Persistence {
    /// Seconds after its last new connection that a client is remembered for.
    pub(crate) timeout: u32,
    /// Which clients count as one: for IPv4 a mask in network order, for IPv6 the length of a prefix.
    pub(crate) netmask: [u8; 4],
    /// What tells calls of one client apart.
    pub(crate) engine: Option<Engine>,
}

/// The first packet of a connection; ports in host order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    /// The protocol's number in the IP header.
    pub(crate) proto: u8,
    /// The client.
    pub(crate) src: IpAddr,
    /// The address that he calls.
    pub(crate) dst: IpAddr,
    /// And the port.
    pub(crate) dport: u16,
}

/// What a template is found by, as IPVS has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The protocol's number; [`ANY`] for a service by mark.
    pub(crate) proto: u8,
    /// The client's network.
    pub(crate) client: IpAddr,
    /// The virtual address, or the mark in its place.
    pub(crate) addr: IpAddr,
    /// The virtual port, host order; 0: whichever.
    pub(crate) port: u16,
}

/// What an engine has read in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    pub(crate) engine: Engine,
    /// A few bytes; see `engine/`.
    pub(crate) data: &'a [u8],
}

/// What the template for a packet is found by: its name, and what the service's engine has read, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'a> {
    pub(crate) name: Name,
    pub(crate) said: Option<Said<'a>>,
}

impl Persistence {
    /// The name of the template for a packet of a service with this mark and port.
    pub(crate) fn name(&self, mark: u32, port: u16, packet: &First) -> Name {
        let name = Name {
            proto: packet.proto,
            client: masked(packet.src, self.netmask),
            addr: packet.dst,
            port: 0,
        };
        if packet.dport == port {
            // IPVS: FTP's data connections, to whichever port, stay with the control connection.
            let port = if port == FTP { 0 } else { port };
            return Name { port, ..name };
        }
        if mark == 0 {
            return name;
        }
        Name {
            proto: ANY,
            addr: as_addr(mark, packet.dst.is_ipv6()),
            ..name
        }
    }

    /// The name of the template for a packet to `client` from a server of the service at `addr` and `port`, which may
    /// not be all ports (IPVS: as if he had called there, whichever port it is).
    pub(crate) fn name_outward(&self, proto: u8, client: IpAddr, addr: IpAddr, port: u16) -> Name {
        Name {
            proto,
            client: masked(client, self.netmask),
            addr,
            port,
        }
    }
}

impl Sought<'_> {
    /// What stands for name and data where a name stands: nobody without `key` can choose two that are the same.
    pub(crate) fn digest(&self, key: &folded::Key) -> Name {
        let Name {
            proto,
            client,
            addr,
            port,
        } = self.name;
        let data = self.said.map_or(&[][..], |said| said.data);
        // CAST: few bytes.
        let length = (data.len() as u64) << 32;
        let rest = length | (u64::from(proto) << 16) | u64::from(port);
        let [[a, b], [c, d]] = [client, addr].map(halves);
        let head = [a, b, c, d, rest];
        let words = data.chunks(8).map(word);
        let [x, y] = Iterator::chain(head.into_iter(), words).fold([0; 2], |[x, y], word| {
            [hash3(key, [x, y, word]), hash3(key, [word, x, y])]
        });
        let v6 = client.is_ipv6();
        Name {
            proto,
            client: as_name(x, v6),
            addr: as_name(y, v6),
            // CAST: bits that an IPv4 address has no room for.
            port: ((x ^ y) >> 32) as u16,
        }
    }
}

fn halves(addr: IpAddr) -> [u64; 2] {
    let bits = match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    // CAST: the upper and the lower half.
    [(bits >> 64) as u64, bits as u64]
}

/// Up to eight bytes in a word.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

/// Bits of a hash where an address stands.
fn as_name(bits: u64, v6: bool) -> IpAddr {
    match v6 {
        // CAST: the lower half.
        false => Ipv4Addr::from_bits(bits as u32).into(),
        true => Ipv6Addr::from_bits(bits.into()).into(),
    }
}

/// The network of a client.
fn masked(client: IpAddr, netmask: [u8; 4]) -> IpAddr {
    match client {
        IpAddr::V4(addr) => {
            let mask = u32::from_be_bytes(netmask);
            Ipv4Addr::from_bits(addr.to_bits() & mask).into()
        }
        IpAddr::V6(addr) => {
            let prefix = u32::from_ne_bytes(netmask);
            let rest = u128::BITS.saturating_sub(prefix);
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            Ipv6Addr::from_bits(addr.to_bits() & mask).into()
        }
    }
}

/// A mark where an address stands: in its first four bytes, in network order.
fn as_addr(mark: u32, v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from_bits(mark).into(),
        true => Ipv6Addr::from_bits(u128::from(mark) << 96).into(),
    }
}

/// The protocol number by which a template stands among connections, and back: no packet that is balanced has it.
pub(crate) const fn among_connections(proto: u8) -> u8 {
    proto ^ MARK
}

/// The same for a template of one call.
pub(crate) const fn among_calls(proto: u8) -> u8 {
    proto ^ CALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    fn name(mark: u32, port: u16, netmask: [u8; 4], packet: (&str, &str, u16)) -> Name {
        let (src, dst, dport) = packet;
        let rule = Persistence {
            timeout: 300,
            netmask,
            engine: None,
        };
        let packet = First {
            proto: proto::TCP,
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            dport,
        };
        rule.name(mark, port, &packet)
    }

    fn named(proto: u8, client: &str, addr: &str, port: u16) -> Name {
        Name {
            proto,
            client: client.parse().unwrap(),
            addr: addr.parse().unwrap(),
            port,
        }
    }

    const CLIENT: &str = "192.0.2.77";
    const VIP: &str = "10.0.0.1";

    #[test]
    fn a_port_is_remembered_by_itself() {
        let found = name(0, 80, [255, 255, 255, 0], (CLIENT, VIP, 80));
        assert_eq!(found, named(proto::TCP, "192.0.2.0", VIP, 80));
    }

    #[test]
    fn ftp_and_services_for_all_ports_have_one_template_for_all() {
        for (service, port) in [(21, 21), (21, 40_000), (0, 80), (0, 21)] {
            let found = name(0, service, [255; 4], (CLIENT, VIP, port));
            assert_eq!(found, named(proto::TCP, CLIENT, VIP, 0), "{service} {port}");
        }
    }

    #[test]
    fn a_mark_stands_for_addresses_ports_and_protocols() {
        let found = name(258, 0, [255; 4], (CLIENT, VIP, 443));
        assert_eq!(found, named(ANY, CLIENT, "0.0.1.2", 0));
        let prefix = 64_u32.to_ne_bytes();
        let found = name(258, 0, prefix, ("2001:db8::7:1", "2001:db8:1::1", 443));
        assert_eq!(found, named(ANY, "2001:db8::", "0:102::", 0));
    }

    #[test]
    fn every_prefix_masks_what_is_behind_it() {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (prefix, network) in [
            (128, all),
            (1, "8000::"),
            (127, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
        ] {
            let found = name(0, 80, u32::to_ne_bytes(prefix), (all, "2001:db8::1", 80));
            assert_eq!(found.client, network.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn no_packet_bears_the_protocol_of_a_template() {
        for number in Iterator::chain(proto::ALL.into_iter(), [ANY]) {
            assert!(!proto::is_known(among_connections(number)));
            assert!(!proto::is_known(among_calls(number)));
            assert_eq!(among_connections(among_connections(number)), number);
            assert_eq!(among_calls(among_calls(number)), number);
            let others = Iterator::chain(proto::ALL.into_iter(), [ANY]);
            assert!(others
                .map(among_connections)
                .all(|other| other != among_calls(number)));
        }
        for first in proto::ALL {
            let others = Iterator::chain(proto::ALL.into_iter(), [ANY]);
            assert!(others
                .filter(|&n| n != first)
                .all(|n| among_connections(n) != among_connections(first)));
        }
    }
}
