# SPDX-License-Identifier: GPL-2.0
"""Each call of rlvs that asks for memory fails once, by where it stands: a clear error, nothing torn, the others go on."""

import contextlib
import ctypes
import errno
import glob
import os
import struct
import subprocess

import netlink as nl
import wire
from capture import Unfinished
from cases.icmp import ERRORS, errors
from cases.marks import ELSEWHERE, mark, named
from cases.owners import info
from cases.sip import Calls, message
from cases.strangers import lead_to, refusals
from faulty import METHODS, Faults
from flow import Ends
from ipsec import Policies
from lab import ADDRESS, CLONE_NEWNET, MAC, phantom_client
from netlink import DUMP, Genl
from suite import FAMILIES, Failed, case, check, equal, poll, until
from watch import NOTHING, sides

NEEDS = ("faults",)
STRANGERS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
LIBC = ctypes.CDLL(None, use_errno=True)
# Sites that no case reaches, by parts of their names, and why.
UNREACHED = {}


# --- the module and its namespaces ---------------------------------------------


def leftovers():
    """What a module that is not loaded must not leave."""
    return [name for pattern in ("/sys/kernel/slab/*rlvs_*", "/proc/sys/net/rlvs", "/sys/module/rlvs", "/proc/net/ip_vs*",
                                 "/proc/sys/net/ipv4/vs") for name in glob.glob(pattern)]


@case("faults.load", needs=NEEDS)
def load(t):
    """The module is loaded: without memory it is not there at all, and it can be loaded then."""
    faults = Faults(t, traffic=False)

    def insert():
        return subprocess.run(["insmod", t.backend.module], capture_output=True, text=True)

    def act(failing):
        done = insert()
        if done.returncode:
            check(failing and "Cannot allocate memory" in done.stderr, f"insmod: {done.stderr!r}")
            equal(leftovers(), [], "what is left of the module")
            done = insert()
        equal(done.returncode, 0, f"insmod: {done.stderr!r}")
        equal(t.backend.live(), 0, "connections")

    @contextlib.contextmanager
    def scenario():
        t.backend.unload()
        yield act
    faults.each(scenario)


def unshare(t):
    """Make a network namespace and leave it; the error's number, or 0."""
    try:
        return 0 if LIBC.unshare(CLONE_NEWNET) == 0 else ctypes.get_errno()
    finally:
        os.setns(t.lab.home, CLONE_NEWNET)


@case("faults.namespace", needs=NEEDS)
def namespace(t):
    """A namespace begins, as root's and as a user's own: without memory it does not, and the next one does."""
    faults = Faults(t)
    command = ("setpriv", "--reuid=2004", "--clear-groups", "unshare", "--user", "--map-root-user", "--net", "true")

    def mine(failing):
        error = unshare(t)
        if error:
            check(failing and error == errno.ENOMEM, f"unshare: error {error}")
            equal(unshare(t), 0, "error of the next one")

    def user(failing):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            check(failing and "Cannot allocate memory" in done.stderr, f"unshare: {done.stderr!r}")
            done = subprocess.run(command, capture_output=True, text=True)
        equal(done.returncode, 0, f"unshare: {done.stderr!r}")
    for act in (mine, user):
        faults.each(lambda act=act: contextlib.nullcontext(act))


# --- requests ------------------------------------------------------------------

VIP = {4: "10.9.1.1", 6: "fd00:91::1"}
MASQ, TUNNEL, DIRECT, FULLNAT = 0, 2, 3, 5


def server(family, number):
    """The address of a real server."""
    return f"10.9.3.{number}" if family == 4 else f"fd00:93::{number}"


def local(family, number):
    """A local address of the namespace."""
    return f"10.9.2.{number}" if family == 4 else f"fd00:92::{number}"


def kinds(family):
    """Requests of all kinds."""
    vip, other = VIP[family], 10 - family
    one, every = nl.service(vip, 80, full=False), nl.service(vip, 0, full=False)
    yield nl.NEW_SERVICE, nl.service(vip, 80)
    for number, method in enumerate((MASQ, DIRECT, TUNNEL), 1):
        yield nl.NEW_DEST, one + nl.dest(server(family, number), 80, method)
    yield nl.NEW_DEST, one + nl.dest(server(other, 9), 80, TUNNEL)
    for number in (1, 2):
        yield nl.NEW_LADDR, one + nl.laddr(local(family, number))
    for number in (4, 5):
        yield nl.NEW_DEST, one + nl.dest(server(family, number), 80, FULLNAT)
    for method in (FULLNAT, MASQ):
        yield nl.SET_DEST, one + nl.dest(server(family, 1), 80, method, weight=3)
    # With an engine there is a list of servers.
    yield nl.SET_SERVICE, nl.service(vip, 80, _7=nl.u32(1) + nl.u32(1), _8=nl.u32(60), _11=b"sip\0")
    for sched in (b"mh\0", b"lblc\0", b"sh\0", b"lblcr\0", b"wrr\0", b"lc\0"):
        yield nl.SET_SERVICE, nl.service(vip, 80, sched=sched)
    yield nl.NEW_LADDR, one + nl.laddr(local(family, 3))
    yield nl.DEL_LADDR, one + nl.laddr(local(family, 1))
    for number, method in ((2, DIRECT), (4, FULLNAT)):
        yield nl.DEL_DEST, one + nl.dest(server(family, number), 80, full=False)
        yield nl.NEW_DEST, one + nl.dest(server(family, number), 80, method)
    # For all ports, which takes more of a set of them.
    yield nl.NEW_SERVICE, nl.service(vip, 0)
    yield nl.NEW_LADDR, every + nl.laddr(local(family, 2))
    yield nl.NEW_DEST, every + nl.dest(server(family, 6), 0, FULLNAT)
    yield nl.SET_CONFIG, nl.attr(nl.TIMEOUT_TCP, nl.u32(900))
    yield nl.ZERO, b""
    yield nl.GET_SERVICE, one
    yield nl.GET_INFO, b""
    yield nl.DEL_SERVICE, one
    yield nl.FLUSH, b""


def many(family):
    """More services than their table begins with."""
    for port in range(1000, 1018):
        yield nl.NEW_SERVICE, nl.service(VIP[family], port)
    yield nl.DEL_SERVICE, nl.service(VIP[family], 1001, full=False)


class Desk:
    """A namespace that has nothing yet, and a socket to ask rlvs there."""

    name = "desk"

    def __init__(self, t):
        self.t = t
        try:
            check(LIBC.unshare(CLONE_NEWNET) == 0, "no namespace")
            t.lab.open[self.name] = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            os.setns(t.lab.home, CLONE_NEWNET)
        lines = ["link set lo up"] + [f"addr add {local(4, n)}/32 dev lo" for n in (1, 2, 3)]
        lines += [f"addr add {local(6, n)}/128 dev lo nodad" for n in (1, 2, 3)]
        done = t.lab.execute(self.name, "ip", "-batch", "-", text="\n".join(lines) + "\n")
        equal(done.returncode, 0, f"ip: {done.stderr}")
        self.genl = Genl(t.lab, self.name, "RLVS")

    def close(self):
        """End it."""
        self.genl.close()
        os.close(self.t.lab.open.pop(self.name))

    def state(self):
        """All that is configured, as the dumps say it; of many services no more than that they are there."""
        found, services = [], self.genl.ask(nl.GET_SERVICE, flags=DUMP).messages
        if len(services) > 2:
            return services
        for message in services:
            told = nl.parse(message[nl.SERVICE])
            name = nl.nest(nl.SERVICE, *(nl.attr(kind, told[kind])
                                         for kind in (nl.SVC_AF, nl.SVC_PROTOCOL, nl.SVC_ADDR, nl.SVC_PORT)))
            found.append((message, *(self.genl.ask(command, name, DUMP).messages for command in (nl.GET_DEST, nl.GET_LADDR))))
        return found


@case("faults.requests.{orders}.{family}", needs=NEEDS, orders=("kinds", "many"), family=FAMILIES)
def requests(t, orders, family):
    """Requests in a namespace of their own: one that is refused says so and changes nothing, and it can be done then."""
    faults, states, orders = Faults(t), [], {"kinds": kinds, "many": many}[orders]

    def act(desk, failing):
        for number, (command, payload) in enumerate(orders(family)):
            reply = desk.genl.ask(command, payload)
            if reply.error:
                text = f"request {number}, command {command}: {reply.name()} {reply.text!r}"
                check(failing and (reply.name(), reply.text) == ("ENOMEM", "out of memory"), text)
                equal(desk.state(), states[number - 1] if number else [], f"what there is after {text}")
                equal(desk.genl.ask(command, payload).name(), "0", f"the same again after {text}")
                break
            if len(states) == number:
                states.append(desk.state())
        equal(desk.state(), states[number], f"what there is after request {number}")

    @contextlib.contextmanager
    def scenario():
        desk = Desk(t)
        try:
            yield lambda failing: act(desk, failing)
        finally:
            desk.close()
    faults.each(scenario)


# --- packets -------------------------------------------------------------------


def arrives(side, failing, **fields):
    """A packet gets to the other end, or is lost if something may fail; then one like it gets there."""
    if not side.put(bound=NOTHING if failing else 60, **fields):
        check(failing, f"the {side.name} did not arrive")
        side.passes(**fields)


def look_as(mode):
    """Let the director's packets look so."""
    return lambda t, _family: t.receive_as(mode, "director", "front", "back")


def inet6(t, _family):
    """IPv4 leaves by a router with an IPv6 address."""
    t.lab.ip("director", "route replace 10.3.0.0/16 via inet6 fd00:3::13 dev back")
    t.defer(t.lab.ip, "director", "route replace 10.3.0.0/16 via 10.0.3.13")


def ruled(t, family):
    """More than addresses decides about routes."""
    rule = f"rule {{}} from {STRANGERS[family][0]} lookup main pref 100"
    t.lab.ip_of("director", family, rule.format("add"))
    t.defer(t.lab.ip_of, "director", family, rule.format("del"))


def policed(t, family):
    """IPsec's policies are asked about each packet, and there is no room for what they may want in front."""
    Policies(t).block("out", *STRANGERS[family])
    look_as("tight")(t, family)


MODES = {
    "plain": (lambda _t, _family: None, METHODS), "tight": (look_as("tight"), METHODS), "paged": (look_as("paged"), ("nat", "tun")),
    "ruled": (ruled, ("nat", "fullnat")), "policed": (policed, METHODS),
}
FOUR = {"inet6": (inet6, ("nat",))}


class Walk:
    """Packets of flows over one service, of both directions, in the large and in the small."""

    def __init__(self, t, method, family):
        self.t, self.family, self.clients = t, family, 1
        self.ends = Ends(t, method, family, "udp")
        # Who looks on shares the packets: they are changed in memory of their own.
        self.taps = [t.tap("director", dev) for dev in ("front", "back")]

    def forget(self, ways):
        """Forget who is on the links, if it is known, and maybe all ways."""
        other = f"{STRANGERS[self.family][1]}/{32 if self.family == 4 else 128} dev back"
        lines = [f"route add {other}", f"route del {other}"] if ways else []
        for name, dev in (("router.front", "front"), ("rs1", "back"), ("rs3", "back")):
            lines += [f"neigh del {ADDRESS[name][number]} dev {dev}" for number in FAMILIES]
        self.t.lab.execute("director", "ip", "-force", "-batch", "-", text="\n".join(lines) + "\n")

    def new(self):
        """A flow of a new client."""
        self.clients += 1
        for tap in (*self.taps, self.ends.near, self.ends.far):
            tap.drop()
        return self.ends.flow(self.clients)

    def both(self, flow, failing, times=2):
        """A few packets each way."""
        for number in range(times):
            for side in sides(flow):
                arrives(side, failing, payload=b"%s %d " % (side.name.encode(), number) + bytes(1300))

    @contextlib.contextmanager
    def first(self):
        """A flow begins."""
        flow = self.new()
        self.forget(ways=True)
        yield lambda failing: self.both(flow, failing)

    @contextlib.contextmanager
    def known(self):
        """A flow goes on, early if it may."""
        flow = self.new()
        self.both(flow, False, 3)
        self.forget(ways=False)
        yield lambda failing: self.both(flow, failing)


@case("faults.packets.{mode}.{family}", needs=NEEDS, mode=tuple(MODES), family=FAMILIES)
@case("faults.packets.{mode}.{family}", needs=NEEDS, mode=tuple(FOUR), family=(4,))
def packets(t, mode, family):
    """Packets of new and of known flows: one is lost at most, and the next goes on."""
    faults = Faults(t)
    change, methods = (MODES | FOUR)[mode]
    change(t, family)
    for method in methods:
        walk = Walk(t, method, family)
        faults.each(walk.first)
        faults.each(walk.known)


@case("faults.persistent.{family}", needs=NEEDS, family=FAMILIES)
def persistent(t, family):
    """The first packets of clients of a persistent service, who get a template each."""
    faults, walk = Faults(t), Walk(t, "nat", family)
    t.backend.restore("-E" + t.service(family, "udp", walk.ends.vport, "-s rr -p 300")[2:])
    faults.each(walk.first)


@case("faults.calls.{how}.{family}", needs=NEEDS, how=("known", "one_packet"), family=FAMILIES)
def calls(t, how, family):
    """Messages of new calls, from clients and from servers: one is lost at most, or goes out as it is, and the next is served."""
    faults, numbers = Faults(t), iter(range(1000))
    some = Calls(t, family, "-p 300 --pe sip" + (" -o" if how == "one_packet" else ""))
    some.ready()

    def inward(text, number, bound):
        some.up.send(some.packet(text, 4000 + number))
        return poll(lambda: text in [payload for _, payload in some.arrived()], bound)

    def outward(text, number, bound):
        some.down.send(some.outward(text, number % 2, 4000 + number, client=2))
        return poll(lambda: (some.vip, some.vport) in [source[:2] for source in some.returned(text)], bound)

    def act(failing):
        number = next(numbers)
        for name, send in (("request", inward), ("call", outward)):
            text = message(f"{name}{number}@{some.vport}")
            if not send(text, number, NOTHING if failing else 60):
                check(failing, f"the {name} did not arrive")
                check(send(text, number, 60), f"the {name} does not arrive")
    faults.each(lambda: contextlib.nullcontext(act))


@case("faults.fragments", needs=NEEDS)
def fragments(t):
    """An answer in fragments: without memory it does not get through, the next one does."""
    faults, ends, clients = Faults(t), Ends(t, "nat", 4, "udp"), iter(range(2, 1000))
    payload = bytes(1500)

    @contextlib.contextmanager
    def scenario():
        flow = ends.flow(next(clients))
        flow.send()

        def whole():
            pieces = [frame.ip for frame in ends.near.select(lambda ip: ip.target == flow.client, False)]
            found = pieces and wire.reassemble(pieces)
            return found and found.payload == payload

        def act(failing):
            ends.down.send(*wire.fragments(flow.reply(payload), 1000))
            if not poll(whole, NOTHING if failing else 60):
                check(failing, "the answer did not arrive")
                ends.down.send(*wire.fragments(flow.reply(payload), 1000))
                until(whole, "the answer arrives")
        yield act
    faults.each(scenario)


@case("faults.locality.{sched}.{family}", needs=NEEDS, sched=("lblc", "lblcr"), family=FAMILIES)
def locality(t, sched, family):
    """A scheduler that remembers addresses and has no memory for one: a datagram is lost at most, and the next goes on."""
    faults, ends, clients = Faults(t), Ends(t, "nat", family, "udp"), iter(range(2, 1000))
    edit = t.service(family, "udp", ends.vport, "-s").replace("-A", "-E")

    @contextlib.contextmanager
    def scenario():
        t.backend.restore(f"{edit} rr")

        def act(failing):
            try:
                t.backend.restore(f"{edit} {sched}")
            except Failed as error:
                check(failing and "out of memory" in str(error), str(error))
                t.backend.restore(f"{edit} {sched}")
            flow = ends.flow(next(clients))
            ends.up.send(flow.request(b"1"))
            if not flow.arrived(b"1", bound=NOTHING if failing else 60):
                check(failing, "the request did not arrive")
                flow.send(b"1")
        yield act
    faults.each(scenario)


@case("faults.icmp.{family}", needs=NEEDS, family=FAMILIES)
def icmp(t, family):
    """Errors about packets, whose checksum a device is to finish, both ways."""
    faults, ends = Faults(t), Ends(t, "nat", family, "udp")
    flow, kind = ends.flow().open(), ERRORS["port"][family]
    quoted = flow.build(flow.seen, (ends.rip, ends.rport), payload=b"quoted")
    start = 20 if family == 4 else 40
    routes = {
        ends.far: (t.inject("client", "eth0", ("router", "client")), wire.icmp(flow.client, ends.vip, *kind, flow.answered(b"quoted"))),
        ends.near: (t.inject("rs3", "eth0", ("director", "back")), wire.icmp(ends.rip, flow.seen[0], *kind, quoted)),
    }
    senders = {tap: (Unfinished(injector), unfinished(error, start)) for tap, (injector, error) in routes.items()}

    def act(failing):
        for tap, (sender, error) in senders.items():
            tap.drop()
            sender.send(error, start, 2)
            if not poll(lambda tap=tap: errors(tap, kind), NOTHING if failing else 60):
                check(failing, "the error did not arrive")
                sender.send(error, start, 2)
                until(lambda tap=tap: errors(tap, kind), "the error arrives")
    faults.each(lambda: contextlib.nullcontext(act))


def unfinished(error, start):
    """An ICMP message as its sender leaves it to a device: the checksum's place holds the sum of what is not summed."""
    ip, data = wire.Ip(error), bytearray(error)
    head = wire.pseudo(wire.binary(ip.source), wire.binary(ip.target), ip.proto, len(ip.l4)) if ip.version == 6 else b""
    data[start + 2:start + 4] = struct.pack("!H", wire.total(head))
    return bytes(data)


@case("faults.bypass.{family}", needs=NEEDS, family=FAMILIES)
def bypass(t, family):
    """cache_bypass finds no memory when it is set: connections are refused until the worker, called by one, has found some."""
    faults, address, port, numbers = Faults(t, traffic=False), ELSEWHERE[family], t.port(), iter(range(1000, 60_000))
    lead_to(t, family, address)
    mark(t, family, "udp", port, address=address)
    far, up = t.tap("rs2"), t.inject("client", "eth0", ("router", "client"))

    def passes():
        up.send(wire.udp(phantom_client(family), next(numbers), address, port, b"past all"))
        return far.select(lambda ip: ip.payload == b"past all", outgoing=False)

    @contextlib.contextmanager
    def scenario():
        t.backend.reload()
        t.backend.restore(f"-A {named(family)} -s rr")
        far.drop()

        def act(_failing):
            t.backend.sysctl("cache_bypass", 1)
            until(passes, "a datagram to another host")
        yield act
    faults.each(scenario)


@case("faults.servers.{family}", needs=NEEDS, family=FAMILIES)
def servers(t, family):
    """The list of real servers for nat_icmp_send finds no memory: the worker tries again."""
    faults, ends = Faults(t, traffic=False), Ends(t, "nat", family, "udp")
    stray = ends.flow().build((ends.rip, ends.rport), (phantom_client(family, 9), 77), payload=b"to nobody")

    def told():
        ends.down.send(stray)
        return refusals(ends.far, family, ends.rip)

    @contextlib.contextmanager
    def scenario():
        t.backend.sysctl("nat_icmp_send", 0)
        ends.far.drop()

        def act(_failing):
            t.backend.sysctl("nat_icmp_send", 1)
            until(told, "an error at the server")
        yield act
    faults.each(scenario)


@case("faults.tunnel.{family}_in_{outer}", needs=NEEDS, family=FAMILIES, outer=FAMILIES)
def tunnel(t, family, outer):
    """An error about a packet in a tunnel, of which its client is to be told."""
    faults, ends = Faults(t), Ends(t, "tun", family, "udp", balance=False)
    t.balance(family, "udp", ends.vport, "tun", ADDRESS["rs1"][outer], ends.vport)
    ends.flow().open()
    sent = ends.far.select(lambda ip: ip.proto in (wire.IPIP, wire.IPV6_IN_IP), outgoing=False)[-1].ip
    error = wire.icmp(ADDRESS["rs2"][outer], sent.source, *((3, 4, 1400) if outer == 4 else (2, 0, 1400)), sent.raw)
    want = ERRORS["toobig"][family]
    t.defer(t.forget)

    def act(failing):
        ends.near.drop()
        ends.down.send(error)
        if not poll(lambda: errors(ends.near, want), NOTHING if failing else 60):
            check(failing, "the client was not told")
            ends.down.send(error)
            until(lambda: errors(ends.near, want), "the client is told")
    faults.each(lambda: contextlib.nullcontext(act))


@case("faults.link_local.{method}", needs=NEEDS, method=("nat", "fullnat"))
def link_local(t, method):
    """A client that has only a link-local address, of which a flow has to remember the link."""
    faults, ends, address = Faults(t), Ends(t, method, 6, "udp"), "fe80::1234"
    injector, ports = t.inject("router", "front", ("director", "front")), iter(range(4000, 5000))
    t.lab.ip("director", f"neigh replace {address} lladdr {MAC['router', 'front']} dev front nud permanent")
    t.defer(t.lab.ip, "director", f"neigh del {address} dev front")

    def act(failing):
        sport = next(ports)
        payload = b"%d" % sport

        def came():
            return ends.far.select(lambda ip: ip.dport == ends.rport and ip.payload == payload, False)
        ends.far.drop()
        injector.send(wire.udp(address, sport, ends.vip, ends.vport, payload))
        if not poll(came, NOTHING if failing else 60):
            check(failing, "the request did not arrive")
            injector.send(wire.udp(address, sport, ends.vip, ends.vport, payload))
            until(came, "the request arrives")
    faults.each(lambda: contextlib.nullcontext(act))


# --- many flows ----------------------------------------------------------------


class Crowd:
    """Flows that come in their thousands, and the table that grows with them."""

    # As many entries for each bucket make a table grow.
    FULL = 5

    def __init__(self, t, family):
        self.t, self.ends, self.sent = t, Ends(t, "dr", family, "udp"), []
        self.others = t.backend.live()

    def to(self, number):
        """Have so many send a datagram; the same again as long as some were refused."""
        flows = [self.ends.flow(1 + n % 200, 5000 + n // 200) for n in range(len(self.sent), number)]
        self.sent += flows
        self.ends.up.send(*(flow.request(b"1") for flow in flows))
        self.settle(flows)

    def settle(self, flows):
        """Wait until all are known."""
        def known():
            if self.t.backend.live() == self.others + len(self.sent):
                return True
            self.ends.up.send(*(flow.request(b"1") for flow in flows))
            return poll(lambda: self.t.backend.live() == self.others + len(self.sent), 3)
        until(known, "all are known")

    def size(self):
        """Buckets of both families' tables; asked again if the question itself finds no memory."""
        try:
            return info(self.t)["size"]
        except Failed as error:
            check("out of memory" in str(error), str(error))
            return self.size()


@case("faults.crowd.{family}", needs=NEEDS, family=FAMILIES)
def crowd(t, family):
    """Thousands of flows come and a table grows: who is refused gets in later, the growth goes on, known flows all the while."""
    faults, crowd_of = Faults(t), Crowd(t, family)
    size = crowd_of.size()
    faults.arm()
    crowd_of.to(3000)
    for site in faults.counts():
        faults.arm((site, 0, site.how))
        crowd_of.to(len(crowd_of.sent) + 100)
    faults.arm()
    crowd_of.to(1024 * Crowd.FULL + 200)
    until(lambda: crowd_of.size() > size, "the first growth")
    size, reached = crowd_of.size(), faults.counts()
    # All at once: each attempt ends at another of them.
    faults.arm(*((site, 0, site.how) for site in reached))
    crowd_of.to(2048 * Crowd.FULL + 200)
    until(lambda: crowd_of.size() > size, "the second growth")
    faults.counts()
    faults.arm()
    faults.traffic.round()


@case("faults.sites", needs=NEEDS)
def sites(t):
    """All of them have failed in the cases before."""
    found, failed = Faults(t, traffic=False).sites, Faults.failed
    excused = {site: reason for site in found for (function, calls), reason in UNREACHED.items()
               if function in site.function and calls == site.calls}
    for site in found:
        if site not in failed:
            print(f"    {site} did not fail{': ' + excused[site] if site in excused else ''}")
    print(f"    {len(found)} sites found, {len(failed)} failed, {len(excused)} can't be reached")
    check(not failed & excused.keys(), "a site failed that is said to be out of reach")
    equal(len(failed), len(found) - len(excused), "sites that failed, if all of faults ran")
