// SPDX-License-Identifier: GPL-2.0
//! A walk through a hash table that misses nothing when the table changes its size under way.
//!
//! The buckets of a table of 2^n come in the order of their numbers read backwards, from bit n - 1
//! down to bit 0. When each bucket of a table becomes two, those that were passed become two that
//! count as passed, and those that are to come, two that are to come; and the other way round when
//! two become one, which may then come once more. (The idea is known from the SCAN of Redis.)

/// The cursor behind `cursor` in a table with `mask` + 1 buckets, a power of two; `None` at the
/// end. A walk begins at 0, and its bucket is `cursor & mask`.
pub(crate) fn next(cursor: usize, mask: usize) -> Option<usize> {
    // The bits that the table does not use are as good as passed.
    let next = (cursor | !mask)
        .reverse_bits()
        .wrapping_add(1)
        .reverse_bits();
    (next != 0).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::next;
    use std::vec::Vec;

    /// The buckets of a walk through a table that stays as it is.
    fn buckets(mask: usize) -> Vec<usize> {
        let mut cursor = Some(0);
        let mut seen = Vec::new();
        while let Some(at) = cursor {
            seen.push(at & mask);
            cursor = next(at, mask);
        }
        seen
    }

    #[test]
    fn every_bucket_comes_once() {
        for bits in 0..10 {
            let mut seen = buckets((1 << bits) - 1);
            seen.sort_unstable();
            assert_eq!(seen, (0..1 << bits).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_missed_whatever_the_sizes() {
        // The size changes at every step, in a way that differs from seed to seed.
        for seed in 0..200_usize {
            let mut seen = [false; 256];
            let (mut cursor, mut random) = (Some(0), seed);
            while let Some(at) = cursor {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let mask = (1 << ((random >> 60) % 9)) - 1;
                for (hash, seen) in seen.iter_mut().enumerate() {
                    *seen |= hash & mask == at & mask;
                }
                cursor = next(at, mask);
            }
            assert!(seen.iter().all(|seen| *seen), "seed {seed}");
        }
    }

    #[test]
    fn nothing_comes_twice_when_the_table_grows() {
        for at_step in 0..16 {
            let mut times = [0; 64];
            let (mut cursor, mut step) = (Some(0), 0);
            while let Some(at) = cursor {
                let mask = if step < at_step { 15 } else { 63 };
                for (hash, times) in times.iter_mut().enumerate() {
                    *times += usize::from(hash & mask == at & mask);
                }
                cursor = next(at, mask);
                step += 1;
            }
            assert_eq!(times, [1; 64], "grown at step {at_step}");
        }
    }
}
