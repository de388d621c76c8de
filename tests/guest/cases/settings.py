# SPDX-License-Identifier: GPL-2.0
"""What can be set under net.rlvs: names, defaults, ranges, and that each network namespace has its own."""

from suite import case, check, equal, raises

# Name: its default, what it takes, what it refuses.
ANY = ((-2**31, -1, 0, 1, 2, 2**31 - 1), (-2**31 - 1, 2**31, "1x", "x"))
SECONDS = ((0, -1, 2**31 // 1000), (2**31, "x"))
SETTINGS = {
    "conn_reuse_mode": (1, *ANY),
    "expire_nodest_conn": (0, *ANY),
    "sloppy_tcp": (0, *ANY),
    "schedule_icmp": (0, *ANY),
    "nat_icmp_send": (0, *ANY),
    "ignore_tunneled": (0, *ANY),
    "snat_reroute": (1, *ANY),
    "pmtu_disc": (1, *ANY),
    "cache_bypass": (0, *ANY),
    "backup_only": (0, *ANY),
    "est_nice": (0, (-20, 19), (-21, 20, "x")),
    "conn_lfactor": (-2, (-8, 8), (-9, 9, "x")),
    "svc_lfactor": (-2, (-8, 8), (-9, 9, "x")),
    "amemthresh": (1024, *ANY),
    "am_droprate": (10, *ANY),
    "run_estimation": (1, *ANY),
    "expire_quiescent_template": (0, *ANY),
    "lblc_expiration": (86_400, *SECONDS),
    "lblcr_expiration": (86_400, *SECONDS),
    "drop_entry": (0, (0, 3), (-1, 4, "x")),
    "drop_packet": (0, (0, 3), (-1, 4, "x")),
    "secure_tcp": (0, (0, 3), (-1, 4, "x")),
}


@case("settings.est_cpulist", needs=("rlvs",), fresh=True)
def cpus(t):
    """A list of the machine's processors, all to begin with."""
    every = t.backend.sysctl("est_cpulist")
    check(every.startswith("0"), f"default {every!r}")
    t.sysctl("est_cpulist", "0")
    equal(t.backend.sysctl("est_cpulist"), "0", "after 0")
    for value in ("0-100000", "x", "-1"):
        raises((OSError,), lambda: t.backend.sysctl("est_cpulist", value), value)
        equal(t.backend.sysctl("est_cpulist"), "0", f"after {value}")
    equal(t.backend.sysctl("est_cpulist", host="client"), every, "in another namespace")


@case("settings.{name}", needs=("rlvs",), name=tuple(SETTINGS), fresh=True)
def setting(t, name):
    """Its default, all that it takes is read back, what it does not take changes nothing, and no other namespace sees it."""
    default, takes, refuses = SETTINGS[name]
    equal(t.backend.sysctl(name), str(default), "default")
    for value in takes:
        t.sysctl(name, value)
        equal(t.backend.sysctl(name), str(value), f"after {value}")
        equal(t.backend.sysctl(name, host="client"), str(default), "in another namespace")
    for value in refuses:
        raises((OSError,), lambda: t.backend.sysctl(name, value), f"{value!r}")
        equal(t.backend.sysctl(name), str(takes[-1]), f"after {value!r}")


@case("settings.longest_timeouts", needs=("rlvs",))
def longest(t):
    """What ipvsadm takes at the most, the module takes too, where the ticks of the clock can count it."""
    t.defer(t.backend.run, "--set", "900", "120", "300")
    t.backend.run("--set", "2678400", "2678399", "2678398")
    check("2678400 2678399 2678398" in t.backend.run("-L", "--timeout").stdout, "the time-outs are not listed")
