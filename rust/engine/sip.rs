// SPDX-License-Identifier: GPL-2.0
//! The Call-ID of a SIP message (RFC 3261, 20.8), found where IPVS finds it.
//!
//! A header stands at the beginning of a line that another one comes before. A line ends with CR, LF or both (RFC 2543).
//! IPVS has its own idea of all this in places, which decides about what is not quite a message; that is kept, and marked.

use super::DATA_MAX;

/// The header's name, and its compact form.
const NAME: &[u8] = b"Call-ID";
const COMPACT: u8 = b'i';

/// What a search for the header comes to.
enum Found {
    /// It has a value, from here on and so long.
    Value(usize, usize),
    /// It is there and has none, where one would begin.
    Empty(usize),
    /// There is none, or what should be the header's is broken.
    Nothing,
}

/// The Call-ID. `None`: there is none, it is too long, or its line does not end behind it.
pub(crate) fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut from = 0_usize;
    // Ends: a value never begins at the very beginning, so each search begins further on.
    let (at, len) = loop {
        match search(message, from) {
            Found::Value(at, len) => break (at, len),
            // IPVS: counted from where the search began, though `at` is from the message's beginning.
            Found::Empty(at) => from = from.saturating_add(at),
            Found::Nothing => return None,
        }
    };
    let end = at.checked_add(len).filter(|_| len <= DATA_MAX)?;
    is_newline(*message.get(end)?).then(|| message.get(at..end))?
}

/// Looks for the header from `from` on.
fn search(message: &[u8], from: usize) -> Found {
    let mut at = from;
    while let Some(&byte) = message.get(at) {
        if is_newline(byte) {
            let Some(line) = next_line(message, at) else {
                break;
            };
            at = line;
            if let Some(name) = message.get(line..).and_then(name_len) {
                return value(message, line.saturating_add(name));
            }
        }
        // IPVS: so a line's first byte ends no line, even if it is a newline itself.
        at = at.saturating_add(1);
    }
    Found::Nothing
}

/// The length of the header's name, if the line begins with it.
fn name_len(line: &[u8]) -> Option<usize> {
    let long = line.get(..NAME.len());
    if long.is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
        return Some(NAME.len());
    }
    match line {
        [name, next, ..] if name.eq_ignore_ascii_case(&COMPACT) && !is_letter(*next) => Some(1),
        _ => None,
    }
}

/// The header's value, behind its name.
fn value(message: &[u8], name_end: usize) -> Found {
    let begin = || {
        let colon = skip_blank(message, name_end)?;
        let behind = colon.checked_add(1)?;
        let is_there = message.get(colon) == Some(&b':');
        is_there.then(|| skip_blank(message, behind))?
    };
    let Some(at) = begin() else {
        return Found::Nothing;
    };
    match message.get(at..).map_or(0, value_len) {
        0 => Found::Empty(at),
        len => Found::Value(at, len),
    }
}

/// The length of `word [ "@" word ]`; 0: the value does not begin so.
fn value_len(value: &[u8]) -> usize {
    let word = word_len(value);
    match value.get(word..) {
        Some([b'@', host @ ..]) if word != 0 => match word_len(host) {
            0 => 0,
            host => word.saturating_add(host).saturating_add(1),
        },
        _ => word,
    }
}

fn word_len(text: &[u8]) -> usize {
    let end = text.iter().position(|&byte| !is_word(byte));
    end.unwrap_or(text.len())
}

/// The next byte that is no blank, where a line that goes on may begin with some; `None`: the message or the header ends.
fn skip_blank(message: &[u8], from: usize) -> Option<usize> {
    let at = skip_spaces(message, from)?;
    if !is_newline(*message.get(at)?) {
        return Some(at);
    }
    // IPVS: one such line is followed.
    let line = next_line(message, at)?;
    let goes_on = is_space(*message.get(line)?);
    goes_on.then(|| skip_spaces(message, line))?
}

fn skip_spaces(message: &[u8], from: usize) -> Option<usize> {
    let rest = message.get(from..)?;
    let spaces = rest.iter().position(|&byte| !is_space(byte))?;
    from.checked_add(spaces)
}

/// Where the line begins that follows the newline at `at`; `None`: the message ends.
fn next_line(message: &[u8], at: usize) -> Option<usize> {
    let newline = match message.get(at..)? {
        [b'\r', b'\n', _, ..] => 2,
        [b'\r', b'\n'] | [_] => return None,
        _ => 1,
    };
    at.checked_add(newline)
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Linux's `isalpha`: the letters of Latin-1.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff)
}

/// Whether a byte may be in a word (RFC 3261, 25.1); in IPVS any letter may.
fn is_word(byte: u8) -> bool {
    let marks = b"-.!%*_+`'~()<>:\\\"/[]?{}";
    is_letter(byte) || byte.is_ascii_digit() || marks.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    /// A request with these lines behind the first.
    fn message(lines: &str) -> Vec<u8> {
        [
            b"INVITE sip:service@10.0.2.100 SIP/2.0\r\n",
            lines.as_bytes(),
        ]
        .concat()
    }

    fn found(lines: &str) -> Option<String> {
        let message = message(lines);
        let id = call_id(&message)?;
        Some(String::from_utf8_lossy(id).into_owned())
    }

    #[test]
    fn the_header_is_found_in_every_spelling() {
        for lines in [
            "Call-ID: a@b\r\n",
            "Call-Id:a@b\r\n",
            "CALL-ID \t : \t a@b\r\n",
            "i: a@b\r\n",
            "I:a@b\n",
            "i : a@b\r",
            "Via: x\r\nCall-ID: a@b\r\n",
            "Via: x\nFrom: y\ni: a@b\n",
            "Call-ID:\r\n a@b\r\n",
            "Call-ID\r\n\t:\r\n a@b\r\n",
            "i:\n   a@b\nTo: c\n",
        ] {
            assert_eq!(found(lines).as_deref(), Some("a@b"), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_such_header_is_passed_by() {
        for lines in [
            "",
            "\r\n",
            "Call-ID",
            "Call-ID:",
            "Call-ID: a@b",
            "Call-ID: a@b;x\r\n",
            "Call-ID: a@b \r\n",
            "Call-ID: a,b\r\n",
            "Call-ID: a@\r\n",
            "Call-ID: @b\r\n",
            "Call-ID: \r\n",
            "Call-IDs: a@b\r\n",
            "Call-ID a@b\r\n",
            "Call-ID:\r\na@b\r\n",
            "Call-ID:\r\n \r\n a@b\r\n",
            "id: a@b\r\n",
            "i= a@b\r\n",
            " Call-ID: a@b\r\n",
            "X-Call-ID: a@b\r\n",
        ] {
            assert_eq!(found(lines), None, "{lines:?}");
        }
        assert_eq!(call_id(b""), None);
        assert_eq!(call_id(b"Call-ID: a@b\r\n"), None, "no line before it");
        assert_eq!(call_id(b"\nCall-ID: a@b\r\n"), Some(&b"a@b"[..]));
    }

    #[test]
    fn the_first_that_has_a_value_counts() {
        assert_eq!(found("i: a\r\ni: b\r\n").as_deref(), Some("a"));
        assert_eq!(found("i: ;\r\ni: a@b\r\n").as_deref(), Some("a@b"));
        // Behind a second one without a value the search goes on too far, and finds what is at a distance.
        let lines = |between: usize| {
            let between = "x".repeat(between);
            std::format!("Call-ID: ;\r\nCall-ID: ;\r\nX:{between}\r\nCall-ID: a@b\r\n")
        };
        assert_eq!(found(&lines(0)), None);
        assert_eq!(found(&lines(60)).as_deref(), Some("a@b"));
    }

    #[test]
    fn one_broken_header_hides_what_comes_after() {
        assert_eq!(found("Call-ID a\r\nCall-ID: a@b\r\n"), None);
        assert_eq!(found("i= 1\r\nCall-ID: a@b\r\n"), None);
        assert_eq!(found("Call-ID: a@b;\r\nCall-ID: a@b\r\n"), None);
    }

    #[test]
    fn an_empty_line_of_one_byte_hides_the_next_one() {
        assert_eq!(found("X: y\n\nCall-ID: a@b\n"), None);
        let both = found("X: y\r\n\r\nCall-ID: a@b\r\n");
        assert_eq!(both.as_deref(), Some("a@b"));
    }

    #[test]
    fn a_call_id_has_up_to_255_bytes() {
        for (len, taken) in [(1, true), (255, true), (256, false), (5000, false)] {
            let lines = std::format!("i: {}\r\n", "x".repeat(len));
            assert_eq!(found(&lines).is_some(), taken, "{len}");
        }
    }

    #[test]
    fn letters_are_those_of_latin_1() {
        let id = |byte: u8| [b"\ni: a", &[byte][..], b"\n"].concat();
        for byte in 0..=u8::MAX {
            let message = id(byte);
            let word = byte.is_ascii_alphanumeric()
                || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&byte)
                || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7;
            let newline = byte == b'\n' || byte == b'\r';
            assert_eq!(call_id(&message).is_some(), word || newline, "{byte:#x}");
        }
    }
}
