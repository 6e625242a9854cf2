"""
A PostgreSQL server whose every byte a test decides. It logs connections in by itself; from then on the
test drives each session: until(text) answers everything politely up to the statement with that text.
"""

import queue
import re
import select
import socket
import ssl
import struct
import threading

from . import wire
from .process import free_port

PARAMETERS = {
    "application_name": "", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
    "default_transaction_read_only": "off", "in_hot_standby": "off", "integer_datetimes": "on",
    "IntervalStyle": "postgres", "is_superuser": "off", "server_encoding": "UTF8",
    "server_version": "15.10", "session_authorization": "app", "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}

TAGS = (("begin", "BEGIN", "T"), ("start transaction", "START TRANSACTION", "T"), ("commit", "COMMIT", "I"),
        ("end", "COMMIT", "I"), ("rollback to", "ROLLBACK", None), ("rollback", "ROLLBACK", "I"),
        ("abort", "ROLLBACK", "I"), ("set", "SET", None), ("reset", "RESET", None),
        ("discard", "DISCARD ALL", None), ("deallocate", "DEALLOCATE", None), ("insert", "INSERT 0 1", None),
        ("update", "UPDATE 1", None), ("delete", "DELETE 1", None), ("savepoint", "SAVEPOINT", None))


class Session(wire.Stream):
    """One connection of the proxy to us."""

    def __init__(self, sock, server):
        super().__init__(sock)
        self.server = server
        self.pid = next(server.pids)
        self.key = self.pid * 7919 % 2**32
        self.startup = {}
        self.status = "I"
        self.statements = {}  # name: text
        self.portals = {}     # name: statement name
        self.seen = []        # every message, in order
        self.taken = threading.Event()
        self.keeper = None

    # ---- before the test takes over

    def keep(self):
        """
        Serves what the proxy asks for itself when it logs a client in: a Sync, or a batch of settings.
        Stops before the first message of a client's own, which is left for the test to read.
        """
        own = False  # inside a batch that is the proxy's own
        while not self.taken.is_set():
            if not select.select([self.sock], [], [], 0.02)[0]:
                continue
            head = self.sock.recv(5, socket.MSG_PEEK)
            if len(head) < 5:
                return
            kind, size = chr(head[0]), struct.unpack("!I", head[1:])[0] + 1
            if kind == "P" and size < 100_000:
                whole = self.sock.recv(size, socket.MSG_PEEK)
                own = len(whole) == size and b"set_config" in whole
            if not (own or kind in "SH"):
                return
            if kind == "S":
                own = False
            self.answer(self.next())

    def receive(self):
        """Whoever reads first takes the session from its keeper."""
        if threading.current_thread() is not self.keeper and self.keeper is not None:
            self.taken.set()
            self.keeper.join()
            self.keeper = None
        return super().receive()

    # ---- login

    def welcome(self):
        self.send(wire.AUTH_OK, *(wire.parameter_status(k, v) for k, v in PARAMETERS.items()),
                  wire.backend_key(self.pid, self.key), wire.ready())

    # ---- answering

    def next(self):
        m = self.receive()
        self.seen.append(m)
        return m

    def answer_text(self, sql):
        """The messages for a statement, without ReadyForQuery, and the status after it."""
        word = re.sub(r"^(\s|/\*.*?\*/|--[^\n]*\n)+", "", sql).lower()
        if not word.strip("; "):
            return b"", wire.EMPTY
        for start, tag, status in TAGS:
            if word.startswith(start):
                if status is not None:
                    self.status = status
                return b"", wire.complete(tag)
        return wire.row_description("v"), wire.data_row("1") + wire.complete("SELECT 1")

    def answer(self, m):
        """The polite answer to a message; many statements in one Query get one answer each."""
        if m.kind == "Q":
            parts = [p for p in m.text.split(";") if p.strip()] or [""]
            self.send(*(b"".join(self.answer_text(p)) for p in parts), wire.ready(self.status))
        elif m.kind == "P":
            name, text = m.strings()[:2]
            if name and name in self.statements:
                self.send(wire.error("42P05", f'prepared statement "{name}" already exists'))
                self.skip_to_sync()
                return
            self.statements[name] = text
            self.send(wire.PARSE_COMPLETE)
        elif m.kind == "B":
            portal, name = m.strings()[:2]
            if name not in self.statements:
                self.send(wire.error("26000", f'prepared statement "{name}" does not exist'))
                self.skip_to_sync()
                return
            self.portals[portal] = name
            self.send(wire.BIND_COMPLETE)
        elif m.kind == "D":
            what, name = chr(m.body[0]), m.body[1:-1].decode()
            text = self.statements.get(name if what == "S" else self.portals.get(name, ""), "")
            head = self.describe_text(text)
            self.send(wire.parameter_description() if what == "S" else b"", head)
        elif m.kind == "E":
            name = self.portals.get(m.text, "")
            self.send(self.answer_text(self.statements.get(name, ""))[1])
        elif m.kind == "C":
            what, name = chr(m.body[0]), m.body[1:-1].decode()
            (self.statements if what == "S" else self.portals).pop(name, None)
            self.send(wire.CLOSE_COMPLETE)
        elif m.kind == "S":
            self.send(wire.ready(self.status))
        elif m.kind == "F":
            self.send(wire.message("V", struct.pack("!i", -1)), wire.ready(self.status))
        elif m.kind == "X":
            raise wire.Gone("Terminate")
        elif m.kind not in "Hdcf":
            raise AssertionError(f"the proxy sent {m}")

    def describe_text(self, text):
        was = self.status
        head, _ = self.answer_text(text)
        self.status = was
        return head or wire.NO_DATA

    def skip_to_sync(self):
        while self.next().kind != "S":
            pass
        if self.status == "T":
            self.status = "E"
        self.send(wire.ready(self.status))

    def until(self, text):
        """Serves politely until a Query, or the Execute of a statement, with this text; returns its message."""
        while True:
            m = self.next()
            if m.kind == "Q" and text in m.text:
                return m
            if m.kind == "E" and text in self.statements.get(self.portals.get(m.text, ""), ""):
                return m
            self.answer(m)

    def until_kind(self, kind):
        while True:
            m = self.next()
            if m.kind == kind:
                return m
            self.answer(m)

    def serve(self):
        """Serves politely to the end."""
        try:
            while True:
                self.answer(self.next())
        except (wire.Gone, OSError):
            self.close()

    def serve_on(self):
        """serve() in a thread of its own, for what the test no longer looks at."""
        threading.Thread(target=self.serve, daemon=True).start()

    def finish(self, *rows):
        """The answer of a SELECT, with ReadyForQuery."""
        rows = rows or ("1",)
        self.send(wire.row_description("v"), *(wire.data_row(r) for r in rows),
                  wire.complete(f"SELECT {len(rows)}"), wire.ready(self.status))

    def texts(self):
        """All statement texts seen so far."""
        return [m.text if m.kind == "Q" else m.strings()[1] for m in self.seen if m.kind in "QP"]


class FakeServer:
    """
    Listens and takes sessions. polite: each session is served to its end by a thread; else they queue up
    for accept(). login: None logs everyone in, else a function of the session that does it. tls: a server's
    context, for polite ones; tls_answer: the bytes that answer an SSLRequest. host, port: where.
    """

    def __init__(self, polite=False, login=None, tls=None, tls_answer=None, host="127.0.0.1", port=None):
        self.host = host
        self.port = port or free_port()
        self.polite = polite
        self.tls = tls
        self.tls_answer = tls_answer if tls_answer is not None else b"N" if tls is None else b"S"
        self.requests = 0  # for TLS
        self.login = login
        self.sessions = queue.Queue()
        self.cancels = queue.Queue()
        self.cancel_gate = threading.Event()  # cleared: cancel connections stay open until it is set
        self.cancel_gate.set()
        self.all = []
        self.pids = iter(range(1001, 1_000_000))
        self.listener = self._bind()
        self.closing = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    @property
    def connstr(self):
        return f"host={self.host} port={self.port} dbname=app"

    def _bind(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, self.port), family=family, backlog=128)

    def _listen(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(sock,), daemon=True).start()

    def _greet(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(sock, self)
        try:
            while True:
                code, body = session.receive_startup()
                if code == wire.SSL_REQUEST:
                    self.requests += 1
                    session.send(self.tls_answer)
                    if self.tls is not None:
                        session.sock = self.tls.wrap_socket(sock, server_side=True)
                    continue
                if code == wire.GSSENC_REQUEST:
                    session.send(b"N")
                    continue
                break
            if code == wire.CANCEL_REQUEST:
                self.cancels.put(struct.unpack("!II", body))
                self.cancel_tls = isinstance(session.sock, ssl.SSLSocket)
                self.cancel_gate.wait()
                session.close()
                return
            words = [w.decode() for w in body.split(b"\0")]
            session.startup = dict(zip(words[::2], words[1::2]))
            self.all.append(session)
            if self.login is not None:
                self.login(session)
            else:
                session.welcome()
        except (wire.Gone, OSError):
            session.close()
            return
        if self.polite:
            session.serve()
        else:
            session.keeper = threading.current_thread()
            self.sessions.put(session)
            try:
                session.keep()
            except (wire.Gone, OSError, ValueError):
                pass  # closed: the test will see that for itself

    def accept(self, seconds=30.0):
        """The next session that logged in."""
        return self.sessions.get(timeout=seconds)

    def warm(self, client):
        """Has the client run one statement, and gives the session that ran it."""
        client.send(wire.query("UPDATE t SET v = 'warm up'"))
        s = self.accept()
        s.until("warm up")
        s.answer(s.seen[-1])
        client.until_ready()
        return s

    def cancelled(self, seconds=30.0):
        """The (pid, key) of the next CancelRequest."""
        return self.cancels.get(timeout=seconds)

    def stop_listening(self):
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def listen_again(self):
        self.closing = False
        self.listener = self._bind()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def close(self):
        self.stop_listening()
        self.cancel_gate.set()
        for s in self.all:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()
