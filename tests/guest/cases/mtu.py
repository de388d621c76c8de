# SPDX-License-Identifier: GPL-2.0
"""Path MTU: too large packets are answered with the right MTU, errors of routers find their way, fragments arrive."""

import socket

import wire
from client import PMTUDISC_DONT, discover
from flow import Ends
from lab import ADDRESS
from servers import BLOCK
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, raises, settle, until

TOO_BIG = {4: (3, 4), 6: (2, 0)}
METHODS = ("nat", "dr", "tun")
SIZE = 100_000
NARROW = 1340
IP_MTU, IPV6_MTU = 14, 24


def too_big(tap, outgoing=False):
    """The "fragmentation needed" and "packet too big" messages at a capture."""
    return [ip for ip in unpacked(tap, outgoing)
            if ip.proto in (wire.ICMP, wire.ICMP6) and ip.icmp == TOO_BIG[ip.version]]


def unpacked(tap, outgoing):
    """Captured packets of one direction, out of their tunnel."""
    for frame in tap.fetch():
        if frame.ip and frame.outgoing == outgoing:
            yield frame.ip.inner if frame.ip.proto in (wire.IPIP, wire.IPV6_IN_IP) else frame.ip


def serve(t, method, family, proto):
    """One service with rs1 behind it; returns its port."""
    vport = t.port()
    rport = t.port() if method in ("nat", "fullnat") else vport
    t.serve("rs1", family, proto, rport, ADDRESS["vip" if method in ("dr", "tun") else "rs1"][family])
    t.balance(family, proto, vport, method, ADDRESS["rs1"][family], rport)
    return vport


@case("mtu.way_out.{method}.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
@case("mtu.way_out.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def way_out(t, method, family, early):
    """The director's way to the servers is narrow: the client is told the MTU, less what a tunnel takes."""
    vport = serve(t, method, family, "tcp")
    client = t.client(family, "tcp", vport)
    client.ask(10, 10)
    t.mtu("director", "back", 1340)
    near, back = t.tap("client"), t.tap("director", "back")
    want = 1340 - ((20 if family == 4 else 40) if method == "tun" else 0)
    client.ask(SIZE, 10)
    found = too_big(near)
    check(found, "the client was not told")
    for ip in found:
        equal(ip.icmp_mtu, want, "announced MTU")
        check(not ip.fault() and not ip.inner.header_fault(), f"checksum: {ip.fault()}")
        equal((ip.inner.target, ip.inner.dport), (ADDRESS["vip"][family], vport), "quoted packet")
    for frame in back.select(lambda ip: ip.proto != wire.ICMP6, outgoing=True):
        check(frame.gso or len(frame.ip.raw) <= 1340, f"sent although too large: {frame!r}")
    t.client(family, "tcp", vport).ask(SIZE, 10)


@case("mtu.tunnel.{family}_in_{outer}.{early}", family=FAMILIES, outer=FAMILIES, early=EARLY)
def tunnel(t, family, outer, early):
    """A tunnel's overhead alone makes full-size packets too large."""
    vport = t.port()
    t.serve("rs1", family, "tcp", vport, ADDRESS["vip"][family])
    t.balance(family, "tcp", vport, "tun", ADDRESS["rs1"][outer], vport)
    near = t.tap("client")
    t.defer(t.forget)
    t.client(family, "tcp", vport).ask(SIZE, 10)
    equal({ip.icmp_mtu for ip in too_big(near)}, {1500 - (20 if outer == 4 else 40)}, "announced MTU")


@case("mtu.to_client.{method}.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
@case("mtu.to_client.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def to_client(t, method, family, early):
    """A router on the way to the client is narrow: its error towards the VIP reaches the real server, which obeys."""
    vport = serve(t, method, family, "tcp")
    client = t.client(family, "tcp", vport)
    client.ask(10, 10)
    t.mtu("router", "client", 1340)
    far = t.tap("rs1")
    client.ask(10, SIZE)
    found = too_big(far)
    check(found, "the real server was not told")
    for ip in found:
        equal(ip.icmp_mtu, 1340, "announced MTU")
        sender = ADDRESS["vip" if method in ("dr", "tun") else "rs1"][family]
        equal((ip.target, ip.inner.source), (sender, sender), "whose packet was too large")


def forget_here(t):
    """Let the director forget what it has learned about its own IPv6 addresses."""
    for name, dev, more in (("vip", "front", ""), ("lip1", "back", "preferred_lft 0"), ("lip2", "back", "preferred_lft 0")):
        address = f"{ADDRESS[name][6]}/128 dev {dev}"
        t.lab.ip("director", f"addr del {address}", f"addr add {address} nodad {more}")


def narrow(t, method, *hosts):
    """Make the inner side narrow for the hosts; a tunnel is so by itself."""
    t.defer(t.forget)
    t.defer(forget_here, t)
    if method != "tun":
        for host in hosts:
            t.mtu(host, "back" if host == "director" else "eth0", NARROW)


@case("mtu.here.{way}.{method}.{family}.{early}", way=("new", "later"), method=METHODS, family=FAMILIES, early=EARLY)
@case("mtu.here.{way}.{method}.{family}.{early}", needs=("fullnat",), way=("new", "later"), method=("fullnat",),
      family=FAMILIES, early=EARLY)
def here(t, way, method, family, early):
    """A TCP client on the director and a narrow way behind it, before or after the connection is made."""
    vport, source = serve(t, method, family, "tcp"), (ADDRESS["director.back"][family], 0)
    if way == "new":
        narrow(t, method, "director")
    client = t.client(family, "tcp", vport, "director", source=source)
    client.ask(10, 10)
    if way == "later":
        narrow(t, method, "director", "rs1")
    back = t.tap("director", "back")
    client.ask(SIZE, 10 if way == "new" else SIZE)
    frames = back.select(lambda ip: ip.proto != wire.ICMP6, outgoing=True)
    back.drop()
    client.ask(SIZE, 10)
    later = back.select(lambda ip: ip.proto != wire.ICMP6, outgoing=True)
    for frame in frames + later:
        check(frame.gso or len(frame.ip.raw) <= (1500 if method == "tun" else NARROW), f"too large: {frame!r}")
    check(all(frame.ip.whole for frame in later), "the socket has learned nothing: its segments are cut for ever")


@case("mtu.here.datagram.{discovery}.{method}.{family}.{early}", discovery=("dont", "want", "do"), method=METHODS,
      family=FAMILIES, early=EARLY)
@case("mtu.here.datagram.{discovery}.{method}.{family}.{early}", needs=("fullnat",), discovery=("dont", "want", "do"),
      method=("fullnat",), family=FAMILIES, early=EARLY)
def here_datagram(t, discovery, method, family, early):
    """A UDP client on the director: its large datagrams are cut, unless it forbids that; then it learns the MTU."""
    vport, source = serve(t, method, family, "udp"), (ADDRESS["director.back"][family], 0)
    narrow(t, method, "director", "rs1")
    client = t.client(family, "udp", vport, "director", source=source,
                      before=discover(family, ("dont", "want", "do").index(discovery)))
    if discovery != "do":
        for size in (1400, 10, 4000, 20_000):
            equal(client.ask(size).name, "rs1", "server")
        return
    room = NARROW if method != "tun" else 1480 if family == 4 else 1460
    raises(OSError, lambda: client.ask(4000), "a datagram too large for the way")
    client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    raises(OSError, lambda: client.ask(4000), "a datagram too large for the way")
    settle(lambda: path_mtu(client), room, "MTU that the socket knows")
    client.ask(room - (20 if family == 4 else 40) - 8)


def path_mtu(client):
    """The MTU of a socket's way."""
    level, name = (socket.IPPROTO_IPV6, IPV6_MTU) if client.number == 6 else (socket.IPPROTO_IP, IP_MTU)
    return client.sock.getsockopt(level, name)


@case("mtu.here.server.{method}.{family}.{early}", method=("nat",), family=FAMILIES, early=EARLY)
@case("mtu.here.server.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      early=EARLY)
def server_here(t, method, family, early):
    """The server is on the director, and the way to the client becomes narrow."""
    vport, rport, address = t.port(), t.port(), ADDRESS["director.back"][family]
    t.serve("director", family, "tcp", rport, address)
    t.balance(family, "tcp", vport, method, address, rport)
    client = t.client(family, "tcp", vport)
    client.ask(10, 10)
    t.mtu("director", "front", NARROW)
    t.defer(forget_here, t)
    client.ask(10, SIZE)
    client.ask(10, 10)


@case("fragments.{method}.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
@case("fragments.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, early=EARLY)
def fragments(t, method, family, early):
    """Datagrams larger than the MTU arrive whole at both ends, as the first packet of a flow and later."""
    vport = serve(t, method, family, "udp")
    near = t.tap("client")
    if method == "tun" and family == 6:
        learn(t, vport, near)
    for sizes in ((4000, 10, 4000), (20, 8000, 1472, 1473)):
        client = t.client(family, "udp", vport, before=discover(family, PMTUDISC_DONT))
        for size in sizes:
            equal(client.ask(size).name, "rs1", "server")
    check(any(not f.ip.whole for f in near.select(lambda ip: ip.proto == wire.UDP, True)), "nothing was fragmented")
    check(any(not f.ip.whole for f in near.select(lambda ip: ip.proto == wire.UDP, False)), "no reply was fragmented")


def learn(t, vport, near):
    """Let the client learn that full fragments do not fit the tunnel: IPv6 has no fragments but the sender's."""
    t.defer(t.forget)
    t.client(6, "udp", vport, before=discover(6, PMTUDISC_DONT)).sock.send(BLOCK[:4000])
    until(lambda: [ip.icmp_mtu for ip in too_big(near)] == [1460], "one message with MTU 1460")


@case("fragments.order.{method}.{family}.{early}", method=("nat",), family=FAMILIES, early=EARLY)
@case("fragments.order.{method}.{family}.{early}", needs=("fullnat",), method=("fullnat",), family=FAMILIES,
      early=EARLY)
def disorder(t, method, family, early):
    """Fragments in any order arrive as one datagram, in both directions, of a known and of a new flow."""
    ends = Ends(t, method, family, "udp")
    payload = BLOCK[:2900]
    for client, known in ((1, True), (2, False)):
        flow = ends.flow(client)
        if known:
            flow.open()
        ends.far.drop()
        ends.up.send(*reversed(wire.fragments(flow.request(payload), 1000)))
        ip = joined(ends.far, payload, "request")
        equal((ip.target, ip.dport), (ends.rip, ends.rport), "request's target")
        flow.seen = (ip.source, ip.sport)
        ends.near.drop()
        pieces = wire.fragments(flow.reply(payload), 1000)
        ends.down.send(pieces[1], pieces[2], pieces[0])
        equal(joined(ends.near, payload, "reply").tuple(), flow.back(), "reply's addresses")


def joined(tap, payload, what):
    """The datagram that a capture's incoming UDP packets and fragments make up; it must carry `payload`."""
    def whole():
        return wire.reassemble([f.ip for f in tap.select(lambda ip: ip.proto == wire.UDP, outgoing=False)])

    ip = poll(whole)
    check(ip, f"the {what} did not arrive whole")
    check(ip.payload == payload, f"the {what}'s content changed")
    check(not ip.fault(), f"{what}: {ip.fault()}")
    return ip


@case("fragments.sizes.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def sizes(t, family, proto, early):
    """Every size around the MTU passes both ways."""
    client = t.client(family, proto, serve(t, "nat", family, proto), before=discover(family, PMTUDISC_DONT))
    for size in list(range(1440, 1476)) + [2900, 2961]:
        client.ask(size, size)
