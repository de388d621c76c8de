// SPDX-License-Identifier: GPL-2.0

//! Why packets of known flows do not go early, and how many.

use kernel::prelude::*;

use crate::sys::skb::NotReady;
use crate::sys::tally::{self, Tally};

/// Why a packet of a known flow does not go early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It has SYN.
    Syn,
    /// No packet of its side has come out behind the host's rules yet.
    Unmarked,
    /// It came in by another interface than those that have.
    Interface,
    /// IPsec has policies.
    Policy,
    /// The way out is not known, or not any more, or leads to this host.
    Path,
    /// It is too large for the way out.
    Size,
    /// Its TTL or hop limit has run out.
    Ttl,
    /// It has options or extension headers, or came in fragments.
    Form,
    /// The kernel would not forward it either.
    Refused,
    /// Connection tracking has to see it.
    Tracking,
}

impl From<NotReady> for Why {
    fn from(reason: NotReady) -> Self {
        match reason {
            NotReady::Refused => Self::Refused,
            NotReady::Interface => Self::Interface,
            NotReady::Path => Self::Path,
            NotReady::Size => Self::Size,
        }
    }
}

/// Packets of known flows that did not go early, by reason.
pub(crate) struct Late(Tally);

impl Late {
    /// None yet. May sleep.
    pub(super) fn new() -> Result<Self> {
        Tally::new().map(Self)
    }

    /// Counts one.
    #[cold]
    pub(crate) fn count(&self, why: Why) {
        self.0.count(why as usize);
    }

    /// So many there were, each at its reason's number.
    pub(crate) fn read(&self) -> [u64; tally::SIZE] {
        self.0.read()
    }
}
