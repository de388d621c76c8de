// SPDX-License-Identifier: GPL-2.0
//! A keyed hash for the tables of flows and services: multiplications of 64 by 64 bits, the halves of each product folded together.
//!
//! It runs once or more for each packet, where SipHash took a sixth of all that rlvs does. Who does not know the key
//! can't choose inputs that collide, and nothing that leaves the machine tells of the key: a hash is never shown, and
//! from outside nobody can measure that a bucket is longer by an entry.

/// The key: words that nobody can guess.
pub(crate) type Key = [u64; 6];

/// Both halves of the product, folded.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    // CAST: the lower and the upper half.
    product as u64 ^ (product >> 64) as u64
}

/// Lets every bit of `sum` reach every bit of the hash; the factor is odd, so that nothing is lost on the way.
#[inline(always)]
fn finish(sum: u64, add: u64, factor: u64) -> u64 {
    fold(sum ^ add, factor | 1)
}

/// The hash of two words.
#[inline(always)]
pub(crate) fn hash2(key: &Key, [a, b]: [u64; 2]) -> u64 {
    let [k0, k1, k2, k3, ..] = *key;
    finish(fold(a ^ k0, b ^ k1), k2, k3)
}

/// The hash of three words.
#[inline(always)]
pub(crate) fn hash3(key: &Key, [a, b, c]: [u64; 3]) -> u64 {
    let [k0, k1, k2, k3, k4, k5] = *key;
    finish(fold(fold(a ^ k0, b ^ k1) ^ k2, c ^ k3), k4, k5)
}

/// The hash of five words.
#[inline(always)]
pub(crate) fn hash5(key: &Key, [a, b, c, d, e]: [u64; 5]) -> u64 {
    let [k0, k1, k2, k3, k4, k5] = *key;
    let left = fold(a ^ k0, b ^ k1);
    let right = fold(c ^ k2, d ^ k3);
    finish(fold(left ^ k4, right ^ e ^ k5), k1, k3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    const KEY: Key = [
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
        0x4528_21e6_38d0_1377,
        0xbe54_66cf_34e9_0c6c,
    ];

    /// A client's port, port 80 and a protocol as a tuple's last word.
    fn tail(sport: u64, proto: u64) -> u64 {
        (sport << 48) | (80 << 32) | proto
    }

    /// How far the fullest of 4096 buckets is above the average of 16, by the hash's bits from `shift` on.
    fn fullest(shift: u32, hashes: impl Iterator<Item = u64>) -> u32 {
        let mut buckets = vec![0u32; 4_096];
        hashes
            .take(65_536)
            .for_each(|hash| buckets[(hash >> shift) as usize % 4_096] += 1);
        *buckets.iter().max().unwrap()
    }

    #[test]
    fn neighbouring_clients_spread_over_all_bits() {
        for shift in [0, 10, 20, 36, 45, 52] {
            let by_port = (0..).map(|n: u64| hash2(&KEY, [0x0a00_0001_c000_0201, tail(n, 6)]));
            let by_address =
                (0..).map(|n: u64| hash2(&KEY, [(n << 32) | 0xc000_0201, tail(1_024, 17)]));
            let by_v6 = (0..).map(|n| hash5(&KEY, [1 << 32, n, 2 << 32, 1, 80 << 32]));
            let by_service = (0..).map(|n| hash3(&KEY, [0, 0xc000_0201, (6 << 16) | n]));
            for most in [
                fullest(shift, by_service),
                fullest(shift, by_port),
                fullest(shift, by_address),
                fullest(shift, by_v6),
            ] {
                // With 65,536 balls in 4096 bins more than 45 in one are next to impossible.
                assert!(most < 45, "{most} at bit {shift}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_word_counts(words: [u64; 5], at in 0..5usize, change in 1u64..) {
            let mut other = words;
            other[at] ^= change;
            prop_assert_ne!(hash5(&KEY, words), hash5(&KEY, other));
            let (mut three, old) = ([words[0], words[1], words[2]], [words[0], words[1], words[2]]);
            three[at % 3] ^= change;
            prop_assert_ne!(hash3(&KEY, three), hash3(&KEY, old));
            let at = at % 2;
            let (mut pair, old) = ([words[0], words[1]], [words[0], words[1]]);
            pair[at] ^= change;
            prop_assert_ne!(hash2(&KEY, pair), hash2(&KEY, old));
        }

        #[test]
        fn every_word_of_the_key_counts(words: [u64; 5], at in 0..6usize, change in 2u64..) {
            let mut key = KEY;
            key[at] ^= change;
            prop_assert_ne!(hash5(&KEY, words), hash5(&key, words));
            let three = [words[0], words[1], words[2]];
            prop_assert_ne!(hash3(&KEY, three), hash3(&key, three));
            prop_assert!(at > 3 || hash2(&KEY, [words[0], words[1]]) != hash2(&key, [words[0], words[1]]));
        }

        #[test]
        fn the_way_back_is_another_flow(a: u64, b: u64, tail: u64) {
            prop_assume!(a != b);
            prop_assert_ne!(hash5(&KEY, [a, 0, b, 0, tail]), hash5(&KEY, [b, 0, a, 0, tail]));
        }
    }
}
