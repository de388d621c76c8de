// SPDX-License-Identifier: GPL-2.0

//! Dumps: lists that go out in parts, each of which continues where the one before ended.
//!
//! When what is listed has changed between two parts, the receiver is told to ask again. That
//! is not so for counters, nor for single connections, which come and go all the time: each
//! that lives through the whole dump is in it once.

use kernel::prelude::*;

use super::read::subject;
use super::write;
use crate::director::Director;
use crate::flow::{self, FlowTable};
use crate::service::{Entry, Rules, ServiceId};
use crate::sys::genl::{Dump, Message};
use crate::sys::rcu;
use crate::wire::uapi::cmd;

/// All services, oldest first. Remembers the serial number of the last.
pub(super) fn services(dump: &mut Dump<'_>, director: &Director) -> Result {
    director.services.read(|rules| {
        dump.generation(rules.generation);
        services_in(dump, rules)
    })
}

/// The same, and nobody is told to ask again: IPVS's tools take that for an error. Each service
/// that is there all the time is in it once.
pub(super) fn services_as_they_are(dump: &mut Dump<'_>, director: &Director) -> Result {
    director.services.read(|rules| services_in(dump, rules))
}

fn services_in(dump: &mut Dump<'_>, rules: &Rules) -> Result {
    let [last, _] = dump.cursor();
    rules.each_after(last, |serial, entry| {
        dump.message(cmd::NEW_SERVICE, |m| write::service(m, entry))?;
        dump.remember([serial, 0]);
        Ok(())
    })
}

/// The destinations of a service, newest first, as [`services_as_they_are`]; of one that is not
/// there, none. Remembers the service's serial number and that of the last destination.
pub(super) fn members_as_they_are(dump: &mut Dump<'_>, director: &Director) -> Result {
    let Ok(id) = subject(dump.request()) else {
        return Ok(());
    };
    director.services.read(|rules| {
        let [serial, last] = dump.cursor();
        let Some(entry) = entry_at(director, rules, &id, serial) else {
            return Ok(());
        };
        let service = entry.service().serial();
        entry.members_before(last).try_for_each(|(serial, member)| {
            dump.message(cmd::NEW_DEST, |m| write::member_as_ipvs(m, member))?;
            dump.remember([service, serial]);
            Ok(())
        })
    })
}

/// The service that a dump goes on with, by its serial number; 0: it begins, with the one that is named.
fn entry_at<'a>(
    director: &Director,
    rules: &'a Rules,
    id: &ServiceId,
    serial: u64,
) -> Option<&'a Entry> {
    match serial {
        0 => director.services.entry_in(rules, id).ok(),
        serial => rules.get(serial),
    }
}

/// Part of a service's list: calls back for each item from the given number on.
type List = fn(&Entry, usize, &mut dyn FnMut(Fill<'_>) -> Result) -> Result;

/// Writes an item.
pub(super) type Fill<'a> = &'a dyn Fn(&mut Message<'_>) -> Result;

/// What belongs to the service that the request names. Remembers the service's serial number
/// and the number of the next item.
pub(super) fn of_service(
    dump: &mut Dump<'_>,
    director: &Director,
    command: u8,
    list: List,
) -> Result {
    let id = subject(dump.request()).map_err(|fault| fault.report(dump.request()))?;
    director.services.read(|rules| {
        let [serial, first] = dump.cursor();
        let Some(entry) = entry_at(director, rules, &id, serial) else {
            // It was there when the dump began.
            dump.generation(u32::MAX);
            return Ok(());
        };
        dump.generation(entry.generation);
        let serial = entry.service().serial();
        let mut next = first;
        dump.remember([serial, next]);
        list(entry, usize::try_from(first)?, &mut |fill| {
            dump.message(command, fill)?;
            next = next.wrapping_add(1);
            dump.remember([serial, next]);
            Ok(())
        })
    })
}

/// The destinations, newest first.
pub(super) fn members(
    entry: &Entry,
    first: usize,
    each: &mut dyn FnMut(Fill<'_>) -> Result,
) -> Result {
    let mut members = entry.members().skip(first);
    members.try_for_each(|member| each(&|m| write::member(m, member)))
}

/// The local addresses, oldest first.
pub(super) fn locals(
    entry: &Entry,
    first: usize,
    each: &mut dyn FnMut(Fill<'_>) -> Result,
) -> Result {
    let mut locals = entry.locals(first);
    locals.try_for_each(|(local, conns)| each(&|m| write::local(m, local, conns)))
}

/// All connections, IPv4 first. Remembers the family and where its walk goes on.
pub(super) fn flows(dump: &mut Dump<'_>, director: &Director) -> Result {
    if let [0, _] = dump.cursor() {
        flows_of(dump, 0, director, &director.flows.v4)?;
        dump.remember([1, 0]);
    }
    flows_of(dump, 1, director, &director.flows.v6)
}

fn flows_of<A: flow::Family>(
    dump: &mut Dump<'_>,
    family: u64,
    director: &Director,
    table: &FlowTable<A>,
) -> Result {
    let [_, next] = dump.cursor();
    let mut next = Some(usize::try_from(next)?);
    let mut looked = 0_u32;
    while let Some(at) = next {
        // What stands there goes out whole, or with the next part.
        dump.remember([family, at as u64]);
        let mark = dump.mark();
        let mut result = Ok(());
        next = rcu::read(|rcu| {
            table.list(&director.flows.timeouts, rcu, at, |flow| {
                if result.is_ok() {
                    result = dump.message(cmd::NEW_CONN, |m| write::flow(m, &flow));
                }
            })
        });
        if result.is_err() {
            dump.cut(mark);
            return result;
        }
        looked = looked.wrapping_add(1);
        if looked % 1024 == 0 {
            rcu::cond_resched();
        }
    }
    Ok(())
}
