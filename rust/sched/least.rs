// SPDX-License-Identifier: GPL-2.0
//! What wlc, sed, nq, lblc and lblcr share: whose load is the least for his weight.

use super::Candidate;

/// What a destination is compared by.
pub(super) struct Load<T> {
    /// Whose it is.
    pub(super) of: T,
    pub(super) load: u64,
    pub(super) weight: u64,
}

impl<T> Load<T> {
    /// Whether load / weight is smaller than the other's.
    #[inline]
    pub(super) fn is_below(&self, other: &Self) -> bool {
        product(self.load, other.weight) < product(other.load, self.weight)
    }
}

/// Never too large: both have 64 bits.
#[inline]
fn product(a: u64, b: u64) -> u128 {
    u128::from(a).wrapping_mul(u128::from(b))
}

/// The destinations with their indices.
#[inline]
pub(super) fn numbered<D>(dests: &[D]) -> impl Iterator<Item = (usize, &D)> {
    // Unlike `enumerate`, a range brings no overflow check.
    (0..dests.len()).zip(dests)
}

/// The one of `dests` with the least load for its weight, which none may be without; of equals the first.
#[inline]
pub(super) fn least<'a, D: Candidate + 'a>(
    dests: impl Iterator<Item = (usize, &'a D)>,
    load: impl Fn(&D) -> u64,
) -> Option<usize> {
    dests
        .map(|(of, dest)| Load {
            of,
            load: load(dest),
            weight: dest.weight().into(),
        })
        .reduce(|least, load| if load.is_below(&least) { load } else { least })
        .map(|least| least.of)
}
