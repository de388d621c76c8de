#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the guests of a run found, drew and saw, all together; the last line is "N passed, N failed".

usage: report.py COMPLETE FOLDER…     COMPLETE is 1 if everything must have been drawn, and every excuse used.
"""

import json
import os
import sys
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "guest")]

import options  # noqa: E402
from excuses import EXCUSES  # noqa: E402


def read(folders):
    """{tally: Counter} over all guests, and how many of them did not reach their end."""
    found, missing = {}, 0
    for folder in folders:
        try:
            with open(f"{folder}/tally.json", encoding="utf-8") as file:
                for name, counts in json.load(file).items():
                    found.setdefault(name, Counter()).update(counts)
        except FileNotFoundError:
            print(f"FAIL the guest did not reach its end; see {folder}/console.log")
            missing += 1
        with open(f"{folder}/status", encoding="ascii") if os.path.exists(f"{folder}/status") else open(os.devnull) as file:
            # The kernel complained, which is not among the scenarios.
            missing += file.read().strip() == "2"
    return found, missing


def show(title, names, counts):
    """A line of how often each was there; those that never were."""
    print(f"{title}: " + ", ".join(f"{name} {counts[name]}" for name in names))
    return [name for name in names if not counts[name]]


def main():
    """Report."""
    complete, folders = sys.argv[1] == "1", sys.argv[2:]
    found, failed = read(folders)
    result, drawn, seen, used = (found.get(name, Counter()) for name in ("result", "drawn", "seen", "excused"))
    failed += result["failed"]
    never = show("drawn", list(dict.fromkeys(label for option in options.DRAWN for label in option.labels())), drawn)
    never += show("seen", list(dict.fromkeys([*options.SEEN, *sorted(seen)])), seen)
    never += [f"excuse {name}" for name in show("excused", [excuse.name for excuse in EXCUSES], used)]
    if complete and never:
        print(f"FAIL never there: {', '.join(never)}")
        failed += 1
    print(f"{result['passed']} passed, {failed} failed")
    return 1 if failed or not result["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
