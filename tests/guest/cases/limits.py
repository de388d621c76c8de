# SPDX-License-Identifier: GPL-2.0
"""Limits: how many connections there may be, how the table grows with them, and that all of it comes back."""

import json
import re
import time

import wire
from context import join
from flow import Ends
from lab import ADDRESS, phantom_client
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, settle

MANY, BUSY = 3000, 4


def refused(t, kind):
    """How many new connections the module has refused: kind is limit, ports or memory."""
    return json.loads(t.backend.run("-L", "--info", "-j").stdout)[f"refused_{kind}"]


@case("limits.conn_max.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS, fresh=True)
def conn_max(t, family, proto):
    """At the limit live ones go on and the others give way; when all live, new ones are refused and counted."""
    ends = Ends(t, "nat", family, proto)
    known = [lively(ends.flow(client)) for client in range(1, 5)]
    equal(t.backend.live(), 4, "connections")
    t.sysctl("conn_max", 10)
    flags = {"flags": wire.SYN}
    extra = [ends.flow(client) for client in range(11, 26)]
    ends.up.send(*(flow.request(b"new", **flags) for flow in extra))

    def came():
        frames = ends.far.select(lambda ip: ip.target == ends.rip, outgoing=False)
        return sum(frame.ip.payload == b"new" for frame in frames)
    settle(came, 15, "new connections that passed")
    equal(t.backend.live(), 10, "connections at the limit")
    for flow in known:
        flow.send(b"still", **({"flags": wire.ACK} if proto == "tcp" else {}))
        flow.send_back(b"there")
    known += [lively(ends.flow(client)) for client in range(31, 37)]
    equal(t.backend.live(), 10, "connections that live")
    late = [ends.flow(client) for client in range(41, 50)]
    ends.up.send(*(flow.request(b"late", **flags) for flow in late))
    settle(lambda: refused(t, "limit"), 9, "connections refused")
    check(re.search(r"at the most +9\n", t.backend.run("-L", "--info").stdout), "--info does not say 9")
    for flow in known:
        flow.send(b"still here", **({"flags": wire.ACK} if proto == "tcp" else {}))
        flow.send_back(b"there too")
    t.backend.sysctl("conn_max", 11)
    ends.flow(100).send(b"one more", **flags)
    equal(t.backend.live(), 11, "connections at last")


def lively(flow):
    """A flow whose both ends are known to be there."""
    flow.open()
    flow.send(b"and on")
    return flow


@case("limits.growth.{family}.{early}", family=FAMILIES, early=EARLY, fresh=True)
def growth(t, family, early):
    """Thousands of connections: each has its own way there and back, and all expire."""
    ends = Ends(t, "nat", family, "udp")
    flows = [ends.flow(1 + number % 200, 5000 + number // 200) for number in range(MANY)]
    sources = {(flow.client, flow.sport) for flow in flows}
    ends.up.send(*(flow.request(b"1") for flow in flows))
    equal(passed(ends.far, lambda ip: (ip.source, ip.sport), MANY), sources, "connections at the server")
    settle(t.backend.live, MANY, "connections")
    size = int(re.search(r"size=(\d+)", t.backend.run("-L", "-n").stdout)[1])
    check(size >= MANY / 4, f"the table has {size} buckets for {MANY} connections")
    equal(len(t.backend.connections()), MANY, "connections listed")
    busy = keep_busy(ends, flows)
    settle(lambda: t.backend.counters()["UDP", join(ends.vip, ends.vport)][0].conns, MANY, "connections made")
    t.backend.run("--set", "0", "0", "1")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    # A packet sets the time back when the last such was a second ago.
    poll(lambda: time.monotonic() > busy + 1.1)
    ends.near.drop()
    ends.down.send(*(wire.udp(ends.rip, ends.rport, *source, b"2") for source in sorted(sources)))
    equal(passed(ends.near, lambda ip: (ip.target, ip.dport), MANY), sources, "connections at the client")
    check(poll(lambda: t.backend.live() == 0), f"{t.backend.live()} connections did not expire")
    ends.flow().open()
    equal(t.backend.live(), 1, "connections after all")


def keep_busy(ends, flows):
    """Send on all flows for some seconds, so that the worker that expires them meets them in use; returns the end."""
    packets = [flow.request(b"0") for flow in flows]
    end = time.monotonic() + BUSY
    while time.monotonic() < end:
        ends.up.send(*packets)
        ends.far.drop()
        ends.near.drop()
    return time.monotonic()


def passed(tap, key, want):
    """The keys of the UDP packets that a capture got, once there are `want` of them or no more come."""
    def found():
        return {key(frame.ip) for frame in tap.select(lambda ip: ip.proto == wire.UDP, outgoing=False)}
    poll(lambda: len(found()) >= want)
    return found()


@case("limits.thresholds.{family}", family=FAMILIES)
def thresholds(t, family):
    """A destination at its upper threshold gets no more."""
    ends = Ends(t, "nat", family, "udp", balance=False)
    rport = t.port()
    t.serve("rs1", family, "udp", rport)
    t.backend.restore(t.service(family, "udp", ends.vport),
                      t.target(family, "udp", ends.vport, "nat", ends.rip, ends.rport, "-x", "3", "-y", "2"),
                      t.target(family, "udp", ends.vport, "nat", ADDRESS["rs1"][family], rport))
    ends.up.send(*(ends.flow(client).request(b"%d" % client) for client in range(1, 13)))
    clients = {phantom_client(family, client) for client in range(1, 13)}

    def got():
        return [f for f in ends.far.select(lambda ip: ip.target == ends.rip, outgoing=False) if f.ip.source in clients]
    settle(lambda: sum(d[3] for d in t.backend.destinations().values()), 12, "connections")
    equal(len(got()), 3, "connections of the limited server")
    check("  3 " in t.backend.run("-L", "-n", "--thresholds").stdout, "the threshold is not listed")
