# SPDX-License-Identifier: GPL-2.0
"""The network around a director: two interfaces, and hosts that are no more than names with addresses.

      clients 10.1.0.0/16 --- router 10.0.2.254 --+          +-- router 10.0.3.254 --- servers 10.3.0.0/16
                                                  |          |
      clients 10.0.2.11 to .14 -------------------+          +-- servers 10.0.3.11 to .16
                                            front |          | back
                                       10.0.2.1   |          |  10.0.3.1
                                                 director
                                            VIP 10.0.2.100, 10.0.2.101

IPv6 is the same with fd00:2::X, fd00:3::X, clients in fd00:11::/64 and servers in fd00:13::/64. No host has a network stack:
whoever plays sends their frames into the director's interfaces and reads what comes out. The director knows all their
hardware addresses, so that it never has to ask.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct

import rtnetlink
from nft import nft

DEVICES = ("front", "back")
NET = {"front": 2, "back": 3}
NEIGHBOURS = {"front": range(11, 15), "back": range(11, 17)}
ROUTER = 254
VIPS = {4: ("10.0.2.100", "10.0.2.101"), 6: ("fd00:2::100", "fd00:2::101")}
# An address that is no host's here: what is sent to it goes to the router, unless it is marked.
FOREIGN = {4: "198.51.100.7", 6: "fd00:99::7"}
OWN = {4: ("10.0.2.1", "10.0.3.1"), 6: ("fd00:2::1", "fd00:3::1")}
FAR_SERVERS = {4: ("10.3.0.0", 16), 6: ("fd00:13::", 64)}
# The routing table of marked packets.
TAKEN_IN = 100
# The MTU of the interfaces' other ends: the director's own decides.
JUMBO = 9000

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_STATISTICS = 263, 23, 6
SO_RCVBUFFORCE = 33
BUFFER, LARGEST = 4 << 20, 1 << 16
SIOCETHTOOL, ETHTOOL_SET_TX_CHECKSUM = 0x8946, 0x17
CLONE_NEWNET = 0x40000000

# Settings that stand before the interfaces appear: nobody asks, nobody doubts, no limit on ICMP errors.
SETTINGS = (
    ("net/ipv4/ip_forward", 1), ("net/ipv6/conf/all/forwarding", 1),
    ("net/ipv4/conf/all/rp_filter", 0), ("net/ipv4/conf/default/rp_filter", 0),
    ("net/ipv4/conf/all/send_redirects", 0), ("net/ipv4/conf/default/send_redirects", 0),
    ("net/ipv4/conf/all/accept_local", 1),
    ("net/ipv6/conf/all/accept_dad", 0), ("net/ipv6/conf/default/accept_dad", 0),
    ("net/ipv6/conf/default/accept_ra", 0), ("net/ipv6/conf/default/router_solicitations", 0),
    ("net/ipv4/icmp_ratelimit", 0), ("net/ipv4/icmp_msgs_per_sec", 1000000), ("net/ipv4/icmp_msgs_burst", 1000000),
    ("net/ipv6/icmp/ratelimit", 0),
)


def mac(dev, last):
    """The hardware address of a host on the link of a device; 1 is the director."""
    return f"02:00:00:00:{NET[dev]:02x}:{last:02x}"


def link_address(family, dev, last):
    """The address of a host on the link of a device."""
    return f"10.0.{NET[dev]}.{last}" if family == 4 else f"fd00:{NET[dev]}::{last:x}"


def hardware(dev, address):
    """The hardware address that stands behind an IP address on the link of a device: its own, or the router's."""
    family = 6 if ":" in address else 4
    for last in NEIGHBOURS[dev]:
        if address == link_address(family, dev, last):
            return mac(dev, last)
    return mac(dev, ROUTER)


def setup():
    """What makes a director out of the caller's namespace, which has the two interfaces."""
    index_of = {dev: socket.if_nametoindex(dev) for dev in DEVICES}
    wanted = [rtnetlink.up(socket.if_nametoindex("lo"))]
    for dev, index in index_of.items():
        wanted.append(rtnetlink.up(index))
        for family, prefix in ((4, 24), (6, 64)):
            wanted.append(rtnetlink.address(index, link_address(family, dev, 1), prefix))
            for last in (ROUTER, *NEIGHBOURS[dev]):
                wanted.append(rtnetlink.neighbour(index, link_address(family, dev, last), mac(dev, last)))
    for family, length in ((4, 32), (6, 128)):
        wanted += [rtnetlink.address(index_of["front"], vip, length) for vip in VIPS[family]]
        wanted.append(rtnetlink.route("", 0, link_address(family, "front", ROUTER), index_of["front"]))
        wanted.append(rtnetlink.route(*FAR_SERVERS[family], link_address(family, "back", ROUTER), index_of["back"]))
    return wanted


def without_checksums(dev):
    """Let the kernel finish checksums itself, in the namespace of the caller: frames are compared as they are."""
    value = bytearray(struct.pack("II", ETHTOOL_SET_TX_CHECKSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        where = ctypes.addressof(ctypes.c_char.from_buffer(value))
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sQ16x", dev.encode(), where))


def write_setting(name, value):
    """Write /proc/sys/NAME in the namespace of the caller."""
    with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
        file.write(f"{value}\n")


class Director:
    """A network namespace with the two interfaces; the other ends are in the namespace of whoever plays."""

    number = 0

    def __init__(self, name):
        self.name = name
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        os.unshare(CLONE_NEWNET)
        self.namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
        for setting in SETTINGS:
            write_setting(*setting)
        os.setns(self.home, CLONE_NEWNET)
        Director.number += 1
        self.ends = {dev: f"{dev[0]}{Director.number}" for dev in DEVICES}
        self.link()
        self.sockets = {dev: self.open(end) for dev, end in self.ends.items()}

    def link(self):
        """Make the interfaces."""
        rtnetlink.ask(*(rtnetlink.veth(end, mac(dev, ROUTER), dev, mac(dev, 1), self.namespace)
                        for dev, end in self.ends.items()))
        rtnetlink.ask(*(rtnetlink.up(socket.if_nametoindex(end), JUMBO) for end in self.ends.values()))
        with self.inside():
            rtnetlink.ask(*setup())
            for dev in DEVICES:
                without_checksums(dev)

    def mark(self, marks):
        """Mark packets by (mark, (address, port)), and take in what has a mark."""
        if not marks:
            return
        lines = [f"{'ip6' if ':' in address else 'ip'} daddr {address} {f'th dport {port} ' if port else ''}meta mark set {mark}"
                 for mark, (address, port) in marks]
        with self.inside():
            nft("table inet oracle {\nchain marks {\ntype filter hook prerouting priority mangle\n" + "\n".join(lines) + "\n}\n}")
            lo = socket.if_nametoindex("lo")
            for number in {mark for mark, _ in marks}:
                rtnetlink.ask(*(rtnetlink.rule(family, number, TAKEN_IN) for family in (4, 6)))
            rtnetlink.ask(*(rtnetlink.local_route(family, TAKEN_IN, lo) for family in (4, 6)))

    def set_mtu(self, dev, mtu):
        """Give an interface another MTU."""
        with self.inside():
            rtnetlink.ask(rtnetlink.set_mtu(socket.if_nametoindex(dev), mtu))

    @staticmethod
    def open(end):
        """A socket that sends into an interface and reads what comes out of it."""
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        sock.bind((end, ETH_P_ALL))
        sock.setblocking(False)
        return sock

    def close(self):
        """Let go of all; the kernel removes namespace and interfaces."""
        for sock in self.sockets.values():
            sock.close()
        os.close(self.namespace)
        os.close(self.home)

    @contextlib.contextmanager
    def inside(self):
        """Be in the director's namespace for a while."""
        os.setns(self.namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(self.home, CLONE_NEWNET)

    def socket(self, _host, *kind):
        """A socket that lives in the director's namespace."""
        with self.inside():
            return socket.socket(*kind)

    def send(self, dev, frame):
        """Let a frame come in by an interface; one that is too large for the link gets lost there."""
        try:
            self.sockets[dev].send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise

    def received(self):
        """{interface: frames that came out of it since the last time}, without what goes to groups: neighbour discovery."""
        found = {}
        for dev, sock in self.sockets.items():
            frames = list(self.drain(sock))
            if struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]:
                raise RuntimeError(f"frames of {self.name} {dev} were lost")
            found[dev] = [frame for frame in frames if not frame[0] & 1]
        return found

    @staticmethod
    def drain(sock):
        """The frames that wait in a socket."""
        with contextlib.suppress(BlockingIOError):
            while True:
                yield sock.recv(LARGEST)
