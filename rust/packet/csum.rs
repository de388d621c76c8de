// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum, kept up to date as fields change (RFC 1071, RFC 1624).

/// What a number of changed words does to a checksum.
///
/// Words are taken as they lie in memory, and so is the checksum: the order of bytes makes no
/// difference to the sum as long as it is one (RFC 1071, 2 B). They begin at even offsets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delta(u64);

impl Delta {
    /// Notes that a 16-bit word changed from `old` to `new`.
    #[inline(always)]
    #[must_use]
    pub(crate) fn word(self, old: [u8; 2], new: [u8; 2]) -> Self {
        let (old, new) = (u16::from_ne_bytes(old), u16::from_ne_bytes(new));
        self.add(u64::from(!old).wrapping_add(u64::from(new)))
    }

    /// Notes that a 32-bit word changed.
    #[inline(always)]
    #[must_use]
    pub(crate) fn long(self, old: [u8; 4], new: [u8; 4]) -> Self {
        let (old, new) = (u32::from_ne_bytes(old), u32::from_ne_bytes(new));
        self.add(u64::from(!old).wrapping_add(u64::from(new)))
    }

    /// Notes that 128 bits changed.
    #[inline(always)]
    #[must_use]
    pub(crate) fn wide(self, old: [u8; 16], new: [u8; 16]) -> Self {
        let (old, new) = (u128::from_ne_bytes(old), u128::from_ne_bytes(new));
        // CAST: the lower and the upper half.
        self.add(!old as u64)
            .add((!old >> 64) as u64)
            .add(new as u64)
            .add((new >> 64) as u64)
    }

    /// Joins the changes that `other` noted.
    #[inline(always)]
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        self.add(other.0)
    }

    /// The checksum field after the changes, from the one before (RFC 1624, equation 3).
    #[inline(always)]
    pub(crate) fn apply(self, check: [u8; 2]) -> [u8; 2] {
        let check = u64::from(!u16::from_ne_bytes(check));
        (!fold(self.add(check).0)).to_ne_bytes()
    }

    /// The same for a field that holds a bare sum, as under `CHECKSUM_PARTIAL`.
    #[inline(always)]
    pub(crate) fn apply_partial(self, sum: [u8; 2]) -> [u8; 2] {
        let sum = u64::from(u16::from_ne_bytes(sum));
        fold(self.add(sum).0).to_ne_bytes()
    }

    /// Adds, and adds the carry back in.
    #[inline(always)]
    fn add(self, sum: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(sum);
        Self(sum.wrapping_add(u64::from(carry)))
    }
}

/// Adds the carries of a sum back in.
#[inline(always)]
fn fold(sum: u64) -> u16 {
    // CAST: the halves.
    let (sum, carry) = (sum as u32).overflowing_add((sum >> 32) as u32);
    let sum = sum.wrapping_add(u32::from(carry));
    // The lower half of this sum carries into the upper one as that carries over.
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
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

    /// Some bytes of `data` give way to others; returns what they were.
    fn put<const N: usize>(data: &mut [u8], at: usize, new: [u8; N]) -> [u8; N] {
        let place = &mut data[at..at + N];
        let old = place.try_into().unwrap();
        place.copy_from_slice(&new);
        old
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut data in prop::collection::vec(any::<u8>(), 32..90),
                                   word: [u8; 2], long: [u8; 4], wide: [u8; 16], at in any::<prop::sample::Index>()) {
            let even = data.len() / 2 * 2;
            data.truncate(even);
            let before = checksum(&data);
            let place = |length: usize| at.index((even - length) / 2) * 2;
            let old_word = put(&mut data, place(2), word);
            let old_long = put(&mut data, place(4), long);
            let old_wide = put(&mut data, place(16), wide);
            let delta = Delta::default().word(old_word, word).long(old_long, long).wide(old_wide, wide);
            let (a, b) = (u16::from_be_bytes(delta.apply(before.to_be_bytes())), checksum(&data));
            // 0 and 0xffff are the same number in one's complement.
            prop_assert!(a == b || (a ^ b) == 0xffff && (a == 0 || b == 0));
        }

        #[test]
        fn joined_in_any_order(one: ([u8; 16], [u8; 16]), two: ([u8; 16], [u8; 16]), check: [u8; 2]) {
            let wide = |(old, new)| Delta::default().wide(old, new);
            let both = wide(one).and(wide(two)).apply(check);
            prop_assert_eq!(both, wide(two).wide(one.0, one.1).apply(check));
            prop_assert_eq!(both, wide(two).apply(wide(one).apply(check)));
        }

        #[test]
        fn the_sum_is_never_zero_but_of_zeros(old: [u8; 16], new: [u8; 16], check: [u8; 2]) {
            // As IPVS's: of the two ways to write the same number it is this one.
            prop_assume!(new != [0; 16]);
            prop_assert_ne!(Delta::default().wide(old, new).apply(check), [0xff; 2]);
        }

        #[test]
        fn partial_is_the_complement(old: [u8; 2], new: [u8; 2], check: [u8; 2]) {
            let delta = Delta::default().word(old, new);
            let inverse = check.map(|byte| !byte);
            prop_assert_eq!(delta.apply(check), delta.apply_partial(inverse).map(|byte| !byte));
        }
    }
}
