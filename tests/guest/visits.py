# SPDX-License-Identifier: GPL-2.0
"""Many true TCP connections at once, each of which asks, stays a while, asks again, and says how it fared."""

import selectors
import socket
import time

from lab import family
from servers import BLOCK
from suite import HANG

REQUEST = b"100 100\n" + BLOCK[:100]
ASKS, PAUSE = 3, 0.5


class Visit:
    """One connection; `fate` is None while it lasts, then done, failed (never open) or broken."""

    def __init__(self, sock, address):
        self.sock, self.begin = sock, time.monotonic()
        self.fate, self.open, self.asked, self.due, self.error = None, None, 0, None, None
        self.inbox = b""
        sock.setblocking(False)
        sock.connect_ex(address)

    def wants(self):
        """What to wait for: the connection to stand, then answers."""
        return selectors.EVENT_READ if self.open else selectors.EVENT_WRITE

    def ready(self):
        """The socket can be written the first time, or read."""
        try:
            if self.open is None:
                error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                self.open = time.monotonic()
                self.ask()
                return
            data = self.sock.recv(4096)
            if not data:
                raise OSError("closed")
            self.inbox += data
            if len(self.inbox.partition(b"\n")[2]) >= 100:
                self.due = time.monotonic() + PAUSE
        except BlockingIOError:
            pass
        except OSError as error:
            self.end(error=error)

    def ask(self):
        """Send a request."""
        self.inbox, self.due, self.asked = b"", None, self.asked + 1
        self.sock.send(REQUEST)

    def tick(self, now):
        """What is due."""
        try:
            if self.due and now >= self.due:
                if self.asked == ASKS:
                    self.end("done")
                else:
                    self.ask()
            elif now > self.begin + HANG:
                self.end(error="no end")
        except OSError as error:
            self.end(error=error)

    def end(self, fate=None, error=None):
        """Close it."""
        self.error = error and f"{error} after {time.monotonic() - self.begin:.1f} s, asked {self.asked} times"
        self.fate = fate or ("broken" if self.open else "failed")
        self.sock.close()


class Visits:
    """Opens `count` connections, as many at a time as progress(), 0 to 1, says, and sees all of them through."""

    def __init__(self, lab, number, address, port, count):
        self.lab, self.number, self.to, self.count = lab, number, (address, port), count
        self.all, self.selector = [], selectors.DefaultSelector()

    def run(self, progress):
        """Until the last has ended."""
        while len(self.all) < self.count or any(visit.fate is None for visit in self.all):
            if len(self.all) < min(self.count, progress() * self.count):
                self.open()
            for key, _ in self.selector.select(0 if len(self.all) < progress() * self.count else 0.02):
                self.step(key.data, key.data.ready)
            now = time.monotonic()
            for visit in self.all:
                if visit.fate is None:
                    self.step(visit, visit.tick, now)
        return self

    def open(self):
        """One more."""
        sock = self.lab.socket("client", family(self.number), socket.SOCK_STREAM)
        visit = Visit(sock, self.to)
        self.all.append(visit)
        self.selector.register(sock, visit.wants(), visit)

    def step(self, visit, function, *args):
        """Let one do something, and wait for what it wants then."""
        wants = visit.wants()
        function(*args)
        if visit.fate:
            self.selector.unregister(visit.sock)
        elif visit.wants() != wants:
            self.selector.modify(visit.sock, visit.wants(), visit)

    def fates(self):
        """How many had which fate."""
        found = {"done": 0, "failed": 0, "broken": 0}
        for visit in self.all:
            found[visit.fate] += 1
        return found

    def errors(self):
        """Why they failed or broke."""
        return sorted({visit.error for visit in self.all if visit.error})

    def slowest(self):
        """Seconds until the slowest that opened stood open."""
        return max((visit.open - visit.begin for visit in self.all if visit.open), default=0)
