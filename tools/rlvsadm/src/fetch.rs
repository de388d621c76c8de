// SPDX-License-Identifier: GPL-2.0
//! Reads the module's tables.

use crate::address::{family, ServiceId};
use crate::error::LinkError;
use crate::link::{ask_one, dump, Link};
use crate::model::{Answer, Conn, Dest, Entry, Info, Laddr, Service, Timeouts};
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

/// All connections, in the module's order.
pub fn connections(link: &mut impl Link) -> Result<Vec<Conn>, LinkError> {
    let answers = dump(link, &Request::bare(cmd::GET_CONN))?;
    answers.iter().map(|answer| Conn::read(answer)).collect()
}

/// One service with all that belongs to it, or every one, in the module's order.
pub fn entries(link: &mut impl Link, only: Option<ServiceId>) -> Result<Vec<Entry>, LinkError> {
    let services = match only {
        Some(id) => vec![ask_one(link, &Request::about(cmd::GET_SERVICE, id))?],
        None => dump(link, &Request::bare(cmd::GET_SERVICE))?,
    };
    let services = services.iter().map(|answer| Service::read(answer));
    let entries = services.map(|service| entry(link, service?));
    entries.filter_map(Result::transpose).collect()
}

/// Nothing, if the service is gone by now.
fn entry(link: &mut impl Link, service: Service) -> Result<Option<Entry>, LinkError> {
    let parts = dests(link, service.id).and_then(|dests| Ok((dests, laddrs(link, service.id)?)));
    match parts {
        Ok((dests, laddrs)) => Ok(Some(Entry {
            service,
            dests,
            laddrs,
        })),
        Err(error) if error.errno() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn dests(link: &mut impl Link, id: ServiceId) -> Result<Vec<Dest>, LinkError> {
    let answers = dump(link, &Request::about(cmd::GET_DEST, id))?;
    let family = family(id.endpoint.address);
    let read = |answer: &Answer| Dest::read(answer, family);
    answers.iter().map(read).collect()
}

fn laddrs(link: &mut impl Link, id: ServiceId) -> Result<Vec<Laddr>, LinkError> {
    let answers = dump(link, &Request::about(cmd::GET_LADDR, id))?;
    answers.iter().map(|answer| Laddr::read(answer)).collect()
}

/// Sorts services by family, protocol, address and port, and what they have by address and port.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| {
        let id = entry.service.id;
        (
            family(id.endpoint.address),
            id.protocol,
            id.endpoint.sort_key(),
        )
    });
    for entry in entries {
        entry.dests.sort_by_key(|dest| dest.endpoint.sort_key());
        entry
            .laddrs
            .sort_by_key(|laddr| crate::address::bytes(laddr.address));
    }
}
