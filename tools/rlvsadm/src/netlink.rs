// SPDX-License-Identifier: GPL-2.0
//! Generic netlink: the socket, the framing, and what the kernel says to a request.
//!
//! The only file that knows neli, whose part is the socket and the constants. The framing is read here, because
//! an answer is taken to pieces only by `wire::nlattr`, and because the reason of a refusal stands behind an echo of
//! the request that the kernel may cut off.
//!
//! Sources: `include/uapi/linux/netlink.h`, `include/uapi/linux/genetlink.h`.

use std::io;

use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::consts::nl::{GenlId, NlmF, Nlmsg, NlmsgerrAttr};
use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use crate::error::LinkError;
use crate::fields::Fields;
use crate::link::Link;
use crate::model::Answer;
use crate::request::{Request, Writer};
use crate::wire::nlattr::padded;
use crate::wire::uapi::FAMILY_VERSION;

/// More than the kernel puts into one datagram of a dump (32 KiB).
const BUFFER_LEN: usize = 64 * 1024;
/// Bytes of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// Bytes of `struct genlmsghdr`.
const GENL_HEADER_LEN: usize = 4;
/// Version of the controller's family.
const CTRL_VERSION: u8 = 2;
/// Longest reason that is taken.
const REASON_MAX: usize = 1024;

/// A socket to one generic netlink family.
pub struct Netlink {
    socket: NlSocket,
    /// The number that the kernel gave the family.
    family: u16,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Finds the family; [`LinkError::NotLoaded`] if the kernel has none of this name.
    pub fn open(family: &str) -> Result<Self, LinkError> {
        let socket = NlSocket::connect(NlFamily::Generic, None, Groups::empty())?;
        socket.enable_ext_ack(true)?;
        let mut netlink = Netlink {
            socket,
            family: GenlId::Ctrl.into(),
            sequence: 0,
            buffer: vec![0; BUFFER_LEN],
        };
        netlink.family = netlink.resolve(family)?;
        Ok(netlink)
    }

    fn resolve(&mut self, family: &str) -> Result<u16, LinkError> {
        let request = Request {
            command: CtrlCmd::Getfamily.into(),
            attributes: Writer::default()
                .text(CtrlAttr::FamilyName.into(), family)
                .bytes,
        };
        let answers = match self.talk(&request, CTRL_VERSION, NlmF::ACK) {
            Err(error) if error.errno() == Some(libc::ENOENT) => Err(LinkError::NotLoaded),
            result => result,
        }?;
        let answer = answers.first().map_or(&[][..], Vec::as_slice);
        Fields::read(answer, "family")?.u16(CtrlAttr::FamilyId.into())
    }

    /// Sends a request and collects what comes back until it is done.
    fn talk(
        &mut self,
        request: &Request,
        version: u8,
        flags: NlmF,
    ) -> Result<Vec<Answer>, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = (NlmF::REQUEST | flags).bits();
        let message = encode(self.family, flags, self.sequence, version, request);
        self.socket.send(&message, Msg::empty())?;
        let mut talk = Talk::new(self.sequence);
        loop {
            let len = receive(&self.socket, &mut self.buffer)?;
            if talk.hear(self.buffer.get(..len).unwrap_or_default())? {
                return talk.end();
            }
        }
    }
}

impl Link for Netlink {
    fn ask(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError> {
        self.talk(request, FAMILY_VERSION, NlmF::ACK)
    }

    fn dump(&mut self, request: &Request) -> Result<Vec<Answer>, LinkError> {
        self.talk(request, FAMILY_VERSION, NlmF::DUMP)
    }
}

/// Receives a datagram, again if a signal came first.
fn receive(socket: &NlSocket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(&mut *buffer, Msg::empty()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|(len, _)| len),
        }
    }
}

/// A whole message: both headers and the attributes, which end at a multiple of four as they must.
fn encode(family: u16, flags: u16, sequence: u32, version: u8, request: &Request) -> Vec<u8> {
    let len = HEADER_LEN + GENL_HEADER_LEN + request.attributes.len();
    let len = u32::try_from(len).expect("requests are short");
    let port_of_the_kernel = 0u32;
    [
        &len.to_ne_bytes()[..],
        &family.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &port_of_the_kernel.to_ne_bytes(),
        &[request.command, version, 0, 0],
        &request.attributes,
    ]
    .concat()
}

/// What came back to one request so far.
struct Talk {
    sequence: u32,
    answers: Vec<Answer>,
    interrupted: bool,
}

impl Talk {
    fn new(sequence: u32) -> Self {
        Talk {
            sequence,
            answers: Vec::new(),
            interrupted: false,
        }
    }

    /// Takes a datagram in; true once that was all, an error if the request is refused.
    fn hear(&mut self, datagram: &[u8]) -> Result<bool, LinkError> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest)?;
            rest = after;
            if frame.sequence == self.sequence && self.take(&frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take(&mut self, frame: &Frame<'_>) -> Result<bool, LinkError> {
        self.interrupted |= frame.flags.contains(NlmF::DUMP_INTR);
        match frame.kind {
            Nlmsg::Noop => Ok(false),
            Nlmsg::Error => frame.verdict(true).map(|()| true),
            Nlmsg::Done => frame.verdict(false).map(|()| true),
            Nlmsg::Overrun => Err(LinkError::Answer("some of it was lost".into())),
            _ => {
                let answer = frame.body.get(GENL_HEADER_LEN..);
                self.answers.push(answer.ok_or_else(cut)?.to_vec());
                Ok(false)
            }
        }
    }

    fn end(self) -> Result<Vec<Answer>, LinkError> {
        if self.interrupted {
            return Err(LinkError::Interrupted);
        }
        Ok(self.answers)
    }
}

/// A netlink message.
struct Frame<'a> {
    kind: Nlmsg,
    flags: NlmF,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits off the first message.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), LinkError> {
        let len = length(bytes)?;
        let header: [u8; HEADER_LEN] = bytes
            .get(..HEADER_LEN)
            .and_then(|h| h.try_into().ok())
            .ok_or_else(cut)?;
        let [_, _, _, _, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
        let frame = Frame {
            kind: u16::from_ne_bytes([k0, k1]).into(),
            flags: NlmF::from_bits_retain(u16::from_ne_bytes([f0, f1])),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body: bytes.get(HEADER_LEN..len).ok_or_else(cut)?,
        };
        Ok((frame, bytes.get(padded(len)..).unwrap_or_default()))
    }

    /// The outcome that the message carries: a negative error number, and attributes that tell why. In an answer to
    /// the request, rather than the end of a dump, an echo of the request stands between them.
    fn verdict(&self, echo: bool) -> Result<(), LinkError> {
        let code = i32::from_ne_bytes(*self.body.first_chunk().ok_or_else(cut)?);
        if code >= 0 {
            return Ok(());
        }
        let errno = code.saturating_neg();
        Err(match self.reason(echo) {
            _ if errno == libc::EPERM => LinkError::Permission,
            Some(text) => LinkError::Refused { errno, text },
            None => LinkError::Errno { errno },
        })
    }

    /// The extended acknowledgement's text.
    fn reason(&self, echo: bool) -> Option<String> {
        if !self.flags.contains(NlmF::ACK_TLVS) {
            return None;
        }
        let rest = self.body.get(size_of::<i32>()..)?;
        let echoed = match (echo, self.flags.contains(NlmF::CAPPED)) {
            (false, _) => 0,
            (true, true) => HEADER_LEN,
            (true, false) => padded(length(rest).ok()?),
        };
        let fields = Fields::read(rest.get(echoed..)?, "refusal").ok()?;
        let text = fields
            .find(NlmsgerrAttr::Msg.into())?
            .str(REASON_MAX)
            .ok()?;
        Some(text.to_owned())
    }
}

/// The length that a message claims for itself.
fn length(bytes: &[u8]) -> Result<usize, LinkError> {
    let len = bytes.first_chunk().ok_or_else(cut)?;
    usize::try_from(u32::from_ne_bytes(*len)).map_err(|_| cut())
}

fn cut() -> LinkError {
    LinkError::Answer("a message is cut off".into())
}

#[cfg(test)]
mod tests;
