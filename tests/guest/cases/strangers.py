# SPDX-License-Identifier: GPL-2.0
"""Packets that no connection is known for, and settings about them: sloppy_tcp, schedule_icmp, nat_icmp_send,
ignore_tunneled, cache_bypass."""

import wire
from cases.icmp import ERRORS, one_error
from cases.marks import ELSEWHERE, MARK, TABLE, mark, named
from cases.owners import info
from context import join
from flow import Ends
from lab import ADDRESS, phantom_client
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, settle, until

UNREACHABLE = {4: (3, 3), 6: (1, 4)}
TUNNEL = {4: (wire.IPIP, "ipip"), 6: (wire.IPV6_IN_IP, "ip6tnl mode ip6ip6")}


def refusals(tap, family, target):
    """The "port unreachable" messages to an address that came in at a capture."""
    return tap.select(lambda ip: ip.proto in (wire.ICMP, wire.ICMP6) and ip.target == target
                      and ip.icmp == UNREACHABLE[family], outgoing=False)


@case("strangers.sloppy.{method}.{family}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, early=EARLY)
@case("strangers.sloppy.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def sloppy(t, method, family, early):
    """With 1 a segment without SYN begins a connection, which is established; one with RST does not, nor any with 0."""
    ends = Ends(t, method, family, "tcp")
    flow = ends.flow()
    ends.up.send(flow.request(b"too early", flags=wire.ACK))
    check(flow.returned(b"", flags=wire.RST), "the host did not reset what was for no connection")
    equal(ends.known(), [], "connections with 0")
    t.sysctl("sloppy_tcp", 1)
    ends.up.send(flow.request(b"reset", flags=wire.RST | wire.ACK))
    flow.send(b"in the middle", flags=wire.ACK | wire.PSH)
    check(not any(f.ip.payload == b"reset" for f in ends.far.fetch() if f.ip and f.ip.proto == wire.TCP), "a reset passed")
    equal([c.state for c in ends.known()], ["ESTABLISHED"], "state")
    for payload in (b"goes", b"on"):
        flow.send(payload, flags=wire.ACK)
        if not ends.keeps:
            flow.send_back(payload, flags=wire.ACK)


@case("strangers.icmp.{method}.{family}.{proto}", method=("nat", "dr", "tun"), family=FAMILIES, proto=PROTOCOLS)
@case("strangers.icmp.{method}.{family}.{proto}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, proto=PROTOCOLS)
def icmp(t, method, family, proto):
    """An error about an answer that nobody here has seen goes to a server, and its connection begins with it."""
    ends = Ends(t, method, family, proto)
    flow, kind = ends.flow(), ERRORS["toobig"][family]
    error = wire.icmp(flow.client, ends.vip, *kind, flow.answered(b"quoted payload"))
    ends.up.send(error)
    ends.flow(2).open()
    equal(len(ends.known()), 1, "connections with 0")
    t.sysctl("schedule_icmp", 1)
    ends.up.send(error)
    got = one_error(ends.far, kind, "error")
    equal(got.target, ends.vip if ends.keeps else ends.rip, "target")
    check(got.inner.raw.endswith(b"quoted payload"), "the quoted payload is gone")
    known = [c for c in ends.known() if c.source == join(flow.client, flow.sport)]
    equal([(c.state, c.expires <= 3) for c in known], [("NONE" if proto == "tcp" else "UDP", True)], "its connection")
    settle(lambda: len(ends.known()), 1, "connections after a while")


@case("strangers.icmp_nobody.{family}", family=FAMILIES)
def icmp_nobody(t, family):
    """Where there is no server for it an error goes nowhere, and nobody is told."""
    t.sysctl("schedule_icmp", 1)
    ends = Ends(t, "nat", family, "udp", balance=False)
    t.backend.restore(t.service(family, "udp", ends.vport))
    flow = ends.flow()
    flow.begin()
    ends.up.send(wire.icmp(flow.client, ends.vip, *ERRORS["port"][family], flow.answered(b"quoted")), flow.request(b"asked"))
    until(lambda: refusals(ends.near, family, flow.client), "the answer to the datagram behind it")
    equal(len(refusals(ends.near, family, flow.client)), 1, "errors to the client")
    equal(ends.known(), [], "connections")


@case("strangers.answer.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def answer(t, family, proto, early):
    """What a real server sends to nobody: with 0 it passes as it is, with 1 the server is told; but resets pass."""
    ends = Ends(t, "nat", family, proto)
    client = phantom_client(family, 9)

    def send(payload, flags=wire.ACK):
        ends.down.send(ends.flow().build((ends.rip, ends.rport), (client, 77), payload=payload, flags=flags))

    def passed(payload):
        frames = ends.near.select(lambda ip: ip.target == client and ip.source == ends.rip, outgoing=False)
        return any(frame.ip.payload == payload for frame in frames)
    send(b"as it is")
    until(lambda: passed(b"as it is"), "the server's packet at the client")
    t.sysctl("nat_icmp_send", 1)

    def told():
        send(b"to nobody")
        return refusals(ends.far, family, ends.rip)
    until(told, "an error at the server")
    ends.near.drop()
    send(b"again")
    others = t.inject("rs3", "eth0", ("director", "back"))
    others.send(ends.flow().build((ends.rip, ends.rport + 1), (client, 77), payload=b"another port", flags=wire.ACK))
    until(lambda: passed(b"another port"), "what is no server's at the client")
    check(not passed(b"again"), "a packet to nobody passed")
    if proto == "tcp":
        send(b"", wire.RST)
        until(lambda: passed(b""), "the reset at the client")
    flow = ends.flow().open()
    flow.send_back(b"of a connection", flags=wire.ACK)


@case("strangers.answer_soon.{family}", family=FAMILIES, fresh=True)
def answer_soon(t, family):
    """A server that is added counts at once, even if the next look for what is not used any more is seconds away."""
    t.sysctl("run_estimation", 0)
    t.sysctl("nat_icmp_send", 1)
    ends = Ends(t, "nat", family, "udp", balance=False)
    server = t.target(family, "udp", ends.vport, "nat", ends.rip, ends.rport)
    other = server.replace(join(ends.rip, ends.rport), join(ends.rip, 9))
    t.backend.restore(t.service(family, "udp", ends.vport), other, "-d" + other[2:].removesuffix(" -m"))
    if t.backend.name == "rlvs":
        looked = info(t)["upkeep_runs"] + 1
        until(lambda: info(t)["upkeep_runs"] > looked, "a look for what is not used any more")
    t.backend.restore(server)

    def told():
        ends.down.send(ends.flow().build((ends.rip, ends.rport), (phantom_client(family, 9), 77), payload=b"to nobody"))
        return refusals(ends.far, family, ends.rip)
    check(poll(told, 2), "no error at the server within two seconds")


@case("strangers.tunnel.{family}.{value}", family=FAMILIES, value=(0, 1))
def tunnel(t, family, value):
    """What comes out of a tunnel on the director is balanced. With ignore_tunneled, too: Linux's tunnel devices take the
    mark away again, in IPVS as here."""
    number, kind = TUNNEL[family]
    here = ADDRESS["director"][family]
    t.lab.ip("director", f"link add taken type {kind} remote any local {here}", "link set taken up")
    t.defer(t.lab.ip, "director", "link del taken")
    ends = Ends(t, "nat", family, "udp")
    t.sysctl("ignore_tunneled", value)
    flow, outside = ends.flow(), phantom_client(family, 200)
    flow.begin()
    inner = flow.request(b"carried")
    ends.up.send(wire.ip_header(outside, here, number, len(inner)) + inner)
    check(flow.arrived(b"carried"), "what was carried did not reach the server")
    flow.send(b"not carried")


def lead_to(t, family, address):
    """What is marked comes to the director, and `address` is on rs2 behind it."""
    both = (f"route {{}} local default dev lo table {TABLE}", f"rule {{}} fwmark {MARK} lookup {TABLE}",
            f"route {{}} {address} via {ADDRESS['rs2'][family]}")
    t.lab.ip_of("director", family, *(line.format("add") for line in both))
    t.defer(t.lab.ip_of, "director", family, *(line.format("del") for line in both))
    way = f"route {{}} {address} via {ADDRESS['director'][family]}"
    t.lab.ip_of("router", family, way.format("add"))
    t.defer(t.lab.ip_of, "router", family, way.format("del"))
    width = 128 if family == 6 else 32
    t.lab.ip("rs2", f"addr add {address}/{width} dev lo")
    t.defer(t.lab.ip, "rs2", f"addr del {address}/{width} dev lo")


@case("strangers.bypass.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def bypass(t, family, proto, early):
    """A service by mark without a server: with cache_bypass what is for another host goes there, and not with 0."""
    address, port = ELSEWHERE[family], t.port()
    lead_to(t, family, address)
    mark(t, family, proto, port, address=address)
    t.serve("rs2", family, proto, port, address)
    t.backend.restore(f"-A {named(family)} -s rr")
    far, up = t.tap("rs2"), t.inject("client", "eth0", ("router", "client"))

    def ask(number, payload):
        build = wire.udp if proto == "udp" else wire.tcp
        flags = () if proto == "udp" else (wire.SYN,)
        up.send(build(phantom_client(family, number), 70, address, port, *flags, payload=payload))
    ask(5, b"with 0")
    # By the same way, so it comes last.
    up.send(wire.udp(phantom_client(family, 7), 70, ADDRESS["rs2"][family], 9, b"behind it"))
    until(lambda: [f for f in far.fetch() if f.ip and f.ip.dport == 9], "what was sent behind it")
    t.sysctl("cache_bypass", 1)
    client = t.client(family, proto, port, address=address)
    for size in (100, 1000, 200):
        equal(client.ask(size, size).name, "rs2", "who answers")
    known = [c for c in t.backend.connections() if c.virtual == join(address, port)]
    nowhere = "[::]:0" if family == 6 else "0.0.0.0:0"
    equal([c.target for c in known], [nowhere], "the connection")
    check(not any(f.ip.payload == b"with 0" for f in far.select(lambda ip: ip.dport == port)), "it was bypassed with 0")
    t.backend.restore(f"-a {named(family)} -r {join(ADDRESS['rs1'][family], port)} -g")
    equal(client.ask(100).name, "rs2", "who answers when there is a server")
    equal(list(t.backend.destinations().values())[0][2:], (0, 0), "connections of the server")


@case("strangers.bypass_here.{family}", family=FAMILIES)
def bypass_here(t, family):
    """What is for the director itself does not go past its servers."""
    t.sysctl("cache_bypass", 1)
    port = t.port()
    mark(t, family, "udp", port)
    t.backend.restore(f"-A {named(family)} -s rr")
    near, up = t.tap("client"), t.inject("client", "eth0", ("router", "client"))
    asker = phantom_client(family, 5)
    up.send(wire.udp(asker, 70, ADDRESS["vip"][family], port, b"asked"))
    until(lambda: refusals(near, family, asker), "an error")
    known = [c for c in t.backend.connections() if c.virtual == join(ADDRESS["vip"][family], port)]
    equal(known, [], "connections")
