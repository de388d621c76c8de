// SPDX-License-Identifier: GPL-2.0

//! The doors to the configuration: generic netlink. They have no logic of their own.

mod dump;
mod fault;
mod genl;
mod read;
mod write;

use kernel::prelude::*;

use crate::sys::genl::Registration as Family;

/// The open netlink family; dropping it closes it.
pub(crate) type Registration = Family<genl::Rlvs>;

/// Opens the netlink family in every network namespace.
pub(crate) fn register(module: &'static ThisModule) -> Result<Registration> {
    Family::new(module)
}
