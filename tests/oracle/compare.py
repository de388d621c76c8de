# SPDX-License-Identifier: GPL-2.0
"""What is the same on both sides: equality, and the rules for what is random or unordered by nature.

A rule here is about what no two machines agree on. What rlvs does otherwise than IPVS on purpose is not here but in excuses.py.
"""

import re
from dataclasses import dataclass, field

import wire
from network import DEVICES, FOREIGN, OWN, VIPS

ERRORS = {wire.ICMP, wire.ICMP6}
# Hop-by-hop options, routing, destination options.
EXTENSIONS = {0, 43, 60}
OURS = {address for family in (4, 6) for address in (*OWN[family], *VIPS[family], FOREIGN[family])}


@dataclass
class Difference:
    """Something that is not the same: of which kind, where, and what each side has."""

    kind: str
    where: str
    ipvs: object
    rlvs: object
    step: object = None
    # The frames that the step sent, which an excuse may look at.
    sent: list = field(default_factory=list)

    def __str__(self):
        lines = [f"{self.kind}, {self.where}, after '{self.step}':"] if self.step is not None else [f"{self.kind}, {self.where}:"]
        for side, value in (("ipvs", self.ipvs), ("rlvs", self.rlvs)):
            items = value if isinstance(value, list) else str(value).splitlines()
            lines += [f"  {side}  {shown(item)}" for item in items] or [f"  {side}  nothing"]
        return "\n".join(lines)


def shown(item):
    """A thing in a line: frames taken apart."""
    return f"{wire.Frame(item, True)!r} {item[14:].hex()}" if isinstance(item, bytes) else str(item)


def frames(ipvs, rlvs):
    """The differences between {interface: frames} of both sides."""
    for dev in DEVICES:
        left, right = neutral(ipvs[dev]), neutral(rlvs[dev])
        if left != right:
            yield Difference("frames", dev, left, right)


def neutral(frames_of_one):
    """Frames without what is random: the identification of packets that the director itself made or cut into pieces."""
    # Pieces of one packet have the same one: the first that is met becomes 1, and so on.
    numbers = {}
    return [unidentified(frame, numbers) for frame in frames_of_one]


def unidentified(frame, numbers):
    """A frame with its identification replaced where that is random."""
    head, data = frame[:14], bytearray(frame[14:])
    at = fragment_header(data)
    if at:
        number = bytes(data[at + 4:at + 8])
        data[at + 4:at + 8] = numbers.setdefault(number, len(numbers) + 1).to_bytes(4, "big")
    elif len(data) >= 20 and data[0] >> 4 == 4 and made_here(data):
        data[4:6] = data[10:12] = b"\0\0"
        if data[9] == wire.IPIP and len(data) >= 40 and made_here(data[20:]):
            data[24:26] = data[30:32] = b"\0\0"
    return head + bytes(data)


def fragment_header(data):
    """Where an IPv6 packet has its fragment header, or None."""
    if len(data) < 48 or data[0] >> 4 != 6:
        return None
    kind, at = data[6], 40
    while kind in EXTENSIONS and at + 8 <= len(data):
        kind, at = data[at], at + 8 + data[at + 1] * 8
    return at if kind == wire.FRAGMENT and at + 8 <= len(data) else None


def made_here(data):
    """Whether the director made this IPv4 packet: an outer header, or a message of its own."""
    source = wire.text(bytes(data[12:16]))
    if source not in OURS:
        return False
    # From a virtual address come answers, too, which keep what the real server wrote; errors do not.
    return source in OWN[4] or data[9] in ERRORS


def conns(ipvs, rlvs, slack):
    """The differences between both tables of connections; `slack`: seconds by which times may differ."""
    left, right = list(ipvs), list(rlvs)
    for conn in ipvs:
        same = [other for other in right if alike(conn, other, slack)]
        if same:
            left.remove(conn)
            right.remove(same[0])
    if left or right:
        yield Difference("conns", "-Lnc", left, right)


def alike(one, other, slack):
    """Whether two rows are the same."""
    names = ("proto", "state", "client", "service", "dest")
    return (all(getattr(one, name) == getattr(other, name) for name in names)
            and abs(one.expires - other.expires) <= slack)


def services(ipvs, rlvs):
    """The differences between both lists of services and destinations."""
    left, right = [line for line in ipvs if line not in rlvs], [line for line in rlvs if line not in ipvs]
    if left or right:
        yield Difference("services", "-Ln", left, right)


def texts(ipvs, rlvs):
    """The differences between the listings of both tools."""
    for words, left in ipvs.items():
        one, other = normal(words, left), normal(words, rlvs[words])
        if one != other:
            yield Difference("text", " ".join(words), *only(one, other))


def only(one, other):
    """The lines of two texts that the other does not have; all, if they differ in their order alone."""
    left, right = one.splitlines(), other.splitlines()
    changed = [line for line in left if line not in right], [line for line in right if line not in left]
    return changed if any(changed) else (left, right)


def normal(words, text):
    """A listing without what is unordered or no news."""
    # The table's size is each one's own affair.
    text = re.sub(r"\(size=\d+\)", "(size=N)", text)
    if "-c" in words:
        lines = text.splitlines()
        # The times have just been compared in the tables themselves.
        rows = [re.sub(r"\d+:\d\d", "MM:SS", line, count=1) for line in lines[2:]]
        text = "\n".join(lines[:2] + sorted(rows))
    return text


def settings(names, ipvs, rlvs):
    """The differences between the settings of both."""
    for name in names:
        left, right = ipvs.get(name), rlvs.get(name)
        if left != right:
            yield Difference("setting", name, left, right)


def refusals(ipvs, rlvs):
    """The difference between what the tools said to a line: both took it, or both refused."""
    if bool(ipvs) != bool(rlvs):
        yield Difference("refusal", "-R", ipvs or "taken", rlvs or "taken")
