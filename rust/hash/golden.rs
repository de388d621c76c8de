// SPDX-License-Identifier: GPL-2.0
//! Multiplication by the golden ratio, Linux's cheap hash (`include/linux/hash.h`).

/// 2^32 / φ², odd: `GOLDEN_RATIO_32`.
const GOLDEN_RATIO_32: u32 = 0x61c8_8647;

/// Hashes `value` to `bits` bits (1 to 32), the kernel's `hash_32`. The upper bits of the product are the good ones.
#[inline]
pub(crate) fn hash_32(value: u32, bits: u32) -> u32 {
    value
        .wrapping_mul(GOLDEN_RATIO_32)
        .wrapping_shr(u32::BITS.wrapping_sub(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_upper_bits_of_the_product() {
        assert_eq!(hash_32(1, 32), 0x61c8_8647);
        assert_eq!(hash_32(1, 8), 0x61);
        assert_eq!(hash_32(2, 8), 0xc3);
        assert_eq!(hash_32(u32::MAX, 8), 0x9e);
        assert_eq!(hash_32(0, 8), 0);
    }
}
