# SPDX-License-Identifier: GPL-2.0
"""The network of the demonstration: namespaces of one guest, joined by two bridges.

    client          front: 10.0.1.0/24, fd00:1::/64          gateway
    .2 ----------------------+-------------+------------------- .3
                             | .1          |
                          director         |
                             | .1          |
    back: 10.0.2.0/24, ------+-------------+------------------- .3
          fd00:2::/64        |             |             |
                            rs1 .11       rs2 .12       rs3 .13

The virtual addresses are the director's; those of DR and TUN are on the loopback
of the real servers too. What a real server sends from such an address leaves by
the gateway, what it sends from its own goes through the director, as NAT needs.
"""

import itertools
import os
import subprocess

SERVERS = {"rs1": 11, "rs2": 12, "rs3": 13}
LOCAL_ADDRESSES = (201, 202)
VIRTUAL = {"NAT": 101, "DR": 102, "TUN": 103, "FULLNAT": 104}
# The port that the real servers offer besides 80.
OTHER_PORT = 8080
PAGE_SIZE = 65536

FILES = "/tmp/www"
OPEN_ROUTING = [
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
]
KEEP_QUIET_ABOUT_VIP = ["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"]


def front(family, host):
    """The address of a host on the front network; family is 4 or 6."""
    return f"10.0.1.{host}" if family == 4 else f"fd00:1::{host}"


def back(family, host):
    """The address of a host on the back network."""
    return f"10.0.2.{host}" if family == 4 else f"fd00:2::{host}"


def virtual(family, method):
    """The virtual address that stands for a forwarding method."""
    return front(family, VIRTUAL[method])


def run(*command, **options):
    """Runs a command that must succeed."""
    return subprocess.run(command, check=True, text=True, **options)


def inside(namespace, *command, **options):
    """Runs a command that must succeed in a namespace."""
    return run("ip", "netns", "exec", namespace, *command, **options)


def ip(namespace, lines, family=0):
    """Runs several `ip` commands in a namespace with one process."""
    options = [f"-{family}"] if family else []
    run("ip", *options, "-n", namespace, "-batch", "-", input="\n".join(lines) + "\n")


def addresses(device, networks):
    """The lines that give a device its addresses: (network, host) pairs, both families."""
    return [f"address add {network(4, host)}/24 dev {device}" for network, host in networks] + [
        f"address add {network(6, host)}/64 dev {device} nodad" for network, host in networks
    ]


def add_namespace(name, settings):
    """Makes a namespace with a working loopback."""
    run("ip", "netns", "add", name)
    inside(name, "sysctl", "-qw", *settings)
    ip(name, ["link set lo up"])


def connect(namespace, device, bridge, addresses_of_it):
    """Puts a device with its addresses into a namespace, and its other end on a bridge."""
    outside = f"{namespace}-{device}"
    run("ip", "link", "add", outside, "master", bridge, "up",
        "type", "veth", "peer", device, "netns", namespace)
    ip(namespace, addresses(device, addresses_of_it) + [f"link set {device} up"])


def add_bridges():
    for bridge in ("front", "back"):
        run("ip", "link", "add", bridge, "up", "type", "bridge", "mcast_snooping", "0")


def add_director():
    add_namespace("director", OPEN_ROUTING)
    virtual_addresses = [(front, host) for host in VIRTUAL.values()]
    connect("director", "front", "front", [(front, 1)] + virtual_addresses)
    connect("director", "back", "back", [(back, 1)] + [(back, n) for n in LOCAL_ADDRESSES])


def add_gateway():
    add_namespace("gateway", OPEN_ROUTING)
    connect("gateway", "front", "front", [(front, 3)])
    connect("gateway", "back", "back", [(back, 3)])


def add_client():
    add_namespace("client", OPEN_ROUTING[2:])
    connect("client", "front", "front", [(front, 2)])


def server_lines(family):
    """What makes a host a real server of any method.

    DR and TUN bring packets for the virtual address to the real server itself.
    What it sends from its own address uses table 7, all else the main table.
    """
    network = "10.0.2.0/24" if family == 4 else "fd00:2::/64"
    tunnel = "tunl0" if family == 4 else "ip6tnl0"
    return [f"address add {virtual(family, method)} dev lo" for method in ("DR", "TUN")] + [
        f"rule add from {network} table 7",
        f"route add {network} dev back table 7",
        f"link set {tunnel} up",
    ]


def add_server(name, host):
    add_namespace(name, OPEN_ROUTING[2:] + KEEP_QUIET_ABOUT_VIP)
    connect(name, "back", "back", [(back, host)])
    for family in (4, 6):
        ip(name, server_lines(family), family)
    start_web_server(name)


def routes_to_client(verb):
    """Adds ("add") or removes ("del") the real servers' routes out of the back network."""
    for name, family in itertools.product(SERVERS, (4, 6)):
        ip(name, [f"route {verb} default via {back(family, 3)}",
                  f"route {verb} default via {back(family, 1)} table 7"], family)


def page(name):
    """The page of a real server: its name, then a payload that takes many segments."""
    return f"{name}\n" + (name * PAGE_SIZE)[:PAGE_SIZE]


def start_web_server(name):
    """Starts nginx, which goes to the background only when its ports are open."""
    folder = f"{FILES}/{name}"
    os.makedirs(folder)
    with open(f"{folder}/index.html", "w", encoding="ascii") as file:
        file.write(page(name))
    listen = " ".join(f"listen {where}{port};" for port in (80, OTHER_PORT) for where in ("", "[::]:"))
    with open(f"{folder}/nginx.conf", "w", encoding="ascii") as file:
        file.write(f"""
            pid {folder}/pid;
            error_log {folder}/error.log;
            events {{}}
            http {{ access_log off; server {{ {listen} root {folder}; }} }}
        """)
    inside(name, "nginx", "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log")


def up():
    """Sets up everything but the balancing."""
    run("modprobe", "-a", "veth", "bridge", "ipip", "ip6_tunnel")
    add_bridges()
    add_director()
    add_gateway()
    add_client()
    for name, host in SERVERS.items():
        add_server(name, host)
    routes_to_client("add")
