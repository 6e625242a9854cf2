"""
PostgreSQL's messages, composed and taken apart byte by byte.
Protocol: "Message Formats", "Error and Notice Message Fields".
"""

import ssl
import struct

PROTOCOL_3 = 196608
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102


def message(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def cstr(text):
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def startup(code=PROTOCOL_3, **parameters):
    body = struct.pack("!I", code)
    for name, value in parameters.items():
        body += cstr(name) + cstr(value)
    if code >> 16 == 3:
        body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def special(code, body=b""):
    """SSLRequest and its like: a startup packet with only a code."""
    return struct.pack("!II", len(body) + 8, code) + body


def cancel(pid, key):
    """key: a number, or since protocol 3.2 bytes."""
    return special(CANCEL_REQUEST, struct.pack("!I", pid) + (key if isinstance(key, bytes) else struct.pack("!I", key)))


# ---- what clients send


def query(sql):
    return message("Q", cstr(sql))


def parse(sql, name="", types=()):
    return message("P", cstr(name) + cstr(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(statement="", portal="", params=(), formats=(), results=()):
    body = cstr(portal) + cstr(statement)
    body += struct.pack(f"!H{len(formats)}H", len(formats), *formats)
    body += struct.pack("!H", len(params))
    for p in params:
        if p is None:
            body += struct.pack("!i", -1)
        else:
            p = p.encode() if isinstance(p, str) else p
            body += struct.pack("!i", len(p)) + p
    body += struct.pack(f"!H{len(results)}H", len(results), *results)
    return message("B", body)


def describe(what="P", name=""):
    return message("D", what.encode() + cstr(name))


def execute(portal="", rows=0):
    return message("E", cstr(portal) + struct.pack("!I", rows))


def close(what="S", name=""):
    return message("C", what.encode() + cstr(name))


SYNC = message("S")
FLUSH = message("H")
TERMINATE = message("X")
COPY_DONE = message("c")


def password(text):
    return message("p", cstr(text))


def copy_data(data):
    return message("d", data)


def copy_fail(why):
    return message("f", cstr(why))


# ---- what servers send

AUTH_OK = message("R", struct.pack("!I", 0))
PARSE_COMPLETE = message("1")
BIND_COMPLETE = message("2")
CLOSE_COMPLETE = message("3")
NO_DATA = message("n")
EMPTY = message("I")


def ready(status="I"):
    return message("Z", status.encode())


def parameter_status(name, value):
    return message("S", cstr(name) + cstr(value))


def backend_key(pid, key):
    return message("K", struct.pack("!II", pid, key))


def row_description(*names, oid=25):
    body = struct.pack("!H", len(names))
    for name in names:
        body += cstr(name) + struct.pack("!IHIhiH", 0, 0, oid, -1, -1, 0)
    return message("T", body)


def parameter_description(*oids):
    return message("t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def data_row(*values):
    body = struct.pack("!H", len(values))
    for v in values:
        if v is None:
            body += struct.pack("!i", -1)
        else:
            v = v.encode() if isinstance(v, str) else v
            body += struct.pack("!i", len(v)) + v
    return message("D", body)


def complete(tag):
    return message("C", cstr(tag))


def error(sqlstate, text, severity="ERROR"):
    fields = (("S", severity), ("V", severity), ("C", sqlstate), ("M", text))
    return message("E", b"".join(k.encode() + cstr(v) for k, v in fields) + b"\0")


def notice(text):
    fields = (("S", "NOTICE"), ("V", "NOTICE"), ("C", "00000"), ("M", text))
    return message("N", b"".join(k.encode() + cstr(v) for k, v in fields) + b"\0")


class Message:
    """One message read from a peer."""

    def __init__(self, kind, body):
        self.kind = kind
        self.body = body

    def __repr__(self):
        return f"<{self.kind} {self.body[:80]!r}>"

    def strings(self):
        return [s.decode(errors="replace") for s in self.body.split(b"\0")]

    @property
    def text(self):
        """The first string: a query's text, a completion's tag."""
        return self.strings()[0]

    def fields(self):
        """ErrorResponse and NoticeResponse: {'C': sqlstate, 'M': text, …}."""
        return {f[:1].decode(): f[1:].decode(errors="replace") for f in self.body.split(b"\0") if f}

    @property
    def sqlstate(self):
        return self.fields().get("C")

    def columns(self):
        """DataRow: the values; RowDescription: the names."""
        count, = struct.unpack_from("!H", self.body)
        at, out = 2, []
        for _ in range(count):
            if self.kind == "T":
                end = self.body.index(b"\0", at)
                out.append(self.body[at:end].decode())
                at = end + 19
            else:
                size, = struct.unpack_from("!i", self.body, at)
                at += 4
                out.append(None if size < 0 else self.body[at:at + size])
                at += max(size, 0)
        return out

    def types(self):
        """RowDescription: the type OIDs."""
        count, = struct.unpack_from("!H", self.body)
        at, out = 2, []
        for _ in range(count):
            at = self.body.index(b"\0", at) + 1
            out.append(struct.unpack_from("!I", self.body, at + 6)[0])
            at += 18
        return out


class Gone(Exception):
    """The peer closed the connection."""


class Stream:
    """A socket read message by message, with a time limit on everything."""

    def __init__(self, sock, timeout=30.0):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.have = bytearray()

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def _more(self):
        try:
            part = self.sock.recv(262144)
        except (ConnectionError, ssl.SSLError) as e:
            raise Gone(str(e)) from e
        if not part:
            raise Gone("closed")
        self.have += part

    def read(self, size):
        while len(self.have) < size:
            self._more()
        out = bytes(self.have[:size])
        del self.have[:size]
        return out

    def skip(self, size):
        """Reads and forgets size bytes."""
        while size > 0:
            if not self.have:
                self._more()
            part = min(size, len(self.have))
            del self.have[:part]
            size -= part

    def receive(self):
        head = self.read(5)
        size, = struct.unpack("!I", head[1:])
        return Message(chr(head[0]), self.read(size - 4))

    def receive_startup(self):
        size, code = struct.unpack("!II", self.read(8))
        return code, self.read(size - 8)

    def expect_closed(self):
        """Nothing but a close comes; returns the messages that came before it."""
        seen = []
        try:
            while True:
                seen.append(self.receive())
        except Gone:
            return seen

    def quiet(self, seconds=0.2):
        """True when nothing arrives for a while."""
        if self.have:
            return False
        was = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, 2)  # MSG_PEEK
            return False
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(was)

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST, as a crashed host does."""
        self.sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()
