# SPDX-License-Identifier: GPL-2.0
"""Scenarios as people read and write them, one thing a line:

    # NAT: a connection from its first packet to its end.
    rule -A -t 10.0.2.100:80 -s rr
    rule -a -t 10.0.2.100:80 -r 10.0.3.11:80 -m
    mark 7 10.0.2.101:0
    flow a tcp 10.1.0.1:4000 > 10.0.2.100:80
    a > S
    a < SA
    a > A 100 ttl=1
    a > again
    a error > 3/1 from=10.0.3.254
    edit -e -t 10.0.2.100:80 -r 10.0.3.11:80 -m -w 0
    set early 0
    wait 120

`rule` lines are loaded by `-R` before the steps, `edit` lines by a `-R` each. Packets to the address and port of a `mark` line get
that mark (port 0: all to the address); whatever is marked is taken in, whether or not the address is the director's. `>` is a packet of the flow's client, `<` an answer
of whoever got the flow's last request. Behind it: TCP flags (or - for none), bytes of payload, `again` for the same frame once more,
and NAME=VALUE for what is out of the ordinary (frames.py). `error` is an ICMP error, TYPE/CODE, about the last packet that came out
of the director in that direction.
"""

import re
from dataclasses import dataclass, field

FLAGS = "FSRPAU"


class Damaged(ValueError):
    """A line that can't be read."""


@dataclass
class Flow:
    """Packets between a client and a virtual address: addresses with ports."""

    name: str
    proto: str
    client: tuple
    service: tuple

    def __str__(self):
        return f"flow {self.name} {self.proto} {join(*self.client)} > {join(*self.service)}"

    @property
    def family(self):
        """4 or 6."""
        return 6 if ":" in self.client[0] else 4


@dataclass
class Packet:
    """A packet of a flow: from its client (>) or an answer (<)."""

    flow: str
    side: str
    flags: str = ""
    size: int = 0
    again: bool = False
    odd: dict = field(default_factory=dict)

    def __str__(self):
        words = [self.flow, self.side]
        if self.again:
            words.append("again")
        else:
            words += [self.flags] * bool(self.flags) + [str(self.size)] * (bool(self.size) or not self.flags)
        return " ".join(words + pairs(self.odd))


@dataclass
class Error:
    """An ICMP error about the last packet of a flow that came out towards the server (>) or the client (<)."""

    flow: str
    side: str
    kind: int
    code: int
    odd: dict = field(default_factory=dict)

    def __str__(self):
        return " ".join([self.flow, "error", self.side, f"{self.kind}/{self.code}"] + pairs(self.odd))


@dataclass
class Edit:
    """A line for the tools."""

    line: str

    def __str__(self):
        return f"edit {self.line}"


@dataclass
class Wait:
    """Seconds in which nothing comes."""

    seconds: int

    def __str__(self):
        return f"wait {self.seconds}"


@dataclass
class Set:
    """A setting: `early` of rlvs, `mtu` of the inner interface, or one that both have."""

    name: str
    value: str

    def __str__(self):
        return f"set {self.name} {self.value}"


@dataclass
class Scenario:
    """Rules, flows, and steps, with what is said about it."""

    rules: list
    flows: dict
    steps: list
    about: list = field(default_factory=list)
    # (mark, (address, port)).
    marks: list = field(default_factory=list)

    def __str__(self):
        lines = [f"# {line}".rstrip() for line in self.about] + [f"rule {line}" for line in self.rules]
        lines += [f"mark {mark} {join(*to)}" for mark, to in self.marks]
        used = {step.flow for step in self.steps if isinstance(step, (Packet, Error))}
        lines += [str(flow) for flow in self.flows.values() if flow.name in used]
        return "\n".join(lines + [str(step) for step in self.steps]) + "\n"


def pairs(odd):
    """NAME=VALUE words."""
    return [f"{name}={value}" for name, value in odd.items()]


def join(address, port):
    """address:port as the tools write it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split(text):
    """(address, port) of address:port."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def parse(text):
    """The scenario that a text describes."""
    scenario = Scenario([], {}, [])
    for number, line in enumerate(text.splitlines(), 1):
        try:
            take(scenario, line.strip())
        except (ValueError, IndexError, KeyError) as error:
            raise Damaged(f"line {number}, '{line}': {error}") from error
    return scenario


def take(scenario, line):
    """Add what one line says."""
    if not line:
        return
    if line.startswith("#"):
        scenario.about.append(line[1:].strip())
        return
    first, _, rest = line.partition(" ")
    if first == "rule":
        scenario.rules.append(rest)
    elif first == "mark":
        mark, to = rest.split()
        scenario.marks.append((int(mark), split(to)))
    elif first == "flow":
        name, proto, client, _, service = rest.split()
        scenario.flows[name] = Flow(name, proto, split(client), split(service))
    elif first == "edit":
        scenario.steps.append(Edit(rest))
    elif first == "wait":
        scenario.steps.append(Wait(int(rest)))
    elif first == "set":
        scenario.steps.append(Set(*rest.split()))
    elif first in scenario.flows:
        scenario.steps.append(of_flow(first, rest.split()))
    else:
        raise Damaged(f"'{first}' is neither a word nor a flow")


def of_flow(name, words):
    """The step that the words behind a flow's name describe."""
    odd = dict(word.split("=", 1) for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    if words[0] == "error":
        kind, code = words[2].split("/")
        return Error(name, direction(words[1]), int(kind), int(code), odd)
    packet = Packet(name, direction(words[0]), odd=odd)
    for word in words[1:]:
        if word == "again":
            packet.again = True
        elif word.isdigit():
            packet.size = int(word)
        elif re.fullmatch(f"[{FLAGS}]+|-", word):
            packet.flags = word
        else:
            raise Damaged(f"'{word}' is not known")
    return packet


def direction(word):
    """> or <."""
    if word not in "><":
        raise Damaged(f"'{word}' should be > or <")
    return word
