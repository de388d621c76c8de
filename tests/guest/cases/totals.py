# SPDX-License-Identifier: GPL-2.0
"""Totals: what all services of a namespace have counted together, as /proc/net/ip_vs_stats shows it in IPVS."""

import json

from cases.counters import exchange
from cases.rates import Rows, burst
from context import join
from flow import Ends
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, settle


def counted(t):
    """The five totals."""
    return t.backend.totals()[0].tuple()


def processors(t):
    """The same as all processors have counted it, which nothing zeroes."""
    with t.lab.inside("director"), open("/proc/thread-self/net/ip_vs_stats_percpu", encoding="ascii") as file:
        rows = [line.split()[1:] for line in file if line[:3].strip().isalnum() and not line.startswith("CPU")]
    return tuple(sum(int(row[column], 16) for row in rows if len(row) == 5) for column in range(5))


def plus(*rows):
    """Rows of counters summed up."""
    return tuple(map(sum, zip(*rows)))


def lines(ends, command="-a"):
    """The restore line about the destination."""
    brief = "-t" if ends.proto == "tcp" else "-u"
    forward = "" if command == "-d" else " -m"
    return f"{command} {brief} {join(ends.vip, ends.vport)} -r {join(ends.rip, ends.rport)}{forward}"


@case("totals.counted.{method}.{family}.{early}", method=("nat", "dr"), family=FAMILIES, early=EARLY)
def of_services(t, method, family, early):
    """Totals are the sum over services, to the byte; nothing but zeroing all of them lets them fall."""
    want = counted(t)
    for proto in PROTOCOLS:
        ends = Ends(t, method, family, proto)
        for client in (1, 2):
            want = plus(want, (1, *exchange(ends.flow(client), ends.keeps)))
            settle(lambda want=want: counted(t), want, f"totals after a connection of {proto}")
    t.backend.run("-Z", "-u", join(ends.vip, ends.vport))
    settle(lambda: t.backend.counters()["UDP", join(ends.vip, ends.vport)][0].tuple(), (0,) * 5, "the service's counters")
    equal(counted(t), want, "totals after one service was zeroed")
    t.backend.clear()
    equal(counted(t), want, "totals after all services were removed")
    t.backend.run("-Z")
    settle(lambda: counted(t), (0,) * 5, "totals after all were zeroed")


@case("totals.removed.{family}", family=FAMILIES)
def removed(t, family):
    """What a removed server counted stays; what comes for it while it is away does not count, and it counts again when it is back."""
    before = first = counted(t)
    seen = processors(t)
    ends = Ends(t, "nat", family, "udp")
    flow = ends.flow()
    flow.send(b"one")
    flow.send_back(b"two")
    before = plus(before, (1, 1, 1, len(flow.request(b"one")), len(flow.reply(b"two"))))
    settle(lambda: counted(t), before, "totals before the removal")
    t.backend.restore(lines(ends, "-d"))
    equal(counted(t), before, "totals after the removal")
    ends.up.send(flow.request(b"lost"))
    ends.down.send(flow.reply(b"late"))
    check(flow.returned(b"late"), "the removed server's answer did not reach the client")
    equal(counted(t), before, "totals after packets of a removed server")
    t.backend.restore(lines(ends))
    flow.send(b"again")
    want = plus(before, (0, 1, 0, len(flow.request(b"again")), 0))
    settle(lambda: counted(t), want, "totals after it came back")
    more = tuple(now - then for now, then in zip(counted(t), first))
    equal(processors(t), plus(seen, more), "what processors have counted")


@case("totals.rates.{family}", family=FAMILIES)
def rates(t, family):
    """A burst's rates are those of the service, also when that was removed, and go back to 0."""
    rows = Rows(ends := Ends(t, "nat", family, "udp"))
    t.backend.run("-Z")
    settle(lambda: t.backend.totals()[1].tuple(), (0,) * 5, "rates before")
    burst(ends)

    def same():
        total, service = t.backend.totals()[1].tuple(), rows.now()[0]
        return service[0] != 0 and total == service
    settle(same, True, "rates of all are those of the only service")
    t.backend.restore(f"-D -u {join(ends.vip, ends.vport)}")
    check(t.backend.totals()[1].conns, "no rate is left")
    settle(lambda: t.backend.totals()[1].conns < 5, True, "the rate of connections falls")


@case("totals.shown", needs=("rlvs",))
def shown(t):
    """The tool prints them by themselves, and among all services in JSON."""
    t.backend.run("-Z")
    ends = Ends(t, "nat", 4, "udp")
    for client in range(1, 4):
        ends.flow(client).send(b"hello")
    text = t.backend.run("-L", "--totals", "--exact").stdout.splitlines()
    equal(text[1].split(), ["Total", "3", "3", "0", str(3 * 33), "0"], "totals as text")
    equal([text[0].split()[0], text[2].split()[0]], ["Conns", "CPS"], "titles")
    equal(text[3].split()[:2], ["A", "second"], "rates as text")
    for words in (("-L", "-j"), ("-L", "-j", "-u", join(ends.vip, ends.vport))):
        equal(json.loads(t.backend.run(*words).stdout)["totals"]["inpkts"], 3, "totals in JSON")
