// SPDX-License-Identifier: GPL-2.0
//! Names of hosts and ports, looked up as the system is set up to.

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{getaddrinfo, getnameinfo, lookup_host, AddrInfoHints, SockType};

use crate::address::{Endpoint, Proto};

/// Where names come from.
pub trait Names {
    /// The address of a host, IPv4 if it has one.
    fn address(&self, host: &str) -> Option<IpAddr>;

    /// The number of a port.
    fn port(&self, service: &str, protocol: Proto) -> Option<u16>;

    /// The names of host and port, each as a number if it has no name.
    fn names(&self, endpoint: Endpoint, protocol: Proto) -> (String, String);
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
            socktype: match protocol {
                Proto::Tcp => SockType::Stream.into(),
                Proto::Udp => SockType::DGram.into(),
            },
            ..AddrInfoHints::default()
        };
        let mut found = getaddrinfo(None, Some(service), Some(hints)).ok()?;
        Some(found.next()?.ok()?.sockaddr.port())
    }

    fn names(&self, endpoint: Endpoint, protocol: Proto) -> (String, String) {
        let flags = match protocol {
            Proto::Tcp => 0,
            Proto::Udp => libc::NI_DGRAM,
        };
        let address = SocketAddr::new(endpoint.address, endpoint.port);
        getnameinfo(&address, flags)
            .unwrap_or_else(|_| (endpoint.address.to_string(), endpoint.port.to_string()))
    }
}

/// An endpoint as a listing shows it: numeric, or with its names.
pub fn label(endpoint: Endpoint, protocol: Proto, numeric: bool, names: &dyn Names) -> String {
    if numeric {
        return endpoint.to_string();
    }
    let (host, port) = names.names(endpoint, protocol);
    match endpoint.address {
        IpAddr::V4(_) => format!("{host}:{port}"),
        IpAddr::V6(_) => format!("[{host}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{endpoint, Table};

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
