# SPDX-License-Identifier: GPL-2.0
"""The systems that are compared, and how each is configured for a case."""

import director
from director import VIP

FLAGS = {"nat": "-m", "dr": "-g", "tun": "-i", "fullnat": "--fullnat"}
RLVSADM = "/src/build/rlvsadm"
TOOL = {"ipvs": "ipvsadm", "rlvs": RLVSADM, "rlvs-nat": RLVSADM, "rlvs-late": RLVSADM}
PORT = 80


def method(case, name):
    """How a system forwards in a case."""
    return "nat" if name == "rlvs-nat" else case.method


def endpoint(address, port):
    """Address and port as the tools read them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def server_port(method):
    """The real servers' port: another one where ports can be changed."""
    return PORT if method in ("dr", "tun") else 8080


def service_rules(case, port, scheduler="rr", servers=4, locals_=0):
    """One service as lines for `ipvsadm -R` or `rlvsadm -R`."""
    service = f"-{case.proto[0]} {endpoint(VIP[case.family], port)}"
    yield f"-A {service} -s {scheduler}"
    for number in range(locals_):
        yield f"-P {service} -z {director.local(case.family, number)}"
    for number in range(servers):
        real = endpoint(director.server(case.family, number), server_port(case.method))
        weight = 1 + number % 10 if scheduler[0] == "w" else 1
        yield f"-a {service} -r {real} {FLAGS[case.method]} -w {weight}"


def restore(system, where, lines):
    """Configure a balancer from lines."""
    where.execute(TOOL[system], "-R", text="\n".join(lines) + "\n")


def timeouts(system, where, tcp, udp):
    """Set the time-outs of a balancer."""
    where.execute(TOOL[system], "--set", str(tcp), str(tcp), str(udp))


def flowtable(where):
    """Let the kernel's flowtable take over forwarded flows."""
    where.execute("nft", "-f", "-", text="""table inet bench {
        flowtable fast { hook ingress priority filter; devices = { in0, out0 }; }
        chain forward {
            type filter hook forward priority filter
            meta l4proto { tcp, udp } flow add @fast
        }
    }""")
