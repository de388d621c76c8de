# SPDX-License-Identifier: GPL-2.0
"""Defences against too many connections: drop_packet, drop_entry, secure_tcp, by hand and by the memory."""

import wire
from flow import Ends
from suite import EARLY, FAMILIES, case, check, equal, poll, settle, until

GUARDS = ("drop_entry", "drop_packet", "secure_tcp")
# More pages than any machine has.
ALL_PAGES = 2**31 - 1


@case("defence.memory.{guard}", guard=GUARDS)
def memory(t, guard):
    """Mode 1 becomes 2 while the memory is short, and goes back; from the first service on that is seen by itself."""
    t.sysctl("amemthresh", 0)
    t.sysctl(guard, 2)
    equal(t.backend.sysctl(guard), "1", "with enough memory")
    t.backend.sysctl("amemthresh", ALL_PAGES)
    t.backend.restore("-A -t 10.0.2.100:80 -s rr")
    settle(lambda: t.backend.sysctl(guard), "2", "when it is short")
    t.backend.sysctl("amemthresh", 0)
    settle(lambda: t.backend.sysctl(guard), "1", "when there is enough again")
    t.backend.sysctl(guard, 3)
    equal(t.backend.sysctl(guard), "3", "on by hand")
    t.backend.sysctl("amemthresh", ALL_PAGES)
    t.backend.sysctl(guard, 1)
    equal(t.backend.sysctl(guard), "2", "short when it is set")


@case("defence.rest", needs=("rlvs",), fresh=True)
def rest(t):
    """Without a service, or with all modes 0, nobody looks at the memory; with both that is once a second."""
    t.sysctl("amemthresh", ALL_PAGES)
    t.sysctl("drop_entry", 1)
    equal(t.backend.sysctl("drop_entry"), "2", "when it is set")
    t.backend.sysctl("amemthresh", 0)
    t.backend.restore("-A -t 10.0.2.100:80 -s rr")
    settle(lambda: t.backend.sysctl("drop_entry"), "1", "once there is a service")


@case("defence.packets.{proto}.{family}", proto=("udp", "tcp"), family=FAMILIES)
def packets(t, proto, family):
    """drop_packet 3: of am_droprate new connections one is dropped, the first at once; those that are known go on."""
    ends = Ends(t, "nat", family, proto)
    known = ends.flow(200).open()
    t.sysctl("am_droprate", 3)
    t.sysctl("drop_packet", 3)
    flows = [ends.flow(client) for client in range(1, 31)]
    ends.up.send(*(flow.request(b"new", flags=wire.SYN) for flow in flows))
    settle(lambda: len(ends.known()), 21, "connections")
    known.send(b"goes on", flags=wire.ACK)
    known.send_back(b"too", flags=wire.ACK)
    came = [f.ip.source for f in ends.far.select(lambda ip: ip.target == ends.rip, outgoing=False) if f.ip.payload == b"new"]
    equal(len(came), 20, "new connections at the server")
    kept = [number for number, flow in enumerate(flows) if flow.client in came]
    equal([number % 3 for number in kept[:4]], [(kept[0] + step) % 3 for step in (0, 1, 3, 4)], "which came")
    t.backend.sysctl("drop_packet", 0)
    ends.flow(100).send(b"all again", flags=wire.SYN)


@case("defence.packets_all.{family}", family=FAMILIES)
def packets_all(t, family):
    """With a negative am_droprate all new connections are dropped, and with 0 none."""
    ends = Ends(t, "nat", family, "udp")
    t.sysctl("am_droprate", -5)
    t.sysctl("drop_packet", 3)
    ends.up.send(*(ends.flow(client).request(b"new") for client in range(1, 21)))
    t.backend.sysctl("am_droprate", 0)
    t.backend.sysctl("drop_packet", 3)
    ends.flow(100).send(b"behind them")
    equal(len(ends.known()), 1, "connections")


@case("defence.packets_short.{family}", family=FAMILIES)
def packets_short(t, family):
    """drop_packet by the memory: when there is hardly any of what should be, nearly all are dropped."""
    ends = Ends(t, "nat", family, "udp")
    known = ends.flow(200).open()
    t.sysctl("amemthresh", ALL_PAGES)
    t.sysctl("drop_packet", 1)
    ends.up.send(*(ends.flow(client).request(b"new") for client in range(1, 21)), known.request(b"behind"))
    check(known.arrived(b"behind"), "a known connection does not go on")
    equal(len(ends.known()), 1, "connections")


@case("defence.entries.{family}", family=FAMILIES, fresh=True)
def entries(t, family):
    """drop_entry 3: half-open connections go, some each second; those that are open and in use stay."""
    ends = Ends(t, "nat", family, "tcp")
    known = [ends.flow(client, 5000).open() for client in range(1, 6)]
    many = 800
    ends.up.send(*(ends.flow(1 + number % 200, 6000 + number // 200).request(b"", flags=wire.SYN) for number in range(many)))
    settle(t.backend.live, many + 5, "connections")
    t.sysctl("drop_entry", 3)
    until(lambda: t.backend.live() < many - 50, "half-open connections that went")
    for flow in known:
        flow.send(b"still", flags=wire.ACK)
        flow.send_back(b"there", flags=wire.ACK)
    states = sorted(c.state for c in ends.known() if c.source.endswith(":5000"))
    equal(states, ["ESTABLISHED"] * 5, "open connections")


@case("defence.entries_ops.{family}", family=FAMILIES, fresh=True)
def entries_ops(t, family):
    """drop_entry 3: a client whose datagrams go one by one has no connection, and keeps his server while he is there."""
    ends, many = Ends(t, "dr", family, "udp", balance=False), 200
    t.backend.restore(t.service(family, "udp", ends.vport, "-s rr -p 300 -o"),
                      t.target(family, "udp", ends.vport, "dr", ends.rip, ends.rport))
    ends.up.send(*(ends.flow(1 + number).request(b"one") for number in range(many)))
    settle(t.backend.live, many, "templates")
    t.sysctl("drop_entry", 3)
    check(not poll(lambda: t.backend.live() < many, 6), f"{many - t.backend.live()} templates went within six seconds")


@case("defence.secure.nat.{family}.{early}", family=FAMILIES, early=EARLY)
def secure(t, family, early):
    """secure_tcp 3: a connection is established when the server has gone on; with 0 others are as ever."""
    t.sysctl("secure_tcp", 3)
    ends = Ends(t, "nat", family, "tcp")
    flow = ends.flow()

    def state(want, what):
        equal([c.state for c in ends.known()], [want], f"state after {what}")
    flow.send(b"", flags=wire.SYN, seq=1000)
    state("SYN_RECV", "the SYN")
    flow.send_back(b"", flags=wire.SYN | wire.ACK, seq=5000, ack=1001)
    state("SYNACK", "its answer")
    flow.send(b"", flags=wire.ACK, seq=1001, ack=5001)
    state("SYNACK", "the client's ACK")
    for payload in (b"more", b"and more"):
        flow.send(payload, flags=wire.ACK | wire.PSH, seq=1001, ack=5001)
        state("SYNACK", "the client's data")
    flow.send_back(b"", flags=wire.ACK, seq=5001, ack=1005)
    state("ESTABLISHED", "the server's ACK")
    flow.send(b"", flags=wire.FIN | wire.ACK)
    state("CLOSE_WAIT", "the client's FIN")
    t.backend.sysctl("secure_tcp", 0)
    other = ends.flow(2).open()
    states = [c.state for c in ends.known() if c.source.startswith(other.client) or other.client in c.source]
    equal(states, ["ESTABLISHED"], "state of another one with 0")


@case("defence.secure.{method}.{family}.{early}", method=("dr", "tun"), family=FAMILIES, early=EARLY)
def secure_one_way(t, method, family, early):
    """Where answers do not come by it is established by the client's first packet behind his SYN, as in IPVS."""
    t.sysctl("secure_tcp", 3)
    ends = Ends(t, method, family, "tcp")
    flow = ends.flow()
    for flags, want in ((wire.SYN, "SYNACK"), (wire.ACK, "ESTABLISHED"), (wire.FIN | wire.ACK, "FIN_WAIT")):
        flow.send(b"%d" % flags, flags=flags)
        equal([c.state for c in ends.known()], [want], f"state after flags {flags}")
