# SPDX-License-Identifier: GPL-2.0
"""The netlink family IPVS: each request gets of rlvs what it gets of ip_vs, to the byte; and who has the name."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import netlink as nl
from backend import BUILD, Ipvs, modprobe_insmod
from cases.bad_netlink import BOTH, drop_net_admin
from kmsg import Log
from suite import case, check, equal
from wire import binary

VIP, VIP6, RIP, RIP6 = "10.0.2.100", "fd00:2::100", "10.0.3.11", "fd00:3::11"
# As libnl, moby and pyroute2 have them.
PERSISTENT, ONE_PACKET = 1, 4
CREATE, EXCL = 0x400, 0x200
STATS, STATS64, DEST_STATS64 = 10, 12, 12
GET_CONFIG, SET_CONFIG, GET_DAEMON, DEL_DAEMON = 13, 12, 11, 10
INFO_SIZE = 2


def four(text):
    """An IPv4 address in four bytes, as moby and pyroute2 send it."""
    return binary(text)


def flags(number, mask=0xFFFFFFFF):
    """A service's flags."""
    return nl.u32(number) + nl.u32(mask)


def mark(number, six=False, full=True, **replaced):
    """The nest of a service by firewall mark."""
    parts = {nl.SVC_AF: nl.u16(socket.AF_INET6 if six else socket.AF_INET), nl.SVC_FWMARK: nl.u32(number)}
    if full:
        parts |= {nl.SVC_SCHED: b"wlc\0", nl.SVC_FLAGS: flags(0), nl.SVC_TIMEOUT: nl.u32(0),
                  nl.SVC_NETMASK: nl.u32(128 if six else 0xFFFFFFFF)}
    return nl.nest(nl.SERVICE, *nl.combine(parts, replaced))


def bare(nest):
    """A nest whose type does not say that it is one: moby and pyroute2."""
    return nest[:3] + bytes([nest[3] & 0x7F]) + nest[4:]


def reversed_attributes(nest):
    """The same nest with its attributes the other way round."""
    found = [nl.attr(kind, payload) for kind, payload in nl.parse(nest[4:]).items()]
    return nl.nest(nest[2], *reversed(found))


WEB, WEB6, DNS = (nl.service(*key, full=False) for key in ((VIP, 80), (VIP6, 80), (VIP, 53, socket.IPPROTO_UDP)))
# A name, the command, what it carries, and flags of the message if not ACK.
REQUESTS = (
    ("info", nl.GET_INFO, b""),
    ("no services", nl.GET_SERVICE, b"", nl.DUMP),
    ("no services, an empty one asked for", nl.GET_SERVICE, nl.nest(nl.SERVICE), nl.DUMP),
    ("no service, no destinations", nl.GET_DEST, WEB, nl.DUMP),
    ("destinations of nothing", nl.GET_DEST, b"", nl.DUMP),
    ("destinations of an empty service", nl.GET_DEST, nl.nest(nl.SERVICE), nl.DUMP),
    ("a service", nl.NEW_SERVICE, nl.service(VIP, 80)),
    ("a service again", nl.NEW_SERVICE, nl.service(VIP, 80)),
    ("a service with flags", nl.NEW_SERVICE, nl.service(VIP, 81), nl.ACK | CREATE | EXCL),
    ("a service again with flags", nl.NEW_SERVICE, nl.service(VIP, 81), nl.ACK | CREATE | EXCL),
    ("a service without nests", nl.NEW_SERVICE, bare(nl.service(VIP, 82, sched=b"wlc\0"))),
    ("a service by four bytes", nl.NEW_SERVICE, bare(nl.service(VIP, 83, _3=four(VIP), _7=flags(0, 0xFFFF)))),
    ("a service backwards", nl.NEW_SERVICE, reversed_attributes(nl.service(VIP, 84, sched=b"sh\0"))),
    ("a persistent service", nl.NEW_SERVICE, nl.service(VIP, 85, _7=flags(PERSISTENT), _8=nl.u32(360), _9=b"\xff\xff\xff\0")),
    ("a datagram service", nl.NEW_SERVICE, nl.service(VIP, 53, socket.IPPROTO_UDP, _7=flags(ONE_PACKET))),
    ("a service of IPv6", nl.NEW_SERVICE, nl.service(VIP6, 80, _9=nl.u32(64), _7=flags(PERSISTENT), _8=nl.u32(10))),
    ("a service by mark", nl.NEW_SERVICE, mark(7)),
    ("a service by mark for IPv6", nl.NEW_SERVICE, mark(7, True)),
    ("one", nl.GET_SERVICE, WEB),
    ("one, full", nl.GET_SERVICE, nl.service(VIP, 80)),
    ("one persistent", nl.GET_SERVICE, nl.service(VIP, 85, full=False)),
    ("one of IPv6", nl.GET_SERVICE, WEB6),
    ("one of datagrams", nl.GET_SERVICE, DNS),
    ("one by mark", nl.GET_SERVICE, mark(7, full=False)),
    ("one by mark for IPv6", nl.GET_SERVICE, mark(7, True, full=False)),
    ("one that is not there", nl.GET_SERVICE, nl.service(VIP, 99, full=False)),
    ("one without a name", nl.GET_SERVICE, b""),
    ("a mark that is not there", nl.GET_SERVICE, mark(8, full=False)),
    ("services", nl.GET_SERVICE, b"", nl.DUMP),
    ("services, an empty one asked for", nl.GET_SERVICE, bare(nl.nest(nl.SERVICE)), nl.DUMP),
    ("a destination", nl.NEW_DEST, WEB + nl.dest(RIP, 8080)),
    ("a destination again", nl.NEW_DEST, WEB + nl.dest(RIP, 8080)),
    ("a destination of a full service", nl.NEW_DEST, nl.service(VIP, 80) + nl.dest("10.0.3.12", 80, 3, 0)),
    ("a destination of a nameless scheduler", nl.NEW_DEST,
     bare(nl.service(VIP, 80, full=False, _6=b"\0")) + bare(nl.dest("10.0.3.13", 80, 2, _11=None))),
    ("a destination by four bytes", nl.NEW_DEST, bare(nl.service(VIP, 81, full=False, _3=four(VIP))) +
     bare(nl.dest(RIP, 80, _1=four(RIP), _11=None)), nl.ACK | CREATE | EXCL),
    ("a destination with thresholds", nl.NEW_DEST, WEB + nl.dest("10.0.3.14", 80, 0, 65535, _5=nl.u32(20), _6=nl.u32(10))),
    ("a destination with a tunnel", nl.NEW_DEST,
     WEB + nl.dest("10.0.3.15", 80, 2, _13=b"\0", _14=nl.be16(0), _15=nl.u16(0))),
    ("a destination of the other family", nl.NEW_DEST, WEB + nl.dest(RIP6, 80, 2)),
    ("a destination backwards", nl.NEW_DEST, reversed_attributes(nl.dest(RIP6, 80)) + reversed_attributes(WEB6)),
    ("a destination by mark", nl.NEW_DEST, mark(7, full=False) + nl.dest(RIP, 0, 3)),
    ("a destination of family 0", nl.NEW_DEST, DNS + nl.dest(RIP, 53, 3, _11=nl.u16(0))),
    ("a destination of nobody", nl.NEW_DEST, nl.service(VIP, 99, full=False) + nl.dest(RIP, 80)),
    ("destinations", nl.GET_DEST, WEB, nl.DUMP),
    ("destinations of a full service", nl.GET_DEST, bare(nl.service(VIP, 80)), nl.DUMP),
    ("destinations of IPv6", nl.GET_DEST, WEB6, nl.DUMP),
    ("destinations by mark", nl.GET_DEST, mark(7, full=False), nl.DUMP),
    ("a heavier destination", nl.SET_DEST, WEB + nl.dest(RIP, 8080, weight=9)),
    ("a destination that is not there", nl.SET_DEST, WEB + nl.dest("10.0.3.19", 80)),
    ("no such destination to take away", nl.DEL_DEST, WEB + nl.dest("10.0.3.19", 80, full=False)),
    ("a destination less", nl.DEL_DEST, WEB + nl.dest("10.0.3.12", 80, full=False)),
    ("another, by a full one", nl.DEL_DEST, bare(nl.service(VIP, 80)) + bare(nl.dest("10.0.3.14", 80))),
    ("destinations that are left", nl.GET_DEST, WEB, nl.DUMP),
    ("another scheduler", nl.SET_SERVICE, nl.service(VIP, 81, sched=b"wrr\0")),
    ("a service that is not there", nl.SET_SERVICE, nl.service(VIP, 99)),
    ("persistence for one", nl.SET_SERVICE, nl.service(VIP, 81, _7=flags(PERSISTENT, PERSISTENT), _8=nl.u32(60))),
    ("it is", nl.GET_SERVICE, nl.service(VIP, 81, full=False)),
    ("counters of one", nl.ZERO, WEB),
    ("counters of all", nl.ZERO, b""),
    ("counters of nobody", nl.ZERO, nl.service(VIP, 99, full=False)),
    ("time-outs", GET_CONFIG, b""),
    ("other time-outs", SET_CONFIG, nl.attr(4, nl.u32(800)) + nl.attr(6, nl.u32(200))),
    ("no time-outs", SET_CONFIG, b""),
    ("time-outs now", GET_CONFIG, b""),
    ("the first time-outs", SET_CONFIG, nl.attr(4, nl.u32(900)) + nl.attr(5, nl.u32(0)) + nl.attr(6, nl.u32(300))),
    ("daemons", GET_DAEMON, b"", nl.DUMP),
    ("destinations without a dump", nl.GET_DEST, WEB),
    ("a dump of what is none", nl.NEW_SERVICE, nl.service(VIP, 98), nl.DUMP),
    ("command 0", 0, b""),
    ("command 14", 14, b""),
    ("command 18", 18, b""),
    ("command 64", 64, WEB),
    ("a service less", nl.DEL_SERVICE, WEB),
    ("no such service less", nl.DEL_SERVICE, WEB),
    ("services that are left", nl.GET_SERVICE, b"", nl.DUMP),
    ("all gone", nl.FLUSH, b""),
    ("none left", nl.GET_SERVICE, b"", nl.DUMP),
    ("a service for bad requests", nl.NEW_SERVICE, nl.service(VIP, 80)),
    ("a destination for bad requests", nl.NEW_DEST, WEB + nl.dest(RIP, 8080)),
) + tuple((f"bad: {name}", *BOTH[name]) for name in sorted(BOTH)
          # That it is GUE at all is said first.
          if name != "dest_gue_without_port")


def answers(t):
    """What each request gets: the error's name, and the messages; those of a dump of services in the order of their bytes."""
    genl = nl.Genl(t.lab, "director", "IPVS")
    found = {}
    try:
        for name, command, payload, *flag in REQUESTS:
            reply = genl.ask(command, payload, *flag)
            messages = [part for part in reply.raw if part[0] != 14]
            if command == nl.GET_SERVICE:
                messages.sort()
            found[name] = (reply.name(), messages)
            check(not reply.interrupted, f"{name}: the dump says that it was interrupted")
            if command == nl.GET_INFO:
                found[name] += tuple(sorted(reply.messages[0]))
    finally:
        genl.ask(nl.FLUSH)
        genl.close()
    return found


def of_ipvs(t, ask):
    """What `ask` finds with the kernel's own IPVS, and rlvs loaded again after it."""
    ipvs = Ipvs(t.lab)
    t.backend.unload()
    try:
        ipvs.load()
        try:
            return ask(t)
        finally:
            ipvs.unload()
    finally:
        t.backend.load()


@case("doors.netlink.answers", needs=("beside_ipvs",))
def netlink_answers(t):
    """Every request, and what it gets, of both."""
    want, got = of_ipvs(t, answers), answers(t)
    equal({name: got[name] for name in got if got[name] != want[name]},
          {name: want[name] for name in got if got[name] != want[name]}, "answers that differ")


# What is not built: refused with a number and a text, never taken.
NOT_BUILT = {
    "daemon": (nl.NEW_DAEMON, nl.nest(nl.DAEMON, nl.attr(1, nl.u32(1)), nl.attr(2, b"eth0\0"), nl.attr(3, nl.u32(0)))),
    "no daemon": (DEL_DAEMON, nl.nest(nl.DAEMON, nl.attr(1, nl.u32(1)))),
    "gue": (nl.NEW_DEST, WEB + nl.dest(RIP, 80, 2, _13=b"\1", _14=nl.be16(6080))),
    "gre": (nl.NEW_DEST, WEB + nl.dest(RIP, 80, 2, _13=b"\2")),
    "another protocol": (nl.NEW_SERVICE, nl.service(VIP, 80, 47)),
}


@case("doors.netlink.alone", needs=("rlvs",))
def netlink_alone(t):
    """What is not built is refused by name; all texts are there; nobody waits for an answer."""
    genl = nl.Genl(t.lab, "director", "IPVS")
    t.defer(genl.close)
    equal(genl.ask(nl.NEW_SERVICE, nl.service(VIP, 80)).name(), "0", "a service")
    for name, (command, payload) in NOT_BUILT.items():
        reply = genl.ask(command, payload)
        equal(os.strerror(reply.error), "Operation not supported", name)
        check("supported" in reply.text, f"{name}: the text is {reply.text!r}")
    reply = genl.ask(nl.NEW_SERVICE, nl.service(VIP, 80))
    equal((reply.name(), reply.text), ("EEXIST", "the service exists"), "a service that is there")
    reply = genl.ask(GET_DAEMON, flags=nl.DUMP)
    equal((reply.name(), reply.messages), ("0", []), "daemons")
    equal(genl.ask(0, b"", family=0).name(), "0", "answer to a message of type 0, which keepalived sends")
    # The size is that of tables, which the service has made.
    check(int.from_bytes(genl.ask(nl.GET_INFO).messages[0][INFO_SIZE], "little") >= 256, "no table")


@case("doors.netlink.fullnat", needs=("rlvs",))
def fullnat(t):
    """FULLNAT is NAT to who knows nothing else: so it is listed, and what is changed about it leaves it what it is."""
    t.backend.restore(f"-A -t {VIP}:80 -s rr", f"-P -t {VIP}:80 -z 10.0.3.101", f"-a -t {VIP}:80 -r {RIP}:80 --fullnat")
    genl = nl.Genl(t.lab, "director", "IPVS")
    t.defer(genl.close)

    def listed():
        found = nl.parse(genl.ask(nl.GET_DEST, WEB, nl.DUMP).messages[0][nl.DEST])
        return [int.from_bytes(found[kind], "little") for kind in (nl.DEST_METHOD, nl.DEST_WEIGHT)]
    equal(listed(), [0, 1], "method and weight")
    equal(genl.ask(nl.SET_DEST, WEB + nl.dest(RIP, 80, weight=0)).name(), "0", "a change of the weight")
    equal(listed(), [0, 0], "method and weight")
    equal(t.backend.destinations()[f"{RIP}:80"][:2], ("FullNat", 0), "method and weight by rlvsadm")
    equal(genl.ask(nl.SET_DEST, WEB + nl.dest(RIP, 80, 3)).name(), "0", "a change of the method")
    equal(t.backend.destinations()[f"{RIP}:80"][:2], ("Route", 1), "method and weight by rlvsadm")


@case("doors.netlink.long", needs=("rlvs",))
def long_dumps(t):
    """Dumps of more than a buffer holds, while the table changes: what stays is in them once, and nobody has to ask again."""
    lines = [f"-A -t {VIP}:{1000 + n} -s rr" for n in range(200)]
    lines += [f"-a -t {VIP}:1000 -r 10.3.0.{n}:80 -m" for n in range(1, 201)]
    t.backend.restore(*lines)
    genl = nl.Genl(t.lab, "director", "IPVS")
    t.defer(genl.close)
    changes = [f"-d -t {VIP}:1000 -r 10.3.0.{n}:80" for n in (1, 100, 200)] + [f"-a -t {VIP}:1000 -r 10.3.1.1:80 -m"]
    changes += [f"-D -t {VIP}:{1000 + n}" for n in (1, 100, 199)] + [f"-A -t {VIP}:900 -s rr"]
    reply = genl.ask(nl.GET_DEST, nl.service(VIP, 1000, full=False), nl.DUMP, between=lambda: t.backend.restore(*changes[:4]))
    dests = [nl.parse(message[nl.DEST])[nl.DEST_ADDR][:4] for message in reply.messages]
    whole(reply, dests, {bytes((10, 3, 0, n)) for n in range(1, 201)} - {bytes((10, 3, 0, n)) for n in (1, 100, 200)})
    reply = genl.ask(nl.GET_SERVICE, b"", nl.DUMP, between=lambda: t.backend.restore(*changes[4:]))
    ports = [nl.parse(message[nl.SERVICE])[nl.SVC_PORT] for message in reply.messages]
    whole(reply, ports, {nl.be16(1000 + n) for n in range(200)} - {nl.be16(1000 + n) for n in (1, 100, 199)})


def whole(reply, found, wanted):
    """Fail unless a dump ended well, with each of `wanted` in it, and nothing twice."""
    equal((reply.name(), reply.interrupted), ("0", False), "how the dump ended")
    equal(len(found), len(set(found)), "things that are in it once")
    equal(wanted - set(found), set(), "what it lacks")


@case("doors.netlink.capability", needs=("rlvs",))
def capability(t):
    """IPVS's family is for who rules the machine, and for nobody else."""
    errors = set()

    def attempt():
        drop_net_admin()
        genl = nl.Genl(t.lab, "director", "IPVS")
        errors.update(genl.ask(command, WEB, flag).name() for command, flag in (
            (nl.NEW_SERVICE, nl.ACK), (nl.GET_INFO, nl.ACK), (nl.FLUSH, nl.ACK), (nl.GET_SERVICE, nl.DUMP), (nl.GET_DEST, nl.DUMP)))
        genl.close()
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    equal(errors, {"EPERM"}, "errors")
    # The owner of a user namespace rules his network by the family RLVS alone.
    script = ("import sys; sys.path.insert(0, '/src/tests/guest'); import socket, netlink as nl\n"
              "class Here:\n    def socket(self, _host, *args): return socket.socket(*args)\n"
              "for name in ('IPVS', 'RLVS'): print(nl.Genl(Here(), '', name).ask(nl.GET_INFO).name())\n")
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "python3", "-c", script],
                          capture_output=True, text=True)
    equal(done.stdout.split(), ["EPERM", "0"], f"of the families IPVS and RLVS in a user namespace {done.stderr}")


# --- who has the names ---------------------------------------------------------


def families():
    """Which of both families the kernel has. Asking for one by its name would load its module."""
    genl = nl.Genl(Here, "", "nlctrl")
    reply = genl.ask(nl.CTRL_GETFAMILY, flags=nl.DUMP)
    genl.close()
    names = {message[nl.CTRL_NAME].rstrip(b"\0").decode() for message in reply.messages}
    return sorted(names & {"IPVS", "RLVS"})


class Here:
    """Where a socket of this process lives."""

    @staticmethod
    def socket(_host, *args):
        """One of its own."""
        return socket.socket(*args)


IP_VS = f"/lib/modules/{os.uname().release}/kernel/net/netfilter/ipvs/ip_vs.ko"


@case("doors.ipvs_later", needs=("beside_ipvs",))
def ipvs_later(t):
    """The kernel's own ip_vs is turned away while rlvs has its names, twice, and nothing of rlvs is gone after it."""
    t.backend.restore(f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r {RIP}:80 -m")
    saved = t.backend.save()
    file = next(path for path in (IP_VS, IP_VS + ".xz", IP_VS + ".zst") if os.path.exists(path))
    log = Log()
    t.defer(log.close)
    # The first loads what ip_vs is built on.
    for command in (("modprobe", "ip_vs"), ("insmod", file)) * 2:
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode and "busy" in done.stderr, f"{command}: {done.returncode}, {done.stderr!r}")
        check(not os.path.exists("/sys/module/ip_vs"), "it is there")
        equal(families(), ["IPVS", "RLVS"], "families")
        equal(t.backend.save(), saved, "configuration")
        equal(len([line for line in log.lines() if "rlvs" in line and "ip_vs" in line]), 1, "lines of the log")


@case("doors.ipvs_first", needs=("beside_ipvs",))
def ipvs_first(t):
    """Beside ip_vs rlvs keeps to its own names, and so with doors=0; unloading one leaves the other what it has."""
    log = Log()
    t.defer(log.close)
    ipvs = t.beside_ipvs()
    equal(len([line for line in log.lines() if "rlvs" in line and "ip_vs" in line]), 1, "lines of the log")
    ipvs.restore(f"-A -t {VIP}:81 -s rr")
    t.backend.restore(f"-A -t {VIP}:80 -s rr")
    saved = ipvs.save()
    check(":81" in saved and ":80" in t.backend.save(), "one sees the other's")
    t.backend.unload()
    equal((ipvs.save(), families()), (saved, ["IPVS"]), "what IPVS has after rlvs has gone")
    t.backend.load()
    t.backend.restore(f"-A -t {VIP}:80 -s rr")
    ipvs.unload()
    check(":80" in t.backend.save(), "what rlvs has after IPVS has gone")
    equal(families(), ["RLVS"], "families")
    t.backend.reload("doors=0")
    equal(families(), ["RLVS"], "families with doors=0")
    ipvs.load()
    equal(families(), ["IPVS", "RLVS"], "families with IPVS after it")
    done = subprocess.run(["insmod", t.backend.module, "doors=2"], capture_output=True, text=True)
    check(done.returncode, "doors=2 was taken")


@case("doors.stand_in", needs=("stand_in",))
def stand_in(t):
    """Modules by IPVS's names load, are seen, take its parameters, and keep nobody from anything; rlvs serves."""
    folder = f"{BUILD}/stand_in"
    parts = [("ip_vs", "conn_tab_bits=20"), ("ip_vs_rr",), ("ip_vs_wrr",), ("ip_vs_sh",), ("ip_vs_ftp", "ports=21,2121"), ("ip_vs_pe_sip",)]
    for name, *parameters in parts:
        modprobe_insmod("insmod", f"{folder}/{name}.ko", *parameters)
        t.defer(lambda name=name: subprocess.run(["rmmod", name], capture_output=True))
    with open("/proc/modules", encoding="ascii") as file:
        loaded = {line.split()[0] for line in file}
    equal({name for name, *_ in parts} - loaded, set(), "modules that lsmod does not show")
    equal(sorted(os.listdir("/sys/module/ip_vs/parameters")), ["conn_tab_bits"], "parameters")
    equal(families(), ["IPVS", "RLVS"], "families")
    t.backend.reload()
    equal(families(), ["IPVS", "RLVS"], "families of rlvs that was loaded after it")
    check(not t.lab.execute("director", "/usr/sbin/ipvsadm", "-L", "-n").returncode, "ipvsadm does not find rlvs")
    for name, *_ in reversed(parts):
        modprobe_insmod("rmmod", name)
    equal(families(), ["IPVS", "RLVS"], "families after it has gone")


def lsmod():
    """The names that lsmod shows."""
    with open("/proc/modules", encoding="ascii") as file:
        return {line.split()[0] for line in file}


def installed(t, tree):
    """Lay the modules where `make install STAND_IN=1` lays them, until the case ends, beside ip_vs and what it needs: depmod over all
    of them takes an emulated processor minutes.
    """
    needed = [line.split()[1] for line in modprobe("--show-depends", "ip_vs")[1].splitlines() if line.startswith("insmod")]
    with tempfile.TemporaryDirectory() as few:
        for path in (*needed, *glob.glob(f"{tree}/modules.builtin*"), f"{tree}/modules.order"):
            os.makedirs(os.path.dirname(few + path), exist_ok=True)
            shutil.copy(path, few + path)
        subprocess.run(["mount", "-t", "tmpfs", "few", tree], check=True)
        t.defer(subprocess.run, ["umount", tree], check=True)
        shutil.copytree(few + tree, tree, dirs_exist_ok=True)
    os.makedirs(f"{tree}/updates/rlvs-stand-in")
    shutil.copy(t.backend.module, f"{tree}/updates")
    for part in glob.glob(f"{BUILD}/stand_in/*.ko"):
        shutil.copy(part, f"{tree}/updates/rlvs-stand-in")
    subprocess.run(["depmod"], check=True)


def modprobe(*words):
    """Its status, output and error text."""
    done = subprocess.run(["modprobe", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@case("doors.installed", needs=("stand_in",))
def by_modprobe(t):
    """Installed, modprobe gets by IPVS's names what scripts want of them, and rlvs serves; without the stand-in it gets a refusal."""
    tree, options = f"/lib/modules/{os.uname().release}", "/etc/modprobe.d/ipvs.conf"
    installed(t, tree)
    with open(options, "w", encoding="ascii") as file:
        file.write("options ip_vs conn_tab_bits=20\n")
    t.defer(os.unlink, options)
    t.backend.unload()
    t.defer(lambda: t.backend.loaded() or t.backend.load())
    t.defer(modprobe, "-r", "ip_vs_rr", "ip_vs_sh", "ip_vs")
    # The family's alias is what loads it for ipvsadm.
    equal(t.lab.execute("director", "/usr/sbin/ipvsadm", "-L", "-n").returncode, 0, "ipvsadm -L -n, nothing loaded")
    equal({"rlvs", "ip_vs"} - lsmod(), set(), "modules that ipvsadm did not load")
    with open("/sys/module/ip_vs/parameters/conn_tab_bits", encoding="ascii") as file:
        equal(file.read().strip(), "20", "conn_tab_bits")
    equal(modprobe("-a", "ip_vs", "ip_vs_rr", "ip_vs_sh"), (0, "", ""), "modprobe -a")
    equal({"ip_vs_rr", "ip_vs_sh"} - lsmod(), set(), "modules that modprobe did not load")
    t.backend.restore(f"-A -t {VIP}:80 -s rr")
    equal(modprobe("-r", "ip_vs_rr", "ip_vs_sh", "ip_vs"), (0, "", ""), "modprobe -r")
    equal({"ip_vs", "ip_vs_rr", "ip_vs_sh"} & lsmod(), set(), "modules that modprobe -r left")
    check(f"{VIP}:80" in t.backend.save(), "what rlvs had went with them")
    shutil.rmtree(f"{tree}/updates/rlvs-stand-in")
    subprocess.run(["depmod"], check=True)
    status, _, text = modprobe("ip_vs")
    check(status and "busy" in text.lower(), f"modprobe ip_vs without the stand-in: {status} {text!r}")
    check("ip_vs" not in lsmod() and f"{VIP}:80" in t.backend.save(), "ip_vs is there, or what rlvs had is gone")
