#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Balances real HTTP over every forwarding method in the guest, and checks who answered.

usage: demo.py            the eight services, one after the other; status 0 if all were right
       demo.py --shell    the same network with all services, and a prompt on the director
"""

import collections
import itertools
import os
import sys

import topology
from topology import back, inside, run, virtual

MODULE = f"/src/build/rlvs{'-rt' * ('-rt-' in os.uname().release)}.ko"
TOOL = "/src/build/rlvsadm"
REQUESTS = 12
METHODS = {"NAT": "-m", "DR": "-g", "TUN": "-i", "FULLNAT": "--fullnat"}
# What the director sees of the answers: all of them, or none.
ANSWERS_PASS_DIRECTOR = {"NAT": True, "DR": False, "TUN": False, "FULLNAT": True}

HINTS = """
You are on the director. `client COMMAND`, `rs1 COMMAND`, `rs2`, `rs3` and `gateway`
run a command on the others. To try:

  rlvsadm -L -n --stats
  client curl -s http://{nat4}/ | head -c 4
  client curl -s http://[{fullnat6}]/ | head -c 4
  rlvsadm -e -t {nat4}:80 -r {rs1}:{port} -m -w 0       # drain rs1
  rs2 tcpdump -nevi back -c 3 ip proto 4 &                # the outer and the inner header
  for i in 1 2 3; do client curl -s http://{tun4}/ -o /dev/null; done
  sysctl net.rlvs

The web pages are a name and a long payload. `exit` ends the guest.
"""


def literal(address):
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def service(family, method):
    return f"{literal(virtual(family, method))}:80"


def server(family, method, host):
    """NAT and FULLNAT may change the port; DR and TUN cannot."""
    port = topology.OTHER_PORT if ANSWERS_PASS_DIRECTOR[method] else 80
    return f"{literal(back(family, host))}:{port}"


def rlvsadm(*arguments):
    return inside("director", TOOL, *arguments, capture_output=True).stdout


def load_module():
    needed = run("modinfo", "-F", "depends", MODULE, capture_output=True).stdout
    for name in filter(None, needed.strip().split(",")):
        run("modprobe", name)
    run("insmod", MODULE)


def add_service(family, method):
    address = service(family, method)
    rlvsadm("-A", "-t", address, "-s", "rr")
    if method == "FULLNAT":
        for host in topology.LOCAL_ADDRESSES:
            rlvsadm("-P", "-t", address, "-z", back(family, host))
    for host in topology.SERVERS.values():
        rlvsadm("-a", "-t", address, "-r", server(family, method, host), METHODS[method])


def fetch(family, method):
    """Requests the page again and again, each time in a new connection; gives the bodies."""
    folder = f"/tmp/answers/{method}-{family}"
    os.makedirs(folder)
    inside("client", "curl", "-s", "-S", "--max-time", "60", "-H", "Connection: close",
           "-o", f"{folder}/#1", f"http://{service(family, method)}/?[1-{REQUESTS}]")
    for number in range(1, REQUESTS + 1):
        with open(f"{folder}/{number}", encoding="ascii") as file:
            yield file.read()


def count_answers(bodies):
    """Who answered how often; a damaged page counts for nobody."""
    counts = collections.Counter()
    for body in bodies:
        name = body.split("\n", 1)[0]
        counts[name if body == topology.page(name) else "a damaged page"] += 1
    return counts


def statistics(family, method):
    """The listing, and {address: [connections, packets in, packets out, ...]} as it says."""
    text = rlvsadm("-L", "-n", "--stats", "-t", service(family, method))
    rows = [line.replace("->", "").replace("TCP", "").split() for line in text.splitlines()]
    return text, {row[0]: row[1:] for row in rows if len(row) > 2 and row[1].isdigit()}


def complaints(family, method, counts, numbers):
    """What is not as it must be, in words."""
    each = REQUESTS // len(topology.SERVERS)
    for name, host in topology.SERVERS.items():
        if counts[name] != each:
            yield f"{name} answered {counts[name]} times, not {each}"
        connections = numbers.get(server(family, method, host), ["none"])[0]
        if connections != str(each):
            yield f"the director counts {connections} connections of {name}, not {each}"
    total = numbers.get(service(family, method), ["none", "none", "none"])
    if total[0] != str(REQUESTS):
        yield f"the director counts {total[0]} connections in all, not {REQUESTS}"
    if (total[2] != "0") != ANSWERS_PASS_DIRECTOR[method]:
        yield f"the director counts {total[2]} packets of answers"


def balance(family, method):
    """Tries one service; prints what happened and gives the complaints."""
    add_service(family, method)
    print(f"\n{method}, IPv{family}: {REQUESTS} requests for http://{service(family, method)}/", flush=True)
    counts = count_answers(fetch(family, method))
    text, numbers = statistics(family, method)
    print("  answered: " + ", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
    print("\n".join("  " + line for line in text.splitlines()))
    wrong = list(complaints(family, method, counts, numbers))
    for complaint in wrong:
        print(f"  WRONG: {complaint}")
    return wrong


def demonstrate():
    """All methods and families; FULLNAT last, without the routes that it can do without."""
    right = 0
    for method, family in itertools.product(METHODS, (4, 6)):
        if (method, family) == ("FULLNAT", 4):
            topology.routes_to_client("del")
            print("\nThe real servers now have no route to the client any more.")
        right += not balance(family, method)
    print(f"\n{right} of {2 * len(METHODS)} as they must be")
    return 0 if right == 2 * len(METHODS) else 1


def shell():
    """Hands over to a prompt on the director."""
    for method, family in itertools.product(METHODS, (4, 6)):
        add_service(family, method)
    print(HINTS.format(nat4=virtual(4, "NAT"), tun4=virtual(4, "TUN"), fullnat6=virtual(6, "FULLNAT"),
                       rs1=back(4, topology.SERVERS["rs1"]), port=topology.OTHER_PORT))
    with open("/tmp/bashrc", "w", encoding="ascii") as file:
        file.write("PS1='director# '\nPATH=/src/build:$PATH\n")
        for name in ("client", "gateway", *topology.SERVERS):
            file.write(f'{name}() {{ ip netns exec {name} "$@"; }}\n')
    sys.stdout.flush()
    os.execvp("ip", ["ip", "netns", "exec", "director", "bash", "--rcfile", "/tmp/bashrc", "-i"])


def main():
    print("setting up: client, director, gateway, three real servers with nginx", flush=True)
    load_module()
    topology.up()
    return shell() if sys.argv[1:] == ["--shell"] else demonstrate()


if __name__ == "__main__":
    sys.exit(main())
