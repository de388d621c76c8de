// SPDX-License-Identifier: GPL-2.0
//! The Call-ID of SIP messages, against the rules of IPVS written down one by one, on messages that are mangled in every
//! way.

use crate::engine::{Engine, DATA_MAX};
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

fn call_id(message: &[u8]) -> Option<&[u8]> {
    Engine::Sip.data(message)
}

/// What is left to read; each rule takes its part off, and is over with the text.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn first(self) -> Option<u8> {
        self.0.first().copied()
    }

    fn without(self, bytes: usize) -> Rest<'a> {
        Rest(self.0.get(bytes..).unwrap_or(&[]))
    }

    fn is_over(self) -> bool {
        self.0.is_empty()
    }

    fn begins_with(self, name: &[u8]) -> bool {
        self.0.len() >= name.len() && self.0[..name.len()].eq_ignore_ascii_case(name)
    }

    /// Behind a CR, a LF, or both; over if nothing follows.
    fn behind_newline(self) -> Rest<'a> {
        let both = self.0.starts_with(b"\r\n");
        self.without(if both { 2 } else { 1 })
    }

    fn behind_blanks(mut self) -> Rest<'a> {
        while matches!(self.first(), Some(b' ' | b'\t')) {
            self = self.without(1);
        }
        self
    }

    /// Behind blanks, or what one line that goes on has of them; over if it does not go on.
    fn behind_folds(self) -> Rest<'a> {
        let rest = self.behind_blanks();
        if !matches!(rest.first(), Some(b'\r' | b'\n')) {
            return rest;
        }
        let next = rest.behind_newline();
        match next.first() {
            Some(b' ' | b'\t') => next.behind_blanks(),
            _ => Rest(&[]),
        }
    }

    fn words(self) -> usize {
        let word = |text: &[u8]| {
            let inside = |byte: &&u8| match **byte {
                0xd7 | 0xf7 => false,
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | 0xc0.. => true,
                other => b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&other),
            };
            text.iter().take_while(inside).count()
        };
        let user = word(self.0);
        let host = self.without(user);
        if user == 0 || host.first() != Some(b'@') {
            return user;
        }
        match word(&host.0[1..]) {
            0 => 0,
            host => user + 1 + host,
        }
    }
}

/// The same as the rules have it.
fn model(message: &[u8]) -> Option<&[u8]> {
    let mut begin = 0;
    'again: loop {
        let mut rest = Rest(message.get(begin..)?);
        while let Some(byte) = rest.first() {
            if byte == b'\r' || byte == b'\n' {
                rest = rest.behind_newline();
                let letter = |byte: u8| {
                    byte.is_ascii_alphabetic() || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
                };
                let compact = rest.begins_with(b"i")
                    && rest.without(1).first().is_some_and(|byte| !letter(byte));
                let name = match rest.begins_with(b"call-id") {
                    true => 7,
                    false if compact => 1,
                    false => 0,
                };
                if name != 0 {
                    let colon = rest.without(name).behind_folds();
                    if colon.first() != Some(b':') {
                        return None;
                    }
                    let value = colon.without(1).behind_folds();
                    if value.is_over() {
                        return None;
                    }
                    let at = message.len() - value.0.len();
                    let len = value.words();
                    if len == 0 {
                        begin += at;
                        continue 'again;
                    }
                    let ends = matches!(value.without(len).first(), Some(b'\r' | b'\n'));
                    return (len <= 255 && ends).then(|| &value.0[..len]);
                }
            }
            rest = rest.without(1);
        }
        return None;
    }
}

/// What ends a line, or might.
fn newline() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "\r\n", "\r\n", "\r\n", "\n", "\r", "\n\r", "\r\n\r\n", "\n\n", "",
        ][..],
    )
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "",
            " ",
            "",
            " ",
            "\t",
            "  \t",
            "\r\n ",
            "\n\t",
            "\r ",
            "\r\n\r\n ",
            "\r\n \r\n ",
        ][..],
    )
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "Call-ID", "Call-ID", "call-id", "CALL-Id", "i", "I", "id", "Call-IDs", "Call-I",
            "Via", "To", " i", "", "ii", "i\u{e9}",
        ][..],
    )
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,20}@[a-z0-9.]{1,20}",
        "[-a-zA-Z0-9.!%*_+`'~()<>:\\\\\"/?{}\\[\\]]{0,30}",
        "[a-z@;, =]{0,12}",
        "[a-z]{240,270}",
        "\\PC{0,10}",
    ]
}

/// A line: a header, folded or not, broken or not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let colon = prop::sample::select(&[":", ":", ":", ":", "=", "", "::"][..]);
    (name(), blanks(), colon, blanks(), value(), newline()).prop_map(
        |(name, before, colon, behind, value, newline)| {
            [name, before, colon, behind, &value, newline]
                .concat()
                .into_bytes()
        },
    )
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(
        &[
            "INVITE sip:a@10.0.2.100 SIP/2.0",
            "SIP/2.0 200 OK",
            "",
            "\0",
            "Call-ID: a@b",
        ][..],
    );
    let lines = prop::collection::vec(line(), 0..6);
    (first, newline(), lines).prop_map(|(first, newline, lines)| {
        let head = [first, newline].concat().into_bytes();
        [head, lines.concat()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_message_cut_at_every_byte_has_ipvss_answer(message in message()) {
        for end in 0..=message.len() {
            let cut = &message[..end];
            prop_assert_eq!(call_id(cut), model(cut), "{:?}", String::from_utf8_lossy(cut));
        }
    }

    #[test]
    fn so_has_one_that_begins_at_any_byte(message in message()) {
        for begin in 0..message.len() {
            prop_assert_eq!(call_id(&message[begin..]), model(&message[begin..]));
        }
    }

    #[test]
    fn and_any_bytes(bytes in prop::collection::vec(prop::sample::select(&b"\r\n \ti:Ca@ll-ID;x\xe9"[..]), 0..60)) {
        prop_assert_eq!(call_id(&bytes), model(&bytes));
    }

    #[test]
    fn a_sound_header_is_found_among_others(
        user in "[a-z0-9]{1,20}",
        host in "[a-z0-9.]{1,20}",
        lines in prop::collection::vec("(Via|From|To|CSeq|Max-Forwards): [a-z ]{1,30}", 0..6),
        at in any::<prop::sample::Index>(),
        name in prop::sample::select(&["Call-ID", "i", "call-id"][..]),
    ) {
        let id = [&user, "@", &host].concat();
        let mut lines = lines;
        lines.insert(at.index(lines.len() + 1), [name, ": ", &id].concat());
        let message = ["BYE sip:a SIP/2.0\r\n", &lines.join("\r\n"), "\r\n\r\nv=0\r\n"].concat();
        prop_assert_eq!(call_id(message.as_bytes()), Some(id.as_bytes()));
        // It is found as soon as its line has ended, and not before.
        let end = message.find(&id).unwrap() + id.len();
        prop_assert_eq!(call_id(&message.as_bytes()[..end]), None);
        prop_assert_eq!(call_id(&message.as_bytes()[..=end]), Some(id.as_bytes()));
    }
}

#[test]
fn megabytes_take_no_longer_than_they_are() {
    let long = std::vec![b'x'; 2 << 20];
    let blanks = std::vec![b' '; 2 << 20];
    let folds = b"\r\n ".repeat(1 << 19);
    let lines = b"a: b\r\n".repeat(1 << 19);
    let empty = b"i:;\n".repeat(1 << 19);
    let head: &[u8] = b"INVITE sip:a SIP/2.0\r\n";
    for middle in [&long, &blanks, &folds, &lines, &empty] {
        for (before, behind) in [
            (&b""[..], &b""[..]),
            (b"i:", b"\r\n"),
            (b"", b"\r\ni: a@b\r\n"),
        ] {
            let message = [head, before, middle, behind].concat();
            let found = call_id(&message);
            assert_eq!(found, model(&message));
            assert!(found.is_none_or(|id| id.len() <= DATA_MAX));
        }
    }
}
