# SPDX-License-Identifier: GPL-2.0
"""Counters, states, time-outs and the table of connections."""

import time

import wire
from context import join
from flow import Ends
from suite import EARLY, FAMILIES, PROTOCOLS, between, case, check, equal, settle

UP, DOWN = (0, 1, 200, 1000), (3, 500, 1200)


def exchange(flow, keeps):
    """A TCP or UDP exchange of known sizes; returns (packets in, out, bytes in, out) as IP counts them."""
    requests = [flow.request(b"", flags=wire.SYN)] if flow.ends.proto == "tcp" else [flow.request(b"x")]
    requests += [flow.request(bytes([65 + n]) * size, flags=wire.ACK) for n, size in enumerate(UP)]
    for packet in requests:
        ip = wire.Ip(packet)
        flow.send(ip.payload, **({"flags": ip.flags} if flow.ends.proto == "tcp" else {}))
    replies = [] if keeps else [flow.reply(bytes([97 + n]) * size) for n, size in enumerate(DOWN)]
    for packet in replies:
        flow.send_back(wire.Ip(packet).payload)
    return len(requests), len(replies), sum(map(len, requests)), sum(map(len, replies))


@case("counters.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
@case("counters.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def counters(t, method, family, proto, early):
    """Connections, packets and bytes of service and destination, to the byte."""
    ends = Ends(t, method, family, proto)
    want = [0] * 4
    for client in (1, 2):
        want = [a + b for a, b in zip(want, exchange(ends.flow(client), ends.keeps))]
    key = (proto.upper(), join(ends.vip, ends.vport))

    def read():
        service, dests = t.backend.counters()[key]
        return service.tuple(), dests[join(ends.rip, ends.rport)].tuple()
    expected = (2, *want)
    settle(read, (expected, expected), "conns, packets in and out, bytes in and out")
    t.backend.run("-Z")
    settle(read, ((0,) * 5, (0,) * 5), "counters after -Z")


def state(ends):
    """The states of this service's connections."""
    return [c.state for c in ends.known()]


WALKS = {
    # Who sends which flags, and the state after it; the tables are in net/netfilter/ipvs/ip_vs_proto_tcp.c.
    "client_closes": (("c", wire.SYN, "SYN_RECV"), ("s", wire.SYN | wire.ACK, "SYN_RECV"),
                      ("c", wire.ACK, "ESTABLISHED"), ("c", wire.FIN | wire.ACK, "CLOSE_WAIT"),
                      ("s", wire.FIN | wire.ACK, "TIME_WAIT"), ("c", wire.ACK, "TIME_WAIT")),
    "server_closes": (("c", wire.SYN, "SYN_RECV"), ("s", wire.SYN | wire.ACK, "SYN_RECV"),
                      ("c", wire.ACK, "ESTABLISHED"), ("s", wire.FIN | wire.ACK, "FIN_WAIT"),
                      ("c", wire.FIN | wire.ACK, "TIME_WAIT")),
    "reset": (("c", wire.SYN, "SYN_RECV"), ("s", wire.SYN | wire.ACK, "SYN_RECV"), ("c", wire.ACK, "ESTABLISHED"),
              ("s", wire.RST, "CLOSE")),
}
ONE_WAY = (("c", wire.SYN, "SYN_RECV"), ("c", wire.ACK, "ESTABLISHED"), ("c", wire.FIN | wire.ACK, "FIN_WAIT"),
           ("c", wire.RST, "CLOSE"))
TIMEOUT = {"SYN_RECV": 60, "ESTABLISHED": 900, "CLOSE_WAIT": 60, "TIME_WAIT": 120, "FIN_WAIT": 120, "CLOSE": 10,
           "UDP": 300}


def follow(ends, flow, walk):
    """Send each packet of a walk and look at the state and the time left after it."""
    for number, (who, flags, want) in enumerate(walk):
        begin = time.monotonic()
        (flow.send if who == "c" else flow.send_back)(b"%d" % number, flags=flags)
        found = ends.known()
        took = time.monotonic() - begin
        equal([c.state for c in found], [want], f"state after packet {number} with flags {flags}")
        between(found[0].expires, TIMEOUT[want] - 2 - took, TIMEOUT[want] + 1, f"seconds left in {want}")


@case("states.tcp.{walk}.{family}.{early}", walk=tuple(WALKS), family=FAMILIES, early=EARLY)
def tcp_states(t, walk, family, early):
    """NAT sees both directions of TCP."""
    ends = Ends(t, "nat", family, "tcp")
    follow(ends, ends.flow(), WALKS[walk])


@case("states.one_way.{method}.{early}", method=("dr", "tun"), early=EARLY)
def one_way(t, method, early):
    """DR and TUN see what the client sends only."""
    ends = Ends(t, method, 4, "tcp")
    follow(ends, ends.flow(), ONE_WAY)


@case("states.past.{method}.{walk}.{family}.{early}", method=("dr", "tun"), walk=tuple(WALKS), family=FAMILIES, early=EARLY)
def past(t, method, walk, family, early):
    """Answers of DR and TUN that come through the director all the same are seen and counted, and go on as they are."""
    ends = Ends(t, method, family, "tcp")
    follow(ends, ends.flow(), WALKS[walk])
    answers = sum(who == "s" for who, _, _ in WALKS[walk])
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].outpkts, answers, "packets out")


@case("states.udp.{family}.{early}", family=FAMILIES, early=EARLY)
def udp_state(t, family, early):
    """UDP has one state; a packet sets its time back, to what --set says by then."""
    ends = Ends(t, "nat", family, "udp")
    flow = ends.flow()
    follow(ends, flow, (("c", None, "UDP"), ("s", None, "UDP")))
    t.backend.run("--set", "0", "0", "40")
    t.defer(t.backend.run, "--set", "900", "120", "300")

    def left():
        flow.send(b"more")
        return 37 <= ends.known()[0].expires <= 40
    settle(left, True, "37 to 40 s left after --set")


@case("states.reuse.{family}.{early}", family=FAMILIES, early=EARLY)
def reuse(t, family, early):
    """A SYN from the port of a connection that is over starts a new one, on the next server of the round."""
    ends = Ends(t, "nat", family, "tcp")
    flow = ends.flow().open()
    flow.send_back(b"reset", flags=wire.RST)
    equal(state(ends), ["CLOSE"], "state")
    flow.send(b"new", flags=wire.SYN, seq=77)
    equal(state(ends), ["SYN_RECV"], "state after the new SYN")
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].conns, 2, "connections counted")


@case("states.syn_and_rst.{family}.{early}", family=FAMILIES, early=EARLY)
def syn_and_rst(t, family, early):
    """A SYN that is a reset too ends a connection that is over, and opens none."""
    ends = Ends(t, "nat", family, "tcp")
    flow = ends.flow().open()
    flow.send_back(b"reset", flags=wire.RST)
    equal(state(ends), ["CLOSE"], "state")
    ends.up.send(flow.request(b"both", flags=wire.SYN | wire.RST))
    settle(lambda: ends.known(), [], "connections")


@case("states.ftp_data.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS)
def ftp_data(t, family, proto):
    """IPVS: what comes from port 20 begins no connection."""
    ends = Ends(t, "nat", family, proto)
    ends.up.send(ends.flow(sport=20).request(b"file", flags=wire.SYN))
    ends.flow(sport=21).send(b"first", flags=wire.SYN)
    equal([c.source for c in ends.known()], [join(ends.flow().client, 21)], "connections")


@case("states.no_syn.{family}", family=FAMILIES)
def no_syn(t, family):
    """TCP without a SYN, or with a reset, makes no connection."""
    ends = Ends(t, "nat", family, "tcp")
    for number, flags in enumerate((wire.ACK, wire.FIN | wire.ACK, wire.RST, wire.SYN | wire.RST, 0)):
        ends.up.send(ends.flow(sport=4100 + number).request(b"stray", flags=flags))
    ends.flow().send(b"real", flags=wire.SYN)
    equal(state(ends), ["SYN_RECV"], "connections")
    check(not [f for f in ends.far.fetch() if f.ip and f.ip.payload == b"stray"], "a stray packet was forwarded")


@case("timeouts.set")
def timeouts(t):
    """--set changes what is not 0, and is listed."""
    t.defer(t.backend.run, "--set", "900", "120", "300")
    equal(t.backend.run("-L", "--timeout").stdout, "Timeout (tcp tcpfin udp): 900 120 300\n", "defaults")
    t.backend.run("--set", "50", "0", "70")
    equal(t.backend.run("-L", "--timeout").stdout, "Timeout (tcp tcpfin udp): 50 120 70\n", "after --set 50 0 70")


@case("timeouts.expiry.{method}.{proto}.{early}", method=("nat", "dr"), proto=PROTOCOLS, early=EARLY)
def expiry(t, method, proto, early):
    """A connection without packets goes away, one with packets stays."""
    t.backend.run("--set", "2", "2", "2")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    ends = Ends(t, method, 4, proto)
    idle, busy = ends.flow(1).open(), ends.flow(2).open()
    number = 0

    def left():
        nonlocal number
        number += 1
        busy.send(b"busy %d" % number, **({"flags": wire.ACK} if proto == "tcp" else {}))
        return [c.source for c in ends.known()]
    # Sooner than each bucket is looked at anyway.
    settle(left, [join(busy.client, busy.sport)], "connections left", bound=25.0)
    settle(lambda: state(ends), [], "connections left at last")
    check(idle.seen, "the idle flow never ran")
