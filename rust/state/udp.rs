// SPDX-License-Identifier: GPL-2.0
//! UDP's only state.

/// Its name in listings.
pub(crate) const NAME: &str = "UDP";

/// Seconds without a packet after which a flow expires, unless the user sets another value.
pub(super) const TIMEOUT: u32 = 300;
