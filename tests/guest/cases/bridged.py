# SPDX-License-Identifier: GPL-2.0
"""Bridges on the director: what they forward is none of the balancer's business; their own addresses are."""

import wire
from flow import Ends
from lab import ADDRESS, MAC, mac
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll
from watch import Watch, sides

NAT = ("nat", "fullnat")
METHODS = ("nat", "dr", "tun", "fullnat")


class Bridge:
    """A bridge on the director with two ports, a client's end at `left` and a server's at `right`."""

    # Host, and the last bytes of both hardware addresses of its pair.
    PORTS = {"left": ("client", 0xC1, 0xC2), "right": ("rs2", 0xD1, 0xD2)}

    def __init__(self, t, *addresses):
        self.t = t
        t.defer(self.remove)
        # Where it is a module nobody loads it by asking for its settings.
        t.lab.execute("director", "modprobe", "-q", "br_netfilter")
        t.lab.ip("director", "link add span type bridge forward_delay 0 mcast_snooping 0", "link set span up")
        for name, (host, near, far) in self.PORTS.items():
            MAC[host, name], MAC["director", name] = mac(near), mac(far)
            t.lab.ip("director", f"link add name {name} address {mac(far)} type veth peer name {name} netns {host} "
                     f"address {mac(near)}", f"link set {name} master span", f"link set {name} up")
            t.lab.ip(host, f"link set {name} up")
        t.lab.ip("director", *(f"addr add {address} dev span" for address in addresses))
        for scope in ("iptables", "ip6tables"):
            t.host_sysctl("director", f"net/bridge/bridge-nf-call-{scope}", 1)

    def remove(self):
        """Take it away."""
        self.t.lab.ip("director", "link del span", "link del left", "link del right")

    def inject(self, name, target):
        """Sends frames into a port, to the hardware address of the other port's end."""
        return self.t.inject(self.PORTS[name][0], name, (self.PORTS[target][0], target))


@case("bridged.frames.{method}.{family}.{proto}.{early}", method=METHODS, family=FAMILIES, proto=PROTOCOLS,
      early=EARLY)
def frames(t, method, family, proto, early):
    """A frame that the bridge forwards stays as it is, whatever flow its addresses would belong to."""
    bridge = Bridge(t)
    flow = Ends(t, method, family, proto).flow().open()
    taps = {"left": t.tap("client", "left"), "right": t.tap("rs2", "right")}
    both = sides(flow)
    for side in both:
        for _ in range(2):
            side.passes()
    for side, (source, target) in zip(both, (("left", "right"), ("right", "left"))):
        data = side.build(b"merely bridged")
        bridge.inject(source, target).send(*[data] * 3)
        poll(lambda: len(taps[target].select(lambda ip: ip.payload == b"merely bridged", False)) >= 3)
        came = [frame.ip.raw for frame in taps[target].select(lambda ip: b"merely" in ip.raw, False)]
        equal(came, [data] * 3, f"a {side.name} that was bridged, three times")
    flow.begin()
    for side in both:
        check(not side.look(b"merely bridged", 0, {}), f"a bridged {side.name} was balanced as well")
        side.passes()


@case("bridged.server.{method}.{family}.{proto}.{early}", method=NAT, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def server(t, method, family, proto, early):
    """A real server behind the bridge, which has an address: it is balanced to, and its answers are translated."""
    own, rip, prefix = ("10.8.0.1", "10.8.0.2", 24) if family == 4 else ("fd00:8::1", "fd00:8::2", 64)
    nodad = " nodad" if family == 6 else ""
    Bridge(t, f"{own}/{prefix}")
    local = ADDRESS["director"][family]
    t.lab.ip_of("rs2", family, f"addr add {rip}/{prefix} dev right{nodad}",
                f"route add default via {own} dev right table 108", f"rule add from {rip} lookup 108")
    t.defer(t.lab.ip_of, "rs2", family, f"rule del from {rip} lookup 108")
    vport, rport = t.port(), t.port()
    t.serve("rs2", family, proto, rport, address=rip)
    lines = [t.service(family, proto, vport)]
    if method == "fullnat":
        lines.append(f"-P {'-t' if proto == 'tcp' else '-u'} {bracket(ADDRESS['vip'][family])}:{vport} -z {local}")
    t.backend.restore(*lines, t.target(family, proto, vport, method, rip, rport))
    client = t.client(family, proto, vport)
    for _ in range(3):
        equal(client.bulk(50_000).name, "rs2", "server")


def bracket(address):
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


@case("bridged.client.{method}.{family}.{proto}.{early}", method=NAT, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def client_behind(t, method, family, proto, early):
    """A client behind the bridge calls the VIP: its requests are for the host's own hardware address."""
    own, end, prefix = ("10.8.0.1", "10.8.0.3", 24) if family == 4 else ("fd00:8::1", "fd00:8::3", 64)
    nodad, vip = (" nodad" if family == 6 else ""), ADDRESS["vip"][family]
    Bridge(t, f"{own}/{prefix}")
    t.lab.ip("client", f"addr add {end}/{prefix} dev left{nodad}", f"route add {vip} via {own} dev left")
    vport, rport = t.port(), t.port()
    t.serve("rs1", family, proto, rport)
    t.balance(family, proto, vport, method, ADDRESS["rs1"][family], rport)
    client = t.client(family, proto, vport, source=(end, 0))
    for _ in range(3):
        equal(client.bulk(50_000).name, "rs1", "server")


LOOKS = ("lro", "socket")


@case("bridged.look.{look}.{method}.{family}", needs=("early",), look=LOOKS, method=("nat", "dr"), family=FAMILIES)
def looks(t, look, method, family):
    """What a card has joined, and what somebody gave a socket, goes the ordinary way, whatever becomes of it there."""
    ends, watch = Ends(t, method, family, "udp"), Watch(t)
    flow = ends.flow().open()
    both = sides(flow)
    watch.settle(True, *both)
    # The kernel's forwarding drops both kinds; a service's own packets it lets in.
    handled = t.receive_as(look, "director", "front", "back")
    for side, (home, tap) in zip(both, ((ends.up, ends.far), (ends.down, ends.near))):
        before = len(tap.fetch())
        seen = watch.read()["postrouting"]
        home.send(*[side.build(b"x" * 600)] * 3)
        poll(lambda: handled() >= 3)
        came = [f for f in tap.fetch()[before:] if f.ip and not f.outgoing and f.ip.proto != wire.ICMP6]
        ordinary = watch.read()["postrouting"] - seen
        check(len(came) <= ordinary, f"{len(came)} {side.name}s arrived, {ordinary} went the ordinary way")
