// SPDX-License-Identifier: GPL-2.0
//! What is handed out and comes back: local ports for FULLNAT, numbers of places.
//!
//! Pure: `core` only, no allocation.

pub(crate) mod numbers;
pub(crate) mod ports;
pub(crate) mod turn;
