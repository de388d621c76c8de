#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what `make bench CASE=count*` counted, against the bars and against the committed numbers.

usage: count_report.py COUNTS [--keep]

The numbers are drawn in build/counts.svg. With --keep those of rlvs for known connections become bench/baseline.json. Exit status 1 when a row needs more than GROWTH above it.
"""

import json
import os
import sys

import chart

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")
SYSTEMS = ("forward", "flowtable", "ipvs", "rlvs-late", "rlvs")
# How much all later work together may add to a row, and what two runs may differ by.
GROWTH = 0.03
METHOD = """
Instructions a packet, from a card's driver that has a page to the driver that frees the packet: sk_buff made, received in
lists of 64, routed, sent to a dummy device, freed. Counted by QEMU's icount on the stock kernel; the same on every machine.
What the generator writes into the page, and the page's own way, is taken off. Making an sk_buff and throwing it away takes
{made}. A "new" row is a flow's first packet; a "first" row has everything that the flow costs, its end included.
"""


def table(counts):
    """Row -> system -> count."""
    rows = {}
    for record in counts["rows"]:
        rows.setdefault(record["row"], {})[record["system"]] = record["count"]
    return rows


def plain(rows, name):
    """What plain forwarding takes for the packets of a row: it has no method."""
    words = name.split("/")
    words[1] = "nat"
    return rows.get("/".join(words), {}).get("forward")


def ratio(part, whole):
    """A ratio as text."""
    return f"{part / whole:.3f}" if part and whole else ""


def lines(rows, baseline):
    """The table."""
    titles = (*SYSTEMS, "rlvs/ipvs", "late/ipvs", "rlvs/fwd", "baseline")
    yield f"{'instructions a packet':36}" + "".join(f"{title:>11}" for title in titles)
    for name, row in rows.items():
        cells = [str(row.get(system, "")) for system in SYSTEMS]
        cells += [ratio(row.get("rlvs"), row.get("ipvs")), ratio(row.get("rlvs-late"), row.get("ipvs")),
                  ratio(row.get("rlvs"), plain(rows, name)), change(row.get("rlvs"), baseline.get(name))]
        yield f"{name.removeprefix('count-'):36}" + "".join(f"{cell:>11}" for cell in cells)


def change(value, before):
    """How far a number is from the committed one."""
    return f"{(value / before - 1) * 100:+.1f} %" if value and before else ""


def is_hot(name):
    """Whether a row is of packets of known connections."""
    return name.removeprefix("count-").split("/")[0] in ("request", "reply")


def ratios(rows, kinds, methods, families=(4, 6), *, part="rlvs", whole="ipvs", off=0):
    """(ratio, row) of all plain rows of a kind that have both numbers."""
    for name, row in rows.items():
        kind, method, family, _, *variant = name.removeprefix("count-").split("/")
        other = plain(rows, name) if whole == "forward" else row.get(whole)
        if kind in kinds and method in methods and int(family[1]) in families and not variant and other and part in row:
            yield (row[part] - off) / (other - off), name


def bars(rows, made):
    """(what, limit, ratios)."""
    known, balanced = ("request", "reply"), ("nat", "dr", "tun")
    yield "early, NAT, to ip_vs", 0.55, ratios(rows, known, ("nat",))
    yield "early, DR and TUN, to ip_vs", 0.60, ratios(rows, known, ("dr", "tun"))
    yield "early, to ip_vs, without the sk_buff", 0.45, ratios(rows, known, balanced, off=made)
    yield "early, NAT and DR, IPv4, to plain forwarding", 1.0, ratios(rows, known, ("nat", "dr"), (4,), whole="forward")
    yield "early, NAT and DR, IPv6, to plain forwarding", 1.05, ratios(rows, known, ("nat", "dr"), (6,), whole="forward")
    yield "early, TUN, to plain forwarding", 1.15, ratios(rows, known, ("tun",), whole="forward")
    yield "early path off, to ip_vs", 0.85, ratios(rows, known, balanced, part="rlvs-late")
    yield "a flow's first packet and its end, to ip_vs", 0.75, ratios(rows, ("first",), balanced)


def bar_lines(rows, made):
    """What was promised and the worst row of it."""
    yield "| what | bar | worst row | where | |"
    yield "| --- | ---: | ---: | --- | --- |"
    for what, limit, found in bars(rows, made):
        value, where = max(found, default=(None, ""))
        if value is not None:
            verdict = "met" if value <= limit else "MISSED"
            yield f"| {what} | {limit:.2f} × | {value:.3f} × | {where.removeprefix('count-')} | {verdict} |"


def main():
    """Report all."""
    with open(sys.argv[1], encoding="utf-8") as file:
        counts = json.load(file)
    rows, baseline = table(counts), {}
    if os.path.exists(BASELINE):
        with open(BASELINE, encoding="utf-8") as file:
            baseline = json.load(file)["rows"]
    print(METHOD.format(made=counts["made"]))
    print(*lines(rows, baseline), "", *bar_lines(rows, counts["made"]), sep="\n")
    with open("build/counts.svg", "w", encoding="utf-8") as file:
        file.write(chart.of_counts(counts["kernel"], {
            name: {"forward": plain(rows, name), **row} for name, row in rows.items()}))
    if "--keep" in sys.argv:
        # First packets come with what the kernel does meanwhile, and are not the same to three percent.
        hot = {name: row["rlvs"] for name, row in rows.items() if "rlvs" in row and is_hot(name)}
        with open(BASELINE, "w", encoding="utf-8") as file:
            json.dump({"kernel": counts["kernel"], "rows": hot}, file, indent=1)
            file.write("\n")
    grown = [name for name, row in rows.items() if name in baseline and row["rlvs"] > baseline[name] * (1 + GROWTH)]
    if grown and "--keep" not in sys.argv:
        sys.exit(f"more than {GROWTH:.0%} above bench/baseline.json: {', '.join(grown)}")


main()
