// SPDX-License-Identifier: GPL-2.0
//! Schedulers: which destination gets a new connection. One file a scheduler; `persist` has whose choice is kept.
//!
//! Pure: `core` only, no allocation. Every scheduler picks what IPVS's scheduler of that name picks in the same state.
//!
//! The caller keeps the destinations of a service as a slice in IPVS's order (newest first), together with a table of
//! [`table_len`] words that [`build`] fills, and a cursor. The slice and the table are made anew whenever a destination
//! comes, goes or gets another weight; [`carry`] then gives the new cursor. [`pick`] takes no lock: it reads the slice
//! and the table, and of two CPUs that move the cursor at once one repeats its step. lblc and lblcr have a [`Cache`]
//! besides, which the caller keeps as long as the service has this scheduler.

mod dh;
#[cfg(test)]
pub(crate) mod fixture;
mod fo;
mod hashed;
mod lblc;
mod lblcr;
mod lc;
mod least;
pub(crate) mod locality;
mod mh;
mod nq;
mod ovf;
pub(crate) mod persist;
mod rr;
mod sed;
mod sh;
mod twos;
mod wlc;
mod wrr;

use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use self::locality::Cache;

/// A destination as the schedulers see it.
pub(crate) trait Candidate {
    /// The real server's address.
    fn addr(&self) -> IpAddr;
    /// The real server's port, host order.
    fn port(&self) -> u16;
    /// The share of new connections, up to 2^31 - 1. 0 takes none.
    fn weight(&self) -> u32;
    /// The latest weight that was not 0; 0 if there was none.
    fn last_weight(&self) -> u32;
    /// Connections in a state that counts as active.
    fn active(&self) -> u32;
    /// All connections.
    fn total(&self) -> u32;
    /// Whether its threshold allows another connection: not overloaded.
    fn usable(&self) -> bool;
}

/// What is known of the new connection.
pub(crate) struct Key {
    /// The client's address.
    pub(crate) src: IpAddr,
    /// The client's port, host order; 0 if its protocol has none.
    pub(crate) sport: u16,
    /// The address that it is for.
    pub(crate) dst: IpAddr,
}

/// What a scheduler asks of the world outside.
pub(crate) trait Outside {
    /// The time, in ticks that wrap around.
    fn now(&self) -> u32;
    /// Whether lblcr's sets are to shrink that last changed at `time`.
    fn is_stale(&self, time: u32) -> bool;
    /// Random bits.
    fn random(&self) -> u64;
}

/// That nobody takes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// There is no destination, or none with a weight that is not overloaded.
    Left,
    /// Those of wrr with a weight are overloaded.
    Overloaded,
    /// A case that IPVS is quiet about.
    Quiet,
}

impl Nobody {
    /// What IPVS writes into the log.
    pub(crate) fn text(self) -> Option<&'static str> {
        match self {
            Self::Left => Some("no destination available"),
            Self::Overloaded => Some("no destination available: all destinations are overloaded"),
            Self::Quiet => None,
        }
    }
}

/// The schedulers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Least connections for the weight.
    Wlc,
    /// By a hash of the source.
    Sh,
    /// By a hash of the destination address.
    Dh,
    /// By a hash of the source, few flows moving when a destination comes or goes (Maglev).
    Mh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Overflow.
    Ovf,
    /// Power of two choices.
    Twos,
    /// Least connections, an address staying where it is.
    Lblc,
    /// The same with several destinations for an address.
    Lblcr,
    /// No scheduler: nobody gets new connections.
    None,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Lblc,
        Self::Lblcr,
        Self::None,
    ];

    /// The scheduler with this name.
    pub(crate) fn parse(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// The name that users know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::None => "none",
        }
    }

    /// Whether it takes the flags of [`Flags`].
    pub(crate) fn has_flags(self) -> bool {
        matches!(self, Self::Sh | Self::Mh)
    }

    /// Whether it needs a [`Cache`].
    pub(crate) fn has_cache(self) -> bool {
        matches!(self, Self::Lblc | Self::Lblcr)
    }
}

/// The service's flags for [`Kind::Sh`] and [`Kind::Mh`]; the others ignore them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// SCHED1: when the source's destination takes no connections, look for another.
    pub(crate) fallback: bool,
    /// SCHED2: hash the source port too.
    pub(crate) port: bool,
}

/// Why a table can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildError {
    /// More destinations than slots in the table.
    TooManyDests,
    /// The table or the scratch space has another length than [`table_len`] and [`scratch_len`] say.
    WrongLength,
}

/// What made a new table necessary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// A destination was put before all others.
    Added,
    /// The destination with this index is gone.
    Removed(usize),
    /// A weight changed, or the service got this scheduler.
    Edited,
    /// Nothing that a scheduler looks at.
    Other,
}

/// Words of the table for `n` destinations.
pub(crate) fn table_len(kind: Kind, n: usize) -> usize {
    match kind {
        _ if n == 0 => 0,
        Kind::Wrr => wrr::table_len(n),
        Kind::Sh => sh::SLOTS,
        Kind::Dh => dh::SLOTS,
        Kind::Mh => mh::SLOTS,
        _ => 0,
    }
}

/// Words of scratch space that [`build`] wants for `n` destinations.
pub(crate) fn scratch_len(kind: Kind, n: usize) -> usize {
    match kind {
        Kind::Mh => mh::scratch_len(n),
        _ => 0,
    }
}

/// Fills the table for these destinations and their present weights, whatever was in it.
pub(crate) fn build(
    kind: Kind,
    dests: &[impl Candidate],
    table: &mut [u32],
    scratch: &mut [u32],
) -> Result<(), BuildError> {
    let n = dests.len();
    if table.len() != table_len(kind, n) || scratch.len() != scratch_len(kind, n) {
        return Err(BuildError::WrongLength);
    }
    match kind {
        Kind::Wrr => wrr::build(dests, table),
        Kind::Sh => sh::build(dests, table),
        Kind::Dh => dh::build(dests, table),
        Kind::Mh => mh::build(dests, table, scratch)?,
        _ => {}
    }
    Ok(())
}

/// The cursor that goes with a new `table`, from the cursor that was in use.
///
/// A service starts with cursor 0; a new scheduler starts with `carry(kind, 0, Change::Edited, table)`.
pub(crate) fn carry(kind: Kind, cursor: u64, change: Change, table: &[u32]) -> u64 {
    match kind {
        _ if matches!(change, Change::Other) => cursor,
        Kind::Rr => rr::carry(cursor, change),
        Kind::Wrr => wrr::carry(cursor, table),
        _ => 0,
    }
}

/// What a service keeps for its scheduler.
pub(crate) struct State<'a, C> {
    pub(crate) table: &'a [u32],
    pub(crate) cursor: &'a AtomicU64,
    pub(crate) cache: &'a C,
}

/// The index of the destination that gets the connection.
#[inline]
pub(crate) fn pick<D: Candidate>(
    kind: Kind,
    flags: Flags,
    dests: &[D],
    state: State<'_, impl Cache>,
    key: &Key,
    outside: &impl Outside,
) -> Result<usize, Nobody> {
    let State {
        table,
        cursor,
        cache,
    } = state;
    let choice = match kind {
        Kind::Wlc => wlc::pick(dests),
        Kind::Rr => rr::pick(dests, cursor),
        Kind::Wrr => return wrr::pick(dests, table, cursor).ok_or_else(|| wrr::nobody(table)),
        Kind::Lc => lc::pick(dests),
        Kind::Sh => sh::pick(dests, table, flags, key),
        Kind::Dh => dh::pick(dests, table, key),
        Kind::Mh => mh::pick(dests, table, flags, key),
        Kind::Sed => sed::pick(dests),
        Kind::Nq => nq::pick(dests),
        Kind::Fo => fo::pick(dests),
        Kind::Ovf => ovf::pick(dests),
        Kind::Twos => twos::pick(dests, || outside.random()),
        Kind::Lblc => lblc::pick(dests, cache, key, outside.now()),
        Kind::Lblcr => return lblcr::pick(dests, cache, key, outside),
        Kind::None => return Err(Nobody::Quiet),
    };
    choice.ok_or(Nobody::Left)
}

/// Whether a destination takes new connections.
fn available(dest: &impl Candidate) -> bool {
    dest.weight() > 0 && dest.usable()
}

/// A destination's load as lc, wlc, twos, lblc and lblcr count it: an active connection weighs 256 times an inactive one, and 1 more.
fn overhead(dest: &impl Candidate) -> u64 {
    u64::from(dest.active())
        .wrapping_mul(256)
        .wrapping_add(dest.total().into())
}

/// The greatest common divisor of those weights that are not 0; 0 if all are.
fn common_divisor(weights: impl Iterator<Item = u32>) -> u32 {
    weights.fold(0, gcd)
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// How often a CPU tries to move a cursor that other CPUs move too.
const TRIES: u32 = 16;

/// Moves the cursor by `step`, which maps it to its next value and a pick.
///
/// When others were faster every time, the last pick is taken without moving the cursor: one destination may then get
/// two connections in a row, which beats waiting.
#[inline]
fn advance(cursor: &AtomicU64, step: impl Fn(u64) -> (u64, Option<usize>)) -> Option<usize> {
    let mut seen = cursor.load(Relaxed);
    for _ in 0..TRIES {
        let (next, pick) = step(seen);
        if next == seen {
            return pick;
        }
        match cursor.compare_exchange(seen, next, Relaxed, Relaxed) {
            Ok(_) => return pick,
            Err(now) => seen = now,
        }
    }
    step(seen).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ipvs() {
        let names = "rr wrr lc wlc sh dh mh sed nq fo ovf twos lblc lblcr none";
        for name in names.split(' ') {
            assert_eq!(Kind::parse(name).map(Kind::name), Some(name));
        }
        for name in ["", "r", "rrr", "RR", "None", "mh\0"] {
            assert_eq!(Kind::parse(name), None);
        }
        assert_eq!(Kind::parse(b"wlc"), Some(Kind::Wlc));
    }

    #[test]
    fn common_divisor_skips_zeros() {
        for (weights, expected) in [
            (&[][..], 0),
            (&[0, 0], 0),
            (&[7], 7),
            (&[0, 12, 0, 18], 6),
            (&[65_535, 65_534], 1),
            (&[i32::MAX as u32, i32::MAX as u32], i32::MAX as u32),
        ] {
            assert_eq!(common_divisor(weights.iter().copied()), expected);
        }
    }

    #[test]
    fn build_refuses_other_lengths() {
        let dests: [fixture::Dest; 2] = core::array::from_fn(|_| fixture::Dest::numbered(0, 1));
        let mut words = std::vec![0; mh::SLOTS + 1];
        for kind in Kind::ALL {
            let table = table_len(kind, dests.len());
            let scratch = scratch_len(kind, dests.len());
            let mut try_build = |table: usize, scratch: usize| {
                let mut other = [0; 7];
                build(kind, &dests, &mut words[..table], &mut other[..scratch])
            };
            assert_eq!(try_build(table, scratch), Ok(()));
            assert_eq!(try_build(table + 1, scratch), Err(BuildError::WrongLength));
            assert_eq!(try_build(table, scratch + 1), Err(BuildError::WrongLength));
        }
    }

    #[test]
    fn nobody_is_picked_of_nobody() {
        for kind in Kind::ALL {
            for fallback in [false, true] {
                let mut service = fixture::Service::weighted(kind, &[]);
                service.flags.fallback = fallback;
                assert_eq!(service.picks(2), "--");
            }
        }
    }

    #[test]
    fn nobody_is_picked_of_those_without_weight_or_overloaded() {
        for kind in Kind::ALL {
            for fallback in [false, true] {
                let mut service = fixture::Service::weighted(kind, &[0, 3, 0]);
                service.flags.fallback = fallback;
                service.dests[1].overloaded = true;
                assert_eq!(service.picks(9), "---------", "{kind:?}");
            }
        }
    }

    #[test]
    fn ipvs_says_when_nobody_is_left() {
        let says = |weights: &[u32], kind, overloaded| {
            let mut service = fixture::Service::weighted(kind, weights);
            service
                .dests
                .iter_mut()
                .for_each(|dest| dest.overloaded = overloaded);
            service.try_pick_to([192, 0, 2, 1]).unwrap_err().text()
        };
        let left = Some("no destination available");
        let overloaded = Some("no destination available: all destinations are overloaded");
        for kind in Kind::ALL {
            let expected = match kind {
                Kind::None | Kind::Lblcr => None,
                _ => left,
            };
            assert_eq!(says(&[], kind, false), expected, "{kind:?}");
            assert_eq!(says(&[0, 0], kind, false), expected, "{kind:?}");
            let expected = match kind {
                Kind::Wrr => overloaded,
                _ => expected,
            };
            assert_eq!(says(&[1, 0], kind, true), expected, "{kind:?}");
        }
    }

    #[test]
    fn an_edit_of_something_else_keeps_the_cursor() {
        for kind in Kind::ALL {
            let table = std::vec![1; table_len(kind, 3)];
            let cursor = 0x3_0000_0002;
            assert_eq!(carry(kind, cursor, Change::Other, &table), cursor);
        }
    }

    #[test]
    fn advance_takes_the_pick_when_others_are_always_faster() {
        let cursor = AtomicU64::new(0);
        let pick = advance(&cursor, |seen| {
            cursor.fetch_add(1, Relaxed);
            (seen + 1, Some(seen as usize))
        });
        assert_eq!(pick, Some(TRIES as usize));
    }
}
