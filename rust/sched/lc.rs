// SPDX-License-Identifier: GPL-2.0
//! Least connections: the destination with the smallest overhead; of equals the first.

use super::least::numbered;
use super::{available, overhead, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    numbered(dests)
        .filter(|(_, dest)| available(*dest))
        .min_by_key(|(_, dest)| overhead(*dest))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use std::vec;

    #[test]
    fn an_active_connection_counts_257_times() {
        for (active, inactive, expected) in [(0, 256, 0), (0, 257, 0), (0, 258, 1), (1, 0, 0)] {
            let conns = Dest::numbered(0, 1).with_conns(active, active + inactive);
            let other = Dest::numbered(1, 1).with_conns(1, 1);
            assert_eq!(
                Service::new(Kind::Lc, vec![conns, other]).pick(),
                Some(expected)
            );
        }
    }

    #[test]
    fn the_first_of_equals_whatever_the_weights() {
        assert_eq!(Service::weighted(Kind::Lc, &[0, 1, 9]).picks(2), "11");
    }

    #[test]
    fn counts_beyond_32_bits() {
        let most = Dest::numbered(0, 1).with_conns(1 << 24, 1 << 24);
        let more = Dest::numbered(1, 1).with_conns(1, 1 << 24);
        assert_eq!(Service::new(Kind::Lc, vec![most, more]).pick(), Some(1));
    }
}
