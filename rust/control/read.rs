// SPDX-License-Identifier: GPL-2.0

//! From attributes to what they say. Unknown ones are ignored, wrong sizes are not; of one that
//! comes twice the last counts.

use core::net::IpAddr;
use kernel::prelude::*;

use super::fault::{Fault, Within, TOP};
use crate::engine::Engine;
use crate::proto;
use crate::sched::Kind;
use crate::service::{DestId, DestSpec, Label, ServiceId, ServiceSpec};
use crate::sys::genl::Request;
use crate::wire::nlattr::{self, Attr, Attrs};
use crate::wire::uapi::{
    attr, dest, fwd, laddr, svc, svc_flags, tun, FLAGS_LEN, PE_NAME_MAX, SCHED_NAME_MAX,
};

/// The service that a request is about, which it must name.
pub(super) fn subject(request: &Request<'_>) -> Result<ServiceId, Fault> {
    Top::read(request.attributes())?.service()?.id()
}

/// The attributes at the top of a message.
#[derive(Default)]
pub(super) struct Top<'a> {
    pub(super) service: Option<Service<'a>>,
    pub(super) dest: Option<Dest<'a>>,
    local: Option<Local<'a>>,
    pub(super) tcp: Option<u32>,
    pub(super) tcp_fin: Option<u32>,
    pub(super) udp: Option<u32>,
}

impl<'a> Top<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut top = Self::default();
        for attribute in Attrs::new(bytes) {
            top.take(attribute.within(TOP)?)?;
        }
        Ok(top)
    }

    fn take(&mut self, a: Attr<'a>) -> Result<(), Fault> {
        match a.kind {
            attr::SERVICE => self.service = Some(Service::read(a).within("service")?),
            attr::DEST => self.dest = Some(Dest::read(a).within("destination")?),
            attr::LADDR => self.local = Some(Local::read(a).within("local address")?),
            attr::TIMEOUT_TCP => self.tcp = Some(a.u32().within(TOP)?),
            attr::TIMEOUT_TCP_FIN => self.tcp_fin = Some(a.u32().within(TOP)?),
            attr::TIMEOUT_UDP => self.udp = Some(a.u32().within(TOP)?),
            _ => {}
        }
        Ok(())
    }

    /// The service's attributes, which must be there.
    pub(super) fn service(&self) -> Result<&Service<'a>, Fault> {
        let service = self.service.as_ref();
        service.ok_or(Fault::new(EINVAL, c"the request must name a service"))
    }

    /// The destination's attributes, which must be there.
    pub(super) fn dest(&self) -> Result<&Dest<'a>, Fault> {
        let dest = self.dest.as_ref();
        dest.ok_or(Fault::new(EINVAL, c"the request must name a destination"))
    }

    /// The local address, which must be there.
    pub(super) fn local(&self, service: &ServiceId) -> Result<IpAddr, Fault> {
        let local = self.local.as_ref().and_then(|l| Some((l, l.addr?)));
        let (local, addr) =
            local.ok_or(Fault::new(EINVAL, c"the request must name a local address"))?;
        address(addr, local.af, service, "local address")
    }
}

/// The attributes of a service.
#[derive(Default)]
pub(super) struct Service<'a> {
    af: Option<u16>,
    protocol: Option<u16>,
    addr: Option<Attr<'a>>,
    port: Option<u16>,
    fwmark: Option<u32>,
    sched: Option<&'a str>,
    flags: Option<[u8; FLAGS_LEN]>,
    timeout: Option<u32>,
    netmask: Option<[u8; 4]>,
    pe: Option<&'a str>,
    label: Option<Label>,
}

impl<'a> Service<'a> {
    fn read(nest: Attr<'a>) -> Result<Self, nlattr::Error> {
        let mut service = Self::default();
        for a in nest.nested() {
            service.take(a?)?;
        }
        Ok(service)
    }

    fn take(&mut self, a: Attr<'a>) -> Result<(), nlattr::Error> {
        match a.kind {
            svc::AF => self.af = Some(a.u16()?),
            svc::PROTOCOL => self.protocol = Some(a.u16()?),
            svc::ADDR => self.addr = Some(a),
            svc::PORT => self.port = Some(a.be16()?),
            svc::FWMARK => self.fwmark = Some(a.u32()?),
            svc::SCHED_NAME => self.sched = Some(a.str(SCHED_NAME_MAX)?),
            svc::FLAGS => self.flags = Some(a.bytes()?),
            svc::TIMEOUT => self.timeout = Some(a.u32()?),
            svc::NETMASK => self.netmask = Some(a.bytes()?),
            svc::PE_NAME => self.pe = Some(a.str(PE_NAME_MAX)?),
            svc::LABEL => {
                let (value, mask) = halves(a.bytes()?);
                self.label = Some(Label { value, mask });
            }
            _ => {}
        }
        Ok(())
    }

    /// Which service it is.
    pub(super) fn id(&self) -> Result<ServiceId, Fault> {
        use crate::wire::uapi::af::{INET, INET6};
        if let Some(mark) = self.fwmark.filter(|&mark| mark != 0) {
            return match self.af {
                Some(af @ (INET | INET6)) => Ok(ServiceId::marked(mark, af == INET6)),
                _ => Err(Fault::new(
                    EAFNOSUPPORT,
                    c"a service by firewall mark is for IPv4 or IPv6",
                )),
            };
        }
        let (Some(af), Some(protocol), Some(addr), Some(port)) =
            (self.af, self.protocol, self.addr, self.port)
        else {
            return Err(Fault::new(
                EINVAL,
                c"a service is named by address family, protocol, address and port, or by family and mark",
            ));
        };
        let addr = addr.ip(af).within("service")?;
        Ok(ServiceId::at(known_protocol(protocol)?, addr, port))
    }

    /// What is said of the service, given its flags and its label before.
    pub(super) fn spec(&self) -> Result<impl Fn(u32, Label) -> ServiceSpec, Fault> {
        let (Some(sched), Some(flags), Some(timeout), Some(netmask)) =
            (self.sched, self.flags, self.timeout, self.netmask)
        else {
            return Err(Fault::new(
                EINVAL,
                c"a service needs a scheduler, flags, a timeout and a netmask",
            ));
        };
        let kind = Kind::parse(sched).ok_or(Fault::new(
            ENOENT,
            c"unknown scheduler: there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, twos and none",
        ))?;
        let engine = self.engine()?;
        let (flags, mask) = halves(flags);
        let said = self.label;
        Ok(move |before: u32, label: Label| ServiceSpec {
            kind,
            flags: (before & !mask | flags & mask) & !svc_flags::HASHED,
            timeout,
            netmask,
            engine,
            label: said.unwrap_or(label),
        })
    }

    /// The persistence engine; as in IPVS an edit that names none takes it away.
    fn engine(&self) -> Result<Option<Engine>, Fault> {
        let Some(name) = self.pe.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let unknown = Fault::new(ENOENT, c"unknown persistence engine: there is sip");
        Engine::parse(name).map(Some).ok_or(unknown)
    }
}

/// The two u32 of a service's flags.
fn halves([a, b, c, d, e, f, g, h]: [u8; FLAGS_LEN]) -> (u32, u32) {
    (
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    )
}

fn known_protocol(protocol: u16) -> Result<u8, Fault> {
    let number = u8::try_from(protocol).ok();
    let known = number.filter(|&number| proto::is_known(number));
    known.ok_or(Fault::new(
        EOPNOTSUPP,
        c"services of this protocol are not supported",
    ))
}

/// The attributes of a destination.
#[derive(Default)]
pub(super) struct Dest<'a> {
    af: Option<u16>,
    addr: Option<Attr<'a>>,
    port: Option<u16>,
    method: Option<u32>,
    weight: Option<u32>,
    upper: Option<u32>,
    lower: Option<u32>,
    tun_type: Option<u8>,
    tun_flags: Option<u16>,
}

impl<'a> Dest<'a> {
    fn read(nest: Attr<'a>) -> Result<Self, nlattr::Error> {
        let mut dest = Self::default();
        for a in nest.nested() {
            dest.take(a?)?;
        }
        Ok(dest)
    }

    fn take(&mut self, a: Attr<'a>) -> Result<(), nlattr::Error> {
        match a.kind {
            dest::ADDR => self.addr = Some(a),
            dest::PORT => self.port = Some(a.be16()?),
            dest::FWD_METHOD => self.method = Some(a.u32()?),
            dest::WEIGHT => self.weight = Some(a.u32()?),
            dest::U_THRESH => self.upper = Some(a.u32()?),
            dest::L_THRESH => self.lower = Some(a.u32()?),
            dest::ADDR_FAMILY => self.af = Some(a.u16()?),
            dest::TUN_TYPE => self.tun_type = Some(a.u8()?),
            dest::TUN_PORT => drop(a.be16()?),
            dest::TUN_FLAGS => self.tun_flags = Some(a.u16()?),
            _ => {}
        }
        Ok(())
    }

    /// Which destination of `service` it is.
    pub(super) fn id(&self, service: &ServiceId) -> Result<DestId, Fault> {
        let (Some(addr), Some(port)) = (self.addr, self.port) else {
            return Err(Fault::new(
                EINVAL,
                c"a destination is named by address and port",
            ));
        };
        let addr = address(addr, self.af, service, "destination")?;
        Ok(DestId { addr, port })
    }

    /// What is said of the destination.
    pub(super) fn spec(&self) -> Result<DestSpec, Fault> {
        if self.tun_type.unwrap_or(tun::IPIP) != tun::IPIP || self.tun_flags.unwrap_or(0) != 0 {
            return Err(Fault::new(
                EOPNOTSUPP,
                c"tunnels other than plain IP in IP are not supported",
            ));
        }
        let (Some(method), Some(weight), Some(upper), Some(lower)) =
            (self.method, self.weight, self.upper, self.lower)
        else {
            return Err(Fault::new(
                EINVAL,
                c"a destination needs a forwarding method, a weight and thresholds",
            ));
        };
        Ok(DestSpec {
            // CAST: three bits.
            method: (method & fwd::MASK) as u8,
            weight,
            upper,
            lower,
        })
    }
}

/// The attributes of a local address.
#[derive(Default)]
struct Local<'a> {
    af: Option<u16>,
    addr: Option<Attr<'a>>,
}

impl<'a> Local<'a> {
    fn read(nest: Attr<'a>) -> Result<Self, nlattr::Error> {
        let mut local = Self::default();
        for a in nest.nested() {
            let a = a?;
            match a.kind {
                laddr::ADDR => local.addr = Some(a),
                laddr::ADDR_FAMILY => local.af = Some(a.u16()?),
                _ => {}
            }
        }
        Ok(local)
    }
}

/// An address whose family is given, or else the service's.
fn address(
    addr: Attr<'_>,
    af: Option<u16>,
    service: &ServiceId,
    nest: &'static str,
) -> Result<IpAddr, Fault> {
    use crate::wire::uapi::af::{INET, INET6, UNSPEC};
    let of_service = if service.addr.is_ipv4() { INET } else { INET6 };
    let af = af.filter(|&af| af != UNSPEC).unwrap_or(of_service);
    addr.ip(af).within(nest)
}
