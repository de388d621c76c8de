// SPDX-License-Identifier: GPL-2.0
//! Names of hosts and ports, looked up as the system is set up to.

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{getaddrinfo, getnameinfo, lookup_host, AddrInfoHints};

use crate::protocol::Proto;

/// Where names come from.
pub trait Names {
    /// The address of a host, IPv4 if it has one.
    fn address(&self, host: &str) -> Option<IpAddr>;

    /// The number of a port.
    fn port(&self, service: &str, protocol: Proto) -> Option<u16>;

    /// The names of host and port, each as a number if it has no name, as a port has without a protocol.
    fn names(&self, socket: SocketAddr, protocol: Option<Proto>) -> (String, String);
}

/// The names that the C library knows.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Names for System {
    fn address(&self, host: &str) -> Option<IpAddr> {
        let addresses: Vec<IpAddr> = lookup_host(host).ok()?.collect();
        let v4 = addresses.iter().find(|address| address.is_ipv4());
        v4.or(addresses.first()).copied()
    }

    fn port(&self, service: &str, protocol: Proto) -> Option<u16> {
        let hints = AddrInfoHints {
            socktype: protocol.socket().into(),
            ..AddrInfoHints::default()
        };
        let mut found = getaddrinfo(None, Some(service), Some(hints)).ok()?;
        Some(found.next()?.ok()?.sockaddr.port())
    }

    fn names(&self, socket: SocketAddr, protocol: Option<Proto>) -> (String, String) {
        let flags = protocol.map_or(libc::NI_NUMERICSERV, Proto::name_flags);
        // Where nobody answers for hosts, ports have names all the same.
        getnameinfo(&socket, flags)
            .or_else(|_| getnameinfo(&socket, flags | libc::NI_NUMERICHOST))
            .unwrap_or_else(|_| (socket.ip().to_string(), socket.port().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_reads_addresses_and_knows_no_nonsense() {
        assert_eq!(
            System.address("127.0.0.1"),
            Some(IpAddr::from([127, 0, 0, 1]))
        );
        assert_eq!(System.address("bad name"), None);
        assert_eq!(System.port("no-such-service", Proto::Tcp), None);
    }
}
