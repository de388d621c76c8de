# SPDX-License-Identifier: GPL-2.0
"""Services by firewall mark, and one-packet scheduling."""

import wire
from context import FORWARD, join
from flow import Ends
from lab import ADDRESS
from rules import filter_rules, wall
from suite import EARLY, FAMILIES, PROTOCOLS, HANG, case, check, equal, raises

METHODS = ("nat", "dr", "tun", "fullnat")
MARK, TABLE = 7, 108
# An address that no host has, and that the case routes to the director.
ELSEWHERE = {4: "10.5.0.1", 6: "fd00:55::1"}


def named(family):
    """The words that name the service."""
    return f"-f {MARK}" + (" -6" if family == 6 else "")


def mark(t, family, proto, *ports, address=None):
    """The director marks what comes to some ports of an address."""
    to = f"{'ip6' if family == 6 else 'ip'} daddr {address or ADDRESS['vip'][family]}"
    chosen = ", ".join(map(str, ports))
    filter_rules(t, "table inet marks {\nchain first { type filter hook prerouting priority mangle\n"
                    f"{to} {proto} dport {{ {chosen} }} meta mark set {MARK}\n}}\n}}\n")


def balance(t, family, method, *targets):
    """The service with its destinations."""
    lines = [f"-A {named(family)} -s rr"]
    if method == "fullnat":
        lines += [f"-P {named(family)} -z {ADDRESS[name][family]}" for name in ("lip1", "lip2")]
    t.backend.restore(*lines, *(f"-a {named(family)} -r {target} {FORWARD[method]}" for target in targets))


@case("marks.served.{method}.{family}.{proto}.{early}", method=METHODS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def served(t, method, family, proto, early):
    """Whatever bears the mark is the service's, to all ports that the rule names; what does not bear it is not."""
    ports = [t.port(), t.port()]
    keeps = method in ("dr", "tun")
    rport = t.port()
    for port in ports if keeps else [rport]:
        t.serve("rs1", family, proto, port, ADDRESS["vip" if keeps else "rs1"][family])
    mark(t, family, proto, *ports)
    rip = ADDRESS["rs1"][family]
    balance(t, family, method, rip if keeps else join(rip, rport))
    for port in ports:
        client = t.client(family, proto, port)
        for size in (100, 1000, 200):
            equal(client.ask(size).name, "rs1", f"who answers on port {port}")
    other = raises((ConnectionRefusedError,), lambda: t.client(family, proto, t.port()).timeout(HANG).ask(), "without mark")
    check(other, "somebody answered without a mark")


@case("marks.all_ports.{method}.{family}.{proto}", method=("nat", "fullnat"), family=FAMILIES, proto=PROTOCOLS)
def all_ports(t, method, family, proto):
    """A destination without a port gets the packet's own."""
    port = t.port()
    # No other case's service has this one: FULLNAT's ports for all of a server's exclude those for one.
    t.serve("rs2", family, proto, port)
    mark(t, family, proto, port)
    balance(t, family, method, ADDRESS["rs2"][family])
    equal(t.client(family, proto, port).ask(500).name, "rs2", "who answers")


@case("marks.order.{family}", family=FAMILIES)
def order(t, family):
    """The mark comes before address and port; the same number is another service in the other family."""
    marked, plain, rport = t.port(), t.port(), t.port()
    for host in ("rs1", "rs2"):
        t.serve(host, family, "tcp", rport)
    mark(t, family, "tcp", marked)
    for port in (marked, plain):
        t.balance(family, "tcp", port, "nat", ADDRESS["rs1"][family], rport)
    balance(t, 10 - family, "nat")
    equal(t.client(family, "tcp", marked).ask().name, "rs1", "with the other family's service only")
    balance(t, family, "nat", join(ADDRESS["rs2"][family], rport))
    old = t.client(family, "tcp", plain)
    equal(old.ask().name, "rs1", "without mark")
    equal(t.client(family, "tcp", marked).ask().name, "rs2", "with the mark")
    t.backend.run("-D", *named(family).split())
    equal(t.client(family, "tcp", marked).ask().name, "rs1", "with the mark, the service gone")


@case("marks.elsewhere.{method}.{family}.{early}", method=("nat", "fullnat"), family=FAMILIES, early=EARLY)
def elsewhere(t, method, family, early):
    """An address that is not the host's: a rule for the mark routes it there."""
    address, port, rport = ELSEWHERE[family], t.port(), t.port()
    t.serve("rs1", family, "tcp", rport)
    mark(t, family, "tcp", port, address=address)
    both = (f"route {{}} local default dev lo table {TABLE}", f"rule {{}} fwmark {MARK} lookup {TABLE}")
    t.lab.ip_of("director", family, *(line.format("add") for line in both))
    t.defer(t.lab.ip_of, "director", family, *(line.format("del") for line in both))
    way = f"route {{}} {address} via {ADDRESS['director'][family]}"
    t.lab.ip_of("router", family, way.format("add"))
    t.defer(t.lab.ip_of, "router", family, way.format("del"))
    balance(t, family, method, join(ADDRESS["rs1"][family], rport))
    client = t.client(family, "tcp", port, address=address)
    for size in (100, 50_000, 100):
        equal(client.ask(size, size).name, "rs1", "who answers")


@case("marks.here.{method}.{family}.{proto}", method=("nat", "dr"), family=FAMILIES, proto=PROTOCOLS)
def here(t, method, family, proto):
    """The director's own clients are given the mark in OUTPUT."""
    port, rport = t.port(), t.port()
    keeps = method == "dr"
    t.serve("rs1", family, proto, port if keeps else rport, ADDRESS["vip" if keeps else "rs1"][family])
    to = f"{'ip6' if family == 6 else 'ip'} daddr {ADDRESS['vip'][family]}"
    filter_rules(t, "table inet marks {\nchain first { type route hook output priority mangle\n"
                    f"{to} {proto} dport {port} meta mark set {MARK}\n}}\n}}\n")
    rip = ADDRESS["rs1"][family]
    balance(t, family, method, rip if keeps else join(rip, rport))
    client = t.client(family, proto, port, host="director", source=(ADDRESS["director"][family], 0))
    for size in (100, 1000):
        equal(client.ask(size).name, "rs1", "who answers")


@case("marks.moved.{family}", needs=("fullnat",), family=FAMILIES)
def moved(t, family):
    """A FULLNAT service that nobody has used becomes one by mark, and back, in one go."""
    vip, rip = (join(ADDRESS[name][family], 80) for name in ("vip", "rs3"))
    lip = ADDRESS["lip1"][family]
    by_port = [f"-A -t {vip} -s rr", f"-P -t {vip} -z {lip}", f"-a -t {vip} -r {rip} --fullnat"]
    by_mark = [f"-A {named(family)} -s rr", f"-P {named(family)} -z {lip}", f"-a {named(family)} -r {rip} --fullnat"]
    t.backend.restore(*by_port)
    t.backend.restore(f"-D -t {vip}", *by_mark)
    t.backend.restore(f"-D {named(family)}", *by_port)


@case("marks.listed")
def listed(t):
    """Listing and saved rules name the mark as ipvsadm does, and can be read back."""
    lines = ("-A -f 7 -s rr", "-a -f 7 -r 10.0.3.11:0 -m -w 1", "-A -f 7 -6 -s wlc",
             "-a -f 7 -6 -r [fd00:3::11]:81 -g -w 3", "-A -f 4294967295 -s sh -o -b sh-port", "-A -u 10.0.2.100:53 -s rr -o")
    t.backend.restore(*lines)
    saved = [line.replace(" --tun-type ipip", "").strip() for line in t.backend.save().splitlines()]
    equal(sorted(saved), sorted(lines), "saved rules")
    table = [line.split() for line in t.backend.run("-L", "-n").stdout.splitlines()]
    equal([fields for fields in table if fields[0] in ("FWM", "UDP")],
          [["UDP", "10.0.2.100:53", "rr", "ops"], ["FWM", "7", "rr"], ["FWM", "7", "IPv6", "wlc"],
           ["FWM", "4294967295", "sh", "(sh-port)", "ops"]], "listing")
    t.backend.clear()
    t.backend.restore(*saved)
    equal(sorted(t.backend.save().splitlines()), sorted(line.rstrip() for line in t.backend.save().splitlines()), "read back")


@case("ops.{by}.{method}.{family}", by=("port", "mark"), method=("dr", "tun"), family=FAMILIES)
def ops(t, by, method, family):
    """Each datagram of one socket is scheduled by itself, counted as a connection, and not remembered."""
    port = t.port()
    service = named(family) if by == "mark" else f"-u {join(ADDRESS['vip'][family], port)}"
    hosts = ("rs1", "rs2")
    for host in hosts:
        t.serve(host, family, "udp", port, ADDRESS["vip"][family])
    if by == "mark":
        mark(t, family, "udp", port)
    t.backend.restore(f"-A {service} -s rr -o",
                      *(f"-a {service} -r {join(ADDRESS[host][family], port)} {FORWARD[method]}" for host in hosts))
    client = t.client(family, "udp", port)
    names = [client.ask_until_answered().name for _ in range(6)]
    equal(names, names[:2] * 3, "who answers")
    equal(set(names), set(hosts), "all servers")
    equal([c for c in t.backend.connections() if c.virtual == join(ADDRESS["vip"][family], port)], [], "connections")
    equal([row[2:] for row in t.backend.destinations().values()], [(0, 0)] * 2, "active and inactive connections")
    rows = [line.split() for line in t.backend.run("-L", "-n", "--stats", "--exact").stdout.splitlines()]
    counts = [int(row[2]) for row in rows if len(row) == 7 and row[0] == "->"]
    equal(counts, [3, 3], "connections counted at each server")


@case("ops.edited.{family}", family=FAMILIES)
def edited(t, family):
    """An edit turns it on and off; a flow that was remembered goes on being one."""
    port = t.port()
    service = f"-u {join(ADDRESS['vip'][family], port)}"
    for host in ("rs1", "rs2"):
        t.serve(host, family, "udp", port, ADDRESS["vip"][family])
    t.backend.restore(f"-A {service} -s rr", *(f"-a {service} -r {join(ADDRESS[host][family], port)} -g"
                                              for host in ("rs1", "rs2")))
    old = t.client(family, "udp", port)
    first = old.ask_until_answered().name
    t.backend.restore(f"-E {service} -s rr -o")
    equal([old.ask_until_answered().name for _ in range(4)], [first] * 4, "who answers the old flow")
    new = t.client(family, "udp", port)
    equal({new.ask_until_answered().name for _ in range(4)}, {"rs1", "rs2"}, "who answers a new socket")
    t.backend.restore(f"-E {service} -s rr")
    kept = t.client(family, "udp", port)
    equal(len({kept.ask_until_answered().name for _ in range(4)}), 1, "servers of a socket after it was turned off")


@case("ops.earns_nothing.{family}", needs=("rlvs",), family=FAMILIES)
def earns_nothing(t, family):
    """A datagram that looks, rewritten, like one of another service's flow does not let that flow past a new rule."""
    ends = Ends(t, "nat", family, "udp")
    flow, other = ends.flow().open(), t.port()
    service = f"-u {join(ends.vip, other)}"
    t.backend.restore(f"-A {service} -s rr -o", f"-a {service} -r {join(ends.rip, ends.rport)} -m")
    wall(t, {"input": f"udp dport {ends.vport} drop", "postrouting": "counter"})
    t.backend.run("--recheck")
    for number in range(3):
        payload = b"by the other %d" % number
        flow.begin()
        ends.up.send(wire.udp(flow.client, flow.sport, ends.vip, other, payload=payload))
        check(flow.arrived(payload), f"{payload!r} did not arrive")
    flow.begin()
    ends.up.send(flow.request(b"past the rule"))
    check(not flow.arrived(b"past the rule", bound=0.3), "a request went past the rule")


@case("ops.refused", needs=("rlvs",))
def refused(t):
    """FULLNAT has to remember: neither comes to the other."""
    t.backend.restore("-A -u 10.0.2.100:700 -s rr -o", "-P -u 10.0.2.100:700 -z 10.0.3.101", "-A -u 10.0.2.100:701 -s rr",
                      "-P -u 10.0.2.100:701 -z 10.0.3.101", "-a -u 10.0.2.100:701 -r 10.0.3.11:53 --fullnat")
    saved = t.backend.save()
    for line in ("-a -u 10.0.2.100:700 -r 10.0.3.11:53 --fullnat", "-E -u 10.0.2.100:701 -s rr -o"):
        done = t.backend.run(*line.split(), ok=False)
        equal(done.returncode, 1, f"status of {line}")
        check("FULLNAT" in done.stderr, f"{line}: {done.stderr!r}")
    equal(t.backend.save(), saved, "configuration")
