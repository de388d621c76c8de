# SPDX-License-Identifier: GPL-2.0
"""Traffic in the background while a case does something else."""

import socket
import threading
import time

from lab import family
from servers import BLOCK
from suite import HANG


class Noise:
    """Sends the same frames over and over until stopped."""

    def __init__(self, injector, packets):
        self.injector, self.packets, self.going, self.sent = injector, packets, True, 0
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        """Send; an interface that goes away ends nothing."""
        while self.going:
            try:
                self.injector.send(*self.packets)
                self.sent += len(self.packets)
            except OSError:
                pass
            time.sleep(0.002)

    def stop(self):
        """End it."""
        self.going = False
        self.thread.join()


class Askers:
    """Asks a UDP service over a new socket each time; counts answers and failures by kind."""

    def __init__(self, lab, number, address, port):
        self.lab, self.number, self.to = lab, number, (address, port)
        self.going, self.answered, self.failures = True, 0, []
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        """Ask for as long as it goes."""
        while self.going:
            with self.lab.socket("client", family(self.number), socket.SOCK_DGRAM) as sock:
                sock.settimeout(HANG)
                try:
                    sock.connect(self.to)
                    sock.send(BLOCK[:200])
                    sock.recv(2000)
                    self.answered += 1
                except OSError as error:
                    self.failures.append(type(error).__name__)

    def stop(self):
        """End it."""
        self.going = False
        self.thread.join()
