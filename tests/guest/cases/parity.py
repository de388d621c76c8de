# SPDX-License-Identifier: GPL-2.0
"""rlvsadm beside ipvsadm: the same command lines to both, the same words out of both, and the same rules after each."""

import re

from lab import run
from suite import case, check, equal

TCP, UDP, NET6 = "10.0.2.100:80", "10.0.2.100:53", "[fd00:2::100]:8080"

RULES = (
    f"-A -t {TCP} -s wlc", f"-a -t {TCP} -r 10.0.3.11:8080 -m -w 3", f"-a -t {TCP} -r 10.0.3.12 -g -w 0",
    f"-a -t {TCP} -r 10.0.3.13:80 -i -w 65535", f"-a -t {TCP} -r 10.0.3.13:81 -m -x 200 -y 100",
    "-A -t 10.0.2.100:443 -s mh -b mh-fallback,mh-port", "-A -t 10.0.2.1:443 -s sh -b sh-fallback",
    f"-A -u {UDP} -s sh -b sh-port -o", f"-a -u {UDP} -r 10.0.3.11 -g", "-A -u 10.0.2.100:65535 -s sed -o",
    "-A -t 127.0.0.1:80 -s rr", "-a -t 127.0.0.1:80 -r 10.0.3.11:22 -m", "-A -u 127.0.0.1:53 -s nq", "-A -f 7 -s rr",
    "-a -f 7 -r 10.0.3.11 -m -w 2", "-a -f 7 -r 10.0.3.12:8080 -m", "-a -f 7 -r 10.0.3.13:22 -g", "-A -f 8 -6 -s lc -o",
    "-a -f 8 -6 -r [fd00:3::11]:80 -g", "-A -f 2147483647 -s fo", f"-A -t {NET6} -s wrr",
    f"-a -t {NET6} -r [fd00:3::11]:80 -m", f"-a -t {NET6} -r [fd00:3::1111:2222:3333:4444]:65535 -m -w 65535",
    "-A -u [::1]:53 -s ovf", "-A -t 10.0.2.100:97 -s twos", "-a -t 10.0.2.100:97 -r [fd00:3::13]:97 -i -x 7",
)

# What only shows something. Words that are not about what is shown are for the status alone.
SHOWN = (
    "", "-L", "-l", "--list", "-Ln", "-ln", "-L -n", "-L --numeric", "-Ln --sort", "-Ln --sort --sort", "-Ln -X", "-LnX",
    "-L --stats", "-Ln --stats", "-Ln --stats --exact", "-Ln --rate", "-L --rate --exact", "-Ln --thresholds",
    "-Ln --persistent-conn", "-Ln --tun-info", "-L --tun-info", "-Ln --stats --rate", "-Ln --rate --thresholds",
    "-Ln --thresholds --persistent-conn", "-Ln --persistent-conn --tun-info", "-Ln --exact --tun-info", f"-L -t {TCP}",
    f"-Ln -t {TCP}", f"-Ln -t {TCP} --nosort", f"-Ln -t {TCP} --stats", f"-Ln -t {TCP} --rate",
    f"-Ln -t {TCP} --thresholds --nosort", "-Ln -t 10.0.2.100:http", f"-Ln -u {UDP}", "-Ln -u 10.0.2.100:domain",
    f"-Ln -t {NET6}", f"-Ln --tcp-service={NET6}", f"-L -t {NET6}", "-Ln -f 7", "-L -f 7", "-Ln -f 8 -6",
    "-Ln -f 8 -6 --rate", "-Ln -f 7 --stats", "-Ln --fwmark-service 7", "-L -t 127.0.0.1:80", "-L -t localhost:http", "-Lc",
    "-Lnc", "-lnc", "-L --connection", "-Lnc --persistent-conn", "-Lnc --exact --sort --tun-info", "-L --timeout",
    "-Ln --timeout", "-L --timeout --exact --sort", "-L --timeout --tun-info", "-S", "-Sn", "-S -n", "--save --numeric",
    "-S --sort",
)

# What is refused, before or by the kernel: nothing changes.
REFUSED = (
    "-L -c --timeout", f"-L -t {TCP} --timeout", f"-L -c -t {TCP}", "-L -c --stats", "-L -c --rate", "-Lc --thresholds",
    "-L --timeout --stats", "-L --timeout --rate", "-L --timeout --thresholds", "-L --timeout --persistent-conn",
    "-L -n -n", "-L --stats --stats", "-L -s rr", "-L -r 10.0.3.11", "-L -w 1", "-L -o", "-L more", "-L --nosuch", "-L -k",
    "-Ln -t 10.0.2.100:81", "-Ln -f 8", "-Ln -f 7 -6", f"-Ln -u {TCP}", "-Ln -f 9", "-S -c", f"-S -t {TCP}", "-S --exact",
    "-R -n", "-C -n", f"-C -t {TCP}", "-Z -n", "-Z -t 10.0.2.100:81", "-Z -f 9", "nonsense", f"-t {TCP}", "-A", "-A -s rr",
    f"-A -t {TCP}", f"-A -t {TCP} -s rr", "-A -f 7", "-A -t", "-A -t 80", "-A -t :80", "-A -t 10.0.2.300:90",
    "-A -t 10.0.2.100:65536", "-A -t 10.0.2.100:-1", "-A -t 10.0.2.100:nosuch", "-A -t 10.0.2.100:",
    "-A -t [fd00:2::100:90", "-A -t fd00:2::zz", "-A -t 10.0.2.100:90 -u 10.0.2.100:90",
    "-A -t 10.0.2.100:90 -t 10.0.2.100:91", "-A -t 10.0.2.100:90 -f 3", "-A -t 10.0.2.100:90 -6", "-A -f 0", "-A -f -1",
    "-A -f x", "-A -f 4294967296", "-A -f 1x", "-A -t 10.0.2.100:90 -s nosuch",
    "-A -t 10.0.2.100:90 -s a-name-that-is-much-too-long", "-A -t 10.0.2.100:90 -s", "-A -t 10.0.2.100:90 -s rr -s rr",
    "-A -t 10.0.2.100:90 -o", "-A -t 10.0.2.100:90 -o -s rr", "-A -u 10.0.2.100:90 -o -o",
    "-A -t 10.0.2.100:90 -s sh -b mh-port", "-A -t 10.0.2.100:90 -s mh -b sh-port", "-A -t 10.0.2.100:90 -b sh-port",
    "-A -t 10.0.2.100:90 -s sh -b nosuch", "-A -t 10.0.2.100:90 -s sh -b sh-port,nosuch", "-A -t 10.0.2.100:90 -s sh -b",
    "-A -t 10.0.2.100:90 -w 1", "-A -t 10.0.2.100:90 -m", "-A -t 10.0.2.100:90 -r 10.0.3.11", "-A -t 10.0.2.100:90 -n",
    "-A -t 10.0.2.100:90 -x 1", "-A -t 10.0.2.100:90 --tun-type ipip", "-A -t 10.0.2.100:90 --stats",
    "-A -t 10.0.2.100:90 more", "-E -t 10.0.2.100:90 -s rr", "-E -f 9 -s rr", f"-E -t {TCP} -s nosuch", "-E", "-D",
    "-D -t 10.0.2.100:90", "-D -f 9", f"-D -t {TCP} -n", f"-D -t {TCP} -s rr", f"-a -t {TCP}", "-a -r 10.0.3.14", "-a",
    f"-a -t {TCP} -r", f"-a -t {TCP} -r 10.0.3.11:8080 -m", "-a -t 10.0.2.100:90 -r 10.0.3.14",
    f"-a -t {TCP} -r 10.0.3.14 -m -g", f"-a -t {TCP} -r 10.0.3.14 -m -m", f"-a -t {TCP} -r 10.0.3.14 -w -1",
    f"-a -t {TCP} -r 10.0.3.14 -w x", f"-a -t {TCP} -r 10.0.3.14 -w 0x10", f"-a -t {TCP} -r 10.0.3.14 -w",
    f"-a -t {TCP} -r 10.0.3.14 -w 1 -w 1", f"-a -t {TCP} -r 10.0.3.14 -x -1", f"-a -t {TCP} -r 10.0.3.14 -x 2147483648",
    f"-a -t {TCP} -r 10.0.3.14 -y 5", f"-a -t {TCP} -r 10.0.3.14 -x 3 -y 5", f"-a -t {TCP} -r 10.0.3.14 -y x",
    f"-a -t {TCP} -r 224.0.0.1 -m", f"-a -t {TCP} -r 0.0.0.0 -m", f"-a -t {TCP} -r 10.0.3.255 -m", f"-a -t {TCP} -r 80 -m",
    f"-a -t {TCP} -r 10.0.3.14:65536 -m", f"-a -t {TCP} -r [fd00:3::14]:80 -m", f"-a -t {TCP} -r [fd00:3::14]:80",
    f"-a -t {NET6} -r 10.0.3.14 -g", f"-a -t {NET6} -r [ff02::1]:80 -m", f"-a -t {TCP} -r 10.0.3.14 --tun-type ipip",
    f"-a -t {TCP} -r 10.0.3.14 -m --tun-type ipip", f"-a -t {TCP} -r 10.0.3.14 -i --tun-type nosuch",
    f"-a -t {TCP} -r 10.0.3.14 -i --tun-port 6080", f"-a -t {TCP} -r 10.0.3.14 -i --tun-csum",
    f"-a -t {TCP} -r 10.0.3.14 -i --tun-type gue", f"-a -t {TCP} -r 10.0.3.14 -s rr", f"-a -t {TCP} -r 10.0.3.14 -o",
    f"-a -t {TCP} -r 10.0.3.14 -n", f"-a -t {TCP} -r 10.0.3.14 -b sh-port", f"-a -t {TCP} -r 10.0.3.14 -r 10.0.3.15",
    f"-e -t {TCP} -r 10.0.3.14 -m", "-e -t 10.0.2.100:90 -r 10.0.3.14", f"-e -t {TCP}", f"-d -t {TCP} -r 10.0.3.14",
    f"-d -t {TCP}", f"-d -t {TCP} -r 10.0.3.11:8080 -m", f"-d -t {TCP} -r 10.0.3.11:8080 -w 1",
    "-d -t 10.0.2.100:90 -r 10.0.3.14", "--set", "--set 1", "--set 1 2", "--set 1 2 x", "--set -1 2 3", "--set 2678401 0 0",
    "--set 1 2 3 4", "--set 1 2 3 -n", "-A -A -t 10.0.2.100:90", f"-A -D -t {TCP}", "-C -C", "-L -S",
    "--start-daemon nosuch", "--stop-daemon nosuch", "--start-daemon", "--syncid 1", "-L --syncid x",
)

# What is carried out, one after the other.
DONE = (
    f"-a -t {TCP} -r 10.0.3.14", f"-a -t {TCP} -r 10.0.3.15:8080 -m -w 0", f"-a -t {TCP} -r 10.0.3.16:http -m",
    "-a --tcp-service=10.0.2.100:http --real-server=10.0.3.17:81 --masquerading --weight=5 --u-threshold=10 --l-threshold=4",
    "-at10.0.2.100:80 -r10.0.3.18:80 -m -w7", f"-a -t {TCP} -r 10.0.3.19:81 -m -w=9 -x=4 -y=2",
    f"-a -t {TCP} -r 10.0.3.20 -i --tun-type ipip", "-a -t 10.0.2.100:97 -r [fd00:3::20]:81 -i",
    "-a -t 10.0.2.100:97 -r fd00:3::21 -i", f"-a -t {TCP} -r 10.822:80 -m",
    f"-a -t {TCP} -r 0x0a000364:80 -m", f"-a -t {TCP} -r 012.0.3.99:80 -m", f"-e -t {TCP} -r 10.0.3.15:8080 -m -x 30 -y 20",
    f"-e -t {TCP} -r 10.0.3.15:8080 -m -w 2", f"-e -t {TCP} -r 10.0.3.14 -i", f"-e -t {TCP} -r 10.0.3.14",
    f"-e -t {TCP} -r 10.0.3.14 -m -w 65535", f"-e -t {TCP} -r 10.0.3.14 -x 2147483647", f"-e -t {TCP} -r 10.0.3.14 -w +5",
    f"-d -t {TCP} -r 10.0.3.14", f"-d -t {TCP} -r 10.0.3.15:8080", f"-a -t {TCP} -r 10.0.3.15:8080 -m", f"-E -t {TCP}",
    f"-E -t {TCP} -s rr", f"-E -t {TCP} -s sh -b sh-fallback", f"-E -t {TCP} -s sh", f"-E -t {TCP} -s mh -b ,mh-port,,",
    f"-E -t {TCP} -s sh -b flag-1,flag-2", f"-E -t {TCP} -s mh -b flag-2", f"-E -u {UDP} -s rr", f"-E -u {UDP} -s wrr -o",
    "-E -f 7 -s wlc", "-E -f 8 -6 -s rr", "-A -f 3", "-A -f 3 -6 -s rr", "-A -f 4 -o -s rr", "-a -f 3 -r 10.0.3.14 -i",
    "-a -f 3 -r 10.0.3.14:99", "-a -f 3 -6 -r [fd00:3::14]:99 -g", "-e -f 3 -r 10.0.3.14:99 -m -w 3",
    "-d -f 3 -r 10.0.3.14", "-D -f 3", "-D -f 3 -6", "-A -t vip:http-alt -s rr", f"-a -t {TCP} -r rs2:http-alt -m", "-A -u 10.0.2.100:ntp",
    "-A -t localhost:22 -s rr", "-A -t 10.519:91 -s rr", "-A -t [fd00:2::1]:22 -s lblcr",
    "--add-service --udp-service 10.0.2.100:90 --scheduler lblc --ops", "-a -u 10.0.2.100:90 -r 10.0.3.11 -g",
    "-A -t 10.0.2.100:90 --sort -s dh", "-Z", f"-Z -t {TCP}", "-Z -f 8 -6", "--zero --sort", "--set 10 20 30",
    "--set 0 0 40", "--set 0 0 0", "--set 2147483 1 1", "--set 900 120 300", "-D -u 10.0.2.100:90",
    f"--delete-service --tcp-service {NET6}", f"-D -u {UDP}",
)

# What rlvsadm(8) lists as different: the status of ipvsadm and of rlvsadm.
OTHERWISE = {
    "-n -L": (255, 0), f"-t {TCP} -L": (255, 0), "-A -t 10.0.2.100:0 -s rr": (2, 0), "-A -u 10.0.2.100": (2, 0),
    f"-a -t {TCP} -r 10.0.3.21:0 -m": (0, 1), "-A -t [fd00:2::100] -s rr": (2, 0),
    "-A -t 10.0.2.100:71 -s rr -b flag-1": (0, 1), "-A -t 224.0.0.1:71 -s rr": (0, 1), "-A -t 0.0.0.0:71 -s rr": (0, 1),
    "-A --sctp-service 10.0.2.100:71 -s rr": (0, 2), "-L --daemon": (0, 2),
}
# What an ipvsadm that ends so asks of rlvsadm: done, cannot show it, wrong usage, and 255 for the kernel's no and for usage too.
STATUS = {0: {0}, 1: {1}, 2: {1, 2}, 255: {1, 2}}


# Names of hosts: all that the rules have, so that nobody asks the network.
HOSTS = """127.0.0.1 localhost
::1 localhost
10.0.2.1 director
10.0.2.100 virtual.example.com vip
fd00:2::100 virtual6.example.com
10.0.3.11 one-of-the-real-servers.example.com
10.0.3.12 rs2
fd00:3::11 one-of-the-real-servers6.example.com
"""
FILES = {"/etc/hosts": HOSTS, "/etc/nsswitch.conf": "hosts: files\nservices: files\n"}


def named(t):
    """Let hosts have these names until the case ends."""
    for number, (file, text) in enumerate(FILES.items()):
        copy = f"/run/parity.{number}"
        with open(copy, "w", encoding="ascii") as out:
            out.write(text)
        run("mount", "--bind", copy, file)
        t.defer(run, "umount", file)


class Pair:
    """Both tools, of which each has its own rules on the same host."""

    def __init__(self, t):
        named(t)
        self.rlvs, self.ipvs = t.backend, t.beside_ipvs()
        self.both("-R", text="\n".join(RULES) + "\n")

    def both(self, *words, text=None):
        """What a command line gives, of both."""
        return [backend.run(*words, text=text, ok=False) for backend in (self.ipvs, self.rlvs)]

    def statuses(self, line, ipvs, rlvs):
        """Fail unless both statuses fit, and both say something when it is an error, and nothing when it is not."""
        check(rlvs.returncode in STATUS[ipvs.returncode], f"{line!r}: status {ipvs.returncode} ({ipvs.stderr.strip()}) "
              f"of ipvsadm, {rlvs.returncode} ({rlvs.stderr.strip()}) of rlvsadm")
        check(bool(rlvs.stderr.strip()) == bool(rlvs.returncode) or rlvs.stderr.startswith("rlvsadm: warning: "),
              f"{line!r}: status {rlvs.returncode} and {rlvs.stderr!r}")

    def same(self, line):
        """Fail unless a listing is the same."""
        ipvs, rlvs = self.both(*line.split())
        self.statuses(line, ipvs, rlvs)
        one, other = [shown(done.stdout) for done in (ipvs, rlvs)]
        if line in ("-S", "-Sn", "-S -n", "--save --numeric", "-S --sort"):
            other = re.sub(" -[xy] [0-9]+", "", other)
        equal(other, one, f"what rlvsadm {line} prints")

    def rules(self, line):
        """Fail unless the rules are the same after a line."""
        for words in ("-Sn", "-Ln --thresholds", "-L --timeout"):
            ipvs, rlvs = [shown(done.stdout) for done in self.both(*words.split())]
            if words == "-Sn":
                rlvs = re.sub(" -[xy] [0-9]+", "", rlvs)
            equal(rlvs, ipvs, f"{words} after {line!r}")


def shown(text):
    """A listing without the size of a table, which is each one's own affair."""
    return re.sub(r"\(size=\d+\)", "(size=N)", text)


@case("parity.listings", needs=("beside_ipvs",))
def listings(t):
    """Every listing, to the letter."""
    pair = Pair(t)
    for line in SHOWN:
        pair.same(line)


@case("parity.refused", needs=("beside_ipvs",))
def refused(t):
    """What ipvsadm or its kernel refuses, rlvsadm and its module refuse, with a status that fits and a reason."""
    pair = Pair(t)
    for line in REFUSED:
        ipvs, rlvs = pair.both(*line.split())
        check(ipvs.returncode, f"{line!r} is taken by ipvsadm: it is in the wrong table")
        pair.statuses(line, ipvs, rlvs)
        equal(len(rlvs.stderr.splitlines()), 2 if rlvs.returncode == 2 else 1, f"lines of {rlvs.stderr!r}")
    pair.rules("all of them")


@case("parity.done", needs=("beside_ipvs",))
def done(t):
    """What is carried out leaves the same rules, and -S of each is read by -R of the other."""
    pair = Pair(t)
    t.defer(t.backend.run, "--set", "900", "120", "300")
    for line in DONE:
        ipvs, rlvs = pair.both(*line.split())
        check(not ipvs.returncode, f"{line!r} is refused by ipvsadm: {ipvs.stderr}")
        pair.statuses(line, ipvs, rlvs)
        pair.rules(line)
    saved = [done.stdout for done in pair.both("-S", "-n")]
    pair.both("-C")
    pair.rules("-C")
    pair.ipvs.run("-R", text=saved[1])
    pair.rlvs.run("-R", text=saved[0])
    equal(re.sub(" -[xy] [0-9]+", "", pair.rlvs.save()), saved[0], "what ipvsadm saved")
    equal(pair.ipvs.save(), saved[0], "what rlvsadm saved")


@case("parity.otherwise", needs=("beside_ipvs",))
def otherwise(t):
    """What is different on purpose is different."""
    pair = Pair(t)
    for line, want in OTHERWISE.items():
        equal(tuple(done.returncode for done in pair.both(*line.split())), want, f"status of both of {line!r}")
