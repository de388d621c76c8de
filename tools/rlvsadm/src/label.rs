// SPDX-License-Identifier: GPL-2.0
//! What a service's packets are known by to the host's other rules: bits of their firewall mark.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::Usage;

/// Bits of the firewall mark, and which are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Label {
    pub value: u32,
    pub mask: u32,
}

impl Label {
    /// By which netlink has that there is none.
    pub const NONE: [u8; 8] = [0; 8];

    /// The bytes by which netlink has it.
    pub fn bytes(self) -> [u8; 8] {
        let [a, b, c, d] = self.value.to_ne_bytes();
        let [e, f, g, h] = self.mask.to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// As iptables writes it: `VALUE`, or `VALUE/MASK`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "{:#x}", self.value),
            mask => write!(f, "{:#x}/{mask:#x}", self.value),
        }
    }
}

impl FromStr for Label {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
        let label = || {
            let (value, mask) = (number(value)?, number(mask)?);
            (mask != 0 && value & !mask == 0).then_some(Label { value, mask })
        };
        label().ok_or_else(|| Usage::Label(text.to_owned()))
    }
}

/// A number, decimal or hexadecimal.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (text, value, mask, written) in [
            ("0x100/0xff00", 0x100, 0xff00, "0x100/0xff00"),
            ("256/65280", 0x100, 0xff00, "0x100/0xff00"),
            ("7", 7, u32::MAX, "0x7"),
            ("0/0xF", 0, 15, "0x0/0xf"),
        ] {
            let label: Label = text.parse().unwrap();
            assert_eq!(label, Label { value, mask }, "{text}");
            assert_eq!(label.to_string(), written);
            assert_eq!(written.parse::<Label>().unwrap(), label);
        }
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for text in [
            "",
            "x",
            "0x",
            "1/0",
            "0x100/0xff",
            "1/",
            "/1",
            "-1",
            "0x+1",
            "4294967296",
            "1/2/3",
        ] {
            let refusal = text.parse::<Label>().unwrap_err().to_string();
            assert!(refusal.contains("VALUE/MASK"), "{text}: {refusal}");
        }
    }
}
