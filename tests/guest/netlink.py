# SPDX-License-Identifier: GPL-2.0
"""Generic netlink by hand, so that messages can be wrong in every way."""

import errno
import socket
import struct

from suite import HANG
from wire import binary

NETLINK_GENERIC, SOL_NETLINK = 16, 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
REQUEST, MULTI, ACK, DUMP, CAPPED, TLVS, INTERRUPTED = 1, 2, 4, 0x300, 0x100, 0x200, 0x10
ERROR, DONE = 2, 3
CTRL, CTRL_GETFAMILY, CTRL_ID, CTRL_NAME = 16, 3, 1, 2
NESTED = 0x8000

# Commands and attributes of include/uapi/linux/ip_vs.h, and from 64 on of rust/wire/uapi.rs.
NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE, NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = range(1, 9)
NEW_DAEMON, SET_CONFIG, GET_INFO, ZERO, FLUSH = 9, 12, 15, 16, 17
NEW_LADDR, DEL_LADDR, GET_LADDR, GET_CONN = 64, 65, 66, 67
SERVICE, DEST, DAEMON, TIMEOUT_TCP, LADDR = 1, 2, 3, 4, 64
SVC_AF, SVC_PROTOCOL, SVC_ADDR, SVC_PORT, SVC_FWMARK, SVC_SCHED, SVC_FLAGS, SVC_TIMEOUT, SVC_NETMASK = range(1, 10)
SVC_PE = 11
DEST_ADDR, DEST_PORT, DEST_METHOD, DEST_WEIGHT, DEST_UPPER, DEST_LOWER, DEST_AF, DEST_TUN = 1, 2, 3, 4, 5, 6, 11, 13
LADDR_ADDR, LADDR_AF, LADDR_CONNS, LADDR_EXHAUSTED = 1, 2, 3, 4
INFO_LIMIT, INFO_PORTS = 66, 67


def attr(kind, payload):
    """One attribute with its padding."""
    data = struct.pack("HH", 4 + len(payload), kind) + payload
    return data + bytes(-len(data) % 4)


def nest(kind, *attrs):
    """An attribute that holds attributes."""
    return attr(kind | NESTED, b"".join(attrs))


def u16(number):
    """A u16 in the host's order."""
    return struct.pack("H", number)


def u32(number):
    """A u32 in the host's order."""
    return struct.pack("I", number & 0xFFFFFFFF)


def be16(number):
    """A port."""
    return struct.pack("!H", number)


def address(text):
    """An address in 16 bytes."""
    return binary(text).ljust(16, b"\0")


def parse(data):
    """{type without flags: payload} of well-formed attributes."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack("HH", data[:4])
        found[kind & 0x3FFF] = data[4:length]
        data = data[length + 3 & ~3:]
    return found


def service(vip, port, proto=socket.IPPROTO_TCP, sched=b"rr\0", full=True, **replaced):
    """The nest that names a service, `full` with all that a new one needs; `replaced` maps a number as _N to bytes."""
    six = ":" in vip
    parts = {SVC_AF: u16(socket.AF_INET6 if six else socket.AF_INET), SVC_PROTOCOL: u16(proto),
             SVC_ADDR: address(vip), SVC_PORT: be16(port)}
    if full:
        parts |= {SVC_SCHED: sched, SVC_FLAGS: u32(0) + u32(0xFFFFFFFF), SVC_TIMEOUT: u32(0),
                  SVC_NETMASK: u32(128 if six else 0xFFFFFFFF)}
    return nest(SERVICE, *combine(parts, replaced))


def dest(rip, port, method=0, weight=1, full=True, **replaced):
    """The nest that describes a destination."""
    parts = {DEST_ADDR: address(rip), DEST_PORT: be16(port),
             DEST_AF: u16(socket.AF_INET6 if ":" in rip else socket.AF_INET)}
    if full:
        parts |= {DEST_METHOD: u32(method), DEST_WEIGHT: u32(weight), DEST_UPPER: u32(0), DEST_LOWER: u32(0)}
    return nest(DEST, *combine(parts, replaced))


def laddr(text, **replaced):
    """The nest of a local address."""
    parts = {LADDR_ADDR: address(text), LADDR_AF: u16(socket.AF_INET6 if ":" in text else socket.AF_INET)}
    return nest(LADDR, *combine(parts, replaced))


def combine(parts, replaced):
    """Attributes of `parts` with those of `replaced` in their place, or left out where that is None."""
    parts = parts | {int(name[1:]): value for name, value in replaced.items()}
    return [attr(kind, value) for kind, value in parts.items() if value is not None]


class Reply:
    """The messages that came back, and the final error with its text."""

    def __init__(self):
        self.error, self.text, self.messages, self.interrupted = 0, "", [], False
        # Each message as it came: command, version, and the attributes in their order.
        self.raw = []

    def name(self):
        """The error as C names it."""
        return errno.errorcode.get(self.error, "0")


class Genl:
    """A socket of one host that speaks to one generic netlink family."""

    def __init__(self, lab, host, family):
        self.sock = lab.socket(host, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.sock.settimeout(HANG)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.bind((0, 0))
        self.sequence = 0
        name = attr(CTRL_NAME, family.encode() + b"\0")
        reply = self.ask(CTRL_GETFAMILY, name, family=CTRL)
        self.family = struct.unpack("H", reply.messages[0][CTRL_ID])[0]

    def close(self):
        """Close the socket."""
        self.sock.close()

    def ask(self, command, payload=b"", flags=ACK, family=None, between=None):
        """Send a request and collect the answer up to its end; `between` runs once, after the first part has come."""
        self.sequence += 1
        body = struct.pack("BBH", command, 1, 0) + payload
        family = self.family if family is None else family
        head = struct.pack("IHHII", 16 + len(body), family, REQUEST | flags, self.sequence, 0)
        self.sock.send(head + body)
        reply = Reply()
        while not self.take(reply, self.sock.recv(1 << 17)):
            if between:
                between()
                between = None
        return reply

    def take(self, reply, data):
        """Read messages into `reply`; True after the last."""
        done = False
        while len(data) >= 16:
            length, kind, flags = struct.unpack("IHH", data[:8])
            body, data = data[16:length], data[length + 3 & ~3:]
            reply.interrupted |= bool(flags & INTERRUPTED)
            if kind in (ERROR, DONE):
                reply.error = -struct.unpack("i", body[:4])[0] if len(body) >= 4 else 0
                attrs = body[20 if kind == ERROR else 4:] if flags & TLVS else b""
                reply.text = parse(attrs).get(1, b"").rstrip(b"\0").decode()
                done = True
            else:
                reply.messages.append(parse(body[4:]))
                reply.raw.append((body[0], body[1], body[4:]))
        return done
