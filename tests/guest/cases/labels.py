# SPDX-License-Identifier: GPL-2.0
"""The mark by which other rules know a service's packets (`--set-mark`), in place of IPVS's match for iptables."""

from cases.door_tools import ipvsadm
from cases.early import start, taken
from context import BRIEF, join
from flow import Ends
from lab import ADDRESS
from rules import filter_rules, nft, probe
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, until
from wire import IPIP, IPV6_IN_IP, TCP, UDP

METHODS = ("nat", "fullnat", "dr", "tun")
# What the host's own rules give, and what the service adds to it.
OWN, LABEL, BITS = 0x7, 0x100, 0xff00
NUMBER = {"tcp": TCP, "udp": UDP}


def named(family, proto, port):
    """The words that name the service."""
    return BRIEF[proto], join(ADDRESS["vip"][family], port)


def label(t, family, proto, port, *words):
    """Say of a service what its packets get."""
    t.backend.run("-E", *named(family, proto, port), "-s", "rr", *words)


class Watch:
    """Counts what leaves the director by an interface, and which of it bears a mark."""

    def __init__(self, t, dev, proto, value, mask):
        self.all, self.marked = t.tap("director", dev), t.tap("director", dev, mark=(value, mask))
        self.protos = (NUMBER[proto], IPIP, IPV6_IN_IP)

    def read(self):
        """How many left since the last look, and how many of them bore the mark."""
        wanted = lambda ip: ip.proto in self.protos  # noqa: E731
        counts = [len(tap.select(wanted, outgoing=True)) for tap in (self.all, self.marked)]
        self.all.drop()
        self.marked.drop()
        return counts


@case("labels.put.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=METHODS, family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
def put(t, method, family, proto, early):
    """Whatever leaves the director, both ways, from the first packet on, bears it beside the host's own bits."""
    filter_rules(t, "table inet own {\nchain first { type filter hook prerouting priority mangle\n"
                    f"meta l4proto {proto} meta mark set {OWN}\n}}\n}}\n")
    watched = [Watch(t, dev, proto, LABEL | OWN, 0xffffffff) for dev in ("back", "front")]
    client = start(t, method, family, proto, label=("--set-mark", f"{LABEL:#x}/{BITS:#x}"))
    for size in (100, 5000, 100):
        client.ask(size, size)
    # The answers of DR and TUN do not come by here.
    for watch in watched if method in ("nat", "fullnat") else watched[:1]:
        left, marked = watch.read()
        check(left >= 3, f"{watch.all.dev}: only {left} packets left")
        equal(marked, left, f"{watch.all.dev}: packets with the mark")


@case("labels.changed.{family}.{early}", needs=("rlvs",), family=FAMILIES, early=EARLY)
def changed(t, family, early):
    """A known connection gets what the service has now, also on the early path."""
    client = start(t, "nat", family, "tcp")
    port = client.sock.getpeername()[1]
    watched = Watch(t, "back", "tcp", LABEL, BITS)

    def share(expected):
        """Whether of what is asked now all or nothing bears the mark."""
        watched.read()
        client.ask(100, 100)
        left, marked = watched.read()
        return left > 0 and marked == (left if expected else 0)
    check(share(False), "a mark without being told")
    label(t, family, "tcp", port, "--set-mark", f"{LABEL:#x}/{BITS:#x}")
    if early == "on":
        taken(client, probe(t, ("postrouting",)))
    check(all(share(True) for _ in range(4)), "no mark after the edit")
    # Who does not know of it leaves it as it is.
    equal(ipvsadm(t, " ".join(("-E", *named(family, "tcp", port), "-s", "wrr")))[0], 0, "ipvsadm -E")
    check(all(share(True) for _ in range(4)), "no mark after an edit by ipvsadm")
    label(t, family, "tcp", port)
    check(all(share(False) for _ in range(4)), "a mark after it was taken away")


@case("labels.rules.{family}", needs=("rlvs",), family=FAMILIES)
def rules(t, family):
    """What it is for: the host's rules tell two services of one real server apart, behind its translation."""
    first, second = (Ends(t, "nat", family, "udp") for _ in range(2))
    label(t, family, "udp", first.vport, "--set-mark", "1/0xf")
    label(t, family, "udp", second.vport, "--set-mark", "2/0xf")
    filter_rules(t, "table inet filter {\nchain last { type filter hook postrouting priority 0\n"
                    "meta mark & 0xf == 2 meta l4proto udp drop\n}\n}\n")
    first.flow(client=1).open()
    stopped = second.flow(client=2)
    second.up.send(stopped.request(b"stopped"))
    check(not stopped.arrived(b"stopped", bound=0.3), "a packet passed the rule for its service's mark")
    nft(t, "flush ruleset\n")
    until(lambda: second.up.send(stopped.request(b"again")) or stopped.arrived(b"again", bound=0.3), "it passes")


@case("labels.listed", needs=("rlvs",))
def listed(t):
    """It is listed, saved, and read back."""
    lines = ("-A -t 10.0.2.100:80 -s rr --set-mark 0x100/0xff00", "-A -u 10.0.2.100:53 -s rr --set-mark 0x7 -o")
    t.backend.restore(*lines)
    equal(sorted(line.strip() for line in t.backend.save().splitlines()), sorted(lines), "saved rules")
    table = t.backend.run("-L", "-n").stdout
    for text in ("TCP  10.0.2.100:80 rr mark 0x100/0xff00", "UDP  10.0.2.100:53 rr ops mark 0x7"):
        check(text in [line.strip() for line in table.splitlines()], f"no line {text!r} in {table}")
