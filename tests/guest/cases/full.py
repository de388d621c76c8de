# SPDX-License-Identifier: GPL-2.0
"""Full is not closed: at a limit whoever has least to lose gives way to a new connection; a live one never does."""

import json
import socket
import threading
import time

import wire
from flood import Flood
from flow import Ends
from lab import ADDRESS, family as af, phantom_client
from suite import EARLY, FAMILIES, HANG, PROTOCOLS, between, case, check, equal, poll, settle
from visits import Visits

KINDS = ("over", "half_open", "one_way", "unconfirmed")
SYN, ACK, FIN, RST = wire.SYN, wire.ACK, wire.FIN, wire.RST
STRANGERS, VISITORS, MOST = 200_000, 500, 10_000
# SYNs a second, as far as the machine can. One that could not send all in LONGEST seconds, such as a kernel that checks
# its locks, sends what it can in SHORT seconds, to a smaller table.
RATE, LONGEST, SHORT, PROBE = 25_000, 80, 20, 256


def info(t):
    """The module as --info tells."""
    return json.loads(t.backend.run("-L", "--info", "-j").stdout)


def displaced(t):
    """How many connections gave way, by kind."""
    told = info(t)
    return {kind: told[f"displaced_{kind}"] for kind in KINDS if told[f"displaced_{kind}"]}


def clients(*all_ends):
    """The clients of all connections of some services."""
    return {c.source.rpartition(":")[0].strip("[]") for ends in all_ends for c in ends.known()}


def confirm(flow):
    """Let both ends of a flow be known to be there."""
    flow.open()
    if flow.ends.keeps:
        for number in range(9):
            flow.send(b"more %d" % number)
    else:
        flow.send(b"and on")
    return flow


def half(ends, client):
    """A SYN."""
    flow = ends.flow(client)
    flow.send(b"", flags=SYN, seq=1000)
    return flow


def answered(ends, client):
    """A SYN, its answer, and the SYN again: nobody has acknowledged anything."""
    flow = half(ends, client)
    flow.send_back(b"", flags=SYN | ACK, seq=5000, ack=1001)
    flow.send(b"again", flags=SYN, seq=1000)
    return flow


def spoofed(ends, client):
    """A SYN and an ACK out of the blue: it looks established."""
    flow = half(ends, client)
    flow.send(b"guess", flags=ACK, seq=1001, ack=77)
    return flow


def refused_guess(ends, client):
    """A SYN, its answer, an ACK with a guessed number, and what a server says to that."""
    flow = answered(ends, client)
    flow.send(b"guess", flags=ACK, seq=1001, ack=77)
    flow.send_back(b"", flags=RST, seq=77)
    return flow


def finished(ends, client):
    """A connection that both ends have closed."""
    flow = confirm(ends.flow(client))
    flow.send(b"bye", flags=FIN | ACK)
    flow.send_back(b"bye", flags=FIN | ACK)
    return flow


def half_closed(ends, client):
    """A connection that one end has closed."""
    flow = confirm(ends.flow(client))
    flow.send(b"bye", flags=FIN | ACK)
    return flow


def later(seconds=0.05):
    """Let the clock tick, so that one flow is older than the next."""
    begin = time.monotonic()
    poll(lambda: time.monotonic() > begin + seconds)


def quiet(ends):
    """Wait until half a closed connection counts as over, and half an open one as given up: 3 s, the time stamp may be
    a second old."""
    begin = time.monotonic()
    poll(lambda: time.monotonic() > begin + 4.2, 10)
    check(ends.known(), "connections are gone")


def take_turns(t, order, new, *all_ends):
    """Let one newcomer after the other in, and see who goes: in `order`, which are clients; then nobody."""
    t.sysctl("conn_max", t.backend.live())
    before = clients(*all_ends)
    for number, client in enumerate(order):
        confirm(new.flow(200 + number))
        left = clients(*all_ends)
        gone = before - left
        equal(gone, {client}, f"who gives way as number {number + 1}")
        before = left
    refused = info(t)["refused_limit"]
    late = new.flow(300)
    new.up.send(late.request(b"late", flags=SYN))
    settle(lambda: info(t)["refused_limit"], refused + 1, "connections refused when all others are confirmed")
    check(not late.arrived(b"late", bound=0), "a connection passed at the limit")
    equal(clients(*all_ends), before, "connections after a refusal")


@case("full.order.nat.{family}.{early}", family=FAMILIES, early=EARLY, fresh=True)
def order_nat(t, family, early):
    """Closed, TIME_WAIT, half-open, one-way UDP, unconfirmed, what is half closed; a live one never."""
    tcp, udp = Ends(t, "nat", family, "tcp"), Ends(t, "nat", family, "udp")
    client = {n: phantom_client(family, n) for n in range(1, 20)}
    live = [confirm(tcp.flow(1)), confirm(udp.flow(2))]
    half_closed(tcp, 3)
    quiet(tcp)
    spoofed(tcp, 5)
    later()
    udp.flow(6).open()
    udp.flow(7).send(b"anybody?")
    half(tcp, 8)
    later()
    answered(tcp, 9)
    quiet(tcp)
    finished(tcp, 10)
    refused_guess(tcp, 11)
    order = [client[n] for n in (11, 10, 8, 9, 7, 5, 6, 3)]
    take_turns(t, order, tcp, tcp, udp)
    equal(displaced(t), {"over": 3, "half_open": 2, "one_way": 1, "unconfirmed": 2}, "connections that gave way")
    for flow in live:
        flow.send(b"still")
        flow.send_back(b"there")


@case("full.half_closed.{family}.{early}", family=FAMILIES, early=EARLY, fresh=True)
def still_busy(t, family, early):
    """Half closed is not closed: as long as the other end talks, the connection stays."""
    ends = Ends(t, "nat", family, "tcp")
    flow = half_closed(ends, 1)
    t.sysctl("conn_max", 1)
    for number in range(3):
        refused = info(t)["refused_limit"]
        flow.send_back(b"more %d" % number)
        ends.up.send(ends.flow(100 + number).request(b"late", flags=SYN))
        settle(lambda: info(t)["refused_limit"], refused + 1, "connections refused")
        later(1.1)
    flow.send_back(b"the end")


@case("full.order.{method}.{family}", method=("dr", "tun"), family=FAMILIES, fresh=True)
def order_dr(t, method, family):
    """Where answers do not come by, more than eight packets of a client confirm a flow."""
    tcp, udp = Ends(t, method, family, "tcp"), Ends(t, method, family, "udp")
    client = {n: phantom_client(family, n) for n in range(1, 20)}
    for number in range(9):
        tcp.flow(1).send(b"%d" % number, flags=ACK if number else SYN)
        udp.flow(2).send(b"%d" % number)
        if number < 8:
            tcp.flow(3).send(b"%d" % number, flags=ACK if number else SYN)
            udp.flow(4).send(b"%d" % number)
        # A SYN over and over is one packet.
        tcp.flow(5).send(b"%d" % number, flags=SYN)
    quiet(tcp)
    half(tcp, 6).send(b"", flags=FIN | ACK)
    spoofed(tcp, 7).send(b"", flags=RST)
    take_turns(t, [client[n] for n in (7, 6, 5, 4, 3)], tcp, tcp, udp)
    equal(displaced(t), {"over": 2, "half_open": 1, "one_way": 1, "unconfirmed": 1}, "connections that gave way")
    tcp.flow(1).send(b"still")
    udp.flow(2).send(b"still")


@case("full.eldest.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS, fresh=True)
def eldest(t, family, proto):
    """Among equals the one that has been idle longest goes."""
    ends = Ends(t, "nat", family, proto)
    for number in (3, 1, 4, 2):
        ends.flow(number).send(b"first", **({"flags": SYN} if proto == "tcp" else {}))
        later()
    take_turns(t, [phantom_client(family, n) for n in (3, 1, 4, 2)], ends, ends)


@case("full.other_family.{family}", family=FAMILIES, fresh=True)
def other_family(t, family):
    """Whoever has least to lose gives way, whichever family it is of."""
    ends, other = Ends(t, "nat", family, "tcp"), Ends(t, "nat", 10 - family, "udp")
    live = [confirm(ends.flow(1)), confirm(other.flow(1))]
    for number in range(2, 6):
        other.flow(number).send(b"anybody?")
    t.sysctl("conn_max", 6)
    for number in range(2, 6):
        confirm(ends.flow(number))
    equal((t.backend.live(), displaced(t)), (6, {"one_way": 4}), "connections, and who gave way")
    for flow in live:
        flow.send(b"still")
        flow.send_back(b"there")


@case("full.lowered.{family}", family=FAMILIES, fresh=True)
def lowered(t, family):
    """When the limit is lowered below what there is, newcomers come in and the number falls to it."""
    ends = Ends(t, "nat", family, "tcp")
    live = [confirm(ends.flow(number)) for number in (1, 2)]
    for number in range(3, 13):
        half(ends, number)
    t.sysctl("conn_max", 6)
    for number in range(21, 31):
        half(ends, number)
    equal(t.backend.live(), 6, "connections")
    for flow in live:
        flow.send(b"still")
        flow.send_back(b"there")


@case("full.orphans.{family}", family=FAMILIES, fresh=True)
def orphans(t, family):
    """Connections whose real server was taken out get no more packets, so they keep nobody out."""
    ends = Ends(t, "nat", family, "tcp")
    for number in (1, 2, 3):
        confirm(ends.flow(number))
        later()
    t.backend.clear()
    other = Ends(t, "nat", family, "tcp")
    take_turns(t, [phantom_client(family, n) for n in (1, 2, 3)], other, Any(t))


class Any:
    """The connections of all services."""

    def __init__(self, t):
        self.known = t.backend.connections


# --- FULLNAT's ports -----------------------------------------------------------


def one_pool(t, family, proto, first, last, rport=None):
    """A FULLNAT service with one real server that a case plays, one local address, and these ports."""
    t.sysctl("lport_min", first)
    t.sysctl("lport_max", last)
    ends = Ends(t, "fullnat", family, proto, rport, balance=False)
    t.backend.restore(t.service(family, proto, ends.vport), *t.locals(family, proto, ends.vport, "lip1"),
                      t.target(family, proto, ends.vport, "fullnat", ends.rip, ends.rport))
    return ends


@case("full.ports.{family}.{proto}.{early}", needs=("fullnat",), family=FAMILIES, proto=PROTOCOLS, early=EARLY,
      fresh=True)
def ports(t, family, proto, early):
    """Without a free port a holder with little to lose gives way, and its port serves the newcomer at once."""
    ends = one_pool(t, family, proto, 27000, 27003)
    flags = {"flags": SYN} if proto == "tcp" else {}
    live = confirm(ends.flow(1))
    old = [ends.flow(number) for number in (2, 3, 4)]
    for flow in old:
        flow.send(b"first", **flags)
    for number in range(11, 17):
        flow = ends.flow(number)
        flow.send(b"new", **flags)
        check(27000 <= flow.seen[1] <= 27003 and flow.seen != live.seen, f"a newcomer got {flow.seen}")
        check(phantom_client(family, number) in clients(ends), "a newcomer is not known")
    equal(t.backend.live(), 4, "connections")
    equal(len(clients(ends) & {flow.client for flow in old}), 0, "old connections that are left")
    flow.send_back(b"answer", **({"flags": SYN | ACK} if proto == "tcp" else {}))
    for number in range(21, 24):
        confirm(ends.flow(number))
    refused = info(t)["refused_ports"]
    late = ends.flow(100)
    ends.up.send(late.request(b"late", **flags))
    settle(lambda: info(t)["refused_ports"], refused + 1, "connections refused when all others are confirmed")
    check(not late.arrived(b"late", bound=0), "a connection passed without a port")
    live.send(b"still")
    live.send_back(b"there")


@case("full.ports_far.{family}", needs=("fullnat",), family=FAMILIES, fresh=True)
def ports_far(t, family):
    """Behind many confirmed ones there is one that may go: whoever asks again comes to it."""
    ends = one_pool(t, family, "tcp", 27100, 27139)
    for number in range(1, 40):
        confirm(ends.flow(number))
    half(ends, 40)
    late = ends.flow(100)

    def passed():
        ends.up.send(late.request(b"late", flags=SYN))
        return late.arrived(b"late", bound=0.05)
    check(poll(passed), "a connection never got the port of a half-open one")
    equal(t.backend.live(), 40, "connections")
    check(phantom_client(family, 40) not in clients(ends), "the half-open one is still there")


@case("full.ports_shared.{family}", needs=("fullnat",), family=FAMILIES, fresh=True)
def ports_shared(t, family):
    """Two services with the same real server share ports: a flow of the one gives way to a flow of the other."""
    ends = one_pool(t, family, "tcp", 27200, 27203)
    second = t.port()
    t.backend.restore(t.service(family, "tcp", second), *t.locals(family, "tcp", second, "lip1"),
                      t.target(family, "tcp", second, "fullnat", ends.rip, ends.rport))
    for number in range(1, 5):
        half(ends, number)
    for number in range(11, 15):
        ends.up.send(wire.tcp(phantom_client(family, number), 4000, ends.vip, second, SYN))
    settle(lambda: len(ends.known()), 0, "flows of the first service")
    equal(t.backend.live(), 4, "connections")
    taken = sorted(f.ip.sport for f in ends.far.select(lambda ip: ip.dport == ends.rport, outgoing=False))
    equal(taken, sorted(list(range(27200, 27204)) * 2), "local ports")


@case("full.ports_any.{family}", needs=("fullnat", "wildcard"), family=FAMILIES, fresh=True)
def ports_any(t, family):
    """A real server that keeps each packet's port: the holder of a local port is found whatever it talks to."""
    t.sysctl("lport_min", 27300)
    t.sysctl("lport_max", 27303)
    ends = Ends(t, "fullnat", family, "udp", balance=False)
    t.backend.restore(t.service(family, "udp", 0), *t.locals(family, "udp", 0, "lip1"),
                      t.target(family, "udp", 0, "fullnat", ends.rip, 0))
    sent = [(n, 30000 + n) for n in range(1, 13)]
    for client, port in sent:
        ends.up.send(wire.udp(phantom_client(family, client), 4000, ends.vip, port, b"x"))

    def came():
        return sorted(f.ip.dport for f in ends.far.select(lambda ip: ip.target == ends.rip, outgoing=False))
    settle(came, [port for _, port in sent], "ports at the real server")
    equal((t.backend.live(), displaced(t)), (4, {"one_way": 8}), "connections, and who gave way")


class Pages:
    """A server that sends a page and closes first, so that it is the one that remembers the connection."""

    PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\npage\n"

    def __init__(self, t, family, port):
        self.sock = t.lab.socket("rs1", af(family), socket.SOCK_STREAM)
        self.sock.bind((ADDRESS["rs1"][family], port))
        self.sock.listen(64)
        t.defer(self.sock.close)
        t.defer(self.sock.shutdown, socket.SHUT_RDWR)
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        """One request after the other."""
        try:
            while True:
                sock = self.sock.accept()[0]
                with sock:
                    sock.settimeout(HANG)
                    self.answer(sock)
        except OSError:
            return

    def answer(self, sock):
        """A page for a request."""
        try:
            if sock.recv(1000):
                sock.sendall(self.PAGE)
        except OSError:
            pass


class Reader:
    """Asks for pages, one after the other, a new connection each."""

    def __init__(self, t, family, port, source, count):
        self.t, self.family, self.to, self.count = t, family, (ADDRESS["vip"][family], port), count
        self.source, self.waits, self.lost = source, [], []

    def read(self):
        """All of them."""
        for number in range(self.count):
            begin = time.monotonic()
            try:
                self.page()
            except OSError as error:
                self.lost.append((number, error))
            self.waits.append(time.monotonic() - begin)

    def page(self):
        """One page."""
        with self.t.lab.socket("client", af(self.family), socket.SOCK_STREAM) as sock:
            sock.settimeout(HANG)
            sock.bind((self.source, 0))
            sock.connect(self.to)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while part := sock.recv(1000):
                data += part
            if data != Pages.PAGE:
                raise OSError(f"a page of {len(data)} bytes")

    def slow(self):
        """The waits of those that were delayed: a SYN had to be sent again."""
        return [wait for wait in self.waits if wait > 0.9]


def read_pages(t, family, sources, count, by_server):
    """Clients that read pages over a hundred local ports; none may be lost."""
    t.sysctl("lport_min", 26000)
    t.sysctl("lport_max", 26099)
    vport, rport = t.port(), t.port()
    if by_server:
        Pages(t, family, rport)
    t.backend.restore(t.service(family, "tcp", vport), *t.locals(family, "tcp", vport, "lip1"),
                      t.target(family, "tcp", vport, "fullnat", ADDRESS["rs1"][family], rport))
    readers = [Reader(t, family, vport, source, count) for source in sources]
    threads = [threading.Thread(target=reader.read, daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for reader in readers:
        equal(reader.lost, [], f"requests of {reader.source} that were lost")
    slow = [wait for reader in readers for wait in reader.slow()]
    print(f"    {len(slow)} of {count * len(sources)} delayed, the longest {max(slow, default=0):.2f} s")
    # A client that comes to a port that it had before takes the place of its old connection.
    between(displaced(t).get("over", 0), count * len(sources) // 2, count * len(sources), "connections that gave way")
    equal(info(t)["refused_ports"], 0, "connections refused")


@case("full.pages.one.{family}.{early}", needs=("fullnat",), family=FAMILIES, early=EARLY, fresh=True)
def pages(t, family, early):
    """300 requests of one page each over 100 local ports: those in TIME_WAIT give way."""
    read_pages(t, family, [ADDRESS["client"][family]], 300, True)


@case("full.pages.two.{family}.{early}", needs=("fullnat",), family=FAMILIES, early=EARLY, fresh=True)
def pages_two(t, family, early):
    """The same with two clients at once: none is lost, though the server remembers the one and hears the other."""
    more = {4: "10.0.1.3", 6: "fd00:1::3"}[family]
    t.lab.ip("client", f"addr add {more}/{24 if family == 4 else 64} dev eth0" + (" nodad" if family == 6 else ""))
    t.defer(t.lab.ip, "client", f"addr del {more}/{24 if family == 4 else 64} dev eth0")
    read_pages(t, family, [ADDRESS["client"][family], more], 150, True)


# --- a flood ---------------------------------------------------------------------


@case("full.flood.{method}.{family}.{early}", method=("nat", "dr", "fullnat"), family=FAMILIES, early=EARLY,
      fresh=True)
def flood(t, method, family, early):
    """SYNs of random strangers many times what the table holds: true connections come in, and none of them breaks."""
    t.defer(t.backend.reload)
    vport = t.port()
    rport = vport if method == "dr" else t.port()
    address = ADDRESS["vip" if method == "dr" else "rs1"][family]
    t.serve("rs1", family, "tcp", rport, address=address)
    t.balance(family, "tcp", vport, method, ADDRESS["rs1"][family], rport)
    strangers = Flood(t.inject("router", "front", ("director", "front")), family, ADDRESS["vip"][family], vport,
                      STRANGERS, RATE)
    t.defer(strangers.stop)
    most, visitors, seconds = size(strangers)
    t.sysctl("conn_max", most)
    begin = time.monotonic()
    strangers.start()
    visits = Visits(t.lab, family, ADDRESS["vip"][family], vport, visitors)
    visits.run(lambda: max(strangers.sent / STRANGERS, (time.monotonic() - begin) / seconds))
    took = time.monotonic() - begin
    strangers.stop()
    fates = visits.fates()
    print(f"    {strangers.sent} SYNs in {took:.1f} s to a table of {most}; {fates}, the slowest stood open after "
          f"{visits.slowest():.2f} s", *visits.errors())
    equal(fates["broken"], 0, "established connections that broke")
    between(fates["done"], visitors * 99 // 100, visitors, "connections that came in")
    check(t.backend.live() <= most, f"{t.backend.live()} connections")
    told = displaced(t)
    check(told.get("half_open", 0) > strangers.sent * 0.9 - most, f"gave way: {told}")
    check(strangers.sent > 1.5 * most, f"{strangers.sent} SYNs are no flood")
    equal(info(t)["refused_limit"], 0, "connections refused")


def size(strangers):
    """How large a table this machine can flood, with how many connections, and for how many seconds."""
    begin = time.monotonic()
    strangers.send(PROBE)
    rate = PROBE / (time.monotonic() - begin)
    if rate * LONGEST >= STRANGERS:
        return MOST, VISITORS, LONGEST
    most = min(MOST, int(rate * SHORT / 4))
    return most, min(VISITORS, most // 4), SHORT
