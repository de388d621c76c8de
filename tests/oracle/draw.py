# SPDX-License-Identifier: GPL-2.0
"""Draws scenarios from a seed: services, what flows do in their lives, and what happens to them on the way."""

import copy
import random
from collections import Counter

import options
from edits import PORTS, Edits, new_service
from scenario import Edit, Error, Flow, Packet, Scenario, Set, Wait

FLAG_SETS = ("S", "A", "PA", "FA", "RA", "R", "SA", "F", "FPU", "-", "SR", "SF", "SFRPAU", "P")


class Dice:
    """Randomness from a seed that counts what it gave."""

    def __init__(self, seed, tally=None):
        self.random = random.Random(seed)
        self.tally = Counter() if tally is None else tally

    def pick(self, values):
        """One of them."""
        return self.random.choice(values)

    def number(self, first, last):
        """A number of a range, both ends in it."""
        return self.random.randint(first, last)

    def chance(self, name, share):
        """True with a chance; counted by its name."""
        hit = self.random.random() < share
        if hit:
            self.tally[name] += 1
        return hit

    def option(self, option, about):
        """One of an option's values, or None."""
        if not option.when(about) or self.random.random() >= option.chance:
            return None
        value = self.random.choice(option.values)
        self.tally[f"{option.name} {value}".strip()] += 1
        return value

    def weighted(self, option, weights):
        """One of an option's values by weight."""
        value = self.random.choices(option.values, weights)[0]
        self.tally[f"{option.name} {value}".strip()] += 1
        return value

    def size(self):
        """Bytes of payload."""
        return int(self.weighted(options.SIZE, options.SIZES))


class Draw:
    """One scenario."""

    def __init__(self, seed, tally=None):
        self.dice = dice = Dice(seed, tally)
        self.services = []
        for _ in range(dice.pick((1, 1, 1, 2, 2, 3))):
            service = new_service(dice, self.services)
            if all(service.name != other.name for other in self.services):
                self.services.append(service)
        self.flows, self.used = {}, set()
        # The share of packets that are out of the ordinary, so that many scenarios have none.
        self.oddness = dice.pick((0, 0, 1, 1, 3))
        self.seed = seed

    def scenario(self):
        """Draw all of it."""
        rules = [line for service in self.services for line in service.lines()]
        lives = [self.life() for _ in range(self.dice.pick((1, 2, 2, 3, 3, 4, 5, 6)))]
        marks = [(service.mark, (service.address, service.marked_port)) for service in self.services if service.mark]
        steps = self.events(self.merged(lives))
        return Scenario(rules, self.flows, steps, [f"Drawn from seed {self.seed}."], marks)

    # --- flows ---------------------------------------------------------------

    def flow(self):
        """Draw who talks to whom: nearly always a service."""
        dice, service = self.dice, self.dice.pick(self.services)
        address, port, proto = service.address, service.port, service.proto
        if not port or service.mark and not service.marked_port and dice.chance("other port of a mark", 0.3):
            port = dice.pick(PORTS)
        if service.mark and dice.chance("other protocol of a mark", 0.3):
            proto = {"tcp": "udp", "udp": "tcp"}[proto]
        if dice.chance("flow for no service", 0.06):
            port += 1
        client = self.client(service.family)
        others = [flow.client for flow in self.flows.values() if flow.family == service.family and flow.service != (address, port)]
        if others and dice.chance("client of another flow", 0.1):
            client = dice.pick(others)
        name = chr(ord("a") + len(self.flows))
        self.flows[name] = flow = Flow(name, proto, client, (address, port))
        return flow

    def client(self, family):
        """Draw a client's address and port that no other flow has."""
        while True:
            if self.dice.chance("client on the link", 0.2):
                address = f"10.0.2.{self.dice.number(11, 14)}" if family == 4 else f"fd00:2::{self.dice.number(11, 14):x}"
            else:
                last = self.dice.number(1, 9)
                address = f"10.1.{self.dice.number(0, 2)}.{last}" if family == 4 else f"fd00:11::{last}"
            client = (address, self.dice.pick((4000, 4001, 5555, 33000, 65000)))
            if client not in self.used:
                self.used.add(client)
                return client

    def life(self):
        """Draw what a flow does."""
        flow = self.flow()
        kind = self.dice.weighted(options.LIFE[flow.proto], options.LIVES[flow.proto])
        steps = getattr(self, f"{flow.proto}_{kind}")(flow)
        if self.uses(flow, "-g", "-i") and not self.dice.chance("answers of DR and TUN", options.PASSING):
            steps = [step for step in steps if getattr(step, "side", ">") == ">"]
        return [self.oddly(flow, self.said(flow, copy.deepcopy(step))) for step in steps]

    def uses(self, flow, *methods):
        """Whether the flow's service has destinations of some methods."""
        return any(dest.words["method"] in methods for service in self.services for dest in service.dests + service.gone
                   if service.takes(*flow.service))

    def said(self, flow, step):
        """The step, with a message where the flow's service has an engine that reads them."""
        read = any("--pe" in service.words for service in self.services
                   if service.takes(*flow.service))
        if read and isinstance(step, Packet) and not step.again:
            for option in (options.CALL, options.HEAD)[:2 if flow.proto == "udp" else 0]:
                value = self.dice.option(option, flow)
                if value is None:
                    break
                step.odd[option.name] = value
        return step

    def opened(self, flow):
        """A handshake."""
        return [Packet(flow.name, ">", "S"), Packet(flow.name, "<", "SA"), Packet(flow.name, ">", "A")]

    def data(self, flow, most=4):
        """Some data both ways, acknowledged."""
        steps = []
        for _ in range(self.dice.number(0, most)):
            side = self.dice.pick("><")
            steps.append(Packet(flow.name, side, "PA", self.dice.size()))
            steps += [Packet(flow.name, ">" if side == "<" else "<", "A")] * self.dice.number(0, 1)
        return steps

    def ending(self, flow):
        """FIN by one side, then by the other; each with its ACK."""
        first = self.dice.pick("><")
        other = ">" if first == "<" else "<"
        steps = [Packet(flow.name, first, "FA"), Packet(flow.name, other, "A"), Packet(flow.name, other, "FA"),
                 Packet(flow.name, first, "A")]
        if self.dice.chance("FIN and ACK in one", 0.4):
            del steps[1]
        if self.dice.chance("both sides at once", 0.1):
            steps = [steps[0], steps[-2], steps[-1]]
        return steps

    def tcp_whole(self, flow):
        """A connection from its first packet to its end."""
        return self.opened(flow) + self.data(flow) + self.ending(flow)

    def tcp_reset(self, flow):
        """A connection that one side breaks."""
        steps = self.opened(flow)[:self.dice.number(1, 3)] + self.data(flow, 2)
        side = self.dice.pick("><")
        return steps + [Packet(flow.name, side, self.dice.pick(("R", "RA")))] + self.data(flow, 1)

    def tcp_half(self, flow):
        """A connection that does not get far."""
        return self.opened(flow)[:self.dice.number(1, 2)] + [Packet(flow.name, ">", again=True)] * self.dice.number(0, 2)

    def tcp_silent(self, flow):
        """A connection that nobody ends."""
        return self.opened(flow) + self.data(flow, 6)

    def tcp_wild(self, flow):
        """Any flags in any order."""
        start = [Packet(flow.name, ">", "S")] * self.dice.pick((0, 1, 1))
        return start + [Packet(flow.name, self.dice.pick(">><"), self.dice.pick(FLAG_SETS), self.dice.pick((0, 0, 20)))
                        for _ in range(self.dice.number(2, 9))]

    def tcp_resend(self, flow):
        """A connection with losses: frames come again."""
        steps = []
        for step in self.tcp_whole(flow):
            steps.append(step)
            if self.dice.chance("frame again", 0.35):
                steps.append(Packet(flow.name, step.side, again=True))
        return steps

    def tcp_reuse(self, flow):
        """A second connection over the same addresses and ports, after a while."""
        pause = [Wait(int(self.dice.pick(("1", "5", "30", "119"))))] * self.dice.number(0, 1)
        return self.tcp_whole(flow) + pause + self.tcp_whole(flow)

    def tcp_deaf(self, flow):
        """A connection of which the director sees the requests only."""
        return [step for step in self.tcp_whole(flow) if step.side == ">"]

    def udp_talk(self, flow):
        """Requests, most of them answered."""
        steps = []
        for _ in range(self.dice.number(1, 5)):
            steps.append(Packet(flow.name, ">", size=self.dice.size()))
            steps += [Packet(flow.name, "<", size=self.dice.size())] * self.dice.pick((0, 1, 1, 1, 2))
        return steps

    def udp_oneway(self, flow):
        """Requests alone."""
        return [Packet(flow.name, ">", size=self.dice.size()) for _ in range(self.dice.number(1, 5))]

    def udp_wild(self, flow):
        """Either side at any time."""
        return [Packet(flow.name, self.dice.pick("><"), size=self.dice.size()) for _ in range(self.dice.number(1, 6))]

    def oddly(self, flow, step):
        """The step, perhaps with something out of the ordinary."""
        if not isinstance(step, Packet) or step.again or not self.oddness:
            return step
        for option in options.PACKET:
            if self.dice.random.random() * 5 < self.oddness:
                value = self.dice.option(option, flow)
                if value is not None:
                    step.odd[option.name] = value
        if "frag" in step.odd:
            parts = self.dice.option(options.PARTS, flow)
            if parts:
                step.odd["parts"] = parts
        return step

    # --- all together --------------------------------------------------------

    def merged(self, lives):
        """The steps of all flows, each flow's in its order."""
        steps = []
        lives = [life for life in lives if life]
        # In one of three scenarios one flow follows the other.
        mixed = self.dice.chance("flows mixed", 0.67)
        while lives:
            life = self.dice.pick(lives) if mixed else lives[0]
            steps.append(life.pop(0))
            if not life:
                lives.remove(life)
        return steps

    def events(self, steps):
        """The steps with waits, edits, errors and settings between them."""
        dice, edits = self.dice, Edits(self.dice, self.services)
        waits, changes, errors = dice.pick((0, 0.05, 0.15)), dice.pick((0, 0, 0.1, 0.25)), dice.pick((0, 0, 0.1, 0.3))
        early = dice.option(options.EARLY, None)
        found = [Set("early", "0")] if early == "off" else []
        found += [self.setting(early) for _ in range(dice.pick((0, 0, 0, 1, 2, 3)))]
        settings = dice.pick((0.01, 0.01, 0.01, 0.1))
        for step in steps:
            found.append(step)
            if isinstance(step, Packet) and dice.chance("error", errors):
                found.append(self.error(step))
            if dice.chance("edit", changes):
                line = edits.draw()
                found += [Edit(line)] if line else []
            if dice.chance("pause", waits):
                found.append(Wait(int(dice.weighted(options.WAIT, options.WAITS))))
            if dice.chance("setting", 0.15 if early == "switched" else settings):
                found.append(self.setting(early))
        return found + [Wait(int(dice.weighted(options.WAIT, options.WAITS)))] * dice.number(0, 1)

    def setting(self, early):
        """A setting: the early path's where it is switched, or another."""
        name, value = self.dice.option(options.SETTING, None).split()
        if early == "switched" and name not in options.SHARED:
            return Set("early", self.dice.pick("01"))
        return Set(name, value)

    def error(self, packet):
        """An ICMP error about the packet's direction or the other."""
        dice = self.dice
        family = self.flows[packet.flow].family
        kind, code = dice.option(options.ERROR[family], None).split("/")
        step = Error(packet.flow, dice.pick((packet.side, packet.side, "<")), int(kind), int(code))
        for option in options.ERROR_ODD:
            value = dice.option(option, None)
            if value is not None:
                step.odd[option.name] = value
        return step
