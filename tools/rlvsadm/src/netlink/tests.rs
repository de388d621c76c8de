// SPDX-License-Identifier: GPL-2.0
//! The framing, on messages as the kernel makes them.

use super::*;

const SEQUENCE: u32 = 7;
const FAMILY: u16 = 0x1c;
const CAPPED: u16 = 0x100;
const ACK_TLVS: u16 = 0x200;
const MULTI: u16 = 2;
const DUMP_INTR: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN + body.len()) as u32;
    let mut bytes = [
        &len.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &[0; 4],
        body,
    ]
    .concat();
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

fn answer(flags: u16, attributes: &[u8]) -> Vec<u8> {
    message(
        FAMILY,
        flags,
        SEQUENCE,
        &[&[1, 1, 0, 0], attributes].concat(),
    )
}

fn reason(text: &str) -> Vec<u8> {
    Writer::default()
        .u32(NlmsgerrAttr::Offset.into(), 20)
        .text(NlmsgerrAttr::Msg.into(), text)
        .bytes
}

fn verdict(kind: u16, flags: u16, errno: i32, behind: &[u8]) -> Vec<u8> {
    let body = [&(-errno).to_ne_bytes()[..], behind].concat();
    message(kind, flags, SEQUENCE, &body)
}

/// Hears datagrams until one ends the talk.
fn hear(datagrams: &[Vec<u8>]) -> Result<Vec<Answer>, LinkError> {
    let mut talk = Talk::new(SEQUENCE);
    for datagram in datagrams {
        if talk.hear(datagram)? {
            return talk.end();
        }
    }
    panic!("it goes on");
}

fn echo() -> Vec<u8> {
    encode(FAMILY, 5, SEQUENCE, 1, &Request::bare(1))
}

#[test]
fn a_message_has_both_headers() {
    let request = Request {
        command: 17,
        attributes: vec![4, 0, 1, 0],
    };
    let bytes = encode(FAMILY, 5, SEQUENCE, 1, &request);
    let (frame, rest) = Frame::split(&bytes).unwrap();
    assert_eq!(u16::from(frame.kind), FAMILY);
    assert_eq!((frame.flags.bits(), frame.sequence), (5, SEQUENCE));
    assert_eq!(frame.body, [17, 1, 0, 0, 4, 0, 1, 0]);
    assert!(rest.is_empty());
}

#[test]
fn an_acknowledgement_is_the_end() {
    assert!(hear(&[verdict(ERROR, CAPPED, 0, &echo())])
        .unwrap()
        .is_empty());
    let answered = [answer(0, b"abcd"), verdict(ERROR, 0, 0, &echo())];
    assert_eq!(hear(&answered).unwrap(), [b"abcd"]);
}

#[test]
fn a_dump_comes_in_many_messages_and_datagrams() {
    let first = [answer(MULTI, b"1234"), answer(MULTI, b"5678")].concat();
    let second = [answer(MULTI, b""), verdict(DONE, MULTI, 0, &[])].concat();
    let read = hear(&[first, second]).unwrap();
    assert_eq!(read, [&b"1234"[..], b"5678", b""]);
}

#[test]
fn an_interrupted_dump_is_read_to_its_end_and_reported() {
    for (row, end) in [(DUMP_INTR, 0), (0, DUMP_INTR)] {
        let dump = [
            answer(MULTI | row, b"1234"),
            verdict(DONE, MULTI | end, 0, &[]),
        ];
        assert!(matches!(hear(&dump), Err(LinkError::Interrupted)));
    }
}

#[test]
fn a_refusal_tells_why_whether_the_request_is_echoed_or_not() {
    let request = encode(
        FAMILY,
        5,
        SEQUENCE,
        1,
        &Request {
            command: 1,
            attributes: b"\x05\x00\x01\x00x\x00\x00\x00".to_vec(),
        },
    );
    let whole = [request.clone(), reason("try another")].concat();
    let capped = [&request[..HEADER_LEN], &reason("try another")].concat();
    for (flags, behind) in [(ACK_TLVS, whole), (ACK_TLVS | CAPPED, capped)] {
        let error = hear(&[verdict(ERROR, flags, libc::EINVAL, &behind)]).unwrap_err();
        assert_eq!(error.to_string(), "try another");
        assert_eq!(error.errno(), Some(libc::EINVAL));
    }
}

#[test]
fn a_refusal_without_a_reason_has_its_number() {
    let error = hear(&[verdict(ERROR, CAPPED, libc::EEXIST, &echo())]).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EEXIST));
    assert!(error.to_string().starts_with("File exists"));
}

#[test]
fn a_dump_can_fail_at_its_end() {
    let end = verdict(
        DONE,
        MULTI | ACK_TLVS,
        libc::ESRCH,
        &reason("no such service"),
    );
    let error = hear(&[answer(MULTI, b"1234"), end]).unwrap_err();
    assert_eq!(error.to_string(), "no such service");
    assert_eq!(error.errno(), Some(libc::ESRCH));
}

#[test]
fn who_may_not_is_told_who_may() {
    let error = hear(&[verdict(ERROR, CAPPED, libc::EPERM, &echo())]).unwrap_err();
    assert!(error.to_string().contains("CAP_NET_ADMIN"));
}

#[test]
fn what_answers_another_request_is_passed_over() {
    let stale = message(FAMILY, 0, SEQUENCE - 1, b"1234old ");
    let stale_error = message(ERROR, 0, SEQUENCE - 1, &(-5i32).to_ne_bytes());
    let heard = hear(&[stale, stale_error, verdict(ERROR, CAPPED, 0, &echo())]);
    assert!(heard.unwrap().is_empty());
}

#[test]
fn messages_cut_anywhere_are_errors_and_never_panic() {
    let refusal = verdict(
        ERROR,
        ACK_TLVS,
        libc::EINVAL,
        &[echo(), reason("try another")].concat(),
    );
    for cut in 1..refusal.len() {
        assert!(Talk::new(SEQUENCE).hear(&refusal[..cut]).is_err(), "{cut}");
    }
    let row = answer(0, b"abcd");
    for cut in 1..row.len() {
        assert!(Talk::new(SEQUENCE).hear(&row[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn lengths_that_lie_never_panic() {
    let refusal = verdict(
        ERROR,
        ACK_TLVS,
        libc::EINVAL,
        &[echo(), reason("why")].concat(),
    );
    for at in [0, 20, 40] {
        for len in [0u32, 1, 15, 16, 17, u32::MAX] {
            let mut bytes = refusal.clone();
            bytes[at..at + 4].copy_from_slice(&len.to_ne_bytes());
            assert!(Talk::new(SEQUENCE).hear(&bytes).is_err());
        }
    }
}

/// The controller is in every kernel, so the socket can be tried.
#[test]
fn families_are_found_or_not() {
    let controller = Netlink::open("nlctrl").unwrap();
    assert_eq!(controller.family, u16::from(GenlId::Ctrl));
    let missing = Netlink::open("no-such-family");
    assert!(matches!(missing.err(), Some(LinkError::NotLoaded)));
}
