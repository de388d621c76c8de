# SPDX-License-Identifier: GPL-2.0
"""Charts: one group of bars for each of the cases that tell most."""

GROUPS = (
    ("hot, NAT", ("hot", "nat", False)),
    ("hot, DR", ("hot", "dr", False)),
    ("hot, TUN", ("hot", "tun", False)),
    ("hot, FULLNAT", ("hot", "fullnat", False)),
    ("hot, NAT, conntrack", ("hot", "nat", True)),
    ("1 M cold flows, NAT", ("cold", "nat", False)),
    ("new flow, NAT", ("new", "nat", False)),
)
COUNTED = (
    ("NAT, requests", "count-request/nat/v4/udp"),
    ("NAT, answers", "count-reply/nat/v4/udp"),
    ("DR", "count-request/dr/v4/udp"),
    ("TUN", "count-request/tun/v4/udp"),
    ("FULLNAT", "count-request/fullnat/v4/udp"),
    ("NAT, conntrack", "count-request/nat/v4/udp/conntrack"),
)
COLOURS = {"forward": "#9aa5b1", "flowtable": "#5aa9a3", "ipvs": "#d98e4a", "rlvs": "#3b6fb6"}
LABELS = {"forward": "plain forwarding", "flowtable": "nft flowtable", "ipvs": "IPVS", "rlvs": "rlvs"}
LEFT, WIDTH, BAR, GAP, TOP = 150, 560, 15, 14, 62


def chosen(result):
    """Groups of (system, nanoseconds) that the run has; IPv4, UDP."""
    for title, (case, method, conntrack) in GROUPS:
        bars = {
            record["system"]: record["ns"] for record in result["cases"]
            if (record["case"], record["method"], record["conntrack"]) == (case, method, conntrack)
            and record["family"] == 4 and record["proto"] == "udp" and record["system"] in COLOURS}
        if bars:
            yield title, [(name, bars[name]) for name in COLOURS if name in bars]


def text(x, y, words, size=12, anchor="start", weight="normal"):
    """A line of text."""
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="#222">{words}</text>')


def bar(y, name, value, scale):
    """A bar and its number."""
    length = max(value * scale, 1)
    yield f'<rect x="{LEFT}" y="{y:.0f}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>'
    yield text(LEFT + length + 5, y + BAR - 4, f"{value:.0f}", 11)


def legend():
    """Which colour is which system."""
    x = LEFT
    for name, colour in COLOURS.items():
        yield f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>'
        yield text(x + 17, 46, LABELS[name])
        x += 130


def of_times(result):
    """The chart of a timed run."""
    return draw(list(chosen(result)), "ns a packet, net of the generator (IPv4, UDP, one processor); shorter is better",
                f"Linux {result['kernel']}, User-Mode Linux, {result['date']}")


def of_counts(kernel, rows):
    """The chart of a count: `rows` is row -> system -> instructions."""
    groups = []
    for title, name in COUNTED:
        row = rows.get(name, {})
        bars = [(system, row[system]) for system in COLOURS if row.get(system)]
        if len(bars) > 1:
            groups.append((title, bars))
    return draw(groups, "instructions a packet of a known connection (IPv4, UDP); shorter is better",
                f"Linux {kernel}, counted by QEMU")


def draw(groups, title, foot):
    """Groups of (system, value) as SVG."""
    longest = max((value for _, bars in groups for _, value in bars), default=1)
    y, parts = TOP, [text(10, 20, title, 14, weight="bold"), *legend()]
    for name, bars in groups:
        parts.append(text(LEFT - 10, y + len(bars) * BAR / 2 + 4, name, anchor="end"))
        for name, value in bars:
            parts += bar(y, name, value, WIDTH / longest)
            y += BAR
        y += GAP
    parts.append(text(10, y + 8, foot, 11))
    size = f'width="{LEFT + WIDTH + 60}" height="{y + 20}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
