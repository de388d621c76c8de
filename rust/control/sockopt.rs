// SPDX-License-Identifier: GPL-2.0

//! IPVS's socket options, for tools from before netlink. They know IPv4 alone, and get no texts with errors.

use core::fmt::Write;
use core::net::IpAddr;
use kernel::prelude::*;

use super::fault::Fault;
use super::request::{self, director};
use super::write::ipvs_method;
use crate::director::Director;
use crate::proto;
use crate::sched::{Candidate, Kind};
use crate::service::{row, DestId, DestSpec, Entry, Label, Member, ServiceId, ServiceSpec};
use crate::sys::net::Net;
use crate::sys::sockopt::{Answer, Options};
use crate::wire::listing::Line;
use crate::wire::sockopt::{
    get, get_len, set, set_len, timeouts, u32_at, Dest, DestEntry, Key, Service, ServiceEntry,
    DAEMON_LEN, DESTS_HEAD, DEST_ENTRY_LEN, SERVICES_HEAD, SERVICE_ENTRY_LEN, SERVICE_LEN,
    VERSION_LEN,
};
use crate::wire::uapi::{fwd, proto as numbers, svc_flags, IPVS_VERSION};

/// The options.
pub(super) struct Ipvs;

impl Options for Ipvs {
    fn set(net: &Net, option: u32, request: &[u8]) -> Result {
        if set_len(option) != Some(request.len()) {
            return Err(EINVAL);
        }
        set_option(net, option, request).map_err(|fault| fault.number())
    }

    fn get(net: &Net, option: u32, request: &[u8], room: usize) -> Result<Answer> {
        if get_len(option).is_none_or(|least| room < least) {
            return Err(EINVAL);
        }
        get_option(net, option, request, room).map_err(|fault| fault.number())
    }
}

fn set_option(net: &Net, option: u32, request: &[u8]) -> Result<(), Fault> {
    let director = director(net)?;
    match option {
        set::FLUSH => request::flush(director),
        set::TIMEOUT => request::set_timeouts(director, timeouts(request))?,
        set::START_DAEMON | set::STOP_DAEMON => return Err(request::no_daemons()),
        _ => change(director, option, request)?,
    }
    Ok(())
}

/// The options that change a service or a destination.
fn change(director: &Director, option: u32, request: &[u8]) -> Result<(), Fault> {
    let service = Service::read(request);
    let key = &service.key;
    let nobody = key.mark == 0 && key.addr.is_unspecified() && key.port == 0;
    if option == set::ZERO && nobody {
        return Ok(director.services.zero(None)?);
    }
    let id = id(key)?;
    let services = &director.services;
    let dest = Dest::read(request.get(SERVICE_LEN..).unwrap_or(&[]));
    let (dest_id, dest_spec) = (dest_id(&dest), dest_spec(&dest));
    match option {
        set::ADD => services.add(director, id, spec(&service)?)?,
        set::EDIT => {
            let spec = spec(&service)?;
            services.set(&id, |before| ServiceSpec {
                label: before.label,
                ..spec
            })?;
        }
        set::DEL => {
            services.remove(&id)?;
            director.bereaved();
        }
        set::ZERO => services.zero(Some(&id))?,
        set::ADD_DEST => services.add_dest(director, &id, dest_id, &dest_spec)?,
        set::EDIT_DEST => services.set_dest(director, &id, &dest_id, |before| {
            request::edit_as_ipvs(before, dest_spec)
        })?,
        set::DEL_DEST => {
            services.remove_dest(&id, &dest_id)?;
            director.bereaved();
        }
        _ => return Err(EINVAL.into()),
    }
    director.changed();
    Ok(())
}

/// The service that is named; the numbers of the errors are IPVS's.
fn id(key: &Key) -> Result<ServiceId, Fault> {
    if ![numbers::TCP, numbers::UDP, numbers::SCTP].contains(&key.proto) {
        return Err(EFAULT.into());
    }
    let number = u8::try_from(key.proto).unwrap_or(0);
    if key.mark != 0 {
        return Ok(ServiceId::marked(key.mark, false));
    } else if !proto::is_known(number) {
        return Err(EOPNOTSUPP.into());
    }
    Ok(ServiceId::at(number, IpAddr::V4(key.addr), key.port))
}

fn spec(service: &Service<'_>) -> Result<ServiceSpec, Fault> {
    let name = service.scheduler.ok_or(EINVAL)?;
    Ok(ServiceSpec {
        kind: Kind::parse(name).ok_or(ENOENT)?,
        flags: service.flags & !svc_flags::HASHED,
        timeout: service.timeout,
        netmask: service.netmask,
        engine: None,
        label: Label::default(),
    })
}

fn dest_id(dest: &Dest) -> DestId {
    DestId {
        addr: IpAddr::V4(dest.addr),
        port: dest.port,
    }
}

fn dest_spec(dest: &Dest) -> DestSpec {
    DestSpec {
        // CAST: three bits.
        method: (dest.flags & fwd::MASK) as u8,
        weight: dest.weight,
        upper: dest.upper,
        lower: dest.lower,
    }
}

fn get_option(net: &Net, option: u32, request: &[u8], room: usize) -> Result<Answer, Fault> {
    let director = director(net)?;
    let mut bytes = KVVec::new();
    let mut len = room;
    match option {
        get::VERSION => {
            version(director, &mut bytes)?;
            len = bytes.len();
        }
        get::INFO => {
            let services = director.services.read(|rules| rules.each_ipv4().count());
            numbers_of([IPVS_VERSION, size(director), small(services)], &mut bytes)?;
        }
        get::TIMEOUT => numbers_of(director.flows.timeouts.settable(), &mut bytes)?,
        get::DAEMON => put(&mut bytes, &[0; 2 * DAEMON_LEN])?,
        get::SERVICE => {
            let id = id_to_get(&Key::read(request))?;
            let entry = director.services.entry(&id, service_entry)?;
            put(&mut bytes, &entry)?;
        }
        get::SERVICES => services(director, request, room, &mut bytes)?,
        _ => dests(director, request, room, &mut bytes)?,
    }
    Ok(Answer { bytes, len })
}

/// The service that is to be shown: of a protocol that is not known there is none.
fn id_to_get(key: &Key) -> Result<ServiceId, Fault> {
    if key.mark != 0 {
        return Ok(ServiceId::marked(key.mark, false));
    }
    let number = u8::try_from(key.proto).map_err(|_| ESRCH)?;
    Ok(ServiceId::at(number, IpAddr::V4(key.addr), key.port))
}

fn size(director: &Director) -> u32 {
    u32::try_from(director.flows.buckets()).unwrap_or(u32::MAX)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn version(director: &Director, bytes: &mut KVVec<u8>) -> Result {
    let mut line = Line::<VERSION_LEN>::default();
    let size = size(director);
    write!(line, "IP Virtual Server version 1.2.1 (size={size})\0").map_err(|_| EINVAL)?;
    put(bytes, line.bytes())
}

fn numbers_of(numbers: [u32; 3], bytes: &mut KVVec<u8>) -> Result {
    for number in numbers {
        put(bytes, &number.to_ne_bytes())?;
    }
    Ok(())
}

fn put(bytes: &mut KVVec<u8>, more: &[u8]) -> Result {
    Ok(bytes.extend_from_slice(more, GFP_KERNEL)?)
}

/// As many services as are asked for, if the room is exactly that of as many.
fn services(
    director: &Director,
    request: &[u8],
    room: usize,
    bytes: &mut KVVec<u8>,
) -> Result<(), Fault> {
    let wanted = list_of(u32_at(request, 0), SERVICES_HEAD, SERVICE_ENTRY_LEN, room)?;
    let there = wanted.min(director.services.len());
    begin(
        bytes,
        request,
        SERVICES_HEAD,
        there.saturating_mul(SERVICE_ENTRY_LEN),
    )?;
    director.services.read(|rules| {
        for entry in rules.each_ipv4().take(there) {
            // There is room for it.
            let _ = put(bytes, &service_entry(entry));
        }
    });
    Ok(())
}

/// As many destinations of a service, likewise.
fn dests(
    director: &Director,
    request: &[u8],
    room: usize,
    bytes: &mut KVVec<u8>,
) -> Result<(), Fault> {
    let wanted = list_of(u32_at(request, 16), DESTS_HEAD, DEST_ENTRY_LEN, room)?;
    let id = id_to_get(&Key::read(request))?;
    let number = director
        .services
        .entry(&id, |entry| entry.members().len())?;
    let there = wanted.min(number);
    begin(
        bytes,
        request,
        DESTS_HEAD,
        there.saturating_mul(DEST_ENTRY_LEN),
    )?;
    Ok(director.services.entry(&id, |entry| {
        let members = entry.members().filter(|member| member.dest.addr.is_ipv4());
        for member in members.take(there) {
            // There is room for it.
            let _ = put(bytes, &dest_entry(member));
        }
    })?)
}

/// How many entries a list is to have.
fn list_of(number: u32, head: usize, entry: usize, room: usize) -> Result<usize> {
    let number = usize::try_from(number)?;
    let len = number
        .checked_mul(entry)
        .and_then(|len| len.checked_add(head));
    match len == Some(room) {
        true => Ok(number),
        false => Err(EINVAL),
    }
}

/// The head of a list, which is left as it came, and room for what follows.
fn begin(bytes: &mut KVVec<u8>, request: &[u8], head: usize, more: usize) -> Result {
    bytes.reserve(head.saturating_add(more), GFP_KERNEL_ACCOUNT)?;
    put(bytes, request.get(..head).unwrap_or(&[]))
}

fn service_entry(entry: &Entry) -> [u8; SERVICE_ENTRY_LEN] {
    let (id, spec) = (&entry.service().id, &entry.spec);
    let entry = ServiceEntry {
        key: Key {
            // IPVS keeps that of TCP for services by mark.
            proto: match id.is_marked() {
                true => numbers::TCP,
                false => id.proto.into(),
            },
            addr: ipv4(id.addr),
            port: id.port,
            mark: id.mark,
        },
        scheduler: spec.kind.name(),
        flags: spec.flags | svc_flags::HASHED,
        timeout: spec.timeout,
        netmask: spec.netmask,
        dests: small(entry.members().len()),
        counts: row(entry.counts()),
        rates: entry.rates(),
    };
    entry.bytes()
}

fn dest_entry(member: &Member) -> [u8; DEST_ENTRY_LEN] {
    let (dest, spec) = (&member.dest, member.dest.spec());
    let (active, total) = (dest.active(), dest.total());
    let entry = DestEntry {
        dest: Dest {
            addr: ipv4(dest.addr),
            port: dest.port,
            flags: conn_flags(ipvs_method(spec.method.into())),
            weight: spec.weight,
            upper: spec.upper,
            lower: spec.lower,
        },
        active,
        inactive: total.saturating_sub(active),
        templates: dest.templates(),
        counts: row(member.counts()),
        rates: member.rates(),
    };
    entry.bytes()
}

/// A method among the flags that IPVS gives a destination's connections.
fn conn_flags(method: u32) -> u32 {
    const NO_OUTPUT: u32 = 0x80;
    const INACTIVE: u32 = 0x100;
    match method {
        fwd::MASQ => method | INACTIVE,
        _ => method | INACTIVE | NO_OUTPUT,
    }
}

fn ipv4(addr: IpAddr) -> core::net::Ipv4Addr {
    match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => core::net::Ipv4Addr::UNSPECIFIED,
    }
}
