# SPDX-License-Identifier: GPL-2.0
"""The cases, a file for each theme, in the order in which they run."""

from cases import paths, early, icmp, mtu  # noqa: F401
