# SPDX-License-Identifier: GPL-2.0
"""IPVS's own tools, unmodified: each does with rlvs what it does with ip_vs."""

import contextlib
import os
import subprocess

from cases.door_files import TOOL, differences
from cases.doors import of_ipvs
from cases.parity import DONE, REFUSED, RULES, SHOWN, named, shown
from context import join
from lab import ADDRESS
from suite import FAMILIES, case, check, equal, settle, until

# Looked at after each line that changes something, and after some of them.
LOOK = "-Ln --thresholds"
LOOKS = ("-Sn", "-L --timeout")
SOME = 8


def ipvsadm(t, line, text=None):
    """What a command line gives: status, output, error text."""
    done = t.lab.execute("director", TOOL, *line.split(), text=text)
    return done.returncode, shown(done.stdout), done.stderr


def listings(t):
    """Every listing."""
    equal(ipvsadm(t, "-R", "\n".join(RULES) + "\n"), (0, "", ""), "ipvsadm -R")
    try:
        return {line: ipvsadm(t, line) for line in SHOWN + ("-L --daemon",)}
    finally:
        ipvsadm(t, "-C")


def refusals(t):
    """What is refused."""
    equal(ipvsadm(t, "-R", "\n".join(RULES) + "\n"), (0, "", ""), "ipvsadm -R")
    try:
        found = {line: ipvsadm(t, line) for line in REFUSED}
        return found | {look: ipvsadm(t, look) for look in (LOOK, *LOOKS)}
    finally:
        ipvsadm(t, "-C")


def changes(t):
    """What is carried out, and what is there after it."""
    equal(ipvsadm(t, "-R", "\n".join(RULES) + "\n"), (0, "", ""), "ipvsadm -R")
    found = {}
    try:
        for number, line in enumerate(DONE):
            found[f"{number} {line}"] = ipvsadm(t, line)
            looks = (LOOK, *LOOKS) if number % SOME == 0 or line.startswith("--set") else (LOOK,)
            found |= {f"{look} after {number} {line}": ipvsadm(t, look) for look in looks}
        saved = ipvsadm(t, "-S -n")[1]
        ipvsadm(t, "-C")
        found["restored"] = ipvsadm(t, "-R", saved), ipvsadm(t, "-S -n")
    finally:
        ipvsadm(t, "-C")
        ipvsadm(t, "--set 900 120 300")
    return found


@case("doors.ipvsadm.{what}", needs=("beside_ipvs",), what=("listings", "refusals", "changes"))
def ipvsadm_both(t, what):
    """Statuses, outputs and error texts, of both, to the letter."""
    named(t)
    ask = globals()[what]
    differences(of_ipvs(t, ask), ask(t))


@case("doors.ipvsadm.in_turn", needs=("rlvs",))
def in_turn(t):
    """Both tools work on the same table: what one does the other sees, FULLNAT included, as well as it can say it."""
    vip = f"{ADDRESS['vip'][4]}:80"
    equal(ipvsadm(t, f"-A -t {vip} -s wrr"), (0, "", ""), "a service by ipvsadm")
    t.backend.restore(f"-P -t {vip} -z 10.0.3.101", f"-a -t {vip} -r 10.0.3.11:80 --fullnat -w 2", f"-a -t {vip} -r 10.0.3.12:80 -m")
    equal(ipvsadm(t, f"-e -t {vip} -r 10.0.3.11:80 -m -w 5"), (0, "", ""), "a weight by ipvsadm")
    equal(ipvsadm(t, f"-d -t {vip} -r 10.0.3.12"), (0, "", ""), "a server less by ipvsadm")
    equal(t.backend.destinations(), {"10.0.3.11:80": ("FullNat", 5, 0, 0)}, "destinations by rlvsadm")
    equal(ipvsadm(t, "-Sn")[1], f"-A -t {vip} -s wrr\n-a -t {vip} -r 10.0.3.11:80 -m -w 5\n", "rules by ipvsadm")
    done = ipvsadm(t, "--start-daemon master")
    equal((done[0], done[1]), (255, ""), f"a daemon: {done[2]}")
    done = ipvsadm(t, "-A --sctp-service 10.0.2.100:71 -s rr")
    equal((done[0], done[1]), (255, ""), f"SCTP: {done[2]}")
    t.backend.clear()
    equal(ipvsadm(t, "-Sn"), (0, "", ""), "rules by ipvsadm after rlvsadm -C")


CONFIGURATION = """global_defs {{
    router_id test
    lvs_timeouts tcp 800 tcpfin 100 udp 200
}}
virtual_server {vip} {vport} {{
    delay_loop 1
    lvs_sched wrr
    lvs_method {method}
    protocol TCP
    {more}
    real_server {rip1} {rport} {{
        weight 1
        TCP_CHECK {{
            connect_timeout 5
            retry 0
        }}
    }}
    real_server {rip2} {rport} {{
        weight 3
        TCP_CHECK {{
            connect_timeout 5
            retry 0
        }}
    }}
}}
"""


class Keepalived:
    """keepalived's checker on the director."""

    folder = "/run/keepalived-test"

    def __init__(self, t, text):
        os.makedirs(self.folder, exist_ok=True)
        self.file = f"{self.folder}/keepalived.conf"
        self.write(text)
        with t.lab.inside("director"), open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                ["keepalived", "--dont-fork", "--log-console", "--check", "--use-file", self.file, "--pid", f"{self.folder}/pid",
                 "--checkers_pid", f"{self.folder}/checkers"], stdout=log, stderr=log)

    def write(self, text):
        """A configuration."""
        with open(self.file, "w", encoding="ascii") as out:
            out.write(text)

    def stop(self):
        """As its unit does it."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self):
        """At the end of a case that failed."""
        if self.process.poll() is None:
            self.stop()

    def log(self):
        """What it said."""
        with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
            return file.read()


@case("doors.keepalived.{method}.{family}", needs=("rlvs",), method=("nat", "dr"), family=FAMILIES)
def keepalived(t, method, family):
    """A service that keepalived watches: servers that die go and come back, clients are served, and at its end all is gone."""
    vport = t.port()
    rport = t.port() if method == "nat" else vport
    addresses = [ADDRESS[name][family] for name in ("rs1", "rs2")]
    if method == "dr":
        for host in ("rs1", "rs2"):
            t.serve(host, family, "tcp", rport, ADDRESS["vip"][family])
    socks = [t.serve(host, family, "tcp", rport) for host in ("rs1", "rs2")]
    text = CONFIGURATION.format(vip=ADDRESS["vip"][family], vport=vport, method=method.upper(), more="", rip1=addresses[0],
                                rip2=addresses[1], rport=rport)
    daemon = Keepalived(t, text)
    t.defer(daemon.kill)

    def servers():
        return {name: weight for name, (_, weight, *_) in t.backend.destinations().items()}
    both = {join(addresses[0], rport): 1, join(addresses[1], rport): 3}
    with explained(daemon):
        settle(servers, both, "servers that answer")
        equal(t.backend.run("-L", "--timeout").stdout.split()[-3:], ["800", "100", "200"], "time-outs")
        names = {t.client(family, "tcp", vport).ask().name for _ in range(8)}
        equal(names, {"rs1", "rs2"}, "who answers clients")
        t.servers.stop(socks[0])
        settle(servers, {join(addresses[1], rport): 3}, "servers after one died")
        equal({t.client(family, "tcp", vport).ask().name for _ in range(4)}, {"rs2"}, "who answers clients")
        socks[0] = t.serve("rs1", family, "tcp", rport)
        settle(servers, both, "servers after it came back")
        daemon.write(text.replace("weight 3", "weight 7").replace("wrr", "wlc"))
        daemon.process.send_signal(1)
        settle(servers, both | {join(addresses[1], rport): 7}, "servers after a reload")
        until(lambda: "wlc" in t.backend.save(), "the other scheduler")
        equal(daemon.stop(), 0, "how it ended")
        equal(t.backend.save(), "", "what it left behind")
    t.backend.run("--set", "900", "120", "300")


@contextlib.contextmanager
def explained(daemon):
    """Shows what keepalived said when something fails."""
    try:
        yield
    except Exception:
        print("    " + "\n    ".join(daemon.log().splitlines()[-20:]))
        raise


@case("doors.modprobe", needs=("rlvs",))
def modprobe(t):
    """ipvsadm needs no other module: it finds the family, and loads nothing."""
    equal(ipvsadm(t, "-L -n")[0], 0, "status")
    check(not os.path.exists("/sys/module/ip_vs"), "ip_vs was loaded")
