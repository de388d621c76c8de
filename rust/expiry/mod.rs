// SPDX-License-Identifier: GPL-2.0
//! When connections end: the clock, when a part of the index is to be looked at, and who gives way before his time.
//!
//! Pure: `core` only.

pub(crate) mod clock;
pub(crate) mod quarters;
pub(crate) mod rank;
