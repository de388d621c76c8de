# SPDX-License-Identifier: GPL-2.0
"""Counts instructions a packet on the stock kernel, inside the guest that `bench/count.sh` boots.

Under QEMU's icount the guest's clock goes on by a nanosecond an instruction. Each system has a namespace of its own, with
one service for each method. What is written into a packet before it is made into an sk_buff is taken off each number.
"""

import dataclasses
import fnmatch
import json
import statistics
import sys
import time

import director
import generator
import lab
import systems
from cases import FAMILIES, METHODS, PROTOCOLS, Case
from director import FAR, VIP, Director
from generator import SYN

RESULTS = "/results/counts.json"
FLOWS = 8
COUNT = 1024
SAMPLES = 3
# First packets: so many flows, and the seconds after which the last of them has ended; beside so many others that stay,
# so that the tables have the size of a busy machine's and keep it.
NEW, STAY = 4096, 16384
TIMEOUT = 2
END = {"udp": 6, "tcp": 70}
VARIANTS = ("plain", "queue", "conntrack")
BACK = ("nat", "fullnat")


def port(method):
    """The port of a method's service."""
    return systems.PORT + METHODS.index(method)


@dataclasses.dataclass(frozen=True)
class Row:
    """What is counted: one packet's way."""

    kind: str
    method: str
    family: int
    proto: str
    variant: str = "plain"

    @property
    def name(self):
        """What patterns are matched against."""
        more = () if self.variant == "plain" else (self.variant,)
        return "/".join(("count-" + self.kind, self.method, f"v{self.family}", self.proto, *more))

    @property
    def case(self):
        """What the helpers of the timed cases want to know."""
        return Case(self.kind, self.method, self.family, self.proto, servers=1)


def rows(family, variant):
    """The rows of known flows; TCP in the plain variant only."""
    for kind in ("request", "reply"):
        for method in METHODS if kind == "request" else BACK:
            for proto in PROTOCOLS if variant == "plain" else ("udp",):
                yield Row(kind, method, family, proto, variant)


class Counter:
    """The rooms of a family, and what was counted in them."""

    def __init__(self, family, wanted, out):
        self.family, self.wanted, self.out = family, wanted, out
        self.rooms = {name: Director(name, family, servers=1, locals_=1) for name in ("forward", "flowtable", "ipvs", "rlvs")}
        self.first = 0
        systems.flowtable(self.rooms["flowtable"])
        for name in ("ipvs", "rlvs"):
            self.configure(name)

    def configure(self, name):
        """A service for each method and protocol."""
        lines = []
        for method in METHODS if name == "rlvs" else METHODS[:3]:
            for proto in PROTOCOLS:
                case = Case("count", method, self.family, proto)
                lines += systems.service_rules(case, port(method), servers=1, locals_=int(method == "fullnat"))
        systems.restore(name, self.rooms[name], lines)
        systems.timeouts(name, self.rooms[name], 900, 900)

    def settle(self):
        """Flows that stay, beside those whose first packets are counted."""
        for name in ("ipvs", "rlvs"):
            lab.open_flows(self.request(Row("first", "nat", self.family, "tcp"), name), STAY, "tcp")
        self.first += STAY
        # Until the tables fit them; under icount it takes no time.
        time.sleep(20)

    def close(self):
        """Delete the rooms."""
        for room in self.rooms.values():
            room.__exit__()

    def note(self, row, system, value):
        """Keep a number."""
        self.out.append({**dataclasses.asdict(row), "row": row.name, "system": system, "count": round(value)})

    def request(self, row, system):
        """The packets of a row's clients."""
        balanced = system in systems.TOOL
        order = lab.request(row.case, (VIP if balanced else FAR)[self.family], flows=FLOWS, count=COUNT, listed=1)
        order = dataclasses.replace(order, first=self.first, dport=port(row.method) if balanced else systems.PORT)
        return lab.Contestant(system, self.rooms[system], order)

    def reply(self, row, system):
        """The answers to them."""
        if system in ("forward", "flowtable"):
            source, sport, more = FAR[self.family], systems.PORT, {}
        else:
            source, sport = director.server(self.family, 0), systems.server_port(row.method)
            more = self.local(row) if row.method == "fullnat" else {}
        order = lab.reply(row.case, source, sport, flows=FLOWS, count=COUNT, listed=1, first=self.first)
        return lab.Contestant(system, self.rooms[system], dataclasses.replace(order, **more), wire="in0")

    def local(self, row):
        """Where the real server answers to: FULLNAT's local address and the ports of these flows, which follow each other."""
        text = self.rooms["rlvs"].execute(systems.TOOL["rlvs"], "-L", "-c", "-n", "-j")
        ports = sorted(flow["local"]["port"] for flow in json.loads(text)
                       if flow["protocol"].lower() == row.proto and "local" in flow)[-FLOWS:]
        if ports != list(range(ports[0], ports[0] + FLOWS)):
            raise lab.Lost(f"FULLNAT's ports are not in a row: {ports}")
        return {"dst": director.local(self.family, 0), "dport": ports[0], "ports": 1 << 16, "first": 0}

    def opened(self, row, system):
        """The sender of a row's packets, whose flows are known and have earned what they can."""
        self.first += FLOWS
        client = self.request(row, system)
        lab.open_flows(client, FLOWS, row.proto)
        if row.kind == "reply" or system == "flowtable":
            server = self.reply(row, system)
            server.sample(count=FLOWS, **({"flags": generator.SYN_ACK} if row.proto == "tcp" else {}))
            client.sample(count=FLOWS)
        person = client if row.kind == "request" else server
        person.sample(count=FLOWS)
        return person

    def known(self, row, system, title=None):
        """Count packets of known flows."""
        person = self.opened(row, system)
        samples = [person.sample().ns for _ in range(SAMPLES)]
        self.note(row, title or system, min(samples) - written(person))

    def all_known(self, variant):
        """All rows of known flows, system by system."""
        chosen = [row for row in rows(self.family, variant) if self.wanted(row)]
        for row in chosen:
            if row.method == "nat":
                self.known(row, "forward")
                if variant == "plain":
                    self.known(row, "flowtable")
            if row.method != "fullnat":
                self.known(row, "ipvs")
        for early, title in ((0, "rlvs-late"), (1, "rlvs")):
            self.rooms["rlvs"].sysctl("net/rlvs/early", early)
            # Until marks count again; under icount it takes no time.
            time.sleep(0.5)
            for row in chosen:
                self.known(row, "rlvs", title)

    def all_first(self):
        """All rows of first packets: those alone, and with the end of their flows."""
        for proto in PROTOCOLS:
            for method in METHODS:
                row = Row("first", method, self.family, proto)
                for system in ("ipvs", "rlvs") if self.wanted(row) else ():
                    if method != "fullnat" or system == "rlvs":
                        packet, life = self.whole_life(row, system)
                        self.note(dataclasses.replace(row, kind="new"), system, packet)
                        self.note(row, system, life)

    def whole_life(self, row, system):
        """What a flow's first packet takes, and all that the flow takes until nothing is left of it."""
        systems.timeouts(system, self.rooms[system], 900, TIMEOUT)
        person = self.request(row, system)
        person = dataclasses.replace(person, order=dataclasses.replace(
            person.order, flags=SYN, flows=NEW, count=NEW, first=self.first))
        self.spent(person, END[row.proto])
        nothing = [self.spent(person, END[row.proto], count=1, flows=1)[1] for _ in range(SAMPLES)]
        packets, something = zip(*(self.spent(person, END[row.proto]) for _ in range(SAMPLES)))
        packet, something, nothing = map(statistics.median, (packets, something, nothing))
        self.first += NEW
        systems.timeouts(system, self.rooms[system], 900, 900)
        return packet - written(person), (something - nothing) / (NEW - 1) - written(person)

    def spent(self, person, seconds, **changes):
        """Instructions of a packet, and those of the whole machine while packets come in and so many seconds after."""
        start = generator.read().process
        result = person.sample(**changes)
        time.sleep(seconds)
        return result.ns, generator.read().process - start

    def prepare(self, variant):
        """What else the systems have to do in a variant."""
        for room in self.rooms.values():
            for dev in ("in0", "out0"):
                if variant == "queue":
                    room.execute("tc", "qdisc", "replace", "dev", dev, "root", "fq_codel")
                elif variant == "conntrack":
                    room.execute("tc", "qdisc", "del", "dev", dev, "root")
            if variant == "conntrack":
                room.track()


WRITTEN = {}


def written(person):
    """What the generator's own work on a packet takes, which is not the kernel's."""
    order = person.order
    key = order.proto, ":" in order.src, order.vary_dst, order.flows
    if key not in WRITTEN:
        alone = lab.Contestant("generator", person.where, dataclasses.replace(order, written=1), wire=None)
        alone.sample()
        WRITTEN[key] = statistics.median(alone.sample().ns for _ in range(SAMPLES))
    return WRITTEN[key]


def made(counter):
    """What it takes to make an sk_buff and to throw it away."""
    person = counter.request(Row("request", "nat", 4, "udp"), "forward")
    strange = dataclasses.replace(person, order=dataclasses.replace(person.order, strange=1), wire=None)
    strange.sample()
    return statistics.median(strange.sample().ns for _ in range(SAMPLES)) - written(person)


def load_modules():
    """The generator, devices, the kernel's balancer, rlvs."""
    # Making huge pages of these programs' memory, in the background, would count with the ends of connections.
    with open("/sys/kernel/mm/transparent_hugepage/enabled", "w", encoding="ascii") as file:
        file.write("never")
    director.run("modprobe", "dummy", "numdummies=0")
    director.run("modprobe", "ip_vs", "conn_tab_bits=20")
    director.run("modprobe", "ip_vs_rr")
    director.run("insmod", "/src/build/gen/rlvs_gen.ko")
    director.run("insmod", "/src/build/rlvs.ko")


def main():
    """Count all rows that match the pattern."""
    pattern = sys.argv[1]

    def wanted(row):
        return fnmatch.fnmatch(row.name, f"{pattern}*")

    load_modules()
    out, single = [], None
    for family in FAMILIES:
        counter = Counter(family, wanted, out)
        single = single or round(made(counter))
        for variant in VARIANTS:
            counter.prepare(variant)
            counter.all_known(variant)
        counter.close()
        counter = Counter(family, wanted, out)
        counter.settle()
        counter.all_first()
        counter.close()
    with open(RESULTS, "w", encoding="utf-8") as file:
        json.dump({"kernel": director.run("uname", "-r").strip(), "made": single, "rows": out}, file, indent=1)


if __name__ == "__main__":
    main()
