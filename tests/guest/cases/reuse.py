# SPDX-License-Identifier: GPL-2.0
"""Connections that are over give their places up to new ones."""

import socket
import struct

import wire
from context import join
from flow import Ends
from lab import ADDRESS, phantom_server
from suite import EARLY, FAMILIES, case, check, equal, poll, settle, until


def end(flow, how):
    """End a flow as both ends see it, or leave it open."""
    if how == "fin":
        flow.send(b"", flags=wire.FIN | wire.ACK)
        flow.send_back(b"", flags=wire.FIN | wire.ACK)
    elif how == "rst":
        flow.send(b"", flags=wire.RST | wire.ACK)


@case("reuse.other_service.{how}.{method}.{family}.{early}", how=("fin", "rst"), method=("nat",), family=FAMILIES,
      early=EARLY)
@case("reuse.other_service.{how}.{method}.{family}.{early}", needs=("fullnat",), how=("fin", "rst"),
      method=("fullnat",), family=FAMILIES, early=EARLY)
def other_service(t, how, method, family, early):
    """A connection is over; from the same port the client calls another service with the same server and port."""
    first = Ends(t, method, family, "tcp")
    second = Ends(t, method, family, "tcp", rport=first.rport)
    end(first.flow().open(), how)
    second.flow().open()
    equal([c.state for c in second.known()], ["ESTABLISHED"], "the new connection")
    end(second.flow().open() if method == "fullnat" else reopened(second), "rst")
    first.flow().open()


def reopened(ends):
    """The flow that is open already, its next packets included."""
    flow = ends.flow()
    flow.send(b"once more", flags=wire.ACK | wire.PSH)
    return flow


@case("reuse.other_service.open.{family}.{early}", family=FAMILIES, early=EARLY)
def still_open(t, family, early):
    """While the first connection is open, nobody takes its place at the server, and it goes on."""
    first = Ends(t, "nat", family, "tcp")
    second = Ends(t, "nat", family, "tcp", rport=first.rport)
    flow = first.flow().open()
    other = second.flow()
    second.up.send(other.request(b"taken", flags=wire.SYN))
    flow.send(b"goes on")
    flow.send_back(b"as well")
    check(not other.arrived(b"taken", bound=0), "a second connection with the addresses of the first")
    equal(second.known(), [], "connections of the second service")


@case("reuse.server_calls.{family}.{early}", family=FAMILIES, early=EARLY)
def server_calls(t, family, early):
    """A connection of the director's own is over; its server calls a service at the port that it was called from."""
    address, sport, vport, rport = ADDRESS["director.back"][family], t.port(), t.port(), t.port()
    t.serve("rs1", family, "tcp", rport)
    t.balance(family, "tcp", vport, "nat", ADDRESS["rs1"][family], rport)
    client = t.client(family, "tcp", vport, "director", source=(address, sport))
    client.ask()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    ours = join(ADDRESS["vip"][family], vport)
    settle(lambda: [c.state for c in t.backend.connections() if c.virtual == ours], ["CLOSE"], "its state")
    service = join(address, sport)
    t.backend.restore(f"-A -t {service} -s rr", f"-a -t {service} -r {join(ADDRESS['rs2'][family], 81)} -m")
    far, up = t.tap("rs2"), t.inject("rs1", "eth0", ("director", "back"))
    up.send(wire.tcp(ADDRESS["rs1"][family], rport, address, sport, wire.SYN, seq=5))
    until(lambda: far.select(lambda ip: ip.proto == wire.TCP and ip.dport == 81 and ip.sport == rport, False),
          "the server's call at the other server")


@case("reuse.one_way.{how}.{method}.{family}.{early}", how=("fin", "rst"), method=("dr", "tun"), family=FAMILIES,
      early=EARLY)
def one_way(t, how, method, family, early):
    """DR and TUN: a SYN over FIN_WAIT goes on with the connection, as with conn_reuse_mode 1; over CLOSE it is new."""
    ends = Ends(t, method, family, "tcp")
    flow = ends.flow().open()
    flow.send(b"", flags=wire.ACK | (wire.FIN if how == "fin" else wire.RST))
    equal([c.state for c in ends.known()], ["FIN_WAIT" if how == "fin" else "CLOSE"], "state")
    flow.send(b"again", flags=wire.SYN, seq=77)
    equal([c.state for c in ends.known()], ["SYN_RECV"], "state after the SYN")
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].conns, 1 if how == "fin" else 2,
           "connections counted")


@case("reuse.syn_ack.{family}.{early}", family=FAMILIES, early=EARLY)
def syn_ack(t, family, early):
    """Any segment with SYN ends a connection that is over, as in IPVS; without RST it begins a new one."""
    ends = Ends(t, "nat", family, "tcp")
    flow = ends.flow().open()
    end(flow, "rst")
    ends.up.send(flow.request(b"both", flags=wire.SYN | wire.RST))
    settle(ends.known, [], "connections")
    flow.send(b"new", flags=wire.SYN | wire.ACK)
    check(not flow.arrived(b"both", bound=0), "a segment with SYN and RST passed")
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].conns, 2, "connections counted")


@case("reuse.counts.{family}.{early}", family=FAMILIES, early=EARLY)
def counts_until_chosen(t, family, early):
    """While the scheduler chooses for a connection, the one before it from the same port counts at its destination still."""
    ends = Ends(t, "nat", family, "tcp", balance=False)
    other = phantom_server(family, 2)
    t.backend.restore(t.service(family, "tcp", ends.vport).replace("-s rr", "-s wlc"),
                      *(t.target(family, "tcp", ends.vport, "nat", rip, ends.rport) for rip in (ends.rip, other)))
    ends.up.send(ends.flow().request(b"first", flags=wire.SYN))
    poll(ends.known)
    chosen = ends.known()[0].target
    ends.up.send(ends.flow().request(b"", flags=wire.ACK), ends.flow().request(b"reset", flags=wire.RST))
    settle(lambda: [c.state for c in ends.known()], ["CLOSE"], "state")
    ends.up.send(ends.flow().request(b"second", flags=wire.SYN))
    settle(lambda: [c.state for c in ends.known()], ["SYN_RECV"], "state")
    check(ends.known()[0].target != chosen, "it went to the destination that had one already")
