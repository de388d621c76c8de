// SPDX-License-Identifier: GPL-2.0
//! What is asked of the module, as the bytes of a message.

use std::net::IpAddr;

use crate::address::{bytes, family, Endpoint, ServiceId};
use crate::command::{Change, ServerRule, ServiceRule};
use crate::label::Label;
use crate::model::Timeouts;
use crate::persistence::Mask;
use crate::wire::nlattr::{padded, HEADER_LEN, NESTED};
use crate::wire::uapi::{attr, cmd, dest, laddr, svc, svc_flags};

/// A command with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Of [`cmd`].
    pub command: u8,
    /// The attributes, encoded.
    pub attributes: Vec<u8>,
}

impl Request {
    /// A command that needs no attributes.
    pub fn bare(command: u8) -> Self {
        Request {
            command,
            attributes: Vec::new(),
        }
    }

    /// A command about a service.
    pub fn about(command: u8, service: ServiceId) -> Self {
        Request {
            command,
            attributes: Writer::default()
                .nest(attr::SERVICE, service_id(service))
                .bytes,
        }
    }

    /// The same with one more nest.
    fn with(self, kind: u16, nest: Writer) -> Self {
        let writer = Writer {
            bytes: self.attributes,
        };
        Request {
            command: self.command,
            attributes: writer.nest(kind, nest).bytes,
        }
    }
}

impl From<&Change> for Request {
    fn from(change: &Change) -> Self {
        match change {
            Change::AddService(rule) => describe(cmd::NEW_SERVICE, rule),
            Change::EditService(rule) => describe(cmd::SET_SERVICE, rule),
            Change::DeleteService(service) => Request::about(cmd::DEL_SERVICE, *service),
            Change::Clear => Request::bare(cmd::FLUSH),
            Change::AddServer(service, rule) => {
                Request::about(cmd::NEW_DEST, *service).with(attr::DEST, server(rule))
            }
            Change::EditServer(service, rule) => {
                Request::about(cmd::SET_DEST, *service).with(attr::DEST, server(rule))
            }
            Change::DeleteServer(service, endpoint) => {
                Request::about(cmd::DEL_DEST, *service).with(attr::DEST, server_id(*endpoint))
            }
            Change::AddLaddr(service, address) => {
                Request::about(cmd::NEW_LADDR, *service).with(attr::LADDR, local(*address))
            }
            Change::DeleteLaddr(service, address) => {
                Request::about(cmd::DEL_LADDR, *service).with(attr::LADDR, local(*address))
            }
            Change::Zero(Some(service)) => Request::about(cmd::ZERO, *service),
            Change::Zero(None) => Request::bare(cmd::ZERO),
            Change::Recheck => Request::bare(cmd::RECHECK),
            Change::SetTimeouts(timeouts) => set_timeouts(timeouts),
        }
    }
}

fn set_timeouts(timeouts: &Timeouts) -> Request {
    Request {
        command: cmd::SET_CONFIG,
        attributes: Writer::default()
            .u32(attr::TIMEOUT_TCP, timeouts.tcp)
            .u32(attr::TIMEOUT_TCP_FIN, timeouts.tcp_fin)
            .u32(attr::TIMEOUT_UDP, timeouts.udp)
            .bytes,
    }
}

fn describe(command: u8, rule: &ServiceRule) -> Request {
    Request {
        command,
        attributes: Writer::default().nest(attr::SERVICE, service(rule)).bytes,
    }
}

fn service_id(service: ServiceId) -> Writer {
    let named = Writer::default().u16(svc::AF, service.family().number());
    match service {
        ServiceId::At { protocol, endpoint } => named
            .u16(svc::PROTOCOL, protocol.number())
            .put(svc::ADDR, &bytes(endpoint.address))
            .be16(svc::PORT, endpoint.port),
        ServiceId::Mark { mark, .. } => named.u32(svc::FWMARK, mark),
    }
}

/// Without persistence there are the time-out and the granularity that stand for none.
fn service(rule: &ServiceRule) -> Writer {
    const ALL: u32 = u32::MAX;
    let (persistent, timeout, mask) = match rule.persistence {
        Some(how) => (svc_flags::PERSISTENT, how.timeout, how.mask),
        None => (0, 0, Mask::host(rule.id.family())),
    };
    let flags = [rule.flags | persistent, ALL]
        .map(u32::to_ne_bytes)
        .concat();
    let named = service_id(rule.id).text(svc::SCHED_NAME, &rule.scheduler);
    let named = match &rule.engine {
        Some(engine) => named.text(svc::PE_NAME, engine),
        None => named,
    };
    named
        .put(svc::LABEL, &rule.label.map_or(Label::NONE, Label::bytes))
        .put(svc::FLAGS, &flags)
        .u32(svc::TIMEOUT, timeout)
        .put(svc::NETMASK, &mask.bytes())
}

fn server_id(endpoint: Endpoint) -> Writer {
    Writer::default()
        .put(dest::ADDR, &bytes(endpoint.address))
        .be16(dest::PORT, endpoint.port)
        .u16(dest::ADDR_FAMILY, family(endpoint.address))
}

fn server(rule: &ServerRule) -> Writer {
    server_id(rule.endpoint)
        .u32(dest::FWD_METHOD, rule.method.number())
        .u32(dest::WEIGHT, rule.weight)
        .u32(dest::U_THRESH, rule.upper)
        .u32(dest::L_THRESH, rule.lower)
}

fn local(address: IpAddr) -> Writer {
    Writer::default()
        .put(laddr::ADDR, &bytes(address))
        .u16(laddr::ADDR_FAMILY, family(address))
}

/// Attributes under construction.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Adds an attribute with its padding.
    ///
    /// # Panics
    /// If the payload does not fit a u16. Nothing here comes near: names are short, nests hold a dozen numbers.
    pub fn put(mut self, kind: u16, payload: &[u8]) -> Self {
        let len = u16::try_from(HEADER_LEN + payload.len()).expect("attributes are short");
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(payload);
        self.bytes.resize(padded(self.bytes.len()), 0);
        self
    }

    /// A u16 in the host's byte order.
    pub fn u16(self, kind: u16, value: u16) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// A u32 in the host's byte order.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// A big-endian u16.
    pub fn be16(self, kind: u16, value: u16) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// A string with its NUL.
    pub fn text(self, kind: u16, text: &str) -> Self {
        self.put(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// A nest.
    pub fn nest(self, kind: u16, inside: Writer) -> Self {
        self.put(kind | NESTED, &inside.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::testing::change;
    use crate::wire::uapi::{af, fwd};

    fn request(line: &str) -> Request {
        Request::from(&change(line))
    }

    #[test]
    fn every_change_has_its_command() {
        for (line, command) in [
            ("-A -t 10.0.0.1:80", cmd::NEW_SERVICE),
            ("-E -t 10.0.0.1:80", cmd::SET_SERVICE),
            ("-D -t 10.0.0.1:80", cmd::DEL_SERVICE),
            ("-C", cmd::FLUSH),
            ("-a -t 10.0.0.1:80 -r 10.0.1.2", cmd::NEW_DEST),
            ("-e -t 10.0.0.1:80 -r 10.0.1.2", cmd::SET_DEST),
            ("-d -t 10.0.0.1:80 -r 10.0.1.2", cmd::DEL_DEST),
            ("-P -t 10.0.0.1:80 -z 10.0.1.1", cmd::NEW_LADDR),
            ("-Q -t 10.0.0.1:80 -z 10.0.1.1", cmd::DEL_LADDR),
            ("-Z", cmd::ZERO),
            ("-Z -t 10.0.0.1:80", cmd::ZERO),
            ("--set 1 2 3", cmd::SET_CONFIG),
        ] {
            assert_eq!(request(line).command, command, "{line}");
        }
    }

    #[test]
    fn commands_about_everything_carry_nothing() {
        assert!(request("-C").attributes.is_empty());
        assert!(request("-Z").attributes.is_empty());
    }

    #[test]
    fn a_service_is_written_as_the_protocol_has_it() {
        let request = request("-A -u [fd00::1]:53 -s sh -b sh-port");
        let top = Fields::read(&request.attributes, "message").unwrap();
        let nest = top.nest(attr::SERVICE, "service").unwrap();
        assert_eq!(nest.u16(svc::AF).unwrap(), af::INET6);
        assert_eq!(nest.u16(svc::PROTOCOL).unwrap(), 17);
        assert_eq!(nest.need(svc::PORT).unwrap().payload, [0, 53]);
        assert_eq!(nest.need(svc::ADDR).unwrap().payload[..2], [0xfd, 0]);
        assert_eq!(nest.need(svc::SCHED_NAME).unwrap().payload, b"sh\0");
        assert_eq!(nest.u32(svc::TIMEOUT).unwrap(), 0);
        assert_eq!(nest.u32(svc::NETMASK).unwrap(), 128);
        let flags = [svc_flags::PORT, u32::MAX].map(u32::to_ne_bytes).concat();
        assert_eq!(nest.need(svc::FLAGS).unwrap().payload, flags);
    }

    #[test]
    fn persistence_is_a_flag_with_a_time_and_a_mask() {
        for (line, timeout, mask) in [
            ("-A -t 10.0.0.1:80 -p", 360, [255; 4]),
            (
                "-A -t 10.0.0.1:80 -p 50 -M 255.255.0.0",
                50,
                [255, 255, 0, 0],
            ),
            ("-E -f 1 -6 -p 50 -M 64", 50, 64_u32.to_ne_bytes()),
        ] {
            let request = request(line);
            let top = Fields::read(&request.attributes, "message").unwrap();
            let nest = top.nest(attr::SERVICE, "service").unwrap();
            let flags = [svc_flags::PERSISTENT, u32::MAX].map(u32::to_ne_bytes);
            assert_eq!(nest.need(svc::FLAGS).unwrap().payload, flags.concat());
            assert_eq!(nest.u32(svc::TIMEOUT).unwrap(), timeout);
            assert_eq!(nest.need(svc::NETMASK).unwrap().payload, mask);
        }
    }

    #[test]
    fn a_server_is_written_as_the_protocol_has_it() {
        let request = request("-a -t 10.0.0.1:80 -r 10.0.1.2:8080 --fullnat -w 5 -x 20 -y 10");
        let top = Fields::read(&request.attributes, "message").unwrap();
        let service = top.nest(attr::SERVICE, "service").unwrap();
        let mut sixteen = [0; 16];
        sixteen[..4].copy_from_slice(&[10, 0, 0, 1]);
        assert_eq!(service.need(svc::ADDR).unwrap().payload, sixteen);
        assert!(service.find(svc::SCHED_NAME).is_none());
        let nest = top.nest(attr::DEST, "destination").unwrap();
        assert_eq!(
            nest.need(dest::PORT).unwrap().payload,
            8080u16.to_be_bytes()
        );
        assert_eq!(nest.u16(dest::ADDR_FAMILY).unwrap(), af::INET);
        assert_eq!(nest.u32(dest::FWD_METHOD).unwrap(), fwd::FULLNAT);
        assert_eq!(nest.u32(dest::WEIGHT).unwrap(), 5);
        assert_eq!(nest.u32(dest::U_THRESH).unwrap(), 20);
        assert_eq!(nest.u32(dest::L_THRESH).unwrap(), 10);
    }

    #[test]
    fn to_remove_a_server_its_name_is_enough() {
        let request = request("-d -t 10.0.0.1:80 -r 10.0.1.2:8080");
        let top = Fields::read(&request.attributes, "message").unwrap();
        let nest = top.nest(attr::DEST, "destination").unwrap();
        assert!(nest.find(dest::FWD_METHOD).is_none());
        assert_eq!(nest.need(dest::ADDR).unwrap().payload[..4], [10, 0, 1, 2]);
    }

    #[test]
    fn local_addresses_and_timeouts_are_written() {
        let laddr_request = request("-P -t 10.0.0.1:80 -z fd00::9");
        let top = Fields::read(&laddr_request.attributes, "message").unwrap();
        let nest = top.nest(attr::LADDR, "local address").unwrap();
        assert_eq!(nest.u16(laddr::ADDR_FAMILY).unwrap(), af::INET6);
        let set = request("--set 900 0 300");
        let top = Fields::read(&set.attributes, "message").unwrap();
        assert_eq!(top.u32(attr::TIMEOUT_TCP).unwrap(), 900);
        assert_eq!(top.u32(attr::TIMEOUT_TCP_FIN).unwrap(), 0);
        assert_eq!(top.u32(attr::TIMEOUT_UDP).unwrap(), 300);
    }
}
