# SPDX-License-Identifier: GPL-2.0
"""Bounds: lists as long as memory allows for who rules the machine, and what the others may have, alone and together."""

import os
import sys

from cases.owners import memory, owned
from context import join
from lab import ADDRESS
from suite import FAMILIES, case, check, equal, until

# The kernel has no contiguous memory for so many of anything that is larger than a pointer. One that checks itself
# takes milliseconds for each request.
MANY = 4000 if os.path.exists("/sys/kernel/debug/kmemleak") else 33000
# Lines for one run of the tool.
PART = 3000
# What a service in a user namespace may have, and what it is told.
CROWD, TOLD = 4096, "a service in a user namespace can have 4096 destinations"


def crowd(family, port, number):
    """So many destinations that no host is."""
    if family == 6:
        return [join(f"fd00:77::{n + 1:x}", port) for n in range(number)]
    return [join(f"10.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}", port) for n in range(number)]


def listed(t):
    """The destinations in the module's order."""
    lines = t.backend.run("-L", "-n", "--nosort").stdout.splitlines()
    return [line.split()[1] for line in lines[3:] if line.startswith("  -> ")]


@case("owners.many.{family}.{scheduler}", family=(4,), scheduler=("rr",), needs=("rlvs",), fresh=True)
@case("owners.many.{family}.{scheduler}", family=(6,), scheduler=("wlc",), needs=("rlvs",), fresh=True)
def many(t, family, scheduler):
    """Tens of thousands of destinations in one service: all are there, newest first; the one that has a weight serves; they go again."""
    port, rport = t.port(), t.port()
    t.serve("rs1", family, "udp", rport)
    service = f"-u {join(ADDRESS['vip'][family], port)}"
    dests, server = crowd(family, port, MANY), join(ADDRESS["rs1"][family], rport)
    lines = [f"-a {service} -r {dest} -m -w 0" for dest in dests]
    lines.insert(MANY // 2, f"-a {service} -r {server} -m -w 7")
    dests.insert(MANY // 2, server)
    lines.insert(0, f"-A {service} -s {scheduler}")
    for begin in range(0, len(lines), PART):
        t.backend.restore(*lines[begin:begin + PART])
    check(listed(t) == dests[::-1], "other destinations are listed, or in another order")
    known = t.client(family, "udp", port)
    equal(known.ask().name, "rs1", "who answers among so many")
    gone = [dests.pop(n) for n in (MANY, MANY * 3 // 4, MANY // 4, 0)]
    t.backend.restore(*(f"-d {service} -r {dest}" for dest in gone),
                      f"-e {service} -r {dests[1]} -m -w 0", f"-E {service} -s {scheduler}")
    check(listed(t) == dests[::-1], "others are listed after some were removed")
    t.backend.restore(f"-a {service} -r {gone[0]} -m -w 0")
    check(listed(t) == [gone[0]] + dests[::-1], "the one that is back does not stand first")
    equal(t.client(family, "udp", port).ask().name, "rs1", "who answers after that")
    equal(known.ask().name, "rs1", "who answers the first client")
    t.backend.run("-C")
    equal(listed(t), [], "destinations at last")


@case("owners.crowd.{family}", family=FAMILIES, needs=("rlvs",), fresh=True)
def crowded(t, family):
    """In a user's namespace a service takes 4096 destinations, which some schedulers walk over, and says so after that."""
    address, port = ADDRESS["vip"][family], t.port()
    service, other = (f"-u {join(address, port)}" for port in (port, t.port()))
    dests = crowd(family, port, CROWD + 1)
    with owned(t) as one:
        lines = [f"-a {service} -r {dest} -m" for dest in dests]
        done = one([f"-A {service} -s lc"] + lines[:-1])
        equal((done.returncode, done.stderr), (0, ""), "as many as there may be")
        said = one(lines[-1:]).stderr
        check(TOLD in said, f"told {said!r} about one more")
        equal(one([f"-A {other} -s lc", f"-a {other} -r {dests[-1]} -m"]).stderr, "", "another service")
        equal(one([f"-d {service} -r {dests[5]}", lines[-1]]).stderr, "", "one in place of another")
        check(TOLD in one([lines[5]]).stderr, "one more again")
    t.backend.restore(f"-A {service} -s lc", *lines)
    equal(len(listed(t)), CROWD + 1, "destinations in the machine's own namespace")


# Sends a datagram from each of so many ports.
SENDER = """
import socket, sys
address, port, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for n in range(number):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 10000 + n))
        sock.sendto(b"1", (address, port))
"""


@case("owners.flows.{family}", family=FAMILIES, needs=("rlvs",), fresh=True)
def flows(t, family):
    """A user gets as many connections as he leaves free; the machine's own namespace goes on; what ends makes room."""
    t.backend.reload("quota=1")
    t.defer(t.backend.reload)
    # One for each 32 kB, and a hundredth of that.
    most, port = (memory() >> 15) // 100, t.port()
    address, server = ("10.9.0.1", "10.9.0.2") if family == 4 else ("fd00:9::1", "fd00:9::2")
    lines = [f"-A -u {join(address, port)} -s rr", f"-a -u {join(address, port)} -r {join(server, port)} -m"]

    def begin(owner, number):
        done = owner.run(sys.executable, "-c", SENDER, address, str(port), str(number))
        equal((done.returncode, done.stderr), (0, ""), "the sender")
        return owner.info()["connections"]

    def ready(owner):
        for place in (address, server):
            owner.run("ip", "addr", "add", place, "dev", "lo", *(["nodad"] if family == 6 else []))
        equal(owner(lines).stderr, "", "a service")

    with owned(t, 2001) as one, owned(t, 2002) as two:
        ready(one)
        ready(two)
        part = begin(one, 2 * most)
        other = begin(two, 2 * most)
        print(f"    {part} and {other} of {most}")
        # The machine has somewhat more memory than the guest names.
        check(most * 0.45 <= part <= most * 0.6, f"{part} connections of {most} for the first")
        check(most * 0.2 <= other <= most * 0.3, f"{other} connections of {most} for the second")
        check(begin(one, 2 * most + 50) <= part, "more connections of the first")
        t.serve("rs1", family, "udp", port)
        t.balance(family, "udp", port, "nat", ADDRESS["rs1"][family], port)
        for _ in range(20):
            equal(t.client(family, "udp", port).ask().name, "rs1", "who answers in the machine's own namespace")
    with owned(t, 2001) as three:
        ready(three)
        until(lambda: begin(three, most * 4 // 10) == most * 4 // 10, "room for connections")
