# SPDX-License-Identifier: GPL-2.0
"""Interfaces, addresses, routes and neighbours by netlink: a director is made in milliseconds, without a program's start."""

import os
import socket
import struct

from netlink import attr, nest, u32
from wire import binary

REQUEST, ACK, NEW, ERROR = 1, 4, 0x600, 2
NEWLINK, NEWADDR, NEWROUTE, NEWNEIGH, NEWRULE = 16, 20, 24, 28, 32
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 18, 28
INFO_KIND, INFO_DATA, VETH_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, NODAD = 1, 2, 8, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, MAIN, BOOT, UNICAST, LOCAL = 1, 4, 5, 254, 3, 1, 2
FRA_FWMARK, TO_TABLE, HOST = 10, 1, 254
NDA_DST, NDA_LLADDR, PERMANENT = 1, 2, 0x80
UP = 1
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def family(address):
    """The socket family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def hardware(text):
    """A hardware address as bytes."""
    return bytes.fromhex(text.replace(":", ""))


def link_head(index=0, flags=0, change=0):
    """The fixed part of a message about an interface."""
    return struct.pack("BxHiII", 0, 0, index, flags, change)


def veth(name, address, peer, peer_address, namespace):
    """A pair of interfaces of which the peer lies in another namespace."""
    other = link_head() + attr(IFLA_IFNAME, peer.encode() + b"\0") + attr(IFLA_ADDRESS, hardware(peer_address))
    data = nest(INFO_DATA, nest(VETH_PEER, other + attr(IFLA_NET_NS_FD, u32(namespace))))
    return NEWLINK, NEW, (link_head() + attr(IFLA_IFNAME, name.encode() + b"\0") + attr(IFLA_ADDRESS, hardware(address))
                          + nest(IFLA_LINKINFO, attr(INFO_KIND, b"veth\0"), data))


def up(index, mtu=0):
    """An interface goes up."""
    return NEWLINK, 0, link_head(index, UP, UP) + (attr(IFLA_MTU, u32(mtu)) if mtu else b"")


def set_mtu(index, mtu):
    """An interface gets another MTU."""
    return NEWLINK, 0, link_head(index) + attr(IFLA_MTU, u32(mtu))


def address(index, text, prefix):
    """An interface gets an address."""
    head = struct.pack("BBBBi", family(text), prefix, NODAD, 0, index)
    return NEWADDR, NEW, head + attr(IFA_LOCAL, binary(text)) + attr(IFA_ADDRESS, binary(text)) + attr(IFA_FLAGS, u32(NODAD))


def neighbour(index, text, link_address):
    """A neighbour whose hardware address is known for ever."""
    head = struct.pack("BxHiHBB", family(text), 0, index, PERMANENT, 0, UNICAST)
    return NEWNEIGH, NEW, head + attr(NDA_DST, binary(text)) + attr(NDA_LLADDR, hardware(link_address))


def route(target, prefix, gateway, index):
    """A route through a gateway; prefix 0 is the default route."""
    head = struct.pack("BBBBBBBBI", family(gateway), prefix, 0, 0, MAIN, BOOT, 0, UNICAST, 0)
    where = attr(RTA_DST, binary(target)) if prefix else b""
    return NEWROUTE, NEW, head + where + attr(RTA_GATEWAY, binary(gateway)) + attr(RTA_OIF, u32(index))


def rule(version, mark, table):
    """Packets with a mark go by a routing table."""
    head = struct.pack("BBBBBBBBI", FAMILY[version], 0, 0, 0, table, 0, 0, TO_TABLE, 0)
    return NEWRULE, NEW, head + attr(FRA_FWMARK, u32(mark))


def local_route(version, table, index):
    """All that goes by a routing table is for this host."""
    head = struct.pack("BBBBBBBBI", FAMILY[version], 0, 0, 0, table, BOOT, HOST, LOCAL, 0)
    return NEWROUTE, NEW, head + attr(RTA_OIF, u32(index))


def ask(*messages):
    """Have the kernel do all of this in the caller's namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        for number, (kind, flags, body) in enumerate(messages, 1):
            sock.send(struct.pack("IHHII", 16 + len(body), kind, REQUEST | ACK | flags, number, 0) + body)
            check(sock.recv(1 << 16), number)


def check(answer, number):
    """Fail if the kernel refused."""
    kind, = struct.unpack("H", answer[4:6])
    error, = struct.unpack("i", answer[16:20])
    if kind != ERROR or error:
        raise OSError(-error, f"{os.strerror(-error)} (message {number})")
