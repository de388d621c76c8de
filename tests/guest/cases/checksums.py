# SPDX-License-Identifier: GPL-2.0
"""Checksums that a device has summed up or is to finish: what is changed on the way keeps them right."""

import socket
import struct

import wire
from capture import Unfinished
from client import PMTUDISC_DONT, discover
from cases.mtu import serve
from flow import Ends
from lab import ADDRESS
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, raises

SIZE = 30_000
UDP_SEGMENT = 103
ALL = ("nat", "dr", "tun", "fullnat")


def summed_up(t, *devs):
    """The director's devices sum up whatever comes in; the kernel is to complain of each wrong sum anew."""
    with open("/sys/kernel/debug/clear_warn_once", "w", encoding="ascii") as file:
        file.write("1\n")
    handled = t.receive_as("complete", "director", *devs or ("front", "back"))
    t.offload(False, "client", "rs1")
    t.defer(lambda: check(handled() > 3, "no packet came in summed up"))
    return handled


def here(family):
    """From where a client on the director calls, so that answers come back to it."""
    return (ADDRESS["director.back"][family], 0)


@case("checksums.complete.server_here.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def server_here(t, method, family, proto, early):
    """The destination is the director itself."""
    address, vport = ADDRESS["director.back" if method == "nat" else "vip"][family], t.port()
    rport = t.port() if method == "nat" else vport
    t.serve("director", family, proto, rport, address)
    t.balance(family, proto, vport, method, ADDRESS["director.back"][family], rport)
    summed_up(t)
    equal(t.client(family, proto, vport).bulk(SIZE).name, "director", "server")


@case("checksums.complete.client_here.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=ALL,
      family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def client_here(t, method, family, proto, early):
    """The client is on the director: answers are rewritten for its socket."""
    vport = serve(t, method, family, proto)
    summed_up(t)
    equal(t.client(family, proto, vport, "director", source=here(family)).bulk(SIZE).name, "rs1", "server")


@case("checksums.complete.forwarded.{method}.{family}.{proto}.{early}", needs=("fullnat",), method=ALL,
      family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def forwarded(t, method, family, proto, early):
    """Neither client nor server is here: what leaves has right sums."""
    vport = serve(t, method, family, proto)
    summed_up(t)
    taps = [t.tap("rs1"), t.tap("client")]
    equal(t.client(family, proto, vport).bulk(SIZE).name, "rs1", "server")
    for tap in taps:
        for frame in tap.select(lambda ip: ip.proto in (wire.TCP, wire.UDP, wire.IPIP, wire.IPV6_IN_IP), False):
            ip = frame.ip.inner if frame.ip.proto in (wire.IPIP, wire.IPV6_IN_IP) else frame.ip
            check(not ip.fault(frame.partial), f"{ip.fault(frame.partial)} in {frame!r}")


@case("checksums.complete.fragments.{where}.{family}.{early}", where=("server_here", "client_here"), family=FAMILIES,
      early=EARLY)
def fragments(t, where, family, early):
    """Datagrams that arrive in fragments, for a server and for a client on the director."""
    server = "director" if where == "server_here" else "rs1"
    host = "client" if where == "server_here" else "director"
    address = ADDRESS["director.back" if server == "director" else "rs1"][family]
    vport, rport = t.port(), t.port()
    t.serve(server, family, "udp", rport, address)
    t.balance(family, "udp", vport, "nat", address, rport)
    summed_up(t)
    source = here(family) if host == "director" else None
    client = t.client(family, "udp", vport, host, source=source, before=discover(family, PMTUDISC_DONT))
    for size in (4000, 10, 4000):
        equal(client.ask(size).name, server, "server")


@case("checksums.complete.unsummed.{early}", early=EARLY)
def unsummed(t, early):
    """UDP over IPv4 without a checksum, for a server on the director."""
    address, vport, rport = ADDRESS["director.back"][4], t.port(), t.port()
    t.serve("director", 4, "udp", rport, address)
    t.balance(4, "udp", vport, "nat", address, rport)
    summed_up(t)
    near, up = t.tap("client"), t.inject("client", "eth0", ("router", "client"))
    for number in range(8):
        packet = wire.udp("10.1.0.1", 4000, ADDRESS["vip"][4], vport, b"bare %d" % number)
        up.send(packet[:26] + b"\0\0" + packet[28:])
        check(poll(lambda: near.select(lambda ip: ip.sport == vport and ip.payload.endswith(b"bare %d" % number),
                                            False)), "no answer")


@case("checksums.complete.icmp.{where}.{method}.{family}.{early}", needs=("fullnat",), where=("client", "server"),
      method=("nat", "fullnat"), family=FAMILIES, early=EARLY)
def icmp(t, where, method, family, early):
    """ICMP errors that are rewritten for a socket of the director, as its client or its server."""
    if where == "client":
        vport, rport = t.port(), t.port()
        t.balance(family, "udp", vport, method, ADDRESS["rs1"][family], rport)
        summed_up(t)
        for _ in range(5):
            client = t.client(family, "udp", vport, "director", source=here(family))
            client.sock.send(b"x")
            raises(ConnectionRefusedError, lambda: client.sock.recv(1), "client without a server")
        return
    ends = Ends(t, method, family, "udp", balance=False)
    address = ADDRESS["director.back"][family]
    t.serve("director", family, "udp", ends.rport, address)
    t.balance(family, "udp", ends.vport, method, address, ends.rport)
    summed_up(t)
    kind = (3, 3, 0) if family == 4 else (1, 4, 0)
    for number in range(5):
        flow = ends.flow(sport=4000 + number)
        ends.up.send(flow.request(b"ask %d" % number))
        answer = poll(lambda: ends.near.select(lambda ip: ip.tuple() == flow.back(), False))
        check(answer, "no answer")
        ends.up.send(wire.icmp(flow.client, ends.vip, *kind, answer[0].ip.raw))


def inside(family, outer_sum, source, target, sport, dport):
    """A datagram that carries another one, whose checksum is left to a device; (packet, start of the inner header)."""
    inner = wire.udp("192.0.2.1", 1000, "192.0.2.2", 2000, b"carried by a tunnel")
    whole = wire.udp(source, sport, target, dport, b"tunnelhd" + inner)
    start = len(whole) - len(wire.Ip(inner).l4)
    data, at = bytearray(whole), (20 if family == 4 else 40) + 6
    if not outer_sum:
        data[at:at + 2] = b"\0\0"
    head = wire.pseudo(wire.binary("192.0.2.1"), wire.binary("192.0.2.2"), wire.UDP, len(data) - start)
    data[start + 6:start + 8] = struct.pack("!H", wire.total(head))
    return bytes(data), start


def finished(ip, start):
    """The packet with the inner checksum as a device would finish it."""
    data = bytearray(ip.raw)
    data[start + 6:start + 8] = struct.pack("!H", wire.checksum(data[start:]))
    return wire.Ip(data)


@case("checksums.inner.{outer_sum}.{method}.{family}.{early}", needs=("fullnat",), outer_sum=("zero", "summed"),
      method=ALL, family=FAMILIES, early=EARLY)
def inner(t, outer_sum, method, family, early):
    """The device is to finish a checksum inside a datagram: the datagram's own, or its lack, is no bare sum."""
    ends = Ends(t, method, family, "udp")
    flow = ends.flow().open()
    ways = [(Unfinished(ends.up), ends.far, (flow.client, ends.vip, flow.sport, ends.vport), ends.rport)]
    if not ends.keeps:
        ways.append((Unfinished(ends.down), ends.near, (ends.rip, flow.seen[0], ends.rport, flow.seen[1]), flow.sport))
    for sender, tap, addresses, dport in ways:
        packet, start = inside(family, outer_sum == "summed", *addresses)
        tap.drop()
        sender.send(packet, start, 6)
        got = poll(lambda: [carried(f.ip) for f in tap.select(lambda ip: carried(ip).dport == dport, False)])
        check(got, "the datagram did not arrive")
        check_outer(got[0], start, outer_sum)


def carried(ip):
    """The packet, out of the balancer's tunnel."""
    return ip.inner if ip.proto in (wire.IPIP, wire.IPV6_IN_IP) else ip


def check_outer(ip, start, outer_sum):
    """The datagram's checksum is 0, or right when the inner one is finished (TUN's own output may have done that)."""
    if outer_sum == "zero":
        equal(ip.l4[6:8], b"\0\0", "checksum of the datagram")
        return
    both = (ip, finished(ip, start))
    check(any(not one.fault() for one in both), f"the datagram's {both[1].fault()}")


@case("checksums.inner.gso.{outer_sum}.{method}.{early}", needs=("fullnat",), outer_sum=("zero", "summed"),
      method=("nat", "fullnat"), early=EARLY)
def inner_gso(t, outer_sum, method, early):
    """Tunnelled datagrams that travel as one large packet have right outer checksums once they are apart."""
    vport, rport = t.port(), t.port()
    t.balance(4, "udp", vport, method, ADDRESS["rs1"][4], rport)
    # Where it is a module nobody loads it for `ip`.
    t.lab.execute("client", "modprobe", "-q", "fou")
    option = "encap-csum" if outer_sum == "summed" else "noencap-csum"
    t.lab.ip("client", f"link add fou1 type ipip remote {ADDRESS['vip'][4]} local {ADDRESS['client'][4]} ttl 64 "
             f"encap fou encap-sport 7777 encap-dport {vport} {option}", "link set fou1 up",
             "addr add 192.168.99.1/24 dev fou1")
    t.defer(t.lab.ip, "client", "link del fou1")
    t.offload(False, "director")
    far = t.tap("rs1")
    sock = t.lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM)
    t.defer(sock.close)
    sock.connect(("192.168.99.2", 9))
    for size in (100, 100, 100, 10_000, 10_000):
        sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
        sock.send(b"x" * size)

    def arrived():
        return far.select(lambda ip: ip.proto == wire.UDP and ip.dport == rport, False)
    poll(lambda: len(arrived()) >= 23)
    equal(len(arrived()), 23, "datagrams")
    for frame in arrived():
        equal(frame.ip.l4[6:8] == b"\0\0", outer_sum == "zero", "no checksum")
        check(not frame.ip.fault(), f"{frame.ip.fault()} in {frame!r}")
