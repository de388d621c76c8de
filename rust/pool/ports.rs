// SPDX-License-Identifier: GPL-2.0
//! A set of local ports that hands out the next free one in constant time.
//!
//! Three levels of bits: one for each port, one for each 64 ports, one for each 4096 ports. A bit is set while
//! something below it is free, so a search reads at most five words, twice when it wraps, however full the set is. It
//! goes on from the port handed out last: a port that was given back rests as long as the range allows, which is what
//! TIME_WAIT at the real server asks for.

use core::ops::DerefMut;

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// Words that have a bit for each word of ports.
const GROUPS: usize = 65_536 / BITS / BITS;

/// The words that a set of the ports from `min` to `max` needs.
pub(crate) fn words(min: u16, max: u16) -> usize {
    if min > max {
        return 0;
    }
    usize::from(max) / BITS - usize::from(min) / BITS + 1
}

/// The local ports for one protocol, real server, its port, and local address.
///
/// # Invariants
///
/// The words of `free` stand for the ports from `base` on, a multiple of a word's bits. A bit of `groups` is set if and
/// only if the word of `free` with its number is not zero; a bit of `top` if and only if the word of `groups` with its
/// number is not zero. Only ports from `min` to `max` are ever free, and `used` is how many of them are not.
pub(crate) struct Ports<W> {
    free: W,
    groups: [u64; GROUPS],
    top: u64,
    /// How many ports are handed out.
    used: u32,
    base: u16,
    /// Where the next search starts.
    cursor: u16,
    min: u16,
    max: u16,
}

impl<W: DerefMut<Target = [u64]>> Ports<W> {
    /// The ports from `min` to `max`, both included, in as many words as [`words`] says. All are free.
    ///
    /// Port 0 is left out, as nothing can be sent to it. `min` above `max` gives a set without ports.
    pub(crate) fn new(mut free: W, min: u16, max: u16) -> Self {
        let base = min - min % BITS as u16;
        let min = min.max(1);
        for (first, word) in (base.into()..).step_by(BITS).zip(free.iter_mut()) {
            *word = span(first, min.into(), max.into());
        }
        let mut groups = [0; GROUPS];
        for (words, group) in free.chunks(BITS).zip(&mut groups) {
            *group = occupied(words);
        }
        Self {
            free,
            groups,
            top: occupied(&groups),
            used: 0,
            base,
            cursor: min,
            min,
            max,
        }
    }

    /// Hands out the next free port at or after the cursor, from the range's start when its end is reached.
    ///
    /// [`None`] when every port is in use.
    pub(crate) fn take(&mut self) -> Option<u16> {
        let port = self.find(self.cursor).or_else(|| self.find(0))?;
        self.mark_used(port);
        self.used = self.used.saturating_add(1);
        self.cursor = port.wrapping_add(1);
        Some(port)
    }

    /// Takes back a port that [`Ports::take`] handed out. A port that is not out changes nothing.
    pub(crate) fn give(&mut self, port: u16) {
        let in_range = port != 0 && (self.min..=self.max).contains(&port);
        if in_range && !self.is_free(port) {
            self.mark_free(port);
            self.used = self.used.saturating_sub(1);
        }
    }

    /// The port `steps` after the cursor, if it is handed out; from the range's start when its end is reached.
    ///
    /// While no port is free, the port at the cursor is the one handed out longest ago, and so on.
    pub(crate) fn eldest(&self, steps: u16) -> Option<u16> {
        let port = self.ahead(steps)?;
        (!self.is_free(port)).then_some(port)
    }

    /// Moves the cursor on by so many ports.
    pub(crate) fn pass(&mut self, steps: u16) {
        self.cursor = self.ahead(steps).unwrap_or(self.cursor);
    }

    /// The port `steps` after the cursor, round the range; [`None`] without ports.
    fn ahead(&self, steps: u16) -> Option<u16> {
        let size = u32::from(self.max.checked_sub(self.min)?) + 1;
        let at = self.cursor.saturating_sub(self.min);
        let steps = u32::from(at).wrapping_add(steps.into()).checked_rem(size)?;
        self.min.checked_add(u16::try_from(steps).ok()?)
    }

    /// How many ports are handed out.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    fn is_free(&self, port: u16) -> bool {
        let (word, bit) = self.place(port);
        self.free
            .get(word)
            .is_some_and(|bits| bits & mask(bit) != 0)
    }

    /// The number of the word that has the port's bit, and the bit's number in it.
    fn place(&self, port: u16) -> (usize, usize) {
        split(port.saturating_sub(self.base).into())
    }

    /// The port of a bit.
    fn port(&self, word: usize, bit: usize) -> Option<u16> {
        self.base
            .checked_add(u16::try_from(number(word, bit)).ok()?)
    }

    /// The first free port that is not below `from`.
    fn find(&self, from: u16) -> Option<u16> {
        let (word, bit) = self.place(from);
        if let Some(bit) = self.free.get(word).and_then(|&bits| first(bits, bit)) {
            return self.port(word, bit);
        }
        let word = self.find_word(word.wrapping_add(1))?;
        self.port(word, first(*self.free.get(word)?, 0)?)
    }

    /// The first word with a free port whose number is not below `from`.
    fn find_word(&self, from: usize) -> Option<usize> {
        let (group, bit) = split(from);
        if let Some(bit) = self.groups.get(group).and_then(|&bits| first(bits, bit)) {
            return Some(number(group, bit));
        }
        let group = first(self.top, group.wrapping_add(1))?;
        Some(number(group, first(*self.groups.get(group)?, 0)?))
    }

    fn mark_used(&mut self, port: u16) {
        let (word, bit) = self.place(port);
        if !clear(self.free.get_mut(word), bit) {
            return;
        }
        let (group, bit) = split(word);
        if clear(self.groups.get_mut(group), bit) {
            self.top &= !mask(group);
        }
    }

    fn mark_free(&mut self, port: u16) {
        let (word, bit) = self.place(port);
        set(self.free.get_mut(word), bit);
        let (group, bit) = split(word);
        set(self.groups.get_mut(group), bit);
        self.top |= mask(group);
    }
}

/// The number of the word that holds bit `number`, and the bit's number in it.
fn split(number: usize) -> (usize, usize) {
    (number / BITS, number % BITS)
}

/// The number of bit `bit` of word `word`.
fn number(word: usize, bit: usize) -> usize {
    word.wrapping_mul(BITS).wrapping_add(bit)
}

/// The word with only bit `bit` set, which is below 64.
fn mask(bit: usize) -> u64 {
    1 << (bit % BITS)
}

/// The word with every bit from `bit` upwards set; 0 when a word has no such bit.
fn at_or_above(bit: usize) -> u64 {
    let bit = u32::try_from(bit).unwrap_or(u32::MAX);
    u64::MAX.checked_shl(bit).unwrap_or(0)
}

/// The lowest set bit of `word` that is not below `from`.
fn first(word: u64, from: usize) -> Option<usize> {
    let rest = word & at_or_above(from);
    // CAST: at most 64.
    (rest != 0).then(|| rest.trailing_zeros() as usize)
}

/// Clears a bit and says whether that left the word empty.
fn clear(word: Option<&mut u64>, bit: usize) -> bool {
    word.is_some_and(|word| {
        *word &= !mask(bit);
        *word == 0
    })
}

fn set(word: Option<&mut u64>, bit: usize) {
    if let Some(word) = word {
        *word |= mask(bit);
    }
}

/// The bits of the word whose lowest bit stands for `first`, that stand for `min` to `max`.
fn span(first: usize, min: usize, max: usize) -> u64 {
    let from = min.saturating_sub(first);
    let end = max.wrapping_add(1).saturating_sub(first);
    at_or_above(from) & !at_or_above(end)
}

/// A bit for each of up to 64 `words`: set when the word is not zero.
fn occupied(words: &[u64]) -> u64 {
    words
        .iter()
        .enumerate()
        .filter(|(_, &word)| word != 0)
        .fold(0, |bits, (number, _)| bits | mask(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn ports(min: u16, max: u16) -> Ports<Vec<u64>> {
        Ports::new(vec![0; words(min, max)], min, max)
    }

    fn take_all(ports: &mut Ports<Vec<u64>>) -> Vec<u16> {
        core::iter::from_fn(|| ports.take()).collect()
    }

    #[test]
    fn only_the_words_of_the_range() {
        assert_eq!(words(0, 65_535), 1024);
        assert_eq!(words(64, 127), 1);
        assert_eq!(words(63, 64), 2);
        assert_eq!(words(101, 100), 0);
    }

    #[test]
    fn without_words_there_are_no_ports() {
        let mut ports = Ports::new(Vec::new(), 1, 100);
        ports.give(0);
        ports.give(80);
        assert_eq!(ports.take(), None);
        assert_eq!(ports.used(), 0);
    }

    #[test]
    fn every_port_of_the_range_once_in_order() {
        for (min, max) in [
            (1, 65_535),
            (5_000, 65_535),
            (63, 64),
            (64, 127),
            (65_535, 65_535),
        ] {
            let mut ports = ports(min, max);
            assert_eq!(take_all(&mut ports), (min..=max).collect::<Vec<_>>());
            assert_eq!(ports.used(), u32::from(max - min) + 1);
        }
    }

    #[test]
    fn port_0_is_left_out() {
        assert_eq!(take_all(&mut ports(0, 3)), [1, 2, 3]);
        assert_eq!(take_all(&mut ports(0, 0)), []);
    }

    #[test]
    fn reversed_range_is_empty() {
        assert_eq!(take_all(&mut ports(2_000, 1_000)), []);
        assert_eq!(take_all(&mut ports(101, 100)), []);
    }

    #[test]
    fn a_returned_port_comes_after_the_rest() {
        let mut ports = ports(10, 13);
        assert_eq!(ports.take(), Some(10));
        ports.give(10);
        assert_eq!(take_all(&mut ports), [11, 12, 13, 10]);
    }

    #[test]
    fn the_eldest_come_in_the_order_of_their_handing_out() {
        for (min, max) in [(10, 13), (63, 66), (65_532, 65_535), (0, 4)] {
            let mut ports = ports(min, max);
            let mut out = take_all(&mut ports);
            for turn in 0..10 {
                let eldest: Vec<_> = (0..4).filter_map(|n| ports.eldest(n)).collect();
                assert_eq!(eldest, out, "{min}-{max}, turn {turn}");
                ports.give(eldest[0]);
                assert_eq!(ports.eldest(0), None);
                assert_eq!(ports.take(), Some(eldest[0]));
                out.rotate_left(1);
            }
        }
    }

    #[test]
    fn those_that_are_passed_by_come_again_after_a_round() {
        let mut ports = ports(10, 19);
        take_all(&mut ports);
        let seen: Vec<_> = (0..5)
            .flat_map(|_| {
                let four = [0, 1, 2, 3].map(|steps| ports.eldest(steps).unwrap());
                ports.pass(4);
                four
            })
            .collect();
        assert_eq!(seen[..10], (10..20).collect::<Vec<_>>());
        assert_eq!(seen[10..], seen[..10]);
        // Another one than the eldest gives way: the search goes on behind it.
        ports.give(17);
        assert_eq!((ports.take(), ports.eldest(0)), (Some(17), Some(18)));
    }

    #[test]
    fn without_ports_none_is_the_eldest() {
        let mut ports = ports(2_000, 1_000);
        ports.pass(3);
        assert_eq!(ports.eldest(0), None);
    }

    #[test]
    fn the_last_free_port_is_found_from_everywhere() {
        let mut ports = ports(5_000, 65_535);
        take_all(&mut ports);
        for port in [65_535, 5_000, 20_000, 19_999, 4_096 * 7, 4_096 * 7 - 1] {
            ports.give(port);
            assert_eq!(ports.take(), Some(port));
            assert_eq!(ports.take(), None);
        }
    }

    #[test]
    fn giving_what_is_not_out_changes_nothing() {
        let mut ports = ports(10, 20);
        assert_eq!(ports.take(), Some(10));
        for port in [0, 9, 11, 20, 21, 65_535] {
            ports.give(port);
        }
        assert_eq!(ports.used(), 1);
        ports.give(10);
        ports.give(10);
        assert_eq!(ports.used(), 0);
        assert_eq!(take_all(&mut ports).len(), 11);
    }
}
