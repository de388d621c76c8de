# SPDX-License-Identifier: GPL-2.0
"""What earns a packet the early path: another of its side that went the whole ordinary way, by the same interface."""

import socket

import wire
from flow import Ends
from lab import ADDRESS, MAC, mac
from nfqueue import Queue
from rules import PROTOS, filter_rules, source_is, wall
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal
from watch import BEHIND, Watch, side_of, sides, syn

NAT = ("nat", "fullnat")
METHODS = ("nat", "dr", "tun", "fullnat")
DRY = f"meta l4proto {PROTOS}"


def guard(t, kind, dev, hook, source):
    """A rule of the host's against packets from an address that come in by an interface; returns what undoes it."""
    if kind == "rp_filter":
        t.host_sysctl("director", f"net/ipv4/conf/{dev}/rp_filter", 1)
        return lambda: None
    chain = hook if kind == "filter" else "prerouting"
    return wall(t, {chain: f'iifname "{dev}" {source_is(source)} drop'}, kind)


def elsewhere(t, dev):
    """Sends frames to an interface of the director from what is behind it."""
    return t.inject(*BEHIND[dev])


def spoof(t, kinds, name, method, family, proto):
    """Packets of a known flow that come from the wrong side of the director, against a rule that was there before."""
    ends = Ends(t, method, family, proto)
    dev, hook = ("back", "input") if name == "request" else ("front", "forward" if method == "nat" else "input")
    false = elsewhere(t, dev)
    for number, kind in enumerate(kinds, 1):
        flow = ends.flow(number)
        lift = guard(t, kind, dev, hook, flow.client if name == "request" else ends.rip)
        flow.open()
        side = side_of(flow, name)
        for _ in range(3):
            side.passes()
        side.stopped(false, times=3)
        side.passes()
        lift()


TABLES = ("raw", "mangle", "filter")


@case("trust.spoofed.answer.{method}.rp_filter.{proto}.{early}", method=NAT, proto=PROTOCOLS, early=EARLY)
def spoofed_answer(t, method, proto, early):
    """From the clients' side nobody speaks as the real server, whatever answers went early before."""
    spoof(t, ("rp_filter",), "answer", method, 4, proto)


@case("trust.spoofed.answer.{method}.tables.{family}.{early}", method=NAT, family=FAMILIES, early=EARLY)
def answer_tables(t, method, family, early):
    """The same with a rule in each table that says so."""
    spoof(t, TABLES, "answer", method, family, "tcp")


@case("trust.spoofed.request.{method}.rp_filter.{early}", method=METHODS, early=EARLY)
def spoofed_request(t, method, early):
    """From the real servers' side nobody speaks as the client."""
    spoof(t, ("rp_filter",), "request", method, 4, "udp")


@case("trust.spoofed.request.{method}.tables.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
def request_tables(t, method, family, early):
    """The same with a rule in each table that says so."""
    spoof(t, TABLES, "request", method, family, "tcp")


@case("trust.spoofed.local.{method}.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
def local_client(t, method, family, early):
    """A client on the director earns nothing for who comes from outside with its address."""
    vport = t.port()
    rport = t.port() if method in NAT else vport
    t.serve("rs1", family, "udp", rport, ADDRESS["vip" if method in ("dr", "tun") else "rs1"][family])
    t.balance(family, "udp", vport, method, ADDRESS["rs1"][family], rport)
    address = ADDRESS["director.back"][family]
    wall(t, {"prerouting": f'iifname "front" {source_is(address)} drop'}, "raw")
    client = t.client(family, "udp", vport, host="director", source=(address, 0))
    for _ in range(5):
        client.ask(100)
    tap = t.tap("rs1")
    elsewhere(t, "front").send(wire.udp(address, client.port, ADDRESS["vip"][family], vport, b"false"))
    client.ask(101)
    came = [frame for frame in tap.fetch() if b"false" in (frame.ip.raw if frame.ip else b"")]
    equal(len(came), 0, "packets that passed the rule")


SIDES = (("request", METHODS), ("answer", NAT))
OUT = {"request": "back", "answer": "front"}


def hooks_of(name, method):
    """The hooks that a side passes before it is on its way."""
    if name == "request":
        return ("output", "postrouting")
    return ("forward", "postrouting") if method == "nat" else ("input", "output", "postrouting")


def in_the_way(name, hook):
    """A rule's words for one direction at a hook."""
    return f'{DRY} iifname "back"' if hook == "input" else f'{DRY} oifname "{OUT[name]}"'


def started(ends, name, number):
    """The side `name` of a flow of which no packet of that side was sent yet."""
    flow = ends.flow(number)
    if name == "answer":
        side_of(flow, "request").passes(**syn(flow))
    return side_of(flow, name)


def first(side):
    """Fields of the first packet of a side."""
    if side.flow.ends.proto == "udp":
        return {}
    return {"flags": wire.SYN if side.name == "request" else wire.SYN | wire.ACK, "payload": b""}


for _name, _methods in SIDES:
    @case("trust.marks.{name}.{method}.{family}.{proto}.{early}", name=(_name,), method=_methods, family=FAMILIES,
          proto=PROTOCOLS, early=EARLY)
    def marks(t, name, method, family, proto, early):
        """A packet that is dropped on its way out earns nothing: the next ones are dropped there as well."""
        ends, watch = Ends(t, method, family, proto), Watch(t)
        for number, hook in enumerate(hooks_of(name, method), 1):
            lift = wall(t, {hook: f"{in_the_way(name, hook)} drop"})
            side = started(ends, name, number)
            side.stopped(**first(side))
            side.stopped()
            side.stopped(times=3)
            lift()
            side.passes(**first(side))
            watch.settle(early, side)

    @case("trust.queued.{name}.{method}.{family}", name=(_name,), method=_methods, family=FAMILIES)
    def queued(t, name, method, family):
        """A packet that user space decides on earns nothing: user space is asked about all."""
        ends, watch = Ends(t, method, family, "udp"), Watch(t)
        for number, hook in enumerate(hooks_of(name, method), 1):
            lift = wall(t, {hook: f"{in_the_way(name, hook)} queue num {number}"})
            side = started(ends, name, number)
            side.stopped()
            side.stopped()
            queue = Queue(t, "director", number)
            for seen in range(1, 5):
                side.passes()
                equal(queue.seen, seen, "packets that were asked about")
            lift()
            watch.settle(True, side)

    @case("trust.moved.{name}.{method}.{family}.{early}", name=(_name,), method=_methods, family=FAMILIES, early=EARLY)
    def moved(t, name, method, family, early):
        """Packets that come by another interface arrive, and soon go early from there; and back again."""
        ends, watch = Ends(t, method, family, "udp"), Watch(t)
        side = side_of(ends.flow().open(), name)
        other = elsewhere(t, "back" if name == "request" else "front")
        for via in (None, other, None):
            side.passes(via)
            watch.settle(early, side, via=via)

    @case("trust.alternating.{name}.{method}.{family}", needs=("early",), name=(_name,), method=_methods,
          family=FAMILIES)
    def alternating(t, name, method, family):
        """Who alternates over two interfaces loses nothing, and takes the early path over one of them."""
        ends, watch = Ends(t, method, family, "udp"), Watch(t)
        side = side_of(ends.flow().open(), name)
        watch.settle(True, side)
        other, before = elsewhere(t, "back" if name == "request" else "front"), watch.read()["postrouting"]
        for number in range(100):
            side.passes(other if number % 2 else None)
        ordinary = watch.read()["postrouting"] - before
        # The mark moves at most once a second, and the packets between two moves are half and half.
        check(1 <= ordinary <= 75, f"{ordinary} of 100 went the ordinary way")


class Churn:
    """A pair of devices from the router to the director that comes and goes."""

    def __init__(self, t, index=None):
        self.t = t
        MAC["router", "churn"], MAC["director", "churn"] = mac(0xB1), mac(0xB2)
        self.make(index)
        t.defer(self.remove)

    def make(self, index=None):
        """Make it, with a number of our choice."""
        wish = f"index {index} " if index else ""
        self.t.lab.ip("director", f"link add name churn {wish}address {mac(0xB2)} type veth peer name churn "
                      f"netns router address {mac(0xB1)}", "link set churn up")
        self.t.lab.ip("router", "link set churn up")
        return self

    def remove(self):
        """Take it away."""
        self.t.lab.ip("director", "link del churn")

    def inject(self):
        """Sends frames through it."""
        return self.t.inject("router", "churn", ("director", "churn"))


def number_of(t, dev):
    """The index of an interface of the director."""
    with t.lab.inside("director"):
        return socket.if_nametoindex(dev)


for _name, _methods in SIDES:
    @case("trust.recreated.{name}.{method}.{family}", needs=("early",), name=(_name,), method=_methods, family=FAMILIES)
    def recreated(t, name, method, family):
        """An interface that is deleted and made again, with the same name and number, inherits nothing."""
        ends, watch, churn = Ends(t, method, family, "udp"), Watch(t), Churn(t)
        side, via = side_of(ends.flow().open(), name), churn.inject()
        watch.settle(True, side, via=via)
        index = number_of(t, "churn")
        churn.remove()
        via = churn.make(index).inject()
        equal(number_of(t, "churn"), index, "the new interface's number")
        lift = wall(t, {"prerouting": f'iifname "churn" {DRY} drop'}, "raw")
        side.stopped(via)
        lift()
        side.passes(via)
        watch.settle(True, side, via=via)

    @case("trust.number.{name}.{method}.{family}", needs=("early",), name=(_name,), method=_methods, family=FAMILIES)
    def number(t, name, method, family):
        """Two interfaces whose numbers are alike in 16 bits are two."""
        home = "front" if name == "request" else "back"
        churn = Churn(t, number_of(t, home) + 0x10000)
        ends, watch = Ends(t, method, family, "udp"), Watch(t)
        wall(t, {"prerouting": f'iifname "churn" {DRY} drop'}, "raw")
        side = side_of(ends.flow().open(), name)
        watch.settle(True, side)
        side.stopped(churn.inject())


SEGMENT_SIZE = b"\x02\x04\x05\xb4"
CLAMPED = b"\x02\x04\x04\xb0"


@case("trust.syn_ack.{method}.{hook}.{family}.{early}", method=("nat",), hook=("forward", "postrouting"),
      family=FAMILIES, early=EARLY)
@case("trust.syn_ack.{method}.{hook}.{family}.{early}", method=("fullnat",), hook=("output", "postrouting"),
      family=FAMILIES, early=EARLY)
def syn_ack(t, method, hook, family, early):
    """What a rule does to the first SYN-ACK it does to its repetitions, also when data have gone early between."""
    ends = Ends(t, method, family, "tcp")
    filter_rules(t, f"table inet wall {{ chain c {{ type filter hook {hook} priority -150\n"
                 f"tcp flags & (syn | ack) == syn | ack tcp option maxseg size set 1200\n}}\n}}\n")
    flow = ends.flow()
    request, answer = sides(flow)
    request.passes(flags=wire.SYN, payload=b"", options=SEGMENT_SIZE)
    handshake = {"flags": wire.SYN | wire.ACK, "payload": b"", "seq": 5000, "ack": 1, "options": SEGMENT_SIZE}
    for _ in range(3):
        equal(answer.passes(**handshake).l4[20:24], CLAMPED, "the option of a SYN-ACK")
    for _ in range(3):
        request.passes()
        answer.passes()
    equal(answer.passes(**handshake).l4[20:24], CLAMPED, "the option of a late SYN-ACK")


@case("trust.syn.{method}.{hook}.{family}.{early}", method=METHODS, hook=("output", "postrouting"), family=FAMILIES,
      early=EARLY)
def repeated_syn(t, method, hook, family, early):
    """The same for a SYN and its repetitions."""
    ends = Ends(t, method, family, "tcp")
    if method == "tun":
        hook = "input"
    filter_rules(t, f"table inet wall {{ chain c {{ type filter hook {hook} priority -150\n"
                 f"tcp flags & syn == syn tcp option maxseg size set 1200\n}}\n}}\n")
    request = sides(ends.flow())[0]
    for _ in range(4):
        got = request.passes(flags=wire.SYN, payload=b"", seq=1, options=SEGMENT_SIZE)
        equal(got.l4[20:24], CLAMPED, "the option of a SYN")
        request.passes()
