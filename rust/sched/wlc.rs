// SPDX-License-Identifier: GPL-2.0
//! Weighted least connections: the destination with the smallest overhead for its weight; of equals the first.

use super::least::{least, numbered};
use super::{available, overhead, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    least(
        numbered(dests).filter(|(_, dest)| available(*dest)),
        overhead,
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use std::vec;

    #[test]
    fn connections_follow_the_weights() {
        let mut service = Service::weighted(Kind::Wlc, &[1, 2, 3, 0]);
        for _ in 0..600 {
            let index = service.pick().unwrap();
            service.dests[index].active += 1;
            service.dests[index].total += 1;
        }
        let active = service.dests.iter().map(|dest| dest.active);
        assert!(active.eq([100, 200, 300, 0]));
    }

    #[test]
    fn the_first_of_equals() {
        let twice = Dest::numbered(0, 2).with_conns(2, 4);
        let once = Dest::numbered(1, 1).with_conns(1, 2);
        assert_eq!(
            Service::new(Kind::Wlc, vec![once.clone(), twice.clone()]).pick(),
            Some(0)
        );
        assert_eq!(Service::new(Kind::Wlc, vec![twice, once]).pick(), Some(0));
    }

    #[test]
    fn the_largest_weights_are_compared_exactly() {
        let max = i32::MAX as u32;
        // 2^40 connections times 2^31 is more than 64 bits hold.
        let more = Dest::numbered(0, max).with_conns(u32::MAX, u32::MAX);
        let less = Dest::numbered(1, max).with_conns(u32::MAX - 1, u32::MAX);
        assert_eq!(
            Service::new(Kind::Wlc, vec![more.clone(), less.clone()]).pick(),
            Some(1)
        );
        assert_eq!(Service::new(Kind::Wlc, vec![less, more]).pick(), Some(0));
    }

    #[test]
    fn largest_weights_and_counts_do_not_overflow() {
        let max = i32::MAX as u32;
        let full = Dest::numbered(0, max).with_conns(u32::MAX, u32::MAX);
        let half = Dest::numbered(1, max).with_conns(1 << 20, 1 << 21);
        assert_eq!(Service::new(Kind::Wlc, vec![full, half]).pick(), Some(1));
    }
}
