#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest tests: run.py [--backend rlvs|ipvs] [--module FILE] [--faults FOLDER] [--kernel any|stock|watched] [--half 1|2] [--list] [PATTERN…] runs the cases that match.

A pattern without a wildcard also stands for everything below it: `nat` is `nat.*`.
"""

import argparse
import fnmatch
import os
import re
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402,F401  (registers them)
import suite  # noqa: E402
from backend import Ipvs, Rlvs  # noqa: E402
from context import Context  # noqa: E402
from faulty import Faults, available  # noqa: E402
from kmsg import Log  # noqa: E402
from lab import Lab  # noqa: E402
from servers import Servers  # noqa: E402

BOUND = 600
SPLATS = "/src/qemu/splats"
SHOWN = 12


# These files have each thing in all its combinations. When all cases are run, the stock kernel gets every SEVENTH case of
# them, and the kernel that watches itself every FIFTH, at the processor's own speed; `make debug` runs them all. Combinations come by twos,
# threes and fours: with other numbers it would always be the same ones that are left out.
THOROUGH = {"trust", "void", "ipsec", "stateful", "answers", "bridged", "reasons", "owners", "checksums", "full"}
THOROUGH |= {"strangers", "leaving", "reuse", "marks", "labels", "persist", "change"}
THOROUGH_NAMES = ("mtu.here.", "full.flood.", "states.", "owners.many.")
SEVENTH, FIFTH = 7, 5
# What these files ask of the tool, of requests and of choices is the same on every kernel. The kernel that watches itself has all that
# name no method, and the stock kernel every SEVENTH of those.
ANYWHERE = {"parity", "bad_tool", "bad_netlink", "tool", "persist", "settings", "rates", "schedulers", "door_tools"}
# A flood in the kernel that watches itself, beside other guests, is a trickle that says nothing: the stock kernel has one of each
# method.
FLOOD, EACH = "full.flood.", 5


def theme(case):
    """The file, or the beginning of the name, by which cases are shared out; None if all of them are the stock kernel's."""
    names = [name for name in THOROUGH_NAMES if case.name.startswith(name)]
    file = case.function.__module__.rpartition(".")[2]
    if file in ANYWHERE and "method" not in case.params:
        return file
    return names[0] if names else file if file in THOROUGH else None


def kernels(case, of, number):
    """Which kernels run a case when all are run; it is so many of its theme `of` before it."""
    if "faults" in case.needs:
        return ()
    if of == FLOOD:
        return ("stock",) if number % EACH == 0 else ()
    stock = of is None or number % SEVENTH == 0
    watched = not stock if of in ANYWHERE else of is not None and number % FIFTH == FIFTH // 2
    return ("stock",) * stock + ("watched",) * watched


def share(kernel):
    """The cases that a kernel runs when all are run: `stock`, `watched`, or `any` for all."""
    numbers = {}
    for case in suite.REGISTRY:
        of = theme(case)
        numbers[of] = numbers.get(of, -1) + 1
        if kernel == "any" or kernel in kernels(case, of, numbers[of]):
            yield case


def half(cases, which):
    """One of two parts of cases, 1 or 2, which take about as long as each other: pairs of neighbours in turn."""
    return [case for number, case in enumerate(cases) if which in (None, 1 + number // 2 % 2)]


def matches(name, patterns):
    """True if a case is asked for."""
    return not patterns or any(fnmatch.fnmatch(name, p) or name.startswith(p + ".") for p in patterns)


def expired(_signal, _frame):
    """End a case that hangs."""
    raise suite.Failed(f"still running after {BOUND} s")


def where(error):
    """The innermost line of a case file that an error passed."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if os.sep + "cases" + os.sep in frame.filename:
            return f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return ""


def report(case, error, context, start):
    """Print a failure: the reason, the place, and the last frames of every capture."""
    print(f"FAIL {case.name}: {error} ({where(error)}, {time.monotonic() - start:.1f} s)")
    if not isinstance(error, suite.Failed):
        print("".join(traceback.format_exception(error)))
    for tap in context.taps:
        try:
            tap.fetch()
        except (OSError, RuntimeError) as problem:
            print(f"    capture on {tap.host} {tap.dev}: {problem}")
        frames = [frame for frame in tap.frames if frame.ip]
        print(f"    {tap.host} {tap.dev}: {len(frames)} packets" + "".join(f"\n      {f!r}" for f in frames[-SHOWN:]))


class Console:
    """The kernel's log from the start of the run on; splats in it fail the case that was running."""

    def __init__(self):
        with open(SPLATS, encoding="ascii") as file:
            lines = [line.rstrip("\n") for line in file if not line.startswith("#")]
        self.splat = re.compile("|".join(lines))
        self.log = Log()

    def check(self):
        """Fail on a splat among the new lines."""
        found = [line for line in self.log.lines() if self.splat.search(line)]
        suite.check(not found, f"the kernel complained: {found[:3]}")


def run_case(case, lab, backend, servers, console):
    """Run one case; True if it held."""
    context = Context(lab, backend, servers)
    start = time.monotonic()
    suite.AGAIN.clear()
    signal.alarm(BOUND)
    try:
        if case.fresh:
            backend.reload()
        backend.early(case.params.get("early", "on") == "on")
        with context.undo:
            try:
                case.run(context)
                console.check()
            except Exception as error:
                report(case, error, context, start)
                return False
        print(f"ok {'(asked again) ' if suite.AGAIN else ''}{case.name} ({time.monotonic() - start:.1f} s)")
        return True
    except Exception as error:
        report(case, error, context, start)
        return False
    finally:
        signal.alarm(0)
        clean(backend)


def clean(backend):
    """Leave nothing configured for the next case."""
    try:
        if not backend.loaded():
            backend.load()
        backend.wipe()
    except Exception as error:
        print(f"    cleaning up: {error}")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("rlvs", "ipvs"), default="rlvs")
    parser.add_argument("--module", default=Rlvs.module, help="another build of rlvs.ko")
    parser.add_argument("--faults", help="where a build of rlvs.ko is whose calls can fail")
    parser.add_argument("--receive", default=Context.receiver, help="another build of rlvs_receive.ko")
    parser.add_argument("--kernel", choices=("any", "stock", "watched"), default="any", help="one kernel's share of all")
    parser.add_argument("--half", type=int, choices=(1, 2), help="one of two parts of these")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("patterns", nargs="*")
    return parser.parse_args()


def main():
    """Run what was asked for; exit status 0 when nothing failed."""
    options = arguments()
    wanted = [case for case in half(share(options.kernel), options.half) if matches(case.name, options.patterns)]
    if options.list:
        print("\n".join(case.name for case in wanted))
        return 0
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGALRM, expired)
    lab = Lab()
    Rlvs.module, Context.receiver, Faults.folder = options.module, options.receive, options.faults
    if available(options.faults):
        Rlvs.features |= {"faults"}
    backend = (Rlvs if options.backend == "rlvs" else Ipvs)(lab)
    backend.load()
    servers, console = Servers(lab), Console()
    passed = failed = 0
    repeated = []
    for case in wanted:
        missing = case.needs - backend.features
        if missing:
            print(f"skip {case.name}: {backend.name} has no {', '.join(sorted(missing))}")
        elif run_case(case, lab, backend, servers, console):
            passed += 1
            repeated += [case.name] if suite.AGAIN else []
        else:
            failed += 1
    backend.unload()
    if repeated:
        print(f"asked again: {len(repeated)} cases, {', '.join(repeated)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
