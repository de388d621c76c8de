// SPDX-License-Identifier: GPL-2.0
//! What a command line means: one command with all that belongs to it and nothing else.

use std::ffi::OsString;
use std::net::IpAddr;

use crate::address::{self, Endpoint, Family, ServiceId};
use crate::args::{self, option, Given, Parsed};
use crate::error::Usage;
use crate::flags;
use crate::label::Label;
use crate::model::{Method, Timeouts};
use crate::names::Names;
use crate::persistence::{self, Mask, Persistence, DEFAULT_TIMEOUT};
use crate::protocol::Proto;
use crate::wire::uapi::svc_flags;

const DEFAULT_SCHEDULER: &str = "wlc";

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Change(Change),
    List(List),
    /// The local addresses of one service or of all.
    Laddrs {
        service: Option<ServiceId>,
        numeric: bool,
        json: bool,
    },
    Save {
        numeric: bool,
    },
    Restore,
    /// Help or version.
    Print(String),
}

/// A command that changes the module's tables; the only kind that may stand among rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    AddService(ServiceRule),
    EditService(ServiceRule),
    DeleteService(ServiceId),
    Clear,
    AddServer(ServiceId, ServerRule),
    EditServer(ServiceId, ServerRule),
    DeleteServer(ServiceId, Endpoint),
    AddLaddr(ServiceId, IpAddr),
    DeleteLaddr(ServiceId, IpAddr),
    Zero(Option<ServiceId>),
    Recheck,
    SetTimeouts(Timeouts),
}

/// A service as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRule {
    pub id: ServiceId,
    pub scheduler: String,
    /// Bits of [`flags::MASK`], and [`svc_flags::ONEPACKET`].
    pub flags: u32,
    pub persistence: Option<Persistence>,
    /// The persistence engine.
    pub engine: Option<String>,
    /// What its packets get.
    pub label: Option<Label>,
    /// There is a mask and no persistence.
    pub unused_mask: bool,
}

/// A real server as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRule {
    pub endpoint: Endpoint,
    pub method: Method,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    /// The port that was asked for although packets keep the service's.
    pub unused_port: Option<u16>,
}

impl Change {
    /// What an administrator should know of a change that is carried out all the same.
    pub fn warning(&self) -> Option<String> {
        if let Change::AddService(rule) | Change::EditService(rule) = self {
            let text = "warning: the mask is not used without persistence, -p";
            return rule.unused_mask.then(|| text.to_owned());
        }
        let (Change::AddServer(service, rule) | Change::EditServer(service, rule)) = self else {
            return None;
        };
        let asked = rule.unused_port?;
        let how = match rule.method {
            Method::Tunnel => "tunnelling",
            _ => "direct routing",
        };
        let kept = match service.port() {
            0 => "the one that the packet has".to_owned(),
            port => format!("the service's, {port}"),
        };
        Some(format!(
            "warning: with {how} packets keep their port: the server's is {kept}, not {asked}"
        ))
    }
}

/// A listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub what: What,
    pub format: Format,
    pub json: bool,
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Services,
    Service(ServiceId),
    Connections,
    Timeouts,
    Totals,
    Info,
}

/// How services and connections are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format {
    pub view: View,
    pub numeric: bool,
    pub exact: bool,
    pub nosort: bool,
    /// With columns for persistence, also where the view is another.
    pub persistent: bool,
}

/// The columns of a listing of services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Plain,
    Stats,
    Rate,
    Thresholds,
    Persistent,
    Tunnel,
}

/// Whether a command goes with a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
    Never,
}

/// The options that go with a command. All are names of fields of [`args::Args`].
struct Form {
    command: &'static str,
    service: Need,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const fn form(
    command: &'static str,
    service: Need,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Form {
    Form {
        command,
        service,
        required,
        optional,
    }
}

const SERVICE: &[&str] = &["tcp_service", "udp_service", "fwmark_service"];
const METHODS: &[&str] = &[
    "gatewaying",
    "ipip",
    "masquerading",
    "fullnat",
    "sched_flags",
];
const SERVICE_OPTIONS: &[&str] = &[
    "scheduler",
    "sched_flags",
    "persistent",
    "netmask",
    "pe",
    "set_mark",
    "ops",
];
const SERVER_OPTIONS: &[&str] = &[
    "gatewaying",
    "ipip",
    "masquerading",
    "fullnat",
    "sched_flags",
    "tun_type",
    "weight",
    "u_threshold",
    "l_threshold",
];
const LIST_OPTIONS: &[&str] = &[
    "numeric",
    "connection",
    "timeout",
    "totals",
    "info",
    "stats",
    "rate",
    "thresholds",
    "persistent_conn",
    "tun_info",
    "exact",
    "nosort",
    "json",
];

const FORMS: &[Form] = &[
    form("add_service", Need::Must, &[], SERVICE_OPTIONS),
    form("edit_service", Need::Must, &[], SERVICE_OPTIONS),
    form("delete_service", Need::Must, &[], &[]),
    form("clear", Need::Never, &[], &[]),
    form("add_server", Need::Must, &["real_server"], SERVER_OPTIONS),
    form("edit_server", Need::Must, &["real_server"], SERVER_OPTIONS),
    form("delete_server", Need::Must, &["real_server"], &[]),
    form("add_laddr", Need::Must, &["laddr"], &[]),
    form("del_laddr", Need::Must, &["laddr"], &[]),
    form("get_laddr", Need::May, &[], &["numeric", "json"]),
    form("list", Need::May, &[], LIST_OPTIONS),
    form("zero", Need::May, &[], &[]),
    form("recheck", Need::Never, &[], &[]),
    form("save", Need::Never, &[], &["numeric"]),
    form("restore", Need::Never, &[], &[]),
    form("set", Need::Never, &[], &[]),
];

/// Reads the words of a command line, the program's name first.
pub fn parse<I, T>(words: I, names: &dyn Names) -> Result<Command, Usage>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let given = match args::read(words)? {
        Parsed::Print(text) => return Ok(Command::Print(text)),
        Parsed::Options(given) => given,
    };
    let form = form_of(&given)?;
    form.check(&given)?;
    Reader {
        given: &given,
        names,
        command: option(form.command),
    }
    .command(form.command)
}

/// The command that is given, or to list if nothing is.
fn form_of(given: &Given) -> Result<&'static Form, Usage> {
    exclusive(given, FORMS.iter().map(|form| form.command))?;
    let mut forms = FORMS.iter();
    if given.all().next().is_none() {
        return forms
            .find(|form| form.command == "list")
            .ok_or(Usage::NoCommand);
    }
    forms
        .find(|form| given.has(form.command))
        .ok_or(Usage::NoCommand)
}

/// At most one of `fields` may be given.
fn exclusive<'a>(given: &Given, fields: impl Iterator<Item = &'a str>) -> Result<(), Usage> {
    let mut found = fields.filter(|field| given.has(field));
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(Usage::Conflict {
            first: option(first),
            second: option(second),
        }),
        _ => Ok(()),
    }
}

impl Form {
    /// Checks that all that is needed is given, and nothing that has no meaning.
    fn check(&self, given: &Given) -> Result<(), Usage> {
        exclusive(given, SERVICE.iter().copied())?;
        if let Some(stranger) = given.all().find(|field| !self.allows(field)) {
            return Err(Usage::Illegal {
                command: option(self.command),
                option: option(stranger),
            });
        }
        if given.has("ipv6") && !given.has("fwmark_service") {
            return Err(Usage::Missing {
                command: option("ipv6"),
                option: option("fwmark_service"),
            });
        }
        let missing = self.required.iter().find(|field| !given.has(field));
        if self.service == Need::Must && !SERVICE.iter().any(|field| given.has(field)) {
            let options = "--tcp-service, --udp-service or --fwmark-service";
            return Err(self.missing(options.to_owned()));
        }
        missing.map_or(Ok(()), |field| Err(self.missing(option(field))))
    }

    fn allows(&self, field: &str) -> bool {
        // As in ipvsadm `--sort` does nothing anywhere.
        field == self.command
            || field == "sort"
            || self.required.contains(&field)
            || self.optional.contains(&field)
            || (self.service != Need::Never && (SERVICE.contains(&field) || field == "ipv6"))
    }

    fn missing(&self, option: String) -> Usage {
        Usage::Missing {
            command: args::option(self.command),
            option,
        }
    }
}

/// Turns options that were checked into a command.
struct Reader<'a> {
    given: &'a Given,
    names: &'a dyn Names,
    /// The command as it is written, for errors.
    command: String,
}

impl Reader<'_> {
    fn command(&self, field: &str) -> Result<Command, Usage> {
        let listing = &self.given.args.listing;
        Ok(match field {
            "get_laddr" => Command::Laddrs {
                service: self.maybe_service()?,
                numeric: listing.numeric,
                json: listing.json,
            },
            "list" => Command::List(self.list()?),
            "save" => Command::Save {
                numeric: listing.numeric,
            },
            "restore" => Command::Restore,
            _ => Command::Change(self.change(field)?),
        })
    }

    fn change(&self, field: &str) -> Result<Change, Usage> {
        Ok(match field {
            "add_service" => Change::AddService(self.service_rule()?),
            "edit_service" => Change::EditService(self.service_rule()?),
            "delete_service" => Change::DeleteService(self.service()?),
            "add_server" => self.server_rule().map(|(s, r)| Change::AddServer(s, r))?,
            "edit_server" => self.server_rule().map(|(s, r)| Change::EditServer(s, r))?,
            "delete_server" => {
                let service = self.service()?;
                Change::DeleteServer(service, self.server(service)?)
            }
            "add_laddr" => Change::AddLaddr(self.service()?, self.laddr()?),
            "del_laddr" => Change::DeleteLaddr(self.service()?, self.laddr()?),
            "zero" => Change::Zero(self.maybe_service()?),
            "recheck" => Change::Recheck,
            "set" => Change::SetTimeouts(self.timeouts()?),
            _ => Change::Clear,
        })
    }

    fn maybe_service(&self) -> Result<Option<ServiceId>, Usage> {
        let args = &self.given.args.service;
        if let Some(mark) = args.fwmark_service {
            let family = match args.ipv6 {
                false => Family::IPv4,
                true => Family::IPv6,
            };
            return Ok(Some(ServiceId::Mark { mark, family }));
        }
        let (protocol, text) = match (&args.tcp_service, &args.udp_service) {
            (Some(text), _) => (Proto::Tcp, text),
            (None, Some(text)) => (Proto::Udp, text),
            (None, None) => return Ok(None),
        };
        let (address, port) = address::parse(text, protocol, self.names)?;
        let port = port.unwrap_or(0);
        let endpoint = Endpoint { address, port };
        Ok(Some(ServiceId::At { protocol, endpoint }))
    }

    fn service(&self) -> Result<ServiceId, Usage> {
        self.maybe_service()?
            .ok_or_else(|| self.missing("tcp_service"))
    }

    fn service_rule(&self) -> Result<ServiceRule, Usage> {
        let args = &self.given.args.service;
        let scheduler = args.scheduler.as_deref().unwrap_or(DEFAULT_SCHEDULER);
        flags::check_scheduler(scheduler)?;
        let flags = match &args.sched_flags {
            None => 0,
            Some(None) => return Err(Usage::NoFlags(self.command.clone())),
            Some(Some(list)) => flags::parse(list, scheduler)?,
        };
        let id = self.service()?;
        let persistence = self.persistence(id)?;
        Ok(ServiceRule {
            id,
            scheduler: scheduler.to_owned(),
            flags: flags | self.one_packet(id)?,
            persistence,
            engine: self.engine()?,
            label: args.set_mark.as_deref().map(str::parse).transpose()?,
            unused_mask: args.netmask.is_some() && persistence.is_none(),
        })
    }

    fn persistence(&self, id: ServiceId) -> Result<Option<Persistence>, Usage> {
        let args = &self.given.args.service;
        let mask = match &args.netmask {
            Some(text) => Mask::parse(text, id.family())?,
            None => Mask::host(id.family()),
        };
        let timeout = args
            .persistent
            .map(|given| given.unwrap_or(DEFAULT_TIMEOUT));
        Ok(timeout.map(|timeout| Persistence { timeout, mask }))
    }

    fn engine(&self) -> Result<Option<String>, Usage> {
        let args = &self.given.args.service;
        if args.pe.is_some() && args.persistent.is_none() {
            return Err(Usage::Missing {
                command: option("pe"),
                option: option("persistent"),
            });
        }
        args.pe.as_deref().map(persistence::engine).transpose()
    }

    fn one_packet(&self, id: ServiceId) -> Result<u32, Usage> {
        match id {
            _ if !self.given.args.service.ops => Ok(0),
            ServiceId::At {
                protocol: Proto::Tcp,
                ..
            } => Err(Usage::Conflict {
                first: option("ops"),
                second: option("tcp_service"),
            }),
            _ => Ok(svc_flags::ONEPACKET),
        }
    }

    /// The server that `-r` names; without a port it has the service's.
    fn server(&self, service: ServiceId) -> Result<Endpoint, Usage> {
        let text = self.given.args.server.real_server.as_deref();
        let text = text.ok_or_else(|| self.missing("real_server"))?;
        let (address, port) = address::parse(text, service.protocol(), self.names)?;
        let port = port.unwrap_or(service.port());
        Ok(Endpoint { address, port })
    }

    fn server_rule(&self) -> Result<(ServiceId, ServerRule), Usage> {
        let args = &self.given.args.server;
        let service = self.service()?;
        let method = self.method()?;
        let mut endpoint = self.server(service)?;
        let asked = endpoint.port;
        // The packet keeps its port on the way there.
        let kept = matches!(method, Method::Route | Method::Tunnel);
        if let (true, ServiceId::At { endpoint: own, .. }) = (kept, service) {
            endpoint.port = own.port;
        }
        let rule = ServerRule {
            endpoint,
            method,
            weight: args.weight,
            upper: args.u_threshold,
            lower: args.l_threshold,
            unused_port: (kept && asked != service.port()).then_some(asked),
        };
        Ok((service, rule))
    }

    fn method(&self) -> Result<Method, Usage> {
        exclusive(self.given, METHODS.iter().copied())?;
        let args = &self.given.args;
        if let Some(Some(_)) = args.service.sched_flags {
            return Err(Usage::FullnatValue(self.command.clone()));
        }
        let fullnat = args.server.fullnat || args.service.sched_flags.is_some();
        let method = match &args.server {
            server if server.masquerading => Method::Masq,
            server if server.ipip => Method::Tunnel,
            _ if fullnat => Method::FullNat,
            _ => Method::Route,
        };
        self.check_tunnel(method)?;
        Ok(method)
    }

    fn check_tunnel(&self, method: Method) -> Result<(), Usage> {
        match self.given.args.server.tun_type.as_deref() {
            None => Ok(()),
            Some(kind) if kind != "ipip" => Err(Usage::Unsupported(format!("--tun-type {kind}"))),
            Some(_) if method != Method::Tunnel => Err(Usage::Missing {
                command: "--tun-type".to_owned(),
                option: "--ipip".to_owned(),
            }),
            Some(_) => Ok(()),
        }
    }

    fn laddr(&self) -> Result<IpAddr, Usage> {
        let text = self.given.args.service.laddr.as_deref();
        address::parse_host(text.ok_or_else(|| self.missing("laddr"))?, self.names)
    }

    fn timeouts(&self) -> Result<Timeouts, Usage> {
        match self.given.args.commands.set.as_deref() {
            Some(&[tcp, tcp_fin, udp]) => Ok(Timeouts { tcp, tcp_fin, udp }),
            _ => Err(self.missing("set")),
        }
    }

    fn list(&self) -> Result<List, Usage> {
        let args = &self.given.args.listing;
        self.check_list()?;
        let what = match self.maybe_service()? {
            _ if args.connection => What::Connections,
            _ if args.timeout => What::Timeouts,
            _ if args.totals => What::Totals,
            _ if args.info => What::Info,
            Some(service) => What::Service(service),
            None => What::Services,
        };
        Ok(List {
            what,
            format: self.format(),
            json: args.json,
        })
    }

    /// Refuses what ipvsadm refuses: two things to list at once, and columns for one that has none.
    fn check_list(&self) -> Result<(), Usage> {
        const OTHER: &[&str] = &["connection", "timeout", "totals", "info"];
        exclusive(self.given, SERVICE.iter().chain(OTHER).copied())?;
        for columns in ["stats", "rate", "thresholds"] {
            exclusive(self.given, OTHER.iter().copied().chain([columns]))?;
        }
        exclusive(
            self.given,
            ["timeout", "totals", "info", "persistent_conn"].into_iter(),
        )
    }

    fn format(&self) -> Format {
        let args = &self.given.args.listing;
        let view = match args {
            args if args.stats => View::Stats,
            args if args.rate => View::Rate,
            args if args.thresholds => View::Thresholds,
            args if args.persistent_conn => View::Persistent,
            args if args.tun_info => View::Tunnel,
            _ => View::Plain,
        };
        Format {
            view,
            numeric: args.numeric,
            exact: args.exact,
            nosort: args.nosort,
            persistent: args.persistent_conn,
        }
    }

    fn missing(&self, field: &str) -> Usage {
        Usage::Missing {
            command: self.command.clone(),
            option: option(field),
        }
    }
}

#[cfg(test)]
mod tests;
