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
# The only system that gets packets, or none: all do.
profiled = ""
# What the packets of the generator alone are: see main.py.
baseline = {}
PROFILE_ROUNDS = 100
CLIENT_PORT = 1024
LOCALS = 6
# Packets of a sample that may be missing at the wire: a flow that was not known yet.
TOLERANCE = 0.001


class Lost(Exception):
    """Packets did not come out as they should."""


@dataclasses.dataclass
class Contestant:
    """A system in its namespace, and how to send packets through it."""

    name: str
    where: Director
    order: Order
    wire: str = "out0"
    # The value of rlvs's sysctl that makes it this contestant.
    early: int | None = None

    def sample(self, **changes):
        """Run the order once and check that all packets left."""
        if self.early is not None:
            self.where.sysctl("net/rlvs/early", self.early)
        with self.where.inside():
            before = self.where.sent(self.wire)
            result = generator.run(dataclasses.replace(self.order, **changes))
            sent = self.where.sent(self.wire) - before
        if sent < result.packets * (1 - TOLERANCE):
            raise Lost(f"{self.name}: {sent} of {result.packets} packets left")
        return result


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
        for name in ("forward", *case.balancers):
            room = stack.enter_context(Director(name, case.family, case.servers, locals_))
            if case.conntrack:
                room.track()
            if name in systems.TOOL:
                needs = locals_ if case.method == "fullnat" else 0
                systems.restore(name, room, systems.service_rules(
                    case, systems.PORT, case.scheduler, case.servers, needs))
            rooms[name] = room
        yield rooms


def contestants(case, rooms, **more):
    """Everybody who gets the clients' packets."""
    result = []
    for name, where in rooms.items():
        target = (VIP if name in systems.TOOL else FAR)[case.family]
        order = request(case, target, **more)
        if name == "rlvs":
            result += [Contestant("rlvs", where, order, early=1), Contestant("rlvs-late", where, order, early=0)]
        else:
            result.append(Contestant(name, where, order))
    return result


def open_flows(contestant, flows, proto):
    """Make flows known, as if their connections had been opened."""
    for flags in (SYN, ACK) if proto == "tcp" else (ACK, ACK):
        contestant.sample(flows=flows, count=flows, flags=flags, scattered=0)


def contest(people, rounds=ROUNDS, vary=lambda number: {}):
    """Samples of everybody and of the generator alone, in turn: name -> samples, one a round."""
    if profiled:
        people = [person for person in people if person.name == profiled]
        rounds = PROFILE_ROUNDS
    samples = {name: [] for name in ("generator", *(person.name for person in people))}
    for number in range(rounds + 1):
        for person in people:
            samples[person.name].append(person.sample(**vary(number)).ns)
        samples["generator"].append(alone(people[0], vary(number)))
    return {name: values[1:] for name, values in samples.items()}


def alone(person, changes):
    """What the generator takes by itself: its packets get rid of themselves at once."""
    with person.where.inside():
        return generator.run(dataclasses.replace(person.order, **baseline, **changes)).ns


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
