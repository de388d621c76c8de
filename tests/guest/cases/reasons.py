# SPDX-License-Identifier: GPL-2.0
"""Each packet of a known flow that does not go early is counted by its reason."""

import json

import wire
from flow import Ends
from ipsec import Policies
from suite import FAMILIES, case, check, equal, settle
from watch import BEHIND, Watch, reasons, sides

NEEDS = ("early",)
METHODS = ("nat", "dr", "tun", "fullnat")
# Larger than the way out that a case makes narrow, smaller than the one in front of it.
NARROW, LARGE = 1400, b"x" * 1420


def known(t, method, family, proto="udp"):
    """A flow that goes early both ways: (flow, its sides)."""
    flow = Ends(t, method, family, proto).flow().open()
    both = sides(flow)
    Watch(t).settle(True, *both)
    return flow, both


def rises(t, reason, send, least):
    """Fail unless `send` makes the count of a reason rise by so much."""
    before = reasons(t)[reason]
    send()
    settle(lambda: reasons(t)[reason] - before >= least, True, f"{least} packets counted as {reason!r}")


@case("reasons.syn.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def syn(t, method, family):
    """Segments with SYN, of both sides."""
    flow, both = known(t, method, family, "tcp")

    def send():
        for side in both:
            side.passes(flags=wire.SYN | (0 if side.name == "request" else wire.ACK), payload=b"")
    rises(t, "syn", send, len(both))
    equal(flow.ends.known()[0].proto, "TCP", "protocol")


@case("reasons.unmarked.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def unmarked(t, method, family):
    """After a new start for all marks, one of each side at least."""
    both = known(t, method, family)[1]

    def send():
        t.backend.run("--recheck")
        for side in both:
            side.passes()
    rises(t, "unmarked", send, len(both))


@case("reasons.interface.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def interface(t, method, family):
    """Packets by another interface than the one that earned it."""
    both = known(t, method, family)[1]
    others = [t.inject(*BEHIND["back" if side.name == "request" else "front"]) for side in both]

    def send():
        for side, other in zip(both, others):
            side.passes(other)
    rises(t, "interface", send, len(both))


@case("reasons.policy.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def policy(t, method, family):
    """While there are IPsec policies each packet is shown to them, and the listing says that the path is off."""
    both = known(t, method, family)[1]
    other = ("192.0.2.1", "192.0.2.2") if family == 4 else ("2001:db8::1", "2001:db8::2")
    Policies(t).block("out", *other)

    def send():
        for side in both:
            for _ in range(3):
                side.passes()
    rises(t, "policy", send, len(both))
    check("IPsec" in t.backend.run("-L", "--info").stdout, "--info does not say why nothing goes early")
    equal(json.loads(t.backend.run("-L", "--info", "-j").stdout)["early_path"], "policies", "early_path")


def reroute(t, family):
    """Take the routes to both ends away and put them back: each way has to be looked up anew."""
    routes = {4: ("10.1.0.0/16 via 10.0.2.254", "10.0.3.13/32 dev back", "10.0.3.11/32 dev back"),
              6: ("fd00:11::/64 via fd00:2::fe", "fd00:3::13/128 dev back", "fd00:3::11/128 dev back")}[family]
    for route in routes:
        t.lab.ip("director", f"route add {route}")
        t.defer(t.lab.ip, "director", f"route del {route}")
    ways = {4: "10.3.0.0/16 via 10.0.3.13", 6: "fd00:13::/64 via fd00:3::13"}[family]
    t.lab.ip("director", f"route replace {ways}")


@case("reasons.path.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def path(t, method, family):
    """When routes have changed the way out is looked up anew."""
    both = known(t, method, family)[1]

    def send():
        reroute(t, family)
        for side in both:
            side.passes()
    rises(t, "path", send, 1)


@case("reasons.size.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def size(t, method, family):
    """A packet that is larger than the way out, also if nobody forbids to cut it."""
    flow, both = known(t, method, family)
    t.mtu("director", "back", NARROW)
    for _ in range(2):
        for side in both:
            side.passes()

    def send():
        fields = {"df": False} if family == 4 else {}
        flow.ends.up.send(*[flow.request(LARGE, **fields)] * 2)
    rises(t, "size", send, 1)


@case("reasons.ttl.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def ttl(t, method, family):
    """A TTL of 1 at the director; the router takes one from requests before."""
    flow, both = known(t, method, family)

    def send():
        flow.ends.up.send(flow.request(b"last", ttl=2))
        if len(both) == 2:
            flow.ends.down.send(flow.reply(b"last", ttl=1))
    rises(t, "ttl", send, len(both))


def with_options(data):
    """An IPv4 packet with four bytes of options that do nothing, or an IPv6 one with a header of that kind."""
    ip = wire.Ip(data)
    if ip.version == 6:
        head = bytearray(data[:40])
        head[4:6] = (len(data) - 40 + 8).to_bytes(2, "big")
        head[6] = 60
        return bytes(head) + bytes([ip.proto, 0, 1, 4, 0, 0, 0, 0]) + data[40:]
    head = bytearray(data[:20]) + b"\x01\x01\x01\x00"
    head[0], head[10:12] = 0x46, b"\0\0"
    head[2:4] = (len(data) + 4).to_bytes(2, "big")
    head[10:12] = wire.checksum(head).to_bytes(2, "big")
    return bytes(head) + data[20:]


@case("reasons.form.{what}.{method}.{family}", needs=NEEDS, what=("options", "fragments"), method=METHODS,
      family=FAMILIES)
def form(t, what, method, family):
    """Options or extension headers, and fragments."""
    flow, both = known(t, method, family)

    def changed(data):
        return [with_options(data)] if what == "options" else wire.fragments(data, 800)

    def send():
        flow.ends.up.send(*changed(flow.request(b"y" * 1000)))
        if len(both) == 2:
            flow.ends.down.send(*changed(flow.reply(b"y" * 1000)))
    rises(t, "form", send, 1)


@case("reasons.refused.{mode}.{method}.{family}", needs=NEEDS, mode=("lro", "socket"), method=METHODS, family=FAMILIES)
def refused(t, mode, method, family):
    """Packets that were joined by the card, and those that somebody gave a socket."""
    flow, both = known(t, method, family)
    handled = t.receive_as(mode, "director", "front", "back")

    def send():
        flow.ends.up.send(*[flow.request(b"z" * 600)] * 3)
        if len(both) == 2:
            flow.ends.down.send(*[flow.reply(b"z" * 600)] * 3)
    rises(t, "refused", send, 1)
    check(handled() >= 1, "no packet had that look")


@case("reasons.off.{family}", needs=NEEDS, family=FAMILIES)
def off(t, family):
    """The listing says when the switch is off, and when it is on."""
    both = known(t, "nat", family)[1]
    for value, word in ((0, "off"), (1, "on")):
        t.backend.sysctl("early", value)
        for side in both:
            side.passes()
        settle(lambda: json.loads(t.backend.run("-L", "--info", "-j").stdout)["early_path"], word, "early_path")
