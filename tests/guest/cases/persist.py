# SPDX-License-Identifier: GPL-2.0
"""Persistence: a client stays with his server, and a template remembers where that is.

Templates outlive the services of a case: where another case has the same for these clients the module is loaded anew.
"""

import json
import threading

import wire
from cases.limits import lively, refused
from cases.marks import mark, named
from cases.reuse import end
from context import BRIEF, FORWARD, join
from flow import Ends
from lab import ADDRESS, phantom_client
from suite import EARLY, FAMILIES, PROTOCOLS, between, case, check, equal, settle, until

OTHER = {"rs1": "rs2", "rs2": "rs1"}
KINDS = ("port", "all", "mark")
# Where a template has the virtual address and port, of the mark that cases.marks gives.
MARKED = {4: "0.0.0.7:0", 6: "[0:7::]:0"}


class Sticky:
    """A persistent service with rs1 and rs2, in turn, for one port, all ports, or a mark that two ports bear."""

    def __init__(self, t, kind, method, family, proto="tcp", options="-p 300", ports=2):
        self.t, self.kind, self.method, self.family, self.proto = t, kind, method, family, proto
        self.ports = [t.port() for _ in range(1 if kind == "port" else ports)]
        self.vip = ADDRESS["vip"][family]
        service = join(self.vip, self.ports[0] if kind == "port" else 0)
        self.words = named(family) if kind == "mark" else f"{BRIEF[proto]} {service}"
        self.virtual = MARKED[family] if kind == "mark" else service
        if kind == "mark":
            for proto in PROTOCOLS:
                self.serve(proto)
            mark(t, family, "tcp", self.ports[0])
            mark(t, family, "udp", self.ports[-1])
        else:
            self.serve(proto)
        self.service = f"-A {self.words} -s rr"
        local = [f"-P {self.words} -z {ADDRESS['lip1'][family]}"] if method == "fullnat" else []
        t.backend.restore(f"{self.service} {options}", *local, *(self.server("-a", host) for host in OTHER))

    def serve(self, proto):
        """The servers listen at the ports that packets keep."""
        keeps = self.method in ("dr", "tun")
        for host in OTHER:
            for port in self.ports:
                self.t.serve(host, self.family, proto, port, ADDRESS["vip" if keeps else host][self.family])

    def target(self, host):
        """A server's address and port as they are listed."""
        return join(ADDRESS[host][self.family], self.ports[0] if self.kind == "port" else 0)

    def server(self, command, host, *options):
        """A line about a server."""
        return " ".join((command, self.words, "-r", self.target(host), FORWARD[self.method]) + options)

    def drop(self, host):
        """The line that removes a server."""
        return f"-d {self.words} -r {self.target(host)}"

    def client(self, port=None, source=None, proto=None):
        """A new connection."""
        source = (source or ADDRESS["client"][self.family], 0)
        return self.t.client(self.family, proto or self.proto, port or self.ports[0], source=source)

    def who(self, **how):
        """The server of a new connection."""
        return self.client(**how).ask_until_answered().name

    def listed(self):
        """What is listed of the service, templates and connections."""
        ours = {self.virtual} | {join(self.vip, port) for port in self.ports}
        return [c for c in self.t.backend.connections() if c.virtual in ours]

    def templates(self):
        """The templates."""
        return [c for c in self.listed() if c.source.endswith(":0")]

    def counts(self):
        """The servers' persistent connections."""
        return counts(self.t)


def counts(t):
    """{"address:port": persistent connections} over all services."""
    lines = [line.split() for line in t.backend.run("-L", "-n", "--persistent-conn").stdout.splitlines()]
    return {fields[1]: int(fields[3]) for fields in lines if len(fields) == 6 and fields[0] == "->"}


def stranger(t, family, last=77):
    """Another address of the client's host, for the case."""
    address = f"10.0.1.{last}" if family == 4 else f"fd00:1::{last}"
    length = 24 if family == 4 else 64
    t.lab.ip_of("client", family, f"addr add {address}/{length} dev eth0" + (" nodad" if family == 6 else ""))
    t.defer(t.lab.ip_of, "client", family, f"addr del {address}/{length} dev eth0")
    return address


def sticks(t, kind, method, family):
    """A client's connections, whichever port and protocol, go to one server; another client's go to the next."""
    service = Sticky(t, kind, method, family)
    client = service.client()
    first = client.ask(20_000, 20_000).name
    last = "udp" if kind == "mark" else "tcp"
    for _ in range(2):
        equal(service.who(), first, "server of another connection")
        equal(service.who(port=service.ports[-1], proto=last), first, "server of the other port")
    equal(client.ask(20_000, 20_000).name, first, "server of the first connection")
    other = stranger(t, family)
    equal(service.who(source=other), OTHER[first], "server of another client")
    mine, his = (join(address, 0) for address in (ADDRESS["client"][family], other))
    found = {(c.source, c.virtual, c.target, c.state) for c in service.templates()}
    want = {(mine, service.virtual, service.target(first), "ASSURED"),
            (his, service.virtual, service.target(OTHER[first]), "ASSURED")}
    equal(found, want, "templates")
    equal({c.proto for c in service.templates()}, {"IP" if kind == "mark" else "TCP"}, "their protocol")
    between(max(c.expires for c in service.templates()), 290, 300, "seconds that the younger has left")
    equal(service.counts(), {service.target(host): 1 for host in OTHER}, "persistent connections")


@case("persist.sticks.{kind}.{method}.{family}.{early}", kind=KINDS, method=("nat", "dr"), family=FAMILIES, early=EARLY,
      fresh=True)
def sticks_each(t, kind, method, family, early):
    """NAT and direct routing."""
    sticks(t, kind, method, family)


@case("persist.sticks.port.{method}.{family}.{early}", method=("fullnat",), family=FAMILIES, early=EARLY)
def sticks_fullnat(t, method, family, early):
    """FULLNAT, whose local ports are the server's that the template names."""
    sticks(t, "port", method, family)


@case("persist.shared.{method}.{family}", method=("nat",), family=FAMILIES, fresh=True)
@case("persist.shared.{method}.{family}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, fresh=True)
def shared(t, method, family):
    """IPVS: services for FTP and for all ports share their templates, so a client of both has one server, of either."""
    vip, ports = ADDRESS["vip"][family], (21, 80)
    for host in OTHER:
        for port in ports:
            t.serve(host, family, "tcp", port)
    for host, port in (("rs1", 21), ("rs2", 0)):
        words, local = f"-t {join(vip, port)}", ADDRESS["lip1"][family]
        t.backend.restore(f"-A {words} -s rr -p 300", *([f"-P {words} -z {local}"] if method == "fullnat" else []),
                          f"-a {words} -r {join(ADDRESS[host][family], port)} {FORWARD[method]}")
    names = [t.client(family, "tcp", port).ask_until_answered().name for port in (21, 80, 21, 80)]
    equal(names, ["rs1"] * 4, "servers of a client's connections")
    equal(sum(counts(t).values()), 1, "templates")


@case("persist.mask.{kind}.{family}", kind=KINDS, family=FAMILIES, fresh=True)
def mask(t, kind, family):
    """Clients of one network count as one; those of the next do not."""
    near, next_, far = (stranger(t, family, last) for last in (17, 18, 33))
    service = Sticky(t, kind, "nat", family, options="-p 300 -M " + ("255.255.255.240" if family == 4 else "124"))
    first = service.who(source=near)
    equal([service.who(source=source) for source in (next_, near, next_)], [first] * 3, "servers of the network")
    equal(service.who(source=far), OTHER[first], "server of another network")
    found = {c.source for c in service.templates()}
    equal(found, {"10.0.1.16:0", "10.0.1.32:0"} if family == 4 else {"[fd00:1::10]:0", "[fd00:1::30]:0"}, "networks")


def short(t, udp):
    """UDP connections last so many seconds, until the case ends."""
    t.backend.run("--set", "0", "0", str(udp))
    t.defer(t.backend.run, "--set", "900", "120", "300")


@case("persist.expires.{kind}.{family}", kind=KINDS, family=FAMILIES, fresh=True)
def expires(t, kind, family):
    """A template outlives its connection, and expires after its own time."""
    short(t, 1)
    service = Sticky(t, kind, "nat", family, "udp", "-p 6")
    port, proto = service.ports[-1], "udp"
    first = service.who(port=port, proto=proto)
    check(all(c.expires <= 6 for c in service.templates()), "a template has longer than its time")
    settle(lambda: [c.source[-2:] for c in service.listed()], [":0"], "the template alone")
    equal(service.who(port=port, proto=proto), first, "server while there is a template")
    settle(service.listed, [], "templates and connections")
    equal(set(service.counts().values()), {0}, "persistent connections")
    equal(service.who(port=port, proto=proto), OTHER[first], "server after the template")


@case("persist.rearmed.{family}.{early}", family=FAMILIES, early=EARLY)
def rearmed(t, family, early):
    """With a connection a template goes on beyond its time, a minute at a time."""
    service = Sticky(t, "port", "nat", family, options="-p 1")
    client = service.client()
    first = client.ask().name
    until(lambda: [c for c in service.templates() if c.expires > 1], "a longer time of the template")
    between(service.templates()[0].expires, 50, 60, "seconds that the template has left")
    equal(service.who(), first, "server of another connection")
    equal(client.ask().name, first, "server of the first connection")


@case("persist.quiescent.{kind}.{family}", kind=KINDS, family=FAMILIES, fresh=True)
def quiescent(t, kind, family):
    """Weight 0 keeps new clients away, and those that are known only if the setting says so."""
    service = Sticky(t, kind, "nat", family)
    client = service.client()
    first = client.ask().name
    t.backend.restore(service.server("-e", first, "-w 0"))
    equal(service.who(), first, "server of a known client")
    for last in (77, 78):
        equal(service.who(source=stranger(t, family, last)), OTHER[first], "server of a new client")
    t.sysctl("expire_quiescent_template", 1)
    equal(service.who(), OTHER[first], "server of a known client with the setting")
    equal(client.ask().name, first, "server of his old connection")
    t.backend.restore(service.server("-e", first, "-w 1"))
    equal(service.who(), OTHER[first], "server when there is a weight again")


@case("persist.removed.{method}.{family}", method=("nat", "dr"), family=FAMILIES)
@case("persist.removed.{method}.{family}", needs=("fullnat",), method=("fullnat",), family=FAMILIES)
def removed(t, method, family):
    """A removed server's clients go elsewhere, and stay there; one that is back in time still has those that did not."""
    service = Sticky(t, "port", method, family)
    other = stranger(t, family)
    first = service.who()
    equal(service.who(source=other), OTHER[first], "server of another client")
    t.backend.restore(service.drop(first))
    equal(service.who(), OTHER[first], "server after the removal")
    t.backend.restore(service.drop(OTHER[first]), service.server("-a", OTHER[first]), service.server("-a", first))
    equal([service.who(), service.who(source=other)], [OTHER[first]] * 2, "servers of both clients")
    leads = {c.source: c.target for c in service.templates() if not c.target.endswith(":65535")}
    equal(leads, {join(source, 0): service.target(OTHER[first]) for source in (ADDRESS["client"][family], other)},
          "where templates lead")


@case("persist.flushed.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS, fresh=True)
def flushed(t, family, proto):
    """With expire_nodest_conn the templates of a removed server go with their connections, at once."""
    t.sysctl("expire_nodest_conn", 1)
    ends = raw(t, "nat", family, proto)
    for client in range(1, 21):
        ends.flow(client).open()
    server = t.target(family, proto, ends.vport, "nat", ends.rip, ends.rport)
    t.backend.restore("-d" + server[2:].removesuffix(" -m"))
    settle(ends.known, [], "connections and templates")
    settle(t.backend.live, 0, "what is kept of them")
    t.backend.restore(server)
    equal(sum(counts(t).values()), 0, "persistent connections of the server when it is back")


@case("persist.service_removed.{family}", family=FAMILIES)
def service_removed(t, family):
    """A service that is removed and added again still has its templates."""
    service = Sticky(t, "port", "nat", family)
    first = service.who()
    t.backend.restore(f"-D {service.words}", f"{service.service} -p 300", *(service.server("-a", host) for host in OTHER))
    equal([service.who() for _ in range(3)], [first] * 3, "server")


@case("persist.threshold.{family}", family=FAMILIES)
def threshold(t, family):
    """A server at its upper threshold gets no new clients, but its own still."""
    service = Sticky(t, "port", "nat", family)
    first = service.who()
    t.backend.restore(service.server("-e", first, "-x 2 -y 1"))
    equal([service.who() for _ in range(3)], [first] * 3, "server of a known client")
    for last in (77, 78):
        equal(service.who(source=stranger(t, family, last)), OTHER[first], "server of a new client")


@case("persist.edited.{kind}.{family}", kind=("port", "mark"), family=FAMILIES, fresh=True)
def edited(t, kind, family):
    """A service that is not persistent any more passes templates by; when it is again they count again."""
    service = Sticky(t, kind, "nat", family)
    first = service.who()
    edit = "-E" + service.service[2:]
    t.backend.restore(edit)
    equal({service.who() for _ in range(2)}, set(OTHER), "servers without persistence")
    t.backend.restore(f"{edit} -p 50")
    equal([service.who() for _ in range(3)], [first] * 3, "server with persistence again")
    equal(len(service.templates()), 1, "templates")


def raw(t, method, family, proto, *options):
    """Ends whose frames a case plays, at a persistent service."""
    ends = Ends(t, method, family, proto, balance=False)
    t.backend.restore(t.service(family, proto, ends.vport, "-s rr", *(options or ("-p 300",))),
                      t.target(family, proto, ends.vport, method, ends.rip, ends.rport))
    return ends


def states(ends):
    """The states of templates and of connections."""
    found = sorted((c.source.endswith(":0"), c.state) for c in ends.known())
    return [state for template, state in found if template], [state for template, state in found if not template]


@case("persist.assured.{method}.{family}.{proto}", method=("nat", "dr"), family=FAMILIES, proto=PROTOCOLS)
def assured(t, method, family, proto):
    """A template is assured when a connection stands open, or a datagram was answered."""
    ends = raw(t, method, family, proto)
    ends.flow().send(b"", **({"flags": wire.SYN} if proto == "tcp" else {}))
    equal(states(ends)[0], ["NONE"], "state of the template at first")
    ends.flow().open()
    # With direct routing the director sees no answer.
    want = "NONE" if (method, proto) == ("dr", "udp") else "ASSURED"
    equal(states(ends)[0], [want], "state of the template at last")


@case("persist.reused.{method}.{family}.{early}", method=("nat", "dr"), family=FAMILIES, early=EARLY)
def reused(t, method, family, early):
    """A SYN over a connection that is over goes on with it, as the template leads to the same server anyway."""
    ends = raw(t, method, family, "tcp")
    flow = ends.flow().open()
    end(flow, "rst")
    equal(states(ends)[1], ["CLOSE"], "state after a reset")
    flow.send(b"again", flags=wire.SYN, seq=77)
    equal(states(ends)[1], ["SYN_RECV"], "state after the SYN")
    settle(lambda: t.backend.counters()["TCP", join(ends.vip, ends.vport)][0].conns, 1, "connections counted")


@case("persist.ops.{family}", family=FAMILIES)
def ops(t, family):
    """One-packet scheduling: each datagram is a connection, the template leads all to one server."""
    service = Sticky(t, "port", "dr", family, "udp", "-p 300 -o")
    client = service.client()
    equal(len({client.ask_until_answered().name for _ in range(5)}), 1, "servers")
    counted = t.backend.counters()["UDP", service.virtual][0].conns
    check(counted >= 5, f"{counted} connections were counted for five datagrams")
    equal([c.source for c in service.listed()], [join(ADDRESS["client"][family], 0)], "what is listed")


@case("persist.ops_rest.{family}", needs=("rlvs",), family=FAMILIES, fresh=True)
def ops_rest(t, family):
    """A template without a connection expires where nothing else keeps the worker awake."""
    t.sysctl("run_estimation", 0)
    service = Sticky(t, "port", "dr", family, "udp", "-p 2 -o")
    service.client().ask_until_answered()
    settle(t.backend.live, 0, "templates")


@case("persist.heard.{family}", needs=("rlvs",), family=FAMILIES, fresh=True)
def heard(t, family):
    """A template of a client who was answered and never heard of again keeps no handshake out."""
    ends = raw(t, "nat", family, "udp")
    short(t, 1)
    flow = ends.flow(1)
    flow.send(b"one")
    flow.send_back(b"two")
    settle(t.backend.live, 1, "what is left, the template")
    other = raw(t, "nat", family, "tcp")
    t.sysctl("conn_max", 3)
    for client in (2, 3, 4):
        other.flow(client).send(b"", flags=wire.SYN)
    check(displaced(t, "templates") > 0, "no template gave way")
    equal([c.state for c in ends.known()], [], "what is left of the first client")


@case("persist.mark_port.{family}", family=FAMILIES)
def mark_port(t, family):
    """IPVS: with persistence a service by mark keeps the packet's port, whatever port its servers have (NAT)."""
    service = Sticky(t, "mark", "nat", family)
    t.backend.restore(*(service.drop(host) for host in OTHER),
                      f"-a {service.words} -r {join(ADDRESS['rs1'][family], 9)} -m")
    equal(service.who(), "rs1", "server")


def displaced(t, kind):
    """How many of a kind gave way."""
    return json.loads(t.backend.run("-L", "--info", "-j").stdout)[f"displaced_{kind}"]


@case("persist.full.{family}", needs=("rlvs",), family=FAMILIES, fresh=True)
def full(t, family):
    """At the limit a template gives way last, never with a connection that lives, and with one that got nowhere."""
    ends = raw(t, "nat", family, "tcp")
    t.sysctl("conn_max", 4)
    syn = {"flags": wire.SYN, "payload": b""}
    for client in range(11, 31):
        ends.flow(client).send(**syn)
    equal(states(ends), (["NONE"] * 2, ["SYN_RECV"] * 2), "what is left of a flood")
    first, second = (lively(ends.flow(client)) for client in (1, 2))
    equal(states(ends), (["ASSURED"] * 2, ["ESTABLISHED"] * 2), "two clients that live")
    ends.up.send(ends.flow(3).request(**syn))
    settle(lambda: refused(t, "limit"), 1, "connections refused")
    end(second, "fin")
    equal(displaced(t, "templates"), 0, "templates that gave way")
    lively(ends.flow(4))
    equal(displaced(t, "templates"), 1, "templates that gave way")
    first.send(b"still", flags=wire.ACK)
    equal((t.backend.live(), sum(counts(t).values())), (4, 2), "connections, and templates at the server")


@case("persist.displaced.{family}", needs=("rlvs",), family=FAMILIES, fresh=True)
def gave_way(t, family):
    """A template that goes with a connection that gives way does not count at the server any more."""
    ends, other = raw(t, "nat", family, "tcp"), Ends(t, "nat", family, "udp")
    syn = {"flags": wire.SYN, "payload": b""}
    for client in (1, 2):
        ends.flow(client).send(**syn)
    equal((t.backend.live(), sum(counts(t).values())), (4, 2), "connections and templates")
    t.sysctl("conn_max", 4)
    other.flow(3).send(b"in the place of one")
    equal([len(found) for found in states(ends)], [1, 1], "templates and connections that are left")
    equal(sum(counts(t).values()), 1, "persistent connections")


CLIENTS, CONNECTIONS = 40, 10


@case("persist.at_once.{family}", family=FAMILIES, fresh=True)
def at_once(t, family):
    """Connections of many clients begin on all processors at once: one template each, and nothing is left of it."""
    short(t, 1)
    port, rport = t.port(), t.port()
    t.backend.restore(t.service(family, "udp", port, "-s rr -p 6"),
                      *(t.target(family, "udp", port, "nat", ADDRESS[host][family], rport) for host in OTHER))
    taps = {host: t.tap(host) for host in OTHER}
    packets = [wire.udp(phantom_client(family, client), 4000 + number, ADDRESS["vip"][family], port, b"hello")
               for client in range(1, 1 + CLIENTS) for number in range(CONNECTIONS)]
    ups = [t.inject("client", "eth0", ("router", "client")) for _ in range(2)]
    threads = [threading.Thread(target=up.send, args=packets[half::2]) for half, up in enumerate(ups)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def seen():
        return [(frame.ip.source, host) for host, tap in taps.items()
                for frame in tap.select(lambda ip: ip.proto == wire.UDP and ip.dport == rport, outgoing=False)]
    settle(lambda: len(seen()), len(packets), "datagrams at the servers")
    equal(len(set(seen())), CLIENTS, "pairs of a client and a server")
    equal(sum(counts(t).values()), CLIENTS, "persistent connections")
    settle(t.backend.live, 0, "connections and templates in the end")
    equal(set(counts(t).values()), {0}, "persistent connections in the end")
    equal({row[2:] for row in t.backend.destinations().values()}, {(0, 0)}, "connections of the servers in the end")


@case("persist.listed")
def listed(t):
    """Listing and saved rules have it as ipvsadm has, and can be read back."""
    lines = ("-A -t 10.0.2.100:80 -s rr -p 300", "-A -t 10.0.2.100:0 -s wlc -p 5 -M 255.255.255.0",
             "-A -u [fd00:2::100]:53 -s rr -p 360 -M 64 -o", "-A -f 7 -6 -s sh -p 2678400 -b sh-port")
    t.backend.restore(*lines)
    saved = t.backend.save()
    equal(sorted(line.strip() for line in saved.splitlines()), sorted(lines), "saved rules")
    text = t.backend.run("-L", "-n").stdout
    for line in ("TCP  10.0.2.100:80 rr persistent 300\n", "TCP  10.0.2.100:0 wlc persistent 5 mask 255.255.255.0\n",
                 "UDP  [fd00:2::100]:53 rr persistent 360 mask 64 ops\n", "FWM  7 IPv6 sh (sh-port) persistent 2678400\n"):
        check(line in text, f"no {line!r} in {text}")
    t.backend.clear()
    t.backend.restore(*saved.splitlines())
    equal(t.backend.save(), saved, "read back")


@case("persist.json", needs=("json",), fresh=True)
def as_json(t):
    """JSON has the time, the mask, and which connections are templates."""
    service = Sticky(t, "port", "nat", 4, options="-p 300 -M 255.255.255.0")
    service.who()
    found = json.loads(t.backend.run("-L", "-j").stdout)["services"][0]["persistence"]
    equal(found, {"timeout": 300, "mask": "255.255.255.0"}, "persistence")
    conns = json.loads(t.backend.run("-L", "-c", "-j").stdout)
    templates = [(c["template"], c["client"]["address"], c["client"]["port"], c["forward"]) for c in conns]
    equal(sorted(templates)[1], (True, "10.0.1.0", 0, "masq"), "the template")
