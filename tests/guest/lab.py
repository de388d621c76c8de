# SPDX-License-Identifier: GPL-2.0
"""The network: client, router, director and real servers as network namespaces.

      client ------------ router ------------------ director
   10.0.1.2 eth0   client      front           front    | back
                   10.0.1.1   10.0.2.254    10.0.2.1    | 10.0.3.1
                           | back          VIP 10.0.2.100
                           | 10.0.3.254                 |
      ---------------------+----- switch ---------------+------
           |                 |                 |
          rs1 eth0          rs2               rs3
        10.0.3.11         10.0.3.12         10.0.3.13

IPv6 is the same with fd00:N::X. A real server answers through the director, but what it sends from the VIP (DR, TUN)
goes by the router. Phantoms are addresses that no host has: clients in 10.1.0.0/16 (behind `client`) and servers in
10.3.0.0/16 (behind `rs3`); a case plays them with frames of its own.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess

from nft import nft

SERVERS = ("rs1", "rs2", "rs3")
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
HOSTS = ("client", "router", "director", "switch") + SERVERS

ADDRESS = {
    "client": {4: "10.0.1.2", 6: "fd00:1::2"},
    "router.client": {4: "10.0.1.1", 6: "fd00:1::1"},
    "router.front": {4: "10.0.2.254", 6: "fd00:2::fe"},
    "router.back": {4: "10.0.3.254", 6: "fd00:3::fe"},
    "director": {4: "10.0.2.1", 6: "fd00:2::1"},
    "director.back": {4: "10.0.3.1", 6: "fd00:3::1"},
    "vip": {4: "10.0.2.100", 6: "fd00:2::100"},
    "lip1": {4: "10.0.3.101", 6: "fd00:3::101"},
    "lip2": {4: "10.0.3.102", 6: "fd00:3::102"},
    "rs1": {4: "10.0.3.11", 6: "fd00:3::11"},
    "rs2": {4: "10.0.3.12", 6: "fd00:3::12"},
    "rs3": {4: "10.0.3.13", 6: "fd00:3::13"},
}

# Network namespace, interface, peer's namespace and name, then the last byte of both hardware addresses.
LINKS = (
    ("client", "eth0", "router", "client", 0x11, 0x12),
    ("router", "front", "director", "front", 0x21, 0x22),
    ("router", "back", "switch", "p0", 0x31, 0x41),
    ("director", "back", "switch", "p1", 0x32, 0x42),
    ("rs1", "eth0", "switch", "p2", 0x51, 0x43),
    ("rs2", "eth0", "switch", "p3", 0x52, 0x44),
    ("rs3", "eth0", "switch", "p4", 0x53, 0x45),
)

SIOCETHTOOL = 0x8946
ETHTOOL_SET_RX_CHECKSUM, ETHTOOL_SET_TX_CHECKSUM = 0x15, 0x17
CLONE_NEWNET = 0x40000000


def family(number):
    """The socket family of 4 or 6."""
    return socket.AF_INET6 if number == 6 else socket.AF_INET


def mac(last):
    """The hardware address that ends in `last`."""
    return f"02:00:00:00:00:{last:02x}"


MAC = {}
for _ns, _dev, _peer, _peer_dev, _a, _b in LINKS:
    MAC[_ns, _dev] = mac(_a)
    MAC[_peer, _peer_dev] = mac(_b)


def phantom_client(number, n=1):
    """The n-th address of a client that no host has."""
    return f"10.1.{n >> 8}.{n & 255}" if number == 4 else f"fd00:11::{n:x}"


def phantom_server(number, n=1):
    """The n-th address of a real server that no host has."""
    return f"10.3.{n >> 8}.{n & 255}" if number == 4 else f"fd00:13::{n:x}"


def run(*command, text=None):
    """Run a command that must succeed; return its output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Lab:
    """The namespaces, made once for the whole run."""

    def __init__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.open = {}
        self.remove()
        run("ip", "-batch", "-", text="".join(f"netns add {host}\n" for host in HOSTS))
        for host in HOSTS:
            self.open[host] = os.open(f"/run/netns/{host}", os.O_RDONLY)
            self.defaults(host)
        run("ip", "-batch", "-", text=self.links())
        for host in HOSTS:
            run("ip", "-n", host, "-batch", "-", text="\n".join(getattr(self, host.rstrip("123"))(host)) + "\n")
        self.hold_hooks()
        for host in SERVERS:
            run("ip", "-6", "-n", host, "rule", "add", "from", "fd00:2::100", "lookup", "100")
            self.sysctl(host, "net/ipv4/conf/eth0/arp_ignore", 1)
            self.sysctl(host, "net/ipv4/conf/eth0/arp_announce", 2)

    def remove(self):
        """Delete what an earlier run left."""
        for host in HOSTS:
            if os.path.exists(f"/run/netns/{host}"):
                run("ip", "netns", "del", host)

    def hold_hooks(self):
        """Keep every netfilter hook in use somewhere for the whole run.

        The kernel patches its code when a hook gets its first user and loses its last. An emulated processor (seen with
        QEMU 7.2) that meets the patched place at that moment may run the half-patched code, and the kernel dies.
        """
        chains = "".join(f"chain {hook} {{\ntype filter hook {hook} priority 0\n}}\n" for hook in HOOKS)
        self.nft("switch", f"table inet hold {{\n{chains}}}\n")

    @contextlib.contextmanager
    def inside(self, host):
        """Put the calling thread into a host's network namespace for a while."""
        os.setns(self.open[host], CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(self.home, CLONE_NEWNET)

    def sysctl(self, host, name, value=None):
        """Read or write /proc/sys/NAME as seen by a host."""
        with self.inside(host):
            with open(f"/proc/sys/{name}", "r" if value is None else "w", encoding="ascii") as file:
                return file.read().strip() if value is None else file.write(f"{value}\n")

    def socket(self, host, *args):
        """A socket that lives in a host's namespace, whichever thread uses it."""
        with self.inside(host):
            return socket.socket(*args)

    def execute(self, host, *command, text=None, timeout=60):
        """Run a command on a host; return the finished process."""
        with self.inside(host):
            return subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout)

    def nft(self, host, text, flags=0):
        """Run commands of the packet filter on a host; return what they print."""
        with self.inside(host):
            return nft(text, flags)

    def ip(self, host, *commands):
        """Run `ip` commands on a host as one batch."""
        run("ip", "-n", host, "-batch", "-", text="\n".join(commands) + "\n")

    def ip_of(self, host, number, *commands):
        """Run `ip` commands on a host for one family, 4 or 6: those that name no address do not say which."""
        run("ip", f"-{number}", "-n", host, "-batch", "-", text="\n".join(commands) + "\n")

    def offload(self, host, dev, on, feature=ETHTOOL_SET_TX_CHECKSUM):
        """Switch transmit checksums, and with them segmentation, of an interface on or off; or another feature."""
        value = bytearray(struct.pack("II", feature, 1 if on else 0))
        with self.socket(host, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            where = ctypes.addressof(ctypes.c_char.from_buffer(value))
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sQ16x", dev.encode(), where))

    def mtu(self, host, dev, size):
        """Set an interface's MTU."""
        self.ip(host, f"link set {dev} mtu {size}")

    def defaults(self, host):
        """Settings that must stand before interfaces appear: no address detection, no source checks."""
        forward = 1 if host in ("router", "director") else 0
        self.sysctl(host, "net/ipv4/ip_forward", forward)
        self.sysctl(host, "net/ipv6/conf/all/forwarding", forward)
        for scope in ("all", "default"):
            self.sysctl(host, f"net/ipv4/conf/{scope}/rp_filter", 0)
            self.sysctl(host, f"net/ipv4/conf/{scope}/send_redirects", 0)
            self.sysctl(host, f"net/ipv6/conf/{scope}/accept_dad", 0)
            self.sysctl(host, f"net/ipv6/conf/{scope}/accept_ra", 0)
            self.sysctl(host, f"net/ipv6/conf/{scope}/router_solicitations", 0)
        # A reply of DR or TUN to a client on the director comes from the director's own VIP.
        self.sysctl(host, "net/ipv4/conf/all/accept_local", 1 if host == "director" else 0)
        # No limit on ICMP errors, or a case would depend on the one before.
        self.sysctl(host, "net/ipv4/icmp_ratelimit", 0)
        self.sysctl(host, "net/ipv4/icmp_msgs_per_sec", 1000000)
        self.sysctl(host, "net/ipv6/icmp/ratelimit", 0)

    @staticmethod
    def links():
        """The commands that make all veth pairs."""
        lines = []
        for ns, dev, peer, peer_dev, last, peer_last in LINKS:
            lines.append(f"link add name {dev} netns {ns} address {mac(last)} type veth "
                         f"peer name {peer_dev} netns {peer} address {mac(peer_last)}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def client(_host):
        """Commands for the client."""
        return ["link set lo up", "link set eth0 up", "addr add 10.0.1.2/24 dev eth0",
                "addr add fd00:1::2/64 dev eth0 nodad", "route add default via 10.0.1.1",
                "route add default via fd00:1::1"]

    @staticmethod
    def router(_host):
        """Commands for the router."""
        lines = ["link set lo up"]
        for net, dev, last, last6 in ((1, "client", 1, "1"), (2, "front", 254, "fe"), (3, "back", 254, "fe")):
            lines += [f"link set {dev} up", f"addr add 10.0.{net}.{last}/24 dev {dev}",
                      f"addr add fd00:{net}::{last6}/64 dev {dev} nodad"]
        return lines + ["route add 10.1.0.0/16 via 10.0.1.2", "route add fd00:11::/64 via fd00:1::2"]

    @staticmethod
    def director(_host):
        """Commands for the director."""
        lines = ["link set lo up", "link set front up", "link set back up",
                 "addr add 10.0.2.1/24 dev front", "addr add fd00:2::1/64 dev front nodad",
                 "addr add 10.0.2.100/32 dev front", "addr add fd00:2::100/128 dev front nodad",
                 "addr add 10.0.3.1/24 dev back", "addr add fd00:3::1/64 dev back nodad"]
        for last in (101, 102):
            # Never the source of the director's own packets.
            lines += [f"addr add 10.0.3.{last}/32 dev back",
                      f"addr add fd00:3::{last}/128 dev back nodad preferred_lft 0"]
        return lines + ["route add default via 10.0.2.254", "route add default via fd00:2::fe",
                        "route add 10.3.0.0/16 via 10.0.3.13", "route add fd00:13::/64 via fd00:3::13"]

    @staticmethod
    def switch(_host):
        """Commands for the switch that joins the director's inner side."""
        lines = ["link add lan type bridge forward_delay 0 mcast_snooping 0", "link set lan up"]
        for port in range(5):
            lines += [f"link set p{port} master lan", f"link set p{port} up"]
        return lines

    @staticmethod
    def rs(host):
        """Commands for a real server: its address, the VIP for DR and TUN, and a tunnel device of each kind."""
        last, own, own6 = 10 + int(host[2:]), ADDRESS[host][4], ADDRESS[host][6]
        lines = ["link set lo up", "link set eth0 up", f"addr add 10.0.3.{last}/24 dev eth0",
                 f"addr add fd00:3::{last}/64 dev eth0 nodad",
                 "addr add 10.0.2.100/32 dev lo", "addr add fd00:2::100/128 dev lo nodad",
                 "route add default via 10.0.3.1", "route add default via fd00:3::1",
                 "route add default via 10.0.3.254 table 100", "route add default via fd00:3::fe table 100",
                 "route add 10.0.3.0/24 dev eth0 table 100", "route add fd00:3::/64 dev eth0 table 100",
                 "rule add from 10.0.2.100 lookup 100"]
        for name, kind, local in (("ipip4", "ipip", own), ("sit4", "sit", own), ("any6", "ip6tnl mode any", own6)):
            lines += [f"link add {name} type {kind} remote any local {local}", f"link set {name} up"]
        return lines
