# SPDX-License-Identifier: GPL-2.0
"""The cases: what is measured, under which name."""

import dataclasses

HOT_FLOWS = 40
COLD_FLOWS = 1 << 20
METHODS = ("nat", "dr", "tun", "fullnat")
FAMILIES = (4, 6)
PROTOCOLS = ("udp", "tcp")
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sh", "mh", "dh")


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison of all systems that it applies to."""

    kind: str
    method: str = "nat"
    family: int = 4
    proto: str = "udp"
    conntrack: bool = False
    scheduler: str = "rr"
    servers: int = 4
    services: int = 1

    @property
    def name(self):
        """What patterns are matched against."""
        parts = [self.kind, self.method, f"v{self.family}", self.proto]
        parts += ["conntrack"] * self.conntrack
        return "/".join(parts)

    @property
    def balancers(self):
        """IPVS has no FULLNAT, which is compared to rlvs's own NAT."""
        return ["rlvs-nat", "rlvs"] if self.method == "fullnat" else ["ipvs", "rlvs"]

    @property
    def systems(self):
        """All who take part."""
        return ["forward", *self.balancers, "rlvs-late"]


def over(*axes):
    """All combinations of the axes' values."""
    if not axes:
        yield ()
        return
    for first in axes[0]:
        for rest in over(*axes[1:]):
            yield (first, *rest)


def all_cases():
    """Every case, in the order in which they run."""
    for conntrack, method, family, proto in over((False, True), METHODS, FAMILIES, PROTOCOLS):
        yield Case("hot", method, family, proto, conntrack)
    for conntrack, method, family, proto in over((False, True), ("nat", "fullnat"), FAMILIES, PROTOCOLS):
        yield Case("reply", method, family, proto, conntrack)
    for method, family, proto in over(METHODS, FAMILIES, PROTOCOLS):
        yield Case("new", method, family, proto)
    yield Case("new", conntrack=True)
    for scheduler, servers in over(SCHEDULERS, (10, 1000)):
        yield Case(f"schedule-{scheduler}-{servers}", scheduler=scheduler, servers=servers)
    yield Case("services", servers=10, services=10_000)
    for method, family, proto in over(METHODS, FAMILIES, PROTOCOLS):
        yield Case("cold", method, family, proto)
    for family in FAMILIES:
        yield Case("expire", family=family)
        yield Case("upkeep", family=family)
    yield Case("growth")
