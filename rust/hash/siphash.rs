// SPDX-License-Identifier: GPL-2.0
//! SipHash-1-3 over whole words ("SipHash: a fast short-input PRF", Aumasson and Bernstein, 2012).
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

    #[inline(always)]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    /// Takes the last word in, which has the message's length in bytes at the top, and closes.
    #[inline(always)]
    fn finish(mut self, last: u64) -> u64 {
        self.absorb(last);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// SipHash-1-3 of `words`, each taken as its eight little-endian bytes.
#[inline(always)]
pub(crate) fn siphash13(key: [u64; 2], words: &[u64]) -> u64 {
    let mut state = State::new(key);
    let mut length = 0u64;
    for &word in words {
        state.absorb(word);
        length = length.wrapping_add(8);
    }
    state.finish(length << 56)
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

    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    #[test]
    fn siphash13_equals_the_reference() {
        let words = [
            0x0706_0504_0302_0100,
            0x0f0e_0d0c_0b0a_0908,
            0x1716_1514_1312_1110,
            0x1f1e_1d1c_1b1a_1918,
            0x2726_2524_2322_2120,
        ];
        let expected = [
            0xabac_0158_050f_c4dc,
            0x3690_9511_8d29_9a8e,
            0xcc4f_dd1a_7d90_8b66,
            0xf464_aeb2_6734_9c8c,
            0x8115_7b6c_16a7_b60d,
            0xc1d2_3632_99e4_1531,
        ];
        for (length, expected) in expected.into_iter().enumerate() {
            assert_eq!(siphash13(KEY, &words[..length]), expected);
        }
    }

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

    #[test]
    fn every_part_of_the_key_counts() {
        let words = [1, 2, 3];
        let whole = siphash13(KEY, &words);
        assert_ne!(whole, siphash13([KEY[0], KEY[1] ^ 1], &words));
        assert_ne!(whole, siphash13([KEY[0] ^ 1, KEY[1]], &words));
    }
}
