// SPDX-License-Identifier: GPL-2.0
//! What goes over netlink: the numbers of the protocol and a checked reader of attributes.
//!
//! Pure: `core` only. The module has this folder as `crate::wire`; rlvsadm and the host tests include the same files.

pub mod listing;
pub mod nlattr;
pub mod sockopt;
pub mod uapi;
