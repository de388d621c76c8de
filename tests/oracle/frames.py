# SPDX-License-Identifier: GPL-2.0
"""Frames of a scenario's flows: what its lines say, as bytes.

What may be odd about a packet, as NAME=VALUE:

    ttl=N tos=N df=0 id=N      in the IP header (IPv6: hop limit, traffic class)
    seq=N                      added to the sequence number
    csum=0 | csum=bad          UDP without a checksum; a wrong one of layer 4
    ipcsum=bad                 a wrong one of the IPv4 header
    ipopt=nop | rr | ts | ra   an IPv4 option
    ext=hop | dst | route      an IPv6 extension header
    doff=N                     TCP's data offset, in words
    iplen=N, ulen=N            added to the length that the IP, UDP header tells
    cut=N                      the IP packet ends after N bytes, its header says so
    frag=N, parts=W            fragments of N bytes; W of them: all, reverse, first, last, twice
    mac=other | all            sent to another host's, to everybody's hardware address
    src=A, dst=A, port=N       another source or destination than the flow's; another source port
    dev=front | back           comes in by this interface
    via=router                 sent by the router's hardware address
    call=NAME head=KIND        a SIP message of a call, UDP; how its Call-ID is written: one of HEADS

An error has: from=A or router (who says it), quote=N (bytes of the packet that it quotes), mtu=N, bad=csum | quoted, ttl=N.
"""

import struct

import wire
from network import ROUTER, hardware, link_address, mac
from scenario import FLAGS

FLAG_BITS = {"F": wire.FIN, "S": wire.SYN, "R": wire.RST, "P": wire.PSH, "A": wire.ACK, "U": 32}
assert set(FLAG_BITS) == set(FLAGS)
HEADER = {4: 20, 6: 40}
NOP, RECORD_ROUTE, TIMESTAMP, ROUTER_ALERT = 1, 7, 68, 148
IP_OPTIONS = {
    "nop": bytes([NOP] * 4), "rr": bytes([RECORD_ROUTE, 7, 4, 0, 0, 0, 0, 0]), "ts": bytes([TIMESTAMP, 8, 5, 0, 0, 0, 0, 0]),
    "ra": bytes([ROUTER_ALERT, 4, 0, 0]),
}
# The line of a SIP message that names its call.
HEADS = {"long": "Call-ID: {}\r\n", "compact": "i:{}\r\n", "folded": "Call-ID:\r\n {}\r\n", "odd": "cAlL-iD\t : {}\n",
         "none": "X: {}\r\n", "empty": "Call-ID: \r\n", "void": "Call-ID: ;{}\r\n", "twice": "i: a\r\ni: {}\r\n",
         "late": "i:;\r\ni:;\r\nTo: {}\r\ni: {}\r\n", "blank": "\nCall-ID: {}\n", "comma": "Call-ID: {}, b\r\n",
         "cut": "Call-ID: {}", "latin": "Call-ID: \u00e9{}\u00f7\r\n", "host": "Call-ID: {}@\r\n", "other": "i= {}\r\ni: {}\r\n"}
# Bytes of a message without what fills it up, at most.
LINES = 100
HOP, ROUTE, DST = 0, 43, 60
EXTENSIONS = {"hop": (HOP, bytes([1, 4, 0, 0, 0, 0])), "dst": (DST, bytes([1, 4, 0, 0, 0, 0])),
              "route": (ROUTE, bytes([0, 0, 0, 0, 0, 0]))}
MOST_QUOTED = {4: 548, 6: 1232}
# What a link carries: hosts send larger packets in fragments.
LARGEST = 1500
CLIENT_START, SERVER_START = 1000, 500000


class Ends:
    """What both ends of a flow know: sequence numbers, and the last packets that came out of the director."""

    def __init__(self, flow):
        self.flow = flow
        self.next = {">": CLIENT_START, "<": SERVER_START}
        self.sent = {">": [], "<": []}
        # The last packet that came out towards the server and the client, as it was.
        self.out = {">": None, "<": None}
        # The addresses of the last request that the server saw.
        self.seen = None

    def note(self, side, data):
        """A packet of this side came out of the director."""
        self.out[side] = data
        ip = wire.Ip(data)
        while ip.proto in (wire.IPIP, wire.IPV6_IN_IP):
            ip = ip.inner
        if side == ">" and ip.proto in (wire.TCP, wire.UDP) and ip.ports != (0, 0):
            self.seen = ip.tuple()

    def addresses(self, side):
        """(source, port, destination, port) of a packet that this side sends."""
        client, service = self.flow.client, self.flow.service
        if side == ">":
            return (*client, *service)
        if self.seen:
            source, sport, target, dport = self.seen
            return (target, dport, source, sport)
        return (unasked(self.flow.family), service[1], *client)


def unasked(family):
    """The real server that answers where no request was seen."""
    return "10.0.3.11" if family == 4 else "fd00:3::b"


def payload(size, number):
    """Bytes that tell which packet they belong to."""
    return (b"%06d." % (number % 1000000) * (size // 7 + 1))[:size]


def message(odd, size, number):
    """A SIP message: a first line, one that fills it up, no larger than it would be without, and the line that names the call."""
    call = odd["call"] + "@example.net"
    lines = b"INVITE sip:a SIP/2.0\r\nSubject: " + payload(max(size - LINES, 0), number) + b"\r\n"
    return lines + HEADS[odd.get("head", "long")].replace("{}", call).encode("latin-1")


def build(ends, packet, number):
    """The frames of a packet, as [(interface, frame)]."""
    side, odd = packet.side, packet.odd
    if packet.again:
        return list(ends.sent[side])
    source, sport, target, dport = ends.addresses(side)
    source, target, sport = odd.get("src", source), odd.get("dst", target), int(odd.get("port", sport))
    data = segment(ends, packet, number, (source, sport, target, dport))
    data = mangled(data, odd)
    parts = fragments(data, odd) if "frag" in odd or len(data) > LARGEST else [data]
    dev = odd.get("dev", "front" if side == ">" else "back")
    frames = [(dev, framed(part, dev, source, odd)) for part in parts]
    ends.sent[side] = frames
    return frames


def segment(ends, packet, number, addresses):
    """The IP packet, sound but for its fields."""
    odd, body = packet.odd, payload(packet.size, number)
    if "call" in odd:
        body = message(odd, packet.size, number)
    fields = {"ttl": int(odd.get("ttl", 64)), "tos": int(odd.get("tos", 0)), "ident": int(odd.get("id", 0x4000 + number)),
              "df": odd.get("df", "1") == "1" and "frag" not in odd}
    if ends.flow.proto == "udp":
        return wire.udp(*addresses, body, **fields)
    other = "<" if packet.side == ">" else ">"
    flags = sum(FLAG_BITS[flag] for flag in packet.flags if flag in FLAG_BITS)
    seq = ends.next[packet.side]
    ends.next[packet.side] = seq + packet.size + ("S" in packet.flags) + ("F" in packet.flags)
    ack = ends.next[other] if flags & wire.ACK else 0
    return wire.tcp(*addresses, flags, seq=seq + int(odd.get("seq", 0)), ack=ack, payload=body, **fields)


def mangled(data, odd):
    """The packet with what is wrong or rare about it."""
    data = bytearray(data)
    family = data[0] >> 4
    at = HEADER[family]
    if odd.get("csum") == "0":
        data[at + 6:at + 8] = b"\0\0"
    elif odd.get("csum") == "bad":
        where = at + wire.CHECK_AT[data[9 if family == 4 else 6]]
        data[where] ^= 0x55
    if "doff" in odd:
        data[at + 12] = int(odd["doff"]) << 4
    if "ulen" in odd:
        data[at + 4:at + 6] = struct.pack("!H", (struct.unpack("!H", data[at + 4:at + 6])[0] + int(odd["ulen"])) & 0xFFFF)
    if "ipopt" in odd and family == 4:
        data = with_option(data, IP_OPTIONS[odd["ipopt"]])
    if "ext" in odd and family == 6:
        data = with_extension(data, *EXTENSIONS[odd["ext"]])
    if "cut" in odd:
        data = data[:max(int(odd["cut"]), at)]
    if "cut" in odd or "iplen" in odd:
        data = with_length(data, len(data) + int(odd.get("iplen", 0)))
    if odd.get("ipcsum") == "bad" and family == 4:
        data[10] ^= 0x55
    return bytes(data)


def with_option(data, option):
    """An IPv4 packet with an option behind its header."""
    out = data[:20] + option + data[20:]
    out[0] = 0x40 | (20 + len(option)) // 4
    return with_length(out, len(out))


def with_extension(data, kind, content):
    """An IPv6 packet with an extension header."""
    out = data[:40] + bytes([data[6], 0]) + content + data[40:]
    out[6] = kind
    return with_length(out, len(out))


def with_length(data, length):
    """A packet whose header tells a length, with the header's checksum right."""
    if data[0] >> 4 == 6:
        data[4:6] = struct.pack("!H", max(length - 40, 0) & 0xFFFF)
        return data
    header = (data[0] & 15) * 4
    data[2:4] = struct.pack("!H", length & 0xFFFF)
    data[10:12] = b"\0\0"
    data[10:12] = struct.pack("!H", wire.checksum(bytes(data[:header])))
    return data


def fragments(data, odd):
    """The packet's fragments that are sent, in their order."""
    size = max(int(odd.get("frag", LARGEST - 60)) & ~7, 8)
    parts = [identified(part, data) for part in wire.fragments(data, size)]
    which = odd.get("parts", "all")
    if which == "reverse":
        return parts[::-1]
    return {"first": parts[:1], "last": parts[-1:], "twice": parts[:1] + parts}.get(which, parts)


def identified(part, whole):
    """A fragment with the identification of its own packet."""
    part, own = bytearray(part), struct.pack("!H", sum(whole[-8:]) + len(whole))
    if part[0] >> 4 == 6:
        part[46:48] = own
        return bytes(part)
    part[4:6] = whole[4:6]
    return bytes(with_length(part, len(part)))


def framed(data, dev, source, odd):
    """The Ethernet frame of a packet that comes in by an interface."""
    target = {"other": "02:00:00:00:99:99", "all": "ff:ff:ff:ff:ff:ff"}.get(odd.get("mac"), mac(dev, 1))
    sender = mac(dev, 254) if odd.get("via") == "router" else hardware(dev, source)
    return wire.ethernet(sender, target, data)


def error(ends, step):
    """The frame of an ICMP error, as [(interface, frame)]; none where there is nothing to complain of."""
    about, odd = ends.out[step.side], step.odd
    if about is None:
        return []
    quoted = wire.Ip(about)
    family = quoted.version
    dev = "back" if step.side == ">" else "front"
    source = odd.get("from", quoted.target)
    if source == "router":
        source = link_address(family, dev, ROUTER)
    body = about[:int(odd.get("quote", MOST_QUOTED[family]))]
    if odd.get("bad") == "quoted" and len(body) > HEADER[family] + 3:
        # Another port: it is about a packet that nobody sent.
        body = body[:HEADER[family]] + bytes([body[HEADER[family]] ^ 0x55]) + body[HEADER[family] + 1:]
    if (":" in source) != (family == 6):
        return []
    data = wire.icmp(source, quoted.source, step.kind, step.code, int(odd.get("mtu", 0)), body, ttl=int(odd.get("ttl", 64)),
                     ident=0x3999)
    if odd.get("bad") == "csum":
        data = bytearray(data)
        data[HEADER[family] + 2] ^= 0x55
    return [(dev, wire.ethernet(hardware(dev, source), mac(dev, 1), bytes(data)))]
