# SPDX-License-Identifier: GPL-2.0
"""FULLNAT's local addresses and ports: shared out, used to the last, and given back."""

import json
import time

import wire
from cases.limits import lively, refused
from context import join
from flow import Ends
from lab import ADDRESS, phantom_server
from netlink import GET_LADDR, INFO_PORTS, LADDR, LADDR_CONNS, LADDR_EXHAUSTED, DUMP, GET_INFO, Genl, parse, service
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, settle

NEEDS = ("fullnat",)
FLAGS = {"flags": wire.SYN}


def pool(t, family, proto, first, last, *names):
    """A FULLNAT service with local ports first..last on each of the named local addresses."""
    t.sysctl("lport_min", first)
    t.sysctl("lport_max", last)
    ends = Ends(t, "fullnat", family, proto, balance=False)
    t.backend.restore(t.service(family, proto, ends.vport), *t.locals(family, proto, ends.vport, *names),
                      t.target(family, proto, ends.vport, "fullnat", ends.rip, ends.rport))
    return ends


@case("fullnat.pool.{family}.{proto}.{early}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def shared_out(t, family, proto, early):
    """All local addresses are used, no address and port twice, and each reply finds its client."""
    ends = pool(t, family, proto, 20000, 20999, "lip1", "lip2")
    flows = [ends.flow(client) for client in range(1, 41)]
    for flow in flows:
        flow.send(b"%d" % flow.sport + flow.client.encode(), **FLAGS)
    equal(len({flow.seen for flow in flows}), 40, "different sources at the server")
    equal({flow.seen[0] for flow in flows}, {ADDRESS["lip1"][family], ADDRESS["lip2"][family]}, "local addresses")
    check(all(20000 <= flow.seen[1] <= 20999 for flow in flows), "a local port is out of range")
    for flow in reversed(flows):
        flow.send_back(b"to " + flow.client.encode())


@case("fullnat.same_port.{family}.{proto}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS)
def same_port(t, family, proto):
    """One local address and port serves several destinations at once: eight flows on four ports."""
    ends = pool(t, family, proto, 21000, 21003, "lip1")
    t.backend.restore(t.target(family, proto, ends.vport, "fullnat", phantom_server(family, 2), ends.rport))
    for client in range(1, 9):
        ends.up.send(ends.flow(client).request(b"x", **FLAGS))

    def used():
        return sorted((f.ip.target, f.ip.sport) for f in ends.far.select(
            lambda ip: ip.proto == wire.NUMBER[proto] and ip.dport == ends.rport, outgoing=False))
    want = sorted((phantom_server(family, n), port) for n in (1, 2) for port in range(21000, 21004))
    settle(used, want, "destinations and local ports")


@case("fullnat.exhaustion.{family}.{proto}", needs=NEEDS, family=FAMILIES, proto=PROTOCOLS)
def exhaustion(t, family, proto):
    """With no port left and all alive a new one is dropped, counted and shown; when they expire, ports come back."""
    ends = pool(t, family, proto, 22000, 22002, "lip1", "lip2")
    before = refused(t, "ports")
    flows = [ends.flow(client) for client in range(1, 7)]
    for flow in flows:
        lively(flow)
    equal(len({flow.seen for flow in flows}), 6, "local addresses and ports in use")
    late = ends.flow(100)
    ends.up.send(late.request(b"late", **FLAGS))
    settle(lambda: refused(t, "ports"), before + 1, "connections refused")
    check(not late.arrived(b"late", bound=0), "a connection passed without a port")
    shown(t, ends, family, proto)
    flows[0].send_back(b"still served")
    t.backend.run("--set", "0", "0", "2")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    # A packet sets the time back when the last such was a second ago.
    end = time.monotonic() + 1.1
    poll(lambda: time.monotonic() > end)
    for flow in flows:
        flow.send_back(b"over", **({"flags": wire.RST} if proto == "tcp" else {}))
    settle(lambda: len(ends.known()), 0, "connections left")
    equal({row[2] for row in pool_rows(t)[1:]}, {"0"}, "ports taken")
    for client in range(11, 17):
        ends.flow(client).send(b"second", **FLAGS)


def pool_rows(t):
    """The fields of -G: the service, then each local address with its flows."""
    return [line.split() for line in t.backend.run("-G", "-n").stdout.splitlines()[1:]]


def shown(t, ends, family, proto):
    """What the tool and netlink say about used-up local addresses."""
    lips = [ADDRESS[name][family] for name in ("lip1", "lip2")]
    rows = pool_rows(t)
    equal(rows[0], [join(ends.vip, ends.vport), "2"], "first row of -G")
    equal(sorted((row[0], row[2]) for row in rows[1:]), [(lip, "3") for lip in lips], "addresses and flows of -G")
    check(sum(int(row[1]) for row in rows[1:]) >= 1, f"-G shows no exhaustion: {rows}")
    listed = json.loads(t.backend.run("-G", "-j").stdout)
    check(all(lip in json.dumps(listed) for lip in lips), "-G -j does not name the addresses")
    genl = Genl(t.lab, "director", "RLVS")
    t.defer(genl.close)
    reply = genl.ask(GET_LADDR, service(ends.vip, ends.vport, wire.NUMBER[proto], full=False), flags=DUMP)
    nests = [parse(message[LADDR]) for message in reply.messages]
    number = int.from_bytes
    equal([number(nest[LADDR_CONNS], "little") for nest in nests], [3, 3], "flows by netlink")
    check(sum(number(nest[LADDR_EXHAUSTED], "little") for nest in nests) >= 1, "no exhaustion by netlink")
    info = genl.ask(GET_INFO).messages[0]
    equal(number(info[INFO_PORTS], "little"), refused(t, "ports"), "refused by netlink")


@case("fullnat.remove_laddr.{family}.{early}", needs=NEEDS, family=FAMILIES, early=EARLY)
def remove_laddr(t, family, early):
    """A local address that is removed keeps its flows and gets no new ones."""
    ends = pool(t, family, "udp", 23000, 23999, "lip1", "lip2")
    flows = [ends.flow(client).open() for client in range(1, 9)]
    equal(len({flow.seen[0] for flow in flows}), 2, "local addresses in use")
    gone, stays = ADDRESS["lip1"][family], ADDRESS["lip2"][family]
    t.backend.restore("-Q" + t.locals(family, "udp", ends.vport, "lip1")[0][2:])
    for flow in flows:
        flow.send(b"on")
        flow.send_back(b"and back")
    fresh = [ends.flow(client).open() for client in range(21, 29)]
    equal({flow.seen[0] for flow in fresh}, {stays}, f"local addresses after {gone} was removed")


@case("fullnat.two_services.{family}", needs=NEEDS, family=FAMILIES)
def two_services(t, family):
    """Two services with the same local address and server never give the same port to two flows."""
    ends = pool(t, family, "udp", 24000, 24007, "lip1")
    second = t.port()
    t.backend.restore(t.service(family, "udp", second), *t.locals(family, "udp", second, "lip1"),
                      t.target(family, "udp", second, "fullnat", ends.rip, ends.rport))
    for client in range(1, 5):
        flow = ends.flow(client)
        ends.up.send(flow.request(b"x"), wire.udp(flow.client, flow.sport, ends.vip, second, b"y"))
    settle(lambda: sorted(f.ip.sport for f in ends.far.select(lambda ip: ip.dport == ends.rport, outgoing=False)),
           list(range(24000, 24008)), "local ports in use")
