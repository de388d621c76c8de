#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints what `make bench` measured, and draws it.

usage: report.py HOST RESULTS

The results, those of the host and those of the guest, become build/bench.json and build/bench.svg.
"""

import json
import sys

import bars
import chart

SYSTEMS = ("forward", "flowtable", "ipvs", "rlvs-nat", "rlvs-late", "rlvs")
METHOD = """
How it is measured: a kernel module puts prebuilt packets, one sk_buff each, into the receive path of a dummy device of
a User-Mode Linux kernel (memory in large pages if the host has them); a second dummy device behind it
counts and frees what is sent. All systems run in one boot, each in a network namespace of its own, in turn, round by
round. A sample is the processor time of the host's thread, divided by the packets. From it is taken what the same loop
costs in the same round when the packets carry another host's link address, so that the stack drops them at once. The
numbers are medians of the rounds, the spread is that of the middle half. Every sample checks that its packets left.

What it can't show: a network card, its driver, interrupts, receive offloads (GRO), more than one machine. The kernel is
built without retpolines and the like, and its processors are threads of a host that may have other things to do. Compare
numbers of one run with each other, not with those of another machine.
"""


def key(record):
    """What a row is about."""
    words = [record["case"], record["method"], f"v{record['family']}", record["proto"]]
    return "/".join(words + ["conntrack"] * record["conntrack"])


def rows(cases):
    """Records by row and system."""
    result = {}
    for record in cases:
        result.setdefault(key(record), {})[record["system"]] = record
    return result


def cell(record):
    """A number and its spread."""
    return f"{record['ns']:.0f} ±{record['spread'] / 2:.0f}" if record else ""


def ratio(row, system, other):
    """How many times the other's time a system takes."""
    if system not in row or other not in row or row[other]["ns"] <= 0:
        return ""
    return f"{row[system]['ns'] / row[other]['ns']:.2f}"


def print_cases(cases):
    """The table of packets."""
    titles = [*SYSTEMS, "generator", "rlvs/ipvs", "late/ipvs", "rlvs/fwd"]
    print(f"{'ns a packet, net of the generator':36}" + "".join(f"{title:>13}" for title in titles))
    for name, row in rows(cases).items():
        cells = [cell(row.get(system)) for system in (*SYSTEMS, "generator")]
        cells += [ratio(row, "rlvs", "ipvs"), ratio(row, "rlvs-late", "ipvs"), ratio(row, "rlvs", "forward")]
        print(f"{name:36}" + "".join(f"{text:>13}" for text in cells))


def print_memory(memory):
    """The table of memory."""
    if memory:
        print(f"\n{'bytes a flow':36}")
    for record in memory:
        parts = "  ".join(f"{name} {size:g}" for name, size in record["parts"].items())
        name = f"{record['system']}/{record['method']}/v{record['family']}"
        print(f"{name:36}{record['bytes_per_flow']:13.0f}   {parts}")


def print_other(other):
    """What fits no table."""
    for record in other:
        print("\n" + "  ".join(f"{name} {value}" for name, value in record.items()))


def print_bars(result):
    """What was promised and what came of it."""
    lines = list(bars.lines(result))
    if len(lines) > 2:
        print("", *lines, sep="\n")


def main():
    """Report all."""
    with open(sys.argv[2], encoding="utf-8") as file:
        result = json.load(file)
    with open(sys.argv[1], encoding="utf-8") as file:
        result["other"] += map(json.loads, file)
    with open("build/bench.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    with open("build/bench.svg", "w", encoding="utf-8") as file:
        file.write(chart.of_times(result))
    print(METHOD)
    print_cases(result["cases"])
    print_memory(result["memory"])
    print_other(result["other"])
    print_bars(result)
    if result["failed"]:
        sys.exit("failed: " + ", ".join(result["failed"]))


main()
