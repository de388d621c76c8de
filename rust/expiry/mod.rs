// SPDX-License-Identifier: GPL-2.0
//! When connections end: the clock, when a part of the index is to be looked at and how often all of it, who gives way
//! before his time, and IPVS's defences.
//!
//! Pure: `core` only.

pub(crate) mod clock;
pub(crate) mod defence;
pub(crate) mod pace;
pub(crate) mod quarters;
pub(crate) mod rank;
