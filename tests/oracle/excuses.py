# SPDX-License-Identifier: GPL-2.0
"""What rlvs does otherwise than IPVS on purpose: each an exact matcher, with what both sides must have.

The list in docs/differences.md says the same to people. Each excuse has a kept scenario of its name, in kept/, that needs it.
"""

import re

import compare
import wire
from network import FOREIGN, OWN
from scenario import Error, join

EXCUSES = []


class Excuse:
    """A matcher; `ends`: behind it the two are in different states, and the scenario is over."""

    def __init__(self, function, ends):
        self.name = function.__name__.replace("_", "-")
        self.about, self.covers, self.ends = function.__doc__, function, ends


def excuse(ends=False):
    """Register a function of (difference, play)."""

    def register(function):
        EXCUSES.append(Excuse(function, ends))
        return function
    return register


def pairs(found):
    """The pairs of frames that differ, where both sides sent as many; otherwise none."""
    if found.kind != "frames" or len(found.ipvs) != len(found.rlvs):
        return []
    return [(left, right) for left, right in zip(found.ipvs, found.rlvs) if left != right]


def every(items, holds):
    """Whether there are some and it holds for all."""
    return bool(items) and all(holds(*item) for item in items)


def blank(frame, *places):
    """A frame with the two bytes at some places zeroed."""
    data = bytearray(frame)
    for at in places:
        data[at:at + 2] = b"\0\0"
    return bytes(data)


@excuse()
def udp_without_checksum(found, _play):
    """A UDP packet without a checksum stays without one; IPVS's NAT gives it one."""

    def holds(left, right):
        one, other = wire.Ip(left[14:]), wire.Ip(right[14:])
        at = 14 + other.header + 6
        return (other.proto == wire.UDP and right[at:at + 2] == b"\0\0" and one.fault() is None
                and blank(left, at) == right)
    return every(pairs(found), holds)


def past_extensions(ip):
    """A packet with its IPv6 extension headers taken for a part of the header."""
    while ip.version == 6 and ip.proto in compare.EXTENSIONS and ip.header + 8 <= len(ip.raw):
        ip.proto, ip.header = ip.raw[ip.header], ip.header + 8 + ip.raw[ip.header + 1] * 8
    return ip


def quoted(frame):
    """(places of the checksums of ICMP and of the quoted packet, error, quoted packet) of an ICMP error."""
    ip = wire.Ip(frame[14:])
    if ip.proto not in (wire.ICMP, wire.ICMP6) or not wire.is_error(ip):
        return None
    inner = past_extensions(ip.inner)
    at = 14 + ip.header
    places = [at + 2]
    if inner.proto in (wire.TCP, wire.UDP) and at + 8 + inner.header + wire.CHECK_AT[inner.proto] + 2 <= len(frame):
        places.append(at + 8 + inner.header + wire.CHECK_AT[inner.proto])
    return places, ip, inner


@excuse()
def quoted_checksum(found, _play):
    """UDP and TCP checksums in packets quoted by ICMP errors are translated too, as far as they are quoted."""

    def holds(left, right):
        one, other = quoted(left), quoted(right)
        if not one or not other or len(one[0]) != 2 or blank(left, *one[0]) != blank(right, *one[0]):
            return False
        at = one[0][1]
        if not quoted(found.sent[0][1]):
            # The director's own error about a request that it translated: here the client gets its own checksum back.
            own = past_extensions(wire.Ip(found.sent[0][1][14:]))
            check = own.header + wire.CHECK_AT[own.proto]
            return right[at:at + 2] == own.raw[check:check + 2]
        came = [quoted(frame) for _, frame in found.sent]
        sent = [frame[places[0][1]:places[0][1] + 2] for (_, frame), places in zip(found.sent, came) if places]
        # IPVS leaves it as it was quoted; here it fits the addresses and ports that stand beside it.
        return left[at:at + 2] in sent and same_sum(right[at:at + 2], fitting(found.sent[0][1], right))
    return every(pairs(found), holds)


def same_sum(one, other):
    """Whether two checksums are the same number: 0 and 0xffff are."""
    return one == other or {one, other} == {b"\0\0", b"\xff\xff"}


def fitting(before, after):
    """The quoted checksum that belongs to the quoted addresses and ports of `after`, given how it was in `before`."""
    (places, ip, inner), (_, ip2, inner2) = quoted(before), quoted(after)
    old = before[places[1]:places[1] + 2]
    total = 0xFFFF - int.from_bytes(old, "big")
    if inner.proto == wire.UDP and old == b"\0\0":
        return old
    for packet, sign in ((inner, -1), (inner2, 1)):
        words = wire.binary(packet.source) + wire.binary(packet.target) + packet.l4[:4]
        total += sign * wire.total(words)
    value = 0xFFFF - (total % 0xFFFF)
    return (value if value else 0xFFFF if inner.proto == wire.UDP else value).to_bytes(2, "big")


@excuse()
def saved_thresholds(found, _play):
    """rlvsadm saves thresholds (-x, -y), ipvsadm does not."""
    if found.kind != "text" or found.where != "-S -n":
        return False
    # The order of families is families-sorted's affair.
    stripped = [re.sub(r" -[xy] \d+", "", line) for line in found.rlvs]
    return stripped != found.rlvs and sorted(stripped) == sorted(found.ipvs)


# States whose time-out can be set, by their place in `--set`.
SETTABLE = {"ESTABLISHED": 0, "FIN_WAIT": 1, "UDP": 2}


@excuse()
def timeouts_at_once(found, play):
    """A change of time-outs counts at once for connections that exist; in IPVS each takes it over with its next packet."""
    if found.kind != "conns" or len(play.timeouts) < 2 or len(found.ipvs) != len(found.rlvs):
        return False

    def holds(left, right):
        place = SETTABLE.get(left.state)
        if place is None or (left.state, left.client, left.service, left.dest) != (right.state, right.client, right.service,
                                                                                   right.dest):
            return False
        now = play.timeouts[-1][place]
        return any(right.expires - left.expires == now - earlier[place] for earlier in play.timeouts[:-1])
    return every(list(zip(found.ipvs, found.rlvs)), holds)


@excuse(ends=True)
def timeouts_at_once_and_over(found, play):
    """As timeouts-at-once, where one of both times is up: the connection is there on one side only."""
    if found.kind != "conns" or len(play.timeouts) < 2:
        return False
    alone = [conn for conn in found.ipvs + found.rlvs]
    return bool(alone) and all(conn.state in SETTABLE for conn in alone)


# A template's time-out once it has run out with connections (IPVS).
MINUTE = 60


def is_template(conn):
    """Whether a row is a template's: its client has no port."""
    return conn.client.endswith(":0")


def seen(conn):
    """A row without its time."""
    return conn.proto, conn.state, conn.client, conn.service, conn.dest


@excuse(ends=True)
def rearmed_templates(found, _play):
    """A template with connections goes on minute by minute. IPVS's minutes begin when a timer rings, which may be an eighth late."""

    def holds(left, right):
        return is_template(left) and seen(left) == seen(right) and max(left.expires, right.expires) <= MINUTE
    if found.kind != "conns" or len(found.ipvs) != len(found.rlvs):
        return False
    return every(list(zip(sorted(found.ipvs, key=seen), sorted(found.rlvs, key=seen))), holds)


@excuse(ends=True)
def void_templates(found, _play):
    """A template that leads nowhere any more leaves the table with its client's next connection; IPVS lists it on, with port 65535."""
    if found.kind != "conns" or found.rlvs or not found.ipvs:
        return False
    return all(is_template(conn) and conn.dest.endswith(":65535") for conn in found.ipvs)


# What an ICMP error becomes that a tunnel's outer packet met: too large, or not there.
TOO_BIG = {4: (3, 4), 6: (2, 0)}
UNREACHABLE = {4: (3, 1), 6: (1, 3)}
OUTER, LEAST = {4: 20, 6: 40}, {4: 68, 6: 1280}
# What Linux makes of an MTU that is smaller: this (`ip_no_pmtu_disc`, `min_pmtu`); IPv6 does not believe it.
LEAST_LEARNED = 552


def told(play, outer, inner):
    """The MTUs that a client may be told of: what errors have made of the way to the real server, without the outer header."""
    links = {1500, *map(int, play.settings.get("mtu", ()))}
    errors = {int(step.odd.get("mtu", 0)) for step in play.scenario.steps if isinstance(step, Error)}
    if outer == 4:
        ways = {min(max(mtu, LEAST_LEARNED), link) for mtu in errors for link in links}
    else:
        ways = {mtu if LEAST[6] <= mtu < link else link for mtu in errors for link in links}
    return {max(way - OUTER[outer], LEAST[inner]) for way in ways | links}


@excuse(ends=True)
def tunnel_error_elsewhere(found, _play):
    """An error about a tunnelled packet reaches the client also if it was for an address that is not this host's; IPVS finds no
    source address for it."""
    if found.kind != "frames" or found.where != "front" or found.ipvs or len(found.rlvs) != 1 or len(found.sent) != 1:
        return False
    came, sent = wire.Ip(found.sent[0][1][14:]), wire.Ip(found.rlvs[0][14:])
    if not wire.is_error(came) or came.inner.proto != wire.IPIP or not wire.is_error(sent):
        return False
    inner = came.inner.inner
    return (inner.target == FOREIGN[4] and came.icmp == sent.icmp and (sent.source, sent.target) == (OWN[4][0], inner.source)
            and sent.inner.tuple() == inner.tuple())


@excuse()
def tunnel_error_mtu(found, play):
    """An error that a tunnelled packet was too large tells the client what has become of the way's MTU; IPVS tells what it was."""

    def holds(left, right):
        one, other = quoted(left), quoted(right)
        if not one or not other or one[1].icmp != TOO_BIG[4] or one[1].version != 4:
            return False
        at = 14 + one[1].header
        # IPv6 in IPv4 is tunnel-errors' affair.
        return (one[1].icmp_mtu > other[1].icmp_mtu and {one[1].icmp_mtu, other[1].icmp_mtu} <= told(play, 4, 4)
                and blank(left, at + 2, at + 6) == blank(right, at + 2, at + 6))
    tunnelled = [wire.Ip(frame[14:]) for _, frame in found.sent]
    return (all(wire.is_error(ip) and ip.icmp == TOO_BIG[4] and ip.inner.proto == wire.IPIP for ip in tunnelled)
            and found.where == "front" and every(pairs(found), holds))


@excuse(ends=True)
def tunnel_errors(found, play):
    """ICMPv6 errors about tunnelled packets, and those about IPv6 in IPv4, reach the client; IPVS handles IPv4 in IPv4 only."""
    if found.kind != "frames" or found.where != "front" or found.ipvs or len(found.rlvs) != 1 or len(found.sent) != 1:
        return False
    came, sent = wire.Ip(found.sent[0][1][14:]), wire.Ip(found.rlvs[0][14:])
    if not wire.is_error(came) or came.inner.proto not in (wire.IPIP, wire.IPV6_IN_IP) or not wire.is_error(sent):
        return False
    outer, inner = came.inner, came.inner.inner
    if (outer.version, inner.version) == (4, 4) or (sent.target, sent.inner.tuple()) != (inner.source, inner.tuple()):
        return False
    if came.icmp != TOO_BIG[outer.version]:
        return sent.icmp == UNREACHABLE[inner.version]
    return sent.icmp == TOO_BIG[inner.version] and sent.icmp_mtu in told(play, outer.version, inner.version)


@excuse(ends=True)
def same_addresses_twice(found, play):
    """A connection that would give a real server two connections with the same four addresses and ports is refused while the
    other is not over. IPVS lets both in and mixes up the answers."""
    if found.kind != "frames" or found.where != "back" or found.rlvs or len(found.ipvs) != 1:
        return False
    ip = wire.Ip(found.ipvs[0][14:])
    ours = [conn for conn in play.sides[1].conns() if (conn.client, conn.dest) == (join(ip.source, ip.sport), join(ip.target, ip.dport))]
    return any(conn.state not in ("TIME_WAIT", "CLOSE") for conn in ours)


@excuse()
def quoted_ttl(found, _play):
    """An error about a packet that is too large for the way quotes it as it came; IPVS has taken one from its TTL by then."""

    def holds(left, right):
        one, other = quoted(left), quoted(right)
        if not one or not other or one[2].ttl != other[2].ttl - 1:
            return False
        ip = one[1]
        inner = 14 + ip.header + 8
        places = [one[0][0]] + ([inner + 8, inner + 10] if ip.version == 4 else [inner + 6])
        # In IPv6 the byte beside the hop limit is the protocol, in IPv4 it stands behind the TTL.
        return blank(left, *places) == blank(right, *places) and one[2].proto == other[2].proto
    return every(pairs(found), holds)


@excuse()
def families_sorted(found, _play):
    """rlvsadm lists a service's IPv4 destinations before its IPv6 ones; ipvsadm compares their first 32 bits."""
    if found.kind != "text" or sorted(found.ipvs) != sorted(found.rlvs):
        return False
    return any("-> [" in line or "-r [" in line for line in found.ipvs) and any("-> 1" in line or "-r 1" in line for line in found.ipvs)


@excuse(ends=True)
def hooks_stay(found, play):
    """Connections whose family has no service any more get no packets through; IPVS takes its hooks away with the last service,
    and the host answers for itself."""
    if found.kind != "frames" or not found.ipvs or not found.sent:
        return False
    family = wire.Ip(found.sent[0][1][14:]).version
    lines = play.sides[1].services()
    came = wire.Ip(found.sent[0][1][14:])
    for frame in found.ipvs:
        ip = wire.Ip(frame[14:])
        # The host's own answer to a client, or a real server's packet that is passed on as it is.
        if not (ip.source in compare.OURS and not found.rlvs or ip.tuple() == came.tuple()):
            return False
    return not any(("[" in line.split()[1]) == (family == 6) for line in lines)


def parted(play, scheduler):
    """Whether there are connections that lead elsewhere on one side than on the other, each to two destinations of one service of a
    scheduler."""
    theirs, ours = ({(conn.proto, conn.client, conn.service): host(conn.dest) for conn in side.conns()} for side in play.sides)
    pairs = [{theirs[name], dest} for name, dest in ours.items() if theirs.get(name, dest) != dest]
    lines = play.sides[1].services()
    names = [line.split(f" {scheduler} flags ")[0] for line in lines if f" {scheduler} flags " in line]
    dests = [{host(line.split(" -> ")[1].split()[0]) for line in lines if line.startswith(f"{name} -> ")} for name in names]
    return bool(pairs) and all(any(pair <= hosts for hosts in dests) for pair in pairs)


def host(name):
    """The address of an address with a port."""
    return name.rpartition(":")[0]


@excuse(ends=True)
def twos_by_chance(found, play):
    """twos draws two destinations, each side its own."""
    if found.kind == "services":
        # One real server as two destinations, to whose port nobody is led: they differ in their counts alone.
        lines = found.ipvs + found.rlvs
        names = [line.split(" twos flags ")[0] for line in play.sides[1].services() if " twos flags " in line]
        return all(any(line.startswith(f"{name} -> ") for name in names) for line in lines)
    return parted(play, "twos")


@excuse(ends=True)
def mh_other_family(_found, play):
    """mh hashes all of an IPv6 destination's address in an IPv4 service too; IPVS hashes its first 32 bits."""
    dests = [line.split(" -> ") for line in play.sides[1].services() if " -> " in line]
    return any("[" in dest and "[" not in service for service, dest in dests) and parted(play, "mh")


# "First fragment has incomplete IPv6 header chain" (RFC 7112).
INCOMPLETE = (4, 3)


@excuse(ends=True)
def short_headers(found, play):
    """A packet without all of its TCP or UDP header is no connection's: the host drops a client's, complains of an IPv6 fragment, and
    passes on a real server's. IPVS takes the ports for enough: it counts it, and DR and TUN send it on; NAT drops it."""
    firsts = [ip for ip in (wire.Ip(frame[14:]) for _, frame in found.sent) if not ip.offset]
    if not firsts or not all(ip.proto in (wire.TCP, wire.UDP) and len(ip.l4) < wire.MIN_HEADER[ip.proto] for ip in firsts):
        return False
    if found.kind == "conns":
        # Its connection goes on for a time more, in the state that it had.
        return [seen(conn) for conn in found.ipvs] == [seen(conn) for conn in found.rlvs]
    if found.kind != "frames":
        return False
    tail = firsts[0].l4
    theirs = all(frame.endswith(tail) for frame in found.ipvs)
    ours = all(frame.endswith(tail) or wire.Ip(frame[14:]).proto == wire.ICMP6 and wire.Ip(frame[14:]).icmp == INCOMPLETE
               for frame in found.rlvs)
    return theirs and ours and len(found.ipvs) + len(found.rlvs) <= 2


@excuse()
def tunnel_fragments(found, _play):
    """A packet that came in fragments leaves a tunnel in such as the outgoing link takes; in IPVS none is larger than those that came."""
    if found.kind != "frames" or not found.sent or not found.ipvs or not found.rlvs:
        return False
    came, theirs, ours = ([wire.Ip(frame[14:]) for frame in frames]
                          for frames in ([frame for _, frame in found.sent], found.ipvs, found.rlvs))
    if any(ip.proto not in (wire.IPIP, wire.IPV6_IN_IP) for ip in theirs + ours) or all(ip.whole for ip in came):
        return False
    one, other = wire.reassemble(theirs), wire.reassemble(ours)
    largest = max(len(ip.raw) for ip in came)
    return (one is not None and other is not None and (one.source, one.target, one.l4) == (other.source, other.target, other.l4)
            and max(len(ip.raw) for ip in theirs) <= largest < max(len(ip.raw) for ip in ours))


# Seconds after which IPVS takes a connection for idle, and its time-outs by state; those that can be set stand in play.timeouts.
IDLE = 60
HALF_OPEN = ("SYN_RECV", "SYNACK")


@excuse(ends=True)
def dropped_entries(found, play):
    """With drop_entry each second a part of the connections is looked at for such as may go; which, is chance."""
    if found.kind != "conns" or not {"3", "1"} & set(play.settings.get("drop_entry", ())):
        return False

    def may_go(conn):
        place = SETTABLE.get(conn.state)
        idle = place is not None and max(times[place] for times in play.timeouts) - conn.expires >= IDLE
        return conn.state in HALF_OPEN or is_template(conn) or idle
    return all(map(may_go, found.ipvs + found.rlvs))


# Seconds that a TCP connection which began by an error has until its first packet: in IPVS, here.
UNTRIED = (3, 2)


@excuse(ends=True)
def untried_errors(found, _play):
    """A TCP connection that began by an error waits two seconds for its first packet, as its state says; IPVS waits three."""

    def holds(left, right):
        return left.state == "NONE" and left.proto == "TCP" and seen(left) == seen(right) and (left.expires, right.expires) == UNTRIED
    return found.kind == "conns" and len(found.ipvs) == len(found.rlvs) and every(list(zip(found.ipvs, found.rlvs)), holds)


@excuse(ends=True)
def revived_by_answer(found, play):
    """A connection that expire_nodest_conn ends is gone at once; in IPVS a reset by which the host answers its last packet revives it."""
    if found.kind != "conns" or found.rlvs or not found.ipvs or play.settings.get("expire_nodest_conn", ["0"])[-1] != "1":
        return False
    dests = [line.split(" -> ")[1].split()[0] for line in play.sides[1].services() if " -> " in line]
    return all(conn.state == "CLOSE" and conn.dest not in dests for conn in found.ipvs)


# Bytes behind the IP header that an ICMP error has to quote (RFC 792).
QUOTED = 8


@excuse()
def short_quotes(found, play):
    """An error that does not quote the ports passes with schedule_icmp too; IPVS drops it then."""
    if found.kind != "frames" or found.ipvs or len(found.rlvs) != 1 or len(found.sent) != 1 or "1" not in play.settings.get("schedule_icmp", ()):
        return False
    came, sent = wire.Ip(found.sent[0][1][14:]), wire.Ip(found.rlvs[0][14:])
    return wire.is_error(came) and len(came.inner.l4) < QUOTED and came.l4 == sent.l4 and came.target == sent.target
