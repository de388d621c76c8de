# SPDX-License-Identifier: GPL-2.0
"""Orders for the packet generator (bench/gen) and what it reports."""

import dataclasses
import ipaddress

FILE = "/proc/rlvs_gen"
PROTO = {"udp": 17, "tcp": 6}
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12


class GeneratorError(Exception):
    """The generator refused an order, or could not make all packets."""


@dataclasses.dataclass(frozen=True)
class Order:
    """Packets to be put into a device's receive path; see struct gen_order."""

    dev: str
    src: str
    dst: str
    proto: str
    sport: int
    dport: int
    count: int = 1
    flows: int = 1
    first: int = 0
    start: int = 0
    ports: int = 64
    flags: int = ACK
    payload: int = 18
    vary_dst: int = 0
    scattered: int = 0
    other: int = 0
    strange: int = 0
    written: int = 0
    listed: int = 0
    each: int = 0

    def text(self):
        """The order as the generator reads it."""
        words = dataclasses.asdict(self)
        words["v6"] = int(":" in self.src)
        words["src"], words["dst"] = packed(self.src), packed(self.dst)
        words["proto"] = PROTO[self.proto]
        return " ".join(f"{name}={value}" for name, value in words.items())


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run took; times in nanoseconds."""

    packets: int
    wall: int
    cpu: int
    slowest: int
    slow: int
    failed: int
    process: int

    @property
    def ns(self):
        """Processor time a packet."""
        return self.cpu / self.packets


def packed(address):
    """An address as 32 hexadecimal digits, IPv4 in the first eight."""
    return ipaddress.ip_address(address).packed.hex().ljust(32, "0")


def read():
    """The last run's result, and the processor time that the kernel has had so far."""
    with open(FILE, encoding="ascii") as file:
        return Result(*map(int, file.read().split()))


def run(order):
    """Run an order in the present network namespace."""
    with open(FILE, "w", encoding="ascii") as file:
        file.write(order.text())
    result = read()
    if result.failed:
        raise GeneratorError(f"no memory for {result.failed} packets")
    return result
