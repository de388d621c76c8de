// SPDX-License-Identifier: GPL-2.0

//! What few flows have: a local port, a template, an interface to go back to.

use core::sync::atomic::{AtomicBool, AtomicU32};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::template::{Hold, Tie};
use crate::service::PortSet;
use crate::sys::index::Side;

/// What few flows have, behind the one word that the others have for it.
///
/// It is made with its flow and stays as long, so whoever has the flow may read it; what changes
/// in it is atomic.
pub(crate) struct Extra {
    /// Where the local port came from (FULLNAT).
    pub(super) ports: Option<Arc<PortSet>>,
    /// What ties a connection to its template, and a template to its connections.
    pub(super) tie: Option<Arc<Tie>>,
    /// The port went back there, and the template was told.
    pub(super) given: AtomicBool,
    /// The interface that answers must go back to, if the client's address does not tell; or 0.
    pub(super) link: u32,
    /// When connection tracking last saw a packet of each side (FULLNAT).
    pub(super) shown: [AtomicU32; 2],
}

impl Extra {
    pub(super) fn shown(&self, side: Side) -> &AtomicU32 {
        let [first, second] = &self.shown;
        match side {
            Side::First => first,
            Side::Second => second,
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
        let extra = Self {
            ports,
            tie: hold.map(Hold::tie),
            given: AtomicBool::new(false),
            link,
            shown: Default::default(),
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
    pub(super) fn of_template(tie: Arc<Tie>) -> Self {
        Self {
            ports: None,
            tie: Some(tie),
            given: AtomicBool::new(true),
            link: 0,
            shown: Default::default(),
        }
    }
}
