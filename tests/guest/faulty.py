# SPDX-License-Identifier: GPL-2.0
"""Calls of rlvs that ask for memory, made to fail one by one; faults/ has how that is done."""

import json
import os
import threading
import time

from backend import at_hand, modprobe_insmod
from lab import ADDRESS
from suite import FAMILIES, Failed, check, until

METHODS = ("nat", "dr", "tun", "fullnat")
DEBUGFS = "/sys/kernel/debug/rlvs_faults"


class Site:
    """A call by its number: the function that it stands in, what it calls, and how that fails."""

    def __init__(self, number, listed):
        self.number = number
        self.function, self.calls, self.how = listed["function"], listed["calls"], listed["how"]

    def __str__(self):
        return f"{self.function}: {self.calls}"


class Faults:
    """The sites, which of them have failed in the run so far, and the module in which they can; a case has one."""

    folder = None
    sites = ()
    failed = set()

    def __init__(self, t, traffic=True):
        self.t, self.traffic = t, None
        if not Faults.sites:
            with open(f"{self.folder}/sites.json", encoding="ascii") as file:
                Faults.sites = [Site(number, listed) for number, listed in enumerate(json.load(file))]
        modprobe_insmod("insmod", f"{self.folder}/rlvs_faults.ko")
        t.defer(modprobe_insmod, "rmmod", "rlvs_faults")
        self.exchange(at_hand(f"{self.folder}/rlvs.ko", "/run/faulty.ko"))
        if traffic:
            self.traffic = Traffic(t)

    def exchange(self, module):
        """Let rlvs be this build of it until the case ends."""
        backend = self.t.backend
        usual = backend.module

        def back():
            backend.module = usual
            backend.reload()
        self.t.defer(back)
        backend.module = module
        backend.reload()

    def arm(self, *arms):
        """From now on let only these fail, once each: (site, calls that pass before, how); all is counted anew."""
        lines = ["none"] + [f"{site.number} {how} {skip}" for site, skip, how in arms]
        with open(f"{DEBUGFS}/arm", "w", encoding="ascii") as file:
            file.write("\n".join(lines))

    def counts(self):
        """{site that was reached: (how often, how often it failed)} since arm()."""
        with open(f"{DEBUGFS}/sites", encoding="ascii") as file:
            rows = [map(int, line.split()) for line in file]
        found = {self.sites[number]: (reached, failed) for number, reached, failed in rows}
        Faults.failed |= {site for site, (_, failed) in found.items() if failed}
        return found

    def attempt(self, scenario, *arms):
        """Go through a scenario while these are armed; return how often each site was reached."""
        with scenario() as act:
            self.arm(*arms)
            try:
                act(bool(arms))
                if self.traffic:
                    self.traffic.check()
            except (Failed, OSError) as error:
                raise Failed(f"{error}; without memory: {', '.join(str(site) for site, _, _ in arms) or 'nothing'}") from error
            found = self.counts()
            self.arm()
        return {site: reached for site, (reached, _) in found.items()}

    def each(self, scenario):
        """Go through a scenario, again and again, with each site failing that it reaches, the first and the last time.

        scenario() is a context in which all stands ready. It gives a function that does what is to be done, that is told
        whether something may fail, and that fails itself if what comes of it is neither right nor a clear refusal.
        """
        reached, attempts = self.attempt(scenario), 0
        wanted = [[(site, skip, how)] for site, times in reached.items() for how in ways(site)
                  for skip in sorted({0, times - 1})]
        while wanted:
            arms = wanted.pop(0)
            seen = self.attempt(scenario, *arms)
            for site in seen.keys() - reached.keys():
                # It is asked only when others have no memory.
                wanted.append([*arms, (site, 0, site.how)])
            reached |= seen
            attempts += 1
        print(f"    {attempts} attempts, {len(reached)} sites")
        if self.traffic:
            self.traffic.round()


def ways(site):
    """How a site may fail: what looks for a function may find one that refuses, or none."""
    return ("function", "null") if site.how == "function" else (site.how,)


class Traffic:
    """A TCP connection for each method and family, early where it can be, that asks all the time and checks what it gets."""

    PAUSE = 0.02

    def __init__(self, t):
        self.clients, self.error, self.rounds, self.going = [], None, 0, True
        for family in FAMILIES:
            for method in METHODS:
                self.clients.append(self.connect(t, method, family))
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()
        t.defer(self.stop)
        self.round()

    @staticmethod
    def connect(t, method, family):
        """A connection over a service of its own with rs2 behind it."""
        keeps = method in ("dr", "tun")
        vport = t.port()
        rport = vport if keeps else t.port()
        t.serve("rs2", family, "tcp", rport, ADDRESS["vip" if keeps else "rs2"][family])
        t.balance(family, "tcp", vport, method, ADDRESS["rs2"][family], rport)
        return t.client(family, "tcp", vport)

    def loop(self):
        """Ask in turn."""
        try:
            while self.going:
                for client in self.clients:
                    client.ask(200, 200)
                    time.sleep(self.PAUSE)
                self.rounds += 1
        except (Failed, OSError, ValueError) as error:
            self.error = error

    def check(self):
        """Fail if a connection did not go on."""
        check(self.error is None, f"a connection broke: {self.error!r}")

    def round(self):
        """Wait until each has asked once more."""
        before = self.rounds
        until(lambda: self.error or self.rounds > before + 1, "each connection has asked")
        self.check()

    def stop(self):
        """End it."""
        self.going = False
        self.thread.join()


def available(folder):
    """Whether sites.py has left its copy of rlvs there, for this kernel."""
    return bool(folder) and os.path.exists(f"{folder}/rlvs.ko")
