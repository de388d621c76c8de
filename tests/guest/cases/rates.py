# SPDX-License-Identifier: GPL-2.0
"""Rates as IPVS estimates them: of a burst of known size every number that is shown is known."""

import itertools
import time

from context import join
from flow import Ends
from suite import EARLY, FAMILIES, HANG, case, check, equal, poll, settle, until

# Bits behind the point of the averages: connections, packets in and out, bytes in and out.
POINT = (10, 10, 10, 5, 5)
MANY = 400
ZERO = (0,) * 5


def averages(samples, point):
    """What is shown after each sample, as IPVS reckons."""
    average, half = 0, point - 1
    for counted in samples:
        average += ((counted << half) - average) >> 2
        yield average + (1 << half) - 1 >> point


def changes(values):
    """Values without those that are as the one before."""
    return [value for value, _ in itertools.groupby(values)]


def follows(seen, want):
    """Whether `seen` is in `want`, in its order; what was not looked at in time may be missing."""
    rest = iter(changes(want))
    return all(any(value == other for other in rest) for value in changes(seen))


def explained(seen, counted, point, unit):
    """Whether `seen` is what a burst of `counted` gives, of which each thing counts `unit`.

    A sample may have fallen into the burst: then some of it belongs to one period and the rest to the next.
    """
    later = [0] * 100
    return any(follows(seen, [0, *averages([first, counted - first] + later, point)])
               for first in range(0, counted + 1, unit))


class Rows:
    """The rates of a service and its destination, one row for each change."""

    def __init__(self, ends):
        self.ends, self.seen = ends, []

    def now(self):
        """Both rows as they are shown now."""
        service, dests = self.ends.t.backend.counters("--rate")[self.ends.proto.upper(), join(self.ends.vip, self.ends.vport)]
        return service.tuple(), dests[join(self.ends.rip, self.ends.rport)].tuple()

    def look(self, number, bound=HANG):
        """Look until there are so many rows other than zeros."""
        def enough():
            row = self.now()
            if not self.seen or self.seen[-1] != row:
                self.seen.append(row)
            return len(self.seen) >= number
        check(poll(enough, bound), f"rates do not change any more: {self.seen}")

    def compare(self, counted, units, what):
        """Fail unless all that was seen is what a burst gives."""
        for who, rows in zip(("service", "destination"), zip(*self.seen)):
            for column, (total, unit, point) in enumerate(zip(counted, units, POINT)):
                seen = [row[column] for row in rows]
                check(explained(seen, total, point, unit), f"{what}: column {column} of the {who}, {total} counted: {seen}")


def counted(ends):
    """The five counters of the service."""
    return ends.t.backend.counters()[ends.proto.upper(), join(ends.vip, ends.vport)][0].tuple()


def burst(ends, base=5000):
    """Connections of one packet each, and an answer for half of them; returns the five counters and what one of each counts."""
    flows = [ends.flow(1, base + n) for n in range(MANY)]
    for flow in flows:
        flow.seen = (flow.client, flow.sport)
    up, down = len(flows[0].request(b"x" * 100)), 0
    want = (MANY, MANY, 0, MANY * up, 0)
    before = counted(ends)
    rest = tuple(a + b for a, b in zip(before, want))
    ends.up.send(*(flow.request(b"x" * 100) for flow in flows))
    settle(lambda: counted(ends), rest, "counted")
    if not ends.keeps:
        down = len(flows[0].reply(b"y" * 200))
        want = (MANY, MANY, MANY // 2, MANY * up, MANY // 2 * down)
        ends.down.send(*(flow.reply(b"y" * 200) for flow in flows[::2]))
        settle(lambda: counted(ends), tuple(a + b for a, b in zip(before, want)), "counted with answers")
    return want, (1, 1, 1, up, max(down, 1))


@case("rates.burst.{family}.{early}", family=FAMILIES, early=EARLY)
def of_burst(t, family, early):
    """A burst of known size: every rate that is shown, of service and destination, is the one that IPVS shows."""
    rows = Rows(ends := Ends(t, "nat", family, "udp"))
    equal(rows.now(), (ZERO, ZERO), "rates before")
    want = burst(ends)
    rows.look(8)
    rows.compare(*want, "after a burst")


@case("rates.zero", needs=("rlvs",))
def zero(t):
    """-Z takes the rates away, and what was counted before it does not come back with the next sample."""
    rows = Rows(ends := Ends(t, "nat", 4, "udp"))
    burst(ends)
    t.backend.run("-Z")
    begin = time.monotonic()
    until(lambda: check(rows.now() == (ZERO, ZERO), f"rates after -Z: {rows.now()}") or time.monotonic() > begin + 5,
          "five seconds")
    want = burst(ends, 6000)
    rows.look(5)
    rows.compare(*want, "after -Z and a burst")


@case("rates.again")
def again(t):
    """A destination that is removed and comes back goes on with its rates, as in IPVS; the service kept its own."""
    rows = Rows(ends := Ends(t, "nat", 4, "udp"))
    want = burst(ends)
    rows.look(3)
    service, rip = join(ends.vip, ends.vport), join(ends.rip, ends.rport)
    t.backend.restore(f"-d -u {service} -r {rip}", f"-a -u {service} -r {rip} -m")
    rows.look(8)
    rows.compare(*want, "after it came back")
    t.backend.restore(f"-D -u {service}", f"-A -u {service} -s rr", f"-a -u {service} -r {rip} -m")
    equal(rows.now(), (ZERO, ZERO), "rates of a new service")


@case("rates.off", needs=("rlvs",))
def off(t):
    """Without run_estimation the rates stay as they are and the counters go on; then the rates follow again."""
    rows = Rows(ends := Ends(t, "nat", 4, "udp"))
    burst(ends)
    rows.look(3)
    t.sysctl("run_estimation", 0)
    # A round that had begun may end.
    poll(lambda: False, 1)
    still = rows.now()
    check(still != (ZERO, ZERO), "no rates to be kept")
    before, begin = counted(ends)[0], time.monotonic()
    burst(ends, 6000)
    equal(counted(ends)[0], before + MANY, "connections counted meanwhile")
    until(lambda: time.monotonic() > begin + 5, "five seconds")
    equal(rows.now(), still, "rates without estimation")
    t.backend.sysctl("run_estimation", 1)
    until(lambda: rows.now() != still, "other rates")
    for text, fits in (("-1", True), ("x", False)):
        written = t.lab.execute("director", "sh", "-c", f"echo {text} > /proc/sys/net/rlvs/run_estimation")
        equal(written.returncode == 0, fits, f"{text} is taken")


@case("rates.one_packet.{family}", family=FAMILIES)
def one_packet(t, family):
    """One-packet scheduling leaves no connection behind, and has rates all the same."""
    ends = Ends(t, "dr", family, "udp", balance=False)
    t.backend.restore(t.service(family, "udp", ends.vport, "-s", "rr", "-o"),
                      t.target(family, "udp", ends.vport, "dr", ends.rip, ends.rport))
    rows = Rows(ends)
    # Long enough for whoever looks after rates to find nothing to do.
    poll(lambda: False, 5)
    want = burst(ends)
    rows.look(6)
    rows.compare(*want, "after a burst")


@case("rates.many", needs=("rlvs",))
def many(t):
    """Among thousands of destinations and hundreds of services the first and the last have their rates."""
    first = Ends(t, "nat", 4, "udp")
    lines = [f"-A -t 10.0.2.100:{port} -s rr" for port in range(20001, 20301)]
    lines += [f"-a -t 10.0.2.100:{port} -r 10.3.1.{n}:80 -m" for port in range(20001, 20301) for n in (1, 2)]
    lines += ["-A -t 10.0.2.100:20400 -s rr"]
    lines += [f"-a -t 10.0.2.100:20400 -r 10.3.{n >> 7}.{n & 127}:80 -m" for n in range(1, 3000)]
    t.backend.restore(*lines)
    last = Ends(t, "nat", 6, "udp")
    for ends in (first, last):
        rows = Rows(ends)
        want = burst(ends)
        rows.look(6)
        rows.compare(*want, "among many")
