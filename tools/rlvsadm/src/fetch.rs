// SPDX-License-Identifier: GPL-2.0
//! Reads the module's tables.

use crate::address::ServiceId;
use crate::error::LinkError;
use crate::link::{ask_one, dump, Link};
use crate::model::{Answer, Conn, Dest, Entry, Info, Laddr, Service, Timeouts, Totals};
use crate::request::Request;
use crate::wire::uapi::cmd;

/// Versions, sizes and counters of the module.
pub fn info(link: &mut impl Link) -> Result<Info, LinkError> {
    Info::read(&ask_one(link, &Request::bare(cmd::GET_INFO))?)
}

/// The time-outs.
pub fn timeouts(link: &mut impl Link) -> Result<Timeouts, LinkError> {
    Timeouts::read(&ask_one(link, &Request::bare(cmd::GET_CONFIG))?)
}

/// What all services have counted together.
pub fn totals(link: &mut impl Link) -> Result<Totals, LinkError> {
    Totals::read(&ask_one(link, &Request::bare(cmd::GET_TOTALS))?)
}

/// All connections, in the module's order.
pub fn connections(link: &mut impl Link) -> Result<Vec<Conn>, LinkError> {
    let answers = dump(link, &Request::bare(cmd::GET_CONN))?;
    answers.iter().map(|answer| Conn::read(answer)).collect()
}

/// What of a service is wanted besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    Dests,
    Laddrs,
    All,
}

/// One service or every one, in the module's order; of what is not wanted there is none.
pub fn entries(
    link: &mut impl Link,
    only: Option<ServiceId>,
    parts: Parts,
) -> Result<Vec<Entry>, LinkError> {
    let services = match only {
        Some(id) => vec![ask_one(link, &Request::about(cmd::GET_SERVICE, id))?],
        None => dump(link, &Request::bare(cmd::GET_SERVICE))?,
    };
    let services = services.iter().map(|answer| Service::read(answer));
    let entries = services.map(|service| entry(link, service?, parts));
    entries.filter_map(Result::transpose).collect()
}

/// Nothing, if the service is gone by now.
fn entry(link: &mut impl Link, service: Service, parts: Parts) -> Result<Option<Entry>, LinkError> {
    match complete(link, service, parts) {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.errno() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn complete(link: &mut impl Link, service: Service, parts: Parts) -> Result<Entry, LinkError> {
    let dests = match parts {
        Parts::Dests | Parts::All => dests(link, service.id)?,
        Parts::Laddrs => Vec::new(),
    };
    let laddrs = match parts {
        Parts::Laddrs | Parts::All => laddrs(link, service.id)?,
        Parts::Dests => Vec::new(),
    };
    Ok(Entry {
        service,
        dests,
        laddrs,
    })
}

fn dests(link: &mut impl Link, id: ServiceId) -> Result<Vec<Dest>, LinkError> {
    let answers = dump(link, &Request::about(cmd::GET_DEST, id))?;
    let family = id.family().number();
    let read = |answer: &Answer| Dest::read(answer, family);
    answers.iter().map(read).collect()
}

fn laddrs(link: &mut impl Link, id: ServiceId) -> Result<Vec<Laddr>, LinkError> {
    let answers = dump(link, &Request::about(cmd::GET_LADDR, id))?;
    answers.iter().map(|answer| Laddr::read(answer)).collect()
}

/// Sorts services as ipvsadm does, and what they have by address and port.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| entry.service.id.sort_key());
    for entry in entries {
        entry.dests.sort_by_key(|dest| dest.endpoint.sort_key());
        entry
            .laddrs
            .sort_by_key(|laddr| crate::address::bytes(laddr.address));
    }
}
