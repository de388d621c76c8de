// SPDX-License-Identifier: GPL-2.0
//! A checked reader of netlink attributes, for messages that nobody has looked at yet.
//!
//! An attribute is a u16 length that counts its own four header bytes, a u16 type and the payload, padded to a
//! multiple of four (`include/uapi/linux/netlink.h`, `struct nlattr`). The padding of the last one may be missing.
#![allow(
    dead_code,
    reason = "one reader for the module, the tool and the tests; each uses its part"
)]

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::uapi::{af, ADDR_LEN};

/// Flag in the type: the payload is a nest of attributes.
pub const NESTED: u16 = 1 << 15;
/// Flag in the type: the payload is in network byte order.
pub const NET_BYTEORDER: u16 = 1 << 14;
/// The bits of the type that are not flags.
pub const TYPE_MASK: u16 = !(NESTED | NET_BYTEORDER);
/// Bytes of an attribute's header.
pub const HEADER_LEN: usize = 4;

/// What is wrong with an attribute; `kind` is its type without flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Bytes are left that are too few for a header, after the attribute `after` (0: there was none).
    Truncated { after: u16 },
    /// The length that it claims is below its header's or above what is left.
    Length { kind: u16, len: u16, left: usize },
    /// The payload has a size other than its type's.
    Size { kind: u16, want: usize, got: usize },
    /// A string has more than `max` bytes.
    TooLong { kind: u16, max: usize },
    /// A string is not UTF-8.
    NotText { kind: u16 },
    /// An address of a family that is neither IPv4 nor IPv6.
    Family { kind: u16, family: u16 },
}

impl Error {
    /// The type of the attribute that is to blame; for [`Error::Truncated`] the last good one.
    pub fn kind(&self) -> u16 {
        match *self {
            Error::Truncated { after } => after,
            Error::Length { kind, .. }
            | Error::Size { kind, .. }
            | Error::TooLong { kind, .. }
            | Error::NotText { kind }
            | Error::Family { kind, .. } => kind,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Truncated { after } => {
                write!(f, "stray bytes after attribute {after}")
            }
            Error::Length { kind, len, left } => {
                write!(f, "attribute {kind} claims {len} bytes of {left}")
            }
            Error::Size { kind, want, got } => {
                write!(f, "attribute {kind} has {got} bytes instead of {want}")
            }
            Error::TooLong { kind, max } => {
                write!(f, "attribute {kind} is a string of over {max} bytes")
            }
            Error::NotText { kind } => write!(f, "attribute {kind} is not UTF-8"),
            Error::Family { kind, family } => {
                write!(f, "attribute {kind} is of unknown address family {family}")
            }
        }
    }
}

impl core::error::Error for Error {}

/// The attributes of a message or a nest, in order. After the first error it ends.
#[derive(Debug, Clone)]
pub struct Attrs<'a> {
    rest: &'a [u8],
    last: u16,
}

impl<'a> Attrs<'a> {
    /// Reads the attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Attrs {
            rest: bytes,
            last: 0,
        }
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = split_first(self.rest, self.last);
        self.rest = first.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(first.map(|(attr, _)| {
            self.last = attr.kind;
            attr
        }))
    }
}

/// Splits `bytes` into its first attribute and what follows that one's padding.
fn split_first(bytes: &[u8], after: u16) -> Result<(Attr<'_>, &[u8]), Error> {
    let Some(&[l0, l1, t0, t1]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(Error::Truncated { after });
    };
    let len = u16::from_ne_bytes([l0, l1]);
    let kind = u16::from_ne_bytes([t0, t1]) & TYPE_MASK;
    let end = usize::from(len);
    let payload = bytes.get(HEADER_LEN..end).ok_or(Error::Length {
        kind,
        len,
        left: bytes.len(),
    })?;
    let rest = bytes.get(padded(end)..).unwrap_or(&[]);
    Ok((Attr { kind, payload }, rest))
}

/// The length that an attribute of `len` bytes takes up with its padding.
pub fn padded(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// One attribute. Every getter refuses a payload of another size than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// The type without its flags.
    pub kind: u16,
    /// What it carries, without padding.
    pub payload: &'a [u8],
}

impl<'a> Attr<'a> {
    /// The payload as exactly `N` bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], Error> {
        self.payload.try_into().map_err(|_| self.size(N))
    }

    /// A byte.
    pub fn u8(&self) -> Result<u8, Error> {
        self.bytes().map(u8::from_ne_bytes)
    }

    /// A u16 in the host's byte order.
    pub fn u16(&self) -> Result<u16, Error> {
        self.bytes().map(u16::from_ne_bytes)
    }

    /// A u32 in the host's byte order.
    pub fn u32(&self) -> Result<u32, Error> {
        self.bytes().map(u32::from_ne_bytes)
    }

    /// A u64 in the host's byte order.
    pub fn u64(&self) -> Result<u64, Error> {
        self.bytes().map(u64::from_ne_bytes)
    }

    /// A big-endian u16, as a number of the host.
    pub fn be16(&self) -> Result<u16, Error> {
        self.bytes().map(u16::from_be_bytes)
    }

    /// A big-endian u32, as a number of the host.
    pub fn be32(&self) -> Result<u32, Error> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// The 16 bytes of an address.
    pub fn addr16(&self) -> Result<[u8; ADDR_LEN], Error> {
        self.bytes()
    }

    /// An address of `family`: 16 bytes, of which IPv4 has the first four. IPv4 may also come as four bytes, as
    /// IPVS takes it and some of its clients send it.
    pub fn ip(&self, family: u16) -> Result<IpAddr, Error> {
        match family {
            af::INET => self.ipv4().map(IpAddr::V4),
            af::INET6 => self.addr16().map(|a| IpAddr::V6(Ipv6Addr::from(a))),
            _ => Err(Error::Family {
                kind: self.kind,
                family,
            }),
        }
    }

    fn ipv4(&self) -> Result<Ipv4Addr, Error> {
        if let Ok(four) = self.bytes::<4>() {
            return Ok(Ipv4Addr::from(four));
        }
        let [a, b, c, d, ..] = self.addr16()?;
        Ok(Ipv4Addr::new(a, b, c, d))
    }

    /// A string of at most `max` bytes, up to its NUL if it has one.
    pub fn str(&self, max: usize) -> Result<&'a str, Error> {
        let text = self.payload.split(|&b| b == 0).next().unwrap_or(&[]);
        if text.len() > max {
            return Err(Error::TooLong {
                kind: self.kind,
                max,
            });
        }
        core::str::from_utf8(text).map_err(|_| Error::NotText { kind: self.kind })
    }

    /// The attributes inside.
    pub fn nested(&self) -> Attrs<'a> {
        Attrs::new(self.payload)
    }

    fn size(&self, want: usize) -> Error {
        Error::Size {
            kind: self.kind,
            want,
            got: self.payload.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(HEADER_LEN + payload.len()).unwrap();
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(payload);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    fn only(bytes: &[u8]) -> Attr<'_> {
        Attrs::new(bytes).next().unwrap().unwrap()
    }

    /// Numbers that differ from run to run of the loop but not from test to test (xorshift64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, n: u64) -> usize {
            (self.next() % n) as usize
        }

        fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len).map(|_| self.next() as u8).collect()
        }
    }

    #[test]
    fn an_empty_message_has_no_attributes() {
        assert_eq!(Attrs::new(&[]).next(), None);
    }

    #[test]
    fn attributes_come_in_order_without_padding() {
        let bytes = [attr(1, b"abc"), attr(2, b""), attr(3, b"x")].concat();
        let read: Vec<_> = Attrs::new(&bytes)
            .map(|a| a.unwrap())
            .map(|a| (a.kind, a.payload))
            .collect();
        assert_eq!(read, [(1, &b"abc"[..]), (2, b""), (3, b"x")]);
    }

    #[test]
    fn flags_are_not_part_of_the_type() {
        assert_eq!(only(&attr(7 | NESTED | NET_BYTEORDER, b"")).kind, 7);
    }

    #[test]
    fn the_last_padding_may_be_missing() {
        let bytes = attr(1, b"x");
        assert_eq!(only(&bytes[..5]).payload, b"x");
    }

    #[test]
    fn a_cut_header_is_an_error_and_the_end() {
        let mut bytes = attr(9, b"abcd");
        bytes.extend_from_slice(&[8, 0, 1]);
        let mut attrs = Attrs::new(&bytes);
        assert!(attrs.next().unwrap().is_ok());
        assert_eq!(attrs.next(), Some(Err(Error::Truncated { after: 9 })));
        assert_eq!(attrs.next(), None);
    }

    #[test]
    fn a_length_beyond_the_message_is_an_error() {
        let mut bytes = attr(4, b"abcd");
        bytes[..2].copy_from_slice(&9u16.to_ne_bytes());
        let expected = Error::Length {
            kind: 4,
            len: 9,
            left: 8,
        };
        assert_eq!(Attrs::new(&bytes).next(), Some(Err(expected)));
    }

    #[test]
    fn a_length_below_the_header_is_an_error() {
        for len in 0u16..4 {
            let mut bytes = attr(4, b"abcd");
            bytes[..2].copy_from_slice(&len.to_ne_bytes());
            let mut attrs = Attrs::new(&bytes);
            let expected = Error::Length {
                kind: 4,
                len,
                left: 8,
            };
            assert_eq!(attrs.next(), Some(Err(expected)));
            assert_eq!(attrs.next(), None);
        }
    }

    #[test]
    fn numbers_are_read_in_their_byte_order() {
        assert_eq!(only(&attr(1, &[5])).u8(), Ok(5));
        assert_eq!(only(&attr(1, &0x1234u16.to_ne_bytes())).u16(), Ok(0x1234));
        assert_eq!(
            only(&attr(1, &0x12345678u32.to_ne_bytes())).u32(),
            Ok(0x12345678)
        );
        assert_eq!(
            only(&attr(1, &(u64::MAX - 1).to_ne_bytes())).u64(),
            Ok(u64::MAX - 1)
        );
        assert_eq!(only(&attr(1, &[0x00, 0x50])).be16(), Ok(80));
        assert_eq!(only(&attr(1, &[255, 255, 255, 0])).be32(), Ok(0xffffff00));
    }

    #[test]
    fn a_wrong_size_names_the_attribute_and_both_sizes() {
        let bytes = attr(6, &[0; 3]);
        let error = |want| Error::Size {
            kind: 6,
            want,
            got: 3,
        };
        assert_eq!(only(&bytes).u8(), Err(error(1)));
        assert_eq!(only(&bytes).u16(), Err(error(2)));
        assert_eq!(only(&bytes).u32(), Err(error(4)));
        assert_eq!(only(&bytes).u64(), Err(error(8)));
        assert_eq!(only(&bytes).be16(), Err(error(2)));
        assert_eq!(only(&bytes).be32(), Err(error(4)));
        assert_eq!(only(&bytes).addr16(), Err(error(16)));
        assert_eq!(error(4).kind(), 6);
        assert_eq!(
            std::format!("{}", error(4)),
            "attribute 6 has 3 bytes instead of 4"
        );
    }

    #[test]
    fn addresses_are_read_by_their_family() {
        let mut sixteen = [0; 16];
        sixteen[..4].copy_from_slice(&[10, 0, 0, 1]);
        let v4 = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(only(&attr(1, &sixteen)).ip(af::INET), Ok(v4));
        assert_eq!(only(&attr(1, &[10, 0, 0, 1])).ip(af::INET), Ok(v4));
        assert_eq!(
            only(&attr(1, &sixteen)).ip(af::INET6),
            Ok(IpAddr::from(sixteen))
        );
        assert_eq!(only(&attr(1, &sixteen)).addr16(), Ok(sixteen));
    }

    #[test]
    fn addresses_of_a_wrong_size_or_family_are_errors() {
        let four = attr(1, &[10, 0, 0, 1]);
        let fifteen = attr(1, &[0; 15]);
        let size = |got| {
            Err(Error::Size {
                kind: 1,
                want: 16,
                got,
            })
        };
        assert_eq!(only(&four).ip(af::INET6), size(4));
        assert_eq!(only(&fifteen).ip(af::INET), size(15));
        assert_eq!(only(&four).ip(7), Err(Error::Family { kind: 1, family: 7 }));
    }

    #[test]
    fn strings_end_at_their_nul_or_with_the_payload() {
        assert_eq!(only(&attr(1, b"wlc")).str(15), Ok("wlc"));
        assert_eq!(only(&attr(1, b"wlc\0")).str(15), Ok("wlc"));
        assert_eq!(only(&attr(1, b"wlc\0junk")).str(3), Ok("wlc"));
        assert_eq!(only(&attr(1, b"")).str(15), Ok(""));
    }

    #[test]
    fn strings_that_are_long_or_no_text_are_errors() {
        assert_eq!(
            only(&attr(2, b"abcd\0")).str(3),
            Err(Error::TooLong { kind: 2, max: 3 })
        );
        assert_eq!(
            only(&attr(2, b"\xff\xfe")).str(15),
            Err(Error::NotText { kind: 2 })
        );
    }

    #[test]
    fn a_nest_is_read_on_its_own() {
        let nest = attr(1 | NESTED, &[attr(2, b"in"), attr(3, b"side")].concat());
        let kinds: Vec<_> = only(&nest).nested().map(|a| a.unwrap().kind).collect();
        assert_eq!(kinds, [2, 3]);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..2000 {
            let written: Vec<(u16, Vec<u8>)> = (0..random.below(8))
                .map(|_| (random.next() as u16 & TYPE_MASK, random.below(40)))
                .map(|(kind, len)| (kind, Random(u64::from(kind) | (1 << 20)).bytes(len)))
                .collect();
            let bytes: Vec<u8> = written.iter().flat_map(|(k, p)| attr(*k, p)).collect();
            let read: Vec<_> = Attrs::new(&bytes)
                .map(|a| a.unwrap())
                .map(|a| (a.kind, a.payload.to_vec()))
                .collect();
            assert_eq!(read, written);
        }
    }

    #[test]
    fn random_bytes_never_panic_and_always_end() {
        let mut random = Random(0x0123_4567_89ab_cdef);
        for _ in 0..20_000 {
            let len = random.below(64);
            let mut bytes = random.bytes(len);
            if random.below(2) == 0 && len > 2 {
                bytes[..2].copy_from_slice(&(random.below(70) as u16).to_ne_bytes());
            }
            assert!(walk(&bytes, 4) <= 64);
        }
    }

    /// Reads everything in every way, nests too, and says how many attributes there were.
    fn walk(bytes: &[u8], depth: u32) -> usize {
        if depth == 0 {
            return 0;
        }
        let mut seen = 0;
        for attr in Attrs::new(bytes).flatten() {
            let _ = (
                attr.u8(),
                attr.u16(),
                attr.u32(),
                attr.u64(),
                attr.be16(),
                attr.be32(),
            );
            let _ = (
                attr.str(15),
                attr.addr16(),
                attr.ip(af::INET),
                attr.ip(af::INET6),
            );
            seen += 1 + walk(attr.payload, depth - 1);
        }
        seen
    }

    #[test]
    fn a_message_cut_anywhere_gives_the_attributes_before_the_cut() {
        let bytes = [attr(1, b"abcd"), attr(2, b"efgh"), attr(3, b"ijkl")].concat();
        for cut in 0..bytes.len() {
            let good = Attrs::new(&bytes[..cut]).flatten().count();
            assert_eq!(good, cut / 8, "cut at {cut}");
            assert_eq!(Attrs::new(&bytes[..cut]).any(|a| a.is_err()), cut % 8 != 0);
        }
    }
}
