// SPDX-License-Identifier: GPL-2.0

//! The real servers by what their answers name, as packets look for them: IPVS's `rs_table`, of
//! NAT alone. There is one as long as somebody wants it; the worker makes it.

use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;

use super::{Member, Rules, Services};
use crate::sys::rcu::{self, Rcu, RcuBox, RcuCell};
use crate::wire::uapi::fwd;

/// Address, port and protocol; protocol 0: any, of a service by mark.
pub(super) type Server = (IpAddr, u16, u8);

/// The real servers, in order.
pub(super) struct Servers {
    list: RcuCell<KVVec<Server>>,
    /// It is not what the configuration says any more.
    stale: AtomicBool,
}

impl Servers {
    pub(super) fn new() -> Self {
        Self {
            list: RcuCell::empty(),
            stale: AtomicBool::new(false),
        }
    }

    /// Whether a packet of `proto` with this source may be a real server's answer.
    pub(super) fn has(&self, rcu: &Rcu, proto: u8, (addr, port): (IpAddr, u16)) -> bool {
        let list = self.list.get(rcu).map_or(&[][..], |list| list);
        let find = |proto| list.binary_search(&(addr, port, proto)).is_ok();
        find(proto) || find(0)
    }

    /// Says that the configuration has changed.
    pub(super) fn outdate(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// Whether it has, since this was asked last.
    pub(super) fn is_outdated(&self) -> bool {
        self.stale.swap(false, Ordering::Acquire)
    }

    /// Puts another list in place, or none. May sleep.
    pub(super) fn put(&self, list: Option<KVVec<Server>>) -> Result {
        let bytes = |len: usize| len.saturating_mul(size_of::<Server>());
        let mut boxed = None;
        if let Some(mut list) = list {
            list.sort_unstable();
            boxed = Some(RcuBox::new(list, GFP_KERNEL_ACCOUNT)?);
        }
        let old = rcu::read(|rcu| self.list.get(rcu).map_or(0, |list| list.len()));
        self.list.replace_large(boxed, bytes(old));
        Ok(())
    }
}

impl Services {
    /// Whether a packet of `proto` with this source may be a real server's answer, as far as the
    /// servers are listed.
    pub(crate) fn has_server(&self, rcu: &Rcu, proto: u8, from: (IpAddr, u16)) -> bool {
        self.servers.has(rcu, proto, from)
    }

    /// Says that the real servers, or whether they are to be listed, may have changed.
    pub(crate) fn servers_changed(&self) {
        self.servers.outdate();
    }

    /// Lists the real servers anew if they have changed, or forgets them; false: not done, for
    /// want of memory or of the lock, which it does not wait for. Sleeps.
    pub(crate) fn list_servers(&self, wanted: impl FnOnce() -> bool) -> bool {
        if !self.servers.is_outdated() {
            return true;
        }
        let list = match wanted() {
            true => self
                .rules
                .try_lock()
                .and_then(|rules| rules.servers().ok())
                .map(Some),
            false => Some(None),
        };
        let done = list.is_some_and(|list| self.servers.put(list).is_ok());
        if !done {
            self.servers.outdate();
        }
        done
    }
}

impl Rules {
    /// The real servers that answer through here.
    fn servers(&self) -> Result<KVVec<Server>> {
        let entries = || self.entries.values();
        let number = entries().fold(0_usize, |sum, entry| {
            sum.saturating_add(entry.members().len())
        });
        let mut servers = KVVec::with_capacity(number, GFP_KERNEL_ACCOUNT)?;
        for entry in entries() {
            let nat = |member: &&Member| u32::from(member.dest.method()) == fwd::MASQ;
            for Member { dest, .. } in entry.members().filter(nat) {
                // There is room for it.
                let _ =
                    servers.push_within_capacity((dest.addr, dest.port, entry.service.id.proto));
            }
        }
        Ok(servers)
    }
}
