# SPDX-License-Identifier: GPL-2.0
"""The module comes and goes under traffic, namespaces come and go under traffic, and nothing is left behind."""

import glob
import os

import wire
from capture import Injector, Tap
from flow import Ends
from lab import ADDRESS, MAC, mac, phantom_client, run
from noise import Noise
from suite import FAMILIES, case, check, equal, raises, until

ROUNDS = 20
# What the kernel counts of memory that a module can lose.
MEMORY = ("SUnreclaim", "VmallocUsed", "Percpu")
# Two CPUs' caches, and what other parts of the kernel take meanwhile.
SLACK_KB = 6000


def memory():
    """Kilobytes of kernel memory in use."""
    with open("/proc/meminfo", encoding="ascii") as file:
        values = {line.split(":")[0]: int(line.split()[1]) for line in file}
    return sum(values[name] for name in MEMORY)


def caches():
    """The module's slab caches."""
    return glob.glob("/sys/kernel/slab/*rlvs*")


def packets(number, ports):
    """Requests of many phantom clients, UDP to even and TCP SYNs to odd places of `ports`."""
    vip, found = ADDRESS["vip"][number], []
    for client in range(1, 9):
        source = phantom_client(number, client)
        found += [wire.udp(source, 4000, vip, ports["udp"], b"noise"),
                  wire.tcp(source, 4000, vip, ports["tcp"], wire.SYN)]
    return found


def configure(t, ports, method):
    """Services of both families and protocols with rs1 behind them."""
    lines = []
    for number in FAMILIES:
        for proto, port in ports:
            lines.append(t.service(number, proto, port))
            lines += t.locals(number, proto, port) if method == "fullnat" else []
            lines.append(t.target(number, proto, port, method, ADDRESS["rs1"][number], port))
    t.backend.restore(*lines)


@case("lifecycle.rounds")
def rounds(t):
    """Twenty times loaded, configured, used and unloaded, with traffic all the while; memory is given back."""
    # Each has servers of its own: a question must not wait, or be lost, behind the background's.
    ports, noisy = ({proto: t.port() for proto in ("tcp", "udp")} for _ in range(2))
    for number in FAMILIES:
        for proto, port in (*ports.items(), *noisy.items()):
            t.serve("rs1", number, proto, port)
    injector = Injector(t.lab, "client", "eth0", MAC["router", "client"])
    noise = Noise(injector, packets(4, noisy) + packets(6, noisy))
    t.defer(injector.close)
    t.defer(noise.stop)
    methods = ("nat", "fullnat") if "fullnat" in t.backend.features else ("nat",)
    used = []
    for number in range(ROUNDS):
        t.backend.unload()
        check(not t.backend.loaded(), "still loaded")
        check("rlvs" not in t.backend.features or not caches(), f"left behind: {caches()}")
        used.append(memory())
        t.backend.load()
        configure(t, (*ports.items(), *noisy.items()), methods[number % len(methods)])
        for family in FAMILIES:
            for proto, port in ports.items():
                equal(t.client(family, proto, port).ask_until_answered(3000, 3000).name, "rs1", f"server in round {number}")
        until(lambda: t.backend.live() > 30, "connections of the background traffic")
    check(noise.sent > 1000, f"only {noise.sent} packets in the background")
    check(used[-1] - used[2] < SLACK_KB, f"memory grows with every round: {used}")


@case("lifecycle.unloaded", needs=("rlvs",))
def unloaded(t):
    """Without the module the tool says so, sysctls are gone, and the host's own traffic is as ever."""
    ends = Ends(t, "nat", 4, "udp")
    ends.flow().open()
    port = t.port()
    t.serve("director", 4, "tcp", port, ADDRESS["vip"][4])
    t.backend.unload()
    done = t.backend.run("-L", ok=False)
    equal(done.returncode, 1, "status without the module")
    check("not loaded" in done.stderr, f"reason {done.stderr!r}")
    raises(FileNotFoundError, lambda: t.backend.sysctl("early"), "the sysctl")
    equal(t.client(4, "tcp", port).ask().name, "director", "server")
    ends.up.send(ends.flow().request(b"after"))
    check(not ends.flow().arrived(b"after", bound=0.2), "a packet was balanced without the module")
    t.backend.load()
    equal(t.backend.save(), "", "configuration after loading again")


class Passing:
    """A namespace that is made, given services and traffic, and deleted: a director with one leg to the client."""

    name, vip = "passing", {4: "10.9.0.100", 6: "fd00:9::100"}

    def __init__(self, t):
        self.t = t
        run("ip", "-batch", "-", text=f"netns add {self.name}\n"
            f"link add name passing netns client address {mac(0xA1)} type veth "
            f"peer name leg netns {self.name} address {mac(0xA2)}\n")
        t.lab.ip("client", "link set passing up")
        t.lab.ip(self.name, "link set lo up", "link set leg up", "addr add 10.9.0.1/16 dev leg",
                 "addr add 10.9.0.100/32 dev leg", "addr add 10.9.0.101/32 dev leg",
                 "addr add fd00:9::1/64 dev leg nodad", "addr add fd00:9::100/128 dev leg nodad",
                 f"neigh add 10.9.0.50 lladdr {mac(0xA1)} dev leg", f"neigh add fd00:9::50 lladdr {mac(0xA1)} dev leg")
        with open(f"/run/netns/{self.name}", encoding="ascii") as handle:
            t.lab.open[self.name] = os.dup(handle.fileno())
        try:
            self.configure()
        finally:
            os.close(t.lab.open.pop(self.name))

    def configure(self):
        """Services with NAT, DR and TUN for each family, and FULLNAT where there is."""
        fullnat = "fullnat" in self.t.backend.features
        lines = []
        for rip, vip in (("10.9.0.50", "10.9.0.100"), ("[fd00:9::50]", "[fd00:9::100]")):
            for kind in ("-t", "-u"):
                lines += [f"-A {kind} {vip}:80 -s rr", f"-a {kind} {vip}:80 -r {rip}:80 -m"]
            for port, method in ((82, "-g"), (83, "-i")):
                lines += [f"-A -u {vip}:{port} -s rr", f"-a -u {vip}:{port} -r {rip}:{port} {method}"]
        if fullnat:
            lines += ["-A -u 10.9.0.100:81 -s mh", "-P -u 10.9.0.100:81 -z 10.9.0.101",
                      "-a -u 10.9.0.100:81 -r 10.9.0.50:80 --fullnat"]
        self.t.backend.restore(*lines, host=self.name)

    def requests(self):
        """Frames of several clients to all services."""
        found = []
        for client in range(2, 10):
            four, six = f"10.9.1.{client}", f"fd00:9::1:{client}"
            for source, vip in ((four, self.vip[4]), (six, self.vip[6])):
                found += [wire.udp(source, 4000, vip, port, b"x") for port in (80, 82, 83)]
                found.append(wire.tcp(source, 4000, vip, 80, wire.SYN))
            found.append(wire.udp(four, 4000, self.vip[4], 81, b"x"))
        return found

    def delete(self, device_first):
        """Delete the namespace, and wait until the kernel has taken it down: its end of the pair is gone."""
        if device_first:
            run("ip", "-n", self.name, "link", "del", "leg")
        run("ip", "netns", "del", self.name)
        until(lambda: not self.exists(), "the namespace is still there")

    def exists(self):
        """True while the client's end of the pair exists."""
        with self.t.lab.inside("client"), open("/proc/thread-self/net/dev", encoding="ascii") as file:
            return "passing:" in file.read()


def balanced(t, injector, requests):
    """Send requests once, most of which come back to the client as packets for its servers."""
    tap = Tap(t.lab, "client", "passing")
    injector.send(*requests)
    until(lambda: len(tap.select(lambda ip: ip.target in ("10.9.0.50", "fd00:9::50"), False)) > 30, "balanced packets")
    tap.close()


@case("lifecycle.namespaces")
def namespaces(t):
    """Twenty namespaces with services and live flows are deleted under traffic; the module can be unloaded after."""
    MAC["passing", "leg"], MAC["client", "passing"] = mac(0xA2), mac(0xA1)
    ends = Ends(t, "nat", 4, "udp")
    flow = ends.flow().open()
    used = []
    for number in range(ROUNDS):
        passing = Passing(t)
        requests = passing.requests()
        injector = Injector(t.lab, "client", "passing", MAC["passing", "leg"])
        balanced(t, injector, requests)
        noise = Noise(injector, requests)
        try:
            until(lambda: noise.sent > len(requests), f"traffic in round {number}")
            passing.delete(device_first=number % 2)
        finally:
            noise.stop()
            injector.close()
        used.append(memory())
        flow.send(b"%d" % number)
        flow.send_back(b"%d" % number)
    check(used[-1] - used[2] < SLACK_KB, f"memory grows with every namespace: {used}")
    t.backend.reload()
    check("rlvs" not in t.backend.features or t.backend.save() == "", "configuration after loading again")


@case("lifecycle.isolated")
def isolated(t):
    """What is configured in one namespace is not seen, nor served, in another."""
    port = t.port()
    t.balance(4, "udp", port, "nat", ADDRESS["rs1"][4], port)
    saved = t.backend.save()
    equal(t.backend.run("-S", "-n", host="rs2").stdout, "", "configuration of another host")
    t.backend.run("-A", "-t", "10.0.3.12:99", "-s", "rr", host="rs2")
    equal(t.backend.save(), saved, "configuration of the director")
    t.backend.run("-C", host="rs2")
    equal(t.backend.save(), saved, "configuration of the director after -C on another host")
