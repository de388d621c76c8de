# SPDX-License-Identifier: GPL-2.0
"""A flow whose two ends a case plays with its own frames: what one end sends is what the other must capture."""

import wire
from context import join
from lab import ADDRESS, phantom_client, phantom_server
from suite import HANG, check, poll


class Ends:
    """Both ends' captures and senders, and a service between them."""

    def __init__(self, t, method, family, proto, rport=None, balance=True):
        self.t, self.method, self.family, self.proto = t, method, family, proto
        self.keeps = method in ("dr", "tun")
        self.vip, self.vport = ADDRESS["vip"][family], t.port()
        self.rip = ADDRESS["rs1"][family] if self.keeps else phantom_server(family)
        self.rport = self.vport if self.keeps else rport or t.port()
        if balance:
            t.balance(family, proto, self.vport, method, self.rip, self.rport)
        host = "rs1" if self.keeps else "rs3"
        self.far, self.near = t.tap(host), t.tap("client")
        self.up = t.inject("client", "eth0", ("router", "client"))
        self.down = t.inject(host, "eth0", ("director", "back"))

    def known(self):
        """This service's connections as the tool lists them."""
        return [c for c in self.t.backend.connections() if c.virtual == join(self.vip, self.vport)]

    def flow(self, client=1, sport=4000):
        """A flow of one client."""
        return Flow(self, phantom_client(self.family, client), sport)


class Flow:
    """One client address and port; `seen` is the source that the real server sees, after the first request."""

    def __init__(self, ends, client, sport):
        self.ends, self.client, self.sport = ends, client, sport
        self.seen = None
        self.begin()

    def begin(self):
        """Let arrived() and returned() look only at what is captured from now on."""
        self.far_from, self.near_from = len(self.ends.far.fetch()), len(self.ends.near.fetch())

    def build(self, source, target, **fields):
        """A packet of the flow's protocol between two (address, port)."""
        if self.ends.proto == "udp":
            fields.pop("flags", None)
            return wire.udp(*source, *target, **fields)
        return wire.tcp(*source, *target, fields.pop("flags", wire.ACK), **fields)

    def request(self, payload=b"ping", **fields):
        """A packet from the client to the VIP."""
        return self.build((self.client, self.sport), (self.ends.vip, self.ends.vport), payload=payload, **fields)

    def reply(self, payload=b"pong", **fields):
        """A packet from the real server to whom it saw."""
        source = self.ends.vip if self.ends.keeps else self.ends.rip
        return self.build((source, self.ends.rport), self.seen, payload=payload, **fields)

    def answered(self, payload=b"pong", **fields):
        """The reply as the client gets it."""
        return self.build((self.ends.vip, self.ends.vport), (self.client, self.sport), payload=payload, **fields)

    def arrived(self, payload, bound=HANG, **same):
        """The captured packet at the real server's end that carries `payload`, or None after `bound` seconds."""
        def find():
            for frame in self.ends.far.fetch()[self.far_from:]:
                ip = frame.ip
                if frame.outgoing or not ip:
                    continue
                ip = ip.inner if self.ends.method == "tun" and ip.proto in (wire.IPIP, wire.IPV6_IN_IP) else ip
                if ip.proto == wire.NUMBER[self.ends.proto] and self.matches(ip, payload, same):
                    return ip
            return None
        return poll(find, bound)

    def matches(self, ip, payload, same):
        """True for a request of this flow with this payload and these fields."""
        ours = (ip.target, ip.dport) == (self.ends.vip if self.ends.keeps else self.ends.rip, self.ends.rport)
        if not ours or not ip.whole or ip.payload != payload or any(getattr(ip, k) != v for k, v in same.items()):
            return False
        return self.ends.method == "fullnat" or (ip.source, ip.sport) == (self.client, self.sport)

    def send(self, payload=b"ping", **fields):
        """Send a request and return it as the real server got it; fail if it did not arrive."""
        self.begin()
        self.ends.up.send(self.request(payload, **fields))
        ip = self.arrived(payload, **self.told_apart(fields))
        check(ip, f"the request {payload!r} did not reach the real server")
        self.seen = (ip.source, ip.sport)
        return ip

    def told_apart(self, fields):
        """What else a captured packet must share with the one that was sent."""
        return {"flags": fields["flags"]} if self.ends.proto == "tcp" and "flags" in fields else {}

    def returned(self, payload, bound=HANG, **same):
        """The captured packet at the client's end that carries `payload`, or None."""
        def find():
            for frame in self.ends.near.fetch()[self.near_from:]:
                ip = frame.ip
                if ip and not frame.outgoing and ip.whole and ip.tuple() == self.back() and ip.payload == payload and \
                        all(getattr(ip, k) == v for k, v in same.items()):
                    return ip
            return None
        return poll(find, bound)

    def back(self):
        """The addresses of a reply at the client."""
        return (self.ends.vip, self.ends.vport, self.client, self.sport)

    def send_back(self, payload=b"pong", **fields):
        """Send a reply and return it as the client got it; fail if it did not arrive."""
        self.begin()
        self.ends.down.send(self.reply(payload, **fields))
        ip = self.returned(payload, **self.told_apart(fields))
        check(ip, f"the reply {payload!r} did not reach the client")
        return ip

    def open(self):
        """Make the flow known and pass its first packets both ways."""
        if self.ends.proto == "tcp":
            self.send(b"", flags=wire.SYN, seq=1000)
            if not self.ends.keeps:
                self.send_back(b"", flags=wire.SYN | wire.ACK, seq=5000, ack=1001)
            self.send(b"", flags=wire.ACK, seq=1001, ack=5001)
            self.send(b"up", flags=wire.ACK | wire.PSH, seq=1001, ack=5001)
        else:
            self.send(b"first")
        if not self.ends.keeps:
            self.send_back(b"down", **({"flags": wire.ACK | wire.PSH, "seq": 5001, "ack": 1003}
                                       if self.ends.proto == "tcp" else {}))
        return self
