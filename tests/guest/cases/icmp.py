# SPDX-License-Identifier: GPL-2.0
"""ICMP errors about balanced flows, both ways, with the quoted packet translated; and answers of the director's own."""

import socket

import wire
from context import join
from flow import Ends
from lab import ADDRESS, ETHTOOL_SET_RX_CHECKSUM
from servers import BLOCK
from suite import EARLY, FAMILIES, HANG, PROTOCOLS, case, check, equal, poll, raises, settle

# Name: type, code and last header word of IPv4, then of IPv6.
ERRORS = {
    "port": {4: (3, 3, 0), 6: (1, 4, 0)},
    "toobig": {4: (3, 4, 1400), 6: (2, 0, 1400)},
    "expired": {4: (11, 0, 0), 6: (3, 0, 0)},
}
ROUTER = {4: "10.1.200.1", 6: "fd00:11::c801"}


def errors(tap, kind):
    """Incoming ICMP errors of this type at a capture, as (packet, unfinished checksum), out of their tunnel."""
    found = []
    for frame in tap.fetch():
        ip = frame.ip
        if ip and ip.proto in (wire.IPIP, wire.IPV6_IN_IP):
            ip = ip.inner
        if ip and not frame.outgoing and wire.is_error(ip) and ip.icmp == kind[:2]:
            found.append((ip, frame.partial))
    return found


def one_error(tap, kind, what):
    """The error that must have been captured, once and with right checksums."""
    poll(lambda: errors(tap, kind))
    found = errors(tap, kind)
    equal(len(found), 1, f"{what}: number of errors")
    ip, partial = found[0]
    check(not ip.fault(partial), f"{what}: {ip.fault(partial)}")
    check(not ip.inner.header_fault(), f"{what}: quoted {ip.inner.header_fault()}")
    equal(ip.l4[4:8], kind[2].to_bytes(4, "big"), f"{what}: last word of the ICMP header")
    return ip


@case("icmp.to_server.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
@case("icmp.to_server.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def to_server(t, method, family, proto, early):
    """An error about a reply, from the client or from a router, reaches the real server in the server's own terms."""
    ends = Ends(t, method, family, proto)
    flow = ends.flow().open()
    for name, source in (("port", flow.client), ("toobig", ROUTER[family]), ("expired", ROUTER[family])):
        kind = ERRORS[name][family]
        ends.up.send(wire.icmp(source, ends.vip, *kind, flow.answered(b"quoted payload")))
        got = one_error(ends.far, kind, name)
        equal(got.target, ends.vip if ends.keeps else ends.rip, f"{name}: target")
        if method != "fullnat":
            equal(got.source, source, f"{name}: source")
        equal(got.ttl, 62, f"{name}: TTL")
        sender = (ends.vip, ends.vport) if ends.keeps else (ends.rip, ends.rport)
        equal(got.inner.tuple(), sender + flow.seen, f"{name}: quoted packet")
        check(got.inner.raw.endswith(b"quoted payload"), f"{name}: the quoted payload is gone")


@case("icmp.to_client.{method}.{family}.{proto}.{early}", method=("nat",), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
@case("icmp.to_client.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def to_client(t, method, family, proto, early):
    """An error about a request, from the real server, reaches the client in the client's own terms."""
    ends = Ends(t, method, family, proto)
    flow = ends.flow().open()
    for name in ERRORS:
        kind = ERRORS[name][family]
        quoted = flow.build(flow.seen, (ends.rip, ends.rport), payload=b"quoted payload")
        ends.down.send(wire.icmp(ends.rip, flow.seen[0], *kind, quoted))
        got = one_error(ends.near, kind, name)
        equal((got.source, got.target), (ends.vip, flow.client), f"{name}: addresses")
        equal(got.ttl, 62, f"{name}: TTL")
        equal(got.inner.tuple(), (flow.client, flow.sport, ends.vip, ends.vport), f"{name}: quoted packet")
        check(got.inner.raw.endswith(b"quoted payload"), f"{name}: the quoted payload is gone")


def counts(ends):
    """The counters of a case's only destination."""
    _, destinations = ends.t.backend.counters()[ends.proto.upper(), join(ends.vip, ends.vport)]
    return destinations[join(ends.rip, ends.rport)]


@case("icmp.bad_checksum.{family}.{early}", family=FAMILIES, early=EARLY)
def bad_checksum(t, family, early):
    """An error with a wrong checksum is never made a good one; nor sent on, unless a device has vouched for it."""
    ends = Ends(t, "nat", family, "udp")
    flow = ends.flow().open()
    kind = ERRORS["port"][family]
    good = wire.icmp(flow.client, ends.vip, *kind, flow.answered(b"quoted payload"))
    bad = bytearray(good)
    bad[-1] ^= 0xFF
    ends.up.send(bytes(bad), good)

    def sound():
        return [ip for ip, partial in errors(ends.far, kind) if not ip.fault(partial)]
    settle(lambda: len(sound()), 1, "sound errors")
    check(sound()[0].inner.raw.endswith(b"quoted payload"), "the bad error was made a good one")
    t.lab.offload("director", "front", False, ETHTOOL_SET_RX_CHECKSUM)
    t.defer(t.lab.offload, "director", "front", True, ETHTOOL_SET_RX_CHECKSUM)
    ends.far.drop()
    before = counts(ends)
    ends.up.send(bytes(bad), good)
    one_error(ends.far, kind, "after a bad one")
    equal(counts(ends).inpkts - before.inpkts, 1, "errors that count")


@case("icmp.removed.{family}.{early}", family=FAMILIES, early=EARLY)
def removed(t, family, early):
    """An error about the last answers of a server that was removed still reaches it."""
    ends = Ends(t, "nat", family, "udp")
    flow = ends.flow().open()
    kind, late = ERRORS["port"][family], flow.answered(b"late answer")
    target = t.target(family, "udp", ends.vport, "nat", ends.rip, ends.rport)
    t.backend.restore("-d" + target[2:].replace(" -m", ""))
    ends.up.send(wire.icmp(flow.client, ends.vip, *kind, late))
    equal(one_error(ends.far, kind, "removed server").inner.target, flow.client, "whose error arrived")


@case("icmp.past.{method}.{family}.{early}", method=("dr", "tun"), family=FAMILIES, early=EARLY)
def past(t, method, family, early):
    """The director's own error about a request that it would have left alone reaches the client and counts as outgoing."""
    ends = Ends(t, method, family, "udp")
    flow = ends.flow().open()
    kind, before = ERRORS["expired"][family], counts(ends)
    ends.up.send(flow.request(b"at its end", ttl=2))
    poll(lambda: errors(ends.near, kind))
    equal(len(errors(ends.near, kind)), 1, "errors at the client")
    settle(lambda: counts(ends).outpkts - before.outpkts, 1, "packets out")


@case("icmp.unknown_flow.{family}.{early}", family=FAMILIES, early=EARLY)
def unknown_flow(t, family, early):
    """An error about a flow that does not exist goes nowhere, and creates nothing."""
    ends = Ends(t, "nat", family, "udp")
    flow = ends.flow().open()
    kind, other = ERRORS["port"][family], ends.flow(client=2)
    ends.up.send(wire.icmp(other.client, ends.vip, *kind, other.answered()),
                 wire.icmp(flow.client, ends.vip, *kind, flow.answered()))
    equal(one_error(ends.far, kind, "known flow").inner.target, flow.client, "whose error arrived")
    equal(len(ends.known()), 1, "connections")


@case("icmp.echo.{family}.{early}", family=FAMILIES, early=EARLY)
def echo(t, family, early):
    """The director itself answers an echo request to the VIP."""
    Ends(t, "nat", family, "udp").flow().open()
    kind, answer = ((8, 0), (0, 0)) if family == 4 else ((128, 0), (129, 0))
    near, up = t.tap("client"), t.inject("client", "eth0", ("router", "client"))
    up.send(wire.icmp(ADDRESS["client"][family], ADDRESS["vip"][family], *kind, 0x12340001, b"hello"))

    def answered():
        return [frame for frame in near.fetch() if frame.ip and not frame.outgoing
                and frame.ip.proto in (wire.ICMP, wire.ICMP6) and frame.ip.icmp == answer]
    settle(lambda: len(answered()), 1, "echo replies")
    equal(answered()[0].ip.source, ADDRESS["vip"][family], "source of the reply")


@case("icmp.sockets.{method}.{family}.{early}", method=("nat",), family=FAMILIES, early=EARLY)
@case("icmp.sockets.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def sockets(t, method, family, early):
    """Real sockets learn of errors: the client that no server listens, the server that the client has gone."""
    vport, rport, rip = t.port(), t.port(), ADDRESS["rs1"][family]
    t.balance(family, "udp", vport, method, rip, rport)
    client = t.client(family, "udp", vport)
    server = t.serve("rs1", family, "udp", rport)
    peer = client.ask(10).peer
    t.servers.stop(server)
    client.sock.send(b"x")
    raises(ConnectionRefusedError, lambda: client.sock.recv(1), "client without a server")

    sock = t.lab.socket("rs1", socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    t.defer(sock.close)
    sock.bind((rip, rport))
    sock.connect(peer)
    sock.settimeout(HANG)
    client.close()
    sock.send(b"late")
    raises(ConnectionRefusedError, lambda: sock.recv(1), "server without a client")


@case("icmp.expired.{method}.{family}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, early=EARLY)
@case("icmp.expired.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def expired(t, method, family, early):
    """A packet that reaches the director with TTL 1 ends there with "time exceeded", as the first or as a later one."""
    ends = Ends(t, method, family, "udp")
    kind = ERRORS["expired"][family]
    for client, known in ((1, True), (2, False)):
        flow = ends.flow(client)
        if known:
            flow.open()
        ends.near.drop()
        ends.up.send(flow.request(b"last hop", ttl=2))
        got = one_error(ends.near, kind, "TTL 1")
        equal(got.target, flow.client, "target")
        equal(got.inner.tuple(), (flow.client, flow.sport, ends.vip, ends.vport), "quoted packet")
        check(not flow.arrived(b"last hop", bound=0), "the packet was forwarded")


@case("icmp.tunnel.{family}_in_{outer}.{early}", needs=("rlvs",), family=FAMILIES, outer=FAMILIES, early=EARLY)
def tunnel(t, family, outer, early):
    """A router inside a tunnel finds a packet too large: the client is told, less what the tunnel takes."""
    ends = Ends(t, "tun", family, "udp", balance=False)
    t.balance(family, "udp", ends.vport, "tun", ADDRESS["rs1"][outer], ends.vport)
    flow = ends.flow().open()
    sent = ends.far.select(lambda ip: ip.proto in (wire.IPIP, wire.IPV6_IN_IP), outgoing=False)[-1].ip
    kind = (3, 4, 1400) if outer == 4 else (2, 0, 1400)
    t.defer(t.forget)
    ends.down.send(wire.icmp(ADDRESS["rs2"][outer], sent.source, *kind, sent.raw))
    want = (*ERRORS["toobig"][family][:2], 1400 - (20 if outer == 4 else 40))
    got = one_error(ends.near, want, "too big for the tunnel")
    equal(got.target, flow.client, "target")
    equal(got.inner.tuple(), (flow.client, flow.sport, ends.vip, ends.vport), "quoted packet")


def too_big_in_tunnel(t, family, outer, mtu, spoil=False):
    """A flow through a tunnel, and a router's error about it, damaged or not; (ends, flow)."""
    ends = Ends(t, "tun", family, "udp", balance=False)
    t.balance(family, "udp", ends.vport, "tun", ADDRESS["rs1"][outer], ends.vport)
    flow = ends.flow().open()
    sent = ends.far.select(lambda ip: ip.proto in (wire.IPIP, wire.IPV6_IN_IP), outgoing=False)[-1].ip
    kind = (3, 4, mtu) if outer == 4 else (2, 0, mtu)
    error = bytearray(wire.icmp(ADDRESS["rs2"][outer], sent.source, *kind, sent.raw))
    if spoil:
        error[-1] ^= 0xFF
    t.defer(t.forget)
    ends.down.send(bytes(error))
    return ends, flow


# A host takes nobody's word for less: net.ipv4.route.min_pmtu, and RFC 8200.
BELIEVED = {4: 552, 6: 1280}


@case("icmp.tunnel.least.{family}_in_{outer}.{early}", needs=("rlvs",), family=FAMILIES, outer=FAMILIES, early=EARLY)
def tunnel_least(t, family, outer, early):
    """No client is told of less than its protocol's smallest MTU, or than the host believes of the tunnel's way."""
    mtu = {(4, 4): 80, (6, 4): 600, (4, 6): 1300, (6, 6): 1300}[family, outer]
    ends, flow = too_big_in_tunnel(t, family, outer, mtu)
    least = 68 if family == 4 else 1280
    learned = max(mtu, BELIEVED[outer])
    want = (*ERRORS["toobig"][family][:2], max(least, learned - (20 if outer == 4 else 40)))
    equal(one_error(ends.near, want, "too big for the tunnel").target, flow.client, "target")


@case("icmp.tunnel.bad_checksum.{family}_in_{outer}.{early}", needs=("rlvs",), family=FAMILIES, outer=FAMILIES,
      early=EARLY)
def tunnel_bad_checksum(t, family, outer, early):
    """An error about a tunnel with a wrong checksum teaches nothing, and nobody is told."""
    t.lab.offload("director", "back", False, ETHTOOL_SET_RX_CHECKSUM)
    t.defer(t.lab.offload, "director", "back", True, ETHTOOL_SET_RX_CHECKSUM)
    ends, flow = too_big_in_tunnel(t, family, outer, 1330, spoil=True)
    flow.send(BLOCK[:1380])
    equal(errors(ends.near, ERRORS["toobig"][family]), [], "errors that reached the client")


@case("icmp.no_destination.{proto}.{family}", proto=PROTOCOLS, family=FAMILIES)
def no_destination(t, proto, family):
    """A service without a usable destination answers "port unreachable"; one with weight 0 too."""
    ends = Ends(t, "nat", family, proto, balance=False)
    t.backend.restore(t.service(family, proto, ends.vport))
    for sport, more in ((4000, None), (4001, ("-w", "0"))):
        flow = ends.flow(sport=sport)
        if more:
            t.backend.restore(t.target(family, proto, ends.vport, "nat", ends.rip, ends.rport, *more))
        ends.near.drop()
        ends.up.send(flow.request(b"", flags=wire.SYN))
        got = one_error(ends.near, ERRORS["port"][family], "no destination")
        equal((got.target, got.inner.sport), (flow.client, sport), "whose packet was refused")


@case("icmp.no_service.{family}.{early}", family=FAMILIES, early=EARLY)
def no_service(t, family, early):
    """Traffic to the VIP that no service wants is the host's own: served, refused, or reset by it."""
    t.balance(family, "tcp", t.port(), "nat", ADDRESS["rs1"][family], 80)
    for proto in PROTOCOLS:
        port = t.port()
        t.serve("director", family, proto, port, ADDRESS["vip"][family])
        equal(t.client(family, proto, port).ask().name, "director", f"{proto} server on the director")
    raises(ConnectionRefusedError, lambda: t.client(family, "tcp", t.port()), "TCP to a closed port")
    client = t.client(family, "udp", t.port())
    client.sock.send(b"x")
    raises(ConnectionRefusedError, lambda: client.sock.recv(1), "UDP to a closed port")
