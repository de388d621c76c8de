# SPDX-License-Identifier: GPL-2.0
"""The persistence engine `sip`: a call stays with its server, whichever port its messages come from, and calls from the
server's side.

Clients and servers are phantoms, whose frames a case plays; calls have names of their own in each case, as templates
outlive services.
"""

import json
import socket

import wire
from cases.marks import mark, named
from cases.persist import OTHER, counts, short
from context import FORWARD, join
from lab import ADDRESS, family as socket_family, phantom_client, phantom_server
from suite import EARLY, FAMILIES, HANG, between, case, check, equal, settle, until

METHODS = ("nat", "dr")


def message(call, header="Call-ID: %s", first="INVITE sip:service@example.net SIP/2.0", body="", newline="\r\n"):
    """A SIP message of a call."""
    lines = [first, "Via: SIP/2.0/UDP client.example.net", "Max-Forwards: 70", header % call, "CSeq: 1 INVITE", "", body]
    return newline.join(lines).encode("latin-1")


class Calls:
    """A service with the engine and two servers, in turn."""

    def __init__(self, t, family, options="-p 300 --pe sip", method="nat", proto="udp"):
        self.t, self.family, self.method = t, family, method
        self.vip, self.vport = ADDRESS["vip"][family], t.port()
        self.rport = t.port() if method == "nat" else self.vport
        phantoms = [phantom_server(family, number) for number in (1, 2)]
        self.hosts = phantoms if method == "nat" else [ADDRESS[host][family] for host in OTHER]
        self.virtual = join(self.vip, self.vport)
        self.service = f"{'-u' if proto == 'udp' else '-t'} {self.virtual}"
        t.backend.restore(f"-A {self.service} -s rr {options}", *(self.server(number) for number in range(2)))
        self.taps = [t.tap(host) for host in (("rs3",) if method == "nat" else OTHER)]
        self.near = t.tap("client")
        self.up = t.inject("client", "eth0", ("router", "client"))
        self.down = t.inject("rs3", "eth0", ("director", "back"))

    def target(self, number):
        """A server's address and port as they are listed."""
        return join(self.hosts[number], self.rport)

    def server(self, number, command="-a", *options):
        """The line about a server."""
        return " ".join((command, self.service, "-r", self.target(number), FORWARD[self.method]) + options)

    def drop(self, number):
        """The line that removes a server."""
        return f"-d {self.service} -r {self.target(number)}"

    def client(self, number=1):
        """A client's address."""
        return phantom_client(self.family, number)

    def packet(self, payload, sport=4000, client=1):
        """A datagram from a client to the service."""
        return wire.udp(self.client(client), sport, self.vip, self.vport, payload)

    def outward(self, payload, server=0, dport=4000, client=1):
        """A datagram from a server to a client."""
        return wire.udp(self.hosts[server], self.rport, self.client(client), dport, payload)

    def arrived(self):
        """(server's number, payload) of all that came to servers; with NAT in order."""
        found = []
        for number, tap in enumerate(self.taps):
            for frame in tap.select(lambda ip: ip.proto == wire.UDP and ip.whole and ip.dport == self.rport, outgoing=False):
                server = self.hosts.index(frame.ip.target) if self.method == "nat" else number
                found.append((server, frame.ip.payload))
        return found

    def send(self, *packets):
        """Servers that get these datagrams of clients, each of which must get through."""
        servers = []
        for packet in packets:
            before = self.arrived()
            self.up.send(packet)
            after = until(lambda before=before: len(self.arrived()) > len(before) and self.arrived(), "a datagram at a server")
            for entry in before:
                after.remove(entry)
            servers += [server for server, _ in after]
        return servers

    def who(self, call, sport=4000, client=1, **how):
        """The server of a message."""
        [server] = self.send(self.packet(message(call, **how), sport, client))
        return server

    def returned(self, payload):
        """(source, sport, target, dport) of what came to clients with this payload."""
        frames = self.near.select(lambda ip: ip.proto == wire.UDP and ip.whole and ip.payload == payload, outgoing=False)
        return [frame.ip.tuple() for frame in frames]

    def send_back(self, packet, translated=True):
        """Send a datagram of a server, which must come to its client from the service, or as it is."""
        ip = wire.Ip(packet)
        source = (self.vip, self.vport) if translated else (ip.source, ip.sport)
        before = self.returned(ip.payload)
        self.down.send(packet)
        settle(lambda: self.returned(ip.payload)[len(before):], [(*source, ip.target, ip.dport)], "a server's datagram")

    def ready(self, dport=3999):
        """Wait until servers may call: with many of them it takes a moment after a change."""
        payload = message(f"ready{dport}@{self.vport}")

        def translated():
            before = len(self.returned(payload))
            self.down.send(self.outward(payload, dport=dport, client=9))
            found = until(lambda: self.returned(payload)[before:], "a datagram of a server")
            return found[0][:2] == (self.vip, self.vport)
        until(translated, "a call from a server")
        return self

    def known(self):
        """The service's connections and templates."""
        return [c for c in self.t.backend.connections() if c.virtual == self.virtual]

    def calls(self):
        """{(client, data): (server's number, state)} of the templates, as they are listed."""
        found = {}
        for line in self.t.backend.run("-L", "-n", "-c", "--persistent-conn").stdout.splitlines()[2:]:
            fields = line.split()
            if len(fields) == 8 and fields[4] == self.virtual:
                equal((fields[0], fields[6]), ("UDP", "sip"), "protocol and engine of a template")
                server = [self.target(number) for number in range(2)].index(fields[5])
                found[fields[3], fields[7]] = (server, fields[2])
        return found

    def counted(self):
        """Connections, packets in and packets out of the service."""
        return self.t.backend.counters()["UDP", self.virtual][0].tuple()[:3]

    def more(self, before):
        """What was counted since."""
        return tuple(now - then for then, now in zip(before, self.counted()))


@case("sip.told_apart.{method}.{family}", method=METHODS, family=FAMILIES)
def told_apart(t, method, family):
    """Messages of one call go to one server from every port; another call of the same client may go to the other."""
    calls = Calls(t, family, method=method)
    first = calls.who("one@a", 4001)
    second = calls.who("two@a", 4002)
    check(first != second, "both calls went to one server")
    equal([calls.who("one@a", sport) for sport in (4003, 4004, 4005)], [first] * 3, "servers of the first call")
    equal([calls.who("two@a", sport) for sport in (4006, 4007)], [second] * 2, "servers of the second call")
    equal(calls.who("ONE@a", 4008), first, "server of a third call, which differs in its letters")
    # The connection is known by now, whatever it carries.
    equal(calls.who("two@a", 4001), first, "server of the second call from the first one's port")
    found = {key[1]: value[0] for key, value in calls.calls().items()}
    equal(found, {"one@a": first, "two@a": second, "ONE@a": first}, "templates")
    equal(sum(counts(t).values()), 3, "persistent connections")


@case("sip.clients.{family}", family=FAMILIES)
def clients(t, family):
    """A call's name is each client's own, or that of a network of clients."""
    calls = Calls(t, family)
    servers = [calls.who("same@a", client=client) for client in (1, 2, 3)]
    equal(servers, [servers[0], 1 - servers[0], servers[0]], "servers of three clients")
    wide = Calls(t, family, "-p 300 --pe sip -M " + ("255.255.255.0" if family == 4 else "64"))
    equal(len({wide.who("same@a", client=client) for client in (1, 2, 3)}), 1, "servers of a network's clients")
    network = "10.1.0.0:0" if family == 4 else "[fd00:11::]:0"
    equal(list(wide.calls()), [(network, "same@a")], "its template")


SPELLINGS = ({"header": "i: %s"}, {"header": "call-id:%s"}, {"header": "Call-ID \t: \t%s"},
             {"header": "Call-ID:\r\n\t%s"}, {"newline": "\n"}, {"newline": "\r"}, {"first": "SIP/2.0 200 OK"})


@case("sip.spellings.{family}", family=FAMILIES)
def spellings(t, family):
    """The header is found in every spelling, and names the same call."""
    calls = Calls(t, family)
    first = calls.who("spelled@a", 4000)
    for number, how in enumerate(SPELLINGS):
        equal(calls.who("spelled@a", 4001 + number, **how), first, f"server of {message('spelled@a', **how)}")
    equal(len(calls.calls()), 1, "templates")


UNREAD = (b"", b"\r\n\r\n", bytes(200), b"Call-ID: a@b\r\n\r\n", message("x", header="Subject: %s"), message(""),
          message("a,b"), message("a@"), message("x" * 256), message("a@b").partition(b"\r\nCSeq")[0])


@case("sip.unread.{family}", family=FAMILIES)
def unread(t, family):
    """What names no call is dropped, and nobody is told; a connection that is known takes it all the same."""
    calls = Calls(t, family)
    for number, text in enumerate(UNREAD):
        calls.up.send(calls.packet(text, 5000 + number))
    longest = "x" * 255
    server = calls.who(longest)
    equal(calls.arrived(), [(server, message(longest))], "what came to the servers")
    equal(calls.send(*(calls.packet(text) for text in UNREAD)), [server] * len(UNREAD), "server of a known connection")
    equal(calls.near.select(wire.is_error, outgoing=False), [], "errors that came to the client")
    equal(calls.counted()[0], 1, "connections")


@case("sip.tcp.{family}", family=FAMILIES)
def over_tcp(t, family):
    """The engine reads datagrams only: a TCP service with it gets no connection, as in IPVS."""
    calls = Calls(t, family, proto="tcp")
    calls.up.send(wire.tcp(calls.client(), 4000, calls.vip, calls.vport, wire.SYN))
    other = Calls(t, family)
    other.who("after@a")
    ours = calls.taps[0].select(lambda ip: ip.proto == wire.TCP and ip.dport == calls.rport, outgoing=False)
    equal(ours, [], "what came to the servers")
    equal(calls.near.select(wire.is_error, outgoing=False), [], "errors that came to the client")


@case("sip.fragments.{family}", family=FAMILIES)
def fragments(t, family):
    """The name of the call may stand behind thousands of bytes, in another fragment."""
    calls = Calls(t, family)
    first = calls.who("far@a", 4001)
    for number, length in enumerate((1400, 3000, 20000)):
        text = message("far@a", first="INVITE sip:" + "a" * length + " SIP/2.0")
        whole = wire.udp(calls.client(), 4002 + number, calls.vip, calls.vport, text, df=False)
        before = len(calls.taps[0].fetch())
        calls.up.send(*wire.fragments(whole, 1448))

        def servers(before=before):
            frames = [frame for frame in calls.taps[0].fetch()[before:] if frame.ip and not frame.outgoing]
            return {frame.ip.target for frame in frames} & set(calls.hosts)
        settle(servers, {calls.hosts[first]}, f"server of a call whose name stands behind {length} bytes")
    equal(len(calls.calls()), 1, "templates")


@case("sip.one_packet.{method}.{family}", method=METHODS, family=FAMILIES)
def one_packet(t, method, family):
    """With one-packet scheduling each message goes by its call, from one port too; answers of NAT are translated."""
    calls = Calls(t, family, "-p 300 --pe sip -o", method)
    if method == "nat":
        calls.ready()
    before = calls.counted()
    first, second = calls.who("one@o"), calls.who("two@o")
    check(first != second, "both calls went to one server")
    equal([calls.who(call) for call in ("two@o", "one@o", "one@o", "two@o")], [second, first, first, second], "servers")
    equal(calls.more(before), (6, 6, 0), "connections and packets")
    if method == "nat":
        calls.send_back(calls.outward(message("one@o", first="SIP/2.0 200 OK"), first))
        equal(calls.more(before), (7, 6, 1), "connections, packets in and out after an answer")
    equal([c.source for c in calls.known() if not c.source.endswith(":0")], [], "connections that are remembered")
    found = {key[1]: value[0] for key, value in calls.calls().items() if key[1].endswith("@o")}
    equal(found, {"one@o": first, "two@o": second}, "templates")


@case("sip.from_server.{family}.{early}", family=FAMILIES, early=EARLY)
def from_server(t, family, early):
    """A server calls: the client sees the service, and his answers, and other messages of the call, go to that server."""
    calls = Calls(t, family).ready()
    before = calls.counted()
    calls.send_back(calls.outward(message("call@s"), server=1))
    equal(calls.who("call@s", first="SIP/2.0 200 OK"), 1, "server that gets the answer")
    for number in range(3):
        calls.send_back(calls.outward(b"more %d" % number, server=1))
        equal(calls.send(calls.packet(b"and more")), [1], "server that gets more")
    equal([calls.who("call@s", sport) for sport in (4001, 4002)], [1, 1], "server of the call from other ports")
    equal(calls.calls()[join(calls.client(), 0), "call@s"], (1, "ASSURED"), "template")
    found = [c.target for c in calls.known() if c.source == join(calls.client(), 4000)]
    equal(found, [calls.target(1)], "connection")
    equal(calls.more(before), (3, 6, 4), "connections and packets in and out")


@case("sip.caller_wins.{family}", family=FAMILIES)
def caller_wins(t, family):
    """A call belongs to the server that sends a message of it, whose client's answers go there from then on."""
    calls = Calls(t, family).ready()
    first = calls.who("mine@s", 4001)
    other = 1 - first
    calls.send_back(calls.outward(message("mine@s"), server=other, dport=4002))
    equal(calls.calls()[join(calls.client(), 0), "mine@s"][0], other, "server of the template")
    equal(calls.who("mine@s", 4003), other, "server of the call from another port")
    equal(calls.who("mine@s", 4001), first, "server of the first connection")
    # A client's port that has a connection with one server is called by the other.
    calls.send_back(calls.outward(message("new@s"), server=other, dport=4001))
    equal(calls.send(calls.packet(b"answer", 4001)), [other], "server that gets the answer")


@case("sip.callers_in_turn.{family}", needs=("rlvs",), family=FAMILIES)
def callers_in_turn(t, family):
    """Of two servers that call one port of a client, the last has the answers; in IPVS it is one of both."""
    calls = Calls(t, family).ready()
    for turn, server in enumerate((0, 1, 0, 1)):
        calls.send_back(calls.outward(message(f"turn{turn}@s"), server, 4001))
        equal(calls.send(calls.packet(b"answer", 4001)), [server], "server that gets the answer")
    equal(len([c for c in calls.known() if c.source == join(calls.client(), 4001)]), 1, "connections")


@case("sip.not_called.{family}", family=FAMILIES)
def not_called(t, family):
    """What is no message, no server's, or of a service without the engine goes out as it is."""
    calls = Calls(t, family).ready()
    calls.send_back(calls.outward(b"no message", dport=4001), translated=False)
    stranger = wire.udp(phantom_server(family, 3), calls.rport, calls.client(), 4001, message("stranger@s"))
    calls.send_back(stranger, translated=False)
    other_port = wire.udp(calls.hosts[0], calls.rport + 1, calls.client(), 4001, message("port@s"))
    calls.send_back(other_port, translated=False)
    t.backend.restore(f"-E {calls.service} -s rr -p 300")
    calls.send_back(calls.outward(message("plain@s"), dport=4001), translated=False)
    t.backend.restore(f"-E {calls.service} -s rr -p 300 --pe sip")
    calls.ready(3998)
    calls.send_back(calls.outward(message("engine@s"), dport=4001))
    t.backend.restore(calls.drop(0))
    calls.send_back(calls.outward(message("removed@s"), dport=4002), translated=False)


@case("sip.here.{family}", family=FAMILIES)
def here(t, family):
    """A real server on the director calls."""
    calls = Calls(t, family)
    own, port = ADDRESS["director.back"][family], t.port()
    t.backend.restore(f"-a {calls.service} -r {join(own, port)} -m")
    calls.ready()
    sock = t.lab.socket("director", socket_family(family), socket.SOCK_DGRAM)
    t.defer(sock.close)
    sock.settimeout(HANG)
    sock.bind((own, port))
    sock.sendto(message("here@s"), (calls.client(), 4001))
    settle(lambda: calls.returned(message("here@s")), [(calls.vip, calls.vport, calls.client(), 4001)], "the call")
    calls.up.send(calls.packet(b"to the director", 4001))
    equal(sock.recv(100), b"to the director", "what the director's server gets")


@case("sip.removed.{family}", family=FAMILIES)
def removed(t, family):
    """A call whose server is gone goes to the other, and one whose server rests stays unless the setting says otherwise."""
    calls = Calls(t, family)
    first = calls.who("stays@r", 4001)
    t.backend.restore(calls.server(first, "-e", "-w 0"))
    equal(calls.who("stays@r", 4002), first, "server of the call, which has the weight 0")
    t.sysctl("expire_quiescent_template", 1)
    equal(calls.who("stays@r", 4003), 1 - first, "server of the call with the setting")
    t.backend.restore(calls.drop(1 - first), calls.server(first, "-e", "-w 1"))
    equal(calls.who("stays@r", 4004), first, "server of the call when its server is gone")


@case("sip.expires.{family}", family=FAMILIES)
def expires(t, family):
    """A call is forgotten when its time is over, and listed with that until then."""
    short(t, 1)
    calls = Calls(t, family, "-p 5 --pe sip")
    first = calls.who("brief@e", 4001)
    between(max(c.expires for c in calls.known()), 3, 5, "seconds left")
    settle(calls.calls, {}, "templates in the end")
    equal(calls.who("brief@e", 4001), 1 - first, "server of the call when it is forgotten")


@case("sip.marks.{family}", family=FAMILIES, fresh=True)
def marks(t, family):
    """A service by mark has calls too."""
    calls = Calls(t, family)
    t.backend.clear()
    ports = (calls.vport, calls.vport + 1000, calls.vport + 2000)
    mark(t, family, "udp", *ports)
    t.backend.restore(f"-A {named(family)} -s rr -p 300 --pe sip",
                      *(f"-a {named(family)} -r {calls.target(number)} -m" for number in range(2)))
    seen = []
    for number, call in enumerate(("one@m", "two@m", "one@m", "two@m")):
        text = message(call, body=str(number))
        calls.up.send(wire.udp(calls.client(), 7000 + number, calls.vip, ports[number % 3], text))
        find = lambda text=text: calls.taps[0].select(lambda ip: ip.whole and ip.payload == text, outgoing=False)
        seen.append(calls.hosts.index(until(find, "the message at a server")[0].ip.target))
    equal(seen, [seen[0], 1 - seen[0], seen[0], 1 - seen[0]], "servers of both calls")


@case("sip.listed")
def listed(t):
    """Listing, saved rules and what is read back; an edit without the engine takes it away."""
    lines = ("-A -u 10.0.2.100:5060 -s rr -p 60 --pe sip", "-A -u [fd00:2::100]:5060 -s rr -p 60 -M 64 --pe sip -o",
             "-A -f 7 -s rr -p 60 --pe sip")
    t.backend.restore(*lines)
    saved = t.backend.save()
    equal(sorted(line.strip() for line in saved.splitlines()), sorted(lines), "saved rules")
    text = t.backend.run("-L", "-n").stdout
    for line in ("UDP  10.0.2.100:5060 rr persistent 60 pe sip\n",
                 "UDP  [fd00:2::100]:5060 rr persistent 60 mask 64 pe sip ops\n", "FWM  7 rr persistent 60 pe sip\n"):
        check(line in text, f"no {line!r} in {text}")
    t.backend.clear()
    t.backend.restore(*saved.splitlines())
    equal(t.backend.save(), saved, "read back")
    t.backend.restore("-E -u 10.0.2.100:5060 -s rr -p 60")
    check("UDP  10.0.2.100:5060 rr persistent 60\n" in t.backend.run("-L", "-n").stdout, "the engine is still there")


@case("sip.json", needs=("json",), fresh=True)
def as_json(t):
    """JSON names the engine, and the call of a template."""
    calls = Calls(t, 4)
    calls.who("json@j")
    found = json.loads(t.backend.run("-L", "-j").stdout)["services"][0]["persistence"]
    equal(found, {"timeout": 300, "mask": "255.255.255.255", "engine": "sip"}, "persistence")
    conns = json.loads(t.backend.run("-L", "-c", "-j").stdout)
    found = [c.get("call") for c in conns if c["template"]]
    equal(found, [{"engine": "sip", "data": "json@j"}], "calls of the templates")


@case("sip.full.{family}", needs=("rlvs",), family=FAMILIES, fresh=True)
def full(t, family):
    """Calls with long names count as much as they take, and give way; new ones are served all the same."""
    calls = Calls(t, family, "-p 300 --pe sip -o")
    t.sysctl("conn_max", 30)
    name = "x" * 250
    for number in range(60):
        calls.who(f"{name}{number:03d}", 4000 + number)
    # A template of such a call counts as three.
    between(t.backend.live(), 5, 11, "templates that are left")
    for number in range(60):
        calls.who(f"s{number}", 4000 + number)
    between(t.backend.live(), 12, 16, "templates of short names that are left")
    gone = json.loads(t.backend.run("-L", "--info", "-j").stdout)
    check(gone["displaced_templates"] > 90, f"too few gave way: {gone}")
    equal(sum(counts(t).values()), t.backend.live(), "persistent connections of the servers")
