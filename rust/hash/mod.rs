// SPDX-License-Identifier: GPL-2.0
//! Hash functions: SipHash where the input comes from outside, Linux's multiplicative hash where IPVS uses it.
//!
//! Pure: `core` only.

pub(crate) mod golden;
pub(crate) mod siphash;
