// SPDX-License-Identifier: GPL-2.0

//! The defences of a namespace against too many connections, as they stand: IPVS's `drop_entry`,
//! `drop_packet` and `secure_tcp`.

use core::sync::atomic::{fence, AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::config::{Config, Guard};
use crate::expiry::defence::{drop_rate, is_on, settled, Turns, ALERT};
use crate::sys::host;
use crate::sys::time::{Jiffies, HZ};

/// How often settings may change while they are looked at.
const TRIES: usize = 8;

/// What is on.
#[derive(Default)]
pub(crate) struct Defence {
    /// TCP goes by the tables for attack times.
    secure: AtomicBool,
    /// Of so many new connections one is dropped; 0: none is.
    rate: AtomicU32,
    /// Until the next one is.
    left: AtomicI32,
    /// Connections that hardly anybody misses are dropped.
    thin: AtomicBool,
    /// When that was done last, or the memory looked at.
    looked: AtomicU32,
    turns: Turns,
}

impl Defence {
    /// Whether TCP goes by the tables for attack times.
    #[inline(always)]
    pub(crate) fn is_secure(&self) -> bool {
        self.secure.load(Ordering::Relaxed)
    }

    /// Whether a new connection is to be dropped.
    #[inline(always)]
    pub(crate) fn drops_new(&self) -> bool {
        let rate = self.rate.load(Ordering::Relaxed);
        rate != 0 && self.is_turn(rate)
    }

    #[cold]
    fn is_turn(&self, rate: u32) -> bool {
        let turn = self.left.fetch_sub(1, Ordering::Relaxed) <= 1;
        if turn {
            self.refill(rate);
        }
        turn
    }

    fn refill(&self, rate: u32) {
        // CAST: the bits of an `i32`. IPVS: if it is negative each one is the last.
        self.left.store(rate as i32, Ordering::Relaxed);
    }

    /// Looks at what is set and at the memory.
    ///
    /// The worker and who writes a setting may be here at once: whoever stores last looks again
    /// whether that is what is set.
    pub(crate) fn update(&self, config: &Config) {
        for _ in 0..TRIES {
            self.set(config);
            // ORDERING: between what `set` has stored and the settings that are read again.
            fence(Ordering::SeqCst);
            if self.is_as_set(config) {
                return;
            }
        }
    }

    /// Whether what is on is what the settings say.
    fn is_as_set(&self, config: &Config) -> bool {
        let on = |guard| is_on(config.mode(guard));
        let packets = self.rate.load(Ordering::Relaxed) != 0;
        self.thin.load(Ordering::Relaxed) == on(Guard::DropEntry)
            && self.is_secure() == on(Guard::SecureTcp)
            && (!packets || on(Guard::DropPacket))
    }

    fn set(&self, config: &Config) {
        let (free, least) = (host::free_pages(), config.amemthresh());
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        let mode = |guard| {
            let before = config.mode(guard);
            let mode = settled(before, free < least);
            config.settle(guard, before, mode);
            mode
        };
        self.thin
            .store(is_on(mode(Guard::DropEntry)), Ordering::Relaxed);
        self.secure
            .store(is_on(mode(Guard::SecureTcp)), Ordering::Relaxed);
        let dropping = mode(Guard::DropPacket);
        let rate = drop_rate(dropping, least, free, config.am_droprate());
        self.rate.store(rate, Ordering::Relaxed);
        if dropping == ALERT {
            // IPVS: each second anew.
            self.refill(rate);
        }
    }

    /// When it is time to look again: at once, or in a while. Each second has one such time.
    pub(super) fn wait(&self, now: Jiffies) -> Option<Jiffies> {
        let looked = Jiffies(self.looked.load(Ordering::Relaxed));
        let wait = HZ
            .checked_sub(now.since(looked).0)
            .filter(|&wait| wait != 0);
        if wait.is_none() {
            self.looked.store(now.0, Ordering::Relaxed);
        }
        wait.map(Jiffies)
    }

    /// Who goes, if connections are dropped that hardly anybody misses.
    pub(super) fn thins(&self) -> Option<&Turns> {
        self.thin.load(Ordering::Relaxed).then_some(&self.turns)
    }
}
