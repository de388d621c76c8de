// SPDX-License-Identifier: GPL-2.0

//! What speaks for both ends of a flow being there.

use core::sync::atomic::Ordering;

use super::{Family, Flow};
use crate::expiry::defence::MANY;
use crate::proto;
use crate::sys::index::Side;

/// The server has answered (methods that see answers).
pub(super) const ANSWERED: u8 = 0x10;
/// The client has sent something since the server answered.
pub(super) const CONFIRMED: u8 = 0x20;
/// Connection tracking knows the flow's packets (FULLNAT).
pub(super) const TRACKED: u8 = 0x40;
/// Answers come by here: always where addresses are translated, otherwise once one was seen
/// (IPVS: the connection has no NOOUTPUT).
pub(super) const BOTH: u8 = 0x80;
/// What a client's packets are counted in, up to one more than [`MANY`].
const COUNT: u8 = 0x0f;
/// All bits of it: so many packets came, and it is confirmed, so that no more are counted.
pub(super) const COUNTED: u8 = COUNT;
/// What makes [`COUNTED`] of one more than [`MANY`].
const REST: u8 = COUNTED & !(MANY + 1);

impl<A: Family> Flow<A> {
    /// Whether both ends are known to be there: the server has answered and the client has
    /// gone on, or, where answers do not come by here, more than eight packets came.
    pub(crate) fn confirmed(&self) -> bool {
        self.seen.load(Ordering::Relaxed) & CONFIRMED != 0
    }

    /// Notes a packet as long as the flow is not confirmed.
    ///
    /// Whoever sends from a stranger's address does not keep the mark: a server resets a
    /// connection whose SYN-ACK was acknowledged wrongly, which takes the mark away, and one
    /// that is reset is the first to give way. A SYN that is repeated acknowledges nothing.
    #[inline(never)]
    pub(super) fn notice(&self, side: Side, seen: u8, flags: u8) {
        let goes_on = proto::goes_on(self.proto, flags);
        match (side, self.translates()) {
            (Side::Second, _) if proto::resets(self.proto, flags) => {}
            (Side::Second, _) => {
                self.note(ANSWERED);
                // IPVS: datagrams that are answered assure the template.
                if seen & ANSWERED == 0 && !proto::has_states(self.proto) {
                    self.assure();
                }
            }
            (Side::First, true) => self.notice_request(seen, goes_on),
            // Of its SYNs only the first counts.
            (Side::First, false) if seen & COUNT != 0 && !goes_on => {}
            (Side::First, false) if seen & COUNT >= MANY => self.note(CONFIRMED | COUNTED),
            // Two at a time may count as one.
            (Side::First, false) => {
                let (next, order) = (seen.wrapping_add(1), Ordering::Relaxed);
                let _ = self.seen.compare_exchange(seen, next, order, order);
            }
        }
    }

    /// The same for a client's packet where answers come by.
    fn notice_request(&self, seen: u8, goes_on: bool) {
        let mark = match goes_on && seen & ANSWERED != 0 {
            true => CONFIRMED,
            false => 0,
        };
        let next = match seen & COUNT > MANY {
            false => seen.wrapping_add(1) | mark,
            true if (seen | mark) & CONFIRMED != 0 => seen | mark | COUNTED,
            true => seen,
        };
        let order = Ordering::Relaxed;
        // If the server's packets write a mark at the same time, this one is not counted.
        if next != seen
            && self
                .seen
                .compare_exchange(seen, next, order, order)
                .is_err()
        {
            self.note(mark);
        }
    }

    /// How many packets have come from the client, as far as they are counted.
    pub(super) fn packets(&self) -> u8 {
        self.seen.load(Ordering::Relaxed) & COUNT
    }

    /// Takes back that both ends are there: the server has repeated its SYN-ACK, so nobody has
    /// acknowledged the first.
    pub(crate) fn doubt(&self) {
        if self.confirmed() {
            self.unconfirm();
        }
    }

    /// Takes the mark away, and lets packets be noticed again.
    pub(super) fn unconfirm(&self) {
        let seen = self.seen.load(Ordering::Relaxed);
        let rest = if seen & COUNTED == COUNTED { REST } else { 0 };
        self.seen.fetch_and(!(CONFIRMED | rest), Ordering::Relaxed);
    }

    /// Notes that answers come by here, though their addresses stay as they are.
    pub(crate) fn hear_answers(&self) {
        self.note(BOTH);
        // As in `notice`, whatever came before.
        if !proto::has_states(self.proto) {
            self.assure();
        }
    }

    /// Whether they do.
    pub(super) fn hears_answers(&self) -> bool {
        self.seen.load(Ordering::Relaxed) & BOTH != 0
    }

    pub(super) fn note(&self, mark: u8) {
        if self.seen.load(Ordering::Relaxed) & mark != mark {
            self.seen.fetch_or(mark, Ordering::Relaxed);
        }
    }
}
