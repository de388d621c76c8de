# SPDX-License-Identifier: GPL-2.0
"""The two directions of a flow, sent from anywhere, and whether their packets went early."""

import json

import wire
from rules import probe
from suite import HANG, check, equal, until

# How long a packet that must not come is waited for.
NOTHING = 0.15
# From where an interface of the director is reached.
BEHIND = {"front": ("router", "front", ("director", "front")), "back": ("rs3", "eth0", ("director", "back"))}


class Side:
    """One direction of a flow: "request" or "answer"; `via` is an injector elsewhere than at the flow's end."""

    def __init__(self, flow, name):
        self.flow, self.name, self.number = flow, name, 0

    def build(self, payload, **fields):
        """A packet of this direction as it reaches the director."""
        return (self.flow.request if self.name == "request" else self.flow.reply)(payload, **fields)

    def put(self, via=None, bound=HANG, **fields):
        """Send a packet and return it as it arrived, or None."""
        flow, self.number = self.flow, self.number + 1
        payload = fields.pop("payload", b"%s %d" % (self.name.encode(), self.number))
        flow.begin()
        home = flow.ends.up if self.name == "request" else flow.ends.down
        (via or home).send(self.build(payload, **fields))
        return self.look(payload, bound, flow.told_apart(fields))

    def look(self, payload, bound, same):
        """The packet with this payload at the other end, or None; a request tells whom the real server saw."""
        if self.name == "answer":
            return self.flow.returned(payload, bound, **same)
        ip = self.flow.arrived(payload, bound, **same)
        if ip:
            self.flow.seen = (ip.source, ip.sport)
        return ip

    def passes(self, via=None, **fields):
        """Send a packet that must arrive."""
        ip = self.put(via, **fields)
        check(ip, f"the {self.name} did not arrive")
        return ip

    def stopped(self, via=None, times=1, **fields):
        """Send packets of which none must arrive."""
        flow, payload = self.flow, fields.pop("payload", b"stop this " + self.name.encode())
        flow.begin()
        home = flow.ends.up if self.name == "request" else flow.ends.down
        (via or home).send(*[self.build(payload, **fields)] * times)
        passed = self.look(payload, NOTHING, flow.told_apart(fields))
        check(not passed, f"{self.name} passed that the host's rules stop: {passed}")


def sides(flow):
    """The directions that pass the director."""
    return [Side(flow, name) for name in (("request",) if flow.ends.keeps else ("request", "answer"))]


def side_of(flow, name):
    """The direction of this name."""
    return Side(flow, name)


class Watch:
    """Says of packets whether they went early: the counter at POSTROUTING did not see them."""

    def __init__(self, t):
        self.read = probe(t, ("postrouting",))

    def early(self, *all_sides, via=None, **fields):
        """Send a packet of each side, all of which must arrive; True if none went the ordinary way."""
        before = self.read()
        for side in all_sides:
            side.passes(via, **fields)
        return self.read() == before

    def settle(self, early, *all_sides, via=None, **fields):
        """Wait until packets go early; with the early path off they never do."""
        if early in ("on", True):
            until(lambda: self.early(*all_sides, via=via, **fields), "packets go early")
        else:
            check(not self.early(*all_sides, via=via, **fields), "packets went early with the early path off")


def reasons(t):
    """How many packets did not go early, by reason."""
    return json.loads(t.backend.run("-L", "--info", "-j").stdout)["early"]


def syn(flow):
    """Fields of a first packet."""
    return {"flags": wire.SYN, "payload": b""} if flow.ends.proto == "tcp" else {}


def same(packets, what):
    """Fail unless all are alike."""
    equal(len(set(packets)), 1, what)
