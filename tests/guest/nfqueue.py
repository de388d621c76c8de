# SPDX-License-Identifier: GPL-2.0
"""A program that nftables' `queue` asks about packets; it accepts all, and counts them."""

import socket
import struct
import threading

from netlink import ACK, REQUEST, attr, parse

NETLINK_NETFILTER, SUBSYSTEM = 12, 3 << 8
PACKET, VERDICT, CONFIG = 0, 1, 2
CFG_CMD, CFG_PARAMS, BIND, COPY_META = 1, 2, 1, 1
PACKET_HDR, VERDICT_HDR, ACCEPT = 1, 2, 1


class Queue:
    """Listens to one queue of a host until the case ends."""

    def __init__(self, t, host, number):
        self.number, self.seen = number, 0
        self.sock = t.lab.socket(host, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.sock.bind((0, 0))
        self.config(attr(CFG_CMD, struct.pack("!BxH", BIND, 0)))
        self.config(attr(CFG_PARAMS, struct.pack("!IB", 0, COPY_META)))
        self.sock.settimeout(0.05)
        self.going = True
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()
        t.defer(self.close)

    def send(self, kind, attrs, flags=0):
        """One message to the kernel."""
        body = struct.pack("!BBH", 0, 0, self.number) + attrs
        self.sock.send(struct.pack("IHHII", 16 + len(body), SUBSYSTEM | kind, REQUEST | flags, 1, 0) + body)

    def config(self, attrs):
        """A message that must be accepted."""
        self.send(CONFIG, attrs, ACK)
        error = struct.unpack("i", self.sock.recv(4096)[16:20])[0]
        if error:
            raise OSError(-error, "nfqueue")

    def loop(self):
        """Accept what comes."""
        while self.going:
            try:
                data = self.sock.recv(1 << 16)
            except TimeoutError:
                continue
            if struct.unpack("H", data[4:6])[0] != SUBSYSTEM | PACKET:
                continue
            self.seen += 1
            packet = parse(data[20:])[PACKET_HDR][:4]
            self.send(VERDICT, attr(VERDICT_HDR, struct.pack("!I", ACCEPT) + packet))

    def close(self):
        """Stop."""
        self.going = False
        self.thread.join()
        self.sock.close()
