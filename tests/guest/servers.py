# SPDX-License-Identifier: GPL-2.0
"""TCP and UDP servers of all hosts in one thread: each says its name, whom it saw, and a hash of what it got.

A TCP request is a line `UP DOWN` and UP bytes; the answer is a JSON line {name, peer, sha} and DOWN bytes of BLOCK.
A connection may carry any number of requests. A UDP answer is the JSON line and the datagram itself.
"""

import hashlib
import json
import os
import random
import selectors
import socket
import threading

from lab import family

BLOCK = random.Random(20).randbytes(1 << 20)
CHUNK = 1 << 17


def digest(data):
    """The hash that proves a payload."""
    return hashlib.sha256(data).hexdigest()


def hello(name, peer, sha):
    """The line that opens every answer."""
    return json.dumps({"name": name, "peer": list(peer[:2]), "sha": sha}).encode() + b"\n"


class Stream:
    """One accepted TCP connection."""

    def __init__(self, sock, name, peer):
        self.sock, self.name, self.peer = sock, name, peer
        self.inbox, self.outbox = b"", memoryview(b"")
        self.left, self.down, self.hash = None, 0, None

    def events(self):
        """What to wait for: never more input before the answer is gone."""
        return selectors.EVENT_WRITE if self.outbox else selectors.EVENT_READ

    def ready(self):
        """Move bytes; False when the connection is over."""
        try:
            if self.outbox:
                self.outbox = self.outbox[self.sock.send(self.outbox[:CHUNK]):]
                return True
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.inbox += data
        self.digest_input()
        return bool(data)

    def digest_input(self):
        """Read the request line, then its bytes, then prepare the answer."""
        if self.left is None and b"\n" in self.inbox:
            line, _, self.inbox = self.inbox.partition(b"\n")
            self.left, self.down = map(int, line.split())
            self.hash = hashlib.sha256()
        if self.left is None:
            return
        part, self.inbox = self.inbox[:self.left], self.inbox[self.left:]
        self.hash.update(part)
        self.left -= len(part)
        if not self.left:
            self.left = None
            self.outbox = memoryview(hello(self.name, self.peer, self.hash.hexdigest()) + BLOCK[:self.down])


class Servers:
    """All servers; sockets are opened by the caller's thread and served by one of ours."""

    def __init__(self, lab):
        self.lab = lab
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.wake_read, self.wake_write = os.pipe()
        self.selector.register(self.wake_read, selectors.EVENT_READ, self.wake)
        threading.Thread(target=self.loop, daemon=True).start()

    def wake(self):
        """Empty the pipe that interrupts a wait."""
        os.read(self.wake_read, 100)

    def loop(self):
        """Serve for ever."""
        while True:
            for key, _ in self.selector.select():
                with self.lock:
                    if key.fileobj == self.wake_read or key.fd in self.selector.get_map():
                        key.data()

    def open(self, host, number, proto, address, port, name=None):
        """Start a server on a host; the socket is returned and closed with stop()."""
        sock = self.lab.socket(host, family(number), socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.setblocking(False)
        if proto == "tcp":
            sock.listen(64)
        serve = self.accept if proto == "tcp" else self.answer
        self.watch(sock, selectors.EVENT_READ, lambda: serve(sock, name or host))
        return sock

    def watch(self, sock, events, function):
        """Add a socket to the loop."""
        with self.lock:
            self.selector.register(sock, events, function)
        os.write(self.wake_write, b"x")

    def stop(self, sock):
        """Close a server or a connection."""
        with self.lock:
            if sock.fileno() >= 0:
                self.selector.unregister(sock)
                sock.close()

    def accept(self, sock, name):
        """Take a new connection."""
        try:
            client, peer = sock.accept()
        except OSError:
            return
        client.setblocking(False)
        stream = Stream(client, name, peer)
        self.selector.register(client, selectors.EVENT_READ, lambda: self.serve(stream))

    def serve(self, stream):
        """Move one connection on."""
        if not stream.ready():
            self.selector.unregister(stream.sock)
            stream.sock.close()
        else:
            self.selector.modify(stream.sock, stream.events(), lambda: self.serve(stream))

    @staticmethod
    def answer(sock, name):
        """Answer one datagram; a refused one was an ICMP error for an earlier answer."""
        try:
            data, peer = sock.recvfrom(65535)
            sock.sendto(hello(name, peer, digest(data)) + data, peer)
        except OSError:
            return
