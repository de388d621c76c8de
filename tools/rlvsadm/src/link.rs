// SPDX-License-Identifier: GPL-2.0
//! The way to the module, as those see it who only want answers.

use crate::error::LinkError;
use crate::model::Answer;
use crate::request::Request;

/// How often a dump is tried that keeps being overtaken by changes.
const DUMP_TRIES: u32 = 10;

/// Someone who answers requests.
pub trait Link {
    /// Carries out a request and returns what it is answered, often nothing.
    fn ask(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError>;

    /// Reads a whole table; [`LinkError::Interrupted`] if it changed meanwhile.
    fn dump(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError>;
}

/// Carries out a request that has exactly one answer.
pub fn ask_one(link: &mut impl Link, request: &Request) -> Result<Answer, LinkError> {
    let mut answers = link.ask(request)?;
    match (answers.pop(), answers.is_empty()) {
        (Some(answer), true) => Ok(answer),
        _ => Err(LinkError::Answer("not one answer to one question".into())),
    }
}

/// Reads a whole table, again if it changed meanwhile, but not for ever.
pub fn dump(link: &mut impl Link, request: &Request) -> Result<Vec<Answer>, LinkError> {
    for _ in 1..DUMP_TRIES {
        match link.dump(request) {
            Err(LinkError::Interrupted) => {}
            result => return result,
        }
    }
    link.dump(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is interrupted so many times before it answers.
    struct Busy {
        interruptions: u32,
        asked: u32,
    }

    impl Link for Busy {
        fn ask(&mut self, _: &Request) -> Result<Vec<Answer>, LinkError> {
            Ok(vec![Vec::new(); self.interruptions as usize])
        }

        fn dump(&mut self, _: &Request) -> Result<Vec<Answer>, LinkError> {
            self.asked += 1;
            if self.asked > self.interruptions {
                return Ok(vec![vec![1]]);
            }
            Err(LinkError::Interrupted)
        }
    }

    fn busy(interruptions: u32) -> Busy {
        let asked = 0;
        Busy {
            interruptions,
            asked,
        }
    }

    #[test]
    fn an_interrupted_dump_is_repeated() {
        let mut link = busy(DUMP_TRIES - 1);
        assert_eq!(dump(&mut link, &Request::bare(4)).unwrap(), [[1]]);
        assert_eq!(link.asked, DUMP_TRIES);
    }

    #[test]
    fn a_dump_that_is_always_interrupted_is_given_up() {
        let mut link = busy(u32::MAX);
        let error = dump(&mut link, &Request::bare(4)).unwrap_err();
        assert!(matches!(error, LinkError::Interrupted));
        assert_eq!(link.asked, DUMP_TRIES);
    }

    #[test]
    fn one_question_has_one_answer() {
        assert!(ask_one(&mut busy(0), &Request::bare(15)).is_err());
        assert!(ask_one(&mut busy(1), &Request::bare(15)).is_ok());
        assert!(ask_one(&mut busy(2), &Request::bare(15)).is_err());
    }
}
