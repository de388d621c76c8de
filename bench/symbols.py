# SPDX-License-Identifier: GPL-2.0
"""The functions of the guest's kernel: tools of the host know neither its modules nor where they are."""

import bisect

# As large as the last function may be.
LARGE = 0x100000


class Symbols:
    """Functions by address, from the guest's own list."""

    def __init__(self, path):
        with open(path, encoding="ascii") as file:
            found = [(int(address, 16), kind, *rest) for address, kind, *rest in map(str.split, file)]
        functions = sorted((address, " ".join(rest)) for address, kind, *rest in found if kind in "tTwW")
        self.addresses = [address for address, _ in functions]
        self.names = [name for _, name in functions]

    def at(self, address):
        """The function that an address is in; modules' have the module's name behind theirs."""
        where = bisect.bisect(self.addresses, address) - 1
        inside = where >= 0 and address < self.addresses[-1] + LARGE
        return self.names[where] if inside else "(the host)"

    def address(self, name):
        """Where a function begins."""
        return self.addresses[self.names.index(name)]
