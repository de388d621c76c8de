# SPDX-License-Identifier: GPL-2.0
"""The machine that forwards: a network namespace between two dummy devices.

    clients 10.0.0.0/8 -- gateway 192.168.1.254 -- in0 | director | out0 -- real servers 172.16.0.0/16
                                                       VIP 192.0.2.1     -- gateway 172.16.0.254 -- 198.51.100.0/24

IPv6 is built the same way below fd00::/16. Packets enter through in0's receive path (replies: out0's), and a dummy
device is the wire: what is sent there is counted and freed. All neighbours are known.
"""

import contextlib
import os
import subprocess

CLIENTS = {4: "10.0.0.1", 6: "fd00:a::1"}
VIP = {4: "192.0.2.1", 6: "fd00:3::1"}
FAR = {4: "198.51.100.1", 6: "fd00:9::1"}
MAC = {"in0": "02:00:00:00:01:01", "out0": "02:00:00:00:02:01"}
NEIGHBOUR = "02:00:00:00:00:fe"
CLONE_NEWNET = 0x40000000


def server(family, number):
    """The address of a real server."""
    high, low = divmod(number + 10, 250)
    return f"172.16.{high + 1}.{low + 1}" if family == 4 else f"fd00:2::{high + 1:x}:{low + 1:x}"


def local(family, number):
    """A local address for FULLNAT."""
    return f"172.16.200.{number + 1}" if family == 4 else f"fd00:2::c8:{number + 1:x}"


def run(*command, text=None):
    """Run a command that must succeed; return its output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def links():
    """The devices."""
    for dev, address in MAC.items():
        yield f"link add {dev} type dummy"
        yield f"link set {dev} address {address} arp on up"
    yield "link set lo up"


def addresses(family, locals_):
    """The director's own addresses."""
    if family == 4:
        own = (("192.168.1.1/24", "in0"), ("172.16.0.1/16", "out0"), (VIP[4] + "/32", "lo"))
    else:
        own = (("fd00:1::1/64", "in0"), ("fd00:2::1/64", "out0"), (VIP[6] + "/128", "lo"))
    length = 32 if family == 4 else 128
    more = tuple((f"{local(family, n)}/{length}", "out0") for n in range(locals_))
    for address, dev in own + more:
        yield f"address add {address} dev {dev}" + (" nodad" if family == 6 else "")


def routes(family, servers):
    """Routes and neighbours."""
    if family == 4:
        gateways = (("in0", "192.168.1.254", "10.0.0.0/8"), ("out0", "172.16.0.254", "198.51.100.0/24"))
    else:
        gateways = (("in0", "fd00:1::fe", "fd00:a::/32"), ("out0", "fd00:2::fe", "fd00:9::/32"))
    for dev, gateway, net in gateways:
        yield f"neighbour add {gateway} lladdr {NEIGHBOUR} dev {dev} nud permanent"
        yield f"route add {net} via {gateway} dev {dev}"
    for number in range(servers):
        yield f"neighbour add {server(family, number)} lladdr {NEIGHBOUR} dev out0 nud permanent"


class Director:
    """One namespace, deleted at the end of a `with` block."""

    def __init__(self, name, family, servers=4, locals_=0):
        self.name = name
        self.family = family
        run("ip", "netns", "add", name)
        self.namespace = os.open(f"/run/netns/{name}", os.O_RDONLY)
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        lines = [*links(), *addresses(family, locals_), *routes(family, servers)]
        run("ip", "-n", name, "-batch", "-", text="\n".join(lines) + "\n")
        self.sysctl("net/ipv4/ip_forward", 1)
        self.sysctl("net/ipv6/conf/all/forwarding", 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.namespace)
        os.close(self.home)
        run("ip", "netns", "del", self.name)

    @contextlib.contextmanager
    def inside(self):
        """Put the process into the namespace for a while."""
        os.setns(self.namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(self.home, CLONE_NEWNET)

    def execute(self, *command, text=None):
        """Run a command in the namespace."""
        with self.inside():
            return run(*command, text=text)

    def sysctl(self, name, value=None):
        """Read or write /proc/sys/NAME in the namespace."""
        with self.inside():
            with open(f"/proc/sys/{name}", "r" if value is None else "w", encoding="ascii") as file:
                return file.read().strip() if value is None else file.write(f"{value}\n")

    def sent(self, dev):
        """Packets that a device has sent; to be called inside."""
        with open("/proc/thread-self/net/dev", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name.strip() == dev:
                    return int(rest.split()[9])
        raise RuntimeError(f"no device {dev}")

    def track(self):
        """Make connection tracking active, as a host with a stateful packet filter has it."""
        family = "ip" if self.family == 4 else "ip6"
        chain = "type filter hook prerouting priority filter;"
        self.execute("nft", f"add table {family} track; add chain {family} track in {{ {chain} }};"
                            f"add rule {family} track in ct state new accept")
