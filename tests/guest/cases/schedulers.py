# SPDX-License-Identifier: GPL-2.0
"""Who gets which new connection."""

import functools
import ipaddress
import operator
import time

import wire
from cases.marks import mark, named as by_mark
from context import join
from flow import Ends
from kmsg import Log
from lab import phantom_client, phantom_server
from suite import FAMILIES, HANG, between, case, check, equal, poll, raises, until

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

    def edit(self, *weights):
        """Give the servers these weights."""
        self.t.backend.restore(*(self.line("-e", n, weight) for n, weight in enumerate(weights, 1)))

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


def delay(busy, weights, server):
    """What sed compares: when a server would be done with another connection."""
    return (busy[server] + 1) / weights[server]


def quickest(name, weights, number):
    """Who gets each of so many connections that stay, by sed and nq: the newest server comes first."""
    busy, order = dict.fromkeys(weights, 0), []
    for _ in range(number):
        idle = [server for server in weights if not busy[server]]
        server = idle[0] if idle and name == "nq" else min(weights, key=lambda n: delay(busy, weights, n))
        busy[server] += 1
        order.append(server)
    return order


@case("scheduler.{name}.{family}", name=("sed", "nq"), family=FAMILIES)
def shortest(t, name, family):
    """To whom will be done first; with nq to an idle one before."""
    pool = Pool(t, family, [name], [1, 2, 4], proto="tcp")
    equal(pool.pick([1] * 21), quickest(name, {3: 4, 2: 2, 1: 1}, 21), "servers")


@case("scheduler.fo.{family}", family=FAMILIES)
def failover(t, family):
    """All to the heaviest, and to the next when that is drained."""
    pool = Pool(t, family, ["fo"], [2, 9, 9])
    equal(pool.pick([1] * 8), [3] * 8, "servers")
    pool.edit(2, 9, 0)
    equal(pool.pick([1] * 8), [2] * 8, "servers without the newest")
    pool.edit(2, 1, 0)
    equal(pool.pick([1] * 8), [1] * 8, "servers when another is the heaviest")


@case("scheduler.ovf.{family}", family=FAMILIES)
def overflow(t, family):
    """The heaviest until it has more active connections than its weight, then the next; then nobody."""
    pool = Pool(t, family, ["ovf"], [1, 2, 3], proto="tcp")
    equal(pool.pick([1] * 12, lost=3), [3] * 4 + [2] * 3 + [1] * 2 + [None] * 3, "servers")


@case("scheduler.twos.{family}", family=FAMILIES)
def two_choices(t, family):
    """The less loaded of two, who are drawn by weight: about even, and nobody without a weight."""
    pool = Pool(t, family, ["twos"], [20, 20, 0])
    first, second, drained = count(pool.pick([1] * 80))
    equal(drained, 0, "connections of the drained one")
    equal(first + second, 80, "connections")
    between(first, 28, 52, "connections of a server")
    pool = Pool(t, family, ["twos"], [10, 30, 0])
    between(count(pool.pick([1] * 80))[0], 8, 32, "connections of the lighter one")


# Whom the connections to one address go to, with weights of 2, each staying.
REMEMBERED = {"lblc": [3] * 3 + [2] * 3 + [1] * 6, "lblcr": [3] * 3 + [2] * 3 + [1] * 4 + [2, 3]}


@case("scheduler.{name}.{family}", name=("lblc", "lblcr"), family=FAMILIES)
def locality(t, name, family):
    """An address keeps its server, or servers, until all have more than their weight and another less than half."""
    pool = Pool(t, family, [name], [2, 2, 2], proto="tcp")
    equal(pool.pick([1] * 12), REMEMBERED[name], "servers")
    pool.edit(0, 2, 2)
    check(1 not in pool.pick([1] * 4), "the drained server got a connection")
    if name == "lblc":
        pool.edit(2, 2, 2)
        check(1 not in pool.pick([1] * 4), "the address went back to the drained server")


@case("scheduler.removed.{name}", name=("lblc", "lblcr"))
def removed(t, name):
    """The address goes back to a server that was removed and is added again; not so after another scheduler."""
    pool = Pool(t, 4, [name], [9, 9, 9])
    equal(pool.pick([1] * 3), [3] * 3, "servers")
    pool.t.backend.restore(pool.line("-d", 3))
    pool.t.backend.restore(pool.line("-a", 3, 9))
    equal(pool.pick([1] * 3), [3] * 3, "servers after it came back")
    service = "-E" + t.service(4, "udp", pool.vport, "-s")[2:]
    t.backend.restore(f"{service} rr", f"{service} {name}")
    equal(pool.pick([1] * 2), [2] * 2, "servers with nothing remembered")


@case("scheduler.expiration.{kept}", kept=(True, False))
def expiration(t, kept):
    """When a set of lblcr has not changed for the time that is set, it loses its most loaded server."""
    pool = Pool(t, 4, ["lblcr"], [2, 2, 2], proto="tcp")
    equal(pool.pick([1] * 4), [3, 3, 3, 2], "servers")
    equal(t.backend.sysctl("lblcr_expiration"), "86400", "default")
    equal(t.backend.sysctl("lblc_expiration"), "86400", "default")
    if not kept:
        t.sysctl("lblcr_expiration", 0)
    time.sleep(0.05)  # The set must be some ticks old.
    equal(pool.pick([1]), [2], "server of the fifth")
    pool.edit(2, 2, 100)
    equal(pool.pick([1]), [3 if kept else 2], "server when the most loaded has become the least loaded")


@case("scheduler.none.{family}", family=FAMILIES)
def nobody(t, family):
    """A service without a scheduler refuses what is new, keeps what is known, and can get a scheduler."""
    pool = Pool(t, family, ["rr"], [1, 1, 1])
    known = pool.flow()
    known.ends.rip = phantom_server(family, 3)
    known.send(b"known")
    service = "-E" + t.service(family, "udp", pool.vport, "-s")[2:]
    t.backend.restore(f"{service} none")
    known.send(b"goes on")
    pool.near.drop()
    equal(pool.pick([2, 3], lost=2), [None] * 2, "servers")
    until(lambda: pool.near.select(lambda ip: ip.target == phantom_client(family, 3) and wire.is_error(ip)),
          "an error for the client")
    check(f" {join(pool.vip, pool.vport)} none" in t.backend.run("-L", "-n").stdout, "not listed")
    check(f"{join(pool.vip, pool.vport)} -s none" in t.backend.save(), "not saved")
    saved = t.backend.save()
    t.backend.clear()
    t.backend.run("-R", text=saved)
    equal(t.backend.save(), saved, "saved again")
    t.backend.restore(f"{service} fo")
    equal(pool.pick([2, 3]), [3, 3], "servers with a scheduler")


def set_limit(cost, burst):
    """How often the kernel's log takes what packets cause: so many in so many seconds."""
    for name, number in (("cost", cost), ("burst", burst)):
        with open(f"/proc/sys/net/core/message_{name}", "w", encoding="ascii") as file:
            file.write(f"{number}\n")


@case("scheduler.log.{family}", family=FAMILIES)
def log(t, family):
    """Who has nobody says so in the log, as IPVS words it; none and, about an unknown address, lblcr do not."""
    set_limit(0, 10)
    t.defer(set_limit, 5, 10)
    log, wanted = Log(), []
    t.defer(log.close)
    for name in ("none", "lblcr", "rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos", "lblc"):
        pool = Pool(t, family, [name], [0, 0, 0])
        pool.pick([1], lost=1)
        if name not in ("none", "lblcr"):
            wanted.append(f"IPVS: {name}: UDP {join(pool.vip, pool.vport)} - no destination available")
    pool = Pool(t, family, ["wrr"], [1, 1, 1], proto="tcp")
    t.backend.restore(*(pool.line("-e", n, 1) + " -x 1" for n in range(1, 4)))
    pool.pick([1] * 4, lost=1)
    wanted.append(f"IPVS: wrr: TCP {join(pool.vip, pool.vport)} - no destination available: "
                  "all destinations are overloaded")
    port = t.port()
    mark(t, family, "udp", port)
    t.backend.restore(f"-A {by_mark(family)} -s rr")
    check(raises((ConnectionRefusedError,), lambda: t.client(family, "udp", port).timeout(HANG).ask(), "by mark"), "an answer")
    wanted.append("IPVS: rr: FWM 7 0x00000007 - no destination available")
    got = []

    def arrived():
        got.extend(line for line in log.lines() if "no destination" in line)
        return len(got) >= len(wanted)

    poll(arrived)
    equal(got, wanted, "lines in the log")


@case("scheduler.log_rate")
def log_rate(t):
    """The log takes no more of it than the kernel's rate for packets allows."""
    pool, other, log = Pool(t, 4, ["rr"], [0]), Pool(t, 4, ["rr"], [1]), Log()
    t.defer(log.close)
    t.defer(set_limit, 5, 10)

    def lines(cost, burst):
        set_limit(cost, burst)
        pool.pick([1] * 20, lost=20)
        # What comes behind them has arrived: so have they.
        equal(other.pick([1]), [1], "server of another service")
        return sum("no destination" in line for line in log.lines())

    # The kernel may have some left of the ten that it allowed before.
    between(lines(3600, 3), 0, 10, "lines at 3 an hour")
    equal(lines(0, 3), 20, "lines without a limit")
