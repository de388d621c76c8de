// SPDX-License-Identifier: GPL-2.0

//! What connection tracking, if there is any, knows of a packet.
//!
//! C header: [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h)

use super::skb::Packet;
use crate::ffi;

/// What connection tracking says about a packet that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// It does not see it.
    None,
    /// It knows the connection.
    Tracked,
    /// It refuses the packet.
    Refused,
}

impl Packet<'_> {
    /// Lets connection tracking, if there is any, keep what it knows of it: it has come to its
    /// end in the host's eyes.
    pub(crate) fn arrive(&mut self) -> Tracking {
        // SAFETY: Valid and ours by the invariant, inside a read side.
        match unsafe { ffi::rlvs_ct_arrive(self.raw()) } {
            ffi::RLVS_CT_NONE => Tracking::None,
            ffi::RLVS_CT_DROP => Tracking::Refused,
            _ => Tracking::Tracked,
        }
    }

    /// Whether connection tracking sees a connection begin with it, whose source the host's own
    /// NAT might still change.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_ct_is_open(self.raw()) }
    }

    /// Keeps the host's own NAT away from it.
    pub(crate) fn keep_addresses(&mut self) {
        if self.is_open() {
            // SAFETY: Valid and ours by the invariant, and tracked but not known yet.
            unsafe { ffi::rlvs_ct_keep(self.raw()) };
        }
    }

    /// Whether connection tracking, if it sees it, has seen the opening of its connection.
    pub(crate) fn is_settled(&mut self) -> bool {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_ct_settled(self.raw()) }
    }
}
