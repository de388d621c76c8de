# SPDX-License-Identifier: GPL-2.0
"""A flood of SYNs from random strangers, as fast as a case wants it, built and sent without a loop over packets.

Address and port are random bits; what they add to the checksums, their complement in the sequence number (and in IPv4's
identification) takes away, so that all frames share one checksum.
"""

import array
import ctypes
import errno
import os
import threading
import time

import wire
from lab import MAC, phantom_client

ETHERNET = 14
# Where the last two bytes of the source, and the ports and numbers of TCP stand, by family.
SOURCE = {4: ETHERNET + 14, 6: ETHERNET + 22}
LAYER4 = {4: ETHERNET + 20, 6: ETHERNET + 40}
IDENT = ETHERNET + 4
BATCH = 64
NOT = bytes(255 - byte for byte in range(256))

LIBC = ctypes.CDLL(None, use_errno=True)


class Flood:
    """Sends `count` SYNs to an address and port, at most `rate` a second; `sent` says how many are out."""

    def __init__(self, injector, number, target, port, count, rate):
        self.injector, self.rate, self.count, self.sent = injector, rate, count, 0
        self.frame = len(self.template(number, target, port))
        self.data = self.template(number, target, port) * count
        self.randomise(number)
        self.headers, self.keep = self.lists()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.going = True

    def template(self, number, target, port):
        """A frame whose random bits are 0."""
        ident = {"ident": 0xFFFF} if number == 4 else {}
        syn = wire.tcp(phantom_client(number, 0), 0, target, port, wire.SYN, seq=0xFFFFFFFF, **ident)
        return bytearray(wire.ethernet(self.injector.source, self.injector.target, syn))

    def randomise(self, number):
        """Fill in the random bits of all frames."""
        source, tcp = SOURCE[number], LAYER4[number]
        for place, against in ((source, (tcp + 6, IDENT)), (tcp, (tcp + 4,))):
            for byte in (0, 1):
                bits = os.urandom(self.count)
                self.data[place + byte::self.frame] = bits
                for other in against[:1 if number == 6 else None]:
                    self.data[other + byte::self.frame] = bits.translate(NOT)

    def lists(self):
        """What sendmmsg() wants: for each frame a struct mmsghdr (64 bytes) that points to a struct iovec (16 bytes)."""
        base = ctypes.addressof((ctypes.c_char * len(self.data)).from_buffer(self.data))
        vectors = array.array("Q", bytes(16 * self.count))
        vectors[0::2] = array.array("Q", range(base, base + len(self.data), self.frame))
        vectors[1::2] = array.array("Q", [self.frame]) * self.count
        start = vectors.buffer_info()[0]
        headers = array.array("Q", bytes(64 * self.count))
        headers[2::8] = array.array("Q", range(start, start + 16 * self.count, 16))
        headers[3::8] = array.array("Q", [1]) * self.count
        return headers, vectors

    def run(self):
        """Send, never faster than the rate."""
        begin = time.monotonic()
        while self.going and self.sent < self.count:
            ahead = self.sent / self.rate - (time.monotonic() - begin)
            if ahead > 0:
                time.sleep(ahead)
            self.send(BATCH)

    def send(self, count):
        """Send up to so many of those that are left."""
        place = self.headers.buffer_info()[0] + 64 * self.sent
        count = min(count, self.count - self.sent)
        done = LIBC.sendmmsg(self.injector.sock.fileno(), ctypes.c_void_p(place), count, 0)
        if done < 0 and ctypes.get_errno() not in (errno.EAGAIN, errno.ENOBUFS):
            raise OSError(ctypes.get_errno(), "sendmmsg")
        self.sent += max(done, 0)

    def start(self):
        """Begin."""
        self.thread.start()

    def stop(self):
        """End, and wait for that."""
        self.going = False
        self.thread.join()
