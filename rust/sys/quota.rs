// SPDX-License-Identifier: GPL-2.0

//! What all namespaces of ordinary users may have together.
//!
//! Whoever owns a user namespace rules network namespaces of his own, as many as he likes, and
//! what he configures there takes the machine's memory. Where the kernel can tell who asks it
//! is charged to his memory cgroup besides; flows are made by packets, for which nobody is
//! charged. So there is one count for all of them, whose bound is a few thousandths of the
//! memory for each kind of thing. Namespaces of the machine's own user namespace, whose
//! administrator rules the machine, are not counted.
//!
//! So that nobody takes all from the others, a user may take one more as long as he has less
//! than is free: one alone gets half, and who comes next half of what is left, until the first
//! lets go of what he has more. Namespaces that lie in each other's count for him who made the
//! outermost. Who has several user numbers of the machine (`/etc/subuid`) can be several users.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNode};
use kernel::sync::Arc;

use super::host;
use super::net::Net;

/// A bound for all namespaces of ordinary users together, and how much of it is taken.
pub(crate) struct Quota {
    taken: AtomicUsize,
    /// There may be one for each two to the power of so many bytes of memory.
    shift: u32,
    /// Where a user's record counts what he has of it.
    kind: usize,
}

/// How many quotas there are.
const KINDS: usize = 6;

/// A user with namespaces of his own.
struct User {
    /// How many namespaces he has; changed under the lock of [`USERS`].
    namespaces: AtomicUsize,
    /// What he has of each quota.
    held: [AtomicUsize; KINDS],
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `open`, before there are namespaces.
    unsafe(uninit) static USERS: Mutex<Option<RBTree<u32, Arc<User>>>> = None;
}

/// Keeps the list of users; to be dropped after the last namespace and all that it had.
pub(crate) struct Users;

/// Gets the list of users ready. To be called once.
pub(crate) fn open() -> Users {
    // SAFETY: The module calls this once, first of all.
    unsafe { USERS.init() };
    Users
}

impl Drop for Users {
    fn drop(&mut self) {
        *USERS.lock() = None;
    }
}

/// Who pays for what a namespace has; nobody does for the machine's own namespaces.
pub(crate) struct Account(Option<Arc<User>>);

impl Account {
    /// That of `net`, which is being made. Sleeps.
    pub(crate) fn new(net: Net) -> Result<Self> {
        if host::owns(net) {
            return Ok(Self(None));
        }
        let number = host::user(net);
        // Before the lock: memory may be slow to come.
        let user = User {
            namespaces: AtomicUsize::new(0),
            held: [const { AtomicUsize::new(0) }; KINDS],
        };
        let user = Arc::new(user, GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(number, user.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut users = USERS.lock();
        let users = users.get_or_insert_with(RBTree::new);
        let user = match users.get(&number) {
            Some(known) => known.clone(),
            None => {
                users.insert(node);
                user
            }
        };
        user.namespaces.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Some(user)))
    }
}

impl Drop for Account {
    /// A user without namespaces is forgotten when the last of what he had is gone, which may be
    /// later: then when the next namespace ends.
    fn drop(&mut self) {
        let Some(user) = &self.0 else {
            return;
        };
        let mut users = USERS.lock();
        user.namespaces.fetch_sub(1, Ordering::Relaxed);
        let Some(users) = users.as_mut() else {
            return;
        };
        while let Some(number) = unneeded(users) {
            users.remove(&number);
        }
    }
}

/// One of the users that may be forgotten.
fn unneeded(users: &RBTree<u32, Arc<User>>) -> Option<u32> {
    let mut users = users.iter();
    users
        .find(|(_, user)| !user.is_needed())
        .map(|(&number, _)| number)
}

impl User {
    fn is_needed(&self) -> bool {
        let holds = |held: &AtomicUsize| held.load(Ordering::Relaxed) != 0;
        self.namespaces.load(Ordering::Relaxed) != 0 || self.held.iter().any(holds)
    }

    fn held(&self, quota: &Quota) -> &AtomicUsize {
        let [first, others @ ..] = &self.held;
        match quota.kind {
            0 => first,
            kind => others.get(kind.wrapping_sub(1)).unwrap_or(first),
        }
    }
}

/// What the operator leaves of the bounds, in percent.
static PERCENT: AtomicU32 = AtomicU32::new(100);

/// Lowers all bounds to so many percent. To be called before there are namespaces.
pub(crate) fn set(percent: u32) -> Result {
    if percent > 100 {
        pr_err!("the parameter quota is a percentage: 0 to 100\n");
        return Err(EINVAL);
    }
    PERCENT.store(percent, Ordering::Relaxed);
    Ok(())
}

/// Flows: of 64 or 128 bytes, and their entries; what persistence engines have read counts as some more.
pub(crate) static FLOWS: Quota = Quota::new(15, 0);
/// Services, and tables of flows: a service may have a scheduler's table of 16 kB.
pub(crate) static SERVICES: Quota = Quota::new(22, 1);
/// Destinations, with their counters for each processor.
pub(crate) static DESTS: Quota = Quota::new(18, 2);
/// Sets of ports, of 9 kB each.
pub(crate) static SETS: Quota = Quota::new(22, 3);
/// Local addresses of services, and each once more for every destination.
pub(crate) static SOURCES: Quota = Quota::new(16, 4);
/// Destinations that schedulers remember for an address, of about 128 bytes.
pub(crate) static REMEMBERED: Quota = Quota::new(16, 5);

impl Quota {
    const fn new(shift: u32, kind: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            shift,
            kind,
        }
    }

    /// How many there may be.
    fn bound(&self) -> usize {
        let most = host::ram_bytes() >> self.shift;
        let percent = PERCENT.load(Ordering::Relaxed);
        // CAST: a machine of 64 bits.
        (most.saturating_mul(percent.into()) / 100) as usize
    }

    /// Whether a user who has `held` of `bound` has as many as are still free, or more, when
    /// `taken` are in use.
    fn is_used_up(held: usize, taken: usize, bound: usize) -> bool {
        held.saturating_add(taken) >= bound
    }

    /// Takes one for a namespace; `ENOSPC`: there are as many as its user may have.
    pub(crate) fn take(&'static self, account: &Account) -> Result<Taken> {
        let Some(user) = &account.0 else {
            return Ok(Taken(None));
        };
        let held = user.held(self).fetch_add(1, Ordering::Relaxed);
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        // It goes back if there is none.
        let one = Taken(Some((self, user.clone())));
        if Self::is_used_up(held, taken, self.bound()) {
            return Err(ENOSPC);
        }
        Ok(one)
    }
}

/// One of what a quota bounds, given back when dropped.
pub(crate) struct Taken(Option<(&'static Quota, Arc<User>)>);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some((quota, user)) = &self.0 {
            quota.taken.fetch_sub(1, Ordering::Relaxed);
            user.held(quota).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A namespace's part in a quota that is counted in the way of packets.
#[derive(Clone)]
pub(crate) struct Part {
    /// Nothing is counted for the machine's own namespaces.
    of: Option<(&'static Quota, Arc<User>)>,
    bound: usize,
}

impl Part {
    /// The part of a namespace.
    pub(crate) fn new(quota: &'static Quota, account: &Account) -> Self {
        Self {
            of: account.0.clone().map(|user| (quota, user)),
            bound: quota.bound(),
        }
    }

    /// Whether there are as many as the namespace's user may have.
    #[inline]
    pub(crate) fn is_used_up(&self) -> bool {
        self.of.as_ref().is_some_and(|(quota, user)| {
            let held = user.held(quota).load(Ordering::Relaxed);
            let taken = quota.taken.load(Ordering::Relaxed);
            Quota::is_used_up(held, taken, self.bound)
        })
    }

    /// Counts `number` that are made.
    #[inline(always)]
    pub(crate) fn add(&self, number: usize) {
        if let Some((quota, user)) = &self.of {
            quota.taken.fetch_add(number, Ordering::Relaxed);
            user.held(quota).fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Counts `number` that are gone.
    #[inline(always)]
    pub(crate) fn sub(&self, number: usize) {
        if let Some((quota, user)) = &self.of {
            quota.taken.fetch_sub(number, Ordering::Relaxed);
            user.held(quota).fetch_sub(number, Ordering::Relaxed);
        }
    }
}
