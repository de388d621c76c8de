// SPDX-License-Identifier: GPL-2.0
//! TCP as a director sees it: IPVS's states and its tables of the next state.
//!
//! A director may see both directions of a connection (NAT, FULLNAT) or only the client's (DR, TUN), and it sees
//! segments before it is known whether their receiver takes them. So this is no machine of RFC 9293, but a guess that
//! decides how long a silent connection is kept and whether it counts as active.

use super::{Direction, Phase, Protocol, Row};

/// Bits of the TCP header's flags byte (RFC 9293, section 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// How many states there are.
const STATES: usize = 11;

/// A connection's state; the numbers are IPVS's (`IP_VS_TCP_S_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// No segment was judged yet.
    None = 0,
    /// Both ends may send.
    Established = 1,
    /// The server opens a connection to the client.
    SynSent = 2,
    /// The client's SYN was seen.
    SynRecv = 3,
    /// The server closed first; when its direction is not seen: the client closed.
    FinWait = 4,
    /// Both ends closed.
    TimeWait = 5,
    /// Reset, or a segment with none of SYN, FIN, ACK and RST.
    Close = 6,
    /// The client closed first.
    CloseWait = 7,
    /// Kept as IPVS has it; no table leads here.
    LastAck = 8,
    /// A connection that a helper expects.
    Listen = 9,
    /// Kept as IPVS has it; only its tables for attack times lead here.
    SynAck = 10,
}

/// Every state at the index of its number.
const ALL: [State; STATES] = [
    State::None,
    State::Established,
    State::SynSent,
    State::SynRecv,
    State::FinWait,
    State::TimeWait,
    State::Close,
    State::CloseWait,
    State::LastAck,
    State::Listen,
    State::SynAck,
];

impl State {
    /// The state with this number; [`State::None`] for a number that no state has.
    #[inline]
    fn from_u8(number: u8) -> Self {
        ALL.get(usize::from(number)).copied().unwrap_or(Self::None)
    }
}

/// The next states of one direction: a row for each event, in it a column for each present state.
struct Table {
    syn: [State; STATES],
    fin: [State; STATES],
    ack: [State; STATES],
    rst: [State; STATES],
}

/// IPVS's normal tables.
#[rustfmt::skip]
mod normal {
    use super::State::{
        Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI, SynRecv as SR,
        SynSent as SS, TimeWait as TW,
    };
    use super::Table;

    pub(super) const INPUT: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        fin: [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],
        ack: [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        rst: [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],
    };

    pub(super) const OUTPUT: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
        fin: [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        ack: [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        rst: [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    };

    pub(super) const INPUT_ONLY: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        fin: [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        ack: [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        rst: [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    };
}

/// Its tables for attack times: a connection is open when the server goes on, not before.
#[rustfmt::skip]
mod secure {
    use super::State::{
        Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI, SynAck as SA,
        SynRecv as SR, SynSent as SS, TimeWait as TW,
    };
    use super::{normal, Table};

    pub(super) const INPUT: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA],
        fin: [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA],
        ack: [ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA],
        rst: [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    };

    pub(super) const OUTPUT: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA],
        ..normal::OUTPUT
    };

    pub(super) const INPUT_ONLY: Table = Table {
        //    NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        syn: [SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA],
        ..normal::INPUT_ONLY
    };
}

impl Table {
    fn secure(direction: Direction) -> &'static Self {
        match direction {
            Direction::Input => &secure::INPUT,
            Direction::Output => &secure::OUTPUT,
            Direction::InputOnly => &secure::INPUT_ONLY,
        }
    }

    fn of(direction: Direction) -> &'static Self {
        match direction {
            Direction::Input => &normal::INPUT,
            Direction::Output => &normal::OUTPUT,
            Direction::InputOnly => &normal::INPUT_ONLY,
        }
    }

    /// The row for a segment with these flags: of several, RST goes before SYN before FIN before ACK.
    fn row(&self, flags: u8) -> Option<&[State; STATES]> {
        if flags & RST != 0 {
            Some(&self.rst)
        } else if flags & SYN != 0 {
            Some(&self.syn)
        } else if flags & FIN != 0 {
            Some(&self.fin)
        } else if flags & ACK != 0 {
            Some(&self.ack)
        } else {
            None
        }
    }
}

/// The state of a connection after a segment with `flags`, by the table for its direction.
///
/// A segment with none of RST, SYN, FIN and ACK closes. Source: `set_tcp_state` of Linux's `ip_vs_proto_tcp.c`.
#[inline]
fn next(state: State, flags: u8, table: &Table) -> State {
    table
        .row(flags)
        .and_then(|row| row.get(usize::from(state as u8)))
        .copied()
        .unwrap_or(State::Close)
}

/// TCP.
pub(super) struct Tcp;

impl Protocol for Tcp {
    const NUMBER: u8 = 6;
    const HEADER: usize = 20;
    const CHECK: usize = 16;
    const FLAGS: Option<usize> = Some(13);
    const CARRIES_FTP: bool = true;
    #[rustfmt::skip]
    const STATES: &'static [Row] = &[
        //       name           s  active phase
        Row::new("NONE",          2, false, Phase::Opening),
        Row::new("ESTABLISHED", 900, true,  Phase::Open),
        Row::new("SYN_SENT",    120, true,  Phase::Opening),
        Row::new("SYN_RECV",     60, true,  Phase::Opening),
        Row::new("FIN_WAIT",    120, false, Phase::Closing),
        Row::new("TIME_WAIT",   120, false, Phase::Closed),
        Row::new("CLOSE",        10, false, Phase::Reset),
        Row::new("CLOSE_WAIT",   60, false, Phase::Closing),
        Row::new("LAST_ACK",     30, false, Phase::Closing),
        Row::new("LISTEN",      120, false, Phase::Opening),
        Row::new("SYNACK",      120, true,  Phase::Opening),
    ];

    #[inline(always)]
    fn next(state: u8, flags: u8, direction: Direction) -> u8 {
        next(State::from_u8(state), flags, Table::of(direction)) as u8
    }

    fn next_secure(state: u8, flags: u8, direction: Direction) -> u8 {
        next(State::from_u8(state), flags, Table::secure(direction)) as u8
    }

    fn is_half_open(state: u8) -> bool {
        matches!(State::from_u8(state), State::SynRecv | State::SynAck)
    }

    /// A SYN that is no RST. SYN with ACK may too, for the data connection of active FTP.
    #[inline(always)]
    fn may_create(flags: u8) -> bool {
        flags & (SYN | RST) == SYN
    }

    #[inline(always)]
    fn may_join(flags: u8) -> bool {
        flags & RST == 0
    }

    #[inline(always)]
    fn begins(flags: u8) -> bool {
        flags & (SYN | ACK | RST) == SYN
    }

    #[inline(always)]
    fn opens(flags: u8) -> bool {
        flags & SYN != 0
    }

    #[inline(always)]
    fn goes_on(flags: u8) -> bool {
        flags & (ACK | SYN | RST) == ACK
    }

    #[inline(always)]
    fn resets(flags: u8) -> bool {
        flags & RST != 0
    }

    #[inline(always)]
    fn ends(flags: u8) -> bool {
        flags & (FIN | RST) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Input, InputOnly, Output};
    use super::*;
    use std::vec::Vec;

    /// IPVS's tables once more, as text: an event's row, a column for each state by number.
    const TEXT: [(Direction, u8, &str); 12] = [
        (Input, SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
        (Input, FIN, "CL CW SS TW TW TW CL CW LA LI TW"),
        (Input, ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
        (Input, RST, "CL CL CL SR CL CL CL CL LA LI SR"),
        (Output, SYN, "SS ES SS SR SS SS SS SS SS LI SR"),
        (Output, FIN, "TW FW SS TW FW TW CL TW LA LI TW"),
        (Output, ACK, "ES ES SS ES FW TW CL CW LA ES ES"),
        (Output, RST, "CL CL SS CL CL TW CL CL CL CL CL"),
        (InputOnly, SYN, "SR ES ES SR SR SR SR SR SR SR SR"),
        (InputOnly, FIN, "CL FW SS TW FW TW CL CW LA LI TW"),
        (InputOnly, ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
        (InputOnly, RST, "CL CL CL SR CL CL CL CL LA LI CL"),
    ];

    /// The same for attack times.
    const SECURE: [(Direction, u8, &str); 12] = [
        (Input, SYN, "SR ES ES SR SR SR SR SR SR SR SA"),
        (Input, FIN, "CL CW SS TW TW TW CL CW LA LI SA"),
        (Input, ACK, "ES ES SS SR FW TW CL CW CL LI SA"),
        (Input, RST, "CL CL CL SR CL CL CL CL LA LI CL"),
        (Output, SYN, "SS ES SS SA SS SS SS SS SS LI SA"),
        (Output, FIN, "TW FW SS TW FW TW CL TW LA LI TW"),
        (Output, ACK, "ES ES SS ES FW TW CL CW LA ES ES"),
        (Output, RST, "CL CL SS CL CL TW CL CL CL CL CL"),
        (InputOnly, SYN, "SA ES ES SR SA SA SA SA SA SA SA"),
        (InputOnly, FIN, "CL FW SS TW FW TW CL CW LA LI TW"),
        (InputOnly, ACK, "ES ES SS ES FW TW CL CW CL LI ES"),
        (InputOnly, RST, "CL CL CL SR CL CL CL CL LA LI CL"),
    ];

    const NAMES: [(&str, &str); STATES] = [
        ("NO", "NONE"),
        ("ES", "ESTABLISHED"),
        ("SS", "SYN_SENT"),
        ("SR", "SYN_RECV"),
        ("FW", "FIN_WAIT"),
        ("TW", "TIME_WAIT"),
        ("CL", "CLOSE"),
        ("CW", "CLOSE_WAIT"),
        ("LA", "LAST_ACK"),
        ("LI", "LISTEN"),
        ("SA", "SYNACK"),
    ];

    fn by_abbreviation(short: &str) -> State {
        let number = NAMES.iter().position(|&(name, _)| name == short);
        ALL[number.expect("an abbreviation of a state")]
    }

    #[test]
    fn numbers_and_names_are_those_of_ipvs() {
        for (number, (_, name)) in NAMES.into_iter().enumerate() {
            let state = State::from_u8(number as u8);
            assert_eq!(state as usize, number);
            assert_eq!(Tcp::STATES[number].name, name);
        }
        for number in STATES as u8..=u8::MAX {
            assert_eq!(State::from_u8(number), State::None);
        }
    }

    #[test]
    fn active_states_are_those_of_ipvs() {
        let active: Vec<_> = (0..)
            .zip(Tcp::STATES)
            .filter_map(|(number, row)| row.active.then_some(State::from_u8(number)))
            .collect();
        let expected = [
            State::Established,
            State::SynSent,
            State::SynRecv,
            State::SynAck,
        ];
        assert_eq!(active, expected);
    }

    fn assert_cells(text: [(Direction, u8, &str); 12], table: fn(Direction) -> &'static Table) {
        for (direction, flag, row) in text {
            let row: Vec<_> = row.split(' ').collect();
            assert_eq!(row.len(), STATES);
            for (state, short) in ALL.into_iter().zip(row) {
                assert_eq!(
                    next(state, flag, table(direction)),
                    by_abbreviation(short),
                    "{state:?} {flag:#x} {direction:?}"
                );
            }
        }
    }

    #[test]
    fn every_cell_equals_ipvs() {
        assert_cells(TEXT, Table::of);
        assert_cells(SECURE, Table::secure);
    }

    /// What [`crate::proto::next_secure`] need not be asked for.
    #[test]
    fn tables_for_attack_times_differ_only_where_a_state_changes_or_a_syn_comes() {
        for direction in [Input, Output, InputOnly] {
            for state in ALL {
                for flags in (0..=u8::MAX).filter(|flags| flags & SYN == 0) {
                    let next = next(state, flags, Table::of(direction)) as u8;
                    if next == state as u8 {
                        assert_eq!(Tcp::next_secure(state as u8, flags, direction), next);
                    }
                }
            }
        }
    }

    #[test]
    fn of_several_flags_the_strongest_counts() {
        for direction in [Input, Output, InputOnly] {
            for state in ALL {
                for flags in 0..=u8::MAX {
                    let strongest = [RST, SYN, FIN, ACK].into_iter().find(|f| flags & f != 0);
                    let expected = match strongest {
                        Some(flag) => next(state, flag, Table::of(direction)),
                        None => State::Close,
                    };
                    assert_eq!(next(state, flags, Table::of(direction)), expected);
                }
            }
        }
    }

    fn walk(steps: &[(u8, Direction)]) -> Vec<State> {
        let mut state = State::None;
        steps
            .iter()
            .map(|&(flags, direction)| {
                state = next(state, flags, Table::of(direction));
                state
            })
            .collect()
    }

    #[test]
    fn a_connection_by_nat_closed_by_the_client() {
        let steps = [
            (SYN, Input),
            (SYN | ACK, Output),
            (ACK, Input),
            (FIN | ACK, Input),
            (FIN | ACK, Output),
            (ACK, Input),
        ];
        let states = [
            State::SynRecv,
            State::SynRecv,
            State::Established,
            State::CloseWait,
            State::TimeWait,
            State::TimeWait,
        ];
        assert_eq!(walk(&steps), states);
    }

    #[test]
    fn a_connection_by_dr_closed_by_the_client() {
        let steps = [
            (SYN, InputOnly),
            (ACK, InputOnly),
            (FIN | ACK, InputOnly),
            (ACK, InputOnly),
        ];
        let states = [
            State::SynRecv,
            State::Established,
            State::FinWait,
            State::FinWait,
        ];
        assert_eq!(walk(&steps), states);
    }

    #[test]
    fn only_an_acknowledgement_goes_on() {
        for flags in 0..=u8::MAX {
            let expected = flags & ACK != 0 && flags & SYN == 0 && !Tcp::resets(flags);
            assert_eq!(Tcp::goes_on(flags), expected);
        }
        assert!(
            Tcp::goes_on(ACK | FIN)
                && !Tcp::goes_on(SYN)
                && !Tcp::goes_on(SYN | ACK)
                && !Tcp::goes_on(RST | ACK)
        );
    }

    #[test]
    fn only_a_syn_without_rst_may_create() {
        for flags in 0..=u8::MAX {
            let expected = flags & SYN != 0 && flags & RST == 0;
            assert_eq!(Tcp::may_create(flags), expected);
            assert_eq!(Tcp::may_join(flags), flags & RST == 0);
        }
    }
}
