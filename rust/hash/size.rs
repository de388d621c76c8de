// SPDX-License-Identifier: GPL-2.0
//! How many buckets a table should have.

/// Entries a bucket, on average, from which a table grows.
pub(crate) const CROWDED: usize = 5;

/// The number of buckets that suits so many entries: two and a half to five in each.
fn suits(entries: usize) -> Option<usize> {
    entries.div_ceil(CROWDED).checked_next_power_of_two()
}

/// Whether a table is crowded.
#[inline(always)]
pub(crate) fn is_crowded(entries: usize, buckets: usize) -> bool {
    entries > buckets.saturating_mul(CROWDED)
}

/// Whether a table of more than `least` buckets has four times as many as would do: if that
/// lasts, it should shrink.
pub(crate) fn is_roomy(entries: usize, buckets: usize, least: usize) -> bool {
    buckets > least && suits(entries).is_some_and(|suits| buckets / 4 >= suits)
}

/// Another number of buckets that is better for `entries`, if there is one. A table that is
/// roomy shrinks once it has been so for `long`, so that nobody pays for it when many entries go
/// at once and others come; it keeps twice of what would do, so that it does not grow again at
/// once.
pub(crate) fn wanted(entries: usize, buckets: usize, least: usize, long: bool) -> Option<usize> {
    let suits = suits(entries)?;
    if is_crowded(entries, buckets) {
        return Some(suits.max(least));
    }
    let twice = suits.saturating_mul(2).max(least);
    (long && is_roomy(entries, buckets, least)).then_some(twice)
}

#[cfg(test)]
mod tests {
    use super::{is_crowded, is_roomy, wanted, CROWDED};

    const LEAST: usize = 1024;

    #[test]
    fn a_crowded_table_grows_to_one_that_is_not() {
        for entries in (LEAST * CROWDED + 1)..60_000 {
            for buckets in [1024, 2048, 4096, 8192] {
                if is_crowded(entries, buckets) {
                    let new = wanted(entries, buckets, LEAST, false).unwrap();
                    assert!(new > buckets, "{entries} in {buckets}: {new}");
                    assert!(!is_crowded(entries, new), "{entries} in {buckets}: {new}");
                    assert!(
                        2 * entries >= new * CROWDED,
                        "{entries} in {buckets}: {new}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_roomy_table_comes_down_and_stays() {
        for entries in 0..20_000 {
            for bits in 12..24 {
                let buckets = 1 << bits;
                let mut size = buckets;
                let mut steps = 0;
                while let Some(new) = wanted(entries, size, LEAST, true) {
                    size = new;
                    steps += 1;
                    assert!(steps <= 1, "{entries} in {buckets}: still not at {size}");
                }
                assert!(!is_crowded(entries, size));
                assert!(!is_roomy(entries, size, LEAST));
                let changed = size != buckets;
                assert!(
                    size <= 2 * LEAST || 5 * size <= 4 * entries + 5,
                    "{entries} in {buckets}: {size}"
                );
                assert!(
                    !changed || 2 * entries <= 5 * size,
                    "{entries} in {buckets}: {size}"
                );
            }
        }
    }

    #[test]
    fn for_a_while_none_shrinks() {
        for entries in [0, 3000, 5000] {
            assert_eq!(wanted(entries, 8192, LEAST, false), None);
        }
        assert_eq!(wanted(3000, 8192, LEAST, true), Some(2048));
        assert_eq!(wanted(5000, 8192, LEAST, true), Some(2048));
        assert_eq!(wanted(0, 2 * LEAST, LEAST, true), Some(LEAST));
        assert_eq!(wanted(0, 1 << 20, LEAST, true), Some(LEAST));
        assert_eq!(wanted(0, LEAST, LEAST, true), None);
        assert_eq!(wanted(400, LEAST, LEAST, true), None);
    }
}
