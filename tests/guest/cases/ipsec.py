# SPDX-License-Identifier: GPL-2.0
"""IPsec policies of the director: in, out and forward, blocking and protecting, there before a flow and after."""

import socket
import struct

import wire
from cases.mtu import forget_here, path_mtu, serve, too_big
from client import PMTUDISC_DO, PMTUDISC_DONT, discover
from context import join
from flow import Ends
from ipsec import ESP, Policies
from lab import ADDRESS
from servers import BLOCK
from suite import EARLY, FAMILIES, PROTOCOLS, case, check, equal, poll, raises, until
from watch import Watch, side_of

IP_XFRM_POLICY, IPV6_XFRM_POLICY, XFRM_POLICY_OUT, XFRM_POLICY_BLOCK = 17, 35, 1, 1
METHODS = ("nat", "dr", "tun", "fullnat")
NAT = ("nat", "fullnat")


def request_out(flow):
    """(source, target) of a request behind the director."""
    ends = flow.ends
    if ends.method == "tun":
        return ADDRESS["director.back"][ends.family], ends.rip
    return flow.seen[0] if ends.method == "fullnat" else flow.client, ends.vip if ends.method == "dr" else ends.rip


def pairs(flow, name):
    """{direction of xfrm: (source, target)} of all that a side passes."""
    ends = flow.ends
    if name == "request":
        return {"in": (flow.client, ends.vip), "out": request_out(flow)}
    came = (ends.rip, flow.seen[0])
    return {"in" if ends.method == "fullnat" else "fwd": came, "out": (ends.vip, flow.client)}


def blocked(t, name, method, family, proto, early):
    """A policy stops a known flow, and one that begins later; without it all goes on, and early again."""
    ends, watch, policies = Ends(t, method, family, proto), Watch(t), Policies(t)
    flow = ends.flow().open()
    side = side_of(flow, name)
    side.passes()
    watch.settle(early, side)
    for direction, pair in pairs(flow, name).items():
        policies.block(direction, *pair)
        side.stopped(times=3)
        policies.flush()
        side.passes()
        watch.settle(early, side)


for _name, _methods in (("request", METHODS), ("answer", NAT)):
    @case("ipsec.blocked.{name}.{method}.{family}.{proto}.{early}", name=(_name,), method=_methods, family=FAMILIES,
          proto=("udp",), early=EARLY)
    @case("ipsec.blocked.{name}.{method}.{family}.{proto}.{early}", name=(_name,), method=_methods, family=FAMILIES,
          proto=("tcp",), early=("on",))
    def known_blocked(t, name, method, family, proto, early):
        """A policy that comes in a flow's life stops it, whichever of the kernel's questions it is about."""
        blocked(t, name, method, family, proto, early)


@case("ipsec.before.{method}.{family}.{early}", method=METHODS, family=FAMILIES, early=EARLY)
def before(t, method, family, early):
    """A policy that was there before a flow: its packets are stopped, those of others pass."""
    ends, policies = Ends(t, method, family, "udp"), Policies(t)
    flow, other = ends.flow(1), ends.flow(2)
    policies.block("in", flow.client, ends.vip)
    side_of(flow, "request").stopped(times=2)
    other.open()
    if not ends.keeps:
        policies.flush()
        policies.block("out", ends.vip, flow.client)
        side_of(flow, "request").passes()
        side_of(flow, "answer").stopped(times=2)
        other.send_back(b"to others")


MODES = ("transport", "tunnel")


def esp_between(tap, *pair):
    """ESP packets from one address to another that came in at a capture."""
    return tap.select(lambda ip: ip.proto == ESP and (ip.source, ip.target) == pair, False)


def clear(tap, text):
    """Frames with a readable payload."""
    return [frame for frame in tap.fetch() if not frame.outgoing and frame.ip and text in frame.ip.raw]


def only_esp(tap, pair, send, what):
    """Send three packets; all three must come as ESP and nothing of them can be read."""
    tap.drop()
    for number in range(3):
        send(b"secret %d" % number)
    poll(lambda: len(esp_between(tap, *pair)) >= 3)
    equal((len(esp_between(tap, *pair)), len(clear(tap, b"secret"))), (3, 0), f"{what} as ESP, and readable")


@case("ipsec.answers.{mode}.{method}.{family}.{proto}.{early}", mode=MODES, method=NAT, family=FAMILIES,
      proto=PROTOCOLS, early=EARLY)
def answers(t, mode, method, family, proto, early):
    """Answers for which a policy wants ESP leave as ESP, also if they went early before; without it they do again."""
    ends, watch, policies = Ends(t, method, family, proto), Watch(t), Policies(t)
    flow, tap = ends.flow().open(), t.tap("router", "front")
    side = side_of(flow, "answer")
    side.passes()
    watch.settle(early, side)
    pair = (ADDRESS["director"][family], ADDRESS["router.front"][family]) if mode == "tunnel" else \
        (ends.vip, flow.client)
    policies.associate(*pair, mode)
    policies.protect("out", ends.vip, flow.client, mode, pair)
    only_esp(tap, pair, lambda payload: ends.down.send(flow.reply(payload)), "answers")
    flow.send(b"requests go on")
    policies.flush()
    watch.settle(early, side)


@case("ipsec.requests.{method}.{family}.{proto}.{early}", method=METHODS, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def requests(t, method, family, proto, early):
    """Requests to a real server leave as ESP where a policy wants that: rewritten, bare, or in a tunnel."""
    ends, watch, policies = Ends(t, method, family, proto), Watch(t), Policies(t)
    flow = ends.flow().open()
    side = side_of(flow, "request")
    watch.settle(early, side)
    pair = request_out(flow)
    policies.associate(*pair)
    policies.protect("out", *pair)
    only_esp(ends.far, pair, lambda payload: ends.up.send(flow.request(payload)), "requests")
    policies.flush()
    side.passes()
    watch.settle(early, side)


@case("ipsec.tunnel.{family}.in.{outer}.{early}", family=FAMILIES, outer=FAMILIES, early=EARLY)
def tunnel(t, family, outer, early):
    """The outer packets of TUN, of both families, as ESP to a real server that has the keys: the service works."""
    vport, rip, own = t.port(), ADDRESS["rs1"][outer], ADDRESS["director.back"][outer]
    t.serve("rs1", family, "tcp", vport, ADDRESS["vip"][family])
    t.balance(family, "tcp", vport, "tun", rip, vport)
    t.client(family, "tcp", vport).ask(500, 500)
    policies, tap = Policies(t), t.tap("rs1")
    policies.associate(own, rip, "transport", "rs1")
    policies.protect("out", own, rip)
    client = t.client(family, "tcp", vport)
    for _ in range(3):
        equal(client.ask(700, 700).name, "rs1", "server")
    check(len(esp_between(tap, own, rip)) >= 5, "requests did not come as ESP")
    equal(len(tap.select(lambda ip: ip.proto in (wire.IPIP, wire.IPV6_IN_IP), False)), 0, "tunnelled packets in clear")


@case("ipsec.talks.{method}.{family}.{proto}.{early}", method=NAT, family=FAMILIES, proto=PROTOCOLS, early=EARLY)
def talks(t, method, family, proto, early):
    """A client that has the keys understands the answers, in a connection that was there before, large ones too."""
    vport, rport, vip, end = t.port(), t.port(), ADDRESS["vip"][family], ADDRESS["client"][family]
    t.serve("rs1", family, proto, rport)
    t.balance(family, proto, vport, method, ADDRESS["rs1"][family], rport)
    client = t.client(family, proto, vport)
    for _ in range(3):
        client.ask(500, 500)
    policies = Policies(t)
    policies.associate(vip, end, "transport", "client")
    policies.protect("out", vip, end)
    # From here on: an acknowledgement of the server's may have been late.
    tap = t.tap("client")
    client.ask(500, 500)
    client.learn()
    client.bulk(30_000)
    check(len(esp_between(tap, vip, end)) >= 2, "answers did not come as ESP")
    fresh = t.client(family, proto, vport)
    fresh.ask(500, 500)
    came = tap.select(lambda ip: (ip.source, ip.sport) == (vip, vport), False)
    equal(len(came), 0, f"answers of {join(vip, vport)} in clear")
    policies.flush()
    client.ask(500, 500)
    fresh.ask(500, 500)


def protect_requests(t, mode, method, family, source):
    """Requests to rs1 travel as ESP, with `mode`; rs1 has the keys."""
    own, rip = ADDRESS["director.back"][family], ADDRESS["rs1"][family]
    ends, there = Policies(t), Policies(t, "rs1")
    for name in ("lip1", "lip2") if method == "fullnat" else (method,):
        pair = {"dr": (source, ADDRESS["vip"][family]), "tun": (own, rip)}.get(
            name, (ADDRESS[name][family] if name in ADDRESS else source, rip))
        outer = (own, rip) if mode == "tunnel" else pair
        ends.associate(*outer, mode, "rs1")
        ends.protect("out", *pair, mode, outer)
        there.protect("in", *pair, mode, outer)


def quoted(t, near, vport, family):
    """The one MTU that a client was told, always about a packet of its own."""
    found = too_big(near)
    check(found, "the client was not told")
    for ip in found:
        check(not ip.fault() and not ip.inner.header_fault(), f"checksum: {ip.fault()}")
        equal((ip.inner.target, ip.inner.dport), (ADDRESS["vip"][family], vport), "quoted packet")
    return only({ip.icmp_mtu for ip in found}, "announced MTU")


def only(values, what):
    """The one value that there is."""
    equal(len(values), 1, f"{what}: {values}, of which there may be")
    return values.pop()


@case("ipsec.socket.{method}.{family}.{proto}", method=("nat", "tun", "fullnat"), family=FAMILIES, proto=("udp",))
def of_a_socket(t, method, family, proto):
    """A policy of a local client's socket alone is asked about what it sends, as it leaves; others are not stopped."""
    vport, near = serve(t, method, family, proto), ADDRESS["director.back"][family]
    own, other = (t.client(family, proto, vport, "director", source=(near, 0)) for _ in range(2))
    own.ask()
    stop(own.sock, family, ADDRESS["rs1"][family])
    raises(OSError, lambda: own.timeout(0.3).ask(), "a request that the socket's policy blocks")
    other.ask()


def stop(sock, number, target):
    """A policy of the socket: nothing goes out to `target`."""
    level, option = (socket.IPPROTO_IPV6, IPV6_XFRM_POLICY) if number == 6 else (socket.IPPROTO_IP, IP_XFRM_POLICY)
    kind = socket.AF_INET6 if number == 6 else socket.AF_INET
    address = socket.inet_pton(kind, target).ljust(16, b"\0")
    selector = address + bytes(16) + struct.pack("=HHHHHBBBxxxiI", 0, 0, 0, 0, kind, 128 if number == 6 else 32, 0, 0,
                                                 0, 0)
    limits = struct.pack("=4Q", *[(1 << 64) - 1] * 4) + bytes(32)
    policy = selector + limits + bytes(32) + struct.pack("=IIBBBBxxxx", 0, 0, XFRM_POLICY_OUT, XFRM_POLICY_BLOCK, 0, 0)
    sock.setsockopt(level, option, policy)


WHERE = ("client", "director")


def called_from(t, where, method, family, proto):
    """A service with a server, its port, and its client's address; what is learned of MTUs is forgotten, before and after."""
    t.forget()
    vport, source = serve(t, method, family, proto), ADDRESS["client" if where == "client" else "director.back"][family]
    t.defer(t.forget)
    t.defer(forget_here, t)
    return vport, source


@case("ipsec.large.{where}.{mode}.{method}.{family}.tcp.{early}", where=WHERE, mode=MODES, method=METHODS,
      family=FAMILIES, early=("on",))
def large(t, where, mode, method, family, early):
    """A client's segments are too large for ESP: it is told, about its own packet, and what follows is not cut."""
    vport, source = called_from(t, where, method, family, "tcp")
    client = t.client(family, "tcp", vport, where, source=(source, 0))
    client.ask(10, 10)
    protect_requests(t, mode, method, family, source)
    near, back = t.tap("client"), t.tap("director", "back")
    client.ask(100_000, 10)
    if where == "client":
        quoted(t, near, vport, family)
    back.drop()
    client.ask(100_000, 10)
    sent = back.select(lambda ip: ip.proto != wire.ICMP6, outgoing=True)
    check(len([frame for frame in sent if frame.ip.proto == ESP]) >= 50, "requests did not leave as ESP")
    check(all(frame.ip.whole for frame in sent), "the client has learned nothing: its segments are cut for ever")


@case("ipsec.large.{where}.{mode}.{method}.{family}.udp.{early}", where=WHERE, mode=MODES, method=METHODS,
      family=FAMILIES, early=("on",))
def large_datagram(t, where, mode, method, family, early):
    """The MTU that a client of UDP is told is the right one, to the byte; what may be cut gets through in pieces."""
    vport, source = called_from(t, where, method, family, "udp")
    protect_requests(t, mode, method, family, source)
    client = t.client(family, "udp", vport, where, source=(source, 0), before=discover(family, PMTUDISC_DO))
    client.ask(10)
    near, back, headers = t.tap("client"), t.tap("director", "back"), 28 if family == 4 else 48
    size = 1500 - headers
    raises(OSError, lambda: (client.sock.send(BLOCK[:size]), client.sock.recv(1)), "a datagram too large for ESP")
    client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    mtu = until(lambda: path_mtu(client) != 1500 and path_mtu(client), "the socket learns the MTU")
    if where == "client":
        equal(quoted(t, near, vport, family), mtu, "MTU in the error, and that the socket knows")
    back.drop()
    client.ask(mtu - headers)
    sent = back.select(lambda ip: ip.proto == ESP, outgoing=True)
    equal([frame.ip.whole for frame in sent], [True], "ESP packets that are whole")
    t.client(family, "udp", vport, where, source=(source, 0), before=discover(family, PMTUDISC_DONT)).ask(4000)
