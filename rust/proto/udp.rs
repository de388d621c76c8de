// SPDX-License-Identifier: GPL-2.0
//! UDP (RFC 768): datagrams, of which none tells where a connection begins or ends.

use super::{Phase, Protocol, Row};

/// UDP.
pub(super) struct Udp;

impl Protocol for Udp {
    const NUMBER: u8 = 17;
    const HEADER: usize = 8;
    const CHECK: usize = 6;
    const CHECK_IS_OPTIONAL: bool = true;
    const STATES: &'static [Row] = &[Row::new("UDP", 300, false, Phase::Datagrams)];
}
