// SPDX-License-Identifier: GPL-2.0
//! Round robin: the next destination that takes connections.
//!
//! The cursor is 1 + the index of the destination picked last; 0 stands before the first.

use super::{advance, available, Candidate, Change};
use core::sync::atomic::AtomicU64;

#[inline]
pub(super) fn pick<D: Candidate>(dests: &[D], cursor: &AtomicU64) -> Option<usize> {
    advance(cursor, |seen| match next(dests, seen) {
        Some(index) => (position(index), Some(index)),
        None => (seen, None),
    })
}

/// The first destination after the cursor that takes connections, the one picked last coming last.
#[inline]
fn next<D: Candidate>(dests: &[D], cursor: u64) -> Option<usize> {
    let start = usize::try_from(cursor).unwrap_or(0);
    let (done, ahead) = dests.split_at_checked(start).unwrap_or((&[], dests));
    match ahead.iter().position(available) {
        Some(index) => index.checked_add(done.len()),
        None => done.iter().position(available),
    }
}

/// The cursor after a pick of `index`.
fn position(index: usize) -> u64 {
    (index as u64).wrapping_add(1)
}

/// Keeps the cursor at its destination; if that is gone, at the one before.
pub(super) fn carry(cursor: u64, change: Change) -> u64 {
    match change {
        Change::Added if cursor != 0 => cursor.wrapping_add(1),
        Change::Removed(index) if position(index) <= cursor => cursor.wrapping_sub(1),
        _ => cursor,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Dest, Service};
    use super::super::Kind;

    #[test]
    fn goes_round_and_ignores_the_size_of_weights() {
        assert_eq!(Service::weighted(Kind::Rr, &[1, 5, 2]).picks(7), "0120120");
        assert_eq!(Service::weighted(Kind::Rr, &[1]).picks(3), "000");
    }

    #[test]
    fn passes_over_those_that_take_no_connections() {
        let mut service = Service::weighted(Kind::Rr, &[1, 0, 1, 1]);
        service.dests[3].overloaded = true;
        assert_eq!(service.picks(5), "02020");
        service.dests[3].overloaded = false;
        assert_eq!(service.picks(4), "2302");
    }

    #[test]
    fn keeps_its_place_when_one_is_added() {
        let mut service = Service::weighted(Kind::Rr, &[1, 1, 1]);
        assert_eq!(service.picks(2), "01");
        service.add(Dest::numbered(9, 1));
        assert_eq!(service.picks(4), "3012");
    }

    #[test]
    fn starts_with_the_first_added() {
        let mut service = Service::weighted(Kind::Rr, &[]);
        service.add(Dest::numbered(0, 1));
        service.add(Dest::numbered(1, 1));
        assert_eq!(service.picks(3), "010");
    }

    #[test]
    fn keeps_its_place_when_one_is_removed() {
        for (removed, rest) in [(0, "1201"), (1, "1201"), (2, "2012"), (3, "2012")] {
            let mut service = Service::weighted(Kind::Rr, &[1, 1, 1, 1]);
            assert_eq!(service.picks(2), "01");
            service.remove(removed);
            assert_eq!(service.picks(4), rest, "without {removed}");
        }
    }

    #[test]
    fn a_cursor_of_more_destinations_starts_over() {
        let service = Service::weighted(Kind::Rr, &[1, 1]);
        for cursor in [3, u64::MAX] {
            service.cursor.store(cursor, super::super::Relaxed);
            assert_eq!(service.picks(3), "010");
        }
    }
}
