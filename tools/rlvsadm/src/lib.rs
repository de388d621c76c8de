// SPDX-License-Identifier: GPL-2.0
//! rlvsadm without its input and output: from words to requests, and from answers to text and JSON.
//!
//! The way through: `args` (what clap sees) → `command` (what is meant) → `request` (bytes for the module) →
//! `netlink` → `model` (what the module answers) → `text`, `save` or `json`. `run` and `restore` lead along it.

pub mod address;
pub mod args;
pub mod command;
pub mod error;
pub mod fetch;
pub mod fields;
pub mod flags;
pub mod json;
pub mod label;
pub mod link;
pub mod model;
pub mod names;
pub mod netlink;
pub mod persistence;
pub mod protocol;
pub mod request;
pub mod restore;
pub mod run;
pub mod save;
pub mod text;

#[path = "../../../rust/wire/mod.rs"]
pub mod wire;

#[cfg(test)]
mod completions;
#[cfg(test)]
mod testing;
