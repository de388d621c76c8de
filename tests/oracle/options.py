# SPDX-License-Identifier: GPL-2.0
"""The one table of what is drawn: of services, destinations, packets, errors, edits and settings, and how often.

What rlvs learns is added here as a line, and what is random about it to compare.py; draw.py need not change for an option that
is words for the tools or a field of a packet.
"""

from dataclasses import dataclass


def always(_about):
    """For everything."""
    return True


@dataclass(frozen=True)
class Option:
    """Something that is drawn with a chance, where it makes sense: one of some values, as words or as a field."""

    name: str
    chance: float
    values: tuple
    word: str = ""
    when: object = always

    def labels(self):
        """How each value is called in the tally."""
        return [f"{self.name} {value}".strip() for value in self.values]


def scheduler_is(*names):
    """For services of these schedulers."""
    return lambda service: service.words.get("-s") in names


def tcp(about):
    """For TCP only."""
    return about.proto == "tcp"


def udp(about):
    """For UDP only."""
    return about.proto == "udp"


def family_is(number):
    """For one family."""
    return lambda about: about.family == number


def both(*conditions):
    """Where all hold."""
    return lambda about: all(condition(about) for condition in conditions)


def is_persistent(service):
    """For services that are persistent."""
    return "-p" in service.words


# What names a service: address and port, a firewall mark, or an address alone.
KIND = Option("service by", 1, ("address", "mark", "all ports"))
KINDS = (8, 2, 1)
# The services that such packets are for have these marks; port 0: all packets to the address have the mark.
MARKS = Option("mark", 1, ("7", "2147483647"))
MARKED = Option("marked", 1, ("port", "address"))
WHERE = Option("marked address", 1, ("ours", "foreign"))

# Of a service: words for -A and -E.
SERVICE = (
    Option("scheduler", 1, ("rr", "wrr", "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "twos", "rr",
                            "wlc", "none"), "-s"),
    # A datagram that nobody remembers shows no more whether chance sent it elsewhere.
    Option("one packet", 0.25, ("",), "-o", lambda service: udp(service) and service.words["-s"] not in ("twos", "mh")),
    Option("flags", 0.6, ("sh-fallback", "sh-port", "sh-fallback,sh-port"), "-b", scheduler_is("sh")),
    Option("flags", 0.6, ("mh-fallback", "mh-port", "mh-fallback,mh-port"), "-b", scheduler_is("mh")),
    Option("persistent", 0.2, ("1", "30", "100", "300", "2678400"), "-p"),
    Option("mask", 0.4, ("255.255.255.0", "255.255.0.0"), "-M", both(is_persistent, family_is(4))),
    Option("prefix", 0.4, ("64", "126"), "-M", both(is_persistent, family_is(6))),
    Option("engine", 0.6, ("sip",), "--pe", both(is_persistent, udp)),
)

# Of a destination: words for -a and -e. The method has no word of its own in front.
DESTINATION = (
    Option("method", 1, ("-m", "-m", "-m", "-g", "-i")),
    Option("weight", 0.6, ("0", "1", "2", "3", "10", "65535"), "-w"),
    Option("upper", 0.12, ("1", "2", "3"), "-x"),
    Option("lower", 0.5, ("0", "1"), "-y", lambda dest: "-x" in dest.words),
)

# Where a destination is: on the inner link, behind a router there, or on the director itself.
PLACE = Option("place", 1, ("near", "near", "near", "near", "near", "far", "here"))

# Of a packet, as frames.py takes them.
PACKET = (
    Option("ttl", 0.04, ("1", "2", "255")),
    Option("tos", 0.04, ("8", "46", "184", "3")),
    Option("df", 0.10, ("0",), when=family_is(4)),
    Option("csum", 0.03, ("bad",)),
    Option("csum", 0.03, ("0",), when=both(udp, family_is(4))),
    Option("ipcsum", 0.01, ("bad",), when=family_is(4)),
    Option("ipopt", 0.02, ("nop", "rr", "ts", "ra"), when=family_is(4)),
    Option("ext", 0.03, ("hop", "dst", "route"), when=family_is(6)),
    Option("doff", 0.01, ("0", "4", "6", "15"), when=tcp),
    Option("iplen", 0.01, ("8", "20")),
    Option("ulen", 0.01, ("-4", "4", "-8"), when=udp),
    Option("cut", 0.02, ("20", "20", "24", "28", "39", "44", "48", "59")),
    Option("frag", 0.05, ("8", "24", "256")),
    Option("mac", 0.01, ("other", "all")),
    Option("seq", 0.03, ("1", "-1", "1000000")),
)
# Of most packets of some UDP flows: SIP messages.
CALL = Option("call", 0.85, ("one", "two", "three"))
HEAD = Option("head", 0.3, ("long", "compact", "folded", "odd", "none", "empty", "void", "twice", "late", "blank", "comma", "cut",
                            "latin", "host", "other"))
# Only of packets in fragments.
PARTS = Option("parts", 0.5, ("reverse", "first", "last", "twice"))
SIZE = Option("size", 1, ("0", "1", "7", "100", "512", "1300", "1432", "1460", "1472", "2000", "8000"))
SIZES = (20, 8, 8, 30, 10, 8, 3, 2, 2, 1, 1)

# Of an ICMP error.
ERROR = {
    4: Option("error", 1, ("3/0", "3/1", "3/2", "3/3", "3/4", "3/13", "4/0", "5/1", "11/0", "11/1", "12/0")),
    6: Option("error6", 1, ("1/0", "1/1", "1/3", "1/4", "2/0", "3/0", "3/1", "4/0", "4/1", "100/0")),
}
ERROR_ODD = (
    Option("mtu", 0.3, ("1400", "1280", "576", "68", "0", "9000")),
    Option("quote", 0.5, ("20", "28", "36", "40", "48", "56", "68")),
    Option("bad", 0.1, ("csum", "quoted")),
    Option("ttl", 0.05, ("1", "255")),
    Option("from", 0.4, ("router",)),
)

# Seconds: about the ends of all time-outs, and more than all of them.
WAIT = Option("wait", 1, ("1", "2", "5", "9", "12", "28", "32", "57", "63", "115", "125", "290", "310", "880", "1000", "86400"))
WAITS = (12, 8, 8, 8, 8, 4, 4, 8, 8, 6, 6, 4, 4, 3, 3, 0.2)

# What a flow does in its life: draw.py has a function for each.
LIFE = {
    "tcp": Option("life tcp", 1, ("whole", "reset", "half", "silent", "wild", "resend", "reuse", "deaf")),
    "udp": Option("life udp", 1, ("talk", "oneway", "wild")),
}
LIVES = {"tcp": (8, 3, 3, 3, 3, 3, 2, 2), "udp": (6, 3, 2)}

# How often answers of DR and TUN come through the director all the same.
PASSING = 0.15

# Edits under traffic: edits.py has a function for each.
EDIT = Option("edit", 1, ("weight", "quiesce", "thresholds", "method", "add", "remove", "readd", "scheduler", "flags", "delete",
                          "recreate", "timeouts", "zero", "clear", "wrong"))
EDITS = (6, 4, 2, 1, 4, 4, 3, 3, 1, 1, 1, 2, 1, 0.3, 1)

# Those of both, and `early` of rlvs, `mtu` of the inner link.
SETTING = Option("set", 1, (
    "early 0", "early 1", "mtu 1400", "mtu 1280", "mtu 1500", "expire_nodest_conn 0", "expire_nodest_conn 1", "expire_nodest_conn 1",
    "expire_quiescent_template 0", "expire_quiescent_template 1", "conn_reuse_mode 0", "conn_reuse_mode 1", "conn_reuse_mode 2",
    "conn_reuse_mode 3", "sloppy_tcp 0", "sloppy_tcp 1", "sloppy_tcp 1", "schedule_icmp 0", "schedule_icmp 1", "schedule_icmp 1",
    "nat_icmp_send 0", "nat_icmp_send 1", "nat_icmp_send 1", "cache_bypass 0", "cache_bypass 1", "cache_bypass 1", "drop_entry 0",
    "drop_entry 1", "drop_entry 3", "drop_packet 0", "drop_packet 1", "drop_packet 3", "am_droprate 2", "am_droprate 3",
    "amemthresh 1000000000", "secure_tcp 0", "secure_tcp 1", "secure_tcp 3", "secure_tcp 3", "pmtu_disc 0", "pmtu_disc 1",
    "snat_reroute 0", "snat_reroute 1", "ignore_tunneled 0", "ignore_tunneled 1", "lblc_expiration 60", "lblcr_expiration 60"))
SHARED = sorted({value.split()[0] for value in SETTING.values} - {"early", "mtu"})
# What takes one of both up to a second, and how long that is waited for; the second have edits in the background as well.
DEFENCE, SECONDS = ("drop_entry", "drop_packet", "am_droprate", "amemthresh", "secure_tcp"), 2
BACKGROUND = ("expire_nodest_conn", "nat_icmp_send")
EARLY = Option("early", 1, ("on", "off", "switched"))

# What every run must have drawn.
DRAWN = (KIND, MARKS, MARKED, WHERE, *SERVICE, *DESTINATION, PLACE, *PACKET, CALL, HEAD, PARTS, SIZE, *ERROR.values(), *ERROR_ODD, WAIT,
         *LIFE.values(), EDIT, SETTING, EARLY)
# What every run must have seen: states of connections, and packets by the way that they took in rlvs.
SEEN = (*(f"state TCP {name}" for name in ("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "SYNACK")),
        "state UDP UDP", *(f"way {name}" for name in ("early", "syn", "unmarked", "path", "size", "ttl", "form")))
