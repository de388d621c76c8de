# SPDX-License-Identifier: GPL-2.0
"""Settings about ways: snat_reroute, pmtu_disc."""

import wire
from flow import Ends
from lab import ADDRESS
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, until

TABLE = 109
TOO_BIG = {4: (3, 4), 6: (2, 0)}


@case("ways.answer.{family}.{proto}.{early}", family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def answer(t, family, proto, early):
    """An answer goes by the rule for the service's address, or with snat_reroute 0 as the host has routed it."""
    lines = (f"route {{}} default via {ADDRESS['router.back'][family]} dev back table {TABLE}",
             f"rule {{}} from {ADDRESS['vip'][family]} lookup {TABLE}")
    t.lab.ip_of("director", family, *(line.format("add") for line in lines))
    t.defer(t.lab.ip_of, "director", family, *(line.format("del") for line in reversed(lines)))
    ends = Ends(t, "nat", family, proto)
    taps = {dev: t.tap("router", dev) for dev in ("front", "back")}
    flow = ends.flow().open()

    def came_by(payload):
        return [dev for dev, tap in taps.items()
                if any(f.ip.payload == payload for f in tap.select(lambda ip: ip.source == ends.vip, outgoing=False)
                       if f.ip.proto == wire.NUMBER[proto])]
    for number, (value, dev) in enumerate(((1, "back"), (0, "front"), (1, "back"))):
        t.sysctl("snat_reroute", value)
        for turn in range(3):
            payload = b"%d %d" % (number, turn)
            flow.send(payload, flags=wire.ACK)
            flow.send_back(payload, flags=wire.ACK)
            equal(came_by(payload), [dev], f"way of answer {turn} with {value}")


@case("ways.tunnel.{family}.{early}", family=FAMILIES, early=EARLY)
def tunnel(t, family, early):
    """pmtu_disc 0: what is carried must not be fragmented (IPv4), the outer packet may; with IPv6 all stays as it is."""
    ends = Ends(t, "tun", family, "udp")
    flow = ends.flow().open()
    narrow = 1400
    t.mtu("director", "back", narrow)

    def outer(since):
        return [f.ip for f in ends.far.fetch()[since:] if not f.outgoing and f.ip and f.ip.proto in (wire.IPIP, wire.IPV6_IN_IP)]

    def told():
        return ends.near.select(lambda ip: ip.proto in (wire.ICMP, wire.ICMP6) and ip.target == flow.client
                                and ip.icmp == TOO_BIG[family], outgoing=False)
    large = b"x" * (narrow - 40)
    for value in (1, 0, 1):
        t.sysctl("pmtu_disc", value)
        cut = family == 4 and not value
        for turn in range(3):
            since = len(ends.far.fetch())
            flow.send(b"small %d" % turn)
            equal([ip.df for ip in outer(since)], [not cut], f"DF outside with {value}")
        since = len(ends.far.fetch())
        ends.near.drop()
        ends.up.send(flow.request(large))
        if cut:
            until(lambda: wire.reassemble(outer(since)) if outer(since) else None, "the large packet in pieces")
            check(not told(), "the client was told of an MTU")
        else:
            until(told, "the client was told of the MTU")
            equal(outer(since), [], "packets to the server")
