// SPDX-License-Identifier: GPL-2.0
//! Persistence: how long a client stays with the same server, and which clients count as one.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Serialize, Serializer};

use crate::address::Family;
use crate::error::Usage;
use crate::wire::uapi::PE_NAME_MAX;

/// Seconds of persistence if none are given, as in ipvsadm.
pub const DEFAULT_TIMEOUT: u32 = 360;

/// How a service is persistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Persistence {
    /// Seconds.
    pub timeout: u32,
    pub mask: Mask,
}

/// Which clients count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    V4(Ipv4Addr),
    /// The length of a prefix.
    V6(u32),
}

impl Mask {
    /// Each client by himself.
    pub fn host(family: Family) -> Self {
        match family {
            Family::IPv4 => Mask::V4(Ipv4Addr::BROADCAST),
            Family::IPv6 => Mask::V6(128),
        }
    }

    /// What stands behind `-M` for services of a family.
    pub fn parse(text: &str, family: Family) -> Result<Self, Usage> {
        let mask = match family {
            Family::IPv4 => text.parse().ok().map(Mask::V4),
            Family::IPv6 => prefix(text).map(Mask::V6),
        };
        mask.ok_or_else(|| Usage::Mask(text.to_owned()))
    }

    /// The bytes by which netlink has it.
    pub fn bytes(self) -> [u8; 4] {
        match self {
            Mask::V4(mask) => mask.octets(),
            Mask::V6(prefix) => prefix.to_ne_bytes(),
        }
    }

    /// The mask that netlink has for services of a family.
    pub fn from_bytes(bytes: [u8; 4], family: Family) -> Self {
        match family {
            Family::IPv4 => Mask::V4(bytes.into()),
            Family::IPv6 => Mask::V6(u32::from_ne_bytes(bytes)),
        }
    }

    /// What is listed of it: nothing if each client stands by himself.
    pub fn listed(self) -> Option<Self> {
        let whole = [Family::IPv4, Family::IPv6].map(Mask::host);
        (!whole.contains(&self)).then_some(self)
    }
}

/// The name of a persistence engine; whether the module knows it is for the module to say.
pub fn engine(name: &str) -> Result<String, Usage> {
    let fits = (1..=PE_NAME_MAX).contains(&name.len());
    match fits && name.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(name.to_owned()),
        false => Err(Usage::Engine(name.to_owned())),
    }
}

fn prefix(text: &str) -> Option<u32> {
    let prefix = text.parse().ok()?;
    (1..=128).contains(&prefix).then_some(prefix)
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::V4(mask) => mask.fmt(f),
            Mask::V6(prefix) => prefix.fmt(f),
        }
    }
}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_go_by_the_family() {
        for (text, family, bytes) in [
            ("255.255.255.0", Family::IPv4, [255, 255, 255, 0]),
            ("255.0.255.0", Family::IPv4, [255, 0, 255, 0]),
            ("0.0.0.0", Family::IPv4, [0; 4]),
            ("1", Family::IPv6, 1_u32.to_ne_bytes()),
            ("128", Family::IPv6, 128_u32.to_ne_bytes()),
        ] {
            let mask = Mask::parse(text, family).unwrap();
            assert_eq!(mask.bytes(), bytes);
            assert_eq!(Mask::from_bytes(bytes, family), mask);
            assert_eq!(mask.to_string(), text);
        }
    }

    #[test]
    fn bad_masks_are_refused() {
        for text in ["", "24", "255.255.255", "255.255.255.256", "::", "x"] {
            assert!(Mask::parse(text, Family::IPv4).is_err(), "{text}");
        }
        for text in ["", "0", "129", "-1", "64x", "255.255.255.0", "4294967296"] {
            let error = Mask::parse(text, Family::IPv6).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}' is no mask")));
        }
    }

    #[test]
    fn a_mask_for_single_clients_is_not_listed() {
        for family in [Family::IPv4, Family::IPv6] {
            assert_eq!(Mask::host(family).listed(), None);
        }
        let some = Mask::V6(127);
        assert_eq!(some.listed(), Some(some));
    }
}
