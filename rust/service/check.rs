// SPDX-License-Identifier: GPL-2.0

//! What a configuration must satisfy, whatever else is there.

use core::net::IpAddr;
use kernel::prelude::*;

use super::dest::DestSpec;
use super::id::{DestId, ServiceId};
use super::refusal::{demand, refuse, Outcome};
use super::spec::ServiceSpec;
use crate::proto;
use crate::sched::persist;
use crate::sys::host;
use crate::sys::net::Net;
use crate::sys::route::AddrType;
use crate::wire::uapi::{fwd, svc_flags};

/// The largest weight, as IPVS takes it.
const MAX_WEIGHT: u32 = i32::MAX as u32;

/// A service's own flags.
const SCHED_FLAGS: u32 = svc_flags::SCHED1 | svc_flags::SCHED2 | svc_flags::SCHED3;

/// Looks at a service's identity before it is added.
pub(super) fn service_id(id: &ServiceId) -> Outcome {
    let host = id.is_marked() || !id.addr.is_unspecified() && !id.addr.is_multicast();
    demand(
        host,
        EINVAL,
        c"the virtual address must be a unicast address",
    )
}

/// Looks at what is said of a service.
pub(super) fn service(id: &ServiceId, spec: &ServiceSpec) -> Outcome {
    demand(
        !spec.is_persistent() || (1..=persist::MAX_TIMEOUT).contains(&spec.timeout),
        EINVAL,
        c"the time-out of persistence must be 1 to 2678400 seconds, which are 31 days",
    )?;
    demand(
        spec.engine.is_none() || spec.is_persistent(),
        EINVAL,
        c"a persistence engine is for persistent services: give a time-out, -p, too",
    )?;
    demand(
        spec.flags & svc_flags::ONEPACKET == 0 || id.is_marked() || !proto::has_states(id.proto),
        EINVAL,
        c"one-packet scheduling is for UDP, or for services by firewall mark",
    )?;
    demand(
        spec.label.is_sound(),
        EINVAL,
        c"the mark for packets has bits that its mask leaves out: widen the mask",
    )?;
    let allowed = match spec.kind.has_flags() {
        true => svc_flags::FALLBACK | svc_flags::PORT,
        false => 0,
    };
    demand(
        spec.flags & SCHED_FLAGS & !allowed == 0,
        EINVAL,
        c"the scheduler has no such flag: fallback and port are for sh and mh",
    )?;
    let prefix = u32::from_ne_bytes(spec.netmask);
    demand(
        id.addr.is_ipv4() || (1..=128).contains(&prefix),
        EINVAL,
        c"the IPv6 prefix length must be 1 to 128",
    )
}

/// Destinations of a service, where its owner does not rule the machine: some schedulers look at
/// each of them for every new connection, and whose time that takes is not his to give.
const MAX_DESTS: usize = 4096;

/// Looks at whether a service of `net` that has `number` destinations may have another.
pub(super) fn room(net: Net, number: usize) -> Outcome {
    demand(
        number < MAX_DESTS || host::owns(net),
        ENOSPC,
        c"a service in a user namespace can have 4096 destinations: add another service for more",
    )
}

/// Looks at what is said of a destination of `service`.
pub(super) fn dest(service: &ServiceId, id: &DestId, spec: &DestSpec) -> Outcome {
    let method = u32::from(spec.method);
    known_method(method)?;
    demand(
        service.addr.is_ipv4() == id.addr.is_ipv4() || method == fwd::TUNNEL,
        EINVAL,
        c"only tunneling can reach a destination of the other address family",
    )?;
    port(service, id, method)?;
    demand(
        spec.weight <= MAX_WEIGHT,
        ERANGE,
        c"the weight must be below 2^31",
    )?;
    demand(
        spec.upper <= i32::MAX as u32,
        EINVAL,
        c"the upper threshold must be below 2^31",
    )?;
    demand(
        spec.lower <= spec.upper,
        ERANGE,
        c"the lower threshold must not be above the upper",
    )
}

fn known_method(method: u32) -> Outcome {
    match method {
        fwd::MASQ | fwd::LOCALNODE | fwd::TUNNEL | fwd::DROUTE | fwd::FULLNAT => Ok(()),
        fwd::BYPASS => refuse(EOPNOTSUPP, c"a destination can't have the method bypass"),
        _ => refuse(EINVAL, c"unknown forwarding method"),
    }
}

fn port(service: &ServiceId, id: &DestId, method: u32) -> Outcome {
    demand(
        service.is_wildcard() || service.is_marked() || id.port != 0,
        EINVAL,
        c"the destination needs a port: only services for all ports, or by mark, keep the packet's",
    )?;
    let maps = method == fwd::MASQ || method == fwd::FULLNAT;
    demand(
        !(service.is_wildcard() && id.port != 0 && maps),
        EINVAL,
        c"a service for all ports keeps the packet's port: the destination's must be 0",
    )
}

/// Looks at a destination's address, which is to this host what `kind` says.
pub(super) fn dest_addr(addr: IpAddr, kind: AddrType, spec: &DestSpec) -> Outcome {
    let on_a_link = matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
    demand(
        kind == AddrType::Local || kind == AddrType::Unicast && !on_a_link,
        EINVAL,
        c"the destination's address must be unicast, and not link-local",
    )?;
    demand(
        kind == AddrType::Local || u32::from(spec.method) != fwd::LOCALNODE,
        EINVAL,
        c"a local destination's address must be one of this host",
    )
}

/// Looks at a local address, which is to this host what `kind` says.
pub(super) fn local_addr(service: &ServiceId, addr: IpAddr, kind: AddrType) -> Outcome {
    demand(
        service.addr.is_ipv4() == addr.is_ipv4(),
        EINVAL,
        c"the local address must be of the service's address family",
    )?;
    demand(
        kind == AddrType::Local && !addr.is_loopback(),
        EADDRNOTAVAIL,
        c"the local address is not on an interface of this host: add it there first",
    )
}
