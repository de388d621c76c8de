// SPDX-License-Identifier: GPL-2.0
//! What several tests need: names that are always the same, a module that answers as told, and answers.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::address::{bytes, family, Endpoint};
use crate::command::{parse, Change, Command};
use crate::error::{LinkError, Usage};
use crate::link::Link;
use crate::model::Answer;
use crate::names::Names;
use crate::protocol::Proto;
use crate::request::{Request, Writer};
use crate::wire::uapi::{af, attr, conn, dest, info, laddr, stats, svc};

/// A handful of names.
pub(crate) struct Table;

impl Names for Table {
    fn address(&self, host: &str) -> Option<IpAddr> {
        match host {
            "vip" | "vip.example.com" => Some(IpAddr::from([10, 0, 0, 1])),
            "vip6" | "vip6.example.com" => Some(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])),
            LONG_NAME => Some(IpAddr::from([10, 0, 1, 2])),
            _ => None,
        }
    }

    fn port(&self, service: &str, protocol: Proto) -> Option<u16> {
        match (service, protocol) {
            ("http", Proto::Tcp) => Some(80),
            ("domain", Proto::Udp) => Some(53),
            _ => None,
        }
    }

    fn names(&self, socket: SocketAddr, protocol: Option<Proto>) -> (String, String) {
        let host = match socket.ip().to_string().as_str() {
            "10.0.0.1" => "vip.example.com".to_owned(),
            "fd00::1" => "vip6.example.com".to_owned(),
            "10.0.1.2" => LONG_NAME.to_owned(),
            number => number.to_owned(),
        };
        let port = match (socket.port(), protocol) {
            (80, Some(Proto::Tcp)) => "http".to_owned(),
            (53, Some(Proto::Udp)) => "domain".to_owned(),
            (number, _) => number.to_string(),
        };
        (host, port)
    }
}

const LONG_NAME: &str = "a-rather-long-host-name-for-a-server.example.com";

/// A command line without the program's name.
pub(crate) fn command(line: &str) -> Result<Command, Usage> {
    parse(
        std::iter::once("rlvsadm").chain(line.split_whitespace()),
        &Table,
    )
}

/// The change that a line describes.
pub(crate) fn change(line: &str) -> Change {
    match command(line) {
        Ok(Command::Change(change)) => change,
        other => panic!("{line}: {other:?}"),
    }
}

/// An endpoint as it is written.
pub(crate) fn endpoint(text: &str) -> Endpoint {
    let socket: SocketAddr = text.parse().unwrap();
    Endpoint {
        address: socket.ip(),
        port: socket.port(),
    }
}

/// A module that gives answers in the order in which it was told them.
#[derive(Default)]
pub(crate) struct Fake {
    answers: VecDeque<Result<Vec<Answer>, LinkError>>,
    pub(crate) asked: Vec<Request>,
}

impl Fake {
    pub(crate) fn answer(mut self, answers: Vec<Answer>) -> Self {
        self.answers.push_back(Ok(answers));
        self
    }

    pub(crate) fn accept(self) -> Self {
        self.answer(Vec::new())
    }

    pub(crate) fn refuse(mut self, errno: i32, text: &str) -> Self {
        let text = text.to_owned();
        self.answers
            .push_back(Err(LinkError::Refused { errno, text }));
        self
    }
}

impl Link for Fake {
    fn ask(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError> {
        self.asked.push(request.clone());
        self.answers
            .pop_front()
            .expect("an answer for every question")
    }

    fn dump(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError> {
        self.ask(request)
    }
}

/// Attributes under construction.
#[derive(Clone, Default)]
pub(crate) struct Nest(Writer);

impl Nest {
    pub(crate) fn new() -> Self {
        Nest::default()
    }

    pub(crate) fn u16(self, kind: u16, value: u16) -> Self {
        Nest(self.0.u16(kind, value))
    }

    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        Nest(self.0.u32(kind, value))
    }

    pub(crate) fn u64(self, kind: u16, value: u64) -> Self {
        Nest(self.0.put(kind, &value.to_ne_bytes()))
    }

    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        Nest(self.0.text(kind, text))
    }

    pub(crate) fn put(self, kind: u16, payload: &[u8]) -> Self {
        Nest(self.0.put(kind, payload))
    }

    /// An address and a port.
    pub(crate) fn at(self, address: u16, port: u16, text: &str) -> Self {
        let endpoint = endpoint(text);
        let writer = self.0.put(address, &bytes(endpoint.address));
        Nest(writer.be16(port, endpoint.port))
    }

    pub(crate) fn nest(self, kind: u16, inside: Nest) -> Self {
        Nest(self.0.nest(kind, inside.0))
    }

    pub(crate) fn bytes(self) -> Answer {
        self.0.bytes
    }
}

/// Counters 2^32, 2, 3 … 10.
pub(crate) fn counters() -> Nest {
    let first = Nest::new().u64(stats::CONNS, 1 << 32);
    (stats::INPKTS..=stats::OUTBPS).fold(first, |nest, kind| nest.u64(kind, kind.into()))
}

pub(crate) fn service_answer(at: &str, scheduler: &str, flags: u32) -> Answer {
    let flag_words = [flags, u32::MAX].map(u32::to_ne_bytes).concat();
    let nest = Nest::new()
        .u16(svc::AF, family(endpoint(at).address))
        .u16(svc::PROTOCOL, 6)
        .at(svc::ADDR, svc::PORT, at)
        .text(svc::SCHED_NAME, scheduler);
    let nest = Nest(nest.0.put(svc::FLAGS, &flag_words));
    let nest = nest.u32(svc::TIMEOUT, 300).u32(svc::NETMASK, 64);
    let nest = nest.nest(svc::STATS64, counters());
    Nest::new().nest(attr::SERVICE, nest).bytes()
}

pub(crate) fn totals_answer() -> Answer {
    Nest::new().nest(attr::STATS64, counters()).bytes()
}

pub(crate) fn dest_answer(at: &str, method: u32, weight: u32) -> Answer {
    let nest = Nest::new()
        .at(dest::ADDR, dest::PORT, at)
        .u16(dest::ADDR_FAMILY, family(endpoint(at).address))
        .u32(dest::FWD_METHOD, method)
        .u32(dest::WEIGHT, weight)
        .u32(dest::U_THRESH, 200)
        .u32(dest::L_THRESH, 100)
        .u32(dest::ACTIVE_CONNS, 5)
        .u32(dest::INACT_CONNS, 6)
        .u32(dest::PERSIST_CONNS, 0)
        .nest(dest::STATS64, counters());
    Nest::new().nest(attr::DEST, nest).bytes()
}

pub(crate) fn laddr_answer(address: &str, conns: u64, exhausted: u64) -> Answer {
    let address: IpAddr = address.parse().unwrap();
    let writer = Writer::default().put(laddr::ADDR, &bytes(address));
    let nest = Nest(writer)
        .u16(laddr::ADDR_FAMILY, family(address))
        .u64(laddr::CONNS, conns)
        .u64(laddr::EXHAUSTED, exhausted);
    Nest::new().nest(attr::LADDR, nest).bytes()
}

pub(crate) fn conn_answer(local: Option<&str>) -> Answer {
    let nest = Nest::new()
        .u16(conn::ADDR_FAMILY, af::INET)
        .u16(conn::PROTOCOL, 6)
        .at(conn::CADDR, conn::CPORT, "192.0.2.1:4000")
        .at(conn::VADDR, conn::VPORT, "10.0.0.1:80")
        .at(conn::DADDR, conn::DPORT, "10.0.1.2:8080")
        .u16(conn::DEST_FAMILY, af::INET)
        .text(conn::STATE, "ESTABLISHED")
        .u32(conn::EXPIRES, 897)
        .u32(conn::FWD_METHOD, if local.is_some() { 5 } else { 0 });
    let nest = match local {
        Some(at) => nest.at(conn::LADDR, conn::LPORT, at),
        None => nest,
    };
    Nest::new().nest(attr::CONN, nest).bytes()
}

pub(crate) fn info_answer() -> Answer {
    Nest::new()
        .u32(info::VERSION, 0x01_02_01)
        .u32(info::CONN_TAB_SIZE, 4096)
        .u64(info::CONNS, 12)
        .u64(info::CONN_MAX, 1 << 20)
        .u64(info::DROP_LIMIT, 1)
        .u64(info::DROP_PORTS, 2)
        .u64(info::DROP_NOMEM, 3)
        .u64(info::DISPLACED_OVER, 4)
        .u64(info::DISPLACED_HALF_OPEN, 5)
        .u64(info::DISPLACED_ONE_WAY, 6)
        .u64(info::DISPLACED_UNCONFIRMED, 7)
        .u64(info::DISPLACED_TEMPLATES, 8)
        .text(info::MODULE_VERSION, "0.1.0")
        .u32(info::EARLY, 0)
        .nest(info::LATE, Nest::new().u64(1, 5).u64(10, 7))
        .bytes()
}

pub(crate) fn timeouts_answer() -> Answer {
    Nest::new()
        .u32(attr::TIMEOUT_TCP, 900)
        .u32(attr::TIMEOUT_TCP_FIN, 120)
        .u32(attr::TIMEOUT_UDP, 300)
        .bytes()
}

/// One of each kind.
pub(crate) fn full_answers() -> Vec<Answer> {
    vec![
        service_answer("10.0.0.1:80", "rr", 2),
        dest_answer("10.0.1.2:80", 0, 1),
        laddr_answer("10.0.1.1", 1, 0),
        conn_answer(Some("10.0.1.1:5000")),
        info_answer(),
        timeouts_answer(),
        totals_answer(),
    ]
}
