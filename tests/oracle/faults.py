#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Faults that are planted in rlvs, each of which the oracle must find: a file of rust/, a text in it, and what to put there.

usage: faults.py list | faults.py plant NAME FOLDER

A text must stand in its file exactly once, so that a fault which does not fit the sources any more is noticed.
"""

import pathlib
import sys

# Name, file below rust/, text, replacement.
FAULTS = (
    ("cell-in-fin", "proto/tcp.rs", "fin: [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],\n        ack: [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],\n"
     "        rst: [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],", "fin: [CL, FW, SS, TW, TW, TW, CL, CW, LA, LI, TW],\n"
     "        ack: [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],\n        rst: [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],"),
    ("cell-out-rst", "proto/tcp.rs", "rst: [CL, CL, SS, CL, CL, TW, CL", "rst: [CL, CL, SS, CL, CL, CL, CL"),
    ("cell-out-fin", "proto/tcp.rs", "fin: [TW, FW, SS, TW, FW, TW, CL, TW", "fin: [TW, FW, SS, TW, FW, TW, CL, CW"),
    ("cell-only-fin", "proto/tcp.rs", "fin: [CL, FW, SS, TW, FW", "fin: [CL, CW, SS, TW, FW"),
    ("timeout-syn-recv", "proto/tcp.rs", '"SYN_RECV",     60,', '"SYN_RECV",     61,'),
    ("timeout-close", "proto/tcp.rs", '"CLOSE",        10,', '"CLOSE",        20,'),
    ("timeout-udp", "proto/udp.rs", '"UDP", 300,', '"UDP", 290,'),
    ("active-syn-recv", "proto/tcp.rs", '"SYN_RECV",     60, true,', '"SYN_RECV",     60, false,'),
    ("syn-ack-opens-not", "proto/tcp.rs", "flags & (SYN | RST) == SYN", "flags & (SYN | RST | ACK) == SYN"),
    ("no-flag-closes-not", "proto/tcp.rs", ".unwrap_or(State::Close)", ".unwrap_or(state)"),
    ("over-fin-wait", "proto/mod.rs", "matches!(self, Self::Closed | Self::Reset)",
     "matches!(self, Self::Closed | Self::Reset | Self::Closing)"),
    ("over-not-close", "proto/mod.rs", "matches!(self, Self::Closed | Self::Reset)", "matches!(self, Self::Closed)"),
    ("ttl-kept", "packet/rewrite.rs", "old.checked_sub(0x100)?", "old"),
    ("hop-limit-twice", "packet/rewrite.rs", "limit.checked_sub(1)?", "limit.checked_sub(2)?"),
    ("ttl-two", "forward/mod.rs", "if ttl <= 1 {", "if ttl <= 2 {"),
    ("udp-zero", "packet/rewrite.rs", "        0xffff\n", "        0\n"),
    ("csum-ports", "packet/rewrite.rs", "let check = addresses.and(ports).apply(check);", "let check = addresses.apply(check);"),
    ("outer-ttl", "packet/tunnel.rs", "u32::from_be_bytes([inner.ttl, inner.protocol(), 0, 0])",
     "u32::from_be_bytes([64, inner.protocol(), 0, 0])"),
    ("outer-df", "packet/tunnel.rs", "if inner.df { u32::from(ipv4::DF) } else { 0 }", "u32::from(ipv4::DF)"),
    ("outer-ecn", "packet/tunnel.rs", "if self.tos & ECN == CE {", "if self.tos & ECN == ECT0 {"),
    ("icmp-code", "datapath/schedule.rs", "Icmp::PortUnreachable", "Icmp::HostUnreachable"),
    ("icmp-mtu", "forward/mod.rs", "packet.icmp(A::V6, Icmp::TooBig(mtu));", "packet.icmp(A::V6, Icmp::TooBig(mtu - 8));"),
    ("icmp-kind", "packet/icmp.rs", "UNREACHABLE4 | SOURCE_QUENCH | TIME_EXCEEDED4", "UNREACHABLE4 | TIME_EXCEEDED4"),
    ("icmp-counted-in", "datapath/icmp.rs", "    flow.dest.count_out(packet.len());\n    nat::error_to_client",
     "    flow.dest.count_in(packet.len());\n    nat::error_to_client"),
    ("icmp-unchecked", "forward/nat.rs", "packet.icmp_is_valid(quote.icmp, A::V6) && packet.complete_checksum()", "packet.complete_checksum()"),
    ("gone-goes-on", "datapath/known.rs", "    if !flow.dest.available() {\n        // As IPVS", "    if false {\n        // As IPVS"),
    ("conns-uncounted", "datapath/schedule.rs", "                flow.dest.stats.connection();\n", ""),
    ("out-uncounted", "datapath/known.rs", "    flow.dest.count_out(packet.len());\n    forward::nat::reply", "    forward::nat::reply"),
    ("early-bytes", "forward/nat.rs", "    let len = packet.len();\n    packet.send_early(path, &flow.dest.stats, len, side)",
     "    packet.send_early(path, &flow.dest.stats, 20, side)"),
    ("early-state", "forward/dr.rs", "    touch(flows, &packet, flow, Side::First, context.flags);\n", ""),
    ("lc-tie", "sched/lc.rs", ".min_by_key(|(_, dest)| overhead(*dest))", ".rev()\n        .min_by_key(|(_, dest)| overhead(*dest))"),
    ("wlc-tie", "sched/least.rs", "product(self.load, other.weight) < product", "product(self.load, other.weight) <= product"),
    ("rr-added", "sched/rr.rs", "Change::Added if cursor != 0 => cursor.wrapping_add(1)", "Change::Added if cursor != 0 => cursor"),
    ("wrr-step", "sched/wrr.rs", "let step = common_divisor(table.iter().skip(leaves).copied()).max(1);", "let step = 1;"),
    ("sh-weight", "sched/sh.rs", "dest.weight().max(1) as usize", "dest.weight().min(1) as usize"),
    ("mh-step", "sched/mh.rs", "slots.wrapping_sub(1)", "slots"),
    ("sh-fallback", "sched/hashed.rs", "(home..slots)\n        .chain(0..home)", "(0..slots)\n        .chain(0..home)"),
    ("threshold-reached", "service/dest.rs", "if total >= upper {", "if total > upper {"),
    ("threshold-lower", "service/dest.rs", "spec.upper.saturating_sub(spec.upper >> 2)", "spec.upper"),
    ("last-weight", "service/dest.rs", "        if weight != 0 {\n", "        {\n"),
    ("sed-one", "sched/sed.rs", "u64::from(dest.active()).wrapping_add(1))", "u64::from(dest.active()).wrapping_add(2))"),
    ("nq-idle", "sched/nq.rs", "dest.active() == 0 &&", "dest.total() == 0 &&"),
    ("fo-tie", "sched/fo.rs", "if next.1 > first.1", "if next.1 >= first.1"),
    ("ovf-full", "sched/ovf.rs", "dest.active() <= dest.weight()", "dest.active() < dest.weight()"),
    ("lblc-threshold", "sched/lblc.rs", "is_some_and(|dest| dest.weight() > 0)", "is_some_and(super::available)"),
    ("lblcr-set", "sched/lblcr.rs", "cache.add(addr, known, now);", "cache.replace(addr, known, now);"),
    ("wildcard-unseen", "service/mod.rs", "find(ServiceId::at(proto, addr, 0))", "None"),
    ("template-prefix", "sched/persist.rs", "u128::BITS.saturating_sub(prefix)", "u128::BITS.saturating_sub(prefix & !7)"),
    ("template-of-mark", "sched/persist.rs", "            proto: ANY,", "            proto: packet.proto,"),
    ("secure-cell", "proto/tcp.rs", "ack: [ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA]", "ack: [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, SA]"),
    ("drop-rate", "expiry/defence.rs", "ALWAYS => fixed", "ALWAYS => fixed.saturating_add(1)"),
    ("quiesced-goes-on", "datapath/renew.rs", "!flow.dest.available() || context.opens() && flow.dest.weight() == 0", "!flow.dest.available()"),
    ("reuse-unseen", "flow/mod.rs", "reuse_mode & 2 != 0 && phase == Phase::Closing", "phase == Phase::Closing"),
    ("sloppy-reset", "proto/tcp.rs", "        flags & RST == 0\n", "        flags & FIN == 0\n"),
    ("told-of-resets", "datapath/stray.rs", "    !context.resets()\n        && ", "    "),
    ("bypass-to-us", "datapath/schedule.rs", "== AddrType::Unicast", "!= AddrType::Other"),
    ("once-uncounted", "datapath/schedule.rs", "    flow.dest.stats.connection();\n    known::request", "    known::request"),
)


def plant(name, folder):
    """Put a fault into the sources below a folder."""
    for known, file, text, replacement in FAULTS:
        if known != name:
            continue
        path = pathlib.Path(folder, "rust", file)
        source = path.read_text(encoding="utf-8")
        if source.count(text) != 1:
            return f"fault {name}: its text stands in {file} {source.count(text)} times, and must stand there once"
        path.write_text(source.replace(text, replacement), encoding="utf-8")
        return None
    return f"there is no fault {name}"


def main():
    """Do what is asked for."""
    if sys.argv[1:] == ["list"]:
        print("\n".join(fault[0] for fault in FAULTS))
        return None
    if len(sys.argv) == 4 and sys.argv[1] == "plant":
        return plant(*sys.argv[2:])
    return __doc__


if __name__ == "__main__":
    sys.exit(main())
