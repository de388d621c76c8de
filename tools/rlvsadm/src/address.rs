// SPDX-License-Identifier: GPL-2.0
//! Addresses with ports: how they are written, read and told apart.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::Serialize;

use crate::error::Usage;
use crate::names::Names;
use crate::protocol::Proto;
use crate::wire::uapi;

/// An address with a port. Port 0 of a service is any; of a destination, the packet's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
}

impl Endpoint {
    /// Sorts by address, as 16 bytes with IPv4 in the first four, then by port.
    pub fn sort_key(&self) -> ([u8; uapi::ADDR_LEN], u16) {
        (bytes(self.address), self.port)
    }

    fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

/// An endpoint as a listing shows it: numeric, or with its names. Without a protocol ports have none.
pub fn label(
    endpoint: Endpoint,
    protocol: impl Into<Option<Proto>>,
    numeric: bool,
    names: &dyn Names,
) -> String {
    if numeric {
        return endpoint.to_string();
    }
    let (host, port) = names.names(endpoint.socket(), protocol.into());
    match endpoint.address {
        IpAddr::V4(_) => format!("{host}:{port}"),
        IpAddr::V6(_) => format!("[{host}]:{port}"),
    }
}

/// An address family, by the name that listings give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Family {
    IPv4,
    IPv6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family::IPv4,
            IpAddr::V6(_) => Family::IPv6,
        }
    }

    /// As netlink numbers it.
    pub fn number(self) -> u16 {
        match self {
            Family::IPv4 => uapi::af::INET,
            Family::IPv6 => uapi::af::INET6,
        }
    }
}

/// What names a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ServiceId {
    /// Of all packets to an address and port.
    At {
        protocol: Proto,
        #[serde(flatten)]
        endpoint: Endpoint,
    },
    /// Of all packets of a family that bear a firewall mark.
    Mark { mark: u32, family: Family },
}

impl ServiceId {
    /// The family of its packets.
    pub fn family(&self) -> Family {
        match self {
            ServiceId::At { endpoint, .. } => Family::of(endpoint.address),
            ServiceId::Mark { family, .. } => *family,
        }
    }

    /// The protocol by which names of its servers' ports are read.
    pub fn protocol(&self) -> Proto {
        match self {
            ServiceId::At { protocol, .. } => *protocol,
            ServiceId::Mark { .. } => Proto::Tcp,
        }
    }

    /// The protocol by which its servers' ports are shown with names: as in ipvsadm those of a mark are not.
    pub fn shown_protocol(&self) -> Option<Proto> {
        match self {
            ServiceId::At { protocol, .. } => Some(*protocol),
            ServiceId::Mark { .. } => None,
        }
    }

    /// The port that its packets come to; 0: any.
    pub fn port(&self) -> u16 {
        match self {
            ServiceId::At { endpoint, .. } => endpoint.port,
            ServiceId::Mark { .. } => 0,
        }
    }

    /// The options that name it, its address and port written by `label`.
    pub fn options(&self, label: impl Fn(Endpoint) -> String) -> String {
        match *self {
            ServiceId::At { protocol, endpoint } => {
                format!("{} {}", protocol.option(), label(endpoint))
            }
            ServiceId::Mark { mark, family } => match family {
                Family::IPv4 => format!("-f {mark}"),
                Family::IPv6 => format!("-f {mark} -6"),
            },
        }
    }

    /// Sorts as ipvsadm does: by mark, family, protocol, address and port.
    pub fn sort_key(&self) -> impl Ord {
        match *self {
            ServiceId::At { protocol, endpoint } => {
                (0, self.family(), Some((protocol, endpoint.sort_key())))
            }
            ServiceId::Mark { mark, family } => (mark, family, None),
        }
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.options(|endpoint| endpoint.to_string()))
    }
}

/// The address in the 16 bytes that it has over netlink.
pub fn bytes(address: IpAddr) -> [u8; uapi::ADDR_LEN] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address's family, as netlink numbers it.
pub fn family(address: IpAddr) -> u16 {
    Family::of(address).number()
}

/// Reads `host[:port]`, `[host]:port`, `[host]` or a bare IPv6 address; the port is `None` where none is written.
pub fn parse(
    text: &str,
    protocol: Proto,
    names: &dyn Names,
) -> Result<(IpAddr, Option<u16>), Usage> {
    let (host, port) = split(text).ok_or_else(|| Usage::Address(text.to_owned()))?;
    let port = port.map(|port| parse_port(port, protocol, names));
    Ok((parse_host(host, names)?, port.transpose()?))
}

/// Reads the name or the address of a host. A number is neither, lest a port be taken for one.
pub fn parse_host(host: &str, names: &dyn Names) -> Result<IpAddr, Usage> {
    let nothing = || Usage::Host(host.to_owned());
    if host.bytes().all(|b| b.is_ascii_digit()) {
        return Err(nothing());
    }
    match host.parse() {
        Ok(address) => Ok(address),
        Err(_) => names.address(host).ok_or_else(nothing),
    }
}

fn parse_port(port: &str, protocol: Proto, names: &dyn Names) -> Result<u16, Usage> {
    let nothing = || Usage::Port {
        port: port.to_owned(),
    };
    if port.bytes().all(|b| b.is_ascii_digit()) {
        return port.parse().map_err(|_| nothing());
    }
    names.port(port, protocol).ok_or_else(nothing)
}

/// Splits into host and port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => tail.is_empty().then_some((host, None)),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.rsplit_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{endpoint, Table};

    fn read(text: &str) -> Result<(IpAddr, Option<u16>), Usage> {
        parse(text, Proto::Tcp, &Table)
    }

    #[test]
    fn addresses_with_and_without_port() {
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read("10.0.0.1:80"), Ok((v4, Some(80))));
        assert_eq!(read("10.0.0.1"), Ok((v4, None)));
        assert_eq!(read("10.0.0.1:0"), Ok((v4, Some(0))));
        assert_eq!(read("[fd00::1]:80"), Ok((v6, Some(80))));
        assert_eq!(read("[fd00::1]"), Ok((v6, None)));
        assert_eq!(read("fd00::1"), Ok((v6, None)));
    }

    #[test]
    fn names_of_hosts_and_ports_are_looked_up() {
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read("vip:http"), Ok((v4, Some(80))));
        assert_eq!(read("[vip6]:http"), Ok((v6, Some(80))));
        let port = Usage::Port {
            port: "domain".into(),
        };
        assert_eq!(read("vip:domain"), Err(port));
        assert_eq!(parse("vip:domain", Proto::Udp, &Table), Ok((v4, Some(53))));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["[fd00::1", "[fd00::1]80", "[fd00::1]x:80"] {
            assert_eq!(read(text), Err(Usage::Address(text.into())));
        }
        for (text, host) in [("80", "80"), (":80", ""), ("nowhere:80", "nowhere")] {
            assert_eq!(read(text), Err(Usage::Host(host.into())));
        }
        for port in ["65536", "", "nothing", "-1", "99999999999999999999"] {
            let text = format!("10.0.0.1:{port}");
            assert_eq!(read(&text), Err(Usage::Port { port: port.into() }));
        }
    }

    #[test]
    fn endpoints_are_written_as_they_are_read() {
        for text in ["10.0.0.1:80", "[fd00::1]:65535", "0.0.0.0:0"] {
            let (address, port) = read(text).unwrap();
            let port = port.unwrap();
            assert_eq!(Endpoint { address, port }.to_string(), text);
        }
    }

    #[test]
    fn labels_are_numbers_or_names() {
        let v4 = endpoint("10.0.0.1:80");
        let v6 = endpoint("[fd00::1]:80");
        assert_eq!(label(v4, Proto::Tcp, true, &Table), "10.0.0.1:80");
        assert_eq!(label(v4, Proto::Tcp, false, &Table), "vip.example.com:http");
        assert_eq!(label(v4, Proto::Udp, false, &Table), "vip.example.com:80");
        assert_eq!(
            label(v6, Proto::Tcp, false, &Table),
            "[vip6.example.com]:http"
        );
    }
}
