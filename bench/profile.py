# SPDX-License-Identifier: GPL-2.0
"""Sums up perf's samples of the User-Mode Linux process by the guest kernel's functions.

usage: perf script -F comm,ip | profile.py KALLSYMS
"""

import collections
import sys

from symbols import Symbols

SHOWN = 45


def main():
    """Print the functions with most samples."""
    symbols, counts = Symbols(sys.argv[1]), collections.Counter()
    for line in sys.stdin:
        words = line.split()
        if len(words) >= 2:
            counts[symbols.at(int(words[-1], 16))] += 1
    total = sum(counts.values())
    for name, count in counts.most_common(SHOWN):
        print(f"{100 * count / total:6.2f} %  {name}")


main()
