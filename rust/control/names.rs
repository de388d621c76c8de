// SPDX-License-Identifier: GPL-2.0

//! What a network namespace shows by IPVS's names.

use kernel::prelude::*;

use super::proc::Files;
use crate::config::IpvsSysctls;
use crate::director::Director;
use crate::sys::net::Net;
use crate::sys::netns;
use crate::sys::pernet::Local;

/// All of it; gone when dropped.
pub(super) struct Names {
    _files: Files,
    _settings: IpvsSysctls,
}

impl Local for Names {
    fn new(net: Net) -> Result<Self> {
        let director = netns::get::<Director>(&net).ok_or(ENODEV)?;
        Ok(Self {
            _files: Files::new(net)?,
            _settings: director.config.publish_as_ipvs(net)?,
        })
    }
}
