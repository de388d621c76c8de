#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Says in which functions the instructions of a packet are: both sides of `bench/count.sh --functions`.

usage: functions.py guest ROW SYSTEM     in the guest: gets ready, waits to be watched, lets PACKETS packets through
                                         (a row "end" is a row "new" with what follows until the flows have ended)
       functions.py host FOLDER LOG      on the host: lets QEMU log each instruction meanwhile, and sums up; LOG is
                                         the file `log` in FOLDER as QEMU sees it
"""

import bisect
import collections
import os
import re
import socket
import sys
import time

PACKETS = 256
SHOWN = 60


def wait_for(path):
    """Wait until a file is there."""
    while not os.path.exists(path):
        time.sleep(0.05)


def touch(path):
    """Make an empty file."""
    with open(path, "w", encoding="ascii"):
        pass


def guest(name, system):
    """Let the packets of a row through while the host looks."""
    import count
    import systems

    kind, method, family, proto, *variant = name.split("/")
    count.load_modules()
    row = count.Row(kind, method, int(family[1]), proto, *variant)
    counter = count.Counter(row.family, lambda row: True, [])
    for step in count.VARIANTS[:count.VARIANTS.index(row.variant) + 1]:
        counter.prepare(step)
    title, system = system, system.removesuffix("-late")
    if system == "rlvs":
        counter.rooms["rlvs"].sysctl("net/rlvs/early", int(title == "rlvs"))
        time.sleep(0.5)
    if kind in ("new", "end"):
        person, more = counter.request(row, system), {"flows": PACKETS, "count": PACKETS, "flags": count.SYN}
        person.sample(first=1 << 16, **{**more, "flows": count.NEW, "count": count.NEW})
    else:
        person, more = counter.opened(row, system), {"count": PACKETS}
        person.sample(**more)
    if kind == "end":
        systems.timeouts(system, counter.rooms[system], 900, count.TIMEOUT)
    with open("/proc/kallsyms", encoding="ascii") as file, open("/results/kallsyms", "w", encoding="ascii") as copy:
        copy.write(file.read())
    touch("/results/ready")
    wait_for("/results/go")
    person.sample(**more)
    if kind == "end":
        time.sleep(2 * count.TIMEOUT)
    touch("/results/done")


class Monitor:
    """QEMU's monitor."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.answer()

    def answer(self):
        """Read up to the prompt."""
        data = b""
        while not data.endswith(b"(qemu) "):
            data += self.sock.recv(4096)

    def say(self, command):
        """One command."""
        self.sock.sendall(command.encode() + b"\n")
        self.answer()


def addresses(path):
    """The addresses of a log's kernel instructions."""
    pattern = re.compile(rb"/(ffffffff[0-9a-f]{8})/")
    with open(path, "rb") as file:
        for line in file:
            found = pattern.search(line)
            if found:
                yield int(found[1], 16)


def symbols(path):
    """Sorted addresses of the kernel's functions, and their names."""
    with open(path, encoding="ascii") as file:
        words = [line.split() for line in file]
    found = sorted((int(w[0], 16), " ".join(w[2:])) for w in words if w[1] in "tTwW")
    return [address for address, _ in found], [name for _, name in found]


def host(folder, log):
    """Watch the guest."""
    wait_for(f"{folder}/ready")
    monitor = Monitor(f"{folder}/monitor")
    for command in ("one-insn-per-tb on", "singlestep on", f"logfile {log}", "log exec,nochain"):
        monitor.say(command)
    touch(f"{folder}/go")
    wait_for(f"{folder}/done")
    monitor.say("log none")
    starts, names = symbols(f"{folder}/kallsyms")
    found = collections.Counter(names[bisect.bisect(starts, address) - 1] for address in addresses(f"{folder}/log"))
    print("instructions a packet, by function (what is outside of the packet's way is in it too, where it is not zero)")
    for name, number in found.most_common(SHOWN):
        print(f"{number / PACKETS:10.1f}  {name}")


def main():
    """Either side."""
    if sys.argv[1] == "guest":
        guest(*sys.argv[2:])
    else:
        host(*sys.argv[2:])


if __name__ == "__main__":
    main()
