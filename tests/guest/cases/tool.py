# SPDX-License-Identifier: GPL-2.0
"""The tool against the module: listings, saving and restoring, moving over from IPVS, and dumps of much and of what changes."""

import json
import threading

import wire
from context import join
from flow import Ends
from lab import ADDRESS
from netlink import DUMP, GET_SERVICE, SERVICE, SVC_PORT, Genl, parse
from suite import FAMILIES, case, check, equal, raises, settle

MANY = 250


def mixed(t):
    """Services of all kinds, as -S writes them."""
    lines = []
    for number, (scheduler, flags) in enumerate((("rr", ""), ("wlc", ""), ("sh", " -b sh-fallback,sh-port"),
                                                 ("mh", " -b mh-port"), ("wrr", ""), ("lc", ""), ("sed", ""),
                                                 ("nq", ""), ("fo", ""), ("ovf", ""), ("twos", ""), ("lblc", ""),
                                                 ("lblcr", ""), ("none", ""))):
        for family in FAMILIES:
            vip = join(ADDRESS["vip"][family], 700 + number)
            kind = "-t" if number % 2 else "-u"
            lines.append(f"-A {kind} {vip} -s {scheduler}{flags}")
            for last, method in ((11, "-m"), (12, "-g"), (13, "-i")):
                rip = f"10.0.3.{last}" if family == 4 else f"fd00:3::{last}"
                port = 8000 + last if method == "-m" else 700 + number
                lines.append(f"-a {kind} {vip} -r {join(rip, port)} {method} -w {last * number}")
    return lines


@case("tool.save_restore")
def save_restore(t):
    """What -S writes, -R reads back to the same, local addresses included."""
    lines = mixed(t)
    if "fullnat" in t.backend.features:
        lines += ["-A -t 10.0.2.100:799 -s rr", "-P -t 10.0.2.100:799 -z 10.0.3.101",
                  "-P -t 10.0.2.100:799 -z 10.0.3.102", "-a -t 10.0.2.100:799 -r 10.0.3.11:80 --fullnat -w 2"]
    t.backend.restore(*lines)
    saved = t.backend.save()
    equal(len(saved.splitlines()), len(lines), "lines saved")
    t.backend.clear()
    equal(t.backend.save(), "", "after -C")
    t.backend.run("-R", text=saved)
    equal(t.backend.save(), saved, "saved again")


@case("tool.from_ipvs.{method}.{family}", needs=("beside_ipvs",), method=("nat", "dr"), family=FAMILIES)
def from_ipvs(t, method, family):
    """What ipvsadm saved is read. New connections are rlvs's then; those that IPVS has go on until it is cleared.

    Of two hooks with one priority the later one is asked first: rlvs must not have had a service before.
    """
    old = t.beside_ipvs()
    vport = t.port()
    rport = t.port() if method == "nat" else vport
    t.serve("rs1", family, "tcp", rport, ADDRESS["rs1" if method == "nat" else "vip"][family])
    old.restore(t.service(family, "tcp", vport),
                t.target(family, "tcp", vport, method, ADDRESS["rs1"][family], rport))
    first = t.client(family, "tcp", vport)
    first.ask()
    t.backend.run("-R", text=old.save())
    equal(t.backend.save(), old.save(), "rules that were read")
    second = t.client(family, "tcp", vport)
    for client in (second, first, second, first):
        equal(client.ask(50_000, 50_000).name, "rs1", "server")
    equal((old.live(), t.backend.live()), (1, 1), "connections of IPVS and of rlvs")
    old.clear()
    raises(OSError, first.ask, "a connection that IPVS had")
    equal(second.ask(50_000, 50_000).name, "rs1", "server")


@case("tool.largest_weight.{scheduler}", needs=("rlvs",), scheduler=(
    "rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos", "lblc", "lblcr"))
def largest_weight(t, scheduler):
    """Weights up to 2^31 - 1 are taken, listed and used, by every scheduler and both families."""
    for family in FAMILIES:
        ends = Ends(t, "nat", family, "tcp", balance=False)
        heavy = t.target(family, "tcp", ends.vport, "nat", ends.rip, ends.rport, "-w", "2147483647")
        light = t.target(family, "tcp", ends.vport, "nat", ADDRESS["rs2"][family], ends.rport, "-w", "0")
        t.backend.restore(t.service(family, "tcp", ends.vport, "-s", scheduler), heavy, light)
        for sport in range(4000, 4005):
            ends.flow(sport=sport).send(b"", flags=wire.SYN)
        t.backend.restore("-e" + light[2:-1] + "2147483646", "-e" + heavy[2:])
        equal(t.backend.destinations()[join(ADDRESS["rs2"][family], ends.rport)][1], 2147483646, "weight listed")


@case("tool.unused_port.{family}", needs=("rlvs",), family=FAMILIES)
def unused_port(t, family):
    """A port that direct routing and tunnelling do not use is warned of, once a line; the rest is as ever."""
    vip, rip = join(ADDRESS["vip"][family], 700), ADDRESS["rs1"][family]
    t.backend.restore(f"-A -t {vip} -s rr")
    for command, method, port, warned in (("-a", "-g", 81, True), ("-e", "-i", 82, True), ("-e", "-g", 700, False),
                                          ("-a", "-m", 81, False)):
        done = t.backend.run(command, "-t", vip, "-r", join(rip, port), method)
        equal(len(done.stderr.splitlines()), int(warned), f"lines on stderr: {done.stderr!r}")
        check(not warned or str(port) in done.stderr, f"the port is not named: {done.stderr!r}")
    t.backend.run("-D", "-t", vip)
    lines = (f"-A -t {vip} -s rr", f"-a -t {vip} -r {join(rip, 81)} -g", f"-e -t {vip} -r {join(rip, 82)} -i")
    done = t.backend.run("-R", text="\n".join(lines) + "\n")
    equal(len(done.stderr.splitlines()), 2, f"lines on stderr: {done.stderr!r}")
    equal(list(t.backend.destinations()), [join(rip, 700)], "destinations")


@case("tool.list")
def listing(t):
    """A listing as ipvsadm prints it."""
    t.backend.restore("-A -t 10.0.2.100:80 -s wrr", "-a -t 10.0.2.100:80 -r 10.0.3.11:8080 -m -w 3",
                      "-a -t 10.0.2.100:80 -r 10.0.3.12 -g -w 0", "-A -u [fd00:2::100]:53 -s rr",
                      "-a -u [fd00:2::100]:53 -r 10.0.3.13 -i")
    body = t.backend.run("-L", "-n").stdout.splitlines()
    check(body[0].startswith("IP Virtual Server version 1.2.1 (size="), f"header {body[0]!r}")
    equal([line.rstrip() for line in body[1:]], [
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
        "TCP  10.0.2.100:80 wrr",
        "  -> 10.0.3.11:8080               Masq    3      0          0",
        "  -> 10.0.3.12:80                 Route   0      0          0",
        "UDP  [fd00:2::100]:53 rr",
        "  -> 10.0.3.13:53                 Tunnel  1      0          0"], "listing")
    one = t.backend.run("-L", "-n", "-t", "10.0.2.100:80").stdout
    check("10.0.3.11" in one and "fd00" not in one, "the listing of one service")


@case("tool.json", needs=("json",))
def as_json(t):
    """Every listing as JSON has what the text has."""
    ends = Ends(t, "fullnat", 4, "udp")
    flow = ends.flow().open()
    table = json.loads(t.backend.run("-L", "-j").stdout)
    check("rr" in json.dumps(table["services"]), "the service's scheduler")
    entry = table["services"][0]
    equal((entry["stats"]["conns"], entry["destinations"][0]["stats"]["inpkts"]), (1, 1), "counters")
    conns = json.loads(t.backend.run("-L", "-c", "-j").stdout)
    mine = [c for c in conns if c["virtual"]["port"] == ends.vport]
    equal(len(mine), 1, "connections")
    equal((mine[0]["local"]["address"], mine[0]["local"]["port"]), flow.seen, "local address of the connection")
    equal((mine[0]["client"]["address"], mine[0]["state"]), (flow.client, "UDP"), "client and state")
    for args in (("-L", "--timeout", "-j"), ("-L", "--info", "-j"), ("-G", "-j"), ("-L", "-j", "--stats")):
        check(json.loads(t.backend.run(*args).stdout), f"{args} gives nothing")


@case("tool.zero")
def zero(t):
    """-Z of one service leaves the other's counters."""
    one, two = Ends(t, "nat", 4, "udp"), Ends(t, "nat", 4, "udp")
    for ends in (one, two):
        ends.flow().open()

    def conns(ends):
        return t.backend.counters()["UDP", join(ends.vip, ends.vport)][0].conns
    settle(lambda: (conns(one), conns(two)), (1, 1), "connections counted")
    t.backend.run("-Z", "-u", join(one.vip, one.vport))
    settle(lambda: (conns(one), conns(two)), (0, 1), "connections after -Z of one service")


def many(t):
    """A service for each of many ports, with three destinations each."""
    lines = []
    for port in range(1, MANY + 1):
        lines.append(f"-A -t 10.0.2.100:{port} -s rr")
        lines += [f"-a -t 10.0.2.100:{port} -r 10.3.0.{n}:{port} -m -w {n}" for n in (1, 2, 3)]
    t.backend.restore(*lines)


@case("tool.many")
def many_listed(t):
    """A dump of several messages has every service and destination, once."""
    many(t)
    saved = t.backend.save().splitlines()
    equal(len(saved), 4 * MANY, "lines")
    equal(len(set(saved)), 4 * MANY, "different lines")


@case("tool.changing", needs=("rlvs",))
def changing(t):
    """A dump taken while services come and go has all that stay exactly once, or says that it must be repeated."""
    many(t)
    genl = Genl(t.lab, "director", "RLVS")
    t.defer(genl.close)
    going = True

    def churn():
        while going:
            t.backend.restore(*(f"-A -t 10.0.2.100:{port}" for port in range(60001, 60030)),
                              *(f"-D -t 10.0.2.100:{port}" for port in range(60001, 60030)))
    thread = threading.Thread(target=churn, daemon=True)
    thread.start()
    try:
        for _ in range(60):
            complete(genl)
    finally:
        going = False
        thread.join()
    check(complete(genl), "a dump of a table at rest is called inconsistent")
    check(not complete(genl, between=lambda: t.backend.run("-A", "-t", "10.0.2.100:60001")),
          "a service was added during the dump, and it does not say so")


def complete(genl, between=None):
    """Dump the services; False if the kernel says that the dump is inconsistent."""
    reply = genl.ask(GET_SERVICE, flags=DUMP, between=between)
    equal(reply.error, 0, "error of the dump")
    if reply.interrupted:
        return False
    ports = [int.from_bytes(parse(message[SERVICE])[SVC_PORT], "big") for message in reply.messages]
    stay = [port for port in ports if port <= MANY]
    equal((len(stay), len(set(stay))), (MANY, MANY), "services in a dump")
    return True
