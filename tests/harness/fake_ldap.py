"""
An LDAP directory of a few entries: simple binds, and searches by equality, and, or. Just enough BER for
what a client library sends; entries is {dn: (password, {attribute: value})}.
"""

import socket
import ssl
import threading

from .process import free_port


def read_tlv(data, at):
    """Tag, content and the place behind it."""
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        n = size & 0x7F
        size = int.from_bytes(data[at:at + n], "big")
        at += n
    return tag, data[at:at + size], at + size


def parts(content):
    at, out = 0, []
    while at < len(content):
        tag, value, at = read_tlv(content, at)
        out.append((tag, value))
    return out


def tlv(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    n = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | n]) + size.to_bytes(n, "big") + content


def result(tag, code):
    return tlv(tag, tlv(0x0A, bytes([code])) + tlv(4, b"") + tlv(4, b""))


class FakeLdap:
    """tls: a context, for StartTLS or, with ldaps, from the start."""

    def __init__(self, entries, tls=None, ldaps=False):
        self.tls, self.ldaps = tls, ldaps
        self.port = free_port()
        self.entries = entries
        self.binds = []     # (dn, password), in order
        self.in_clear = 0   # how many of them
        self.filters = []   # of the searches, as text
        self.gate = threading.Event()  # binds are answered while it is set
        self.gate.set()
        self.asked = threading.Event()  # a bind has come
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _receive(self, sock, data):
        while True:
            try:
                _, content, end = read_tlv(data, 0)
                if end <= len(data) and len(data) > 2:
                    return content, data[end:]
            except IndexError:
                pass
            more = sock.recv(4096)
            if not more:
                return None, b""
            data += more

    def _serve(self, sock):
        data = b""
        with sock:
            try:
                if self.ldaps:
                    sock = self.tls.wrap_socket(sock, server_side=True)
                while True:
                    message, data = self._receive(sock, data)
                    if message is None:
                        return
                    (_, number), (op, body) = parts(message)[:2]
                    if op == 0x42:  # UnbindRequest
                        return
                    if op == 0x77:  # ExtendedRequest: StartTLS is the only one
                        sock.sendall(tlv(0x30, tlv(2, number) + result(0x78, 0 if self.tls else 2)))  # protocolError
                        if self.tls:
                            sock = self.tls.wrap_socket(sock, server_side=True)
                        continue
                    if op == 0x60:
                        self.in_clear += not isinstance(sock, ssl.SSLSocket)
                    answers = self._bind(body) if op == 0x60 else self._search(body) if op == 0x63 else []
                    sock.sendall(b"".join(tlv(0x30, tlv(2, number) + a) for a in answers))
            except OSError:
                return

    def _bind(self, body):
        (_, _), (_, dn), (_, password) = parts(body)[:3]
        dn, password = dn.decode(), password.decode()
        self.binds.append((dn, password))
        self.asked.set()
        self.gate.wait(20)
        right = not password or (dn in self.entries and self.entries[dn][0] == password)
        return [result(0x61, 0 if right else 49)]  # invalidCredentials

    def _fits(self, tag, content, attributes):
        if tag in (0xA0, 0xA1):
            return (all if tag == 0xA0 else any)(self._fits(t, c, attributes) for t, c in parts(content))
        (_, name), (_, value) = parts(content)
        return attributes.get(name.decode()) == value.decode()

    def _text(self, tag, content):
        if tag in (0xA0, 0xA1):
            return f"({'&' if tag == 0xA0 else '|'}{''.join(self._text(t, c) for t, c in parts(content))})"
        (_, name), (_, value) = parts(content)
        return f"({name.decode()}={value.decode()})"

    def _search(self, body):
        fields = parts(body)
        base, (tag, content) = fields[0][1].decode(), fields[6]
        self.filters.append(self._text(tag, content))
        found = [dn for dn, (_, attributes) in self.entries.items()
                 if dn.endswith(base) and self._fits(tag, content, attributes)]
        return [tlv(0x64, tlv(4, dn.encode()) + tlv(0x30, b"")) for dn in found] + [result(0x65, 0)]

    def __enter__(self):
        return self

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def __exit__(self, *_):
        self.gate.set()
        self.close()
