// SPDX-License-Identifier: GPL-2.0

//! The Linux Virtual Server as a loadable module: NAT, DR, TUN and FULLNAT.

use core::net::{Ipv4Addr, Ipv6Addr};
use kernel::c_str;
use kernel::prelude::*;

mod config;
mod control;
mod datapath;
mod director;
mod engine;
mod expiry;
mod ffi;
mod flow;
mod forward;
mod hash;
mod packet;
mod pool;
mod proto;
mod rates;
mod sched;
mod service;
mod sys;
#[expect(unreachable_pub, reason = "the tool takes the same files")]
mod wire;

use director::Director;
use flow::Flow;
use sys::claim::Claim;
use sys::{index, netdev, netns, quota, rcu, slab};

module! {
    type: Rlvs,
    name: "rlvs",
    authors: ["The rlvs authors"],
    description: "Linux Virtual Server with FULLNAT",
    license: "GPL",
    alias: ["net-pf-16-proto-16-family-RLVS"],
    params: {
        quota: u32 {
            default: 100,
            description: "Percent of what the memory allows all user namespaces together (0 to 100)",
        },
        doors: u8 {
            default: 1,
            description: "Whether IPVS's own tools find rlvs (1), or rlvs keeps to its own names (0)",
        },
    },
}

/// The module; fields stand in drop order: no new requests, no events, then no namespaces, then
/// nothing that RCU still has to free, then the memory that it came from; then IPVS may come.
struct Rlvs {
    _control: control::Registration,
    _devices: netdev::Watch<Director>,
    _directors: netns::Registration<Director>,
    _deferred: rcu::Barrier,
    _flows4: slab::OpenPool,
    _flows6: slab::OpenPool,
    _tables: [slab::OpenPool; 2],
    _users: quota::Users,
    _claim: Option<Claim>,
}

impl kernel::Module for Rlvs {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // Before there are namespaces.
        quota::set(*module_parameters::quota.value_ref())?;
        let claim = Claim::new(*module_parameters::doors.value_ref())?;
        let users = quota::open();
        let tables = index::open_tables()?;
        let flows4 = index::open_pool::<Flow<Ipv4Addr>>(c_str!("rlvs_flow4"))?;
        let flows6 = index::open_pool::<Flow<Ipv6Addr>>(c_str!("rlvs_flow6"))?;
        let deferred = rcu::Barrier;
        let directors = netns::Registration::new()?;
        let devices = netdev::Watch::new(&directors)?;
        let control = control::register(module, &directors, claim.as_ref())?;
        Ok(Self {
            _control: control,
            _devices: devices,
            _directors: directors,
            _deferred: deferred,
            _flows4: flows4,
            _flows6: flows6,
            _tables: tables,
            _users: users,
            _claim: claim,
        })
    }
}
