// SPDX-License-Identifier: GPL-2.0

//! Arithmetic with sums of counters. They only grow, and wrap around after 2^64.

use crate::rates::Row;
use crate::sys::stats::{Counts, Stats};

/// What `stats` says now.
pub(super) fn read(stats: &Stats) -> Counts {
    let mut sum = Counts::default();
    stats.add_to(&mut sum);
    sum
}

/// The sum of both.
pub(super) fn plus(a: Counts, b: Counts) -> Counts {
    merge(a, b, u64::wrapping_add)
}

/// What `a` has more than the earlier `b`.
pub(super) fn minus(a: Counts, b: Counts) -> Counts {
    merge(a, b, u64::wrapping_sub)
}

/// The counters in a row.
pub(crate) fn row(counts: Counts) -> Row {
    [
        counts.conns,
        counts.inpkts,
        counts.outpkts,
        counts.inbytes,
        counts.outbytes,
    ]
}

fn merge(a: Counts, b: Counts, f: impl Fn(u64, u64) -> u64) -> Counts {
    Counts {
        conns: f(a.conns, b.conns),
        inpkts: f(a.inpkts, b.inpkts),
        outpkts: f(a.outpkts, b.outpkts),
        inbytes: f(a.inbytes, b.inbytes),
        outbytes: f(a.outbytes, b.outbytes),
    }
}
