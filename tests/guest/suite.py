# SPDX-License-Identifier: GPL-2.0
"""The registry of cases, and the checks that they are written with."""

import itertools
import time

FAMILIES = (4, 6)
PROTOCOLS = ("tcp", "udp")
EARLY = ("on", "off")
# Seconds that end a hang: what is waited for comes long before, on the busiest machine.
HANG = 60.0

REGISTRY = []
# What the running case had to do again because something was lost on the way.
AGAIN = []


class Failed(AssertionError):
    """A check did not hold; the text says what was expected and what came."""


class Case:
    """One named test: a function and the parameters that it runs with."""

    def __init__(self, name, function, params, needs, fresh):
        self.name = name
        self.function = function
        self.params = params
        self.needs = set(needs)
        self.fresh = fresh
        if params.get("early") == "on":
            self.needs.add("early")
        if params.get("method") == "fullnat":
            self.needs.add("fullnat")

    def run(self, t):
        """Run the case in the context `t`."""
        self.function(t, **self.params)


def label(axis, value):
    """How an axis value reads in a case's name: family 4 is v4, early on is early_on."""
    if axis in ("family", "outer"):
        return f"v{value}"
    return f"early_{value}" if axis == "early" else str(value)


def case(name, /, needs=(), fresh=False, **axes):
    """Register a function once for every combination of the axes; `name` is a format string over them.

    `needs` names features of the backend; `fresh` asks for a module that was just loaded.
    """

    def register(function):
        for values in itertools.product(*axes.values()):
            params = dict(zip(axes, values))
            full = name.format(**{axis: label(axis, value) for axis, value in params.items()})
            REGISTRY.append(Case(full, function, params, needs, fresh))
        return function

    return register


def check(condition, text):
    """Fail with `text` unless the condition holds."""
    if not condition:
        raise Failed(text)


def equal(got, want, what):
    """Fail unless `got` is `want`."""
    if got != want:
        raise Failed(f"{what}: expected {want!r}, got {got!r}")


def between(got, low, high, what):
    """Fail unless low <= got <= high."""
    if not low <= got <= high:
        raise Failed(f"{what}: expected {low}..{high}, got {got!r}")


def again(text):
    """Note, and print, that the running case repeats something; its result says so."""
    print(f"    asked again: {text}")
    AGAIN.append(text)


def poll(function, bound=HANG):
    """Call `function` until its result is true or `bound` seconds have passed; return the last result."""
    end = time.monotonic() + bound
    while True:
        result = function()
        if result or time.monotonic() > end:
            return result
        time.sleep(0.01)


def until(function, what, bound=HANG):
    """As poll(), and fail when the time is over."""
    result = poll(function, bound)
    check(result, f"not within {bound} s: {what}")
    return result


def settle(function, want, what, bound=HANG):
    """Wait until `function()` returns `want`; fail with the last value."""
    last = None

    def same():
        nonlocal last
        last = function()
        return last == want

    poll(same, bound)
    equal(last, want, what)


def raises(kinds, function, what):
    """Fail unless `function` raises one of the exceptions `kinds`; return it."""
    try:
        function()
    except kinds as error:
        return error
    raise Failed(f"{what}: expected an error, got none")
