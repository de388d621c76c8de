// SPDX-License-Identifier: GPL-2.0
//! Local ports for FULLNAT.
//!
//! Pure: `core` only, no allocation.

pub(crate) mod ports;
