// SPDX-License-Identifier: GPL-2.0

//! The local ports of FULLNAT, and which services share them.
//!
//! A local port may serve as many connections at once as their other ends differ. So there is
//! one set of ports for each protocol, local address, real server and its port, whichever
//! services have that destination. A destination that keeps the packet's port has one set for
//! all ports; it can't share its real server and local address with one that names a port, or
//! both could hand out the same port for the same other end.

use core::mem::swap;
use core::net::IpAddr;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;

use super::id::DestId;
use super::refusal::{refuse, Outcome};
use super::tree::retain;
use crate::pool::ports::{words, Ports};
use crate::proto;
use crate::sys::lock::BhLock;
use crate::sys::quota::{Account, Taken, SETS};
use crate::sys::rcu;

/// What a set of ports is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortKey {
    /// 0: any, of a service by mark.
    pub(super) proto: u8,
    /// The local address.
    pub(super) local: IpAddr,
    /// The real server.
    pub(super) addr: IpAddr,
    /// Its port, host order; 0: any.
    pub(super) port: u16,
}

impl PortKey {
    /// Ports of `local` towards a destination.
    pub(super) fn new(proto: u8, local: IpAddr, dest: &DestId) -> Self {
        Self {
            proto,
            local,
            addr: dest.addr,
            port: dest.port,
        }
    }
}

/// The local ports towards one real server, from one local address.
#[pin_data]
pub(crate) struct PortSet {
    key: PortKey,
    _quota: Taken,
    #[pin]
    ports: BhLock<Store>,
}

/// How many of a set's ports are looked at for one that may be taken away.
pub(super) const LOOK: usize = 8;

/// A local port that is handed out.
pub(crate) struct Held {
    /// Host order.
    pub(crate) port: u16,
    /// The port at the real server that it talks to.
    pub(crate) peer: u16,
    /// The protocol; 0: not known.
    pub(crate) proto: u8,
}

/// Ports, and for sets of all ports at the real server, to which of them each was handed out.
struct Store {
    ports: Ports<KVVec<u64>>,
    first: u16,
    peers: KVVec<u16>,
}

impl Store {
    /// All ports of the range, free.
    fn new(key: &PortKey, (min, max): (u16, u16)) -> Result<Self> {
        let free = KVVec::from_elem(0, words(min, max), GFP_KERNEL_ACCOUNT)?;
        let peers = match (key.port, max.checked_sub(min)) {
            (0, Some(span)) => usize::from(span).saturating_add(1),
            _ => 0,
        };
        Ok(Self {
            ports: Ports::new(free, min, max),
            first: min,
            peers: KVVec::from_elem(0, peers, GFP_KERNEL_ACCOUNT)?,
        })
    }

    fn take(&mut self, peer: u16) -> Option<u16> {
        let port = self.ports.take()?;
        let index = usize::from(port.saturating_sub(self.first));
        if let Some(place) = self.peers.get_mut(index) {
            *place = peer;
        }
        Some(port)
    }

    fn held(&self, steps: usize, key: &PortKey) -> Option<Held> {
        let port = self.ports.eldest(u16::try_from(steps).ok()?)?;
        let index = usize::from(port.saturating_sub(self.first));
        let peer = self.peers.get(index).copied().unwrap_or(key.port);
        let proto = key.proto;
        Some(Held { port, peer, proto })
    }
}

impl PortSet {
    fn new(key: PortKey, quota: Taken, store: Store) -> impl PinInit<Self> {
        pin_init!(Self {
            key,
            _quota: quota,
            ports <- BhLock::new(store),
        })
    }

    /// The next free port, host order, for a connection to port `peer` at the real server.
    pub(crate) fn take(&self, peer: u16) -> Option<u16> {
        self.ports.with(|store| store.take(peer))
    }

    /// Gives back a port when its connection is gone.
    pub(crate) fn give(&self, port: u16) {
        self.ports.with(|store| store.ports.give(port));
    }

    /// The ports that were handed out longest ago; some of the places may be empty.
    pub(super) fn eldest(&self) -> [Option<Held>; LOOK] {
        self.ports
            .with(|store| core::array::from_fn(|steps| store.held(steps, &self.key)))
    }

    /// Lets [`Self::eldest`] go on behind those that it gave last.
    pub(super) fn pass_by(&self) {
        // CAST: LOOK is small.
        self.ports.with(|store| store.ports.pass(LOOK as u16));
    }

    /// How many ports are taken.
    pub(super) fn used(&self) -> u32 {
        self.ports.with(|store| store.ports.used())
    }

    /// Sets the range, unless a port is taken.
    fn set_range(&self, range: (u16, u16)) -> Result {
        let mut fresh = Store::new(&self.key, range)?;
        self.ports.with(|store| {
            if store.ports.used() == 0 {
                swap(store, &mut fresh);
            }
        });
        Ok(())
    }
}

/// A set with those who configure with it.
struct Share {
    set: Arc<PortSet>,
    /// Pairs of destination and local address that use it.
    users: u32,
    /// Found without users and taken ports, and not wanted since.
    idle: bool,
}

/// All sets of a network namespace. They outlive their users as long as ports are taken.
pub(super) struct PortSets(RBTree<PortKey, Share>);

impl PortSets {
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// The set for `key`; a new one, or one that nobody uses, gets the ports of `range`.
    pub(super) fn acquire(
        &mut self,
        account: &Account,
        key: PortKey,
        range: (u16, u16),
    ) -> Outcome<Arc<PortSet>> {
        if let Some(share) = self.0.get_mut(&key) {
            if share.users == 0 {
                share.set.set_range(range)?;
            }
            share.users = share.users.saturating_add(1);
            share.idle = false;
            return Ok(share.set.clone());
        }
        if self.conflicts(&key) {
            self.tidy();
        }
        if self.conflicts(&key) {
            return refuse(
                EBUSY,
                c"another service, or a connection of one that is gone, uses this real server with this local address for other ports or protocols: use another local address",
            );
        }
        let quota = SETS.take(account)?;
        let store = Store::new(&key, range)?;
        let set = Arc::pin_init(PortSet::new(key, quota, store), GFP_KERNEL_ACCOUNT)?;
        let share = Share {
            set: set.clone(),
            users: 1,
            idle: false,
        };
        self.0
            .insert(RBTreeNode::new(key, share, GFP_KERNEL_ACCOUNT)?);
        Ok(set)
    }

    /// Whether another set could hand out the same port for the same other end: one for all
    /// ports where `key` names one, for all protocols where it names one, or the other way round.
    fn conflicts(&self, key: &PortKey) -> bool {
        let others: &[u8] = match key.proto {
            0 => &proto::ALL,
            _ => &[0],
        };
        self.overlaps(key)
            || others.iter().any(|&proto| {
                let key = PortKey { proto, ..*key };
                self.0.get(&key).is_some() || self.overlaps(&key)
            })
    }

    /// Whether there is a set for all ports where `key` names one, or the other way round.
    fn overlaps(&self, key: &PortKey) -> bool {
        let any = PortKey { port: 0, ..*key };
        let first = self.0.cursor_lower_bound(&any);
        first.is_some_and(|first| {
            let found = first.current().0;
            PortKey { port: 0, ..*found } == any && (found.port == 0 || key.port == 0)
        })
    }

    /// Ends a use.
    pub(super) fn release(&mut self, set: &PortSet) {
        if let Some(share) = self.0.get_mut(&set.key) {
            share.users = share.users.saturating_sub(1);
        }
    }

    /// Whether somebody configures with each of them.
    pub(super) fn all_used(&self) -> bool {
        self.0.values().all(|share| share.users != 0)
    }

    /// Drops what nobody uses, at once. Sleeps.
    fn tidy(&mut self) {
        if self.find_idle() {
            rcu::synchronize();
            self.drop_idle();
        }
    }

    /// Looks for sets that can go after a grace period; says whether there are any.
    pub(super) fn find_idle(&mut self) -> bool {
        let mut any = false;
        for share in self.0.values_mut() {
            share.idle = share.users == 0 && share.set.used() == 0;
            any |= share.idle;
        }
        any
    }

    /// Drops the sets that [`Self::find_idle`] found and that are idle still: nobody who saw
    /// them in use is left, so nobody takes a port from them any more.
    pub(super) fn drop_idle(&mut self) {
        retain(&mut self.0, |share| !(share.idle && share.set.used() == 0));
    }
}
