# SPDX-License-Identifier: GPL-2.0
"""The asking side of servers.py: sockets on a host that check what they get."""

import contextlib
import json
import socket
import struct

from lab import family
from servers import BLOCK, digest
from suite import HANG, again, check, equal

# After so many seconds a datagram counts as lost where it may be asked for again, so often at most.
PATIENCE, TURNS = 3.0, 4
# The largest datagram: with the line before the answer and two IPv6 headers it stays below 1500 bytes.
LARGEST, WINDOW = 1280, 16
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DONT, PMTUDISC_DO = 10, 23, 0, 2


class Answer:
    """What a server said: its name, the peer that it saw, and the bytes behind."""

    def __init__(self, line, body):
        fields = json.loads(line)
        self.name, self.peer, self.sha = fields["name"], tuple(fields["peer"]), fields["sha"]
        self.body = body


class Client:
    """A connected TCP or UDP socket on a host."""

    def __init__(self, lab, host, number, proto, address, port, source=None, before=None):
        self.proto, self.number = proto, number
        self.sock = lab.socket(host, family(number), socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        self.sock.settimeout(HANG)
        if before:
            before(self.sock)
        if source:
            self.sock.bind(source)
        try:
            self.sock.connect((address, port))
        except OSError:
            self.sock.close()
            raise
        self.address, self.port = self.sock.getsockname()[:2]

    def close(self):
        """Close the socket."""
        self.sock.close()

    def abort(self):
        """Close it at once at both ends: with a FIN on the way, TCP would still send in the cases that come next."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def ask(self, up=100, down=100):
        """Send `up` bytes and get an answer (with TCP of `down` bytes); fail unless both arrived whole."""
        answer = self.ask_tcp(up, down) if self.proto == "tcp" else self.ask_udp(up)
        equal(answer.sha, digest(BLOCK[:up]), f"hash of {up} bytes at the server")
        equal(digest(answer.body), digest(BLOCK[:down if self.proto == "tcp" else up]), "hash of the answer's bytes")
        return answer

    def ask_tcp(self, up, down):
        """One request on the connection."""
        self.sock.sendall(b"%d %d\n" % (up, down) + BLOCK[:up])
        data = bytearray()
        while b"\n" not in data:
            data += self.receive()
        line, _, rest = bytes(data).partition(b"\n")
        body = bytearray(rest)
        while len(body) < down:
            body += self.receive()
        return Answer(line, bytes(body))

    def receive(self):
        """Some bytes; the server must not close."""
        part = self.sock.recv(1 << 18)
        check(part, "the connection was closed in the middle of an answer")
        return part

    def ask_udp(self, up):
        """One datagram and its answer."""
        self.sock.send(BLOCK[:up])
        line, _, body = self.sock.recv(65535).partition(b"\n")
        return Answer(line, body)

    def bulk(self, size):
        """Move about `size` bytes each way, with UDP in datagrams of many sizes; return the last answer."""
        if self.proto == "tcp":
            return self.ask(size, size)
        answer = self.ask(0)
        sizes = [1, 2, 7, 8, 511, 512, 1000] + [LARGEST - n % 128 for n in range(size // LARGEST)]
        for start in range(0, len(sizes), WINDOW):
            answer = self.burst(sizes[start:start + WINDOW])
        return answer

    def learn(self, up=LARGEST):
        """Ask for the largest answer until it comes: the first ones may be too large for the way, as their sender is told."""
        if self.proto == "udp":
            self.ask_until_answered(up)

    def ask_until_answered(self, up=100, down=100):
        """As ask(), but a lost datagram is asked for again: for cases in which loss is not the point."""
        if self.proto == "tcp":
            return self.ask(up, down)
        for turn in range(1, TURNS):
            try:
                return self.timeout(PATIENCE).ask(up)
            except TimeoutError:
                again(f"{up} bytes, time {turn}")
            finally:
                self.timeout(HANG)
        return self.ask(up)

    def burst(self, sizes):
        """Send datagrams of these sizes, then collect all answers."""
        for size in sizes:
            self.sock.send(BLOCK[:size])
        seen = []
        for _ in sizes:
            line, _, body = self.sock.recv(65535).partition(b"\n")
            answer = Answer(line, body)
            equal((answer.sha, body), (digest(BLOCK[:len(body)]), BLOCK[:len(body)]), "a datagram's content")
            seen.append(len(body))
        equal(sorted(seen), sorted(sizes), "the datagrams that came back")
        return answer

    def timeout(self, seconds):
        """Wait at most so long from now on."""
        self.sock.settimeout(seconds)
        return self


def discover(number, value):
    """An option setter: how a socket treats path MTU, PMTUDISC_DONT or PMTUDISC_DO."""
    level, name = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if number == 6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
    return lambda sock: sock.setsockopt(level, name, value)


def hops(number, value):
    """An option setter: the TTL or hop limit of a socket."""
    level, name = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if number == 6 else (socket.IPPROTO_IP, socket.IP_TTL)
    return lambda sock: sock.setsockopt(level, name, value)


def service_class(number, value):
    """An option setter: the TOS or traffic class of a socket."""
    level, name = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if number == 6 else (socket.IPPROTO_IP, socket.IP_TOS)
    return lambda sock: sock.setsockopt(level, name, value)
