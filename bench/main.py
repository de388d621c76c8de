# SPDX-License-Identifier: GPL-2.0
"""Runs the cases inside the guest and writes what they give."""

import fnmatch
import glob
import json
import os
import shutil
import time
import traceback

import cases
import director
import kinds
import lab
import memory

# What the generator's own packets are, whose cost is taken off: another host's, which the stack drops
# at once. In the kernel for two processors the counter of such drops costs more than all of rlvs does.
BASELINE = {"one": {"other": 1}, "two": {"freed": 1}}
PROJECT = "/src"
RESULTS = f"{PROJECT}/build/bench"


def load_modules(kernel):
    """The generator, the kernel's balancer with its schedulers, rlvs."""
    ipvs = f"/uml/{kernel}/net/netfilter/ipvs"
    paths = [f"{ipvs}/ip_vs.ko", *sorted(glob.glob(f"{ipvs}/ip_vs_*.ko")),
             f"{RESULTS}/{kernel}/gen/rlvs_gen.ko", f"{RESULTS}/{kernel}/rlvs/rlvs.ko"]
    for path in paths:
        director.run("insmod", path)


def chosen(kernel, pattern):
    """The cases for this kernel whose names match the pattern."""
    for case in cases.all_cases():
        if case.kernel == kernel and fnmatch.fnmatch(case.name, f"{pattern}*"):
            yield case


def show(case, records, seconds):
    """A line of progress."""
    values = "  ".join(f"{record['system']} {record['ns']:.0f}" for record in records)
    print(f"{case.name:32} {seconds:5.1f} s  {values}")


def measure(case, out):
    """Measure one case; False if it failed."""
    before, start = len(out.cases), time.monotonic()
    try:
        kinds.of(case)(case, out)
        memory.settle()
    except lab.Profiled:
        return True
    except Exception:
        traceback.print_exc()
        return False
    show(case, out.cases[before:], time.monotonic() - start)
    return True


def write(kernel, out, failed):
    """Write what there is: a run that is broken off keeps the cases that it measured."""
    result = {
        "kernel": os.uname().release, "date": time.strftime("%Y-%m-%d"), "failed": failed,
        "cases": out.cases, "memory": out.memory, "other": out.other,
    }
    with open(f"{RESULTS}/{kernel}/results.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


def main():
    """Measure all that was ordered; the file `done` says that the end was reached."""
    with open(f"{RESULTS}/order", encoding="utf-8") as file:
        kernel, pattern, lab.profiled, rounds = file.read().splitlines()
    lab.profile_rounds = int(rounds)
    lab.baseline = BASELINE[kernel]
    load_modules(kernel)
    # For the profile: which function is where.
    shutil.copyfile("/proc/kallsyms", f"{RESULTS}/{kernel}/kallsyms")
    out = kinds.Records()
    write(kernel, out, [])
    failed = []
    for case in chosen(kernel, pattern):
        if not measure(case, out):
            failed.append(case.name)
        write(kernel, out, failed)
    with open(f"{RESULTS}/{kernel}/done", "w", encoding="utf-8"):
        pass


main()
