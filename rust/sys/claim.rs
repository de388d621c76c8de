// SPDX-License-Identifier: GPL-2.0

//! IPVS's names, which the kernel's own ip_vs and rlvs can't both have.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use kernel::error::to_result;
use kernel::prelude::*;

use crate::ffi;

/// IPVS's names are rlvs's: ip_vs can't be loaded before this is dropped.
///
/// # Invariants
///
/// Exists only after `rlvs_claim` succeeded.
pub(crate) struct Claim(());

impl Claim {
    /// Takes the names, unless they are not wanted (0) or ip_vs has them.
    pub(crate) fn new(wanted: u8) -> Result<Option<Self>> {
        match wanted {
            0 => return Ok(None),
            1 => {}
            _ => {
                pr_err!("the parameter doors is 0 or 1\n");
                return Err(EINVAL);
            }
        }
        // SAFETY: Called once, at the module's start.
        match to_result(unsafe { ffi::rlvs_claim() }) {
            // INVARIANT: It succeeded.
            Ok(()) => Ok(Some(Self(()))),
            Err(EEXIST) => {
                pr_info!(
                    "ip_vs is loaded: its tools go on to find it, and rlvs by rlvsadm alone\n"
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: It succeeded, by the type's invariant.
        unsafe { ffi::rlvs_unclaim() };
    }
}
