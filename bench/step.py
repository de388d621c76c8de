# SPDX-License-Identifier: GPL-2.0
"""Steps packets through the benchmark's kernel: a packet's instructions and cache lines, by function.

usage: gdb -batch -p PID -ex "python kallsyms = 'FILE'" -x step.py

A packet is what happens from the call of netif_receive_skb() until it returns. Memory on the stack is left out, as
are instructions' own bytes. Steps take milliseconds, so timers would come between; their signals are held back.
"""

import collections
import os
import re
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from symbols import Symbols  # pylint: disable=wrong-import-position

PACKETS = 5
# A packet that takes more is none: something else came in between.
MOST_STEPS = 20_000
SHOWN = 30
LINE = 64
WORD = (1 << 64) - 1
STACK = 16 << 10
TIMERS = "SIGALRM SIGVTALRM SIGIO SIGUSR1"
# Displacement, base, index and scale of an operand in memory, as AT&T's notation has them; a variable; its address, if
# it is named relative to the instruction.
OPERAND = re.compile(r"(-?0x[0-9a-f]+)?\((%r\w+)?(?:,(%r\w+)(?:,(\d))?)?\)")
VARIABLE = re.compile(r"(?<![$\w])(0x[0-9a-f]+)(?![\w(])")
RELATIVE = re.compile(r"# (0x[0-9a-f]+)")
# What a crate's name has behind it.
HASH = re.compile(r"\[[0-9a-f]{16}\]")
# They name memory and do not touch it.
UNTOUCHED = ("lea", "nop", "prefetch", "call", "j")


def register(name):
    """The value of a register, unsigned."""
    return int(gdb.parse_and_eval(f"(unsigned long)${name}"))


def addresses(instruction):
    """The addresses that an instruction names, as gdb shows it."""
    relative = RELATIVE.search(instruction)
    if relative:
        return [int(relative[1], 16)]
    result = [int(name, 16) for name in VARIABLE.findall(instruction)]
    for shift, base, index, scale in OPERAND.findall(instruction):
        parts = [int(times or "1") * register(name[1:]) for name, times in ((base, "1"), (index, scale)) if name]
        result.append(sum(parts, int(shift or "0", 16)) & WORD)
    return result


def touched(shown):
    """The cache lines that an instruction touches, but for those on the stack."""
    instruction = shown.split(":\t", 1)[1]
    if instruction.startswith(UNTOUCHED):
        return []
    stack = register("rsp")
    return [address // LINE for address in addresses(instruction) if abs(address - stack) > STACK]


def packet():
    """The instructions of the next packet, as (address, lines)."""
    gdb.execute("continue", to_string=True)
    back = int(gdb.parse_and_eval("*(unsigned long *)$rsp"))
    steps = []
    while (where := register("pc")) != back and len(steps) < MOST_STEPS:
        steps.append((where, touched(gdb.execute("x/i $pc", to_string=True))))
        gdb.execute("stepi", to_string=True)
    return steps


def usual(packets):
    """A packet of the usual length, and not the first of them: that one found its caches as gdb had left them."""
    lengths = collections.Counter(map(len, packets))
    return [steps for steps in packets if len(steps) == lengths.most_common(1)[0][0]][-1]


def readable(name):
    """A function's name without Rust's mangling."""
    plain, _, module = name.partition(" ")
    if plain.startswith("_R"):
        plain = HASH.sub("", gdb.execute(f"demangle -l rust -- {plain}", to_string=True).strip())
    return f"{plain} {module}"


def report(symbols, steps):
    """Print the packet's functions."""
    counts, lines = collections.Counter(), collections.defaultdict(set)
    for where, touching in steps:
        name = symbols.at(where)
        counts[name] += 1
        lines[name].update(touching)
    modules = [name for name in counts if name.endswith("]")]
    of_modules = set().union(*(lines[name] for name in modules))
    of_others = set().union(*(lines[name] for name in counts if name not in modules))
    print(f"instructions {len(steps)}  of modules {sum(counts[name] for name in modules)}")
    print(f"cache lines {len(of_modules | of_others)}  of modules alone {len(of_modules - of_others)}")
    for name, count in counts.most_common(SHOWN):
        print(f"{count:6} {len(lines[name]):4}  {readable(name)}")


def main():
    """Step some packets and report the usual one."""
    symbols = Symbols(kallsyms)  # noqa: F821 pylint: disable=undefined-variable
    for line in ("set pagination off", "set confirm off", "handle all nostop noprint pass",
                 f"handle {TIMERS} nostop noprint nopass", f"break *{symbols.address('netif_receive_skb')}"):
        gdb.execute(line, to_string=True)
    report(symbols, usual([packet() for _ in range(PACKETS)]))
    gdb.execute("delete")
    gdb.execute("detach")


main()
