# SPDX-License-Identifier: GPL-2.0
"""The rules of a drawn scenario, and edits of them that make sense: each is a line for the tools."""

from dataclasses import dataclass, field

import options
from network import FOREIGN, OWN, VIPS, link_address
from scenario import join

BRIEF = {"tcp": "-t", "udp": "-u"}
TIMEOUTS = ("900 120 300", "100 20 30", "0 0 40", "10 5 2", "3000 0 0")
PORTS = (80, 53, 443, 8080, 5060)


@dataclass
class Service:
    """A service as the rules have it by now."""

    proto: str
    family: int
    address: str
    port: int
    words: dict = field(default_factory=dict)
    mark: int = 0
    # Which packets have the mark: those to this port, or 0 for all to the address.
    marked_port: int = 0
    dests: list = field(default_factory=list)
    # Those that were removed, to be added again.
    gone: list = field(default_factory=list)

    @property
    def name(self):
        """How the tools name it."""
        if self.mark:
            return f"-f {self.mark}" + " -6" * (self.family == 6)
        return f"{BRIEF[self.proto]} {join(self.address, self.port)}"

    def takes(self, address, port):
        """Whether packets to an address and port are for it, as far as that goes without their protocol."""
        return address == self.address and (self.marked_port if self.mark else self.port) in (0, port)

    def line(self, command="-A"):
        """The line that adds or edits it."""
        return " ".join([command, self.name] + flat(self.words))

    def lines(self):
        """All lines that make it."""
        return [self.line()] + [dest.line() for dest in self.dests]


@dataclass
class Dest:
    """A destination of a service."""

    service: Service
    address: str
    port: int
    words: dict = field(default_factory=dict)

    @property
    def name(self):
        """How the tools name it."""
        return f"{self.service.name} -r {join(self.address, self.port)}"

    @property
    def proto(self):
        """Its service's."""
        return self.service.proto

    def line(self, command="-a"):
        """The line that adds or edits it."""
        return " ".join([command, self.name] + flat(self.words))


def flat(words):
    """The words and values of a dictionary in one list; a key in brackets is no word itself."""
    return [word for name, value in words.items() for word in ((value,) if name == "method" else (name, value)) if word]


def words_of(dice, table, about):
    """Draw the options of a table for a service or destination into its words."""
    for option in table:
        value = dice.option(option, about)
        if value is not None:
            about.words[option.word or option.name] = value


def new_service(dice, taken, kinds=options.KINDS):
    """Draw a service that is not there yet."""
    for _ in range(20):
        family, proto = dice.pick((4, 4, 6)), dice.pick(("tcp", "tcp", "udp"))
        service = Service(proto, family, dice.pick(VIPS[family]), dice.pick(PORTS))
        kind = dice.weighted(options.KIND, kinds)
        if kind == "mark":
            mark(dice, service)
        elif kind == "all ports":
            service.port = 0
        if all(service.name != other.name for other in taken):
            break
    service_words(dice, service)
    for _ in range(dice.pick((0, 1, 1, 2, 2, 2, 3, 3, 4, 5))):
        add(dice, service)
    return service


def mark(dice, service):
    """Let packets for the service be known by a mark."""
    service.mark = int(dice.option(options.MARKS, service))
    if dice.option(options.MARKED, service) == "port":
        service.marked_port = service.port
    if dice.option(options.WHERE, service) == "foreign":
        service.address = FOREIGN[service.family]


def service_words(dice, service):
    """Draw a service's options."""
    words_of(dice, options.SERVICE, service)
    if not service.port:
        # ipvsadm wants that.
        service.words.setdefault("-p", "300")


def add(dice, service):
    """Draw a destination that the service does not have; None if there is none left."""
    for _ in range(20):
        dest = new_dest(dice, service)
        if all(dest.name != other.name for other in service.dests + service.gone):
            service.dests.append(dest)
            return dest
    return None


def new_dest(dice, service):
    """Draw a destination."""
    dest = Dest(service, "", service.port)
    words_of(dice, options.DESTINATION, dest)
    if service.words.get("-s") == "twos" and any(other.words.get("-w") != "0" for other in service.dests) and dice.chance("twos of one", 0.8):
        dest.words["-w"] = "0"
    method = dest.words["method"]
    family = service.family
    if method == "-i" and dice.chance("other family", 0.25):
        family = 10 - family
    place = dice.option(options.PLACE, dest)
    if place == "here" and method != "-m" and not options.PASSING:
        place = "near"
    if place == "here":
        dest.address = OWN[family][1]
    elif place == "far":
        dest.address = f"10.3.0.{dice.number(1, 3)}" if family == 4 else f"fd00:13::{dice.number(1, 3)}"
    else:
        dest.address = link_address(family, "back", dice.number(11, 16))
    if method == "-m" and dice.chance("other port", 0.5):
        dest.port = service.port + 1000 + dice.number(0, 1)
    # See open/: the port of a destination by mark that keeps the packet's.
    if not service.port or service.mark and (method != "-m" or dice.chance("destination for all ports", 0.4)):
        dest.port = 0
    return dest


class Edits:
    """Draws edits of the services and follows them."""

    def __init__(self, dice, services):
        self.dice, self.services = dice, services

    def draw(self):
        """A line, or None where the drawn edit has nothing to work on."""
        kind = self.dice.weighted(options.EDIT, options.EDITS)
        if kind in ("timeouts", "clear", "zero"):
            return getattr(self, kind)()
        if not self.services:
            return None
        service = self.dice.pick(self.services)
        return getattr(self, kind)(service)

    def changed(self, service, **words):
        """Edit one of the destinations."""
        if not service.dests:
            return None
        dest = self.dice.pick(service.dests)
        for name, value in words.items():
            dest.words["method" if name == "method" else f"-{name}"] = value
        return dest.line("-e")

    def weight(self, service):
        """Another weight."""
        return self.changed(service, w=self.dice.pick(("0", "1", "2", "5", "100")))

    def quiesce(self, service):
        """No new connections."""
        return self.changed(service, w="0")

    def thresholds(self, service):
        """Other thresholds."""
        upper = self.dice.number(0, 3)
        return self.changed(service, x=str(upper), y=str(self.dice.number(0, upper)))

    def method(self, service):
        """Another method for the connections to come."""
        if not service.dests:
            return None
        dest = self.dice.pick(service.dests)
        if (":" in dest.address) != (service.family == 6):
            return None
        ways = ("-m", "-g", "-i") if dest.port == service.port and options.PASSING else (dest.words["method"],)
        dest.words["method"] = self.dice.pick(ways)
        return dest.line("-e")

    def add(self, service):
        """Another destination."""
        quiet = not options.PASSING and all(dest.words["method"] == "-m" for dest in service.dests + service.gone)
        dest = add(self.dice, service)
        if dest and quiet:
            dest.words["method"] = "-m"
            dest.address = dest.address if (":" in dest.address) == (service.family == 6) else link_address(service.family, "back", 16)
        return dest and dest.line()

    def remove(self, service):
        """One destination less."""
        if not service.dests:
            return None
        dest = self.dice.pick(service.dests)
        service.dests.remove(dest)
        service.gone.append(dest)
        return f"-d {dest.name}"

    def readd(self, service):
        """A destination that was removed comes back."""
        if not service.gone:
            return None
        dest = self.dice.pick(service.gone)
        service.gone.remove(dest)
        service.dests.append(dest)
        return dest.line()

    def scheduler(self, service):
        """Another scheduler."""
        service.words = {}
        service_words(self.dice, service)
        return service.line("-E")

    def flags(self, service):
        """Other flags for the same scheduler."""
        scheduler = service.words["-s"]
        service.words = {"-s": scheduler}
        for option in options.SERVICE[1:]:
            value = self.dice.option(option, service)
            if value is not None:
                service.words[option.word] = value
        if not service.port:
            service.words.setdefault("-p", "300")
        return service.line("-E")

    def delete(self, service):
        """No service any more."""
        self.services.remove(service)
        return f"-D {service.name}"

    def recreate(self, _service):
        """Another service."""
        # Marks are set from the beginning on.
        service = new_service(self.dice, self.services, (1, 0, 0.1))
        if any(service.name == other.name for other in self.services):
            return None
        service.dests, service.gone = [], [dest for dest in service.dests if options.PASSING or dest.words["method"] == "-m"]
        self.services.append(service)
        return service.line()

    def timeouts(self):
        """Other time-outs."""
        return f"--set {self.dice.pick(TIMEOUTS)}"

    def zero(self):
        """Counters begin anew."""
        if self.services and self.dice.chance("zero one", 0.5):
            return f"-Z {self.dice.pick(self.services).name}"
        return "-Z"

    def clear(self):
        """Nothing is left."""
        self.services.clear()
        return "-C"

    def wrong(self, service):
        """A line that both must refuse."""
        lines = [service.line(), f"-d {service.name} -r {join(VIPS[service.family][0], 9)}",
                 f"-e {service.name} -r {join(VIPS[service.family][0], 9)} -m", f"-E {BRIEF[service.proto]} 10.9.9.9:9 -s rr",
                 f"-D {BRIEF[service.proto]} 10.9.9.9:9"]
        if service.dests:
            lines.append(service.dests[0].line())
        return self.dice.pick(lines)
