# SPDX-License-Identifier: GPL-2.0
"""The two balancers: rules into them, and what they show."""

import json
import socket
import subprocess
from dataclasses import dataclass

import netlink
from netlink import DUMP, Genl
from network import write_setting
from scenario import join

CONN, LATE, STATS64 = 65, 81, 12
REASONS = ("syn", "unmarked", "interface", "policy", "path", "size", "ttl", "form", "refused", "tracking")
# Of nests that tests/guest/netlink.py has no names for.
DEST_ACTIVE, DEST_INACTIVE, DEST_PERSISTENT = 7, 8, 9
CONN_AF, CONN_PROTO, CONN_CADDR, CONN_CPORT, CONN_VADDR, CONN_VPORT, CONN_DADDR, CONN_DPORT, CONN_DAF = range(1, 10)
CONN_STATE, CONN_EXPIRES = 12, 13
HASHED = 2
METHODS = {0: "Masq", 1: "Local", 2: "Tunnel", 3: "Route"}
PROTOCOLS = {0: "IP", 6: "TCP", 17: "UDP"}
# Seconds beyond which what is left of a time is a small negative number.
PASSED = 1 << 25

# The texts that both tools print, compared when a scenario ends. The order of the connections' table is nobody's business.
TEXTS = (("-L", "-n"), ("-L", "-n", "--stats", "--exact"), ("-L", "-n", "--thresholds"), ("-L", "-n", "--persistent-conn"),
         ("-L", "-n", "-c"), ("-L", "-n", "-c", "--persistent-conn"), ("-S", "-n"), ("-L", "--timeout"))


@dataclass(frozen=True)
class Conn:
    """A row of the table of connections."""

    proto: str
    state: str
    client: str
    service: str
    dest: str
    expires: int

    def __str__(self):
        return f"{self.proto} {self.state} {self.client} > {self.service} > {self.dest} {self.expires} s"

    @property
    def overdue(self):
        """Whether it is on its way out: its time is up."""
        return self.expires <= 0


class Balancer:
    """What both have."""

    # `settings`: where its settings are, below /proc/sys.
    name = tool = family = settings = None

    def __init__(self, director):
        self.director = director
        self.genl = None

    def run(self, *words, text=None):
        """Run the tool; the finished process."""
        with self.director.inside():
            return subprocess.run([self.tool, *words], input=text, capture_output=True, text=True, timeout=60)

    def set(self, name, value):
        """Change a setting."""
        with self.director.inside():
            write_setting(f"{self.settings}/{name}", value)

    def get(self, name):
        """A setting, as it reads by now."""
        with self.director.inside(), open(f"/proc/sys/{self.settings}/{name}", encoding="ascii") as file:
            return file.read().strip()

    def restore(self, lines):
        """Load lines by -R; what the tool said if it refused, or None."""
        done = self.run("-R", text="\n".join(lines) + "\n")
        return done.stderr.strip() or f"status {done.returncode}" if done.returncode else None

    def texts(self):
        """{words: text} of all listings, and of the totals."""
        return {words: self.run(*words).stdout for words in TEXTS} | {("totals",): self.totals()}

    def totals(self):
        """What all services have counted, for which ipvsadm has no listing: five numbers."""
        raise NotImplementedError

    def ask(self, command, payload=b"", flags=DUMP):
        """The messages that answer a request."""
        if self.genl is None:
            self.genl = Genl(self.director, "", self.family)
        return self.genl.ask(command, payload, flags).messages

    def services(self):
        """Services and destinations as lines: rules, thresholds, connections."""
        lines = []
        for message in self.ask(netlink.GET_SERVICE):
            name, line = service_line(netlink.parse(message[netlink.SERVICE]))
            lines.append(line)
            lines += [f"{name} {line}" for line in self.dests(message[netlink.SERVICE])]
        return sorted(lines)

    def dests(self, service):
        """The lines of a service's destinations."""
        family = netlink.parse(service)[netlink.SVC_AF]
        names = {netlink.SVC_AF, netlink.SVC_PROTOCOL, netlink.SVC_ADDR, netlink.SVC_PORT, netlink.SVC_FWMARK}
        asked = [netlink.attr(kind, value) for kind, value in netlink.parse(service).items() if kind in names]
        messages = self.ask(netlink.GET_DEST, netlink.nest(netlink.SERVICE, *asked))
        return [dest_line(netlink.parse(message[netlink.DEST]), family) for message in messages]

    def close(self):
        """Let go."""
        if self.genl:
            self.genl.close()


class Ipvs(Balancer):
    """The kernel's own."""

    name, tool, family = "ipvs", "/usr/sbin/ipvsadm", "IPVS"
    settings = "net/ipv4/vs"

    def conns(self):
        """The table of connections."""
        with self.director.inside(), open("/proc/thread-self/net/ip_vs_conn", encoding="ascii") as file:
            return sorted((proc_conn(line.split()) for line in list(file)[1:]), key=str)

    def totals(self):
        """The third line of the file, in hexadecimal numbers."""
        with self.director.inside(), open("/proc/thread-self/net/ip_vs_stats", encoding="ascii") as file:
            return " ".join(str(int(word, 16)) for word in list(file)[2].split())

    def ways(self):
        """It has but one."""
        return {}


class Rlvs(Balancer):
    """Ours."""

    name, tool, family = "rlvs", "/run/rlvsadm", "RLVS"
    settings = "net/rlvs"

    def conns(self):
        """The table of connections."""
        return sorted((netlink_conn(netlink.parse(message[CONN])) for message in self.ask(netlink.GET_CONN)), key=str)

    def totals(self):
        """The same of the tool."""
        found = json.loads(self.run("-L", "--totals", "-j").stdout)
        return " ".join(str(found[name]) for name in ("conns", "inpkts", "outpkts", "inbytes", "outbytes"))

    def ways(self):
        """{way: packets of known connections}: early, or the reason for the ordinary way."""
        message = self.ask(netlink.GET_INFO, flags=netlink.ACK)[0]
        counts = {kind: number(value) for kind, value in netlink.parse(message[LATE]).items()}
        found = {name: counts.get(kind, 0) for kind, name in enumerate(REASONS, 1)}
        # First packets have no reason.
        late = sum(found.values())
        for service in self.ask(netlink.GET_SERVICE):
            stats = netlink.parse(netlink.parse(service[netlink.SERVICE])[STATS64])
            conns, inside, outside = (number(stats[kind]) for kind in (1, 2, 3))
            late += conns - inside - outside
        return found | {"early": -late}


def number(data):
    """A number in the host's byte order."""
    return int.from_bytes(data, "little")


def address(data, family):
    """An address of 16 bytes as text."""
    return socket.inet_ntop(socket.AF_INET, data[:4]) if family == socket.AF_INET else socket.inet_ntop(socket.AF_INET6, data)


def endpoint(data, port, family):
    """address:port."""
    return join(address(data, family), int.from_bytes(port, "big"))


def service_line(attrs):
    """(name, line) of a service."""
    family = number(attrs[netlink.SVC_AF])
    if netlink.SVC_FWMARK in attrs:
        name = f"FWM{'6' * (family == socket.AF_INET6)} {number(attrs[netlink.SVC_FWMARK])}"
    else:
        proto = PROTOCOLS.get(number(attrs[netlink.SVC_PROTOCOL]), "?")
        name = f"{proto} {endpoint(attrs[netlink.SVC_ADDR], attrs[netlink.SVC_PORT], family)}"
    flags = number(attrs[netlink.SVC_FLAGS][:4]) & ~HASHED
    sched = attrs[netlink.SVC_SCHED].rstrip(b"\0").decode()
    return name, (f"{name} {sched} flags {flags:#x} timeout {number(attrs[netlink.SVC_TIMEOUT])} "
                  f"mask {attrs[netlink.SVC_NETMASK].hex()}")


def dest_line(attrs, service_family):
    """The line of a destination."""
    family = number(attrs.get(netlink.DEST_AF, b"")) or number(service_family)
    names = (netlink.DEST_WEIGHT, netlink.DEST_UPPER, netlink.DEST_LOWER, DEST_ACTIVE, DEST_INACTIVE, DEST_PERSISTENT)
    weight, upper, lower, active, inactive, persistent = (number(attrs.get(name, b"")) for name in names)
    method = METHODS.get(number(attrs[netlink.DEST_METHOD]) & 7, "?")
    return (f"-> {endpoint(attrs[netlink.DEST_ADDR], attrs[netlink.DEST_PORT], family)} {method} weight {weight} "
            f"thresholds {upper} {lower} active {active} inactive {inactive} persistent {persistent}")


def netlink_conn(attrs):
    """The row of a message of ours."""
    family = number(attrs[CONN_AF])
    return Conn(PROTOCOLS.get(number(attrs[CONN_PROTO]), "?"), attrs[CONN_STATE].rstrip(b"\0").decode(),
                endpoint(attrs[CONN_CADDR], attrs[CONN_CPORT], family),
                endpoint(attrs[CONN_VADDR], attrs[CONN_VPORT], family),
                endpoint(attrs[CONN_DADDR], attrs[CONN_DPORT], number(attrs.get(CONN_DAF, b"")) or family),
                number(attrs[CONN_EXPIRES]))


def proc_conn(words):
    """The row of a line of /proc/net/ip_vs_conn."""
    proto, *ends, state, expires = words[:9]
    points = [join(proc_address(host), int(port, 16)) for host, port in zip(ends[::2], ends[1::2])]
    left = int(expires)
    return Conn(proto, state, *points, 0 if left >= PASSED else left)


def proc_address(text):
    """An address as /proc/net/ip_vs_conn has it: IPv4 in eight hexadecimal digits."""
    if ":" in text:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text.strip("[]")))
    return socket.inet_ntop(socket.AF_INET, bytes.fromhex(text))
