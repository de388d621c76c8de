// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum, kept up to date as fields change (RFC 1071, RFC 1624).

/// What a number of changed 16-bit words does to a checksum.
///
/// Holds at most 65,000 words, far more than any header has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delta(u32);

impl Delta {
    /// Notes that a word changed from `old` to `new`.
    #[inline(always)]
    #[must_use]
    pub(crate) fn word(self, old: u16, new: u16) -> Self {
        Self(
            self.0
                .wrapping_add(u32::from(!old))
                .wrapping_add(u32::from(new)),
        )
    }

    /// Notes that `old` became `new`, both starting at an even offset and equally long.
    #[inline(always)]
    #[must_use]
    pub(crate) fn bytes(self, old: &[u8], new: &[u8]) -> Self {
        let pairs = old.chunks_exact(2).zip(new.chunks_exact(2));
        pairs.fold(self, |delta, (o, n)| match (o, n) {
            (&[a, b], &[c, d]) => {
                delta.word(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            _ => delta,
        })
    }

    /// Joins the changes that `other` noted.
    #[inline(always)]
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The checksum field after the changes, from the one before (RFC 1624, equation 3).
    #[inline(always)]
    pub(crate) fn apply(self, check: u16) -> u16 {
        !fold(u32::from(!check).wrapping_add(self.fold32()))
    }

    /// The same for a field that holds a bare sum, as under `CHECKSUM_PARTIAL`.
    #[inline(always)]
    pub(crate) fn apply_partial(self, sum: u16) -> u16 {
        fold(u32::from(sum).wrapping_add(self.fold32()))
    }

    #[inline(always)]
    fn fold32(self) -> u32 {
        u32::from(fold(self.0))
    }
}

/// Adds the carries of a sum back in.
#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    (sum & 0xffff).wrapping_add(sum >> 16) as u16
}

/// The checksum over `bytes`; an odd last byte counts as the high half of a word.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u32, |sum, pair| {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum.wrapping_add(u32::from(u16::from_be_bytes([high, low])))
    });
    !fold(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn rfc1071_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&data), !0xddf2);
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut data in prop::collection::vec(any::<u8>(), 2..60),
                                   new in any::<[u8; 4]>(), at in 0usize..28) {
            if data.len() % 2 == 1 { data.pop(); }
            let at = ((at * 2) % (data.len() - 1)) & !1;
            let end = (at + 4).min(data.len());
            let before = checksum(&data);
            let old: Vec<u8> = data[at..end].to_vec();
            data[at..end].copy_from_slice(&new[..end - at]);
            let delta = Delta::default().bytes(&old, &new[..end - at]);
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
