# SPDX-License-Identifier: GPL-2.0
"""The early path and the packet filter: who sees which packet, and how both go together."""

import wire
from context import BRIEF, join
from flow import Ends
from lab import ADDRESS, run
from rules import CHAINS, filter_rules, probe
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, until


def input_rule(t, rule):
    """One rule in the director's INPUT."""
    filter_rules(t, f"table inet wall {{\nchain input {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n")


def start(t, method, family, proto, label=()):
    """A service with rs1 behind it and a client whose flow is known; `label` are more words about the service."""
    vport = t.port()
    rport = t.port() if method in ("nat", "fullnat") else vport
    t.serve("rs1", family, proto, rport, ADDRESS["vip" if method in ("dr", "tun") else "rs1"][family])
    t.balance(family, proto, vport, method, ADDRESS["rs1"][family], rport)
    if label:
        t.backend.run("-E", BRIEF[proto], join(ADDRESS["vip"][family], vport), "-s", "rr", *label)
    client = t.client(family, proto, vport)
    for _ in range(3):
        client.ask(100, 100)
    return client


def taken(client, read):
    """Wait until the client's flow goes early: the marks of before a change are void until a grace period has passed."""
    def goes():
        before = read()
        client.ask(100, 100)
        return read() == before
    until(goes, "a known flow goes early")


@case("early.hooks.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
@case("early.hooks.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def hooks(t, method, family, proto, early):
    """With the early path on, packets of a known flow pass none of the later hooks; with it off, they do."""
    client, read = start(t, method, family, proto), probe(t)
    if early == "on":
        taken(client, read)
    before = read()
    for _ in range(20):
        client.ask(500, 500)
    after = read()
    moved = {chain: after[chain] - before[chain] for chain in CHAINS}
    if early == "on":
        equal(moved, dict.fromkeys(CHAINS, 0), "packets at the later hooks")
        return
    check(moved["output"] >= 20 and moved["postrouting"] >= 20, f"packets at the hooks: {moved}")
    check(method != "nat" or moved["forward"] >= 20, f"packets at the hooks: {moved}")


@case("early.alone.{hook}.{method}.{family}", hook=("output", "postrouting"), method=("nat", "dr", "tun"), family=FAMILIES)
def alone(t, hook, method, family):
    """The only hook behind the balancer sees all packets that do not go early, also if it comes when they flow."""
    client = start(t, method, family, "udp")
    t.defer(t.backend.early, True)
    t.backend.early(False)
    client.ask(100, 100)
    read = probe(t, (hook,))
    for _ in range(20):
        client.ask(500, 500)
    check(read()[hook] >= 20, f"packets: {read()}")


@case("early.switch.{family}", needs=("early",), family=FAMILIES)
def switch(t, family):
    """The switch takes effect on flows that exist, in both directions and without a lost packet."""
    client, read = start(t, "nat", family, "tcp"), probe(t)
    for on in (True, False, True):
        t.backend.early(on)
        if on:
            taken(client, read)
        before = read()["postrouting"]
        client.ask(20_000, 20_000)
        moved = read()["postrouting"] - before
        check((moved == 0) == on, f"early {on}: {moved} packets at POSTROUTING")
    t.backend.early(True)


@case("early.firewall.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def firewall(t, family, proto, early):
    """A new connection that INPUT drops is never scheduled, nor does it reach the real server."""
    ends = Ends(t, "nat", family, proto)
    ends.flow(client=1).open()
    input_rule(t, f"{proto} dport {ends.vport} drop")
    refused = ends.flow(client=2)
    ends.up.send(refused.request(b"refused", flags=wire.SYN))
    check(not refused.arrived(b"refused", bound=0.3), "a packet that INPUT drops was forwarded")
    equal(len(ends.known()), 1, "connections")
    t.lab.nft("director", "flush ruleset")
    ends.flow(client=2).open()


@case("early.conntrack.{method}.{family}.{proto}.{early}", method=("nat", "dr"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
@case("early.conntrack.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def conntrack(t, method, family, proto, early):
    """With connection tracking on the director everything arrives all the same."""
    input_rule(t, "ct state established,related accept")
    client = start(t, method, family, proto)
    client.bulk(100_000)
    equal(t.client(family, proto, client.sock.getpeername()[1]).bulk(20_000).name, "rs1", "server")


@case("early.gateway6.{method}.{proto}.{early}", method=("nat", "dr"), proto=PROTOCOLS, early=EARLY)
def gateway6(t, method, proto, early):
    """IPv4 goes over routes whose gateways are IPv6 addresses, both ways."""
    def route(command, net, gateway, dev):
        with t.lab.inside("director"):
            run("ip", "route", command, net, "via", "inet6", ADDRESS[gateway][6], "dev", dev)
    for way in (("10.0.1.0/24", "router.front", "front"), (ADDRESS["rs1"][4] + "/32", "rs1", "back")):
        route("add", *way)
        t.defer(route, "del", *way)
    client = start(t, method, 4, proto)
    for _ in range(5):
        client.ask(500, 500)
