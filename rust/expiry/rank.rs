// SPDX-License-Identifier: GPL-2.0
//! Who gives way when there is no room for a new connection: whoever has least to lose.
//!
//! A flow costs whoever floods one packet. So what one packet can make goes before what takes two ends to make: a
//! server that answers and a client that goes on, or, where answers do not come by, a client that has sent some packets.

use crate::proto::Phase;

/// A connection that half of is closed, or that an end has reset, is left alone for so many seconds after its last
/// packet: the other half may be busy still, and a reset may be somebody else's.
const QUIET: u32 = 3;

/// What is known of a flow when it is compared with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// How far it is.
    pub(crate) phase: Phase,
    /// The server has answered (where answers come by).
    pub(crate) answered: bool,
    /// Both ends are known to be there.
    pub(crate) confirmed: bool,
    /// Ticks since its last packet, up to a second more.
    pub(crate) idle: u32,
}

/// What kind of flow gives way, the first before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Reset.
    Closed,
    /// Closed by both ends, or by one of two that never were known to be there.
    TimeWait,
    /// A template that no connection got far with, and that none has now.
    Untried,
    /// A SYN, and perhaps its answer, some seconds ago.
    HalfOpen,
    /// UDP that nobody has answered.
    OneWay,
    /// A template without a connection, whose client was answered or came back: both a stranger
    /// can have from an address that is not his.
    Heard,
    /// A SYN a moment ago: it may be one that is about to be confirmed, which a flood of
    /// datagrams must not keep out.
    Opening,
    /// Nobody knows whether the client is there.
    Unconfirmed,
    /// Confirmed once, and on its way out: half closed and quiet, or reset a moment ago.
    Leaving,
    /// A template of a client who was served, and who has no connection now.
    Remembered,
}

/// A flow's place among those that may give way: the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    kind: Kind,
    /// The less, the longer it has been idle.
    fresh: u32,
}

impl Rank {
    /// What kind of flow it is.
    pub(crate) fn kind(self) -> Kind {
        self.kind
    }
}

/// The place of a flow among those that may give way, if it is one: a confirmed live one is not. A second has `hz` ticks.
pub(crate) fn rank(flow: &Standing, hz: u32) -> Option<Rank> {
    let quiet = flow.idle >= QUIET.saturating_mul(hz);
    let kind = kind(flow, quiet)?;
    let fresh = u32::MAX - flow.idle;
    Some(Rank { kind, fresh })
}

/// The place of a template that has no connection now, idle since its last one began or that time ran out last; `heard`:
/// one of them got far, or there were several; `served`: both ends of one were known to be there. Without that it costs
/// whoever floods two or three packets, so it must not keep out what is new.
pub(crate) fn rank_template(heard: bool, served: bool, idle: u32) -> Rank {
    let kind = match (heard, served) {
        (_, true) => Kind::Remembered,
        (true, false) => Kind::Heard,
        (false, false) => Kind::Untried,
    };
    let fresh = u32::MAX - idle;
    Rank { kind, fresh }
}

/// The place of what is not in use any more and is only to be cleared away.
pub(crate) fn rank_void() -> Rank {
    Rank {
        kind: Kind::Closed,
        fresh: 0,
    }
}

fn kind(flow: &Standing, quiet: bool) -> Option<Kind> {
    Some(match (flow.phase, flow.confirmed) {
        (Phase::Reset, true) if !quiet => Kind::Leaving,
        (Phase::Reset, _) => Kind::Closed,
        (Phase::Closed, _) | (Phase::Closing, false) => Kind::TimeWait,
        (Phase::Closing, true) if quiet => Kind::Leaving,
        (Phase::Opening, false) if quiet => Kind::HalfOpen,
        (Phase::Opening, false) => Kind::Opening,
        (Phase::Open, false) => Kind::Unconfirmed,
        (Phase::Datagrams, false) if flow.answered => Kind::Unconfirmed,
        (Phase::Datagrams, false) => Kind::OneWay,
        (_, true) => return None,
    })
}

/// How many of `most` flows to look at in each of two tables of these lengths: each flow has the same chance, and a table
/// that is not empty gets one.
pub(crate) fn shares(most: usize, one: usize, other: usize) -> (usize, usize) {
    let all = one.saturating_add(other);
    let first = one.saturating_mul(most).checked_div(all).unwrap_or(0);
    let first = first.max(one.min(1)).min(most.saturating_sub(other.min(1)));
    (first, most.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const HZ: u32 = 250;

    const PHASES: [Phase; 6] = [
        Phase::Datagrams,
        Phase::Opening,
        Phase::Open,
        Phase::Closing,
        Phase::Closed,
        Phase::Reset,
    ];

    fn kind(phase: Phase, confirmed: bool, idle: u32) -> Option<Kind> {
        let flow = Standing {
            phase,
            answered: confirmed,
            confirmed,
            idle,
        };
        rank(&flow, HZ).map(Rank::kind)
    }

    fn all() -> Vec<Standing> {
        let mut flows = Vec::new();
        for phase in PHASES {
            for (answered, confirmed) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                for idle in [0, 1, HZ, 3 * HZ - 1, 3 * HZ, 900 * HZ, u32::MAX] {
                    flows.push(Standing {
                        phase,
                        answered,
                        confirmed,
                        idle,
                    });
                }
            }
        }
        flows
    }

    #[test]
    fn a_confirmed_live_one_never_gives_way() {
        for flow in all().iter().filter(|flow| flow.confirmed) {
            let live = match flow.phase {
                Phase::Reset | Phase::Closed => false,
                Phase::Closing => flow.idle < 3 * HZ,
                Phase::Datagrams | Phase::Opening | Phase::Open => true,
            };
            assert_eq!(rank(flow, HZ).is_none(), live, "{flow:?}");
        }
    }

    #[test]
    fn whatever_nobody_confirmed_gives_way() {
        for flow in all().iter().filter(|flow| !flow.confirmed) {
            assert!(rank(flow, HZ).is_some(), "{flow:?}");
        }
    }

    #[test]
    fn those_with_least_to_lose_come_first() {
        let order = [
            (Phase::Reset, false),
            (Phase::Closed, true),
            (Phase::Opening, false),
            (Phase::Datagrams, false),
            (Phase::Open, false),
            (Phase::Closing, true),
        ];
        let idle = 10 * HZ;
        let kinds: Vec<_> = order
            .map(|(phase, known)| kind(phase, known, idle))
            .to_vec();
        assert!(kinds.iter().all(Option::is_some));
        assert!(kinds.is_sorted() && kinds.windows(2).all(|two| two[0] != two[1]));
        assert_eq!(kind(Phase::Closing, false, 0), Some(Kind::TimeWait));
        assert_eq!(kind(Phase::Closing, true, 0), None);
        assert_eq!(kind(Phase::Closing, true, idle), Some(Kind::Leaving));
    }

    #[test]
    fn a_template_goes_before_or_after_all_connections_of_a_kind() {
        let untried = rank_template(false, false, 0);
        let heard = rank_template(true, false, 0);
        let served = rank_template(true, true, u32::MAX);
        for flow in all() {
            let Some(other) = rank(&flow, HZ) else {
                continue;
            };
            assert!(other < served && rank_void() <= other, "{flow:?}");
            assert_eq!(untried < other, other.kind() > Kind::TimeWait, "{flow:?}");
            // A handshake that has just begun is worth more than what a stranger can leave behind.
            assert_eq!(heard < other, other.kind() >= Kind::Opening, "{flow:?}");
        }
        assert!(rank_template(true, true, 5) < rank_template(true, true, 4));
    }

    #[test]
    fn datagrams_keep_no_handshake_out() {
        let young = kind(Phase::Opening, false, HZ);
        let old = kind(Phase::Opening, false, 3 * HZ);
        let datagram = kind(Phase::Datagrams, false, 0);
        assert!(old < datagram && datagram < young);
        assert!(young < kind(Phase::Open, false, HZ));
    }

    #[test]
    fn two_tables_share_a_look() {
        assert_eq!(shares(16, 0, 0), (0, 16));
        assert_eq!(shares(16, 5, 0), (16, 0));
        assert_eq!(shares(16, 0, 5), (0, 16));
        assert_eq!(shares(16, 500, 500), (8, 8));
        assert_eq!(shares(16, 10_000, 1), (15, 1));
        assert_eq!(shares(16, 1, usize::MAX), (1, 15));
    }

    #[test]
    fn one_reset_while_it_talks_goes_last() {
        let talking = kind(Phase::Reset, true, HZ);
        let silent = kind(Phase::Reset, true, 3 * HZ);
        assert_eq!((talking, silent), (Some(Kind::Leaving), Some(Kind::Closed)));
    }

    #[test]
    fn an_answered_datagram_goes_after_one_way_traffic() {
        let flow = |answered| Standing {
            phase: Phase::Datagrams,
            answered,
            confirmed: false,
            idle: 5,
        };
        assert!(rank(&flow(false), HZ) < rank(&flow(true), HZ));
    }

    #[test]
    fn among_equals_the_one_idle_longest() {
        let flows = all();
        for a in &flows {
            for b in &flows {
                let (Some(first), Some(second)) = (rank(a, HZ), rank(b, HZ)) else {
                    continue;
                };
                if first.kind() == second.kind() {
                    assert_eq!(first.cmp(&second), b.idle.cmp(&a.idle), "{a:?} {b:?}");
                } else {
                    assert_eq!(first.cmp(&second), first.kind().cmp(&second.kind()));
                }
            }
        }
    }
}
