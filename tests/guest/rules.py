# SPDX-License-Identifier: GPL-2.0
"""The director's packet filter in a case: rules until the case ends, and counters that tell which packets passed."""

import json

from nft import AS_JSON

CHAINS = ("input", "forward", "output", "postrouting")
PROTOS = "{ tcp, udp, 4, 41 }"
# Where the tables that everybody knows hook in.
PRIORITY = {"raw": -300, "mangle": -150, "filter": 0}


def nft(t, text, host="director"):
    """Feed commands to nft on a host."""
    t.lab.nft(host, text)


def filter_rules(t, rules):
    """Load nftables rules on the director until the case ends."""
    nft(t, rules)
    t.defer(nft, t, "flush ruleset\n")


def probe(t, hooks=CHAINS):
    """Count what passes some hooks of the director; returns a function that reads {hook: packets}."""
    counters = "".join(f"counter {chain} {{ }}\n" for chain in hooks)
    chains = "".join(f"chain {chain} {{ type filter hook {chain} priority 50\nmeta l4proto {PROTOS} "
                     f"counter name {chain}\n}}\n" for chain in hooks)
    filter_rules(t, f"table inet probe {{\n{counters}{chains}}}\n")

    def read():
        listed = json.loads(t.lab.nft("director", "list counters", AS_JSON))["nftables"]
        return {item["counter"]["name"]: item["counter"]["packets"] for item in listed if "counter" in item}
    return read


def wall(t, rules, table="filter", kind="filter"):
    """One rule in each of some hooks, {hook: rule}; returns what takes them away again."""
    chains = "".join(f"chain {hook} {{ type {kind} hook {hook} priority {PRIORITY[table]}\n{rule}\n}}\n"
                     for hook, rule in rules.items())
    filter_rules(t, f"table inet wall {{\n{chains}}}\n")
    return lambda: nft(t, "delete table inet wall\n")


def source_is(address):
    """A rule's words for packets from an address."""
    return f"{'ip6' if ':' in address else 'ip'} saddr {address}"
