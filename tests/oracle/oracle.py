#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The oracle in its guest: plays kept and drawn scenarios on IPVS and on rlvs, and tells where the two are not alike.

usage: oracle.py [--module FILE] [--seed N] [--count N] [--part I/K] [--brief] [SCENARIO-FILE…]

Without files all of kept/ is played. Of the drawn scenarios, part I of K are played, so that several guests can share the work.
The last line is "N passed, N failed".
"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "guest")]

from draw import Draw  # noqa: E402
from excuses import EXCUSES  # noqa: E402
from network import write_setting  # noqa: E402
from play import Play  # noqa: E402
from scenario import parse  # noqa: E402
from shrink import Shrinker  # noqa: E402

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "twos")
# So many differences are shrunk; the others are told as they are.
SHRUNK = 3
TOOLS = {"/usr/sbin/ipvsadm": "/run/ipvsadm", "/src/build/rlvsadm": "/run/rlvsadm"}


class Oracle:
    """Plays scenarios, and counts what came of it."""

    def __init__(self, exact, shrink):
        self.exact, self.shrink = exact, shrink
        self.passed = self.failed = 0
        self.drawn, self.seen, self.excused = Counter(), Counter(), Counter()

    def differs(self, scenario, tally=None):
        """The difference that a play of the scenario ends with, or None."""
        play = Play(scenario, EXCUSES, self.exact, tally)
        try:
            return play.run()
        finally:
            self.excused.update(play.used)
            play.close()

    def play(self, name, scenario):
        """Play one scenario and say what came of it."""
        start = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
        try:
            found = self.differs(scenario, self.seen)
        except Exception as error:
            return self.fail(name, scenario, "".join(traceback.format_exception(error)))
        if found is None:
            self.passed += 1
            if name.endswith(".txt"):
                print(f"ok {name} ({time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) - start:.1f} s)")
            return True
        if self.shrink and self.failed < SHRUNK:
            excused = Counter(self.excused)
            scenario, found = Shrinker(scenario, found, self.differs).run()
            self.excused = excused
        return self.fail(name, scenario, found)

    def fail(self, name, scenario, what):
        """Print what went wrong, with the scenario that shows it."""
        self.failed += 1
        print(f"FAIL {name}\n" + "".join(f"    {line}\n" for line in f"{scenario}\n{what}".splitlines()), end="")
        return False

    def finish(self, file):
        """Leave for report.py what came of all, and say the sum."""
        result = {"passed": self.passed, "failed": self.failed}
        with open(file, "w", encoding="utf-8") as out:
            json.dump({"result": result, "drawn": self.drawn, "seen": self.seen, "excused": self.excused}, out)
        print(f"{self.passed} passed, {self.failed} failed")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", default="/src/build/oracle/rlvs/rlvs.ko")
    parser.add_argument("--kernel", default="travel", help="what this runs in: a User-Mode Linux kernel, or stock")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--one", type=int, help="play the drawn scenario of this number alone")
    parser.add_argument("--brief", action="store_true", help="do not shrink what is found")
    parser.add_argument("--tally", default="/run/tally.json", help="where the counts go")
    parser.add_argument("--until-first", action="store_true", help="end with the first difference")
    parser.add_argument("files", nargs="*")
    return parser.parse_args()


def prepare(module, kernel):
    """Both balancers into the kernel, both tools into memory; the player's own ends keep silent."""
    for source, target in TOOLS.items():
        shutil.copy(source, target)
    names = ("ip_vs", *(f"ip_vs_{name}" for name in SCHEDULERS), "ip_vs_pe_sip")
    if kernel == "stock":
        subprocess.run(["modprobe", "-a", *names], check=True)
    for file in [] if kernel == "stock" else [f"/uml/{kernel}/net/netfilter/ipvs/{name}.ko" for name in names]:
        subprocess.run(["insmod", file], check=True)
    subprocess.run(["insmod", module], check=True)
    write_setting("net/ipv6/conf/default/disable_ipv6", 1)


def numbers(wanted):
    """The numbers of the drawn scenarios that this guest plays."""
    if wanted.one is not None:
        return [wanted.one]
    part, parts = map(int, wanted.part.split("/"))
    return range(part - 1, wanted.count, parts)


def scenarios(wanted, drawn):
    """All that is to be played, with names: what is kept, then what is drawn."""
    kept = sorted(glob.glob(f"{HERE}/kept/*.txt")) if wanted.one is None and wanted.part.startswith("1/") else []
    for name in wanted.files or kept:
        with open(name, encoding="utf-8") as file:
            yield os.path.basename(name), parse(file.read())
    for number in numbers(wanted):
        yield f"seed {wanted.seed} number {number}", Draw(f"{wanted.seed}/{number}", drawn).scenario()


def main():
    """Play what was asked for."""
    wanted = arguments()
    sys.stdout.reconfigure(line_buffering=True)
    prepare(wanted.module, wanted.kernel)
    oracle = Oracle(wanted.kernel == "travel", not wanted.brief)
    for name, scenario in scenarios(wanted, oracle.drawn):
        if not oracle.play(name, scenario) and wanted.until_first:
            break
    oracle.finish(wanted.tally)
    return 1 if oracle.failed or not oracle.passed else 0


if __name__ == "__main__":
    sys.exit(main())
