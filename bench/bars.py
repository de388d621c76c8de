# SPDX-License-Identifier: GPL-2.0
"""What rlvs promises, each a bar with the worst that this run measured."""

import dataclasses

METHODS = ("nat", "dr", "tun")


@dataclasses.dataclass(frozen=True)
class Bar:
    """A promise: `value`, the worst of all rows that it is about, must not be above `limit`."""

    what: str
    limit: float
    value: float
    where: str
    unit: str = "×"

    @property
    def met(self):
        """Whether the run keeps it."""
        return self.value <= self.limit


class Results:
    """The records of a run by what they are about."""

    def __init__(self, result):
        self.result = result
        self.ns = {(r["case"], r["method"], r["family"], r["proto"], r["conntrack"], r["system"]): r["ns"]
                   for r in result["cases"]}

    def rows(self, system, case, methods=METHODS, conntrack=False):
        """Row -> nanoseconds of one system."""
        return {key[:5]: ns for key, ns in self.ns.items()
                if key[5] == system and key[0] == case and key[1] in methods and key[4] == conntrack}

    def other(self, case):
        """Records of a kind that has no packets."""
        return [record for record in self.result["other"] if record["case"] == case]


def name(row):
    """A row as people read it."""
    case, method, family, proto, conntrack = row
    return "/".join((case, method, f"v{family}", proto) + ("conntrack",) * conntrack)


def worst(what, limit, ratios, unit="×"):
    """The bar for the largest of the ratios (value, where); nothing if there are none."""
    ratios = list(ratios)
    if ratios:
        value, where = max(ratios)
        yield Bar(what, limit, value, where, unit)


def against(results, case, other, system="rlvs", **which):
    """Ratios of a system to another one, row by row."""
    others = results.rows(other, case, **which)
    for row, ns in results.rows(system, case, **which).items():
        if others.get(row, 0) > 0:
            yield ns / others[row], name(row)


def packets(results):
    """Packets of known flows and first ones."""
    yield from worst("hot, NAT, DR and TUN, to IPVS", 0.25, against(results, "hot", "ipvs"))
    yield from worst("hot, NAT, DR and TUN, to plain forwarding", 0.45, against(results, "hot", "forward"))
    yield from worst("one million cold flows, to IPVS", 0.25, against(results, "cold", "ipvs"))
    yield from worst("new connections, to IPVS", 0.5, against(results, "new", "ipvs"))
    yield from worst("early path off, to IPVS", 0.9, against(results, "hot", "ipvs", system="rlvs-late"))


def more(results):
    """Packets where there is more to do."""
    yield from worst("hot with connection tracking, to IPVS", 0.15, against(results, "hot", "ipvs", conntrack=True))
    yield from worst("FULLNAT to NAT", 1.15, fullnat(results))


def fullnat(results):
    """FULLNAT against rlvs's own NAT, which got the same packets in the same rounds."""
    for case in ("hot", "reply", "cold"):
        yield from against(results, case, "rlvs-nat", methods=("fullnat",))


def memory(results):
    """Memory of flows."""
    for family, limit in ((4, 128), (6, 192)):
        sizes = [(r["bytes_per_flow"], f"v{family}") for r in results.result["memory"]
                 if (r["system"], r["method"], r["family"]) == ("rlvs", "nat", family)]
        yield from worst(f"bytes of an IPv{family} NAT flow", limit, sizes, "bytes")
    for record in results.other("growth"):
        yield Bar("growth to 10 million flows: packets over 1 ms", 0, record["over_1_ms"], "growth", "packets")
        yield Bar("10 million flows", 2 << 30, record["bytes"], "growth", "bytes")


def ends(results):
    """Flows that run out, and those that are only there."""
    yield from worst("a flow's end, to IPVS", 1, against(results, "expire", "ipvs"))
    for record in results.other("upkeep"):
        where = f"upkeep/v{record['family']}"
        yield Bar("10 million flows: of a processor", 0.05, record["share"], where, "")
        yield Bar("10 million flows: an end is late by", 2 + 0.05 * record["timeout"], record["late"], where, "s")


def services(results):
    """Many services."""
    seconds = {record["system"]: record["seconds"] for record in results.other("configure")}
    if len(seconds) == 2:
        yield Bar("10,000 services configured, to ipvsadm -R", 0.25, seconds["rlvs"] / seconds["ipvs"], "services")
    for case in ("services-hot", "services-new"):
        yield from worst(f"{case.split('-')[1]} packets with 10,000 services, to one service", 1.1,
                         against(results, case, "rlvs-one"))


def schedulers(results):
    """Schedulers with many destinations."""
    for scheduler in ("rr", "wrr", "sh", "dh", "mh"):
        few, many = (results.rows("rlvs", f"schedule-{scheduler}-{n}") for n in (10, 1000))
        if few and many:
            yield Bar(f"{scheduler} with 1,000 destinations, to 10", 1.25,
                      max(many.values()) / max(few.values()), "schedule")
    for scheduler in ("lc", "wlc"):
        case = f"schedule-{scheduler}-1000"
        yield from worst(f"{scheduler} with 1,000 destinations, to IPVS", 0.5, against(results, case, "ipvs"))
    for record in results.other("mh table"):
        yield Bar("mh table, 65,537 slots and 1,000 destinations", 2, record["ms"], "host", "ms")


def of(result):
    """All bars that the run says something about."""
    results = Results(result)
    for part in (packets, more, memory, ends, services, schedulers):
        yield from part(results)


def lines(result):
    """The bars as lines of a table in Markdown."""
    yield "| what | bar | measured | where | |"
    yield "| --- | ---: | ---: | --- | --- |"
    for bar in of(result):
        limit, value = (f"{number:.2f} ×" if bar.unit == "×" else f"{number:,.4g} {bar.unit}"
                        if number < 1e6 else f"{number / 1e6:,.0f} M{bar.unit}" for number in (bar.limit, bar.value))
        yield f"| {bar.what} | {limit} | {value} | {bar.where} | {'met' if bar.met else 'MISSED'} |"
