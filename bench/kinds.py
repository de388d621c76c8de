# SPDX-License-Identifier: GPL-2.0
"""How each kind of case is measured: functions from a case to the records of bench.json."""

import dataclasses
import json
import time

import director
import generator
import lab
import memory
import systems
from cases import COLD_FLOWS, HOT_FLOWS
from director import FAR, Director
from generator import SYN, SYN_ACK

HOT_COUNT = 20_000
COLD_COUNT = COLD_FLOWS // 8
NEW_COUNT = 1 << 14
GROWN = (lab.ROUNDS + 1) * NEW_COUNT
GROWTH_FLOWS = 10_000_000
GROWTH_ROUNDS = 3
EXPIRY_SECONDS = 8
# Many flows that nobody sends for: processor time is looked at for so many seconds, then until the last has ended.
UPKEEP_SECONDS, WATCHED = 60, 20


class Records:
    """What has been measured."""

    def __init__(self):
        self.cases = []
        self.memory = []
        self.other = []


def hot(case, out):
    """Packets of a few flows that are all known."""
    with lab.prepared(case) as rooms, flowtable_room(case) as extra:
        people = lab.contestants(case, rooms, flows=HOT_FLOWS, count=HOT_COUNT)
        for person in people:
            lab.open_flows(person, HOT_FLOWS, case.proto)
        people += flowtable(case, extra)
        out.cases += lab.summed_up(case, lab.contest(people))


class flowtable_room:
    """A namespace for the flowtable, where the case is one of plain forwarding besides."""

    def __init__(self, case):
        self.room = None
        if case.method == "nat":
            self.room = Director("flowtable", case.family)

    def __enter__(self):
        return self.room

    def __exit__(self, *error):
        if self.room:
            self.room.__exit__(*error)


def flowtable(case, room):
    """The flowtable's contestant, its flows opened from both sides."""
    if not room:
        return []
    systems.flowtable(room)
    order = lab.request(case, FAR[case.family], flows=HOT_FLOWS, count=HOT_COUNT)
    person = lab.Contestant("flowtable", room, order)
    back = lab.reply(case, FAR[case.family], systems.PORT, flows=HOT_FLOWS, count=HOT_FLOWS, flags=SYN_ACK)
    few = {"count": HOT_FLOWS}
    person.sample(flags=SYN, **few)
    lab.Contestant("flowtable", room, back, wire="in0").sample()
    person.sample(**few)
    person.sample(**few)
    return [person]


def local_ports(room):
    """The local ports that FULLNAT gave the flows, which follow each other."""
    with room.inside():
        flows = json.loads(director.run(systems.TOOL["rlvs"], "-L", "-c", "-n", "-j"))
    ports = sorted(flow["local"]["port"] for flow in flows)
    if ports != list(range(ports[0], ports[0] + HOT_FLOWS)):
        raise lab.Lost(f"FULLNAT's ports are not in a row: {ports}")
    return ports[0]


def reply_order(case, name, room):
    """The answers to a few flows, as one real server or the far host sends them."""
    few = {"flows": HOT_FLOWS, "count": HOT_COUNT}
    if name == "forward":
        return lab.reply(case, FAR[case.family], systems.PORT, **few)
    source = director.server(case.family, 0)
    order = lab.reply(case, source, systems.server_port(case.method), **few)
    if systems.method(case, name) == "fullnat":
        return dataclasses.replace(
            order, dst=director.local(case.family, 0), dport=local_ports(room), ports=1 << 16)
    return order


def reply(case, out):
    """Answers of one real server."""
    case = dataclasses.replace(case, servers=1)
    with lab.prepared(case, locals_=1) as rooms:
        people = []
        for person in lab.contestants(case, rooms, flows=HOT_FLOWS, count=HOT_COUNT):
            lab.open_flows(person, HOT_FLOWS, case.proto)
            order = reply_order(case, person.name, person.where)
            people.append(dataclasses.replace(person, order=order, wire="in0"))
        for person in people:
            person.sample(count=HOT_FLOWS)
        out.cases += lab.summed_up(case, lab.contest(people))


def new(case, out):
    """First packets: each opens a flow. With TCP it is a SYN."""
    with lab.prepared(case) as rooms:
        people = [person for person in lab.contestants(case, rooms, flows=NEW_COUNT, count=NEW_COUNT, flags=SYN)
                  if person.name != "rlvs-late"]
        grow(people)
        out.cases += lab.summed_up(case, lab.contest(people, vary=other_flows))


def grow(people):
    """As many flows as the rounds will bring, before them: tables have grown then, as those of a busy machine have."""
    for person in people:
        person.sample(first=0, flows=GROWN, count=GROWN)


def other_flows(number):
    """Flows that no round before has had."""
    return {"first": GROWN + number * NEW_COUNT}


def schedule(case, out):
    """First packets, with a number of destinations to choose from."""
    new(case, out)


def cold(case, out):
    """Packets of a million flows, in an order that no cache can follow."""
    with lab.prepared(case) as rooms:
        people = lab.contestants(case, rooms, flows=COLD_FLOWS, count=COLD_COUNT, scattered=1)
        for person in people:
            before = memory.snapshot()
            lab.open_flows(person, COLD_FLOWS, case.proto)
            note_memory(case, person.name, before, out)
        samples = lab.contest(people, lab.FEW_ROUNDS, lambda number: {"start": number * COLD_COUNT})
        out.cases += lab.summed_up(case, samples)


def note_memory(case, name, before, out):
    """The flows' memory; each method once."""
    if name not in ("ipvs", "rlvs") or case.proto != "udp" or case.kind != "cold":
        return
    parts = memory.bytes_per_flow(before, memory.snapshot(), COLD_FLOWS)
    out.memory.append({"system": name, "family": case.family, "method": case.method,
                       "bytes_per_flow": round(sum(parts.values()), 1), "parts": parts})


def expire(case, out):
    """A million flows that run out together: processor time of it all, a flow."""
    for name in case.balancers:
        with lab.prepared(case) as rooms:
            systems.timeouts(name, rooms[name], EXPIRY_SECONDS, EXPIRY_SECONDS)
            person = lab.contestant(case, rooms, name)
            person.sample(flows=COLD_FLOWS, count=COLD_FLOWS)
            # Until the tables have grown: that belongs to the flows' beginnings.
            time.sleep(EXPIRY_SECONDS / 2)
            start, clock = generator.read().process, time.monotonic()
            wait_for_none(name)
            spent = generator.read().process - start
            out.cases.append({
                "case": case.kind, "family": case.family, "proto": case.proto, "method": case.method,
                "conntrack": False, "system": name, "ns": round(spent / COLD_FLOWS, 1), "spread": 0,
                "generator_ns": 0, "seconds": round(time.monotonic() - clock, 1)})
        memory.settle()


def wait_for_none(name):
    """Wait until a balancer's flows have run out, looking seldom."""
    caches = {"ipvs": ("ip_vs_conn",), "rlvs": ("rlvs_flow4", "rlvs_flow6")}[name]
    for _ in range(120):
        time.sleep(0.5)
        live = memory.slabs()
        if all(live.get(cache, (0, 0))[1] < 1000 for cache in caches):
            return
    raise lab.Lost(f"{name}: flows do not run out")


def growth(case, out):
    """Ten million new flows into an empty table: the slowest packet on the way.

    What the table does to a packet it does each time; the host, which stops the kernel for
    milliseconds now and then, does not: a round with slow packets is repeated.
    """
    for number in range(1, GROWTH_ROUNDS + 1):
        record = grown(case)
        if record["over_1_ms"] == 0:
            break
        memory.settle()
    out.other.append({**record, "rounds": number})


def grown(case):
    """One round of growth."""
    with lab.prepared(case) as rooms:
        person = lab.contestant(case, rooms, "rlvs")
        person.where.sysctl("net/rlvs/conn_max", 2 * GROWTH_FLOWS)
        before = memory.snapshot()
        result = person.sample(flows=GROWTH_FLOWS, count=GROWTH_FLOWS, each=1)
        parts = memory.bytes_per_flow(before, memory.snapshot(), GROWTH_FLOWS)
        return {"case": "growth", "system": "rlvs", "flows": GROWTH_FLOWS, "slowest_us": result.slowest / 1000,
                "over_1_ms": result.slow, "bytes": round(sum(parts.values()) * GROWTH_FLOWS)}


def upkeep(case, out):
    """Ten million flows: what it takes to have them, to end one, and how long after its time one is still there."""
    with lab.prepared(case) as rooms:
        room = rooms["rlvs"]
        person = lab.contestant(case, rooms, "rlvs")
        room.sysctl("net/rlvs/conn_max", 2 * GROWTH_FLOWS)
        systems.timeouts("rlvs", room, UPKEEP_SECONDS, UPKEEP_SECONDS)
        idle = share()
        start = time.monotonic()
        person.sample(flows=GROWTH_FLOWS, count=GROWTH_FLOWS)
        last = time.monotonic()
        busy = share()
        time.sleep(max(0, start + UPKEEP_SECONDS - time.monotonic()))
        spent = generator.read().process
        late = latest(room, start, last)
        spent = generator.read().process - spent
    out.other.append({
        "case": "upkeep", "system": "rlvs", "family": case.family, "flows": GROWTH_FLOWS, "timeout": UPKEEP_SECONDS,
        "late": round(late, 1), "share": round(busy - idle, 4), "end_ns": round(spent / GROWTH_FLOWS, 1)})


def share():
    """The part of a processor that the whole kernel takes, watched for a while."""
    before, start = generator.read().process, time.monotonic()
    time.sleep(WATCHED)
    return (generator.read().process - before) / 1e9 / (time.monotonic() - start)


def latest(room, start, last):
    """How late flows end that were made evenly from `start` to `last`, the oldest first: the most seconds seen."""
    late = 0
    while left := json.loads(room.execute(systems.RLVSADM, "-L", "--info", "-j"))["connections"]:
        born = last - (last - start) * left / GROWTH_FLOWS
        late = max(late, time.monotonic() - born - UPKEEP_SECONDS)
        time.sleep(0.5)
    return max(late, time.monotonic() - last - UPKEEP_SECONDS)


def services(case, out):
    """Many services: the time to configure them, then packets with all in place; rlvs-one has one service only."""
    with lab.prepared(case) as rooms, Director("rlvs-one", case.family, case.servers) as one:
        for name in case.balancers:
            out.other.append({"case": "configure", "system": name, "services": case.services,
                              "servers": case.servers, "seconds": configure(name, case, rooms[name])})
        configure("rlvs-late", case, rooms["rlvs-late"])
        systems.restore("rlvs", one, systems.service_rules(case, systems.PORT, servers=case.servers))
        people = lab.contestants(case, rooms, flows=HOT_FLOWS, count=HOT_COUNT)
        people.append(lab.Contestant("rlvs-one", one, people[-1].order))
        for person in people:
            lab.open_flows(person, HOT_FLOWS, case.proto)
        hot_case = dataclasses.replace(case, kind="services-hot")
        out.cases += lab.summed_up(hot_case, lab.contest(people))
        firsts = [dataclasses.replace(p, order=dataclasses.replace(p.order, flows=NEW_COUNT, count=NEW_COUNT))
                  for p in people if p.name != "rlvs-late"]
        grow(firsts)
        new_case = dataclasses.replace(case, kind="services-new")
        out.cases += lab.summed_up(new_case, lab.contest(firsts, vary=other_flows))


def configure(name, case, room):
    """Seconds that it takes to bring all services in but the one that is there."""
    lines = [line for port in range(1, case.services + 1) if port != systems.PORT
             for line in systems.service_rules(case, port, servers=case.servers)]
    start = time.monotonic()
    systems.restore(name, room, lines)
    return round(time.monotonic() - start, 3)


def of(case):
    """The function that measures a case."""
    return globals()[case.kind.split("-")[0]]
