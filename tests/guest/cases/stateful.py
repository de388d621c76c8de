# SPDX-License-Identifier: GPL-2.0
"""FULLNAT behind chains that look at the connection's state: it works with nothing to add, and nothing stays."""

from context import join
from flow import Ends
from lab import ADDRESS
from rules import filter_rules, wall
from suite import EARLY, FAMILIES, HANG, PROTOCOLS, case, equal, settle, until
from watch import Watch, sides

NEEDS = ("fullnat",)
MEGABYTE = 1_000_000
INPUT = """chain input {{
type filter hook input priority 0; policy drop
ct state established,related accept
ct state invalid counter name invalid drop
{proto} dport {port} ct state new accept
icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} accept
}}
"""
OTHERS = "chain {hook} {{\ntype filter hook {hook} priority 0\nct state invalid counter name invalid drop\n}}\n"


def stateful(t, proto, port, hooks=("output", "forward", "postrouting")):
    """The chains of a careful operator; returns a function that reads how many packets were invalid."""
    chains = INPUT.format(proto=proto, port=port) + "".join(OTHERS.format(hook=hook) for hook in hooks)
    filter_rules(t, f"table inet careful {{\ncounter invalid {{ }}\n{chains}}}\n")

    def invalid():
        listed = t.lab.nft("director", "list counter inet careful invalid")
        return int(listed.split("packets")[1].split()[0])
    return invalid


def tracked(t, proto, address, port):
    """The director's tracked connections with an address and a port, as the kernel prints them."""
    with t.lab.inside("director"), open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as file:
        lines = file.read().splitlines()
    written = address if "." in address else ":".join(f"{int(part or 0, 16):04x}" for part in expanded(address))
    return [line for line in lines if proto in line and f"dst={written} " in line and f"dport={port} " in line]


def expanded(address):
    """The eight parts of an IPv6 address."""
    left, _, right = address.partition("::")
    left, right = [part for part in left.split(":") if part], [part for part in right.split(":") if part]
    return left + ["0"] * (8 - len(left) - len(right)) + right


class Service:
    """A FULLNAT service with rs1 behind it, and the rules in front of it."""

    def __init__(self, t, family, proto, hooks=("output", "forward", "postrouting")):
        self.t, self.family, self.proto = t, family, proto
        self.vport, self.rport, self.rip = t.port(), t.port(), ADDRESS["rs1"][family]
        self.invalid = stateful(t, proto, self.vport, hooks)
        t.serve("rs1", family, proto, self.rport)
        t.balance(family, proto, self.vport, "fullnat", self.rip, self.rport)

    def client(self):
        """A new connection."""
        return self.t.client(self.family, self.proto, self.vport)

    def check(self):
        """No packet was invalid."""
        equal(self.invalid(), 0, f"invalid packets of {join(self.rip, self.rport)}")


@case("stateful.works.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def works(t, family, proto, early):
    """Connection after connection, with little and with much."""
    service = Service(t, family, proto)
    for size in (100, 100_000, 100):
        equal(service.client().bulk(size).name, "rs1", "server")
    service.check()


@case("stateful.input_only.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def input_only(t, family, proto, early):
    """The same with nothing but the INPUT chain."""
    service = Service(t, family, proto, ())
    for size in (100, 100_000):
        equal(service.client().bulk(size).name, "rs1", "server")
    service.check()


@case("stateful.leaves.{family}.{proto}", needs=("fullnat", "early"), family=FAMILIES, proto=PROTOCOLS)
def leaves(t, family, proto):
    """A connection leaves the early path in mid-life and comes back, after much that the tracking has not seen."""
    service = Service(t, family, proto)
    client = service.client()
    t.defer(t.backend.early, True)
    for early in (True, False, True, False):
        t.backend.early(early)
        equal(client.bulk(MEGABYTE if proto == "tcp" else MEGABYTE // 10).name, "rs1", f"server with early {early}")
    service.check()


@case("stateful.pause.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def pause(t, family, proto, early):
    """A connection is silent for longer than the tracking remembers what is not established or one-way, and goes on."""
    service = Service(t, family, proto)
    for name in ("udp_timeout", "tcp_timeout_syn_recv", "tcp_timeout_unacknowledged", "tcp_timeout_max_retrans"):
        t.host_sysctl("director", f"net/netfilter/nf_conntrack_{name}", 3)
    client = service.client()
    client.bulk(200_000)
    rest(t, 4)
    client.bulk(200_000)
    service.check()


def rest(t, seconds):
    """Let the kernel's clock go on by so much: the time to live of an entry that is made for that."""
    t.lab.ip("director", f"addr add 192.0.2.77/32 dev lo valid_lft {seconds} preferred_lft {seconds}")
    until(lambda: "192.0.2.77" not in t.lab.execute("director", "ip", "addr", "show", "dev", "lo").stdout,
          f"{seconds} s have passed", bound=seconds + HANG)


@case("stateful.closed.{family}.{early}", needs=NEEDS, family=FAMILIES, early=EARLY)
def closed(t, family, early):
    """When connections have ended the tracking knows of none that is established, with the client or the server."""
    service = Service(t, family, "tcp")
    clients = [service.client() for _ in range(5)]
    for client in clients:
        client.bulk(100_000)
    for client in clients:
        client.close()

    def established():
        ends = ((ADDRESS["vip"][family], service.vport), (service.rip, service.rport))
        return [line for end in ends for line in tracked(t, "tcp", *end) if "ESTABLISHED" in line]
    settle(established, [], "connections that count as established")
    service.check()


@case("stateful.closed_early.{family}", needs=("fullnat", "early"), family=FAMILIES)
def closed_elsewhere(t, family):
    """The same for connections that ended on the other path than the one that they lived on."""
    service = Service(t, family, "tcp")
    t.defer(t.backend.early, True)
    for first in (True, False):
        t.backend.early(first)
        client = service.client()
        client.bulk(MEGABYTE)
        t.backend.early(not first)
        client.close()
        settle(lambda: [line for line in tracked(t, "tcp", service.rip, service.rport) if "ESTABLISHED" in line], [],
               "connections to the real server that count as established")
    service.check()


@case("stateful.first.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def rules_first(t, family, proto, early):
    """The rules come when a connection is known: it goes on, and so do new ones."""
    vport, rport = t.port(), t.port()
    t.serve("rs1", family, proto, rport)
    t.balance(family, proto, vport, "fullnat", ADDRESS["rs1"][family], rport)
    # Somebody has connection tracking on, as who loads such rules has.
    filter_rules(t, "table inet tracking {\nchain c {\ntype filter hook input priority 0\nct state new accept\n}\n}\n")
    client = t.client(family, proto, vport)
    client.bulk(100_000)
    invalid = stateful(t, proto, vport)
    client.bulk(100_000)
    t.client(family, proto, vport).bulk(100_000)
    equal(invalid(), 0, "invalid packets")


@case("stateful.strangers.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def strangers(t, family, proto, early):
    """The chain keeps out what nobody asked for: a port that is not a service, and who speaks to a local address."""
    service = Service(t, family, proto)
    service.client().bulk(1000)
    other, lip = t.port(), ADDRESS["lip1"][family]
    t.serve("director", family, "udp", other, lip)
    client = t.client(family, "udp", other, address=lip, host="rs1").timeout(0.3)
    client.sock.send(b"let me in")
    try:
        client.sock.recv(100)
        came = True
    except TimeoutError:
        came = False
    equal(came, False, "an answer past the rules")
    service.client().bulk(1000)


@case("stateful.notrack.{family}.{proto}", needs=("fullnat", "early"), family=FAMILIES, proto=PROTOCOLS)
def notrack(t, family, proto):
    """A flow that the tracking has seen, and by a new rule sees no more, goes early as before."""
    ends, watch = Ends(t, "fullnat", family, proto), Watch(t)
    wall(t, {"input": "ct state new,established accept"})
    both = sides(ends.flow().open())
    watch.settle(True, *both)
    filter_rules(t, "table inet past { chain first { type filter hook prerouting priority -500\nnotrack\n}\n}\n")
    rest(t, 6)
    watch.settle(True, *both)
