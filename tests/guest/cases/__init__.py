# SPDX-License-Identifier: GPL-2.0
"""The cases, a file for each theme, in the order in which they run."""

from cases import paths, early, icmp, mtu, schedulers, change, counters, fullnat, limits  # noqa: F401
from cases import reuse, persist, ftp, leaving, settings, full, oddities, checksums, tool, bad_tool, parity  # noqa: F401
from cases import bad_netlink, lifecycle, trust, void, ipsec, bounds, owners, reasons, stateful, answers  # noqa: F401
from cases import bridged, labels, marks, rates, sip, totals, strangers, ways, defence, doors, door_files, door_tools, faults  # noqa: F401
