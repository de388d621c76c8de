# SPDX-License-Identifier: GPL-2.0
"""What memory flows take, by the kernel's own account."""

import time

PAGE = 4096
# The caches of flows: when they are empty, the last case's flows are gone.
FLOWS = ("ip_vs_conn", "rlvs_flow4", "rlvs_flow6", "nf_conntrack")
PATIENCE = 60


def slabs():
    """Bytes of each slab cache, and its live objects."""
    result = {}
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[0] not in ("slabinfo", "#"):
                result[words[0]] = int(words[14]) * int(words[5]) * PAGE, int(words[1])
    return result


def vmalloc():
    """Bytes that the kernel has mapped for large arrays."""
    with open("/proc/vmallocinfo", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file)


def snapshot():
    """The present use."""
    return {name: size for name, (size, _) in slabs().items()} | {"vmalloc": vmalloc()}


def bytes_per_flow(before, after, flows):
    """Growth by cache, as bytes a flow; what grew by less than one is something else."""
    growth = {name: (size - before.get(name, 0)) / flows for name, size in after.items()}
    return {name: round(each, 1) for name, each in growth.items() if each >= 1}


def settle():
    """Wait until the flows of deleted namespaces are gone: that takes processor time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        live = slabs()
        # Objects in partial use are counted by slab, so a few may seem to live.
        if all(live.get(name, (0, 0))[1] < 1000 for name in FLOWS):
            return
        time.sleep(0.2)
    raise RuntimeError("flows of a deleted namespace do not go away")
