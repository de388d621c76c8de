# SPDX-License-Identifier: GPL-2.0
"""Sums up perf's samples of the User-Mode Linux process by the guest kernel's functions.

usage: perf script -F comm,ip | profile.py KALLSYMS

perf knows neither the guest's modules nor where they are; the guest's own list of symbols does.
"""

import bisect
import collections
import sys

SHOWN = 45


def symbols(path):
    """Addresses and names of all functions, in order."""
    with open(path, encoding="ascii") as file:
        found = [(int(address, 16), kind, *rest) for address, kind, *rest in map(str.split, file)]
    functions = sorted((address, " ".join(rest)) for address, kind, *rest in found if kind in "tTwW")
    return [address for address, _ in functions], [name for _, name in functions]


def main():
    """Print the functions with most samples."""
    addresses, names = symbols(sys.argv[1])
    counts = collections.Counter()
    for line in sys.stdin:
        words = line.split()
        if len(words) < 2:
            continue
        where = bisect.bisect(addresses, int(words[-1], 16)) - 1
        inside = where >= 0 and int(words[-1], 16) < addresses[-1] + 0x100000
        counts[names[where] if inside else "(the host)"] += 1
    total = sum(counts.values())
    for name, count in counts.most_common(SHOWN):
        print(f"{100 * count / total:6.2f} %  {name}")


main()
