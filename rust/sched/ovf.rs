// SPDX-License-Identifier: GPL-2.0
//! Overflow: the heaviest destination with no more active connections than its weight; of equals the first.

use super::fo::heaviest;
use super::{available, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    heaviest(dests, |dest| {
        available(dest) && dest.active() <= dest.weight()
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Service;
    use super::super::Kind;

    #[test]
    fn goes_on_to_the_next_when_the_heaviest_has_more_than_its_weight() {
        let mut service = Service::weighted(Kind::Ovf, &[2, 3, 0]);
        for (active, expected) in [(0, 1), (3, 1), (4, 0)] {
            service.dests[1].active = active;
            assert_eq!(service.pick(), Some(expected), "{active} connections");
        }
        service.dests[0].active = 3;
        assert_eq!(service.pick(), None);
    }
}
