// SPDX-License-Identifier: GPL-2.0
//! Never queue: the first destination without an active connection; if there is none, as sed.

use super::{available, sed, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    let idle = |dest: &D| dest.active() == 0 && available(dest);
    dests.iter().position(idle).or_else(|| sed::pick(dests))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Service;
    use super::super::Kind;

    #[test]
    fn the_first_idle_one_comes_before_a_faster_one() {
        let mut service = Service::weighted(Kind::Nq, &[0, 1, 9]);
        service.dests[2].active = 1;
        assert_eq!(service.pick(), Some(1));
        service.dests[1].overloaded = true;
        assert_eq!(service.pick(), Some(2));
    }

    #[test]
    fn without_an_idle_one_the_delay_decides() {
        let mut service = Service::weighted(Kind::Nq, &[1, 9]);
        service.dests.iter_mut().for_each(|dest| dest.active = 1);
        assert_eq!(service.pick(), Some(1));
    }
}
