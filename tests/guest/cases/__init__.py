# SPDX-License-Identifier: GPL-2.0
"""The cases, a file for each theme, in the order in which they run."""

from cases import paths, early, icmp, mtu, schedulers, change, counters, fullnat, limits  # noqa: F401
from cases import reuse, persist, full, oddities, checksums, tool, bad_tool, parity, bad_netlink, lifecycle  # noqa: F401
from cases import trust, void, ipsec, bounds, owners, reasons, stateful, answers, bridged, marks, rates, faults  # noqa: F401
