# SPDX-License-Identifier: GPL-2.0
"""The shortest scenario that still shows a difference."""

import copy

from scenario import Error, Packet, Scenario, Wait

# Plays that one shrinking may take.
PLAYS = 150


class Shrinker:
    """Tries ever smaller scenarios; `differs(scenario)` gives the difference that a play ends with, or None."""

    def __init__(self, scenario, found, differs):
        self.best, self.sign, self.differs = scenario, sign(found), differs
        self.found = found
        self.left = PLAYS

    def run(self):
        """(scenario, difference): smaller by all means, until none helps."""
        number = getattr(self.found, "number", None)
        if number is not None:
            self.try_(replaced(self.best, steps=self.best.steps[:number + 1]))
        while self.left > 0 and any([self.fewer("steps"), self.fewer("rules"), self.simpler()]):
            pass
        return self.best, self.found

    def try_(self, scenario):
        """Take a scenario if it shows the same difference."""
        if self.left <= 0 or str(scenario) == str(self.best):
            return False
        self.left -= 1
        found = self.differs(scenario)
        if found is None or sign(found) != self.sign:
            return False
        self.best, self.found = scenario, found
        return True

    def fewer(self, name):
        """Leave out runs of steps or rules: long runs first."""
        gained = False
        size = max(len(getattr(self.best, name)) // 2, 1)
        while size:
            at = len(getattr(self.best, name)) - size
            while at >= 0:
                items = getattr(self.best, name)
                gained |= self.try_(replaced(self.best, **{name: items[:at] + items[at + size:]}))
                at = min(at, len(getattr(self.best, name))) - size
            size //= 2
        return gained

    def simpler(self):
        """Make single steps plainer."""
        gained = False
        for number in range(len(self.best.steps)):
            for step in plainer(self.best.steps[number]):
                steps = list(self.best.steps)
                steps[number] = step
                gained |= self.try_(replaced(self.best, steps=steps))
        for number, line in enumerate(self.best.rules):
            for shorter in shorter_lines(line):
                rules = list(self.best.rules)
                rules[number] = shorter
                gained |= self.try_(replaced(self.best, rules=rules))
        return gained


def replaced(scenario, **parts):
    """A copy with other parts."""
    made = Scenario(list(scenario.rules), scenario.flows, list(scenario.steps), list(scenario.about), scenario.marks)
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def plainer(step):
    """Steps that say the same with less."""
    if isinstance(step, (Packet, Error)):
        for name in step.odd:
            other = copy.deepcopy(step)
            del other.odd[name]
            yield other
    if isinstance(step, Packet) and step.size > 1:
        for size in (0, 1, 100):
            if size < step.size:
                other = copy.deepcopy(step)
                other.size = size
                yield other
    if isinstance(step, Wait):
        for seconds in (1, 5, 60):
            if seconds < step.seconds:
                yield Wait(seconds)


def shorter_lines(line):
    """A rule with one of its options left out."""
    words = line.split()
    for name in ("-w", "-x", "-y", "-b"):
        if name in words:
            at = words.index(name)
            yield " ".join(words[:at] + words[at + 2:])


def sign(found):
    """What makes two differences the same kind of difference."""
    return found.kind, found.where.split()[0], bool(found.ipvs), bool(found.rlvs)
