# SPDX-License-Identifier: GPL-2.0
"""The balancer under test: rlvs with rlvsadm, or as an oracle the kernel's own IPVS with ipvsadm."""

import json
import os
import shutil
import subprocess

from netlink import FLUSH, Genl
from suite import Failed, equal, poll

BUILD = "/src/build"
HOST = "director"
# What JSON calls the totals' counters, and their rates.
TOTALS = (("conns", "inpkts", "outpkts", "inbytes", "outbytes"), ("cps", "inpps", "outpps", "inbps", "outbps"))


class Counters:
    """A line of `-L --stats --exact`: connections, packets in and out, bytes in and out; or of `--rate`, a second."""

    def __init__(self, numbers):
        self.conns, self.inpkts, self.outpkts, self.inbytes, self.outbytes = numbers

    def tuple(self):
        """All five, to compare."""
        return (self.conns, self.inpkts, self.outpkts, self.inbytes, self.outbytes)


class Connection:
    """A line of `-L -c`."""

    def __init__(self, fields):
        self.proto, expires, self.state, self.source, self.virtual, self.target = fields[:6]
        minutes, seconds = expires.split(":")
        self.expires = int(minutes) * 60 + int(seconds)


class Backend:
    """What both have: a tool with ipvsadm's syntax."""

    name = tool = None
    features = frozenset()

    def __init__(self, lab):
        self.lab = lab

    def run(self, *args, text=None, host=HOST, ok=True):
        """Run the tool on a host; unless `ok` is False it must succeed."""
        done = self.lab.execute(host, self.tool, *args, text=text)
        if ok and done.returncode:
            raise Failed(f"{os.path.basename(self.tool)} {' '.join(args)} [{text or ''}] -> {done.returncode}: "
                         f"{done.stderr.strip()}")
        return done

    def restore(self, *lines, host=HOST):
        """Configure by `-R`, one process for many commands."""
        self.run("-R", text="\n".join(lines) + "\n", host=host)

    def clear(self):
        """Remove all services and put time-outs back."""
        self.run("-C")

    def wipe(self):
        """As clear(), between cases."""
        self.clear()

    def save(self):
        """The whole configuration as text."""
        return self.run("-S", "-n").stdout

    def counters(self, view="--stats"):
        """{(proto, "address:port") of a service: (its Counters, {"address:port": Counters of a destination})}."""
        found, current = {}, None
        for line in self.run("-L", "-n", view, "--exact").stdout.splitlines():
            fields = line.split()
            if len(fields) == 7 and fields[0] in ("TCP", "UDP"):
                current = {}
                found[fields[0], fields[1]] = (Counters(map(int, fields[2:])), current)
            elif len(fields) == 7 and fields[0] == "->" and fields[2].isdigit():
                current[fields[1]] = Counters(map(int, fields[2:]))
        return found

    def destinations(self):
        """{"address:port": (forward, weight, active, inactive)} over all services."""
        found = {}
        for line in self.run("-L", "-n").stdout.splitlines():
            fields = line.split()
            if len(fields) == 6 and fields[0] == "->" and fields[3].isdigit():
                found[fields[1]] = (fields[2], *map(int, fields[3:]))
        return found

    def connections(self):
        """The table of connections."""
        lines = [line.split() for line in self.run("-L", "-n", "-c").stdout.splitlines()[2:]]
        return [Connection(fields) for fields in lines if len(fields) >= 6]

    def sysctl(self, name, value=None, host=HOST):
        """Read or write one of the balancer's sysctls."""
        return self.lab.sysctl(host, f"{self.sysctls}/{name}", value)

    def reload(self, *parameters):
        """A module that was just loaded, with nothing in it."""
        self.unload()
        self.load(*parameters)


class Rlvs(Backend):
    """The project's module and tool."""

    name = "rlvs"
    tool = f"{BUILD}/rlvsadm"
    module = f"{BUILD}/rlvs.ko"
    sysctls = "net/rlvs"
    features = frozenset({"rlvs", "early", "fullnat", "extack", "unload_live", "wildcard", "json"})
    # A kernel whose allocations can be made to fail, by the cache.
    if os.path.exists("/sys/kernel/debug/failslab"):
        features |= {"failslab"}
    # The kernel's own IPVS at hand, to be loaded beside.
    if os.path.exists(f"/lib/modules/{os.uname().release}/kernel/net/netfilter/ipvs"):
        features |= {"beside_ipvs"}
        # Built for this kernel.
        if os.path.exists(f"{BUILD}/stand_in-{os.uname().release}/ip_vs.ko"):
            features |= {"stand_in"}

    def __init__(self, lab):
        super().__init__(lab)
        self.tool, self.module = at_hand(self.tool), at_hand(self.module)

    def load(self, *parameters):
        """insmod."""
        modprobe_insmod("insmod", self.module, *parameters)

    def unload(self):
        """rmmod, with whatever is configured and under way."""
        modprobe_insmod("rmmod", "rlvs")

    def wipe(self):
        """What `rlvsadm -C` sends."""
        genl = Genl(self.lab, HOST, self.name.upper())
        try:
            equal(genl.ask(FLUSH).name(), "0", "answer to a flush")
        finally:
            genl.close()

    def early(self, on):
        """Switch the early path."""
        self.sysctl("early", 1 if on else 0)

    def live(self):
        """How many connections there are."""
        return int(self.sysctl("conns"))

    def totals(self):
        """Counters of all services together, and rates."""
        found = json.loads(self.run("-L", "--totals", "-j").stdout)
        return [Counters([found[name] for name in names]) for names in TOTALS]

    def loaded(self):
        """True while the module is loaded."""
        return os.path.exists("/sys/module/rlvs")


class Ipvs(Backend):
    """The kernel's IPVS; what only rlvs has is skipped."""

    name = "ipvs"
    tool = "/usr/sbin/ipvsadm"
    sysctls = "net/ipv4/vs"
    features = frozenset({"ipvs"})
    modules = [f"ip_vs_{name}" for name in (
        "rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos", "lblc", "lblcr", "pe_sip")]

    def load(self):
        """Load the module and the schedulers that cases use."""
        modprobe_insmod("modprobe", "-a", "ip_vs", *self.modules)

    def unload(self):
        """Remove; IPVS wants its services gone first."""
        self.clear()
        modprobe_insmod("modprobe", "-r", *self.modules, "ip_vs")

    def early(self, on):
        """There is none."""

    def totals(self):
        """Counters of all services together, and rates."""
        with self.lab.inside(HOST), open("/proc/thread-self/net/ip_vs_stats", encoding="ascii") as file:
            lines = file.read().splitlines()
        return [Counters([int(word, 16) for word in lines[number].split()]) for number in (2, 5)]

    def live(self):
        """How many connections there are."""
        with self.lab.inside(HOST), open("/proc/thread-self/net/ip_vs_status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("Conns:")).split()[1])

    def loaded(self):
        """True while the module is loaded."""
        return os.path.exists("/sys/module/ip_vs")


def at_hand(file, place="/run"):
    """A copy in the guest's memory: reading a program from the host at each start takes longer than running it."""
    return shutil.copy(file, place)


def modprobe_insmod(*command):
    """Run a module command; a module in use for a moment longer is tried again for a while."""
    last = None

    def attempt():
        nonlocal last
        last = subprocess.run(command, capture_output=True, text=True)
        return last.returncode == 0 or "in use" not in last.stderr

    poll(attempt)
    if last.returncode:
        raise Failed(f"{' '.join(command)}: {last.stderr.strip()}")
