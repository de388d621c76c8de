// SPDX-License-Identifier: GPL-2.0
//! Quarters of a second on a circle of 256, a byte each, eight in a word.
//!
//! One is ahead of another if it is less than half of the circle away. 0 stands for none.

/// Bytes of a word.
pub(crate) const BYTES: usize = 8;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How far quarter `when` is ahead of quarter `now`; negative: behind.
#[inline(always)]
pub(crate) fn ahead(when: u8, now: u8) -> i8 {
    // CAST: half of the circle is behind.
    when.wrapping_sub(now) as i8
}

/// Whether the time of a byte has come.
#[inline(always)]
pub(crate) fn is_due(byte: u8, now: u8) -> bool {
    byte != 0 && ahead(byte, now) <= 0
}

/// Whether one of eight bytes is due.
#[inline(always)]
pub(crate) fn any_due(bytes: u64, now: u8) -> bool {
    // Each byte less `now`, without borrowing from the next: of each the lower seven bits, then the highest.
    let now = u64::from(now).wrapping_mul(ONES);
    let away = ((bytes | HIGH).wrapping_sub(now & !HIGH)) ^ ((bytes ^ !now) & HIGH);
    let behind = away | !any_bit(away);
    any_bit(bytes) & behind & HIGH != 0
}

/// The highest bit of each byte that is not 0.
#[inline(always)]
fn any_bit(bytes: u64) -> u64 {
    ((bytes & !HIGH).wrapping_add(!HIGH) | bytes) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_decides_whatever_stands_beside_it() {
        for now in 0..=255 {
            for byte in 0..=255 {
                for beside in [
                    0,
                    1,
                    0x7f,
                    0x80,
                    0xff_u8,
                    now,
                    now.wrapping_add(1),
                    now.wrapping_sub(1),
                ] {
                    let mut bytes = [beside; BYTES];
                    bytes[3] = byte;
                    let want = bytes.iter().any(|&byte| is_due(byte, now));
                    let got = any_due(u64::from_ne_bytes(bytes), now);
                    assert_eq!(got, want, "{bytes:?} at {now}");
                }
            }
        }
    }

    #[test]
    fn half_of_the_circle_is_behind() {
        assert!(is_due(10, 10) && is_due(9, 10) && !is_due(11, 10));
        assert!(is_due(250, 3) && !is_due(3, 250) && !is_due(0, 3));
    }
}
