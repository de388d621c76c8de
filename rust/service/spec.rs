// SPDX-License-Identifier: GPL-2.0

//! What a user says of a service.

use super::label::Label;
use crate::engine::Engine;
use crate::sched::persist::Persistence;
use crate::sched::{Flags, Kind};
use crate::wire::uapi::svc_flags;

/// What a user says of a service besides its identity.
#[derive(Clone, Copy)]
pub(crate) struct ServiceSpec {
    pub(crate) kind: Kind,
    /// Some of `wire::uapi::svc_flags`.
    pub(crate) flags: u32,
    /// Seconds of persistence, if it is persistent.
    pub(crate) timeout: u32,
    /// The granularity of persistence, as it came.
    pub(crate) netmask: [u8; 4],
    /// What tells the calls of a client apart, if it is persistent.
    pub(crate) engine: Option<Engine>,
    /// What its packets get.
    pub(crate) label: Label,
}

impl ServiceSpec {
    pub(super) fn sched_flags(&self) -> Flags {
        Flags {
            fallback: self.flags & svc_flags::FALLBACK != 0,
            port: self.flags & svc_flags::PORT != 0,
        }
    }

    /// Whether each datagram is scheduled by itself, and none remembered.
    pub(super) fn is_one_packet(&self) -> bool {
        self.flags & svc_flags::ONEPACKET != 0
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.flags & svc_flags::PERSISTENT != 0
    }

    /// How it is persistent, if it is.
    pub(super) fn persistence(&self) -> Option<Persistence> {
        self.is_persistent().then_some(Persistence {
            timeout: self.timeout,
            netmask: self.netmask,
            engine: self.engine,
        })
    }
}
