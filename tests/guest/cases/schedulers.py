# SPDX-License-Identifier: GPL-2.0
"""Who gets which new connection."""

import functools
import ipaddress
import operator

import wire
from flow import Ends
from lab import phantom_client, phantom_server
from suite import FAMILIES, between, case, check, equal, poll

SERVERS = 3


class Pool(Ends):
    """A UDP service whose real servers are phantoms 1 to 3 with the given weights."""

    def __init__(self, t, family, scheduler, weights, proto="udp"):
        super().__init__(t, "nat", family, proto, balance=False)
        self.next = 5000
        t.backend.restore(t.service(family, proto, self.vport, "-s", *scheduler),
                          *(self.line("-a", n, weight) for n, weight in enumerate(weights, 1)))

    def line(self, command, number, weight=None):
        """The restore line that adds, edits or deletes a server."""
        line = self.t.target(self.family, self.proto, self.vport, "nat", phantom_server(self.family, number),
                             self.rport, *(("-w", str(weight)) if weight is not None else ()))
        return command + (line[2:] if weight is not None else line[2:].replace(" -m", ""))

    def pick(self, clients, lost=0):
        """Open a flow from each client, all from new ports; the server that got each, None for the `lost` ones."""
        names = {phantom_server(self.family, n): n for n in range(1, SERVERS + 1)}
        start, self.next = self.next, self.next + len(clients)
        ports = range(start, self.next)
        self.far.drop()
        for client, port in zip(clients, ports):
            self.up.send(self.flow(client, port).request(b"", flags=wire.SYN))

        def arrived():
            return {(f.ip.source, f.ip.sport): names[f.ip.target] for f in self.far.select(
                lambda ip: ip.proto == wire.NUMBER[self.proto] and ip.dport == self.rport, outgoing=False)}
        poll(lambda: len(arrived()) >= len(clients) - lost)
        got = arrived()
        return [got.get((phantom_client(self.family, c), p)) for c, p in zip(clients, ports)]


def count(picks):
    """How many connections each server got."""
    return [picks.count(n) for n in range(1, SERVERS + 1)]


@case("scheduler.rr.{family}", family=FAMILIES)
def rr(t, family):
    """In turn, newest first, the weights ignored, those with weight 0 left out."""
    pool = Pool(t, family, ["rr"], [1, 5, 1])
    equal(pool.pick([1] * 9), [3, 2, 1] * 3, "order")
    t.backend.restore(pool.line("-e", 2, 0))
    equal(count(pool.pick([1] * 8)), [4, 0, 4], "connections")


@case("scheduler.wrr.{family}", family=FAMILIES)
def wrr(t, family):
    """In proportion to the weights in every round."""
    pool = Pool(t, family, ["wrr"], [1, 2, 3])
    for _ in range(3):
        equal(count(pool.pick([1] * 6)), [1, 2, 3], "connections of a round")
    t.backend.restore(pool.line("-e", 1, 4), pool.line("-e", 3, 0))
    for _ in range(2):
        equal(count(pool.pick([1] * 6)), [4, 2, 0], "connections of a round after an edit")


@case("scheduler.{name}.{family}", name=("lc", "wlc"), family=FAMILIES)
def least(t, name, family):
    """The least loaded one; with wlc in proportion to the weight."""
    pool = Pool(t, family, [name], [1, 2, 3])
    equal(count(pool.pick([1] * 30)), [10, 10, 10] if name == "lc" else [5, 10, 15], "connections")


@case("scheduler.active.{name}", name=("lc", "wlc"))
def active(t, name):
    """An active TCP connection weighs as much as 256 that are over."""
    pool = Pool(t, 4, [name], [1, 1], proto="tcp")
    first, second = pool.pick([1, 2])
    check({first, second} == {1, 2}, f"first two connections went to {first} and {second}")
    start = pool.next - 2
    # The second connection ends: its server has the lesser load now, and keeps it for one more connection only.
    pool.down.send(wire.tcp(phantom_server(4, second), pool.rport, phantom_client(4, 2), start + 1, wire.RST))
    check(poll(lambda: [c for c in t.backend.connections() if c.state == "CLOSE"]), "the reset was not noticed")
    equal(pool.pick([3]), [second], "server of the third connection")
    equal(pool.pick([4]), [first], "server of the fourth connection")


@case("scheduler.sticky.{name}.{family}", name=("sh", "mh"), family=FAMILIES)
def sticky(t, name, family):
    """By source address: always the same server, in proportion to the weights, whatever the port."""
    pool = Pool(t, family, [name], [1, 2, 3])
    clients = list(range(1, 181))
    first = pool.pick(clients)
    check(None not in first, "a connection was lost")
    equal(pool.pick(clients), first, "servers of the same clients again")
    for got, share in zip(count(first), (30, 60, 90)):
        between(got, share * 0.55, share * 1.5, "connections")


@case("scheduler.dh.{family}", family=FAMILIES)
def destination_hash(t, family):
    """All to the server that the service's address stands for, whatever the weights; nowhere if that is drained."""
    pool = Pool(t, family, ["dh"], [1, 9, 9])
    servers = pool.pick(list(range(1, 13)))
    equal(len(set(servers)), 1, f"servers: {servers}")
    words = ipaddress.ip_address(pool.vip).packed
    folded = functools.reduce(operator.xor, (int.from_bytes(words[n:n + 4]) for n in range(0, len(words), 4)))
    slot = (folded * 0x61c88647 & 0xffffffff) >> 24
    equal(servers[0], SERVERS - slot % SERVERS, "server, the newest first")
    t.backend.restore(pool.line("-e", servers[0], 0))
    equal(pool.pick([1, 2, 3], lost=3), [None] * 3, "servers when it is drained")


@case("scheduler.port.{name}", name=("sh", "mh"))
def port(t, name):
    """With the port flag one client's connections spread."""
    pool = Pool(t, 4, [name, "-b", f"{name}-port"], [1, 1, 1])
    for got in count(pool.pick([1] * 60)):
        between(got, 8, 35, "connections of a server")


@case("scheduler.fallback.{name}", name=("sh", "mh"))
def fallback(t, name):
    """Weight 0 refuses its clients, or with the fallback flag sends them elsewhere; the others stay where they are."""
    for flag in (None, f"{name}-fallback"):
        pool = Pool(t, 4, [name] + (["-b", flag] if flag else []), [1, 1, 1])
        clients = list(range(1, 61))
        before = pool.pick(clients)
        t.backend.restore(pool.line("-e", 2, 0))
        after = pool.pick(clients, lost=0 if flag else before.count(2))
        for was, now in zip(before, after):
            if was != 2:
                equal(now, was, "server of an unaffected client")
            elif flag:
                check(now in (1, 3), f"a client of the drained server went to {now}")
            else:
                equal(now, None, "server of a refused client")


@case("scheduler.disruption")
def disruption(t):
    """When a server of an mh service is removed, nearly all clients of the others stay."""
    pool = Pool(t, 4, ["mh"], [1, 1, 1])
    clients = list(range(1, 201))
    before = pool.pick(clients)
    # The one added last: where two want the same slot, the first one added has it, as with IPVS.
    t.backend.restore(pool.line("-d", 3))
    after = pool.pick(clients)
    kept = [was == now for was, now in zip(before, after) if was != 3]
    between(sum(kept) / len(kept), 0.85, 1, "clients that stay")
    check(3 not in after, "the removed server got a connection")
    t.backend.restore(pool.line("-a", 3, 1))
    equal(pool.pick(clients), before, "servers after the server came back")
