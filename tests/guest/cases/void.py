# SPDX-License-Identifier: GPL-2.0
"""What makes all marks void at once: the next packet of every flow goes the ordinary way and is asked about again."""

import wire
from cases.mtu import TOO_BIG
from flow import Ends
from lab import ADDRESS, run
from rules import PROTOS, wall
from suite import FAMILIES, case, check, equal, poll, settle
from watch import NOTHING, Watch, side_of, sides

METHODS = ("nat", "dr", "tun", "fullnat")
NEEDS = ("early",)
RULE = f"meta l4proto {PROTOS} drop"
TUNNELS = (wire.IPIP, wire.IPV6_IN_IP)
# Whom nobody talks about.
STRANGERS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}


def device(t, _family):
    """An interface that has nothing to do with it is deleted."""
    t.lab.ip("director", "link add bystander type dummy", "link set bystander up")
    return lambda: t.lab.ip("director", "link del bystander")


def address(t, family):
    """An address that has nothing to do with it is removed."""
    other = f"{STRANGERS[family][0]}/{32 if family == 4 else 128}"
    t.lab.ip("director", f"addr add {other} dev back{' nodad' if family == 6 else ''}")
    return lambda: t.lab.ip("director", f"addr del {other} dev back")


def early(t, _family):
    """The switch is written, to what it was."""
    return lambda: t.backend.early(True)


def policy(t, family):
    """An IPsec policy about others comes."""
    t.defer(t.lab.execute, "director", "ip", "xfrm", "policy", "flush")
    return lambda: t.lab.ip("director", "xfrm policy add src {} dst {} dir out action block".format(*STRANGERS[family]))


def recheck(t, _family):
    """The operator says so."""
    return lambda: t.backend.run("--recheck")


EVENTS = {"device": device, "address": address, "early": early, "policy": policy, "recheck": recheck}


def walled(t):
    """Rules against everything that the ordinary way asks."""
    return wall(t, dict.fromkeys(("input", "forward", "output"), RULE))


@case("void.{event}.{method}.{family}", needs=NEEDS, event=EVENTS, method=METHODS, family=FAMILIES)
def void(t, event, method, family):
    """A rule that came when a flow was known is asked from the event on; without the rule all go early again."""
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    flow = ends.flow().open()
    both = sides(flow)
    watch.settle(True, *both)
    fire = EVENTS[event](t, family)
    for side in both:
        side.passes()
    watch.settle(True, *both)
    lift = walled(t)
    for side in both:
        side.passes()
    fire()
    for side in both:
        side.stopped(times=2)
    lift()
    for side in both:
        side.passes()
    t.lab.ip("director", "xfrm policy flush")
    watch.settle(True, *both)


@case("void.many.{family}", needs=NEEDS, family=FAMILIES)
def many(t, family):
    """It is said once for all flows of the namespace, of every service."""
    watch = Watch(t)
    flows = [Ends(t, method, family, proto).flow().open() for method in ("nat", "dr") for proto in ("udp", "tcp")]
    both = [side for flow in flows for side in sides(flow)]
    watch.settle(True, *both)
    t.backend.run("--recheck")
    before = watch.read()["postrouting"]
    for side in both:
        side.passes()
    equal(watch.read()["postrouting"] - before, len(both), "packets that went the ordinary way")
    watch.settle(True, *both)


@case("void.policy_gone.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def policy_gone(t, method, family):
    """While there is a policy about anybody nothing goes early; when it is gone all do again."""
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    both = sides(ends.flow().open())
    for _ in range(2):
        watch.settle(True, *both)
        policy(t, family)()
        for _ in range(3):
            for side in both:
                check(not watch.early(side), "a packet went early past the question for policies")
        t.lab.ip("director", "xfrm policy flush")
    watch.settle(True, *both)


@case("void.vip.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def vip(t, method, family):
    """Packets to a VIP that this host no longer has pass through to who has it; when it is back, the service is."""
    prefix, other = (f"{ADDRESS['vip'][family]}/{32 if family == 4 else 128}", ADDRESS["rs2"][family])
    nodad = " nodad" if family == 6 else ""
    t.lab.ip("director", f"route add {prefix} via {other} dev back metric 3000")
    t.defer(t.lab.ip, "director", f"route del {prefix} via {other} dev back metric 3000")
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    flow = ends.flow().open()
    second = ends.flow(2).open()
    request, end = side_of(flow, "request"), t.tap("rs2")
    watch.settle(True, request)
    t.lab.ip("director", f"addr del {prefix} dev front")
    t.defer(t.lab.ip, "director", f"addr replace {prefix} dev front{nodad}")
    for each in (flow, second):
        each.begin()
        ends.up.send(*[each.request(b"passing by")] * 2)
    found = poll(lambda: len(end.select(lambda ip: ip.target == ends.vip and ip.payload == b"passing by", False)) >= 4)
    check(found, "packets to an address that is elsewhere did not get there")
    check(not flow.arrived(b"passing by", NOTHING), "a packet to an address that is elsewhere was balanced")
    t.lab.ip("director", f"addr replace {prefix} dev front{nodad}")
    for side in sides(flow):
        side.passes()
    watch.settle(True, *sides(flow))


@case("void.again.{method}.{family}", needs=NEEDS, method=METHODS, family=FAMILIES)
def again(t, method, family):
    """Forty times routes change and marks become void: packets go on arriving, and in the end all go early."""
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    both = [side for client in (1, 2) for side in sides(ends.flow(client).open())]
    other = f"{STRANGERS[family][1]}/{32 if family == 4 else 128} dev back"
    watch.settle(True, *both)
    for _ in range(40):
        t.lab.ip("director", f"route add {other}", f"route del {other}")
        t.backend.run("--recheck")
        for side in both:
            side.passes()
    watch.settle(True, *both)


SWITCH = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}


@case("void.forwarding.{family}", needs=NEEDS, family=FAMILIES)
def forwarding(t, family):
    """A host that forwards no more stops NAT's answers, known or not; requests come to it and go on."""
    ends, watch = Ends(t, "nat", family, "udp"), Watch(t)
    both = sides(ends.flow().open())
    request, answer = both
    watch.settle(True, *both)
    t.host_sysctl("director", SWITCH[family], 0)
    answer.stopped(times=3)
    request.passes()
    t.lab.sysctl("director", SWITCH[family], 1)
    watch.settle(True, *both)


@case("void.tunnel_source.{family}.in.{outer}", needs=NEEDS, family=FAMILIES, outer=FAMILIES)
def tunnel_source(t, family, outer):
    """When the address is gone that tunnelled packets came from, those that follow have one that the host has."""
    other, rip = ("10.0.3.77", "fd00:3::77")[outer == 6], ADDRESS["rs1"][outer]
    width, nodad = (32, "") if outer == 4 else (128, " nodad")
    t.lab.ip("director", f"addr add {other}/{width} dev back{nodad}", f"route add {rip}/{width} dev back src {other}")
    t.defer(t.lab.execute, "director", "ip", "route", "del", f"{rip}/{width}")
    vport, tap = t.port(), t.tap("rs1")
    t.serve("rs1", family, "udp", vport, ADDRESS["vip"][family])
    t.balance(family, "udp", vport, "tun", rip, vport)
    client = t.client(family, "udp", vport)

    def sources():
        tap.drop()
        for _ in range(3):
            client.ask()
        return {frame.ip.source for frame in tap.select(lambda ip: ip.target == rip and ip.proto in TUNNELS, False)}

    equal(sources(), {other}, "source of tunnelled packets")
    t.lab.ip("director", f"addr del {other}/{width} dev back")
    equal(sources(), {ADDRESS["director.back"][outer]}, "source once that address is gone")


def learned(ends, number, count, mtu=1400):
    """Words to the director that its ways to so many clients from this number on are narrow."""
    here, family = ADDRESS["director"][ends.family], ends.family
    echo, (kind, code) = (0, TOO_BIG[4]) if family == 4 else (129, TOO_BIG[6])
    for n in range(number, number + count):
        quoted = wire.icmp(here, ends.flow(n).client, echo, 0, 0x10001, bytes(8))
        yield wire.icmp(ADDRESS["client"][family], here, kind, code, mtu, quoted)


@case("void.crowd.{family}", needs=NEEDS, family=FAMILIES, fresh=True)
def crowd(t, family):
    """Eight hundred clients with routes of their own, as path MTUs are learned: the one that others share stays early."""
    ends, watch = Ends(t, "nat", family, "udp"), Watch(t)
    flow = ends.flow().open()
    both, first, batch = sides(flow), 1000, 100
    # Each exception makes its next hop's routes void, which all are looked up anew then.
    ends.up.send(*learned(ends, first, 800))
    found = run("ip", "-n", "director", "route", "get", ends.flow(first + 799).client)
    check("mtu 1400" in found, f"nothing was learned: {found}")
    watch.settle(True, *both)
    for begin in range(first, first + 800, batch):
        others = [ends.flow(n) for n in range(begin, begin + batch)]
        for other in others:
            other.seen = (other.client, other.sport)
        for _ in range(2):
            ends.far.drop()
            ends.near.drop()
            ends.up.send(*(other.request() for other in others))
            settle(lambda: len(ends.far.select(lambda ip: ip.payload == b"ping", False)), batch, "requests")
            ends.down.send(*(other.reply() for other in others))
            settle(lambda: len(ends.near.select(lambda ip: ip.payload == b"pong", False)), batch, "answers")
        check(watch.early(*both), f"not early with {begin + batch - first} of the others")
