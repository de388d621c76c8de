// SPDX-License-Identifier: GPL-2.0

//! What stands in a destination's place for connections that go past all of them, to the
//! address that they name (IPVS: `cache_bypass`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::dest::{Dest, DestSpec};
use super::id::DestId;
use super::label::Label;
use super::scheduler::{Pick, Service};
use super::Services;
use crate::pool::turn::Turn;
use crate::sys::quota::Account;
use crate::sys::rcu::Rcu;
use crate::wire::uapi::fwd;

/// For both families.
pub(super) struct Bypass {
    v4: Arc<Dest>,
    v6: Arc<Dest>,
    /// There are no local addresses to take turns.
    turn: Turn,
}

impl Bypass {
    pub(super) fn new(account: &Account) -> Result<Self> {
        Ok(Self {
            v4: nowhere(account, Ipv4Addr::UNSPECIFIED.into())?,
            v6: nowhere(account, Ipv6Addr::UNSPECIFIED.into())?,
            turn: Turn::default(),
        })
    }

    pub(super) fn pick(&self, v6: bool, one_packet: bool) -> Pick<'_> {
        let dest = if v6 { &self.v6 } else { &self.v4 };
        Pick::without_locals(dest, one_packet, &self.turn)
    }
}

/// It is listed as IPVS lists it: without address and port.
fn nowhere(account: &Account, addr: IpAddr) -> Result<Arc<Dest>> {
    let dest = Dest::new(account, DestId { addr, port: 0 })?;
    let spec = DestSpec {
        // CAST: three bits.
        method: fwd::BYPASS as u8,
        weight: 1,
        upper: 0,
        lower: 0,
    };
    dest.join(&spec, Label::default());
    Ok(Arc::new(dest, GFP_KERNEL_ACCOUNT)?)
}

impl Services {
    /// Makes it possible that connections go past all destinations. Sleeps.
    pub(crate) fn open_bypass(&self, account: &Account) -> Result {
        if self.bypass.get().is_none() {
            let bypass = Bypass::new(account)?;
            self.bypass.put(KVBox::new(bypass, GFP_KERNEL_ACCOUNT)?);
        }
        Ok(())
    }

    /// Whether it is.
    pub(crate) fn has_bypass(&self) -> bool {
        self.bypass.get().is_some()
    }

    /// What lets a connection of `service` go past all destinations, if that is possible: it is
    /// one by mark, since others are for addresses of this host.
    pub(crate) fn bypass<'a>(&'a self, rcu: &Rcu, service: &Service, v6: bool) -> Option<Pick<'a>> {
        let bypass = self.bypass.get().filter(|_| service.id.is_marked())?;
        Some(bypass.pick(v6, service.is_one_packet(rcu)))
    }
}
