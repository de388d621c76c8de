// SPDX-License-Identifier: GPL-2.0

//! What IPVS's files and socket options show of services.

use super::entry::{Entry, Member};
use super::{Rules, Services};
use crate::sys::rcu;

impl Services {
    /// How many buckets their table has.
    pub(crate) fn buckets(&self) -> u64 {
        rcu::read(|rcu| self.table.buckets(rcu)) as u64
    }
}

impl Rules {
    /// The services of IPv4, oldest first.
    pub(crate) fn each_ipv4(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.values();
        entries.filter(|entry| entry.service().id.addr.is_ipv4())
    }
}

impl Entry {
    /// The destinations that came before the one with serial number `serial`, newest first; 0: all.
    pub(crate) fn members_before(&self, serial: u64) -> impl Iterator<Item = (u64, &Member)> {
        let end = match serial {
            0 => self.members.len(),
            serial => self.members.partition_point(|m| m.serial < serial),
        };
        let members = self.members.iter().take(end).rev();
        members.map(|member| (member.serial, member))
    }
}
