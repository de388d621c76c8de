// SPDX-License-Identifier: GPL-2.0

//! What both netlink families can be asked for.

use kernel::prelude::*;

use super::fault::Fault;
use super::read::Top;
use super::write;
use crate::director::Director;
use crate::service::{DestSpec, Label};
use crate::sys::genl::{Message, Request};
use crate::sys::net::Net;
use crate::sys::netns;
use crate::sys::time::HZ;
use crate::wire::uapi::{cmd, fwd};

/// The longest time-out in seconds: as many as IPVS can count in ticks.
const MAX_TIMEOUT: u32 = i32::MAX as u32 / HZ;

/// What a destination is to be, from what it was and what was asked for.
pub(super) type Edit = fn(&DestSpec, DestSpec) -> DestSpec;

/// The director of a namespace.
pub(super) fn director(net: &Net) -> Result<&Director, Fault> {
    let gone = Fault::new(ENODEV, c"the network namespace is going away");
    netns::get::<Director>(net).ok_or(gone)
}

/// The answer to everything about synchronisation daemons.
pub(super) fn no_daemons() -> Fault {
    Fault::new(EOPNOTSUPP, c"synchronisation daemons are not supported")
}

/// Who knows IPVS's methods alone sees FULLNAT as NAT, and means what it is when he says so.
pub(super) fn edit_as_ipvs(before: &DestSpec, asked: DestSpec) -> DestSpec {
    let is = |spec: &DestSpec, method| u32::from(spec.method) == method;
    match is(before, fwd::FULLNAT) && is(&asked, fwd::MASQ) {
        true => DestSpec {
            method: before.method,
            ..asked
        },
        false => asked,
    }
}

/// Answers a request; `edit` decides about destinations that are changed.
pub(super) fn run(
    request: &Request<'_>,
    director: &Director,
    top: &Top<'_>,
    edit: Edit,
) -> Result<(), Fault> {
    match request.command() {
        cmd::GET_SERVICE => get_service(request, director, top),
        cmd::GET_CONFIG => reply(request, cmd::SET_CONFIG, |m| {
            write::timeouts(m, &director.flows.timeouts)
        }),
        cmd::SET_CONFIG => set_config(director, top),
        cmd::ZERO => zero(director, top),
        cmd::FLUSH => {
            flush(director);
            Ok(())
        }
        cmd::NEW_DAEMON | cmd::DEL_DAEMON | cmd::GET_DAEMON => Err(no_daemons()),
        command => change(director, command, top, edit),
    }
}

/// The commands that change a service or what belongs to it.
fn change(director: &Director, command: u8, top: &Top<'_>, edit: Edit) -> Result<(), Fault> {
    let service = top.service()?;
    let id = service.id()?;
    let services = &director.services;
    match command {
        cmd::NEW_SERVICE => services.add(director, id, service.spec()?(0, Label::default()))?,
        cmd::SET_SERVICE => {
            let spec = service.spec()?;
            if services.set(&id, |before| spec(before.flags, before.label))? {
                director.recheck();
            }
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
            let spec = dest.spec()?;
            services.set_dest(director, &id, &dest.id(&id)?, |before| edit(before, spec))?;
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

/// Answers with one message, which `fill` writes.
pub(super) fn reply(
    request: &Request<'_>,
    command: u8,
    fill: impl FnOnce(&mut Message<'_>) -> Result,
) -> Result<(), Fault> {
    let sent = request.reply(command, fill);
    sent.map_err(|error| Fault::Refused(error.into()))
}

/// Removes all services.
pub(super) fn flush(director: &Director) {
    director.services.flush();
    director.bereaved();
    director.changed();
}

fn set_config(director: &Director, top: &Top<'_>) -> Result<(), Fault> {
    let seconds = [top.tcp, top.tcp_fin, top.udp].map(|t| t.unwrap_or(0));
    set_timeouts(director, seconds)
}

/// Sets the time-outs that are not 0, in seconds: TCP, TCP after a FIN, UDP.
pub(super) fn set_timeouts(director: &Director, seconds: [u32; 3]) -> Result<(), Fault> {
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
