# SPDX-License-Identifier: GPL-2.0
"""What a case works with: the lab, the balancer, servers, captures and clients, all undone when the case ends."""

import contextlib
import os

from backend import BUILD, Ipvs, modprobe_insmod
from capture import Injector, Tap
from client import Client
from lab import ADDRESS, MAC

BRIEF = {"tcp": "-t", "udp": "-u"}
FORWARD = {"nat": "-m", "dr": "-g", "tun": "-i", "fullnat": "--fullnat", "local": "-m"}
FIRST_PORT = 2000


def join(address, port):
    """address:port as the tools write it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Context:
    """One case's surroundings; `defer` registers what undoes a change."""

    next_port = FIRST_PORT
    receiver = f"{BUILD}/receive/rlvs_receive.ko"

    def __init__(self, lab, backend, servers):
        self.lab, self.backend, self.servers = lab, backend, servers
        self.taps = []
        self.undo = contextlib.ExitStack()
        self.defer = self.undo.callback

    def port(self):
        """A port that no other case uses."""
        Context.next_port += 1
        return Context.next_port

    def tap(self, host, dev="eth0", mark=None):
        """Capture on an interface until the case ends; with `mark`, (value, mask), what bears such a firewall mark."""
        tap = Tap(self.lab, host, dev, mark)
        self.taps.append(tap)
        self.defer(tap.close)
        return tap

    def inject(self, host, dev, neighbour):
        """Send frames from an interface to (host, dev)."""
        injector = Injector(self.lab, host, dev, MAC[neighbour])
        self.defer(injector.close)
        return injector

    def serve(self, host, number, proto, port, address=None, name=None):
        """Run a server on a host, on its own address unless told otherwise."""
        sock = self.servers.open(host, number, proto, address or ADDRESS[host][number], port, name)
        self.defer(self.servers.stop, sock)
        return sock

    def client(self, number, proto, port, host="client", address=None, source=None, before=None):
        """A socket on a host, connected to the VIP unless told otherwise."""
        client = Client(self.lab, host, number, proto, address or ADDRESS["vip"][number], port, source, before)
        self.defer(client.abort)
        return client

    def service(self, number, proto, port, *options):
        """The restore line that adds a service on the VIP."""
        return " ".join(("-A", BRIEF[proto], join(ADDRESS["vip"][number], port)) + (options or ("-s", "rr")))

    def target(self, number, proto, port, method, address, rport, *options):
        """The restore line that adds a destination to a service on the VIP."""
        return " ".join(("-a", BRIEF[proto], join(ADDRESS["vip"][number], port), "-r", join(address, rport),
                         FORWARD[method]) + options)

    def locals(self, number, proto, port, *names):
        """The restore lines that give a service local addresses."""
        service = join(ADDRESS["vip"][number], port)
        return [f"-P {BRIEF[proto]} {service} -z {ADDRESS[name][number]}" for name in names or ("lip1", "lip2")]

    def balance(self, number, proto, port, method, address, rport, *more):
        """One rr service with one destination, and local addresses where the method wants them."""
        lines = [self.service(number, proto, port)]
        if method == "fullnat":
            lines += self.locals(number, proto, port)
        self.backend.restore(*lines, self.target(number, proto, port, method, address, rport), *more)

    def offload(self, on, *hosts):
        """Switch checksum offload of the originating hosts for the rest of the case."""
        for host in hosts or ("client", "rs1"):
            dev = "back" if host == "director" else "eth0"
            self.lab.offload(host, dev, on)
            if not on:
                self.defer(self.lab.offload, host, dev, True)

    def mtu(self, host, dev, size):
        """Set an MTU for the rest of the case, and forget what was learned about paths."""
        self.lab.mtu(host, dev, size)
        self.defer(self.forget)
        self.defer(self.lab.mtu, host, dev, 1500)

    def forget(self):
        """Drop the path MTUs that hosts have learned: IPv4 keeps them in a cache, IPv6 with the route."""
        learned = {"client": ["default via fd00:1::1"], "director": ["fd00:3::/64 dev back proto kernel metric 256"],
                   "rs1": ["default via fd00:3::1", "default via fd00:3::fe table 100",
                           "fd00:3::/64 dev eth0 proto kernel metric 256"]}
        for host, routes in learned.items():
            self.lab.ip(host, "route flush cache", *(f"route replace {route}" for route in routes))

    def sysctl(self, name, value):
        """Set one of the balancer's sysctls for the rest of the case."""
        old = self.backend.sysctl(name)
        self.backend.sysctl(name, value)
        self.defer(self.backend.sysctl, name, old)

    def host_sysctl(self, host, name, value):
        """Set a host's sysctl for the rest of the case."""
        old = self.lab.sysctl(host, name)
        self.lab.sysctl(host, name, value)
        self.defer(self.lab.sysctl, host, name, old)

    def beside_ipvs(self):
        """The kernel's own IPVS with rlvs beside it, which keeps to its own names until the case ends; returns its backend."""
        ipvs = Ipvs(self.lab)
        self.backend.unload()
        self.defer(self.backend.reload)
        ipvs.load()
        self.defer(ipvs.unload)
        self.backend.load()
        return ipvs

    def receive_as(self, mode, host, *devs):
        """Let packets that come in by these devices look as from other hardware ("complete", "lro", "paged",
        "tight") or have a socket.

        Lasts until the case ends; one mode at a time. Returns a function that counts the packets that had the look.
        """
        if os.path.exists("/sys/module/rlvs_receive"):
            modprobe_insmod("rmmod", "rlvs_receive")
        else:
            self.defer(modprobe_insmod, "rmmod", "rlvs_receive")
        with self.lab.inside(host):
            modprobe_insmod("insmod", self.receiver, f"mode={mode}", "devs=" + ",".join(devs))

        def handled():
            with open("/sys/module/rlvs_receive/parameters/handled", encoding="ascii") as file:
                return int(file.read())
        return handled
