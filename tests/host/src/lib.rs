// SPDX-License-Identifier: GPL-2.0
//! The pure folders of the module, compiled for the host so that `cargo test` reaches them.
#![no_std]
#![allow(
    dead_code,
    unused_imports,
    reason = "the users of these folders are in the module"
)]

#[cfg(test)]
extern crate std;

#[path = "../../../rust/engine/mod.rs"]
mod engine;
#[path = "../../../rust/expiry/mod.rs"]
mod expiry;
#[path = "../../../rust/hash/mod.rs"]
mod hash;
#[path = "../../../rust/packet/mod.rs"]
mod packet;
#[path = "../../../rust/pool/mod.rs"]
mod pool;
#[path = "../../../rust/proto/mod.rs"]
mod proto;
#[path = "../../../rust/rates/mod.rs"]
mod rates;
#[path = "../../../rust/sched/mod.rs"]
mod sched;
#[path = "../../../rust/wire/mod.rs"]
mod wire;

#[cfg(test)]
mod properties;
