# SPDX-License-Identifier: GPL-2.0
"""Packets as bytes: taking them apart, putting them together, and checksums."""

import contextlib
import socket
import struct

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
IPIP, IPV6_IN_IP, FRAGMENT = 4, 41, 44
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
NUMBER = {"tcp": TCP, "udp": UDP}
# Where the checksum stands in a layer 4 header.
CHECK_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}
MIN_HEADER = {TCP: 20, UDP: 8, ICMP: 8, ICMP6: 8}


def text(address):
    """A binary address as people write it."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def binary(address):
    """An address as it stands in a header."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def total(data):
    """The one's complement sum of 16-bit words (RFC 1071), 0 written as 0xffff when any bit is set."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    number = int.from_bytes(data, "big")
    return (number % 0xFFFF or 0xFFFF) if number else 0


def checksum(data):
    """The Internet checksum of `data`."""
    return 0xFFFF - total(data)


def pseudo(source, target, proto, length):
    """The pseudo header of RFC 793 or RFC 8200, for binary addresses."""
    if len(source) == 4:
        return source + target + struct.pack("!BBH", 0, proto, length)
    return source + target + struct.pack("!II", length, proto)


class Ip:
    """An IP packet of either family, parsed from bytes that begin with its header."""

    def __init__(self, data):
        self.version = data[0] >> 4
        (self.parse4 if self.version == 4 else self.parse6)(bytes(data))

    def parse4(self, data):
        """Fields of an IPv4 header."""
        self.header = (data[0] & 15) * 4
        length, self.ident, frag, self.ttl, self.proto, self.check = struct.unpack("!HHHBBH", data[2:12])
        self.tos, self.flow = data[1], 0
        self.df, self.more, self.offset = bool(frag & 0x4000), bool(frag & 0x2000), (frag & 0x1FFF) * 8
        self.source, self.target = text(data[12:16]), text(data[16:20])
        self.raw = data[:length] if length else data

    def parse6(self, data):
        """Fields of an IPv6 header and of a fragment header behind it."""
        first, length, self.proto, self.ttl = struct.unpack("!IHBB", data[:8])
        self.header, self.ident, self.df, self.more, self.offset, self.check = 40, 0, True, False, 0, 0
        self.tos, self.flow = first >> 20 & 0xFF, first & 0xFFFFF
        self.source, self.target = text(data[8:24]), text(data[24:40])
        self.raw = data[:40 + length] if length else data
        if self.proto == FRAGMENT:
            self.proto, _, field, self.ident = struct.unpack("!BBHI", data[40:48])
            self.more, self.offset, self.header = bool(field & 1), field & 0xFFF8, 48

    @property
    def l4(self):
        """The bytes behind the IP header."""
        return self.raw[self.header:]

    @property
    def whole(self):
        """True unless this is a fragment."""
        return not self.more and not self.offset

    @property
    def ports(self):
        """(source port, destination port), or (0, 0) where there are none."""
        if self.proto not in (TCP, UDP) or self.offset or len(self.l4) < 4:
            return 0, 0
        return struct.unpack("!HH", self.l4[:4])

    @property
    def sport(self):
        """The source port."""
        return self.ports[0]

    @property
    def dport(self):
        """The destination port."""
        return self.ports[1]

    @property
    def flags(self):
        """The flags byte of TCP."""
        return self.l4[13]

    @property
    def seq(self):
        """The sequence number of TCP."""
        return struct.unpack("!I", self.l4[4:8])[0]

    @property
    def ack(self):
        """The acknowledgement number of TCP."""
        return struct.unpack("!I", self.l4[8:12])[0]

    @property
    def icmp(self):
        """(type, code) of an ICMP message."""
        return self.l4[0], self.l4[1]

    @property
    def icmp_mtu(self):
        """The MTU in "fragmentation needed" and "packet too big"."""
        return struct.unpack("!I", self.l4[4:8])[0] if self.version == 6 else struct.unpack("!H", self.l4[6:8])[0]

    @property
    def payload(self):
        """What TCP or UDP carries."""
        return self.l4[(self.l4[12] >> 4) * 4:] if self.proto == TCP else self.l4[8:]

    @property
    def inner(self):
        """The packet inside IP in IP, or the one that an ICMP error quotes."""
        if self.proto in (IPIP, IPV6_IN_IP):
            return Ip(self.l4)
        return Ip(self.l4[8:])

    def tuple(self):
        """(source, port, destination, port)."""
        return (self.source, self.sport, self.target, self.dport)

    def header_fault(self):
        """What is wrong with the IPv4 header's checksum, or None."""
        if self.version == 4 and total(self.raw[:self.header]) != 0xFFFF:
            return f"header checksum {self.check:#06x} is wrong"
        return None

    def fault(self, partial=False):
        """What is wrong with this packet's checksums, or None; `partial`: the device is to finish layer 4's."""
        at = CHECK_AT.get(self.proto)
        if self.header_fault() or at is None or not self.whole or len(self.l4) < MIN_HEADER[self.proto]:
            return self.header_fault()
        found = struct.unpack("!H", self.l4[at:at + 2])[0]
        head = b"" if self.proto == ICMP else pseudo(binary(self.source), binary(self.target), self.proto, len(self.l4))
        if partial:
            return None if found == total(head) else f"unfinished checksum {found:#06x}, not {total(head):#06x}"
        if self.proto == UDP and not found:
            return None if self.version == 4 else "UDP checksum 0 on IPv6"
        return None if total(head + self.l4) == 0xFFFF else f"layer 4 checksum {found:#06x} is wrong"

    def plain(self):
        """The packet's bytes with all checksums zeroed, to compare what is left."""
        return self.changed()

    def changed(self, source=None, sport=None, target=None, dport=None, ttl=None):
        """As plain(), with these fields replaced."""
        data = bytearray(self.raw)
        width, start = (4, 12) if self.version == 4 else (16, 8)
        if self.version == 4:
            data[10:12] = b"\0\0"
        if source:
            data[start:start + width] = binary(source)
        if target:
            data[start + width:start + 2 * width] = binary(target)
        if ttl is not None:
            data[8 if self.version == 4 else 7] = ttl
        if self.proto in CHECK_AT and not self.offset:
            self.change_l4(data, sport, dport)
        return bytes(data)

    def change_l4(self, data, sport, dport):
        """Replace the ports in `data` and zero the checksum."""
        at = self.header
        if sport is not None:
            data[at:at + 2] = struct.pack("!H", sport)
        if dport is not None:
            data[at + 2:at + 4] = struct.pack("!H", dport)
        data[at + CHECK_AT[self.proto]:at + CHECK_AT[self.proto] + 2] = b"\0\0"

    def __repr__(self):
        name = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMP6: "ICMP6", IPIP: "IPIP", IPV6_IN_IP: "IP6inIP"}
        line = f"{self.source}:{self.sport} > {self.target}:{self.dport} ttl {self.ttl} len {len(self.raw)}"
        line = f"{name.get(self.proto, self.proto)} {line}"
        if not self.whole:
            return f"{line} frag id {self.ident:#x} offset {self.offset} more {self.more}"
        if self.proto == TCP:
            return f"{line} flags {self.flags:#04x} seq {self.seq} ack {self.ack}"
        if self.proto in (ICMP, ICMP6):
            quoted = f" [{self.inner!r}]" if is_error(self) and len(self.l4) > 28 else ""
            return f"{line} type {self.icmp}{quoted}"
        return f"{line} [{self.inner!r}]" if self.proto in (IPIP, IPV6_IN_IP) else line


def is_error(ip):
    """True for an ICMP error of either family."""
    if ip.proto == ICMP:
        return ip.l4[0] in (3, 4, 5, 11, 12)
    return ip.proto == ICMP6 and ip.l4[0] < 128


class Frame:
    """An Ethernet frame as a capture saw it."""

    def __init__(self, data, outgoing=False, partial=False, gso=False):
        self.target, self.source = data[0:6].hex(":"), data[6:12].hex(":")
        self.type = struct.unpack("!H", data[12:14])[0]
        self.outgoing, self.partial, self.gso = outgoing, partial, gso
        self.ip = None
        if self.type in ETHERTYPE.values() and len(data) >= 34:
            with contextlib.suppress(struct.error, IndexError, ValueError):
                self.ip = Ip(data[14:])

    def __repr__(self):
        try:
            return self.describe()
        except (struct.error, IndexError, ValueError):
            return "damaged"

    def describe(self):
        """The frame in a line."""
        how = ("out" if self.outgoing else "in ") + (" partial" if self.partial else "") + (" gso" if self.gso else "")
        return f"{how} {self.source[-2:]}>{self.target[-2:]} {self.ip!r}"


def ip_header(source, target, proto, length, ttl=64, tos=0, df=True, ident=1, more=False, offset=0):
    """An IPv4 or IPv6 header for `length` bytes behind it; a fragment of IPv6 gets its extension header."""
    if ":" in source:
        extra = struct.pack("!BBHI", proto, 0, offset | int(more), ident) if more or offset else b""
        head = struct.pack("!IHBB", 6 << 28 | tos << 20, length + len(extra), FRAGMENT if extra else proto, ttl)
        return head + binary(source) + binary(target) + extra
    field = (0x4000 if df else 0) | (0x2000 if more else 0) | offset >> 3
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, tos, 20 + length, ident, field, ttl, proto, 0))
    head += binary(source) + binary(target)
    head[10:12] = struct.pack("!H", checksum(head))
    return bytes(head)


def closed(source, target, proto, l4):
    """The layer 4 bytes `l4` with the checksum filled in."""
    data = bytearray(l4)
    at = CHECK_AT[proto]
    data[at:at + 2] = b"\0\0"
    head = b"" if proto == ICMP else pseudo(binary(source), binary(target), proto, len(data))
    value = checksum(head + data)
    data[at:at + 2] = struct.pack("!H", value or 0xFFFF if proto == UDP else value)
    return bytes(data)


def packet(source, target, proto, l4, **fields):
    """An IP packet with a finished layer 4 checksum."""
    return ip_header(source, target, proto, len(l4), **fields) + closed(source, target, proto, l4)


def udp(source, sport, target, dport, payload=b"", **fields):
    """A UDP datagram as an IP packet."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    return packet(source, target, UDP, head + payload, **fields)


def tcp(source, sport, target, dport, flags, seq=0, ack=0, payload=b"", options=b"", window=64240, **fields):
    """A TCP segment as an IP packet."""
    offset = 5 + len(options) // 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset << 4, flags, window, 0, 0)
    return packet(source, target, TCP, head + options + payload, **fields)


def icmp(source, target, kind, code, rest, body, **fields):
    """An ICMP or ICMPv6 message as an IP packet; `rest` is the header's last four bytes as a number."""
    proto = ICMP6 if ":" in source else ICMP
    return packet(source, target, proto, struct.pack("!BBHI", kind, code, 0, rest) + body, **fields)


def fragments(data, size):
    """An unfragmented IP packet cut into fragments with at most `size` bytes of payload each (a multiple of 8)."""
    ip = Ip(data)
    out = []
    for offset in range(0, len(ip.l4), size):
        part = ip.l4[offset:offset + size]
        more = offset + size < len(ip.l4)
        out.append(ip_header(ip.source, ip.target, ip.proto, len(part), ttl=ip.ttl, df=False, ident=0x1234,
                             more=more, offset=offset) + part)
    return out


def reassemble(packets):
    """The whole packet that fragments in any order make up (or that is whole already), or None."""
    for ip in packets:
        if ip.whole:
            return ip
    parts = {ip.offset: ip for ip in packets}
    data, offset = b"", 0
    while offset in parts:
        data += parts[offset].l4
        if not parts[offset].more:
            first = parts[0]
            return Ip(ip_header(first.source, first.target, first.proto, len(data), ttl=first.ttl, df=False) + data)
        offset = len(data)
    return None


def ethernet(source, target, data):
    """An Ethernet frame around an IP packet; hardware addresses as text."""
    head = bytes.fromhex(target.replace(":", "")) + bytes.fromhex(source.replace(":", ""))
    return head + struct.pack("!H", ETHERTYPE.get(data[0] >> 4, ETHERTYPE[4])) + data
