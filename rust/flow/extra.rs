// SPDX-License-Identifier: GPL-2.0

//! What few flows have: a local port, a template, an interface to go back to.

use core::sync::atomic::{AtomicBool, AtomicU32};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::calls::Call;
use super::template::{Hold, Tie};
use crate::service::PortSet;
use crate::sys::index::Side;

/// What few flows have, behind the one word that the others have for it.
///
/// It is made with its flow and stays as long, so whoever has the flow may read it; what changes
/// in it is atomic.
pub(crate) struct Extra {
    pub(super) own: Own,
    /// What ties a connection to its template, and a template to its connections.
    pub(super) tie: Option<Arc<Tie>>,
    /// The port went back there, and the template was told.
    pub(super) given: AtomicBool,
    /// The interface that answers must go back to, if the client's address does not tell; or 0.
    pub(super) link: u32,
}

const _: () = assert!(size_of::<Extra>() == 32);

/// What connections of a method, or templates of a kind, have; none has both.
pub(super) enum Own {
    /// FULLNAT.
    Local {
        /// Where the local port came from.
        ports: Arc<PortSet>,
        /// When connection tracking last saw a packet of each side.
        shown: [AtomicU32; 2],
    },
    /// What an engine has read in the packet that a template began with.
    Call(Option<KBox<Call>>),
}

impl Extra {
    /// When connection tracking last saw a packet of `side` (FULLNAT).
    pub(super) fn shown(&self, side: Side) -> Option<&AtomicU32> {
        let Own::Local { shown, .. } = &self.own else {
            return None;
        };
        let [first, second] = shown;
        Some(match side {
            Side::First => first,
            Side::Second => second,
        })
    }

    /// Where the local port came from (FULLNAT).
    pub(super) fn ports(&self) -> Option<&Arc<PortSet>> {
        match &self.own {
            Own::Local { ports, .. } => Some(ports),
            Own::Call(_) => None,
        }
    }

    /// What an engine has read for a template.
    pub(super) fn call(&self) -> Option<&Call> {
        match &self.own {
            Own::Local { .. } => None,
            Own::Call(call) => call.as_deref(),
        }
    }

    /// For a connection with local port `port` from `ports` (FULLNAT), whose client is behind
    /// interface `link` (0: its address tells), and which began by the template of `hold`.
    /// `None`: no memory; the port has gone back.
    pub(crate) fn boxed(
        ports: Option<Arc<PortSet>>,
        hold: Option<&Hold>,
        link: u32,
        port: u16,
    ) -> Option<KBox<Self>> {
        let set = ports.clone();
        let local = |ports| Own::Local {
            ports,
            shown: Default::default(),
        };
        let extra = Self {
            own: ports.map_or(Own::Call(None), local),
            tie: hold.map(Hold::tie),
            given: AtomicBool::new(false),
            link,
        };
        let boxed = KBox::new(extra, GFP_ATOMIC).ok();
        if boxed.is_none() {
            if let Some(set) = set {
                set.give(port);
            }
            if let Some(hold) = hold {
                hold.untie();
            }
        }
        boxed
    }

    /// What a template has, which gives nothing back.
    pub(super) fn of_template(tie: Arc<Tie>, call: Option<KBox<Call>>) -> Self {
        Self {
            own: Own::Call(call),
            tie: Some(tie),
            given: AtomicBool::new(true),
            link: 0,
        }
    }
}
