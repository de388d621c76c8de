// SPDX-License-Identifier: GPL-2.0
//! The protocols that are balanced, and what a director has to know of each. One file a protocol.
//!
//! Pure: `core` only. A protocol is a type that implements [`Protocol`], with a table of its states, and has one line
//! in `ask!`. Whoever has a protocol's number from a packet or a flow asks the functions below. Each is a comparison of
//! numbers with constants behind it: nothing is called through a pointer.

mod tcp;
mod timeouts;
mod udp;

pub(crate) use self::timeouts::Timeouts;

/// The numbers of protocols in the IP header, as tests need them.
#[cfg(test)]
pub(crate) const TCP: u8 = tcp::Tcp::NUMBER;
#[cfg(test)]
pub(crate) const UDP: u8 = udp::Udp::NUMBER;

/// The state that every connection begins in.
pub(crate) const FIRST: u8 = 0;

/// What a director has to know of a protocol. The defaults are those of one whose packets say nothing of a connection.
///
/// The flags are the byte that stands at [`Protocol::FLAGS`] in a packet's header, or 0.
trait Protocol {
    /// Its number in the IP header.
    const NUMBER: u8;
    /// Bytes of its header, without options.
    const HEADER: usize;
    /// Offset of the Internet checksum in its header.
    const CHECK: usize;
    /// Whether a checksum of 0 says that the sender made none.
    const CHECK_IS_OPTIONAL: bool = false;
    /// Offset of the byte that tells what a packet does to its connection.
    const FLAGS: Option<usize> = None;
    /// Whether FTP uses it.
    const CARRIES_FTP: bool = false;
    /// Its states, each at the index of its number.
    const STATES: &'static [Row];

    /// The state of a connection after a packet.
    fn next(state: u8, _flags: u8, _direction: Direction) -> u8 {
        state
    }

    /// The same in attack times (IPVS: `secure_tcp`).
    fn next_secure(state: u8, flags: u8, direction: Direction) -> u8 {
        Self::next(state, flags, direction)
    }

    /// Whether a connection in a state has been asked for by a client that may not be there.
    fn is_half_open(_state: u8) -> bool {
        false
    }

    /// Whether a packet may open a flow.
    fn may_create(_flags: u8) -> bool {
        true
    }

    /// Whether a packet may open a flow for a connection that has begun elsewhere.
    fn may_join(_flags: u8) -> bool {
        true
    }

    /// Whether a packet is the first of a connection, and hardly ever one of a known flow.
    fn begins(_flags: u8) -> bool {
        false
    }

    /// Whether a packet opens a connection, from either side.
    fn opens(_flags: u8) -> bool {
        false
    }

    /// Whether a packet goes on with a connection that its sender takes for open.
    fn goes_on(_flags: u8) -> bool {
        true
    }

    /// Whether a packet resets the connection.
    fn resets(_flags: u8) -> bool {
        false
    }

    /// Whether a packet ends a connection, or its direction of it.
    fn ends(_flags: u8) -> bool {
        false
    }
}

/// A row of a protocol's table: a state.
struct Row {
    /// Its name in listings, as IPVS writes it.
    name: &'static str,
    /// Seconds without a packet after which a connection expires, unless the user sets another number.
    timeout: u32,
    /// Whether a connection in it counts among its destination's active ones.
    active: bool,
    phase: Phase,
}

impl Row {
    const fn new(name: &'static str, timeout: u32, active: bool, phase: Phase) -> Self {
        Self {
            name,
            timeout,
            active,
            phase,
        }
    }
}

/// How far a connection is, whatever its protocol calls that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its packets do not tell.
    Datagrams,
    /// An end has asked for it.
    Opening,
    /// Both may send.
    Open,
    /// One end has closed.
    Closing,
    /// Both ends have closed.
    Closed,
    /// An end has reset it.
    Reset,
}

impl Phase {
    /// Whether the connection is over, so that a new one may take its place.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

/// Where a packet comes from, and whether the other direction passes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client; the server's packets are seen too.
    Input,
    /// From the server.
    Output,
    /// From the client; the server answers past the director.
    InputOnly,
}

/// Asks the protocol of a number, which `$answer` calls `$protocol`; `$none` if there is none.
macro_rules! ask {
    (@ $this:ty, $protocol:ident => $answer:expr) => {{
        type $protocol = $this;
        $answer
    }};
    ($number:expr, $protocol:ident => $answer:expr, $none:expr) => {
        match $number {
            $crate::proto::tcp::Tcp::NUMBER => ask!(@ $crate::proto::tcp::Tcp, $protocol => $answer),
            $crate::proto::udp::Udp::NUMBER => ask!(@ $crate::proto::udp::Udp, $protocol => $answer),
            _ => $none,
        }
    };
}
use ask;

/// All protocols that are balanced.
pub(crate) const ALL: [u8; 2] = [tcp::Tcp::NUMBER, udp::Udp::NUMBER];

/// Whether a protocol is balanced.
#[inline(always)]
pub(crate) fn is_known(number: u8) -> bool {
    header_len(number).is_some()
}

/// Bytes of a protocol's header, without options.
#[inline(always)]
pub(crate) fn header_len(number: u8) -> Option<usize> {
    ask!(number, P => Some(P::HEADER), None)
}

/// Offset of the Internet checksum in a protocol's header.
#[inline(always)]
pub(crate) fn check_at(number: u8) -> Option<usize> {
    ask!(number, P => Some(P::CHECK), None)
}

/// Whether a protocol's checksum of 0 says that the sender made none.
#[inline(always)]
pub(crate) fn check_is_optional(number: u8) -> bool {
    ask!(number, P => P::CHECK_IS_OPTIONAL, false)
}

/// Offset of the byte in a protocol's header that tells what a packet does to its connection.
#[inline(always)]
pub(crate) fn flags_at(number: u8) -> Option<usize> {
    ask!(number, P => P::FLAGS, None)
}

/// Whether FTP uses a protocol.
#[inline(always)]
pub(crate) fn carries_ftp(number: u8) -> bool {
    ask!(number, P => P::CARRIES_FTP, false)
}

/// Whether a packet with `flags` may open a flow.
#[inline(always)]
pub(crate) fn may_create(number: u8, flags: u8) -> bool {
    ask!(number, P => P::may_create(flags), false)
}

/// Whether a packet with `flags` may open a flow for a connection that has begun elsewhere.
#[inline(always)]
pub(crate) fn may_join(number: u8, flags: u8) -> bool {
    ask!(number, P => P::may_join(flags), false)
}

/// Whether a packet with `flags` is the first of a connection, and hardly ever one of a known flow.
#[inline(always)]
pub(crate) fn begins(number: u8, flags: u8) -> bool {
    ask!(number, P => P::begins(flags), false)
}

/// Whether a packet with `flags` opens a connection, from either side.
#[inline(always)]
pub(crate) fn opens(number: u8, flags: u8) -> bool {
    ask!(number, P => P::opens(flags), false)
}

/// Whether a packet with `flags` goes on with a connection that its sender takes for open.
#[inline(always)]
pub(crate) fn goes_on(number: u8, flags: u8) -> bool {
    ask!(number, P => P::goes_on(flags), true)
}

/// Whether a packet with `flags` resets the connection.
#[inline(always)]
pub(crate) fn resets(number: u8, flags: u8) -> bool {
    ask!(number, P => P::resets(flags), false)
}

/// Whether a packet with `flags` ends a connection, or its direction of it.
#[inline(always)]
pub(crate) fn ends(number: u8, flags: u8) -> bool {
    ask!(number, P => P::ends(flags), false)
}

/// The state of a connection after a packet with `flags`.
#[inline(always)]
pub(crate) fn next(number: u8, state: u8, flags: u8, direction: Direction) -> u8 {
    ask!(number, P => P::next(state, flags, direction), state)
}

/// The same in attack times (IPVS: `secure_tcp`).
pub(crate) fn next_secure(number: u8, state: u8, flags: u8, direction: Direction) -> u8 {
    ask!(number, P => P::next_secure(state, flags, direction), state)
}

/// Whether a connection in a state has been asked for by a client that may not be there.
pub(crate) fn is_half_open(number: u8, state: u8) -> bool {
    ask!(number, P => P::is_half_open(state), false)
}

/// Whether a protocol's connections have more than one state.
#[inline(always)]
pub(crate) fn has_states(number: u8) -> bool {
    ask!(number, P => P::STATES.len() > 1, false)
}

/// A protocol's states.
fn states(number: u8) -> &'static [Row] {
    ask!(number, P => P::STATES, &[])
}

/// What is known of a state; a number that no state has counts as the first.
fn state(number: u8, state: u8) -> Option<&'static Row> {
    let states = states(number);
    states.get(usize::from(state)).or(states.first())
}

/// A state's name in listings, as IPVS writes it.
pub(crate) fn state_name(number: u8, number_of_state: u8) -> &'static str {
    state(number, number_of_state).map_or("", |state| state.name)
}

/// Whether a connection in a state counts among its destination's active ones.
pub(crate) fn is_active(number: u8, number_of_state: u8) -> bool {
    state(number, number_of_state).is_some_and(|state| state.active)
}

/// How far a connection in a state is.
pub(crate) fn phase(number: u8, number_of_state: u8) -> Phase {
    state(number, number_of_state).map_or(Phase::Datagrams, |state| state.phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_other_protocols_are_none_of_ours() {
        for number in (0..=u8::MAX).filter(|&number| !is_known(number)) {
            assert!(![TCP, UDP].contains(&number));
            assert_eq!((header_len(number), check_at(number)), (None, None));
            assert!(!may_create(number, 0) && !opens(number, u8::MAX));
            assert!(states(number).is_empty());
        }
        assert!(ALL.into_iter().all(is_known));
        assert_eq!((0..=u8::MAX).filter(|&n| is_known(n)).count(), ALL.len());
    }

    #[test]
    fn fields_lie_in_the_header() {
        for number in (0..=u8::MAX).filter(|&number| is_known(number)) {
            let header = header_len(number).unwrap();
            assert!(check_at(number).unwrap() + 2 <= header);
            assert!(flags_at(number).is_none_or(|at| at < header));
        }
    }

    #[test]
    fn a_datagram_says_nothing_of_a_connection() {
        for flags in 0..=u8::MAX {
            assert!(may_create(UDP, flags) && goes_on(UDP, flags));
            assert!(!begins(UDP, flags) && !opens(UDP, flags));
            assert!(!resets(UDP, flags) && !ends(UDP, flags));
            for direction in [Direction::Input, Direction::Output, Direction::InputOnly] {
                assert_eq!(next(UDP, FIRST, flags, direction), FIRST);
            }
        }
        assert!(!has_states(UDP) && !is_active(UDP, FIRST));
        assert_eq!(phase(UDP, FIRST), Phase::Datagrams);
        assert_eq!(state_name(UDP, FIRST), "UDP");
    }

    #[test]
    fn a_number_that_no_state_has_counts_as_the_first() {
        for number in [TCP, UDP] {
            for none in [states(number).len() as u8, u8::MAX] {
                assert_eq!(state_name(number, none), state_name(number, FIRST));
                assert_eq!(phase(number, none), phase(number, FIRST));
                assert!(!is_active(number, none));
            }
        }
    }
}
