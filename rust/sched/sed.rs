// SPDX-License-Identifier: GPL-2.0
//! Shortest expected delay: the destination with the fewest active connections for its weight, the new one counted; of
//! equals the first.

use super::least::{least, numbered};
use super::{available, Candidate};

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D]) -> Option<usize> {
    let takers = numbered(dests).filter(|(_, dest)| available(*dest));
    least(takers, |dest| u64::from(dest.active()).wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;
    use std::vec;

    #[test]
    fn the_new_connection_counts() {
        // Of three idle ones the heaviest is done first: 1/1, 1/2, 1/3; then 2/3, 1/2.
        let mut service = Service::weighted(Kind::Sed, &[1, 2, 3]);
        assert_eq!(service.pick(), Some(2));
        service.dests[2].active = 1;
        assert_eq!(service.pick(), Some(1));
    }

    #[test]
    fn the_first_of_equals_whatever_is_over() {
        let first = Dest::numbered(0, 2).with_conns(1, 900);
        let second = Dest::numbered(1, 1).with_conns(0, 0);
        assert_eq!(
            Service::new(Kind::Sed, vec![first.clone(), second.clone()]).pick(),
            Some(0)
        );
        assert_eq!(Service::new(Kind::Sed, vec![second, first]).pick(), Some(0));
    }

    #[test]
    fn largest_weights_and_counts_do_not_overflow() {
        let max = i32::MAX as u32;
        let full = Dest::numbered(0, max).with_conns(u32::MAX, u32::MAX);
        let less = Dest::numbered(1, max).with_conns(u32::MAX - 1, u32::MAX);
        assert_eq!(Service::new(Kind::Sed, vec![full, less]).pick(), Some(1));
    }
}
