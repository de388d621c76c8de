// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers around the kernel; with `ffi` the only place that holds `unsafe`.

pub(crate) mod lock;
pub(crate) mod rcu;
pub(crate) mod stats;
