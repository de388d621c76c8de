// SPDX-License-Identifier: GPL-2.0

//! The real servers by what their answers name, as packets look for them: IPVS's `rs_table`, of
//! NAT alone. There is one as long as somebody wants it; the worker makes it.

use core::cmp::Reverse;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::Arc;

use super::scheduler::Service;
use super::{of, Dest, Member, Rules, ServiceId, Services};
use crate::engine::Engine;
use crate::sys::rcu::{self, Rcu, RcuBox, RcuCell};
use crate::wire::uapi::fwd;

/// So many servers are listed anew with each change.
const FEW: usize = 1024;

/// Address, port and protocol; protocol 0: any, of a service by mark.
type Name = (IpAddr, u16, u8);

/// A real server, in its role for a service.
pub(super) struct Server {
    name: Name,
    /// When it became one, see [`Member::since`].
    since: u64,
    service: ServiceId,
    dest: Arc<Dest>,
}

/// The real servers, by name; of those with one name the newest comes first.
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

    /// The server whose answer a packet of `proto` with this source may be. IPVS takes the one
    /// that was added last.
    fn find<'a>(
        &'a self,
        rcu: &'a Rcu,
        proto: u8,
        (addr, port): (IpAddr, u16),
    ) -> Option<&'a Server> {
        let list = self.list.get(rcu).map_or(&[][..], |list| list);
        let find = |proto| {
            let name = (addr, port, proto);
            let at = list.partition_point(|server| server.name < name);
            list.get(at).filter(|server| server.name == name)
        };
        let found = Iterator::chain(find(proto).into_iter(), find(0));
        found.max_by_key(|server| server.since)
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
            list.sort_unstable_by_key(|server| (server.name, Reverse(server.since)));
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
        self.servers.find(rcu, proto, from).is_some()
    }

    /// Counts a service whose engine was `before` and is `now`. The configuration's mutex is held.
    pub(super) fn count_engine(&self, v6: bool, before: Option<Engine>, now: Option<Engine>) {
        let calls = |engine: Option<Engine>| u32::from(engine.is_some_and(Engine::calls_out));
        let number = of(&self.engines, v6);
        let others = number.load(Ordering::Relaxed).wrapping_sub(calls(before));
        number.store(others.wrapping_add(calls(now)), Ordering::Relaxed);
    }

    /// Whether real servers of a family's services may call.
    #[inline]
    pub(crate) fn call_out(&self, v6: bool) -> bool {
        of(&self.engines, v6).load(Ordering::Relaxed) != 0
    }

    /// The real server that sent a packet of `proto` with this source, and its service, if it is
    /// one that he may call for: one that has a port, and goes by no mark (IPVS).
    pub(crate) fn caller<'a>(
        &'a self,
        rcu: &'a Rcu,
        proto: u8,
        from: (IpAddr, u16),
    ) -> Option<(&'a Service, &'a Arc<Dest>)> {
        let Server { service, dest, .. } = self.servers.find(rcu, proto, from)?;
        let is_nat = u32::from(dest.method()) == fwd::MASQ && dest.available();
        let has_port = !service.is_marked() && !service.is_wildcard() && dest.port != 0;
        let service = self.table.find(rcu, service)?;
        (is_nat && has_port).then_some((service, dest))
    }

    /// Whether the real servers are listed, or are to be because they may call.
    pub(crate) fn servers_matter(&self) -> bool {
        let calls = self.call_out(false) || self.call_out(true);
        calls || rcu::read(|rcu| self.servers.list.get(rcu).is_some())
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
        let done = self.rules.try_lock().is_some_and(|rules| {
            let list = wanted().then(|| rules.servers()).transpose();
            // With the lock, so that nobody puts an older list in its place.
            list.and_then(|list| self.servers.put(list)).is_ok()
        });
        if !done {
            self.servers.outdate();
        }
        done
    }

    /// The same for whoever has changed something, as long as there are so few that it takes no
    /// time; false: it is for the worker.
    pub(crate) fn list_few_servers(&self, wanted: impl FnOnce() -> bool) -> bool {
        let number = rcu::read(|rcu| self.servers.list.get(rcu).map_or(0, |list| list.len()));
        number <= FEW && self.list_servers(wanted)
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
            for Member { dest, since, .. } in entry.members().filter(nat) {
                let service = entry.service.id;
                let server = Server {
                    name: (dest.addr, dest.port, service.proto),
                    since: *since,
                    service,
                    dest: dest.clone(),
                };
                // There is room for it.
                let _ = servers.push_within_capacity(server);
            }
        }
        Ok(servers)
    }
}
