# SPDX-License-Identifier: GPL-2.0
"""Contests: systems that get the same packets in turn, round by round."""

import contextlib
import dataclasses
import statistics

import director
import generator
import systems
from director import CLIENTS, FAR, VIP, Director
from generator import ACK, SYN, Order

# Rounds that count, after one that does not. Many short ones: the host's speed changes from second to second.
ROUNDS = 25
FEW_ROUNDS = 8
# Where ratios near one are compared.
MANY_ROUNDS = 80
# Rounds at a slow time of the host do not count and are made up for, until there are so many times the rounds.
PATIENCE = 2
# The generator shows how fast the host is: so many times its fastest sample of the same packets is slow.
SLOW = 1.15
fastest = {}
# The only system that gets packets, or none: all do.
profiled = ""
profile_rounds = 0
# Says that a profiled system gets its packets.
BUSY = "/src/build/bench/busy"
CLIENT_PORT = 1024
LOCALS = 6
# Packets of a sample that may be missing at the wire: a flow that was not known yet.
TOLERANCE = 0.001


class Lost(Exception):
    """Packets did not come out as they should."""


class Profiled(Exception):
    """The system to be profiled has had its packets; there is nothing to compare it with."""


@dataclasses.dataclass
class Contestant:
    """A system in its namespace, and how to send packets through it."""

    name: str
    where: Director
    order: Order
    # The device that the packets leave through; none if they do not.
    wire: str | None = "out0"

    def sample(self, **changes):
        """Run the order once and check that all packets left."""
        with self.where.inside():
            before = self.sent()
            result = generator.run(dataclasses.replace(self.order, **changes))
            sent = self.sent() - before
        if self.wire and sent < result.packets * (1 - TOLERANCE):
            raise Lost(f"{self.name}: {sent} of {result.packets} packets left")
        return result

    def sent(self):
        """Packets that have left so far."""
        return self.where.sent(self.wire) if self.wire else 0


def request(case, target, **more):
    """Packets from clients."""
    return Order("in0", CLIENTS[case.family], target, case.proto, CLIENT_PORT, systems.PORT, **more)


def reply(case, source, port, **more):
    """Packets back to the clients."""
    client = CLIENTS[case.family]
    return Order("out0", source, client, case.proto, port, CLIENT_PORT, vary_dst=1, **more)


@contextlib.contextmanager
def prepared(case, locals_=LOCALS):
    """All systems that the case applies to, configured, without flows: name -> director."""
    with contextlib.ExitStack() as stack:
        rooms = {}
        for name in case.systems:
            room = stack.enter_context(Director(name, case.family, case.servers, locals_))
            if case.conntrack:
                room.track()
            if name in systems.TOOL:
                own = dataclasses.replace(case, method=systems.method(case, name))
                needs = locals_ if own.method == "fullnat" else 0
                systems.restore(name, room, systems.service_rules(
                    own, systems.PORT, case.scheduler, case.servers, needs))
            if name == "rlvs-late":
                room.sysctl("net/rlvs/early", 0)
            rooms[name] = room
        yield rooms


def contestants(case, rooms, **more):
    """Everybody who gets the clients' packets."""
    result = []
    for name, where in rooms.items():
        target = (VIP if name in systems.TOOL else FAR)[case.family]
        result.append(Contestant(name, where, request(case, target, **more)))
    return result


def contestant(case, rooms, name):
    """The one of that name."""
    return next(person for person in contestants(case, rooms) if person.name == name)


def open_flows(contestant, flows, proto):
    """Make flows known, as if their connections had been opened."""
    for flags in (SYN, ACK) if proto == "tcp" else (ACK, ACK):
        contestant.sample(flows=flows, count=flows, flags=flags, scattered=0)


def contest(people, rounds=ROUNDS, vary=lambda number: {}):
    """Samples of everybody and of the generator alone, in turn: name -> samples, one a round."""
    people = [*people, alone(people[0])]
    if profiled:
        profile(next(person for person in people if person.name == profiled), vary)
    made, counted = [], []
    for number in range(PATIENCE * rounds + 1):
        made.append(one_round(people, vary(number)))
        counted = [sample for sample in made[1:] if not slow(people[0].order, sample["generator"])]
        if len(counted) >= rounds:
            break
    # A host that was slow all the time is measured as it is.
    counted = counted if len(counted) >= rounds / 2 else made[1:]
    return {name: [sample[name] for sample in counted] for name in made[0]}


def profile(person, vary):
    """Packets for one system only, so that whoever watches the kernel sees nothing else."""
    with open(BUSY, "w", encoding="utf-8"):
        pass
    for number in range(profile_rounds):
        person.sample(**vary(number))
    raise Profiled


def one_round(people, changes):
    """A sample of everybody and of the generator: name -> nanoseconds."""
    samples = {person.name: person.sample(**changes).ns for person in people}
    key, own = kind_of(people[0].order), samples["generator"]
    fastest[key] = min(own, fastest.get(key, own))
    return samples


def kind_of(order):
    """Orders of one kind take the generator the same time."""
    return order.proto, ":" in order.src, order.scattered, order.vary_dst, order.flows > 1000


def slow(order, own):
    """Whether the host was slow when the generator took so long."""
    return own > SLOW * fastest[kind_of(order)]


def alone(person):
    """The generator by itself, with a contestant's packets, but another host's: the stack drops them at once."""
    order = dataclasses.replace(person.order, other=1)
    return Contestant("generator", person.where, order, wire=None)


def median_and_error(values):
    """The median and its standard error, by the middle half of the values, as if they were normally distributed."""
    first, middle, third = statistics.quantiles(values)
    return middle, 0.93 * (third - first) / len(values) ** 0.5


def summed_up(case, samples):
    """The records of bench.json for a case's samples."""
    own = samples["generator"]
    for name, values in samples.items():
        # Each sample less the generator's of the same round, so that a slower host weighs on both.
        net = values if name == "generator" else [value - other for value, other in zip(values, own)]
        first, middle, third = statistics.quantiles(net)
        yield {
            "case": case.kind, "family": case.family, "proto": case.proto, "method": case.method,
            "conntrack": case.conntrack, "system": name,
            "ns": round(middle, 1), "spread": round(third - first, 1),
            "generator_ns": round(statistics.median(own), 1),
        }
