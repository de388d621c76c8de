// SPDX-License-Identifier: GPL-2.0

//! The Linux Virtual Server as a loadable module: NAT, DR, TUN and FULLNAT.

use kernel::prelude::*;

mod ffi;
mod hash;
mod packet;
mod sys;

module! {
    type: Rlvs,
    name: "rlvs",
    authors: ["The rlvs authors"],
    description: "Linux Virtual Server with FULLNAT",
    license: "GPL",
}

struct Rlvs;

impl kernel::Module for Rlvs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
