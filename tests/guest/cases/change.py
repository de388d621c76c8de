# SPDX-License-Identifier: GPL-2.0
"""Changes of the configuration while connections run."""

import random

import wire
from flow import Ends
from lab import ADDRESS
from noise import Askers
from suite import EARLY, FAMILIES, case, check, equal, until


# mh keeps a drained server's share of the clients for it unless told otherwise.
FALLBACK = "mh -b mh-fallback"


def two_servers(t, family, proto, method="nat"):
    """A service with rs1 and rs2; returns (port, address of each as the tools write it)."""
    vport, rport = t.port(), t.port()
    lines = [t.service(family, proto, vport)] + (t.locals(family, proto, vport) if method == "fullnat" else [])
    for host in ("rs1", "rs2"):
        t.serve(host, family, proto, rport)
        lines.append(t.target(family, proto, vport, method, ADDRESS[host][family], rport))
    t.backend.restore(*lines)
    return vport, rport


def names(t, family, proto, vport, count=6):
    """Who answers so many new connections."""
    return [t.client(family, proto, vport).ask().name for _ in range(count)]


@case("change.drain.{method}.{family}.{early}", method=("nat",), family=FAMILIES, early=EARLY)
@case("change.drain.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def drain(t, method, family, early):
    """Weight 0: the connection goes on, new ones go elsewhere; with a weight again the server is back."""
    vport, rport = two_servers(t, family, "tcp", method)
    client = t.client(family, "tcp", vport)
    old = client.ask().name
    other = {"rs1": "rs2", "rs2": "rs1"}[old]
    edit = "-e" + t.target(family, "tcp", vport, method, ADDRESS[old][family], rport, "-w")[2:]
    t.backend.restore(f"{edit} 0")
    equal(set(names(t, family, "tcp", vport)), {other}, "servers of new connections")
    equal(client.ask(50_000, 50_000).name, old, "server of the old connection")
    t.backend.restore(f"{edit} 3")
    equal(set(names(t, family, "tcp", vport)), {"rs1", "rs2"}, "servers after the weight is back")


@case("change.method.{family}.{early}", family=FAMILIES, early=EARLY, first=("nat",), then=("dr",))
@case("change.method_back.{family}.{early}", family=FAMILIES, early=EARLY, first=("dr",), then=("nat",))
def method(t, family, early, first, then):
    """Another forwarding method is for new connections; old ones go on beside them as they began."""
    port, rip = t.port(), ADDRESS["rs1"][family]
    t.serve("rs1", family, "tcp", port, rip, name="nat")
    t.serve("rs1", family, "tcp", port, ADDRESS["vip"][family], name="dr")
    t.balance(family, "tcp", port, first, rip, port)
    client = t.client(family, "tcp", port)
    equal(client.ask().name, first, "before the edit")
    t.backend.restore("-e" + t.target(family, "tcp", port, then, rip, port)[2:])
    for _ in range(2):
        equal(t.client(family, "tcp", port).ask(20_000, 20_000).name, then, "a new connection")
        equal(client.ask(20_000, 20_000).name, first, "the old connection")


def remove(t, ends, line):
    """Remove something with `line` while a flow runs: no packet of the flow passes any more."""
    flow = ends.flow().open()
    t.backend.restore(line)
    ends.up.send(flow.request(b"after removal", flags=wire.ACK))
    check(not flow.arrived(b"after removal", bound=0.3), "a packet went to a removed destination")
    return flow


@case("change.remove_dest.{family}.{early}", family=FAMILIES, early=EARLY)
def remove_dest(t, family, early):
    """A removed destination gets no packets, and new connections go elsewhere; added again, its flows go on."""
    ends = Ends(t, "nat", family, "udp")
    line = t.target(family, "udp", ends.vport, "nat", ends.rip, ends.rport)
    flow = remove(t, ends, "-d" + line[2:].replace(" -m", ""))
    rport = t.port()
    t.serve("rs1", family, "udp", rport)
    t.backend.restore(t.target(family, "udp", ends.vport, "nat", ADDRESS["rs1"][family], rport))
    equal(t.client(family, "udp", ends.vport).ask().name, "rs1", "server of a new connection")
    t.backend.restore(line)
    flow.send(b"again")
    flow.send_back(b"and back")


@case("change.remove_service.{family}.{early}", family=FAMILIES, early=EARLY)
def remove_service(t, family, early):
    """The same with the whole service, from under a flow, and then added again."""
    ends = Ends(t, "nat", family, "udp")
    service = t.service(family, "udp", ends.vport)
    flow = remove(t, ends, "-D" + service[2:].replace(" -s rr", ""))
    t.backend.restore(service, t.target(family, "udp", ends.vport, "nat", ends.rip, ends.rport))
    flow.send(b"again")
    flow.send_back(b"and back")


@case("change.scheduler.{family}", family=FAMILIES)
def scheduler(t, family):
    """Another scheduler takes over with the destinations as they are."""
    vport, _ = two_servers(t, family, "tcp")
    for name in ("wlc", "sh", "mh", "wrr", "lc", "sed", "nq", "fo", "twos", "lblc", "lblcr", "rr"):
        t.backend.restore("-E" + t.service(family, "tcp", vport, "-s", name)[2:])
        got = set(names(t, family, "tcp", vport, 2))
        check(got <= {"rs1", "rs2"}, f"servers with {name}: {got}")
        listed = [line.split() for line in t.backend.run("-L", "-n").stdout.splitlines()]
        equal([fields[2] for fields in listed if fields[0] == "TCP"], [name], "listed scheduler")


@case("change.under_load.{method}.{family}", needs=("rlvs",), method=("nat", "fullnat"), family=FAMILIES)
def under_load(t, method, family):
    """Seventy changes under a stream of new connections: each connection is answered."""
    vport, rport = two_servers(t, family, "udp", method)
    askers = Askers(t.lab, family, ADDRESS["vip"][family], vport)
    t.defer(askers.stop)
    until(lambda: askers.answered > 5, "first answers")
    chance = random.Random(7)
    edit = "-e" + t.target(family, "udp", vport, method, ADDRESS["rs1"][family], rport, "-w")[2:]
    extra = t.target(family, "udp", vport, method, ADDRESS["rs3"][family], rport, "-w 0")
    service = "-E" + t.service(family, "udp", vport, "-s")[2:]
    for _ in range(10):
        t.backend.restore(f"{edit} {chance.randrange(5)}", extra, f"{service} {chance.choice(('rr', 'wrr', FALLBACK))}",
                          f"{edit} 0", f"{service} {chance.choice(('lc', 'wlc', 'wrr', 'sed', 'twos', 'lblc', 'lblcr'))}",
                          "-d" + extra[2:extra.index(" -w")].replace(" -m", "").replace(" --fullnat", ""))
        before = askers.answered
        until(lambda: askers.answered > before + 1 or askers.failures, "answers between changes")
    askers.stop()
    equal(askers.failures, [], f"failures beside {askers.answered} answers")
