# SPDX-License-Identifier: GPL-2.0
"""IPVS's files, settings and socket options: what they say of rlvs is what they say of ip_vs, to the blank."""

import contextlib
import ctypes
import errno
import os
import re
import socket
import struct
import subprocess

import netlink as nl
import wire
from capture import Injector
from cases.doors import of_ipvs
from cases.sip import message
from faulty import Faults
from lab import ADDRESS, MAC, phantom_client, phantom_server
from netlink import Genl
from suite import case, check, equal, settle, until

TOOL = "/usr/sbin/ipvsadm"
NAMES = ("ip_vs", "ip_vs_app", "ip_vs_conn", "ip_vs_conn_sync", "ip_vs_stats", "ip_vs_stats_percpu", "ip_vs_status")
VIP, VIP6 = ADDRESS["vip"][4], ADDRESS["vip"][6]
DEAD, DEAD6 = phantom_server(4), phantom_server(6)
RULES = (
    f"-A -t {VIP}:80 -s wlc", f"-a -t {VIP}:80 -r {DEAD}:8080 -m -w 3", f"-a -t {VIP}:80 -r {phantom_server(4, 2)}:80 -g -w 0",
    f"-a -t {VIP}:80 -r {phantom_server(4, 3)}:80 -i -w 65535", f"-A -u {VIP}:53 -s rr -o", f"-a -u {VIP}:53 -r {DEAD}:53 -m",
    f"-A -u {VIP}:500 -s sh", f"-a -u {VIP}:500 -r {DEAD}:500 -g", f"-A -t {VIP}:443 -s rr -p 100 -M 255.255.255.0",
    f"-a -t {VIP}:443 -r {DEAD}:443 -m", f"-A -t [{VIP6}]:80 -s wrr", f"-a -t [{VIP6}]:80 -r [{DEAD6}]:8080 -m",
    f"-A -u [{VIP6}]:53 -s rr -o -p 10 -M 64", f"-a -u [{VIP6}]:53 -r [{DEAD6}]:53 -g", f"-A -u [{VIP6}]:500 -s rr",
    f"-a -u [{VIP6}]:500 -r {DEAD} -i", "-A -f 7 -s fo", f"-a -f 7 -r {DEAD}:0 -g", "-A -f 8 -6 -s lc -o", "-A -f 2147483647 -s rr -p",
)


def read(t, path, host="director"):
    """A file as a host sees it."""
    with t.lab.inside(host), open(path, encoding="ascii") as file:
        return file.read()


def proc(t, name, host="director"):
    """A file of /proc/net."""
    return read(t, f"/proc/thread-self/net/{name}", host)


def packets():
    """What begins connections whose servers never answer."""
    found = []
    for number in range(1, 6):
        for family, vip in ((4, VIP), (6, VIP6)):
            client = phantom_client(family, number)
            found.append(wire.tcp(client, 4000, vip, 80, wire.SYN))
            found.append(wire.udp(client, 4001, vip, 500, b"question"))
    return found + [wire.tcp(phantom_client(4, 9), 4000, VIP, 443, wire.SYN)]


def configured(t):
    """Rules and connections, the same each time."""
    done = t.lab.execute("director", TOOL, "-R", text="\n".join(RULES) + "\n")
    equal((done.returncode, done.stderr), (0, ""), "ipvsadm -R")
    injector = Injector(t.lab, "client", "eth0", MAC["router", "client"])
    injector.send(*packets())
    injector.close()
    wanted = len(packets()) + 1
    until(lambda: len(proc(t, "ip_vs_conn").splitlines()) >= 1 + wanted, "all connections and the template")


def blocks(text):
    """The lines of services, each with its destinations, in an order of their own, below the two lines of the head."""
    head, found = [], []
    for line in text.splitlines(keepends=True):
        if line.startswith(("TCP", "UDP", "FWM")):
            found.append(line)
        elif found:
            found[-1] += line
        else:
            head.append(line)
    return head + sorted(found)


def rows(text):
    """The lines of connections; how long each lasts is its width alone."""
    return sorted(re.sub(r"\d+(?= sip |$)", lambda number: "9" * len(number[0]), line) for line in text.splitlines())


def table(text):
    """Totals as they are, those of processors summed up, and of rates, which pass, how wide their line is."""
    lines = text.splitlines()
    each = [line for line in lines if re.match(r"[ 0-9A-F]{3} ( *[0-9A-F]+){5}$", line)][:-1] if text.startswith("       ") else []
    summed = [sum(int(line[4:].split()[column], 16) for line in each) for column in range(5)]
    return len(each), {len(line) for line in each}, summed, [line for line in lines[:-1] if line not in each], len(lines[-1])


def shape(text):
    """The lines of a status without their numbers; how full buckets are is each one's own affair."""
    lines = [re.sub(r"-?\d+", "N", line) for line in text.splitlines()]
    return [line for line in lines if " empty:" not in line and " lenN:" not in line]


def files(t):
    """What all files say of the same rules and connections, and who may read them."""
    before = {name: proc(t, name) for name in NAMES}
    configured(t)
    try:
        said = {name: proc(t, name) for name in NAMES}
        with t.lab.inside("director"):
            modes = {name: oct(os.stat(f"/proc/thread-self/net/{name}").st_mode) for name in NAMES}
        counted = re.search(r"^Conns:\t(\d+)$", said["ip_vs_status"], re.M)[1], re.search(
            r"^Services:\t(\d+)$", said["ip_vs_status"], re.M)[1]
    finally:
        t.lab.execute("director", TOOL, "-C")
    return {
        "modes": modes, "counted": counted, "status": shape(said["ip_vs_status"]), "status before": shape(before["ip_vs_status"]),
        "services": blocks(re.sub(r"size=\d+", "size=N", said["ip_vs"])), "services before": before["ip_vs"],
        "connections": rows(said["ip_vs_conn"]), "connections before": before["ip_vs_conn"],
        "origins": rows(said["ip_vs_conn_sync"]), "origins before": before["ip_vs_conn_sync"],
        "helpers": said["ip_vs_app"], "listed": listed(t, "ip_vs"), "totals before": before["ip_vs_stats"],
        "processors before": before["ip_vs_stats_percpu"],
    }


def listed(t, what):
    """The names in /proc/net that begin so."""
    with t.lab.inside("director"):
        return sorted(name for name in os.listdir("/proc/thread-self/net") if name.startswith(what))


def differences(want, got):
    """What differs of two sets of answers."""
    names = [name for name in want if want[name] != got.get(name)]
    equal({name: got.get(name) for name in names}, {name: want[name] for name in names}, "what differs")


@case("doors.proc.files", needs=("beside_ipvs",))
def proc_files(t):
    """All files, of both."""
    differences(of_ipvs(t, files), files(t))


def counted(t):
    """Both files of totals after connections, after some services have gone, and after zeroing."""
    configured(t)
    found = {}
    wanted = f"{len(packets()):8X} {len(packets()):8X}"
    # IPVS sums up every two seconds.
    for name, command in (("connections", None), ("services gone", f"-D -t [{VIP6}]:80"), ("all gone", "-C"), ("zeroed", "-Z")):
        if command:
            t.lab.execute("director", TOOL, *command.split())
        until(lambda name=name: (wanted in proc(t, "ip_vs_stats")) == (name != "zeroed"), f"totals: {name}")
        for file in ("ip_vs_stats", "ip_vs_stats_percpu"):
            found[f"{file}: {name}"] = table(proc(t, file))
    return found


@case("doors.proc.totals", needs=("beside_ipvs",), fresh=True)
def proc_totals(t):
    """What was counted in all and by each processor, which zeroing leaves as it is, of both."""
    got = counted(t)
    equal(got["ip_vs_stats_percpu: zeroed"][2][:2], [len(packets())] * 2, "connections and packets of all processors")
    differences(of_ipvs(t, counted), got)


def calls(t):
    """The connections of calls, with what the engine has read."""
    lines = []
    for vip, server in ((VIP, DEAD), (f"[{VIP6}]", f"[{DEAD6}]")):
        lines += [f"-A -u {vip}:5060 -s rr -p 10 --pe sip", f"-a -u {vip}:5060 -r {server}:5060 -m"]
    equal(t.lab.execute("director", TOOL, "-R", text="\n".join(lines) + "\n").stderr, "", "ipvsadm -R")
    # Templates hold IPVS's engine in memory until they are over, and connections hold templates.
    t.lab.execute("director", TOOL, "--set", "0", "0", "1")
    injector = Injector(t.lab, "client", "eth0", MAC["router", "client"])
    for family, vip in ((4, VIP), (6, VIP6)):
        for port, name in enumerate(CALLS, 4000):
            injector.send(wire.udp(phantom_client(family, 1), port, vip, 5060, message(name)))
    injector.close()
    try:
        until(lambda: proc(t, "ip_vs_conn").count(" sip ") == 2 * len(CALLS), "the templates of all calls")
        found = {name: [row for row in rows(proc(t, name)) if "NONE" in row] for name in ("ip_vs_conn", "ip_vs_conn_sync")}
        until(lambda: len(proc(t, "ip_vs_conn").splitlines()) == 1, "the end of all templates")
        return found
    finally:
        t.lab.execute("director", TOOL, "--set", "0", "0", "300")
        t.lab.execute("director", TOOL, "-C")


CALLS = ("one@a", "x" * 200, "50%!*_(b)@c")


@case("doors.proc.engines", needs=("beside_ipvs",))
def proc_engines(t):
    """What an engine has read stands behind a template, of both."""
    differences(of_ipvs(t, calls), calls(t))


@case("doors.proc.many", needs=("rlvs",), fresh=True)
def proc_many(t):
    """A list of thousands is whole, read in pieces of any size; a service's destinations are."""
    count = 3000
    lines = [f"-A -u {VIP}:53 -s rr"] + [f"-a -u {VIP}:53 -r {phantom_server(4, n)}:53 -m" for n in range(1, 201)]
    t.backend.restore(*lines)
    injector = t.inject("client", "eth0", ("router", "client"))
    for port in range(5000, 5000 + count // 250):
        injector.send(*(wire.udp(phantom_client(4, n), port, VIP, 53, b"x") for n in range(1, 251)))
    settle(t.backend.live, count, "connections")
    found = proc(t, "ip_vs_conn").splitlines()[1:]
    equal((len(found), len({line.split()[1] + line.split()[2] for line in found})), (count, count), "connections, and different")
    with t.lab.inside("director"):
        file = os.open("/proc/thread-self/net/ip_vs", os.O_RDONLY)
    pieces = b"".join(iter(lambda: os.read(file, 61), b""))
    equal(os.pread(file, 40, 0), b"IP Virtual Server version 1.2.1 (size=" + pieces[38:40], "the beginning, once more")
    os.close(file)
    equal(pieces.count(b"  -> 0A03"), 200, "destinations")


@case("doors.proc.reader_stays", needs=("rlvs",))
def proc_stays(t):
    """Who has a file open when the module goes gets an error, and nothing waits for him."""
    t.backend.restore(f"-A -u {VIP}:53 -s rr")
    with t.lab.inside("director"):
        file = os.open("/proc/thread-self/net/ip_vs", os.O_RDONLY)
    check(os.read(file, 30), "nothing to read")
    t.backend.unload()
    try:
        text = os.read(file, 4096)
    except OSError:
        text = b""
    os.close(file)
    equal(text, b"", "what is read after")
    equal(listed(t, "ip_vs"), [], "files left behind")
    t.backend.load()


# --- settings ------------------------------------------------------------------

FOLDER = "/proc/sys/net/ipv4/vs"
# Each one's own: the memory decides.
OWN = ("conn_max",)
WRITES = (
    ("drop_entry", "3"), ("drop_entry", "4"), ("drop_entry", "-1"), ("drop_entry", "0"), ("sync_threshold", "4 60"),
    ("sync_threshold", "60 4"), ("sync_threshold", "5"), ("sync_threshold", "0 0"), ("sync_threshold", "3 50"), ("conn_lfactor", "9"),
    ("conn_lfactor", "-8"), ("conn_lfactor", "-2"), ("expire_nodest_conn", "1"), ("expire_nodest_conn", "0"), ("am_droprate", "20"),
    ("am_droprate", "10"), ("est_nice", "20"), ("est_nice", "5"), ("est_nice", "0"), ("sync_retries", "4"), ("sync_retries", "3"),
    ("sync_version", "2"), ("sync_version", "0"), ("sync_version", "1"), ("nosuch", "1"), ("amemthresh", "x"), ("sync_ports", "65"),
    ("lblc_expiration", "60"), ("lblc_expiration", "86400"), ("sloppy_tcp", "1"), ("sloppy_tcp", "0"),
)


def settings(t):
    """All settings with who may write them and their values, and what writing gives."""
    found = {}
    with t.lab.inside("director"):
        for name in sorted(os.listdir(FOLDER)):
            path = f"{FOLDER}/{name}"
            found[name] = (oct(os.stat(path).st_mode), read(t, path) if name not in OWN else None)
    for number, (name, value) in enumerate(WRITES):
        found[f"{number} {name} = {value}"] = written(t, name, value)
    return found


def written(t, name, value):
    """What writing a setting gives, and what it is after it."""
    said = ""
    try:
        t.lab.sysctl("director", f"net/ipv4/vs/{name}", value)
    except OSError as error:
        said = error.strerror
    with contextlib.suppress(OSError):
        return said, read(t, f"{FOLDER}/{name}")
    return said, None


@case("doors.settings.both", needs=("beside_ipvs",))
def settings_both(t):
    """Names, rights, defaults, ranges and errors, of both."""
    differences(of_ipvs(t, settings), settings(t))


@case("doors.settings.same", needs=("rlvs",))
def settings_same(t):
    """A setting by IPVS's name is rlvs's own; what is not built is refused; a user's namespace may not have it all."""
    for name, value, old in (("conn_reuse_mode", "3", "1"), ("run_estimation", "0", "1"), ("est_cpulist", "0", None)):
        before = t.lab.sysctl("director", f"net/rlvs/{name}")
        equal(before, old or before, f"{name} by rlvs's name")
        t.lab.sysctl("director", f"net/ipv4/vs/{name}", value)
        equal(t.lab.sysctl("director", f"net/rlvs/{name}"), value, f"{name} by rlvs's name")
        t.lab.sysctl("director", f"net/rlvs/{name}", before)
        equal(t.lab.sysctl("director", f"net/ipv4/vs/{name}"), before, f"{name} by IPVS's name")
    equal(written(t, "conntrack", "1"), ("Operation not supported", "0\n"), "connection tracking")
    equal(written(t, "conntrack", "0"), ("", "0\n"), "no connection tracking")
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "find", FOLDER, "-type", "f", "!", "-perm", "-200"],
                          capture_output=True, text=True)
    equal(sorted(os.path.basename(line) for line in done.stdout.split()),
          ["conn_lfactor", "est_cpulist", "est_nice", "run_estimation", "svc_lfactor", "sync_qlen_max", "sync_sock_size"],
          f"what can only be read in a user's namespace {done.stderr}")


# --- socket options ------------------------------------------------------------

(ADD, EDIT, DEL, FLUSH, ADDDEST, DELDEST, EDITDEST, TIMEOUT, STARTDAEMON, STOPDAEMON, ZERO) = (
    1152 + number for number in (2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15))
VERSION, INFO, SERVICES, SERVICE, DESTS, TIMEOUTS, DAEMON = (1152 + number for number in (0, 1, 2, 3, 4, 6, 7))


def key(vip=VIP, port=80, proto=6, mark=0):
    """What names a service."""
    return struct.pack("=H2x4s", proto, socket.inet_aton(vip)) + struct.pack("!H2x", port) + struct.pack("=I", mark)


def service(*args, sched=b"rr", flags=0, timeout=0, mask="255.255.255.255", **kwargs):
    """A service as it is set."""
    return key(*args, **kwargs) + struct.pack("=16sII4s", sched, flags, timeout, socket.inet_aton(mask))


def dest(rip="10.0.3.11", port=8080, method=0, weight=1, upper=0, lower=0):
    """A destination as it is set."""
    return socket.inet_aton(rip) + struct.pack("!H2x", port) + struct.pack("=IiII", method, weight, upper, lower)


def get(option, room, request=b""):
    """A step that gets an option."""
    return lambda sock: sock.getsockopt(socket.IPPROTO_IP, option, room) if not request else getsockopt(sock, option, room, request)


def getsockopt(sock, option, room, request):
    """getsockopt() with something in the buffer, which Python's own has no words for.

    Behind the request there are marks, which what is not written leaves. Between the fields of a service IPVS leaves what was
    there, and rlvs writes zeros; so there are zeros.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    buffer, length = ctypes.create_string_buffer(request.ljust(room, b"\0" if option == SERVICE else b"\xAA"), room), ctypes.c_uint(room)
    if libc.getsockopt(sock.fileno(), socket.IPPROTO_IP, option, buffer, ctypes.byref(length)):
        raise OSError(ctypes.get_errno(), "")
    return buffer.raw, length.value


def put(option, request=b""):
    """A step that sets an option."""
    return lambda sock: sock.setsockopt(socket.IPPROTO_IP, option, request)


def dests(port, number, **kwargs):
    """A step that gets a service's destinations."""
    return get(DESTS, 24 + 96 * number, key(VIP, port, **kwargs) + struct.pack("=I4x", number))


OPTIONS = (
    ("nothing there", get(SERVICES, 8, struct.pack("=I4x", 0))), ("no service", get(SERVICE, 104, key())), ("no destinations", dests(80, 0)),
    ("time-outs", get(TIMEOUTS, 12)), ("add", put(ADD, service())), ("again", put(ADD, service())),
    ("persistent", put(ADD, service(VIP, 81, sched=b"wlc", flags=1, timeout=360, mask="255.255.255.0"))),
    ("datagrams", put(ADD, service(VIP, 53, 17, sched=b"sh", flags=4))), ("mark", put(ADD, service("0.0.0.0", 0, 6, 7))),
    ("no such scheduler", put(ADD, service(VIP, 82, sched=b"nosuch"))), ("no end", put(ADD, service(VIP, 82, sched=b"r" * 16))),
    ("no such protocol", put(ADD, service(VIP, 82, 47))), ("a byte less", put(ADD, service()[:-1])), ("a byte more", put(ADD, service() + b"\0")),
    ("nothing", put(ADD)), ("server", put(ADDDEST, service() + dest())), ("server again", put(ADDDEST, service() + dest())),
    ("a tunnel", put(ADDDEST, service() + dest("10.0.3.12", 80, 2, 5, 30, 20))), ("direct", put(ADDDEST, service() + dest("10.0.3.13", 80, 3))),
    ("no service for it", put(ADDDEST, service(VIP, 99) + dest())), ("a server of no host", put(ADDDEST, service() + dest("224.0.0.1"))),
    ("too light", put(ADDDEST, service() + dest("10.0.3.14", weight=-1))), ("thresholds", put(ADDDEST, service() + dest("10.0.3.14", upper=1, lower=2))),
    ("by mark", put(ADDDEST, service("0.0.0.0", 0, 6, 7) + dest("10.0.3.11", 0, 3))), ("one", get(SERVICE, 104, key())),
    ("one persistent", get(SERVICE, 104, key(VIP, 81))), ("one by mark", get(SERVICE, 104, key("0.0.0.0", 0, 6, 7))), ("one with more room", get(SERVICE, 120, key())),
    ("one with less", get(SERVICE, 103, key())), ("servers", dests(80, 3)), ("fewer", dests(80, 2)), ("more", dests(80, 4)),
    ("by mark, its servers", get(DESTS, 24 + 96, key("0.0.0.0", 0, 6, 7) + struct.pack("=I4x", 1))),
    ("a wrong room", get(DESTS, 24 + 97, key() + struct.pack("=I4x", 1))), ("a room for a billion", get(DESTS, 24, key() + struct.pack("=I4x", 0xFFFFFFFF))),
    ("servers of nobody", dests(99, 0)), ("heavier", put(EDITDEST, service() + dest(weight=9))), ("unknown", put(EDITDEST, service() + dest("10.0.3.19"))),
    ("less", put(DELDEST, service() + dest("10.0.3.13", 80))), ("less again", put(DELDEST, service() + dest("10.0.3.13", 80))), ("servers now", dests(80, 2)),
    ("another scheduler", put(EDIT, service(sched=b"wrr"))), ("of nobody", put(EDIT, service(VIP, 99))), ("zero", put(ZERO, service())),
    ("zero all", put(ZERO, service("0.0.0.0", 0))), ("zero nobody", put(ZERO, service(VIP, 99))), ("times", put(TIMEOUT, struct.pack("=3i", 800, 0, 200))),
    ("times now", get(TIMEOUTS, 12)), ("negative times", put(TIMEOUT, struct.pack("=3i", -1, 0, 0))), ("first times", put(TIMEOUT, struct.pack("=3i", 900, 120, 300))),
    ("unused", put(1153)), ("unused too", put(1158)), ("unused to get", get(1157, 64)), ("beyond", put(1168, b"1234")),
    ("a short version", get(VERSION, 63)), ("a short info", get(INFO, 11)), ("daemons", get(DAEMON, 48)), ("a daemon less", get(DAEMON, 47)),
    ("a service less", put(DEL, service())), ("a service less again", put(DEL, service())), ("how many", lambda sock: sock.getsockopt(0, INFO, 12)[8:]),
    ("all", put(FLUSH)), ("all with a byte", put(FLUSH, b"1")), ("none", lambda sock: sock.getsockopt(0, INFO, 12)[8:]),
    ("version", lambda sock: re.sub(rb"size=\d+", b"size=N", sock.getsockopt(0, VERSION, 64))),
)


def options(t):
    """What each option gives."""
    found = {}
    with t.lab.socket("director", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        for name, step in OPTIONS:
            try:
                found[name] = step(sock)
            except OSError as error:
                found[name] = os.strerror(error.errno)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, FLUSH, b"")
    return found


@case("doors.sockopt.both", needs=("beside_ipvs",))
def sockopt_both(t):
    """Each option, set and got, of both."""
    differences(of_ipvs(t, options), options(t))


@case("doors.sockopt.alone", needs=("rlvs",))
def sockopt_alone(t):
    """IPv6 is not seen; daemons are refused; nobody without rights gets through; the owner of a user's namespace does."""
    t.backend.restore(f"-A -t [{VIP6}]:80 -s rr", f"-A -t {VIP}:80 -s rr", f"-a -t {VIP}:80 -r [{DEAD6}] -i")
    with t.lab.socket("director", socket.AF_INET, socket.SOCK_DGRAM) as sock:
        equal(struct.unpack("=3I", sock.getsockopt(0, INFO, 12))[::2], (0x010201, 1), "version and services")
        for option in (STARTDAEMON, STOPDAEMON):
            error = None
            try:
                sock.setsockopt(0, option, struct.pack("=i16si", 1, b"eth0", 0))
            except OSError as said:
                error = said.strerror
            equal(error, "Operation not supported", "a daemon")
        got = getsockopt(sock, DESTS, 24 + 96, key() + struct.pack("=I4x", 1))[0]
        equal(got[24:], b"\xAA" * 96, "a destination of IPv6")
    script = "import socket; s = socket.socket(); print(len(s.getsockopt(0, 1153, 12)))"
    for command, want in ((["unshare", "--user", "--map-root-user", "--net"], "12"), (["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all"], "")):
        done = subprocess.run([*command, "python3", "-c", script], capture_output=True, text=True)
        equal(done.stdout.strip(), want, f"{command} {done.stderr[-60:]}")


@case("faults.options", needs=("faults",))
def without_memory(t):
    """IPVS's socket options are asked for: without memory that is the error, and the next time they are there."""
    faults = Faults(t)
    genl = Genl(t.lab, "director", "RLVS")
    t.defer(genl.close)
    one = nl.service("10.0.2.100", 80, full=False)
    for command, payload in ((nl.NEW_SERVICE, nl.service("10.0.2.100", 80)), (nl.NEW_DEST, one + nl.dest("10.0.3.11", 80))):
        equal(genl.ask(command, payload).name(), "0", "a service for IPVS's tools")
    asked = [(option, length, key()[:length]) for option, length in ((VERSION, 64), (INFO, 12), (TIMEOUTS, 12), (DAEMON, 48), (SERVICE, 104))]
    asked += [(SERVICES, 8 + 104, struct.pack("=I4x", 1)), (DESTS, 24 + 96, key() + struct.pack("=I4x", 1))]

    def act(failing):
        with t.lab.socket("director", socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for ask in asked:
                try:
                    getsockopt(sock, *ask)
                except OSError as error:
                    check(failing and error.errno == errno.ENOMEM, f"option {ask[0]}: error {error.errno}")
                    getsockopt(sock, *ask)
    faults.each(lambda: contextlib.nullcontext(act))
