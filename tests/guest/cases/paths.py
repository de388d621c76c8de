# SPDX-License-Identifier: GPL-2.0
"""Every forwarding method × family × protocol: content at both ends, and every packet as it must look on the wire."""

import contextlib
import socket
from collections import Counter

import wire
from client import PMTUDISC_DONT, discover, service_class
from context import join
from lab import ADDRESS, MAC
from rules import filter_rules
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, raises

SIZE = 300_000
TCP_MAXSEG = 2
# Expedited forwarding, and ECN-capable where the protocol leaves that to the socket.
TOS = 0xB9


class Path:
    """One configured service with its captures: what goes in at `front` must come out at `back` as the method says."""

    def __init__(self, t, method, family, proto, outer=None, host="client"):
        self.t, self.method, self.family, self.proto, self.host = t, method, family, proto, host
        self.outer = outer or family
        self.vip, self.rip = ADDRESS["vip"][family], ADDRESS["rs1"][self.outer]
        self.vport = t.port()
        self.rport = t.port() if method in ("nat", "fullnat") else self.vport
        self.peers = {}
        keeps = method in ("dr", "tun")
        t.serve("rs1", family, proto, self.rport, self.vip if keeps else self.rip)
        t.balance(family, proto, self.vport, method, self.rip, self.rport)
        self.back, self.far = t.tap("director", "back"), t.tap("rs1")
        self.front = t.tap("director", "front") if host == "client" else None
        self.near = t.tap("client") if host == "client" else None

    def prepare(self, sock, fragment):
        """Give packets a service class and ECN bits, and with `fragment` no DF; keep TCP below the tunnels' MTU."""
        service_class(self.family, TOS)(sock)
        if fragment:
            discover(self.family, PMTUDISC_DONT)(sock)
        if self.method == "tun" and self.proto == "tcp":
            sock.setsockopt(socket.IPPROTO_TCP, TCP_MAXSEG, 1300)

    def exchange(self, size, fragment=False):
        """Talk over a new connection, whose packets may be fragmented or not; check who answered and whom it saw."""
        source = (ADDRESS["director.back"][self.family], 0) if self.host == "director" else None
        client = self.t.client(self.family, self.proto, self.vport, host=self.host, source=source,
                               before=lambda sock: self.prepare(sock, fragment))
        answer = client.bulk(size)
        equal(answer.name, "rs1", "the server that answered")
        if self.method == "fullnat":
            lips = [ADDRESS[name][self.family] for name in ("lip1", "lip2")]
            check(answer.peer[0] in lips, f"the server saw {answer.peer}, not a local address")
            check(5000 <= answer.peer[1] <= 65535, f"local port {answer.peer[1]} outside the range")
        else:
            equal(answer.peer, (client.address, client.port), "the client as the server saw it")
        self.peers[client.port] = answer.peer
        return client

    def ours(self, ip):
        """True for packets of this protocol."""
        return ip.proto == wire.NUMBER[self.proto]

    def requests(self):
        """Requests as they arrive at the director."""
        return self.front.select(lambda ip: self.ours(ip) and (ip.target, ip.dport) == (self.vip, self.vport), False)

    def forwarded(self, tap, outgoing):
        """Requests as they leave the director or reach the real server."""
        def wanted(ip):
            if self.method == "tun":
                return ip.proto in (wire.IPIP, wire.IPV6_IN_IP) and ip.inner.dport == self.vport
            target = self.vip if self.method == "dr" else self.rip
            return self.ours(ip) and (ip.target, ip.dport) == (target, self.rport)
        return tap.select(wanted, outgoing)

    def replies(self, tap, outgoing):
        """Replies as the real server sends them."""
        source = self.vip if self.method in ("dr", "tun") else self.rip
        return tap.select(lambda ip: self.ours(ip) and (ip.source, ip.sport) == (source, self.rport), outgoing)

    def answered(self, tap, outgoing):
        """Replies as they leave the director or reach the client."""
        return tap.select(lambda ip: self.ours(ip) and (ip.source, ip.sport) == (self.vip, self.vport), outgoing)

    def request_out(self, ip):
        """The bytes (checksums zeroed) that a request must have behind the director."""
        change = {}
        if self.method in ("nat", "fullnat"):
            change = {"target": self.rip, "dport": self.rport}
        if self.method == "fullnat":
            change["source"], change["sport"] = self.peers[ip.sport]
        return ip.changed(ttl=ip.ttl - 1, **change)

    def reply_out(self, ip):
        """The bytes (checksums zeroed) that a reply must have behind the director."""
        change = {"source": self.vip, "sport": self.vport}
        if self.method == "fullnat":
            change["dport"] = next(port for port, peer in self.peers.items() if peer == (ip.target, ip.dport))
            change["target"] = ADDRESS["client"][self.family]
        return ip.changed(ttl=ip.ttl - 1, **change)

    def payload_packet(self, ip):
        """The client's packet: what a tunnel carries, or the packet itself."""
        return ip.inner if self.method == "tun" else ip

    def check_all(self, finished):
        """Check every packet captured so far; `finished`: no checksum is left to a device."""
        if self.front:
            self.same("requests", self.requests, self.request_out,
                      lambda: self.forwarded(self.back, True), lambda ip: self.payload_packet(ip).plain())
            if self.method in ("nat", "fullnat"):
                self.same("replies", lambda: self.replies(self.back, False), self.reply_out,
                          lambda: self.answered(self.front, True), lambda ip: ip.plain())
        self.same("requests on the way to the server", lambda: self.forwarded(self.back, True), lambda ip: ip.raw,
                  lambda: self.forwarded(self.far, False), lambda ip: ip.raw)
        self.check_frames(finished)

    @staticmethod
    def same(what, before, expected, after, seen):
        """Fail unless the packets after are exactly those before with the expected change, each once."""
        got = want = None

        def complete():
            nonlocal got, want
            want = Counter(expected(frame.ip) for frame in before())
            got = Counter(seen(frame.ip) for frame in after())
            return got == want

        if poll(complete):
            check(sum(want.values()) > 1, f"{what}: nothing was captured")
            return
        missing, extra = list((want - got).elements()), list((got - want).elements())
        check(False, f"{what}: {len(missing)} of {sum(want.values())} packets not as expected; "
              f"expected {brief(missing)}, got {brief(extra)}")

    def check_frames(self, finished):
        """Hardware addresses, hop counts, outer headers and checksums of all packets that the director sent."""
        local = self.host == "director"
        out, back = self.forwarded(self.back, True), []
        for frame in out:
            equal((frame.source, frame.target), (MAC["director", "back"], MAC["rs1", "eth0"]), "hardware addresses")
            inner = self.payload_packet(frame.ip)
            equal((inner.ttl, inner.tos | 3), (63 if local else 62, TOS | 3), "TTL and TOS towards the server")
            if self.method == "tun":
                self.check_outer(frame.ip)
        if self.front and self.method in ("nat", "fullnat"):
            back = self.answered(self.front, True)
            for frame in back:
                equal((frame.source, frame.target), (MAC["director", "front"], MAC["router", "front"]),
                      "hardware addresses of a reply")
                equal(frame.ip.ttl, 63, "TTL of a reply")
        elif self.near:
            equal({frame.ip.ttl for frame in self.answered(self.near, False)}, {63}, "TTL of direct replies")
        self.check_sums(out + back, finished)

    def check_sums(self, frames, finished):
        """Checksums of frames, finished or left to the device."""
        for frame in frames:
            fault = frame.ip.header_fault() or self.payload_packet(frame.ip).fault(frame.partial)
            check(not fault, f"{fault} in {frame!r}")
        partial = sum(frame.partial for frame in frames)
        if finished:
            equal(partial, 0, "packets whose checksum is unfinished, with offload off")
        else:
            check(partial, "no packet had an unfinished checksum, with offload on")
            check(self.proto == "udp" or any(frame.gso for frame in frames), "no packet was a GSO packet")

    def check_outer(self, ip):
        """The outer header of a tunnel."""
        inner = ip.inner
        source = ADDRESS["director.back"][self.outer]
        equal((ip.version, ip.source, ip.target), (self.outer, source, self.rip), "outer addresses")
        equal(ip.proto, wire.IPIP if self.family == 4 else wire.IPV6_IN_IP, "outer protocol")
        equal(ip.ttl, inner.ttl, "outer TTL")
        equal(ip.tos, inner.tos, "outer TOS")
        equal(ip.flow, 0, "outer flow label")
        if self.outer == 4:
            equal(ip.df, inner.df if self.family == 4 else False, "outer DF")

    def forget(self):
        """Start the captures over."""
        for tap in filter(None, (self.front, self.back, self.far, self.near)):
            tap.drop()


def brief(packets):
    """The first differing packet, readable."""
    return repr(wire.Ip(packets[0])) + " " + packets[0][:64].hex() if packets else "nothing"


def walk(t, method, family, proto, **more):
    """Content and packets with checksums finished by the device (and GSO), then finished by the sender."""
    path = Path(t, method, family, proto, **more)
    first = path.exchange(SIZE)
    path.check_all(finished=False)
    path.forget()
    t.offload(False, path.host, "rs1")
    first.ask(5000 if proto == "tcp" else 1200)
    path.exchange(SIZE // 6, fragment=True)
    path.check_all(finished=True)


@case("nat.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def nat(t, family, proto, early):
    """NAT with port mapping, from another subnet."""
    walk(t, "nat", family, proto)


@case("dr.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def dr(t, family, proto, early):
    """DR: only hardware addresses and TTL change."""
    walk(t, "dr", family, proto)


@case("tun.{family}_in_{outer}.{proto}.{early}", family=FAMILIES, outer=FAMILIES, proto=PROTOCOLS, early=EARLY)
def tun(t, family, outer, proto, early):
    """IP in IP, both families in both."""
    walk(t, "tun", family, proto, outer=outer)


@case("fullnat.{family}.{proto}.{early}", needs=("fullnat",), family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def fullnat(t, family, proto, early):
    """FULLNAT: the server sees a local address."""
    walk(t, "fullnat", family, proto)


@case("here.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
def client_here(t, method, family, proto, early):
    """The client is on the director."""
    walk(t, method, family, proto, host="director")


@case("here.fullnat.{family}.{proto}.{early}", needs=("fullnat",), family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def client_here_fullnat(t, family, proto, early):
    """The client is on the director, with FULLNAT."""
    walk(t, "fullnat", family, proto, host="director")


@case("local.{method}.{family}.{proto}.{early}", method=("nat", "dr", "tun"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
def server_here(t, method, family, proto, early):
    """The destination is the director itself."""
    address, vport = ADDRESS["director.back"][family], t.port()
    rport = t.port() if method == "nat" else vport
    t.serve("director", family, proto, rport, address if method == "nat" else ADDRESS["vip"][family])
    t.balance(family, proto, vport, method, address, rport)
    for finished in (False, True):
        t.offload(not finished, "client", "director")
        client = t.client(family, proto, vport)
        answer = client.bulk(SIZE // 3)
        equal((answer.name, answer.peer), ("director", (client.address, client.port)), "server and peer")
    out = t.backend.counters()[proto.upper(), join(ADDRESS["vip"][family], vport)][0].outpkts
    check(out > 0, "no answer was counted")


@case("wildcard.{method}.{family}.{proto}.{early}", method=("nat", "dr"), family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
def wildcard(t, method, family, proto, early):
    """A service on port 0 takes every port that no other service has; the port stays."""
    address = ADDRESS["rs1" if method == "nat" else "vip"][family]
    ports, exact = [t.port() for _ in range(3)], t.port()
    for port in ports:
        t.serve("rs1", family, proto, port, address)
    t.serve("rs2", family, proto, exact)
    options = ("-s", "rr") if "wildcard" in t.backend.features else ("-s", "rr", "-p", "300")
    t.backend.restore(t.service(family, proto, 0, *options),
                      t.target(family, proto, 0, method, ADDRESS["rs1"][family], 0))
    t.balance(family, proto, exact, "nat", ADDRESS["rs2"][family], exact)
    for port in ports:
        equal(t.client(family, proto, port).bulk(20_000).name, "rs1", f"server on port {port}")
    equal(t.client(family, proto, exact).bulk(20_000).name, "rs2", "server of the exact service")


@case("local.all_ports.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS, fresh=True)
def local_all_ports(t, family, proto):
    """What a server on the director answers is no request, though a service has all ports and the client is here too."""
    vip, port = ADDRESS["vip"][family], t.port()
    t.serve("director", family, proto, port, vip)
    t.backend.restore(t.service(family, proto, 0, "-s", "rr", "-p", "300"),
                      t.target(family, proto, 0, "dr", ADDRESS["director.back"][family], 0))
    client = t.client(family, proto, port, host="director", source=(vip, 0))
    equal(client.ask().name, "director", "the server")
    equal(sorted(c.source for c in t.backend.connections()), sorted([join(vip, 0), join(vip, client.port)]), "connections")


@case("local.dnat.{method}.{family}.{proto}", method=("nat", "dr"), family=FAMILIES, proto=PROTOCOLS)
def local_dnat(t, method, family, proto):
    """The host's own DNAT in OUTPUT leads its clients away from the service: they get there, and nothing is balanced."""
    vip, vport, other, far = ADDRESS["vip"][family], t.port(), t.port(), ADDRESS["rs2"][family]
    t.serve("rs2", family, proto, other)
    t.balance(family, proto, vport, method, ADDRESS["rs1"][family], vport)
    word = "ip" if family == 4 else "ip6"
    filter_rules(t, f"table inet local {{\nchain out {{\ntype nat hook output priority -100\n"
                 f"{word} daddr {vip} {proto} dport {vport} dnat {word} to {join(far, other)}\n}}\n}}\n")
    client = t.client(family, proto, vport, "director", source=(ADDRESS["director.back"][family], 0))
    for _ in range(3):
        equal(client.ask().name, "rs2", "server")
    balanced = [one.virtual for one in t.backend.connections() if one.virtual.endswith(f":{vport}")]
    equal(balanced, [], "connections of the service")


@case("local.refused.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS)
def local_refused(t, family, proto):
    """A client on the director is told at once that a service has no destination."""
    vport = t.port()
    t.backend.restore(t.service(family, proto, vport))

    def call():
        client = t.client(family, proto, vport, "director", source=(ADDRESS["director.back"][family], 0))
        # The datagram itself is refused by the host's hooks, as any that they drop.
        with contextlib.suppress(PermissionError):
            client.sock.send(b"1")
        client.sock.recv(1)

    raises(ConnectionRefusedError, call, "client of a service without destinations")
