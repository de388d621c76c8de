# SPDX-License-Identifier: GPL-2.0
"""Plays a scenario on two directors at once and compares them after every step."""

import time
from collections import Counter

import compare
import frames
import wire
from balancer import Ipvs, Rlvs
from network import Director
from options import BACKGROUND, DEFENCE, SECONDS, SHARED
from scenario import Edit, Error, Packet, Set, Wait

# Longest wait for connections whose time is up to leave both tables: a timer of the kernel's may ring an eighth of its
# time late, and ours are collected within two seconds.
LATEST, GLANCE = 2000, 2
# A connection's estimators have been read after so many seconds, so that IPVS's counters are up to date.
ESTIMATED = 3
# Where in a second things happen: frames come at whole seconds after each other, half way between two ticks.
PHASE = 0.505
TIMEOUTS = (900, 120, 300)


class Clock:
    """Time in whole seconds since the scenario began."""

    def __init__(self):
        self.start = int(time.monotonic()) + 1 + PHASE
        self.passed = 0
        self.wait(0)

    def wait(self, seconds):
        """Let so many seconds pass."""
        self.passed += seconds
        while (left := self.start + self.passed - time.monotonic()) > 0:
            time.sleep(left)


class Play:
    """A scenario on two directors; run() gives the differences up to the first one without an excuse."""

    def __init__(self, scenario, excuses, exact, tally=None):
        self.scenario, self.excuses = scenario, excuses
        # Where time is real, a row may be a second older than its twin.
        self.slack = 0 if exact else 2
        self.tally = Counter() if tally is None else tally
        self.sides = [kind(Director(kind.name)) for kind in (Ipvs, Rlvs)]
        self.ends = {name: frames.Ends(flow) for name, flow in scenario.flows.items()}
        self.number = 0
        self.used = Counter()
        self.sent = []
        # All time-outs that have been in force, the present one last: established TCP, TCP after a FIN, UDP.
        self.timeouts = [TIMEOUTS]
        # All that settings have been told, {name: [values]}.
        self.settings = {}
        for side in self.sides:
            side.director.mark(scenario.marks)

    def close(self):
        """Remove both directors."""
        for side in self.sides:
            side.close()
            side.director.close()

    def run(self):
        """The first difference that has no excuse, or None."""
        self.clock = Clock()
        for found in self.differences():
            excuse = next((excuse for excuse in self.excuses if excuse.covers(found, self)), None)
            if excuse is None:
                return found
            self.used[excuse.name] += 1
            if excuse.ends:
                return None
        return None

    def differences(self):
        """All differences, in their order."""
        if self.scenario.rules:
            yield from self.load(self.scenario.rules)
        for number, step in enumerate(self.scenario.steps):
            self.sent = []
            for found in self.step(step):
                found.step, found.number, found.sent = step, number, self.sent
                yield found
        self.clock.wait(ESTIMATED)
        yield from self.look()
        yield from compare.texts(*(side.texts() for side in self.sides))
        yield from compare.settings(SHARED, *self.sides)
        self.count_ways()

    def step(self, step):
        """Do one step; the differences that show after it."""
        if isinstance(step, (Packet, Error)):
            yield from self.packet(step)
        elif isinstance(step, Edit):
            yield from self.load([step.line])
            if any(self.settings.get(name, ["0"])[-1] == "1" for name in BACKGROUND):
                self.clock.wait(SECONDS)
        elif isinstance(step, Wait):
            self.clock.wait(step.seconds)
        elif isinstance(step, Set):
            self.set(step)
        # What comes by itself: fragments that were waited for in vain are complained of.
        yield from compare.frames(*(side.director.received() for side in self.sides))
        yield from self.look()

    def load(self, lines):
        """Give lines to both tools."""
        for line in lines:
            if line.startswith("-Z"):
                # IPVS takes the counters for zero that its estimator read last.
                self.clock.wait(ESTIMATED)
            if line.startswith("--set "):
                given = [int(word) for word in line.split()[1:4]]
                self.timeouts.append(tuple(new or old for new, old in zip(given, self.timeouts[-1])))
        yield from compare.refusals(*(side.restore(lines) for side in self.sides))

    def set(self, step):
        """Change a setting: of the balancers, or `mtu` of the inner interface."""
        for side in self.sides:
            if step.name == "mtu":
                side.director.set_mtu("back", int(step.value))
            elif step.name != "early" or side is self.sides[1]:
                side.set(step.name, step.value)
        self.settings.setdefault(step.name, []).append(step.value)
        if step.name in DEFENCE + BACKGROUND:
            self.clock.wait(SECONDS)

    def packet(self, step):
        """Send what a step says on both sides, and compare what comes out."""
        ends = self.ends[step.flow]
        self.number += 1
        if isinstance(step, Error):
            self.sent = frames.error(ends, step)
        else:
            self.sent = frames.build(ends, step, self.number)
        outputs = [self.through(side) for side in self.sides]
        self.learn(ends, step, outputs[0])
        yield from compare.frames(*outputs)

    def through(self, side):
        """{interface: frames} that come out of one side for the step's frames."""
        for dev, frame in self.sent:
            side.director.send(dev, frame)
        if self.slack:
            # On several processors a frame may still be on its way.
            time.sleep(0.02)
        return side.director.received()

    def learn(self, ends, step, output):
        """The flow's ends see what came out of the reference."""
        if isinstance(step, Error):
            return
        dev = "back" if step.side == ">" else "front"
        for frame in output[dev]:
            seen = wire.Frame(frame, True)
            if seen.ip and seen.ip.proto not in compare.ERRORS and not seen.ip.offset:
                ends.note(step.side, frame[14:])

    def look(self):
        """Compare the tables, when nothing in them is about to go."""
        tables = self.settled()
        self.tally.update(f"state {conn.proto} {conn.state}" for conn in tables[0])
        yield from compare.conns(*tables, self.slack)
        yield from compare.services(*(side.services() for side in self.sides))

    def settled(self):
        """Both tables of connections, without rows whose time is up."""
        for _ in range(LATEST // GLANCE):
            tables = [side.conns() for side in self.sides]
            if tables[0] == tables[1] or not any(conn.overdue for table in tables for conn in table):
                break
            self.clock.wait(GLANCE)
        return tables

    def count_ways(self):
        """Which ways packets took: early, or for which reasons not."""
        for side in self.sides:
            self.tally.update({f"way {name}": number for name, number in side.ways().items() if number > 0})
