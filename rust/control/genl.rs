// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `RLVS`: what each command does.

use kernel::prelude::*;

use super::dump;
use super::fault::Fault;
use super::read::{subject, Top};
use super::write;
use crate::director::Director;
use crate::sys::genl::{Dump, Family, Message, Mode, Request};
use crate::sys::net::Net;
use crate::sys::netns;
use crate::sys::time::HZ;
use crate::wire::uapi::{cmd, FAMILY_VERSION};

/// The longest time-out in seconds: as many as IPVS can count in ticks.
const MAX_TIMEOUT: u32 = i32::MAX as u32 / HZ;

/// The family.
pub(crate) struct Rlvs;

impl Family for Rlvs {
    const NAME: &'static CStr = c"RLVS";
    const VERSION: u8 = FAMILY_VERSION;
    const COMMANDS: &'static [(u8, Mode)] = &[
        (cmd::NEW_SERVICE, Mode::Do),
        (cmd::SET_SERVICE, Mode::Do),
        (cmd::DEL_SERVICE, Mode::Do),
        (cmd::GET_SERVICE, Mode::Both),
        (cmd::NEW_DEST, Mode::Do),
        (cmd::SET_DEST, Mode::Do),
        (cmd::DEL_DEST, Mode::Do),
        (cmd::GET_DEST, Mode::Dump),
        (cmd::NEW_DAEMON, Mode::Do),
        (cmd::DEL_DAEMON, Mode::Do),
        (cmd::GET_DAEMON, Mode::Both),
        (cmd::SET_CONFIG, Mode::Do),
        (cmd::GET_CONFIG, Mode::Do),
        (cmd::GET_INFO, Mode::Do),
        (cmd::ZERO, Mode::Do),
        (cmd::FLUSH, Mode::Do),
        (cmd::NEW_LADDR, Mode::Do),
        (cmd::DEL_LADDR, Mode::Do),
        (cmd::GET_LADDR, Mode::Dump),
        (cmd::GET_CONN, Mode::Dump),
        (cmd::RECHECK, Mode::Do),
        (cmd::GET_TOTALS, Mode::Do),
    ];

    fn run(request: &Request<'_>) -> Result {
        run(request).map_err(|fault| fault.report(request))
    }

    fn check(request: &Request<'_>) -> Result {
        check(request).map_err(|fault| fault.report(request))
    }

    fn dump(dump: &mut Dump<'_>) -> Result {
        let net = dump.request().net();
        let director = netns::get::<Director>(&net).ok_or(ENODEV)?;
        match dump.request().command() {
            cmd::GET_SERVICE => dump::services(dump, director),
            cmd::GET_DEST => dump::of_service(dump, director, cmd::NEW_DEST, dump::members),
            cmd::GET_LADDR => dump::of_service(dump, director, cmd::NEW_LADDR, dump::locals),
            cmd::GET_CONN => dump::flows(dump, director),
            _ => Err(EOPNOTSUPP),
        }
    }
}

/// Finds out whether a dump can begin.
fn check(request: &Request<'_>) -> Result<(), Fault> {
    match request.command() {
        cmd::GET_DEST | cmd::GET_LADDR => {
            let net = request.net();
            let director = director(&net)?;
            let id = subject(request)?;
            Ok(director.services.entry(&id, |_| ())?)
        }
        cmd::GET_DAEMON => Err(no_daemons()),
        _ => Ok(()),
    }
}

fn director(net: &Net) -> Result<&Director, Fault> {
    let gone = Fault::new(ENODEV, c"the network namespace is going away");
    netns::get::<Director>(net).ok_or(gone)
}

fn no_daemons() -> Fault {
    Fault::new(EOPNOTSUPP, c"synchronisation daemons are not supported")
}

fn run(request: &Request<'_>) -> Result<(), Fault> {
    let net = request.net();
    let director = director(&net)?;
    let top = Top::read(request.attributes())?;
    match request.command() {
        cmd::GET_SERVICE => get_service(request, director, &top),
        cmd::GET_CONFIG => reply(request, cmd::SET_CONFIG, |m| {
            write::timeouts(m, &director.flows.timeouts)
        }),
        cmd::GET_INFO => reply(request, cmd::SET_INFO, |m| write::info(m, director)),
        cmd::GET_TOTALS => {
            let (counts, rates) = director.services.totals();
            reply(request, cmd::NEW_TOTALS, |m| {
                write::totals(m, &counts, rates)
            })
        }
        cmd::SET_CONFIG => set_config(director, &top),
        cmd::ZERO => zero(director, &top),
        cmd::FLUSH => {
            director.services.flush();
            director.bereaved();
            director.changed();
            Ok(())
        }
        cmd::RECHECK => {
            director.recheck();
            Ok(())
        }
        cmd::NEW_DAEMON | cmd::DEL_DAEMON | cmd::GET_DAEMON => Err(no_daemons()),
        command => change(director, command, &top),
    }
}

/// The commands that change a service or what belongs to it.
fn change(director: &Director, command: u8, top: &Top<'_>) -> Result<(), Fault> {
    let service = top.service()?;
    let id = service.id()?;
    let services = &director.services;
    match command {
        cmd::NEW_SERVICE => services.add(director, id, service.spec()?(0))?,
        cmd::SET_SERVICE => {
            let spec = service.spec()?;
            services.set(&id, |before| spec(before.flags))?;
        }
        cmd::DEL_SERVICE => {
            services.remove(&id)?;
            director.bereaved();
        }
        cmd::NEW_DEST => {
            let dest = top.dest()?;
            services.add_dest(director, &id, dest.id(&id)?, &dest.spec()?)?;
        }
        cmd::SET_DEST => {
            let dest = top.dest()?;
            services.set_dest(director, &id, &dest.id(&id)?, &dest.spec()?)?;
        }
        cmd::DEL_DEST => {
            services.remove_dest(&id, &top.dest()?.id(&id)?)?;
            director.bereaved();
        }
        cmd::NEW_LADDR => services.add_local(director, &id, top.local(&id)?)?,
        cmd::DEL_LADDR => services.remove_local(&id, top.local(&id)?)?,
        _ => return Err(Fault::new(EOPNOTSUPP, c"unknown command")),
    }
    director.changed();
    Ok(())
}

fn get_service(request: &Request<'_>, director: &Director, top: &Top<'_>) -> Result<(), Fault> {
    let id = top.service()?.id()?;
    director.services.entry(&id, |entry| {
        reply(request, cmd::NEW_SERVICE, |m| write::service(m, entry))
    })?
}

fn reply(
    request: &Request<'_>,
    command: u8,
    fill: impl FnOnce(&mut Message<'_>) -> Result,
) -> Result<(), Fault> {
    let sent = request.reply(command, fill);
    sent.map_err(|error| Fault::Refused(error.into()))
}

fn set_config(director: &Director, top: &Top<'_>) -> Result<(), Fault> {
    let seconds = [top.tcp, top.tcp_fin, top.udp].map(|t| t.unwrap_or(0));
    if seconds.into_iter().any(|t| t > MAX_TIMEOUT) {
        return Err(Fault::TooLong(MAX_TIMEOUT));
    }
    director.flows.timeouts.set(seconds);
    director.retimed();
    Ok(())
}

fn zero(director: &Director, top: &Top<'_>) -> Result<(), Fault> {
    let id = match &top.service {
        Some(service) => Some(service.id()?),
        None => None,
    };
    Ok(director.services.zero(id.as_ref())?)
}
