// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `RLVS`: all that can be asked for, FULLNAT and connections too.

use kernel::prelude::*;

use super::dump;
use super::fault::Fault;
use super::read::{subject, Top};
use super::request::{self, director, no_daemons, reply};
use super::write;
use crate::director::Director;
use crate::sys::genl::{Dump, Family, Guarded, Mode, Request};
use crate::sys::netns;
use crate::wire::uapi::{cmd, FAMILY_VERSION};

/// The family.
pub(crate) struct Rlvs;

impl Family for Rlvs {
    const NAME: &'static CStr = c"RLVS";
    const VERSION: u8 = FAMILY_VERSION;
    const GUARDED: Guarded = Guarded::Namespace;
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

fn run(request: &Request<'_>) -> Result<(), Fault> {
    let net = request.net();
    let director = director(&net)?;
    let top = Top::read(request.attributes())?;
    match request.command() {
        cmd::GET_INFO => reply(request, cmd::SET_INFO, |m| write::info(m, director)),
        cmd::GET_TOTALS => {
            let (counts, rates) = director.services.totals();
            reply(request, cmd::NEW_TOTALS, |m| {
                write::totals(m, &counts, rates)
            })
        }
        cmd::RECHECK => {
            director.recheck();
            Ok(())
        }
        _ => request::run(request, director, &top, |_, asked| asked),
    }
}
