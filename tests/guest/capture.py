# SPDX-License-Identifier: GPL-2.0
"""Captures on an interface of a host, and sending frames there."""

import ctypes
import socket
import struct

import wire
from lab import MAC

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_STATISTICS, PACKET_AUXDATA = 6, 8
SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4
STATUS_PARTIAL, STATUS_GSO = 1 << 3, 1 << 8
PACKET_VNET_HDR, NEEDS_CSUM, ETHERNET = 15, 1, 14
BUFFER = 32 << 20
LARGEST = 1 << 17
SO_ATTACH_FILTER = 26
BPF_LD_W_ABS, BPF_AND_K, BPF_JEQ_K, BPF_RET_K = 0x20, 0x54, 0x15, 0x06
SKF_AD_MARK = 0xfffff000 + 20


def only_marked(sock, value, mask):
    """Has a socket take only packets whose firewall mark has these bits of the mask (linux/filter.h)."""
    load, mask_out, differ, take, leave = (BPF_LD_W_ABS, 0, 0, SKF_AD_MARK), (BPF_AND_K, 0, 0, mask), \
        (BPF_JEQ_K, 0, 1, value), (BPF_RET_K, 0, 0, LARGEST), (BPF_RET_K, 0, 0, 0)
    steps = [struct.pack("HBBI", *step) for step in (load, mask_out, differ, take, leave)]
    program = ctypes.create_string_buffer(b"".join(steps))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(program)))


class Tap:
    """Everything that passes an interface from the moment that this is made; `frames` grows with fetch()."""

    def __init__(self, lab, host, dev="eth0", mark=None):
        self.host, self.dev = host, dev
        self.frames = []
        self.sock = lab.socket(host, socket.AF_PACKET, socket.SOCK_RAW, 0)
        if mark:
            only_marked(self.sock, *mark)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.bind((dev, ETH_P_ALL))
        self.sock.setblocking(False)

    def close(self):
        """Stop."""
        self.sock.close()

    def fetch(self):
        """Take over what has been captured; fail if the kernel had to leave some out."""
        while True:
            try:
                data, extra, _, address = self.sock.recvmsg(LARGEST, 128)
            except BlockingIOError:
                break
            status = struct.unpack("I", extra[0][2][:4])[0] if extra else 0
            self.frames.append(wire.Frame(data, address[2] == PACKET_OUTGOING, bool(status & STATUS_PARTIAL),
                                          bool(status & STATUS_GSO)))
        lost = struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        if lost:
            raise RuntimeError(f"capture on {self.host} {self.dev} lost {lost} frames")
        return self.frames

    def select(self, wanted, outgoing=None):
        """The captured IP frames that `wanted(ip)` accepts, of one direction or both."""
        return [frame for frame in self.fetch() if frame.ip and wanted(frame.ip)
                and (outgoing is None or frame.outgoing == outgoing)]

    def drop(self):
        """Forget what has been captured."""
        self.fetch()
        self.frames = []


class Unfinished:
    """Sends IP packets of which one checksum is left to the device."""

    def __init__(self, injector):
        self.injector = injector
        injector.sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)

    def send(self, data, start, offset):
        """Send an IP packet; the sum goes from byte `start` of it to its end, to `offset` bytes behind `start`."""
        head = struct.pack("<BBHHHH", NEEDS_CSUM, 0, 0, 0, ETHERNET + start, offset)
        self.injector.sock.send(head + wire.ethernet(self.injector.source, self.injector.target, data))


class Injector:
    """Sends IP packets from an interface of a host to a neighbour's hardware address."""

    def __init__(self, lab, host, dev, neighbour):
        self.source, self.target = MAC[host, dev], neighbour
        self.sock = lab.socket(host, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.sock.bind((dev, 0))

    def close(self):
        """Stop."""
        self.sock.close()

    def send(self, *packets):
        """Send IP packets."""
        for data in packets:
            self.sock.send(wire.ethernet(self.source, self.target, data))
