// SPDX-License-Identifier: GPL-2.0

//! The machine that this runs on.

use super::net::Net;
use crate::ffi;

/// Bytes of memory.
pub(crate) fn ram_bytes() -> u64 {
    // SAFETY: Always callable.
    unsafe { ffi::rlvs_ram_bytes() }
}

/// Pages of memory that are free or hold blocks of devices, as IPVS counts.
pub(crate) fn free_pages() -> u64 {
    // SAFETY: Always callable.
    unsafe { ffi::rlvs_free_pages() }
}

/// Pages of memory that can hold what devices and the network bring, as IPVS counts.
pub(crate) fn buffer_pages() -> u64 {
    // SAFETY: Always callable.
    unsafe { ffi::rlvs_buffer_pages() }
}

/// Whether the administrator of `net` is the machine's, not only a container's.
pub(crate) fn owns(net: Net) -> bool {
    // SAFETY: The namespace is valid.
    unsafe { ffi::rlvs_net_is_initial_user(net.as_ptr()) }
}

/// Whether `net` is the machine's own.
pub(crate) fn is_first(net: Net) -> bool {
    // SAFETY: The namespace is valid.
    unsafe { ffi::rlvs_net_is_first(net.as_ptr()) }
}

/// The number of the user whose `net` is, as the machine knows him.
pub(crate) fn user(net: Net) -> u32 {
    // SAFETY: The namespace is valid, and holds its user namespaces.
    unsafe { ffi::rlvs_net_user(net.as_ptr()) }
}

/// The first processor from number `cpu` on that may be there.
pub(crate) fn processor_from(cpu: u32) -> Option<u32> {
    // SAFETY: Always callable.
    let found = unsafe { ffi::rlvs_cpu_from(cpu) };
    (found != u32::MAX).then_some(found)
}
