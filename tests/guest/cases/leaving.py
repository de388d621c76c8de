# SPDX-License-Identifier: GPL-2.0
"""Destinations that leave, and connections that are over: expire_nodest_conn, conn_reuse_mode."""

import wire
from context import join
from flow import Ends
from lab import ADDRESS, phantom_server
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, settle, until

# In which modes a SYN over TIME_WAIT, over FIN_WAIT without the other half, and over CLOSE is a new connection.
OVER = {("nat", "fin"): (1, 2, 3), ("dr", "fin"): (2, 3), ("nat", "rst"): (1, 2, 3), ("dr", "rst"): (1, 2, 3),
        ("tun", "fin"): (2, 3), ("fullnat", "fin"): (1, 2, 3)}


class Pair(Ends):
    """A service whose one destination is about to leave, and another server that comes in its place."""

    def __init__(self, t, method, family, proto):
        super().__init__(t, method, family, proto)
        self.line = t.target(family, proto, self.vport, method, self.rip, self.rport)
        self.other = phantom_server(family, 2)

    def leave(self):
        """Remove the one and add the other."""
        gone = "-d" + self.line[2:].replace(" -m", "").replace(" --fullnat", "")
        self.t.backend.restore(gone, self.line.replace(join(self.rip, self.rport), join(self.other, self.rport)))

    def came(self, payload, server):
        """True if a server has got this payload."""
        return any(f.ip.payload == payload for f in self.far.select(lambda ip: ip.target == server, outgoing=False))


@case("leaving.expire.{method}.{proto}.{family}.{early}", method=("nat",), proto=PROTOCOLS, family=FAMILIES, early=EARLY)
@case("leaving.expire.{method}.{proto}.{family}.{early}", needs=("fullnat",), method=("fullnat",), proto=PROTOCOLS,
      family=FAMILIES, early=EARLY)
def expire(t, method, proto, family, early):
    """With 1 the connections of a destination that is removed end in the background; they begin anew elsewhere."""
    t.sysctl("expire_nodest_conn", 1)
    ends = Pair(t, method, family, proto)
    flow = ends.flow().open()
    ends.leave()
    settle(ends.known, [], "connections after the destination is gone")
    ends.up.send(flow.request(b"anew", flags=wire.SYN))
    until(lambda: ends.came(b"anew", ends.other), "the next connection at the other server")
    equal([c.target for c in ends.known()], [join(ends.other, ends.rport)], "connections")


@case("leaving.kept.{proto}.{family}.{early}", proto=PROTOCOLS, family=FAMILIES, early=EARLY)
def kept(t, proto, family, early):
    """With 0 they stay, and what they get is dropped; once it is 1 the next packet that may moves them."""
    ends = Pair(t, "nat", family, proto)
    flow = ends.flow().open()
    ends.leave()
    ends.up.send(flow.request(b"dropped", flags=wire.ACK), flow.request(b"as well", flags=wire.SYN))
    ends.up.send(ends.flow(2).request(b"another", flags=wire.SYN))
    until(lambda: ends.came(b"another", ends.other), "another client at the other server")
    check(not any(ends.came(payload, server) for payload in (b"dropped", b"as well") for server in (ends.rip, ends.other)),
          "a packet of a connection without a destination passed")
    equal(sorted(c.target for c in ends.known()), sorted([join(ends.rip, ends.rport), join(ends.other, ends.rport)]),
          "connections")
    t.sysctl("expire_nodest_conn", 1)
    ends.up.send(flow.request(b"moved", flags=wire.SYN))
    until(lambda: ends.came(b"moved", ends.other), "the connection at the other server")
    equal({c.target for c in ends.known()}, {join(ends.other, ends.rport)}, "connections at last")


@case("leaving.reset.{family}.{early}", family=FAMILIES, early=EARLY)
def reset(t, family, early):
    """A segment that opens nothing ends the connection, and the host answers it: the client learns that it is over."""
    ends = Pair(t, "nat", family, "tcp")
    flow = ends.flow().open()
    ends.leave()
    t.sysctl("expire_nodest_conn", 1)
    flow.begin()
    ends.up.send(flow.request(b"to nobody", flags=wire.ACK, seq=1003, ack=5001))
    check(flow.returned(b"", flags=wire.RST), "no reset came to the client")
    equal(ends.known(), [], "connections")


@case("leaving.one_way.{method}.{family}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, early=EARLY)
def one_way(t, method, family, early):
    """A stream of datagrams that nobody answers goes on at a living server, with one lost at the most."""
    t.sysctl("expire_nodest_conn", 1)
    ends = Ends(t, method, family, "udp", balance=False)
    second = {"nat": phantom_server(family, 2)}.get(method, ADDRESS["rs2"][family])
    far = ends.far if method == "nat" else t.tap("rs2")
    lines = [t.target(family, "udp", ends.vport, method, server, ends.rport) for server in (ends.rip, second)]
    t.backend.restore(t.service(family, "udp", ends.vport), lines[0])
    flow, numbers = ends.flow(), [b"%05d" % number for number in range(60)]
    ends.up.send(*(flow.request(number) for number in numbers[:30]))
    until(lambda: flow.arrived(numbers[29], bound=0), "datagrams at the first server")
    t.backend.restore(lines[1], "-d" + lines[0][2:-3])
    ends.up.send(*(flow.request(number) for number in numbers[30:]))

    def moved():
        ips = (frame.ip for frame in far.fetch() if not frame.outgoing and frame.ip)
        inner = [ip.inner if method == "tun" and ip.proto in (wire.IPIP, wire.IPV6_IN_IP) else ip for ip in ips]
        return {ip.payload for ip in inner if ip.proto == wire.UDP and ip.dport == ends.rport} & set(numbers[30:])
    until(lambda: numbers[59] in moved(), "the last datagram at the living server")
    check(len(moved()) >= 29, f"{len(moved())} of 30 datagrams came")


@case("leaving.weight.{value}.{family}.{early}", value=(0, 1), family=FAMILIES, early=EARLY)
def weight(t, value, family, early):
    """Weight 0: with 1 a SYN of an open connection goes to another server; what is no SYN stays, and with 0 all."""
    t.sysctl("expire_nodest_conn", value)
    ends = Pair(t, "nat", family, "tcp")
    flow = ends.flow().open()
    t.backend.restore(f"-e{ends.line[2:]} -w 0", ends.line.replace(join(ends.rip, ends.rport), join(ends.other, ends.rport)))
    flow.send(b"goes on", flags=wire.ACK)
    flow.send_back(b"too", flags=wire.ACK)
    ends.up.send(flow.request(b"again", flags=wire.SYN))
    until(lambda: ends.came(b"again", ends.other if value else ends.rip), "where the SYN came")


@case("leaving.reuse.{mode}.{how}.{method}.{family}", mode=(0, 1, 2, 3), how=("fin", "rst"), method=("nat", "dr"),
      family=FAMILIES)
@case("leaving.reuse.{mode}.{how}.{method}.{family}", mode=(0, 1, 2, 3), how=("fin",), method=("tun",), family=FAMILIES)
@case("leaving.reuse.{mode}.{how}.{method}.{family}", needs=("fullnat",), mode=(0, 1), how=("fin",), method=("fullnat",),
      family=FAMILIES)
def reuse(t, mode, how, method, family):
    """A SYN over a connection that is over: a new one, at once, or the old one, as conn_reuse_mode says."""
    t.sysctl("conn_reuse_mode", mode)
    ends = Ends(t, method, family, "tcp")
    flow = ends.flow().open()
    flow.send(b"", flags=wire.ACK | (wire.FIN if how == "fin" else wire.RST))
    if how == "fin" and not ends.keeps:
        flow.send_back(b"", flags=wire.FIN | wire.ACK)
    over = "CLOSE" if how == "rst" else "FIN_WAIT" if ends.keeps else "TIME_WAIT"
    equal([c.state for c in ends.known()], [over], "state")
    flow.send(b"again", flags=wire.SYN, seq=77)
    new = mode in OVER[method, how]
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].conns, 2 if new else 1, "connections counted")
    equal([c.state for c in ends.known()], ["SYN_RECV"], "state after the SYN")
