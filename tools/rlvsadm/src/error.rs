// SPDX-License-Identifier: GPL-2.0
//! Everything that can end rlvsadm early, and the exit status of each.

use std::io;

use thiserror::Error;

use crate::wire::nlattr;

/// Why rlvsadm gives up.
#[derive(Debug, Error)]
pub enum Error {
    /// The command line makes no sense.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// The module, or the way to it, says no.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A line of the rules given to `-R` makes no sense; nothing was changed.
    #[error("line {line}: {source}")]
    Rule { line: usize, source: Usage },
    /// The module refused a line of the rules; those before it are in force.
    #[error("line {line}: {source}")]
    Refused { line: usize, source: LinkError },
    /// Rules that can't be read.
    #[error("can't read the rules: {0}")]
    Input(io::Error),
    /// Nobody takes the output.
    #[error("can't write: {0}")]
    Output(io::Error),
}

impl Error {
    /// The exit status: 2 for wrong usage, 1 for all else.
    pub fn status(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            _ => 1,
        }
    }
}

/// What is wrong with a command line or a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Usage {
    /// What clap found, in one line.
    #[error("{0}")]
    Syntax(String),
    #[error("no command given")]
    NoCommand,
    #[error("{first} and {second} can't go together")]
    Conflict { first: String, second: String },
    #[error("{command} needs {option}")]
    Missing { command: String, option: String },
    #[error("{option} has no meaning with {command}")]
    Illegal { command: String, option: String },
    #[error("{0} is not supported by this version")]
    Unsupported(String),
    #[error("`{0}' is no address: a host name or address is needed, and a port after a colon; IPv6 as [address]:port")]
    Address(String),
    #[error("`{0}' is no host name or address")]
    Host(String),
    #[error("`{port}' is no port: a number up to 65535 or the name of a service is needed")]
    Port { port: String },
    #[error("`{0}' is no scheduler's name")]
    Scheduler(String),
    #[error("`{0}' is no persistence engine's name")]
    Engine(String),
    #[error(
        "`{0}' is no mark for packets: VALUE or VALUE/MASK is needed, the value within the mask"
    )]
    Label(String),
    #[error("`{flag}' is no scheduler flag: there are {known}")]
    Flag { flag: String, known: String },
    #[error("the scheduler flag `{flag}' is not one of {scheduler}'s")]
    ForeignFlag { flag: String, scheduler: String },
    #[error("-b needs scheduler flags with {0}")]
    NoFlags(String),
    #[error("-b takes no value with {0}, where it means --fullnat")]
    FullnatValue(String),
    #[error(
        "`{0}' is no mask: for IPv4 it is as 255.255.255.0, for IPv6 a prefix length of 1 to 128"
    )]
    Mask(String),
    #[error("{0} can't stand among rules")]
    NotARule(String),
}

/// What went wrong between rlvsadm and the module.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("the rlvs module is not loaded: load it with `modprobe rlvs' or `insmod rlvs.ko'")]
    NotLoaded,
    #[error("permission denied: only root, or who has CAP_NET_ADMIN, may do this")]
    Permission,
    /// The module says in its own words why not.
    #[error("{text}")]
    Refused { errno: i32, text: String },
    /// The module says no with an error number only.
    #[error("{}", io::Error::from_raw_os_error(*.errno))]
    Errno { errno: i32 },
    #[error("the tables kept changing while they were read; try again")]
    Interrupted,
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
    #[error("the module's answer makes no sense: {0}")]
    Answer(String),
}

impl LinkError {
    /// The error number of a refusal.
    pub fn errno(&self) -> Option<i32> {
        match self {
            LinkError::Refused { errno, .. } | LinkError::Errno { errno } => Some(*errno),
            LinkError::Permission => Some(libc::EPERM),
            _ => None,
        }
    }
}

impl From<nlattr::Error> for LinkError {
    fn from(error: nlattr::Error) -> Self {
        LinkError::Answer(error.to_string())
    }
}
