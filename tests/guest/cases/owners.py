# SPDX-License-Identifier: GPL-2.0
"""Memory, locks and processor time belong to those who use them: what an idle namespace costs, and who may take what."""

import contextlib
import ctypes
import json
import os
import subprocess
import time

import wire
from flow import Ends
from lab import ADDRESS, CLONE_NEWNET, phantom_server
from suite import FAMILIES, PROTOCOLS, case, check, equal, poll, settle, until

IDLE = 40
# Seconds for a look at the state, on a machine that is busy.
SLACK = 10
FAILSLAB = "/sys/kernel/debug/failslab"


def info(t, host="director"):
    """What the module says of a namespace."""
    return json.loads(t.backend.run("-L", "--info", "-j", host=host).stdout)


def objects(cache):
    """How many objects a cache of the kernel has, as /proc/slabinfo counts them."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.split()[0] == cache), 0)


def rested(t, host="director"):
    """Wait until the upkeep of a namespace has come to rest: it would run again within a second; return its runs."""
    last = [None, 0.0]

    def still():
        runs, last[0] = last[0], info(t, host)["upkeep_runs"]
        return runs == last[0]

    # Two looks that are longer apart than the longest pause between two runs.
    poll(lambda: False, 6)
    still()
    poll(lambda: False, 6)
    check(still(), f"the upkeep goes on: {last[0]} runs")
    return last[0]


@contextlib.contextmanager
def crowd(t, number):
    """So many namespaces with nothing in them; gives their names, by which the lab knows them."""
    libc, names = ctypes.CDLL(None, use_errno=True), [f"idle{n}" for n in range(number)]
    try:
        for name in names:
            check(libc.unshare(CLONE_NEWNET) == 0, "no namespace")
            t.lab.open[name] = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        os.setns(t.lab.home, CLONE_NEWNET)
        yield names
    finally:
        os.setns(t.lab.home, CLONE_NEWNET)
        for name in names:
            if name in t.lab.open:
                os.close(t.lab.open.pop(name))


@case("owners.idle", needs=("rlvs",), fresh=True)
def idle(t):
    """Forty namespaces without services: no table, and no upkeep runs in any of them, however long."""
    with crowd(t, IDLE) as names:
        before = objects("vmap_area")
        t.backend.reload()
        check(objects("vmap_area") - before < IDLE / 2, "the namespaces have tables")
        # Long enough for what runs four times a second, or every five seconds.
        poll(lambda: False, 6)
        for name in names[::4]:
            found = info(t, name)
            equal((found["upkeep_runs"], found["size"], found["connections"]), (0, 0, 0), "runs, buckets and connections")


@case("owners.rest.{family}.{proto}", family=FAMILIES, proto=PROTOCOLS, needs=("rlvs",), fresh=True)
def rest(t, family, proto):
    """The upkeep runs while there are connections, or destinations to forget, and rests before and after."""
    equal(info(t)["upkeep_runs"], 0, "runs without a service")
    ends = Ends(t, "nat", family, proto)
    check(info(t)["size"] >= 1024, "no table for a service")
    runs = rested(t)
    flow = ends.flow().open()
    until(lambda: info(t)["upkeep_runs"] >= runs + 4, "runs with a connection")
    equal(t.backend.live(), 1, "connections")
    if proto == "tcp":
        flow.send(b"", flags=wire.RST)
    else:
        t.backend.run("--set", "0", "0", "1")
        t.defer(t.backend.run, "--set", "900", "120", "300")
    until(lambda: t.backend.live() == 0, "the connection's end", 13 + SLACK)
    # Rates take a minute or two until nothing is left of them.
    t.backend.run("-Z")
    rested(t)
    if proto == "udp":
        ends.flow(2).send(b"again")
        equal(t.backend.live(), 1, "connections after a rest")
        until(lambda: t.backend.live() == 0, "the end of the one after a rest")


# What can be asked for without end, and seconds between two runs of the upkeep that follow from it at the least.
ASKED = {"nat_icmp_send": 0.25, "drop_entry": 0.25, "run_estimation": 0.25, "removals": 0.02, "timeouts": 0.02}


@case("owners.paced.{what}", what=tuple(ASKED), needs=("rlvs",), fresh=True)
def paced(t, what):
    """However often somebody asks for it, the upkeep runs no oftener than its pace: a thread can't be kept busy by it."""
    t.sysctl("expire_nodest_conn", 1)
    ends = Ends(t, "nat", 4, "udp")
    ends.flow().open()
    other = t.target(4, "udp", ends.vport, "nat", phantom_server(4, 2), ends.rport)
    lines = {"removals": (other, "-d" + other[2:].removesuffix(" -m")), "timeouts": ("--set 900 120 300",) * 2}
    old = t.backend.sysctl(what) if what not in lines else None
    start, runs = time.monotonic(), info(t)["upkeep_runs"]
    if what in lines:
        t.backend.restore(*lines[what] * 150)
    else:
        for number in range(300):
            t.backend.sysctl(what, number % 2)
        t.backend.sysctl(what, old)
    ran, most = info(t)["upkeep_runs"] - runs, (time.monotonic() - start) / ASKED[what]
    check(ran <= most + 3, f"{ran} runs, where there is time for {most:.0f}")


@case("owners.module.{family}", family=FAMILIES, needs=("rlvs",), fresh=True)
def unloaded(t, family):
    """The module is unloaded with thousands of connections in several namespaces, and all their memory comes back."""
    ends = Ends(t, "nat", family, "udp")
    flows = [ends.flow(1 + n % 200, 5000 + n // 200) for n in range(4000)]
    ends.up.send(*(flow.request(b"1") for flow in flows))
    settle(t.backend.live, len(flows), "connections")
    t.backend.unload()
    check(not os.path.exists("/sys/kernel/slab/rlvs_line"), "a cache is left behind")
    t.backend.load()


@contextlib.contextmanager
def failing(cache, percent=100):
    """Let the allocations of one of the kernel's caches fail."""
    def write(path, value):
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{value}\n")

    settings = {"probability": percent, "times": -1, "interval": 1, "verbose": 0, "cache-filter": "Y",
                "ignore-gfp-wait": "N"}
    for name, value in settings.items():
        write(f"{FAILSLAB}/{name}", value)
    write(f"/sys/kernel/slab/{cache}/failslab", 1)
    try:
        yield
    finally:
        write(f"/sys/kernel/slab/{cache}/failslab", 0)
        write(f"{FAILSLAB}/probability", 0)


@case("owners.no_line.{method}.{family}", method=("nat", "dr"), family=FAMILIES, needs=("failslab",), fresh=True)
def no_line(t, method, family):
    """No memory for buckets that are full: who finds no place is refused and counted, the others go on, none is lost."""
    ends = Ends(t, method, family, "udp")
    many = 3000 if method == "nat" else 6000
    flows = [ends.flow(1 + n % 200, 5000 + n // 200) for n in range(many)]
    known = ends.flow(201, 4000).open()
    with failing("rlvs_line"):
        for begin in range(0, many, 500):
            # Twice: what was refused is refused again or finds room in a larger table, what is known is known.
            for _ in range(2):
                ends.up.send(*(flow.request(b"1") for flow in flows[begin:begin + 500]))
            known.send(b"still")
    refused = info(t)["refused_memory"]
    check(refused > 0, "no allocation failed")
    live = t.backend.live()
    print(f"    {live} connections, {refused} refused")
    equal(len(t.backend.connections()), live, "connections listed")
    equal(sum(d[2] + d[3] for d in t.backend.destinations().values()), live, "connections of the destinations")
    ends.up.send(*(flow.request(b"2") for flow in flows))
    settle(t.backend.live, many + 1, "connections with memory")


@case("owners.no_flow.{family}", family=FAMILIES, needs=("failslab",), fresh=True)
def no_flow(t, family):
    """No memory for connections: new ones are refused and counted, known ones go on, and ports come back (FULLNAT)."""
    for method in ("nat", "fullnat"):
        ends = Ends(t, method, family, "udp")
        known = ends.flow().open()
        before = info(t)["refused_memory"]
        with failing(f"rlvs_flow{family}"):
            ends.up.send(*(ends.flow(2 + n).request(b"1") for n in range(200)))
            until(lambda: info(t)["refused_memory"] == before + 200, "refusals")
            known.send(b"still")
        equal(len(ends.known()), 1, "connections")
        ends.flow(300).open()


@case("owners.no_table.{family}", family=FAMILIES, needs=("failslab",), fresh=True)
def no_table(t, family):
    """No memory for another table: nobody is refused, the upkeep is not called by each packet, and goes on until all fits."""
    ends = Ends(t, "dr", family, "udp")
    many, full = 8000, 5 * 1024
    flows = [ends.flow(1 + n % 200, 5000 + n // 200) for n in range(many)]
    ends.up.send(*(flow.request(b"1") for flow in flows[:full]))
    settle(t.backend.live, full, "connections of the first table")
    with failing("rlvs_table"):
        runs, begin = info(t)["upkeep_runs"], time.monotonic()
        ends.up.send(*(flow.request(b"1") for flow in flows[full:]))
        settle(t.backend.live, many, "connections without a larger table")
        runs, quarters = info(t)["upkeep_runs"] - runs, 4 * (time.monotonic() - begin)
        print(f"    {runs} runs for {many - full} connections in {quarters:.0f} quarters of a second")
        equal((info(t)["size"], info(t)["refused_memory"]), (1024, 0), "buckets and refusals")
        check(runs <= quarters + 20, f"{runs} runs for {many - full} connections in {quarters:.0f} quarters of a second")
    until(lambda: info(t)["size"] == 2048, "a larger table", SLACK)
    with failing("rlvs_table"):
        t.backend.run("--set", "0", "0", "1")
        t.defer(t.backend.run, "--set", "900", "120", "300")
        until(lambda: t.backend.live() == 0, "the end of all connections", 1 * 1.05 + 2 + SLACK)
        # Time enough to find that it is too large for good, and to go to rest.
        poll(lambda: False, 22)
        equal(info(t)["size"], 2048, "buckets without memory for fewer")
    until(lambda: info(t)["size"] == 1024, "a smaller table", SLACK)
    t.backend.run("-Z")
    rested(t)


@case("owners.roomy.{family}", family=FAMILIES, needs=("rlvs",), fresh=True)
def roomy(t, family):
    """A table that is too large for what is left becomes smaller in time, and stays so; nobody is lost."""
    # They live for a minute without an answer; the others, as long as is set.
    syns, leave = Ends(t, "nat", family, "tcp"), Ends(t, "nat", family, "udp")
    # Each has two entries; with more than 10240 a table has 4096 buckets.
    stay, gone = ([ends.flow(1 + n % 200, 5000 + n // 200) for n in range(many)] for ends, many in ((syns, 1100), (leave, 4100)))
    leave.up.send(*(flow.request(b"1") for flow in gone), *(flow.request(b"", flags=wire.SYN) for flow in stay))
    settle(t.backend.live, len(stay) + len(gone), "connections")
    until(lambda: info(t)["size"] >= 4096, "a table for all", SLACK)
    large = info(t)["size"]
    t.backend.run("--set", "0", "0", "1")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    until(lambda: t.backend.live() == len(stay), "the end of those that leave", 1 * 1.05 + 2 + SLACK)
    equal(info(t)["size"], large, "buckets for a while")
    until(lambda: info(t)["size"] == 1024, "a table for those that stay", 23 + SLACK)
    equal(t.backend.live(), len(stay), "those that stay")


# Last packet, and seconds of the state that it leads to, as `--set` or the protocol has it.
ENDINGS = {
    "udp": (3, None), "established": (4, None), "closed": (10, wire.RST), "fin": (5, wire.FIN | wire.ACK),
}


@case("owners.end.{family}.{kind}", family=FAMILIES, kind=tuple(ENDINGS), needs=("rlvs",), fresh=True)
def end(t, family, kind):
    """A connection lives at least its time-out from its last packet on, and two seconds and a twentieth more at most."""
    seconds, flags = ENDINGS[kind]
    t.backend.run("--set", "4" if kind == "established" else "900", "5", "3")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    ends = Ends(t, "nat", family, "udp" if kind == "udp" else "tcp")
    flow = ends.flow().open()
    # In use for longer than the time-out: each packet sets it back.
    until_time = time.monotonic() + 1.5 * seconds
    while time.monotonic() < until_time:
        flow.send(b"use", **({} if kind == "udp" else {"flags": wire.ACK | wire.PSH}))
        poll(lambda: False, 0.3)
    before = time.monotonic()
    if flags is None:
        flow.send(b"last", **({} if kind == "udp" else {"flags": wire.ACK | wire.PSH}))
    else:
        # A client that closes first leads to CLOSE_WAIT, whose time-out can't be set.
        (flow.send_back if kind == "fin" else flow.send)(b"", flags=flags)
    sent = time.monotonic()
    check(ends.known(), "no connection")
    poll(lambda: not ends.known(), 2 * seconds + 10)
    after = time.monotonic()
    print(f"    {kind}: {seconds} s, gone {after - sent:.2f} s after the last packet")
    check(not ends.known(), "still there")
    check(after - before >= seconds, f"gone {after - before:.2f} s after the last packet; the time-out is {seconds} s")
    # What a look at the list takes, on a busy machine, does not count.
    check(after - sent <= seconds * 1.05 + 2 + SLACK, f"gone {after - sent:.2f} s after the last packet, of {seconds}")


@case("owners.sooner.{family}", family=FAMILIES, needs=("rlvs",), fresh=True)
def sooner(t, family):
    """Shorter time-outs count at once, for thousands of connections that were made with longer ones."""
    ends = Ends(t, "nat", family, "udp")
    flows = [ends.flow(1 + n % 200, 5000 + n // 200) for n in range(2000)]
    ends.up.send(*(flow.request(b"1") for flow in flows))
    settle(t.backend.live, len(flows), "connections")
    t.backend.run("--set", "0", "0", "1")
    t.defer(t.backend.run, "--set", "900", "120", "300")
    until(lambda: t.backend.live() == 0, "the end of all connections", 1 * 1.05 + 2 + SLACK)


class Owner:
    """A user in a namespace of his own; called with lines he configures."""

    def __init__(self, tool, pid, become):
        self.tool = tool
        self.enter = [*become, "nsenter", "-t", str(pid), "--user", "--preserve-credentials", "--net"]

    def run(self, *command, text=None):
        """Run a command there."""
        return subprocess.run([*self.enter, *command], input=text, capture_output=True, text=True)

    def info(self):
        """What the module says of his namespace."""
        return json.loads(self.run(self.tool, "-L", "--info", "-j").stdout)

    def __call__(self, lines):
        return self.run(self.tool, "-R", text="\n".join(lines) + "\n")


@contextlib.contextmanager
def owned(t, user=0):
    """A namespace of this user of the machine, who only rules his own; he has everything in it but the machine."""
    script = "mount -t sysfs sysfs /sys 2>/dev/null; ip link set lo up; echo ready; read end"
    become = ["setpriv", f"--reuid={user}", "--clear-groups"]
    command = [*become, "unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        equal(holder.stdout.readline(), "ready\n", "the namespace")
        yield Owner(t.backend.tool, holder.pid, become)
    finally:
        holder.stdin.close()
        holder.wait()


def memory():
    """Bytes of the guest's memory that are the kernel's to give."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(file.readline().split()[1]) * 1024


def lines_of(what, begin, number):
    """The lines that add things with so many numbers from `begin` on, destinations a hundred to a service."""
    lines = []
    for n in range(begin, begin + number):
        place = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}:80"
        service = place if what == "services" else f"10.{n // 100 >> 16}.{n // 100 >> 8 & 255}.{n // 100 & 255}:80"
        if what == "services" or n in (begin, n // 100 * 100):
            lines.append(f"-A -u {service} -s rr")
        if what == "destinations":
            lines.append(f"-a -u {service} -r {place} -g")
    return lines


@case("owners.together.{what}", what=("services",), needs=("rlvs",), fresh=True)
def together(t, what):
    """Each user gets as many as he leaves free, in all his namespaces; the machine's own goes on, and what goes makes room."""
    most = memory() >> (22 if what == "services" else 18)
    first = 0x20000 - 0x20000 % 100

    def take(owner):
        done = owner(lines_of(what, first, most))
        check("all user namespaces together" in done.stderr, f"told {done.stderr!r}")
        return sum(line.startswith(("TCP", "UDP")) for line in owner.run(t.backend.tool, "-L", "-n").stdout.splitlines())
    more = lines_of(what, first + most, 100)
    with owned(t, 2001) as one, owned(t, 2001) as again, owned(t, 2002) as two, owned(t, 2003) as three:
        had = take(one)
        # The module has somewhat more memory than the guest names.
        check(most * 0.45 <= had <= most * 0.6, f"{had} of {most} for the first")
        equal(take(again), 0, "for the same user in another namespace")
        other = take(two)
        check(most * 0.2 <= other <= most * 0.3, f"{other} of {most} for the second")
        third = take(three)
        check(most * 0.1 <= third <= most * 0.15, f"{third} of {most} for the third")
        print(f"    {had}, {other} and {third} of {most}")
        check("all user namespaces together" in one(more).stderr, "the first gets more than its half")
        port = t.port()
        service = f"{ADDRESS['vip'][4]}:{port}"
        t.backend.restore(f"-A -u {service} -s rr", *(f"-a -u {service} -r 10.77.0.{n}:{port} -m" for n in range(1, 100)))
    with owned(t, 2002) as three:
        until(lambda: three(more).returncode == 0 or three(["-C"]).returncode,
              "room after the namespaces have gone", 20)
