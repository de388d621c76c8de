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

PROJECT = "/src"
# Of this run; the kernel's name is that of bench.sh.
KERNEL = "one"
RESULTS = f"{PROJECT}/build/bench/{KERNEL}"


def load_modules():
    """The generator, the kernel's balancer with its schedulers, rlvs."""
    ipvs = f"/uml/{KERNEL}/net/netfilter/ipvs"
    paths = [f"{ipvs}/ip_vs.ko", *sorted(glob.glob(f"{ipvs}/ip_vs_*.ko")),
             f"{RESULTS}/gen/rlvs_gen.ko", f"{RESULTS}/rlvs/rlvs.ko"]
    for path in paths:
        director.run("insmod", path)


def chosen(pattern):
    """The cases whose names match the pattern."""
    return [case for case in cases.all_cases() if fnmatch.fnmatch(case.name, f"{pattern}*")]


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


def write(out, failed):
    """Write what there is: a run that is broken off keeps the cases that it measured."""
    result = {
        "kernel": os.uname().release, "date": time.strftime("%Y-%m-%d"), "failed": failed,
        "cases": out.cases, "memory": out.memory, "other": out.other,
    }
    with open(f"{RESULTS}/results.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


def main():
    """Measure all that was ordered; the file `done` says that the end was reached."""
    with open(f"{PROJECT}/build/bench/order", encoding="utf-8") as file:
        pattern, lab.profiled, rounds = file.read().splitlines()
    lab.profile_rounds = int(rounds)
    load_modules()
    # For the profile: which function is where.
    shutil.copyfile("/proc/kallsyms", f"{RESULTS}/kallsyms")
    out = kinds.Records()
    write(out, [])
    failed = []
    for case in chosen(pattern):
        if not measure(case, out):
            failed.append(case.name)
        write(out, failed)
    with open(f"{RESULTS}/done", "w", encoding="utf-8"):
        pass


main()
