// SPDX-License-Identifier: GPL-2.0

//! `/proc/sys/net/rlvs`.

use kernel::prelude::*;

use crate::config::Config;
use crate::director::Director;
use crate::sys::net::Net;
use crate::sys::netns;
use crate::sys::sysctl::{Published, Reading};

/// The folder of a namespace; gone when dropped.
pub(crate) struct Sysctls(#[expect(dead_code, reason = "kept for its drop")] Published<Conns, 4>);

impl Sysctls {
    /// Shows the settings of `config` in `net`.
    pub(crate) fn new(net: Net, config: &Config) -> Result<Self> {
        Published::new(net, c"net/rlvs", config.values.clone()).map(Self)
    }
}

/// `conns`: the number of connections.
struct Conns;

impl Reading for Conns {
    const NAME: &'static CStr = c"conns";

    fn read(net: &Net) -> u64 {
        netns::get::<Director>(net).map_or(0, Director::conns)
    }
}
