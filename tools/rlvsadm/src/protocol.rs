// SPDX-License-Identifier: GPL-2.0
//! The protocols that services are of.

use std::fmt;

use dns_lookup::SockType;
use serde::Serialize;

use crate::wire::uapi;

/// The protocol of a service, or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Proto {
    Tcp,
    Udp,
    /// Any: of templates of services by mark.
    Ip,
}

/// What there is to know of a protocol.
struct Row {
    proto: Proto,
    /// IANA's number.
    number: u16,
    name: &'static str,
    /// The option that names a service of it.
    option: &'static str,
    /// The sockets that speak it, as the C library looks their ports up by name.
    socket: SockType,
    /// And by number.
    flags: i32,
}

const TABLE: [Row; 3] = [
    Row {
        proto: Proto::Tcp,
        number: uapi::proto::TCP,
        name: "TCP",
        option: "-t",
        socket: SockType::Stream,
        flags: 0,
    },
    Row {
        proto: Proto::Udp,
        number: uapi::proto::UDP,
        name: "UDP",
        option: "-u",
        socket: SockType::DGram,
        flags: libc::NI_DGRAM,
    },
    Row {
        proto: Proto::Ip,
        number: uapi::proto::IP,
        name: "IP",
        option: "",
        socket: SockType::Stream,
        flags: 0,
    },
];

impl Proto {
    /// The protocol that IANA numbers so.
    pub fn from_number(number: u16) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.number == number)?;
        Some(row.proto)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// IANA's number.
    pub fn number(self) -> u16 {
        self.row().number
    }

    /// The option that names a service of it, if there can be one.
    pub fn option(self) -> &'static str {
        self.row().option
    }

    /// The sockets that speak it, as the C library looks their ports up by name.
    pub fn socket(self) -> SockType {
        self.row().socket
    }

    /// The flags by which the C library looks their ports up by number.
    pub fn name_flags(self) -> i32 {
        self.row().flags
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order() {
        for row in &TABLE {
            assert_eq!(row.proto.row().number, row.number);
            assert_eq!(Proto::from_number(row.number), Some(row.proto));
        }
        assert_eq!(Proto::from_number(1), None);
    }
}
