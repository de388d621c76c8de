// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `IPVS`, by which ipvsadm, keepalived and others find rlvs. It is `RLVS` as IPVS would
//! have it: the same services, without what IPVS does not know.
//!
//! The numbers and the order of what is answered are those of `net/netfilter/ipvs/ip_vs_ctl.c` of Linux 7.3.

use kernel::prelude::*;

use super::dump;
use super::fault::Fault;
use super::read::Top;
use super::request::{self, director, edit_as_ipvs, reply};
use super::write;
use crate::director::Director;
use crate::sys::genl::{Dump, Family, Guarded, Mode, Request};
use crate::sys::netns;
use crate::wire::uapi::{cmd, FAMILY_VERSION};

/// The family.
pub(crate) struct Ipvs;

impl Family for Ipvs {
    const NAME: &'static CStr = c"IPVS";
    const VERSION: u8 = FAMILY_VERSION;
    const GUARDED: Guarded = Guarded::Machine;
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
        (cmd::GET_DAEMON, Mode::Dump),
        (cmd::SET_CONFIG, Mode::Do),
        (cmd::GET_CONFIG, Mode::Do),
        (cmd::GET_INFO, Mode::Do),
        (cmd::ZERO, Mode::Do),
        (cmd::FLUSH, Mode::Do),
    ];

    fn run(request: &Request<'_>) -> Result {
        run(request).map_err(|fault| fault.report(request))
    }

    /// Of what is not there an empty list is told.
    fn check(_request: &Request<'_>) -> Result {
        Ok(())
    }

    fn dump(dump: &mut Dump<'_>) -> Result {
        let net = dump.request().net();
        let director = netns::get::<Director>(&net).ok_or(ENODEV)?;
        match dump.request().command() {
            cmd::GET_SERVICE => dump::services_as_they_are(dump, director),
            cmd::GET_DEST => dump::members_as_they_are(dump, director),
            // There are no daemons.
            _ => Ok(()),
        }
    }
}

fn run(request: &Request<'_>) -> Result<(), Fault> {
    let net = request.net();
    let director = director(&net)?;
    let top = Top::read(request.attributes())?;
    match request.command() {
        cmd::GET_INFO => reply(request, cmd::SET_INFO, |m| write::size(m, director)),
        _ => request::run(request, director, &top, edit_as_ipvs),
    }
}
