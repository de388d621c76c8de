# SPDX-License-Identifier: GPL-2.0
"""The way of answers: by mark, by type of service, by source, in a VRF, to clients that only a link tells apart."""

import socket

import wire
from flow import Ends
from lab import ADDRESS, MAC
from rules import source_is, wall
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll
from watch import Watch, side_of, sides

NAT = ("nat", "fullnat")
MARK, TABLE, TOS = 7, 107, 0x10


def second_way(t, family, rule):
    """Packets that a rule is about leave by the back, through the router's other side."""
    both = (f"route {{}} default via {ADDRESS['router.back'][family]} dev back table {TABLE}",
            f"rule {{}} {rule} lookup {TABLE}")
    t.lab.ip_of("director", family, *(line.format("add") for line in both))
    t.defer(t.lab.ip_of, "director", family, *(line.format("del") for line in both))


class Ways:
    """Tells by which interface of the director an answer left."""

    def __init__(self, t, flow):
        self.flow, self.side = flow, side_of(flow, "answer")
        self.taps = {dev: t.tap("director", dev) for dev in ("front", "back")}
        self.number = 0

    def taken(self, **fields):
        """Send an answer; it must arrive, and leave by one interface, which is returned."""
        self.number += 1
        payload = b"which way %d" % self.number
        self.side.passes(payload=payload, **fields)
        left = [dev for dev, tap in self.taps.items() for frame in tap.select(
            lambda ip: ip.tuple() == self.flow.back() and ip.payload == payload, True)]
        equal(len(left), 1, "interfaces by which an answer left")
        return left[0]

    def all_take(self, dev, times=4, **fields):
        """Several answers, one after the other, leave by `dev`."""
        equal([self.taken(**fields) for _ in range(times)], [dev] * times, "interfaces by which answers left")


@case("answers.mark.{hook}.{method}.{family}.{proto}.{early}", hook=("prerouting", "later"), method=NAT,
      family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def mark(t, hook, method, family, proto, early):
    """The mark that a rule gives an answer chooses its way: with `ip rule fwmark`, from the first to the last."""
    chain = {"prerouting": "prerouting", "later": "forward" if method == "nat" else "input"}[hook]
    ends = Ends(t, method, family, proto)
    second_way(t, family, f"fwmark {MARK}")
    lift = wall(t, {chain: f"{source_is(ends.rip)} meta mark set {MARK}"}, "mangle")
    ways = Ways(t, ends.flow().open())
    ways.all_take("back")
    lift()
    t.backend.early(False)
    ways.all_take("front")
    t.backend.early(early == "on")
    ways.all_take("front")


@case("answers.mark_comes.{method}.{family}.{early}", method=NAT, family=FAMILIES, early=EARLY)
def mark_comes(t, method, family, early):
    """Rule and mark come when a flow is known: its answers follow, at once or when the operator says recheck."""
    ends = Ends(t, method, family, "udp")
    ways = Ways(t, ends.flow().open())
    ways.all_take("front")
    second_way(t, family, f"fwmark {MARK}")
    wall(t, {"prerouting": f"{source_is(ends.rip)} meta mark set {MARK}"}, "mangle")
    if early == "on":
        t.backend.run("--recheck")
    ways.all_take("back")


@case("answers.source.{method}.{family}.{proto}.{early}", method=NAT, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def source(t, method, family, proto, early):
    """`ip rule from VIP` is about answers, though they came from the real server."""
    ends = Ends(t, method, family, proto)
    ways = Ways(t, ends.flow().open())
    ways.all_take("front")
    second_way(t, family, f"from {ends.vip}")
    ways.all_take("back")


@case("answers.service.{method}.{family}.{proto}.{early}", method=NAT, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def service(t, method, family, proto, early):
    """`ip rule dsfield` chooses each answer's way by its own type of service, whatever those before it had."""
    ends = Ends(t, method, family, proto)
    second_way(t, family, f"dsfield {TOS:#x}")
    ways = Ways(t, ends.flow().open())
    for _ in range(3):
        ways.all_take("front", 2)
        ways.all_take("back", 2, tos=TOS)
    # ECN is no part of it.
    ways.all_take("back", 2, tos=TOS | 2)
    ways.all_take("front", 2, tos=2)


@case("answers.rule_goes.{method}.{family}.{early}", method=NAT, family=FAMILIES, early=EARLY)
def rule_goes(t, method, family, early):
    """Without the rule answers take the ordinary route again, and early."""
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    rule = f"from {ends.vip} lookup {TABLE} pref 99"
    way = f"default via {ADDRESS['router.back'][family]} dev back table {TABLE}"
    t.lab.ip_of("director", family, f"route add {way}", f"rule add {rule}")
    t.defer(t.lab.ip_of, "director", family, f"route del {way}")
    flow = ends.flow().open()
    ways = Ways(t, flow)
    ways.all_take("back")
    t.lab.ip_of("director", family, f"rule del {rule}")
    ways.all_take("front")
    watch.settle(early, *sides(flow))


class Vrf:
    """Legs of the director in a VRF until the case ends; the main table knows no way over them then."""

    def __init__(self, t, *legs):
        self.t = t
        t.defer(self.undo)
        t.lab.ip("director", "link add red type vrf table 10", "link set red up",
                 *(f"link set {leg} master red" for leg in legs))
        self.settings(legs)

    def undo(self):
        """Take the VRF away."""
        self.t.lab.ip("director", "link del red")
        self.settings(())

    def settings(self, legs):
        """What the director has by itself, put back after its legs went down and up."""
        for line in self.t.lab.director("director"):
            line = line.replace("addr add", "addr replace").replace("route add", "route replace")
            leg = "front" if "default" in line else "back"
            if not line.startswith("link"):
                self.t.lab.ip("director", line + (" vrf red" if line.startswith("route") and leg in legs else ""))


@case("answers.vrf_front.{family}.{proto}.{early}", needs=("fullnat",), family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def vrf_front(t, family, proto, early):
    """Clients and VIP in a VRF, the real servers outside of it, FULLNAT: answers go by the VRF's table."""
    Vrf(t, "front")
    vport, rport = t.port(), t.port()
    t.serve("rs1", family, proto, rport)
    t.balance(family, proto, vport, "fullnat", ADDRESS["rs1"][family], rport)
    client = t.client(family, proto, vport)
    for _ in range(3):
        equal(client.bulk(50_000).name, "rs1", "server")


def link_local(last):
    """The link-local address that belongs to a hardware address of the lab."""
    return f"fe80::ff:fe00:{int(last.rpartition(':')[2], 16):x}"


@case("answers.link_local.{proto}.{early}", needs=("fullnat",), proto=PROTOCOLS, early=EARLY)
def link_local_client(t, proto, early):
    """A client that has only a link-local address, FULLNAT: answers go to its link."""
    vport, rport = t.port(), t.port()
    t.serve("rs1", 6, proto, rport)
    t.balance(6, proto, vport, "fullnat", ADDRESS["rs1"][6], rport)
    for dev in ("front", "back"):
        with t.lab.inside("router"):
            scope = socket.if_nametoindex(dev)
        own = (link_local(MAC["router", dev]), 0, 0, scope)
        if dev == "back":
            route = f"route add {ADDRESS['vip'][6]}/128 via {ADDRESS['director.back'][6]} dev back"
            t.lab.ip("router", route)
            t.defer(t.lab.ip, "router", route.replace("add", "del"))
        client = t.client(6, proto, vport, host="router", source=own)
        for _ in range(3):
            equal(client.bulk(50_000).name, "rs1", f"server of the client on {dev}")


@case("answers.same_link_local.{early}", needs=("fullnat",), early=EARLY)
def same_link_local(t, early):
    """The same link-local address on two links is two clients."""
    address, vip = "fe80::1234", ADDRESS["vip"][6]
    ends = Ends(t, "fullnat", 6, "udp")
    places = {"front": (t.inject("router", "front", ("director", "front")), t.tap("router", "front")),
              "back": (t.inject("rs3", "eth0", ("director", "back")), t.tap("rs3"))}
    neighbours = {"front": MAC["router", "front"], "back": MAC["rs3", "eth0"]}
    for dev, lladdr in neighbours.items():
        t.lab.ip("director", f"neigh replace {address} lladdr {lladdr} dev {dev} nud permanent")
        t.defer(t.lab.ip, "director", f"neigh del {address} dev {dev}")
    for number in range(1, 5):
        for sport, (dev, (via, tap)) in enumerate(places.items(), 4000):
            payload = b"%d by %s" % (number, dev.encode())
            via.send(wire.udp(address, sport, vip, ends.vport, payload))
            got = poll(lambda: ends.far.select(lambda ip: ip.dport == ends.rport and ip.payload == payload, False))
            check(got, f"request {number} by {dev} did not arrive")
            ends.down.send(wire.udp(ends.rip, ends.rport, got[0].ip.source, got[0].ip.sport, payload[::-1]))
            back = poll(lambda: tap.select(lambda ip: ip.target == address and ip.dport == sport and
                                           ip.payload == payload[::-1], False))
            check(back, f"answer {number} did not come to the link {dev}")
