// SPDX-License-Identifier: GPL-2.0
//! Hash functions: a keyed one for the flow index, SipHash for the rest that comes from outside, Linux's multiplicative
//! hash where IPVS uses it.
//!
//! Pure: `core` only.

pub(crate) mod folded;
pub(crate) mod golden;
pub(crate) mod siphash;
