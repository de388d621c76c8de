// SPDX-License-Identifier: GPL-2.0
//! rr and wrr on several CPUs at once: everybody gets a pick, and the shares stay right.

use crate::sched::fixture::Service;
use crate::sched::Kind;
use std::thread;
use std::vec;
use std::vec::Vec;

const THREADS: usize = 4;
const PICKS: usize = 30_000;

/// How often each destination is picked by all threads together.
fn counts(service: &Service) -> Vec<usize> {
    let count = || {
        let mut counts = vec![0; service.dests.len()];
        for _ in 0..PICKS {
            counts[service.pick().expect("a destination")] += 1;
        }
        counts
    };
    let by_thread: Vec<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    (0..service.dests.len())
        .map(|index| by_thread.iter().map(|counts| counts[index]).sum())
        .collect()
}

/// Shares may be off by 1 %: a CPU that loses the race too often picks without moving the cursor.
fn assert_shares(kind: Kind, weights: &[u32], shares: &[usize]) {
    let counts = counts(&Service::weighted(kind, weights));
    let whole: usize = shares.iter().sum();
    for (count, share) in counts.iter().zip(shares) {
        let expected = THREADS * PICKS * share / whole;
        assert!(
            count.abs_diff(expected) <= expected / 100,
            "{kind:?}: {counts:?}"
        );
    }
}

#[test]
fn rr_stays_even() {
    assert_shares(Kind::Rr, &[1, 1, 9, 0, 1], &[1, 1, 1, 0, 1]);
}

#[test]
fn wrr_stays_in_proportion() {
    assert_shares(Kind::Wrr, &[5, 3, 0, 1, 1], &[5, 3, 0, 1, 1]);
}
