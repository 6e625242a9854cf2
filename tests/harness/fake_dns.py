"""
A DNS server over UDP that knows what a test tells it: addresses of hosts, serials of zones, and for what it keeps
silent. Port 53 of a loopback address of its own, which needs root's rights.
"""

import errno
import ipaddress
import random
import socket
import struct
import threading

A, SOA, AAAA = 1, 6, 28
NXDOMAIN = 3
KINDS = {A: "A", SOA: "SOA", AAAA: "AAAA"}


def encode(name):
    labels = name.rstrip(".").split(".")
    return b"".join(bytes([len(l)]) + l.encode() for l in labels) + b"\0"


def decode(packet, at):
    labels = []
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), at + 1


def record(kind, data, ttl=1000):
    """An answer for the name that was asked for."""
    return struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(data)) + data


class FakeDns:
    """hosts: {name: [address]}; serials: {zone: number}; silent: names of which it says nothing."""

    def __init__(self):
        self.hosts = {}
        self.serials = {}
        self.silent = set()
        self.asked = []  # (name, kind), in order
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = self._bind()
        threading.Thread(target=self._serve, daemon=True).start()

    def _bind(self):
        while True:
            address = f"127.53.{random.randrange(255)}.{random.randrange(1, 255)}"
            try:
                self.sock.bind((address, 53))
                return address
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise

    def resolv_conf(self, folder):
        """A file that names it, and its path. It is asked again soon, and for long."""
        path = folder / "resolv.conf"
        path.write_text(f"nameserver {self.address}\noptions ndots:1 retrans:200 retry:8\n")
        path.chmod(0o644)
        return path

    def count(self, name, kind="A"):
        return self.asked.count((name, kind))

    def _answers(self, name, kind):
        if kind == SOA:
            if name not in self.serials:
                return []
            numbers = struct.pack("!IIIII", self.serials[name], 60, 60, 60, 60)
            return [record(SOA, encode("ns." + name) + encode("admin." + name) + numbers)]
        addresses = [ipaddress.ip_address(a) for a in self.hosts.get(name, ())]
        return [record(kind, a.packed) for a in addresses if a.version == (4 if kind == A else 6)]

    def _serve(self):
        while True:
            try:
                packet, who = self.sock.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            name, at = decode(packet, 12)
            kind = struct.unpack("!H", packet[at:at + 2])[0]
            self.asked.append((name, KINDS[kind]))
            if name in self.silent:
                continue
            answers = self._answers(name, kind)
            code = 0 if name in self.hosts or name in self.serials else NXDOMAIN
            head = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(answers), 0, 0)
            self.sock.sendto(head + packet[12:at + 4] + b"".join(answers), who)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", (self.address, 53))  # a close wakes nobody who reads
        self.sock.close()
