# SPDX-License-Identifier: GPL-2.0
"""Packets that are rare or wrong: IP options, no UDP checksum, UDP GSO, padding, and random damage."""

import contextlib
import random
import socket
import struct

import wire
from capture import ETH_P_ALL, PACKET_AUXDATA, SOL_PACKET
from flow import Ends
from servers import BLOCK
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, settle

UDP_SEGMENT = 103
# Type of service, and the priority that routers give it.
PRIORITIES = {0x00: 0, 0x08: 2, 0x10: 6}
SEGMENT, SEGMENTS = 1000, 20
# Options as they are sent, and how they begin when they arrive: a router and the director have written into them.
OPTIONS = {
    "nop": (b"\x01\x01\x01\x00", b"\x01\x01\x01\x00"),
    "route": (b"\x07\x0f\x04" + bytes(13), b"\x07\x0f\x0c"),
    "time": (b"\x44\x10\x05\x00" + bytes(12), b"\x44\x10\x0d\x00"),
}
DAMAGED = 300


@case("oddities.options.{method}.{option}.{early}", method=("nat", "dr", "tun"), option=tuple(OPTIONS), early=EARLY)
@case("oddities.options.{method}.{option}.{early}", needs=("fullnat",), method=("fullnat",), option=tuple(OPTIONS),
      early=EARLY)
def options(t, method, option, early):
    """A packet with IP options passes with them, on a flow that is known, and so does what hosts on the way wrote there."""
    ends = Ends(t, method, 4, "udp")
    flow = ends.flow().open()
    plain = flow.request(b"with options")
    sent, arrives = OPTIONS[option]
    head = bytearray(plain[:20]) + sent
    head[0], head[2:4], head[10:12] = 0x40 | len(head) // 4, struct.pack("!H", len(plain) + len(sent)), b"\0\0"
    head[10:12] = struct.pack("!H", wire.checksum(head))
    ends.up.send(bytes(head) + plain[20:])
    ip = flow.arrived(b"with options")
    check(ip, "the packet did not arrive")
    equal((ip.raw[20:20 + len(arrives)], ip.ttl), (arrives, 62), "options and TTL")
    check(not ip.fault(), f"{ip.fault()}")


@case("oddities.no_checksum.{early}", early=EARLY)
def no_checksum(t, early):
    """UDP over IPv4 without a checksum arrives with none or with a right one, both ways."""
    ends = Ends(t, "nat", 4, "udp")
    flow = ends.flow().open()
    for send, got, packet in ((ends.up, flow.arrived, flow.request(b"bare")),
                              (ends.down, flow.returned, flow.reply(b"bare"))):
        flow.begin()
        send.send(packet[:26] + b"\0\0" + packet[28:])
        ip = got(b"bare")
        check(ip and not ip.fault(), f"arrived as {ip!r}")


@case("oddities.padding.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def padding(t, family, proto, early):
    """Bytes behind the IP packet, as Ethernet pads short frames, are not taken for content."""
    ends = Ends(t, "nat", family, proto)
    flow = ends.flow().open()
    flow.begin()
    ends.up.send(flow.request(b"x", flags=wire.ACK) + b"\xee" * 25)
    ends.down.send(flow.reply(b"y", flags=wire.ACK) + b"\xee" * 25)
    for ip in (flow.arrived(b"x"), flow.returned(b"y")):
        check(ip and not ip.fault(), f"arrived as {ip!r}")


@case("oddities.udp_gso.{method}.{family}.{early}", method=("nat", "dr"), family=FAMILIES, early=EARLY)
@case("oddities.udp_gso.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      early=EARLY)
def udp_gso(t, method, family, early):
    """Many datagrams in one GSO packet arrive as many datagrams."""
    ends = Ends(t, method, family, "udp")
    if ends.keeps:
        t.serve("rs1", family, "udp", ends.rport, ends.vip)
    client = t.client(family, "udp", ends.vport)
    client.sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, SEGMENT)
    target = ends.vip if ends.keeps else ends.rip

    def carried():
        frames = ends.far.select(lambda ip: (ip.target, ip.dport) == (target, ends.rport), outgoing=False)
        return b"".join(frame.ip.payload for frame in frames)
    for _ in range(3):
        ends.far.drop()
        client.sock.send(BLOCK[:SEGMENT * SEGMENTS])
        check(poll(lambda: carried() == BLOCK[:SEGMENT * SEGMENTS]), f"{len(carried())} bytes arrived, or others")


def damage(chance, packet):
    """The packet with some bytes changed, cut short, or given odd lengths, its IPv4 header checksum right again."""
    data = bytearray(packet)
    for _ in range(chance.randrange(1, 5)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    data = data[:chance.randrange(20, len(data) + 1)] if chance.random() < 0.4 else data
    if data[0] >> 4 == 4 and len(data) >= 20 and chance.random() < 0.8:
        if chance.random() < 0.7:
            data[0], data[2:4] = 0x45, struct.pack("!H", len(data))
        data[10:12] = b"\0\0"
        data[10:12] = struct.pack("!H", wire.checksum(data[:20]))
    return bytes(data)


@case("oddities.damaged.{method}.{family}.{proto}.{early}", method=("nat", "tun"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
@case("oddities.damaged.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def damaged(t, method, family, proto, early):
    """Hundreds of damaged packets and ICMP errors of a known flow, both ways: the flow works, the kernel lives."""
    ends = Ends(t, method, family, proto)
    flow = ends.flow().open()
    chance = random.Random(f"{method}{family}{proto}{early}")
    kind = (3, 4, 1300) if family == 4 else (2, 0, 1300)
    up = [flow.request(BLOCK[:200], flags=wire.ACK), wire.icmp(flow.client, ends.vip, *kind, flow.answered(b"quote")),
          *wire.fragments(flow.request(BLOCK[:600], flags=wire.ACK), 400)]
    down = [flow.reply(BLOCK[:200], flags=wire.ACK),
            wire.icmp(ends.rip, flow.seen[0], *kind, flow.build(flow.seen, (ends.rip, ends.rport), payload=b"quote"))]
    for _ in range(DAMAGED):
        ends.up.send(damage(chance, chance.choice(up)))
        ends.down.send(damage(chance, chance.choice(down)))
    ends.far.drop()
    ends.near.drop()
    other = ends.flow(client=2)
    other.open()
    settle(lambda: other.send(b"still here").ttl, 62, "TTL of a new flow's packet")
    t.forget()


@case("oddities.loopback.{method}.{family}.{early}", needs=("fullnat",), method=("nat", "dr", "tun", "fullnat"),
      family=FAMILIES, early=EARLY)
def loopback(t, method, family, early):
    """A local client with a loopback address calls a service: nothing of that leaves the host, nor an error about it."""
    ends = Ends(t, method, family, "udp")
    back, front = t.tap("director", "back"), t.tap("director", "front")
    source = ("127.0.0.1", 0) if family == 4 else ("::1", 0)
    client = t.client(family, "udp", ends.vport, "director", source=source)
    for _ in range(3):
        with contextlib.suppress(OSError):
            client.sock.send(b"from the loopback")
    ends.flow().open()
    for tap in (back, front):
        sent = tap.select(lambda ip: b"from the loopback" in ip.raw, outgoing=True)
        equal(sent, [], f"packets that left by {tap.dev}")


@case("oddities.priority.{method}.{family}.{early}", needs=("fullnat",), method=("nat", "fullnat"), family=FAMILIES,
      early=EARLY)
def priority(t, method, family, early):
    """Answers get the priority that routers give to their type of service (IPv4); a VLAN's tag shows it."""
    tap = answers_by_vlan(t, family)
    ends = Ends(t, method, family, "udp")
    flow = ends.flow().open()
    for tos, want in PRIORITIES.items():
        for _ in range(3):
            tap.frames.clear()
            ends.down.send(flow.reply(b"tos %d" % tos, tos=tos))
            tagged = poll(lambda: [tci for data, tci in tap.fetch() if b"tos %d" % tos in data])
            equal(tagged[:1], [(want if family == 4 else 0) << 13 | VLAN], f"tag of an answer with TOS {tos:#x}")


VLAN = 7


class Tags:
    """Captures frames with the VLAN tag that a device is to put in."""

    def __init__(self, t, host, dev):
        self.frames = []
        self.sock = t.lab.socket(host, socket.AF_PACKET, socket.SOCK_RAW, 0)
        t.defer(self.sock.close)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.bind((dev, ETH_P_ALL))
        self.sock.setblocking(False)

    def fetch(self):
        """(bytes, tag) of all frames since the last clear()."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, extra, _, _ = self.sock.recvmsg(2048, 128)
                self.frames.append((data, struct.unpack("IIIHHHH", extra[0][2][:20])[5]))
        return self.frames


def answers_by_vlan(t, family):
    """Let answers leave the director's front by a VLAN device that writes priorities into its tags."""
    via, local = ("10.0.7.2", "10.0.7.1") if family == 4 else ("fd00:7::2", "fd00:7::1")
    mapping = "egress-qos-map " + " ".join(f"{n}:{n}" for n in range(1, 8))
    net = "10.1.0.0/16" if family == 4 else "fd00:11::/64"
    for host, own, more in (("router", via, ""), ("director", local, mapping)):
        t.lab.ip(host, f"link add link front name front7 type vlan id {VLAN} {more}", "link set front7 up",
                 f"addr add {own}/{64 if family == 6 else 24} dev front7 {'nodad' if family == 6 else ''}")
        t.defer(t.lab.ip, host, "link del front7")
    t.lab.ip("director", f"route add {net} via {via} dev front7")
    return Tags(t, "director", "front")
