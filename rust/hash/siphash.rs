// SPDX-License-Identifier: GPL-2.0
//! SipHash-1-3 ("SipHash: a fast short-input PRF", Aumasson and Bernstein, 2012).
//!
//! One compression round and three final rounds, as Linux uses it for hash tables (`hsiphash` on 64-bit machines).

/// The four words that SipHash works on.
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn new([k0, k1]: [u64; 2]) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    /// Takes the only word in, which has the message's length in bytes at the top, and closes.
    #[inline(always)]
    fn finish(mut self, word: u64) -> u64 {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// The kernel's `hsiphash` of one u32 on a little-endian 64-bit machine: SipHash-1-3 cut to its lower half.
#[inline]
pub(crate) fn hsiphash_u32(key: [u64; 2], value: u32) -> u32 {
    // CAST: keeps the lower half.
    State::new(key).finish((4 << 56) | u64::from(value)) as u32
}

#[cfg(test)]
mod tests {
    //! The expected values are printed by `tests/host/siphash.c`.

    use super::*;

    #[test]
    fn hsiphash_equals_the_reference() {
        for (value, first, second) in [
            (0x0000_0000, 0x1d5a_77c2, 0xf882_433f),
            (0x0000_0001, 0x16ec_66b2, 0x8210_aad1),
            (0x0a00_0001, 0x0308_0ce4, 0x48f9_d0c1),
            (0xc0a8_0150, 0x72c1_afd3, 0x5c43_f07f),
            (0xffff_ffff, 0x22c5_d719, 0xf75a_0f5d),
        ] {
            assert_eq!(hsiphash_u32([2_654_435_761; 2], value), first);
            assert_eq!(hsiphash_u32([2_654_446_892; 2], value), second);
        }
    }
}
