// SPDX-License-Identifier: GPL-2.0

//! The doors to the configuration: generic netlink, and what IPVS's tools look for besides. They have no logic of their own.

mod dump;
mod fault;
mod genl;
mod ipvs;
mod names;
mod proc;
mod read;
mod request;
mod sockopt;
mod write;

use kernel::prelude::*;

use crate::director::Director;
use crate::sys::claim::Claim;
use crate::sys::genl::Registration as Family;
use crate::sys::netns;
use crate::sys::pernet::Registration as PerNet;
use crate::sys::sockopt::Registration as Options;

/// The open doors; dropping it closes them.
pub(crate) struct Registration {
    _as_ipvs: Option<AsIpvs>,
    _family: Family<genl::Rlvs>,
}

/// Those by IPVS's names.
struct AsIpvs {
    _options: Options<sockopt::Ipvs>,
    _family: Family<ipvs::Ipvs>,
    _names: PerNet<names::Names>,
}

impl AsIpvs {
    fn new(module: &'static ThisModule, directors: &netns::Registration<Director>) -> Result<Self> {
        let _names = PerNet::new(directors)?;
        let _family = Family::new(module)?;
        let _options = Options::new()?;
        Ok(Self {
            _options,
            _family,
            _names,
        })
    }
}

/// Opens the doors in every network namespace, those by IPVS's names if they are `claimed`.
pub(crate) fn register(
    module: &'static ThisModule,
    directors: &netns::Registration<Director>,
    claimed: Option<&Claim>,
) -> Result<Registration> {
    let _family = Family::new(module)?;
    let as_ipvs = claimed.map(|_| AsIpvs::new(module, directors));
    Ok(Registration {
        _as_ipvs: as_ipvs.transpose()?,
        _family,
    })
}
