// SPDX-License-Identifier: GPL-2.0

//! The places of netfilter.

use crate::ffi;

/// Where in the stack a hook sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Place {
    /// Before routing.
    PreRouting = ffi::nf_inet_hooks_NF_INET_PRE_ROUTING,
    /// On the way to a local socket.
    LocalIn = ffi::nf_inet_hooks_NF_INET_LOCAL_IN,
    /// On the way through.
    Forward = ffi::nf_inet_hooks_NF_INET_FORWARD,
    /// From a local socket.
    LocalOut = ffi::nf_inet_hooks_NF_INET_LOCAL_OUT,
    /// On the way out.
    PostRouting = ffi::nf_inet_hooks_NF_INET_POST_ROUTING,
}
