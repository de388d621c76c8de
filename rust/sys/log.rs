// SPDX-License-Identifier: GPL-2.0

//! The kernel's log, for what packets cause.

use core::net::IpAddr;
use core::ptr;
use kernel::prelude::*;

use crate::ffi;

/// Writes what IPVS writes when the scheduler of a service finds nobody, as often as the kernel's
/// own rate for messages about packets allows. The service has a mark, or else protocol, address
/// and port.
#[cold]
pub(crate) fn scheduler(name: &str, mark: u32, proto: u8, addr: IpAddr, port: u16, text: &str) {
    let (v4, v6) = match addr {
        IpAddr::V4(addr) => (addr.octets(), None),
        IpAddr::V6(addr) => ([0; 4], Some(addr.octets())),
    };
    let v6 = v6.as_ref().map_or(ptr::null(), |addr| addr.as_ptr());
    // CAST: texts of a few bytes.
    let (name_len, text_len) = (name.len() as c_int, text.len() as c_int);
    // SAFETY: Texts with their lengths, and addresses of 4 and 16 bytes or
    // none, all of which are only read.
    unsafe {
        ffi::rlvs_log_scheduler(
            name.as_ptr().cast(),
            name_len,
            mark,
            proto,
            v4.as_ptr(),
            v6,
            port,
            text.as_ptr().cast(),
            text_len,
        );
    }
}
