// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum, kept up to date as fields change (RFC 1071, RFC 1624).

/// What a number of changed words does to a checksum.
///
/// The sum is kept in 64 bits, room for more words than any packet has, and folded last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delta(u64);

impl Delta {
    /// Notes that a 16-bit word changed from `old` to `new`.
    #[inline(always)]
    #[must_use]
    pub(crate) fn word(self, old: u16, new: u16) -> Self {
        self.add(u64::from(!old)).add(u64::from(new))
    }

    /// Notes that a 32-bit word, which starts at an even offset, changed.
    #[inline(always)]
    #[must_use]
    pub(crate) fn long(self, old: u32, new: u32) -> Self {
        self.add(u64::from(!old)).add(u64::from(new))
    }

    /// Joins the changes that `other` noted.
    #[inline(always)]
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        self.add(other.0)
    }

    /// The checksum field after the changes, from the one before (RFC 1624, equation 3).
    #[inline(always)]
    pub(crate) fn apply(self, check: u16) -> u16 {
        !fold(self.add(u64::from(!check)).0)
    }

    /// The same for a field that holds a bare sum, as under `CHECKSUM_PARTIAL`.
    #[inline(always)]
    pub(crate) fn apply_partial(self, sum: u16) -> u16 {
        fold(self.add(u64::from(sum)).0)
    }

    #[inline(always)]
    fn add(self, sum: u64) -> Self {
        Self(self.0.wrapping_add(sum))
    }
}

/// Adds the carries of a sum back in.
#[inline(always)]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff).wrapping_add(sum >> 32);
    let sum = (sum & 0xffff)
        .wrapping_add((sum >> 16) & 0xffff)
        .wrapping_add(sum >> 32);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    (sum & 0xffff).wrapping_add(sum >> 16) as u16
}

/// The checksum over `bytes`; an odd last byte counts as the high half of a word.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u64, |sum, pair| {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum.wrapping_add(u64::from(u16::from_be_bytes([high, low])))
    });
    !fold(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc1071_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&data), !0xddf2);
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut data in prop::collection::vec(any::<u8>(), 4..60),
                                   word in any::<u16>(), long in any::<u32>(), at in any::<prop::sample::Index>()) {
            let even = data.len() / 2 * 2;
            data.truncate(even);
            let before = checksum(&data);
            let first = at.index(even / 2) * 2;
            let second = at.index(even / 2 - 1) * 2;
            let old_word = u16::from_be_bytes([data[first], data[first + 1]]);
            data[first..first + 2].copy_from_slice(&word.to_be_bytes());
            let old_long = u32::from_be_bytes(data[second..second + 4].try_into().unwrap());
            data[second..second + 4].copy_from_slice(&long.to_be_bytes());
            let delta = Delta::default().word(old_word, word).long(old_long, long);
            let (a, b) = (delta.apply(before), checksum(&data));
            // 0 and 0xffff are the same number in one's complement.
            prop_assert!(a == b || (a ^ b) == 0xffff && (a == 0 || b == 0));
        }

        #[test]
        fn partial_is_the_complement(old in any::<u16>(), new in any::<u16>(), check in any::<u16>()) {
            let delta = Delta::default().word(old, new);
            prop_assert_eq!(delta.apply(check), !delta.apply_partial(!check));
        }
    }
}
