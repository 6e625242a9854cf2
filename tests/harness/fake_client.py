"""A client that says exactly the bytes a test wants said."""

import socket
import struct

from . import wire


class Answer:
    """The messages of one request, up to ReadyForQuery."""

    def __init__(self, messages):
        self.messages = messages

    @property
    def kinds(self):
        """The message types in order, as one string; notices and parameter reports left out."""
        return "".join(m.kind for m in self.messages if m.kind not in "NS")

    @property
    def error(self):
        return next((m for m in self.messages if m.kind == "E"), None)

    @property
    def sqlstate(self):
        return self.error.sqlstate if self.error else None

    @property
    def status(self):
        last = self.messages[-1]
        return last.body.decode() if last.kind == "Z" else None

    @property
    def tags(self):
        return [m.text for m in self.messages if m.kind == "C"]

    @property
    def rows(self):
        return [m.columns() for m in self.messages if m.kind == "D"]

    @property
    def notices(self):
        return [m.fields() for m in self.messages if m.kind == "N"]

    @property
    def names(self):
        return next((m.columns() for m in self.messages if m.kind == "T"), [])

    def value(self):
        return self.rows[0][0].decode()

    def dicts(self):
        if self.error:
            raise RuntimeError(f"{self.error.fields()}")
        return [dict(zip(self.names, (None if v is None else v.decode() for v in row))) for row in self.rows]

    def __repr__(self):
        return f"{self.messages}"


class FakeClient(wire.Stream):
    """tls: a client's context; direct: TLS begins without asking for it; source: the address it comes from."""

    def __init__(self, port, timeout=30.0, path=None, tls=None, direct=False, session=None, source=""):
        if path is None:
            sock = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(str(path))
        super().__init__(sock, timeout)
        self.parameters = {}
        self.pid = self.key = None
        if tls is not None:
            try:
                self.secure(tls, direct, session)
            except BaseException:
                self.close()
                raise

    def ask_for_tls(self):
        """The one byte that answers an SSLRequest."""
        self.send(wire.special(wire.SSL_REQUEST))
        return self.read(1)

    def secure(self, tls, direct=False, session=None):
        if not direct:
            answer = self.ask_for_tls()
            if answer != b"S":
                raise RuntimeError(f"no TLS: {answer}")
        self.sock = tls.wrap_socket(self.sock, server_hostname="localhost", session=session)

    def startup(self, user="app", database="app", **more):
        """Logs in where no password is asked for; the messages up to ReadyForQuery."""
        self.send(wire.startup(user=user, database=database, **more))
        answer = self.until_ready()
        for m in answer.messages:
            if m.kind == "S":
                name, value = m.strings()[:2]
                self.parameters[name] = value
            elif m.kind == "K":
                self.pid = struct.unpack_from("!I", m.body)[0]
                self.key = struct.unpack_from("!I", m.body, 4)[0] if len(m.body) == 8 else m.body[4:]
        if answer.error:
            raise RuntimeError(f"login failed: {answer.error.fields()}")
        return answer

    def until_ready(self, count=1):
        """Messages up to the count-th ReadyForQuery; a FATAL error also ends them."""
        out = []
        while count > 0:
            m = self.receive()
            out.append(m)
            if m.kind == "Z":
                count -= 1
            elif m.kind == "E" and m.fields().get("S") == "FATAL":
                break
        return Answer(out)

    def until(self, kind):
        out = []
        while not out or out[-1].kind != kind:
            out.append(self.receive())
        return Answer(out)

    def simple(self, sql):
        self.send(wire.query(sql))
        return self.until_ready()

    def extended(self, sql, params=(), types=(), **more):
        self.send(wire.parse(sql, types=types), wire.bind(params=params, **more), wire.describe(), wire.execute(),
                  wire.SYNC)
        return self.until_ready()

    def prepare(self, name, sql, types=()):
        self.send(wire.parse(sql, name, types), wire.SYNC)
        return self.until_ready()

    def run(self, name, params=(), **more):
        self.send(wire.bind(name, params=params, **more), wire.execute(), wire.SYNC)
        return self.until_ready()

    def cancel(self):
        """Asks, over a connection of its own, that what runs now be cancelled."""
        with socket.create_connection(self.sock.getpeername(), timeout=5) as s:
            s.sendall(wire.cancel(self.pid, self.key))
            s.settimeout(5)
            try:
                s.recv(1)
            except ConnectionError:
                pass
