// SPDX-License-Identifier: GPL-2.0
//! Hash functions: a keyed one for the tables, and those of Linux where IPVS uses them; how a table is walked through and how large it is.
//!
//! Pure: `core` only.

pub(crate) mod cursor;
pub(crate) mod folded;
pub(crate) mod golden;
pub(crate) mod siphash;
pub(crate) mod size;
