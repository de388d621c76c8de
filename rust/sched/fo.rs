// SPDX-License-Identifier: GPL-2.0
//! Weighted failover: the heaviest destination that takes connections, however many it has; of equals the first.

use super::least::numbered;
use super::{available, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    heaviest(dests, available)
}

/// The heaviest of those that `takes` names; of equals the first.
#[inline]
pub(super) fn heaviest<D: Candidate>(dests: &[D], takes: impl Fn(&D) -> bool) -> Option<usize> {
    numbered(dests)
        .filter(|(_, dest)| takes(dest))
        .map(|(index, dest)| (index, dest.weight()))
        .reduce(|first, next| if next.1 > first.1 { next } else { first })
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Service;
    use super::super::Kind;

    #[test]
    fn the_heaviest_until_it_takes_none() {
        let mut service = Service::weighted(Kind::Fo, &[1, 7, 7, 3]);
        service.dests[1].active = 1_000;
        assert_eq!(service.picks(2), "11");
        service.dests[1].overloaded = true;
        assert_eq!(service.picks(2), "22");
        service.set_weight(2, 0);
        assert_eq!(service.picks(2), "33");
    }
}
