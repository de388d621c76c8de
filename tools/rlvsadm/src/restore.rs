// SPDX-License-Identifier: GPL-2.0
//! Rules from a stream: a command a line, all of them read before the first is carried out.

use std::io::Read;

use crate::command::{self, Change, Command};
use crate::error::{Error, Usage};
use crate::link::Link;
use crate::names::Names;
use crate::request::Request;

/// What a rule may begin with; it says nothing.
const PROGRAMS: &[&str] = &["ipvsadm", "rlvsadm"];

/// A rule and the number of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub line: usize,
    pub change: Change,
}

/// Reads all rules. Empty lines and those that begin with `#` are none.
pub fn read(mut input: impl Read, names: &dyn Names) -> Result<Vec<Rule>, Error> {
    let mut text = String::new();
    input.read_to_string(&mut text).map_err(Error::Input)?;
    let lines = text.lines().map(str::trim).zip(1..);
    lines
        .filter(|(text, _)| !text.is_empty() && !text.starts_with('#'))
        .map(|(text, line)| match parse(text, names) {
            Ok(change) => Ok(Rule { line, change }),
            Err(source) => Err(Error::Rule { line, source }),
        })
        .collect()
}

fn parse(line: &str, names: &dyn Names) -> Result<Change, Usage> {
    let mut words = line.split_whitespace().peekable();
    words.next_if(|first| PROGRAMS.contains(first));
    let first = words.peek().copied().unwrap_or_default();
    if first.is_empty() {
        return Err(Usage::NoCommand);
    }
    match command::parse(std::iter::once("rlvsadm").chain(words), names)? {
        Command::Change(change) => Ok(change),
        _ => Err(Usage::NotARule(first.to_owned())),
    }
}

/// Carries the rules out in their order, up to the first that is refused.
pub fn apply(link: &mut impl Link, rules: &[Rule]) -> Result<(), Error> {
    for Rule { line, change } in rules {
        let line = *line;
        let refused = |source| Error::Refused { line, source };
        link.ask(&Request::from(change)).map_err(refused)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{change, Fake, Table};

    fn rules(text: &str) -> Result<Vec<Rule>, Error> {
        read(text.as_bytes(), &Table)
    }

    #[test]
    fn rules_may_name_the_program_and_stand_apart() {
        let text = "# rules\n\nipvsadm -A -t 10.0.0.1:80 -s rr\n \t\n  # more\n\
                    rlvsadm -a -t 10.0.0.1:80 -r 10.0.1.2 -m\n -C\r\n";
        let expected = [
            (3, "-A -t 10.0.0.1:80 -s rr"),
            (6, "-a -t 10.0.0.1:80 -r 10.0.1.2 -m"),
            (7, "-C"),
        ]
        .map(|(line, text)| Rule {
            line,
            change: change(text),
        });
        assert_eq!(rules(text).unwrap(), expected);
    }

    #[test]
    fn the_line_of_an_error_is_named() {
        for (text, error) in [
            (
                "-C\n\n-A -t 80\n",
                "line 3: `80' is no host name or address",
            ),
            ("-C\nipvsadm\n", "line 2: no command given"),
            (
                "-C\nnonsense",
                "line 2: unexpected argument 'nonsense' found",
            ),
            ("#\n-L -n", "line 2: -L can't stand among rules"),
            ("-S", "line 1: -S can't stand among rules"),
            ("-R", "line 1: -R can't stand among rules"),
            ("--help", "line 1: --help can't stand among rules"),
            (
                "-A -t 10.0.0.1:80 --pe sip",
                "line 1: --pe needs --persistent",
            ),
        ] {
            let found = rules(text).unwrap_err();
            assert_eq!(found.to_string(), error);
            assert_eq!(found.status(), 1);
        }
    }

    #[test]
    fn a_stream_that_is_no_text_is_an_error() {
        assert!(matches!(
            read(&b"-C\n\xff"[..], &Table),
            Err(Error::Input(_))
        ));
    }

    #[test]
    fn rules_are_carried_out_up_to_the_refused_one() {
        let rules = rules("-C\n-A -t 10.0.0.1:80\n# no\n-A -t 10.0.0.1:80\n-Z\n").unwrap();
        let mut link = Fake::default()
            .accept()
            .accept()
            .refuse(libc::EEXIST, "service exists");
        let error = apply(&mut link, &rules).unwrap_err();
        assert_eq!(error.to_string(), "line 4: service exists");
        assert_eq!(error.status(), 1);
        assert_eq!(link.asked.len(), 3);
    }
}
