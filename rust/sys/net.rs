// SPDX-License-Identifier: GPL-2.0

//! A network namespace, as everything that works in one knows it.

use core::ptr::NonNull;
use kernel::bindings;

use crate::ffi;

/// A network namespace.
///
/// # Invariants
///
/// The namespace outlives every value: they are only handed out inside its hooks, its
/// requests and its own data.
#[derive(Clone, Copy)]
pub(crate) struct Net(NonNull<bindings::net>);

// SAFETY: A namespace belongs to no thread.
unsafe impl Send for Net {}
// SAFETY: What is done with the pointer is thread-safe by itself.
unsafe impl Sync for Net {}

impl Net {
    /// Wraps a namespace.
    ///
    /// # Safety
    ///
    /// `net` must be valid as long as the value or a copy of it is used.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(net: *mut bindings::net) -> Self {
        // SAFETY: Not null by the contract.
        Self(unsafe { NonNull::new_unchecked(net) })
    }

    /// Whether a port is for privileged servers: one below `net.ipv4.ip_unprivileged_port_start`.
    pub(crate) fn is_privileged(self, port: u16) -> bool {
        // SAFETY: The namespace is valid.
        unsafe { ffi::rlvs_port_is_privileged(self.as_ptr(), port) }
    }

    /// The namespace as C sees it.
    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut bindings::net {
        self.0.as_ptr()
    }
}
