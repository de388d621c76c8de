// SPDX-License-Identifier: GPL-2.0
//! The name of a scheduler, its flags and their names.
//!
//! A service has three bits for its scheduler. sh and mh name two of them; for the others, and as a second name,
//! they are flag-1, flag-2 and flag-3.

use crate::error::Usage;
use crate::wire::uapi::svc_flags::{FALLBACK, PORT, SCHED1, SCHED2, SCHED3};
use crate::wire::uapi::SCHED_NAME_MAX;

const SH: [(&str, u32); 2] = [("sh-fallback", FALLBACK), ("sh-port", PORT)];
const MH: [(&str, u32); 2] = [("mh-fallback", FALLBACK), ("mh-port", PORT)];
const ANY: [(&str, u32); 3] = [("flag-1", SCHED1), ("flag-2", SCHED2), ("flag-3", SCHED3)];

/// The bits that a scheduler may have.
pub const MASK: u32 = SCHED1 | SCHED2 | SCHED3;

/// The names by which a scheduler's flags are listed.
fn of(scheduler: &str) -> &'static [(&'static str, u32)] {
    match scheduler {
        "sh" => &SH,
        "mh" => &MH,
        _ => &ANY,
    }
}

/// Reads a comma-separated list of flags for `scheduler`. As in ipvsadm nothing between two commas is no flag.
pub fn parse(list: &str, scheduler: &str) -> Result<u32, Usage> {
    list.split(',')
        .filter(|flag| !flag.is_empty())
        .map(|flag| parse_one(flag, scheduler))
        .try_fold(0, |bits, flag| Ok(bits | flag?))
}

fn parse_one(flag: &str, scheduler: &str) -> Result<u32, Usage> {
    let own = of(scheduler).iter().chain(&ANY);
    if let Some((_, bit)) = own.clone().find(|(name, _)| *name == flag) {
        return Ok(*bit);
    }
    let mut all = SH.iter().chain(&MH).chain(&ANY);
    if all.any(|(name, _)| *name == flag) {
        return Err(Usage::ForeignFlag {
            flag: flag.to_owned(),
            scheduler: scheduler.to_owned(),
        });
    }
    let known: Vec<&str> = SH
        .iter()
        .chain(&MH)
        .chain(&ANY)
        .map(|(name, _)| *name)
        .collect();
    Err(Usage::Flag {
        flag: flag.to_owned(),
        known: known.join(", "),
    })
}

/// The names of the flags that are set, for `scheduler`.
pub fn names(bits: u32, scheduler: &str) -> Vec<&'static str> {
    let set = of(scheduler).iter().filter(|(_, bit)| bits & bit != 0);
    set.map(|(name, _)| *name).collect()
}

/// Whether the module knows the scheduler is for the module to say, but not whether this can be a name.
pub fn check_scheduler(name: &str) -> Result<(), Usage> {
    let fits = (1..=SCHED_NAME_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Usage::Scheduler(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_by_the_scheduler() {
        assert_eq!(parse("sh-fallback,sh-port", "sh"), Ok(FALLBACK | PORT));
        assert_eq!(parse("mh-port", "mh"), Ok(PORT));
        assert_eq!(parse("flag-1,flag-3", "wrr"), Ok(SCHED1 | SCHED3));
        assert_eq!(parse("flag-1", "sh"), Ok(FALLBACK));
        assert_eq!(parse("sh-port,sh-port", "sh"), Ok(PORT));
    }

    #[test]
    fn foreign_and_unknown_flags_are_refused() {
        let foreign = parse("sh-port", "mh").unwrap_err().to_string();
        assert_eq!(foreign, "the scheduler flag `sh-port' is not one of mh's");
        let unknown = parse("sh-port,bogus", "sh").unwrap_err().to_string();
        assert!(unknown.starts_with("`bogus' is no scheduler flag"));
        assert_eq!(parse("", "sh"), Ok(0));
        assert_eq!(parse(",sh-port,,", "sh"), Ok(PORT));
    }

    #[test]
    fn names_are_those_of_the_scheduler() {
        assert_eq!(names(FALLBACK | PORT, "sh"), ["sh-fallback", "sh-port"]);
        assert_eq!(names(PORT | SCHED3, "mh"), ["mh-port"]);
        assert_eq!(names(MASK, "rr"), ["flag-1", "flag-2", "flag-3"]);
        assert!(names(0, "sh").is_empty());
    }
}
