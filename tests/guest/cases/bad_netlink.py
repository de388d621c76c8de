# SPDX-License-Identifier: GPL-2.0
"""Bad input through netlink: an error, a text that says what, and nothing changed."""

import ctypes
import struct
import threading

import netlink as nl
from cases.bad_tool import base
from suite import case, check, equal

VIP, VIP6, RIP = "10.0.2.100", "fd00:2::100", "10.0.3.11"
SERVICE, NEW, DEST = nl.service(VIP, 80, full=False), nl.service(VIP, 900), nl.dest("10.0.3.12", 80)
SYS_CAPGET, SYS_CAPSET, CAP_NET_ADMIN, VERSION_3 = 125, 126, 12, 0x20080522


def new(**replaced):
    """A request for a new service with attributes replaced."""
    return nl.NEW_SERVICE, nl.service(VIP, 900, **replaced)


def server(**replaced):
    """A request for a new destination with attributes replaced."""
    return nl.NEW_DEST, SERVICE + nl.dest("10.0.3.12", 80, **replaced)


def raw(payload):
    """A request for a new service whose nest holds these bytes."""
    return nl.NEW_SERVICE, nl.nest(nl.SERVICE, payload)


# Refused by IPVS too.
BOTH = {
    "nothing": (nl.NEW_SERVICE, b""),
    "empty_nest": raw(b""),
    "no_family": new(_1=None),
    "no_protocol": new(_2=None),
    "no_address": new(_3=None),
    "no_port": new(_4=None),
    "no_scheduler": new(_6=None),
    "no_flags": new(_7=None),
    "no_timeout": new(_8=None),
    "no_netmask": new(_9=None),
    "scheduler_unknown": new(_6=b"nosuch\0"),
    "engine_unknown": new(_7=nl.u32(1) + nl.u32(0xFFFFFFFF), _8=nl.u32(60), _11=b"nosuch\0"),
    "engine_long": new(_7=nl.u32(1) + nl.u32(0xFFFFFFFF), _8=nl.u32(60), _11=b"s" * 40 + b"\0"),
    "scheduler_long": new(_6=b"r" * 40 + b"\0"),
    "family_unknown": new(_1=nl.u16(99)),
    "family_short": new(_1=b"\2"),
    "port_short": new(_4=b"\1"),
    "timeout_short": new(_8=nl.u16(0)),
    "netmask_short": new(_9=b"\xff"),
    "prefix_0": (nl.NEW_SERVICE, nl.service(VIP6, 900, _9=nl.u32(0))),
    "prefix_129": (nl.NEW_SERVICE, nl.service(VIP6, 900, _9=nl.u32(129))),
    "duplicate": (nl.NEW_SERVICE, nl.service(VIP, 80)),
    "set_missing": (nl.SET_SERVICE, NEW),
    "del_missing": (nl.DEL_SERVICE, nl.service(VIP, 900, full=False)),
    "get_missing": (nl.GET_SERVICE, nl.service(VIP, 900, full=False)),
    "zero_missing": (nl.ZERO, nl.service(VIP, 900, full=False)),
    "dest_no_service": (nl.NEW_DEST, DEST),
    "dest_missing_service": (nl.NEW_DEST, nl.service(VIP, 900, full=False) + DEST),
    "dest_nothing": (nl.NEW_DEST, SERVICE),
    "dest_empty": (nl.NEW_DEST, SERVICE + nl.nest(nl.DEST)),
    "dest_no_address": server(_1=None),
    "dest_no_port": server(_2=None),
    "dest_no_method": server(_3=None),
    "dest_no_weight": server(_4=None),
    "dest_no_upper": server(_5=None),
    "dest_no_lower": server(_6=None),
    "dest_family": server(_11=nl.u16(99)),
    "dest_weight_negative": server(_4=nl.u32(-1)),
    "dest_weight_short": server(_4=nl.u16(1)),
    "dest_upper_negative": server(_5=nl.u32(-1)),
    "dest_thresholds": server(_5=nl.u32(3), _6=nl.u32(4)),
    "dest_multicast": (nl.NEW_DEST, SERVICE + nl.dest("224.0.0.1", 80)),
    "dest_zero": (nl.NEW_DEST, SERVICE + nl.dest("0.0.0.0", 80)),
    "dest_other_family": (nl.NEW_DEST, SERVICE + nl.dest("fd00:3::11", 80)),
    "dest_duplicate": (nl.NEW_DEST, SERVICE + nl.dest(RIP, 8080)),
    "dest_set_missing": (nl.SET_DEST, SERVICE + DEST),
    "dest_del_missing": (nl.DEL_DEST, SERVICE + nl.dest("10.0.3.12", 80, full=False)),
    "dest_gue_without_port": server(_3=nl.u32(2), _13=b"\1"),
    "timeout_large": (nl.SET_CONFIG, nl.attr(nl.TIMEOUT_TCP, nl.u32(-1))),
    "timeout_size": (nl.SET_CONFIG, nl.attr(nl.TIMEOUT_TCP, nl.u16(5))),
}
# IPVS takes these, or has no such thing.
RLVS = {
    "attribute_cut": raw(struct.pack("HH", 6, 1) + b"\2\0" + b"\6\0"),
    "attribute_long": raw(struct.pack("HH", 400, 1) + b"\2\0\0\0"),
    "attribute_length_0": raw(struct.pack("HH", 0, 1) + b"\2\0\0\0"),
    "attribute_length_3": raw(struct.pack("HH", 3, 1) + b"\2\0\0\0"),
    "service_not_nested": (nl.NEW_SERVICE, nl.attr(nl.SERVICE, b"\7")),
    "service_in_service": (nl.NEW_SERVICE, nl.nest(nl.SERVICE, NEW)),
    "dest_not_nested": (nl.NEW_DEST, SERVICE + nl.attr(nl.DEST, b"\1\2\3")),
    "dest_in_service": (nl.NEW_DEST, nl.nest(nl.SERVICE, SERVICE[4:], DEST)),
    "top_cut": (nl.NEW_SERVICE, NEW + struct.pack("HH", 40, 2)),
    "family_long": new(_1=nl.u32(2)),
    "address_short": new(_3=b"\x0a\0\2"),
    "address_short_v6": (nl.NEW_SERVICE, nl.service(VIP6, 900, _3=b"\x0a\0\2\x64")),
    "address_long": new(_3=bytes(20)),
    "port_long": new(_4=nl.u32(80)),
    "flags_short": new(_7=nl.u32(0)),
    "flags_long": new(_7=bytes(12)),
    "scheduler_empty": new(_6=b"\0"),
    "scheduler_not_text": new(_6=b"\xff\xfe\0"),
    "protocol_icmp": new(_2=nl.u16(1)),
    "protocol_sctp": new(_2=nl.u16(132)),
    "fwmark_no_family": new(_1=None, _5=nl.u32(7)),
    "fwmark_family": new(_1=nl.u16(7), _5=nl.u32(7)),
    "fwmark_short": new(_5=nl.u16(7)),
    "persistent_0": new(_7=nl.u32(1) + nl.u32(0xFFFFFFFF)),
    "persistent_32_days": new(_7=nl.u32(1) + nl.u32(0xFFFFFFFF), _8=nl.u32(2678401)),
    "one_packet": new(_7=nl.u32(4) + nl.u32(0xFFFFFFFF)),
    "flag_of_another": new(_7=nl.u32(8) + nl.u32(0xFFFFFFFF)),
    "engine_alone": new(_11=b"sip\0"),
    "engine_not_text": new(_7=nl.u32(1) + nl.u32(0xFFFFFFFF), _8=nl.u32(60), _11=b"\xff\0"),
    "label_outside": new(_64=nl.u32(0x100) + nl.u32(0xff)),
    "label_short": new(_64=nl.u32(1)),
    "address_zero": (nl.NEW_SERVICE, nl.service("0.0.0.0", 900)),
    "dest_port_0": server(_2=nl.be16(0)),
    "dest_address_short": server(_1=b"\x0a\0\2"),
    "dest_method_bypass": server(_3=nl.u32(4)),
    "dest_method_6": server(_3=nl.u32(6)),
    "dest_method_7": server(_3=nl.u32(7)),
    "dest_method_short": server(_3=nl.u16(0)),
    "dest_set_local_elsewhere": (nl.SET_DEST, SERVICE + nl.dest(RIP, 8080, _3=nl.u32(1))),
    "dest_local_elsewhere": server(_3=nl.u32(1)),
    "dest_fullnat_without_local": server(_3=nl.u32(5)),
    "dest_weight_large": server(_4=nl.u32(1 << 31)),
    "dest_gue": server(_3=nl.u32(2), _13=b"\1", _14=nl.be16(6080)),
    "dest_tunnel_7": server(_3=nl.u32(2), _13=b"\7"),
    "daemon": (nl.NEW_DAEMON, nl.nest(nl.DAEMON, nl.attr(1, nl.u32(1)))),
    "local_nothing": (nl.NEW_LADDR, SERVICE),
    "local_empty": (nl.NEW_LADDR, SERVICE + nl.nest(nl.LADDR)),
    "local_short": (nl.NEW_LADDR, SERVICE + nl.laddr("10.0.3.101", _1=b"\x0a\0\3")),
    "local_family": (nl.NEW_LADDR, SERVICE + nl.laddr("10.0.3.101", _2=nl.u16(99))),
    "local_other_family": (nl.NEW_LADDR, SERVICE + nl.laddr("fd00:3::101")),
    "local_not_here": (nl.NEW_LADDR, SERVICE + nl.laddr("10.0.3.250")),
    "local_no_service": (nl.NEW_LADDR, nl.laddr("10.0.3.101")),
    "local_del_missing": (nl.DEL_LADDR, SERVICE + nl.laddr("10.0.3.101")),
}
DUMPS = {
    "dests_nothing": (nl.GET_DEST, b""),
    "dests_cut": (nl.GET_DEST, nl.nest(nl.SERVICE, b"\1\2")),
    "dests_missing": (nl.GET_DEST, nl.service(VIP, 900, full=False)),
    "locals_nothing": (nl.GET_LADDR, b""),
    "locals_missing": (nl.GET_LADDR, nl.service(VIP, 900, full=False)),
}


def genl(t):
    """A socket on the director for the balancer's family."""
    socket = nl.Genl(t.lab, "director", t.backend.name.upper())
    t.defer(socket.close)
    return socket


def all_refused(t, requests, flags=nl.ACK):
    """Send each request; it must fail with a text and change nothing."""
    saved, socket, faults = base(t), genl(t), []
    for name, (command, payload) in requests.items():
        reply = socket.ask(command, payload, flags)
        if not reply.error:
            faults.append(f"{name} was accepted")
        elif "extack" in t.backend.features and len(reply.text) < 9:
            faults.append(f"{name} got {reply.name()} with the text {reply.text!r}")
    equal(faults, [], "bad messages")
    equal(t.backend.save(), saved, "configuration")


@case("bad.netlink.refused")
def both(t):
    """Messages that IPVS refuses as well."""
    all_refused(t, BOTH)


@case("bad.netlink.strict", needs=("rlvs",))
def strict(t):
    """Messages that are malformed, or ask for what rlvs does not have."""
    all_refused(t, RLVS)


@case("bad.netlink.dumps", needs=("rlvs",))
def dumps(t):
    """Dumps of what is not there."""
    all_refused(t, DUMPS, nl.DUMP)


@case("bad.netlink.cut", needs=("rlvs",))
def cut(t):
    """A good message cut off at every byte is refused or, cut where an attribute ends, understood."""
    saved, socket = base(t), genl(t)
    head = len(nl.nest(nl.SERVICE))
    for payload, command in ((NEW[head:], nl.NEW_SERVICE), (DEST[head:], nl.NEW_DEST)):
        for length in range(len(payload)):
            nest = nl.nest(nl.SERVICE if command == nl.NEW_SERVICE else nl.DEST, payload[:length])
            request = nest if command == nl.NEW_SERVICE else SERVICE + nest
            check(socket.ask(command, request).error, f"command {command} cut to {length} bytes was accepted")
    equal(t.backend.save(), saved, "configuration")


@case("bad.netlink.unknown", needs=("rlvs",))
def unknown(t):
    """Attributes that nobody knows are ignored; commands that nobody knows are refused."""
    socket = genl(t)
    odd = nl.attr(200, b"odd")
    reply = socket.ask(nl.NEW_SERVICE, odd + nl.nest(nl.SERVICE, NEW[4:], odd) + nl.nest(300, odd))
    equal((reply.error, reply.text), (0, ""), "answer to a message with unknown attributes")
    check("10.0.2.100:900" in t.backend.save(), "the service was not added")
    for command in (0, 18, 63, 72, 255):
        check(socket.ask(command, NEW).error, f"command {command} was accepted")


@case("bad.netlink.capability")
def capability(t):
    """A thread without CAP_NET_ADMIN gets EPERM from every command."""
    saved, errors = base(t), {}

    def attempt():
        drop_net_admin()
        socket = genl(t)
        for command in (nl.NEW_SERVICE, nl.DEL_SERVICE, nl.NEW_DEST, nl.SET_CONFIG, nl.GET_INFO, nl.ZERO, nl.FLUSH):
            errors[command] = socket.ask(command, NEW + DEST).name()
        errors["dump"] = socket.ask(nl.GET_SERVICE, flags=nl.DUMP).name()
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    equal(set(errors.values()), {"EPERM"}, f"errors {errors}")
    equal(t.backend.save(), saved, "configuration")


def drop_net_admin():
    """Take CAP_NET_ADMIN from the calling thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = ctypes.create_string_buffer(struct.pack("Ii", VERSION_3, 0)), ctypes.create_string_buffer(24)
    libc.syscall(SYS_CAPGET, header, data)
    sets = list(struct.unpack("6I", data.raw))
    sets[0] &= ~(1 << CAP_NET_ADMIN)
    if libc.syscall(SYS_CAPSET, header, ctypes.create_string_buffer(struct.pack("6I", *sets), 24)):
        raise OSError(ctypes.get_errno(), "capset")
