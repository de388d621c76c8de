# SPDX-License-Identifier: GPL-2.0
"""FTP's rule of persistence: the data connections of a client go to the server of his control connection.

To a persistent service at FTP's port belong, in TCP, port 20 and all ports that anybody may serve."""

import wire
from cases.icmp import ERRORS
from cases.persist import OTHER, counts
from cases.strangers import refusals
from context import FORWARD, join
from flow import Ends
from lab import ADDRESS, phantom_client
from suite import FAMILIES, case, check, equal, until

FTP, DATA, OPEN = 21, 20, "net/ipv4/ip_unprivileged_port_start"


class Ftp:
    """A service at FTP's port with rs1 and rs2, which have it at `port`."""

    def __init__(self, t, family, method="nat", options="-p 300", servers=tuple(OTHER)):
        self.t, self.family = t, family
        self.vip, self.port = ADDRESS["vip"][family], FTP if method == "dr" else 2121
        self.words = f"-t {join(self.vip, FTP)}"
        local = [f"-P {self.words} -z {ADDRESS['lip1'][family]}"] if method == "fullnat" else []
        t.backend.restore(f"-A {self.words} -s rr {options}", *local, *(
            f"-a {self.words} -r {join(ADDRESS[host][family], self.port)} {FORWARD[method]}" for host in servers))
        self.taps = {host: t.tap(host) for host in OTHER}
        self.near, self.up = t.tap("client"), t.inject("client", "eth0", ("router", "client"))

    def came(self, payload):
        """The host that has got a segment with this payload, and the port there."""
        return [(host, frame.ip.dport) for host, tap in self.taps.items()
                for frame in tap.select(lambda ip: ip.proto == wire.TCP and ip.payload == payload, outgoing=False)]

    def reset(self, client, dport):
        """True if the director has reset a connection."""
        return bool(self.near.select(lambda ip: ip.proto == wire.TCP and (ip.target, ip.sport) == (client, dport)
                                     and ip.flags & wire.RST, outgoing=False))

    def where(self, number, dport):
        """Send a client's SYN to a port: to which server and port it came, or None if the director's own host got it."""
        client, payload = phantom_client(self.family, number), b"%d to %d" % (number, dport)
        self.near.drop()
        self.up.send(wire.tcp(client, 4000, self.vip, dport, wire.SYN, payload=payload))
        until(lambda: self.came(payload) or self.reset(client, dport), f"where the SYN to port {dport} came")
        return self.came(payload)[0] if self.came(payload) else None


@case("ftp.data.{method}.{family}", method=("nat", "dr"), family=FAMILIES, fresh=True)
@case("ftp.data.{method}.{family}", needs=("fullnat",), method=("fullnat",), family=FAMILIES, fresh=True)
def data(t, method, family):
    """Connections to port 20 and to open ports keep their port and go where the control connection went, or it follows them."""
    ftp = Ftp(t, family, method)
    first, port = ftp.where(1, FTP)
    equal(port, ftp.port, "port of the control connection")
    for dport in (DATA, 1024, 65_535):
        equal(ftp.where(1, dport), (first, dport), f"server and port for port {dport}")
    equal(ftp.where(1, 1023), None, "server for a privileged port")
    equal(ftp.where(2, 40_000), (OTHER[first], 40_000), "server for another client's data")
    equal(ftp.where(2, FTP), (OTHER[first], ftp.port), "server for his control connection behind it")
    t.host_sysctl("director", OPEN, 30_000)
    equal([ftp.where(1, dport) for dport in (29_999, 30_000)], [None, (first, 30_000)], "servers where fewer are open")
    templates = {(c.virtual, c.target) for c in t.backend.connections() if c.source.endswith(":0")}
    equal(templates, {(join(ftp.vip, 0), join(ADDRESS[host][family], 0)) for host in OTHER}, "templates")
    equal(sum(counts(t).values()), 2, "persistent connections")


@case("ftp.alone.{family}", family=FAMILIES, fresh=True)
def alone(t, family):
    """Without persistence the service has its own port only, whatever else comes is the host's."""
    ftp = Ftp(t, family, options="")
    equal([ftp.where(1, dport) for dport in (DATA, 40_000)], [None] * 2, "servers for data")
    equal(ftp.where(1, FTP)[1], ftp.port, "port of the control connection")
    equal(len(t.backend.connections()), 1, "connections")


@case("ftp.nobody.{family}", family=FAMILIES, fresh=True)
def nobody(t, family):
    """Where there is no server the control connection is refused by an error; whatever else comes is the host's."""
    ftp = Ftp(t, family, servers=())
    equal([ftp.where(1, dport) for dport in (DATA, 40_000)], [None] * 2, "servers for data")
    client = phantom_client(family, 1)
    ftp.up.send(wire.tcp(client, 4000, ftp.vip, FTP, wire.SYN))
    until(lambda: refusals(ftp.near, family, client), "an error for the control connection")


@case("ftp.order.{family}", family=FAMILIES, fresh=True)
def order(t, family):
    """A service for the port itself comes first, one for all ports last; UDP has no such rule."""
    ftp, vip = Ftp(t, family, servers=("rs1",)), ADDRESS["vip"][family]
    for port in (0, 50_000):
        words = f"-t {join(vip, port)}"
        t.backend.restore(f"-A {words} -s rr -p 300", f"-a {words} -r {join(ADDRESS['rs2'][family], port)} -m")
    equal([ftp.where(number, dport) for number, dport in ((1, 40_000), (2, 50_000), (3, 80))],
          [("rs1", 40_000), ("rs2", 50_000), ("rs2", 80)], "servers and ports")
    t.backend.restore(f"-D -t {join(vip, 0)}", f"-A -u {join(vip, FTP)} -s rr -p 300",
                      f"-a -u {join(vip, FTP)} -r {join(ADDRESS['rs1'][family], FTP)} -m")
    client = phantom_client(family, 4)
    ftp.up.send(wire.udp(client, 4000, vip, 40_000, b"no data"))
    until(lambda: refusals(ftp.near, family, client), "the host's error for a datagram")
    equal([c.proto for c in t.backend.connections() if c.proto == "UDP"], [], "connections")


@case("ftp.error.{family}", family=FAMILIES)
def error(t, family):
    """With schedule_icmp an error about what a server of FTP sends from port 20 begins no connection."""
    t.sysctl("schedule_icmp", 1)
    ends = Ends(t, "nat", family, "tcp")
    for flow in (ends.flow(1, DATA), ends.flow(2)):
        ends.up.send(wire.icmp(flow.client, ends.vip, *ERRORS["port"][family], flow.answered(b"quoted")))
    until(ends.known, "the connection that begins with an error")
    check(all(c.source == join(phantom_client(family, 2), 4000) for c in ends.known()), f"connections {ends.known()}")
