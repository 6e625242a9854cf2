"""Plays one session on a port and takes down what came back, in a form that can be compared."""

import re
import socket
import struct
import time

from harness import wire
from harness.fake_client import FakeClient

QUIET_SECONDS = 0.03  # direct: an answer without a ReadyForQuery is over when nothing came for so long
HANG_SECONDS = 5.0
OURS = re.compile(r'(prepared statement) "[^"]*"')
# Where the unnamed statement must be parsed again, a failed transaction refuses that before it looks at the Bind.
BAD_BIND = re.compile(r"bind message supplies \d+ parameters, but prepared statement")
NO_PORTAL = re.compile(r'portal "[^"]*" (cannot be run|does not exist)$')
FIRST_USER_OID = 16384


def encode(op):
    kind, rest = op[0], op[1:]
    if kind == "Q":
        return wire.query(rest[0])
    if kind == "P":
        return wire.parse(rest[1], rest[0], rest[2])
    if kind == "B":
        return wire.bind(rest[1], rest[0], rest[2], (), rest[3])
    if kind == "D":
        return wire.describe(*rest)
    if kind == "E":
        return wire.execute(*rest)
    if kind == "C":
        return wire.close(*rest)
    if kind == "F":
        oid, args = rest
        body = struct.pack("!IHH", oid, 0, len(args))
        body += b"".join(struct.pack("!i", len(a)) + a.encode() for a in args)
        return wire.message("F", body + struct.pack("!H", 0))
    if kind == "d":
        return wire.copy_data(rest[0].encode())
    if kind == "f":
        return wire.copy_fail(rest[0])
    return {"H": wire.message("H"), "S": wire.SYNC, "c": wire.COPY_DONE}[kind]


def ready_count(steps, i):
    """How many ReadyForQuery step i surely brings; None when that depends on the course of things."""
    step = steps[i]
    if i > 0 and (not steps[i - 1] or steps[i - 1][-1][0] not in "SQF"):
        return None
    count, open_batch = 0, False
    for op in step:
        kind = op[0]
        if kind in "cdf" or (kind in "QP" and "COPY" in op[1 if kind == "Q" else 2].upper()):
            return None
        if kind in "PBDECH":
            open_batch = True
        else:
            if kind in "QF" and open_batch:
                return None
            open_batch = False
            count += 1
    if open_batch or count == 0:
        return None
    # A COPY prepared earlier may be what is executed.
    prepared_copy = any(op[0] == "P" and "COPY" in op[2] and "STDIN" in op[2] for s in steps[:i] for op in s)
    return None if prepared_copy else count


def describe_body(m, state):
    """A message as something that compares equal when a client could not tell."""
    if m.kind in "EN":
        fields = {k: v for k, v in m.fields().items() if k not in "FLR"}
        fields["M"] = OURS.sub(r"\1 ?", fields.get("M", ""))
        if "during COPY from stdin" in fields["M"]:  # ours knows no line
            fields.pop("W", None)
        if NO_PORTAL.match(fields["M"]):  # BEGIN, sent late, leaves another
            fields.update(C="34000", M="no portal")
        if state["failed"] and BAD_BIND.match(fields["M"]):
            fields.update(C="25P02", M="current transaction is aborted, commands ignored until end of transaction block")
        return tuple(sorted(fields.items()))
    if m.kind == "T":
        count, = struct.unpack_from("!H", m.body)
        at, out = 2, []
        for _ in range(count):
            end = m.body.index(b"\0", at)
            table, column, type_oid, size, mod, fmt = struct.unpack_from("!IHIhiH", m.body, end + 1)
            out.append((m.body[at:end].decode("utf-8", "replace"), min(table, FIRST_USER_OID), column,
                        min(type_oid, FIRST_USER_OID), size, mod, fmt))
            at = end + 19
        return tuple(out)
    if m.kind == "A":
        return m.body[4:]
    if m.kind == "Z":
        state["failed"] = m.body == b"E"
        changed = {k: v for k, v in state["parameters"].items() if state["told"].get(k) != v}
        state["told"] = dict(state["parameters"])
        return (m.body.decode(), tuple(sorted(changed.items())))
    return m.body


class Player:
    """One run of one session."""

    def __init__(self, port, startup, database="app", user="app"):
        self.stream = []  # (kind, body)
        self.state = {"parameters": {}, "told": {}, "failed": False}
        self.marks = []  # messages that had come after each step
        self.over = False
        self.status = "I"
        self.client = FakeClient(port, timeout=HANG_SECONDS)
        self.client.send(wire.startup(**{"user": user, "database": database, **startup}))
        self.take_until(lambda: self.stream and self.stream[-1][0] == "Z", HANG_SECONDS)
        self.marks.append(len(self.stream))

    def take(self, m):
        if m.kind == "S":
            name, value = m.strings()[:2]
            self.state["parameters"][name] = value
            return
        if m.kind == "K":
            return
        if m.kind == "Z":
            self.status = m.body.decode()
        self.stream.append((m.kind, describe_body(m, self.state)))

    def take_until(self, enough, seconds):
        """Reads until enough() or nothing came for so long; tells which."""
        while not enough():
            self.client.sock.settimeout(seconds)
            try:
                self.take(self.client.receive())
            except (TimeoutError, socket.timeout):
                return False
            except (wire.Gone, ConnectionError):
                self.stream.append(("gone", b""))
                self.over = True
                return True
        return True

    def send(self, step):
        try:
            self.client.send(*[encode(op) for op in step])
        except (ConnectionError, BrokenPipeError):
            pass

    def direct_step(self, steps, i):
        self.send(steps[i])
        want = ready_count(steps, i)
        before = len(self.stream)
        if want is None:
            while not self.over and not self.take_until(lambda: False, QUIET_SECONDS) and self.client.have:
                pass
        else:
            self.take_until(lambda: sum(k == "Z" for k, _ in self.stream[before:]) >= want or self.over, 2.0)
        self.marks.append(len(self.stream))

    def proxy_step(self, step, mark):
        """mark: how many messages PostgreSQL had sent after this step. False: they do not come."""
        self.send(step)
        ok = self.take_until(lambda: len(self.stream) >= mark or self.over, HANG_SECONDS)
        self.marks.append(len(self.stream))
        return ok

    def close(self, politely=True):
        if politely and not self.over:
            self.send_terminate()
        self.client.close()

    def send_terminate(self):
        try:
            self.client.send(wire.TERMINATE)
            self.client.sock.settimeout(0.5)
            while self.client.sock.recv(65536):
                pass
        except OSError:
            pass


class Neighbour:
    """A client with settings of its own, that says when it sees anything else."""

    ODD = {"work_mem": "123MB", "TimeZone": "Asia/Kathmandu", "app.x": "neighbour", "app.y": "neighbour too",
           "lock_timeout": "7777ms", "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard",
           "extra_float_digits": "-9", "search_path": "pg_catalog, public, neighbour", "bytea_output": "escape",
           "client_min_messages": "warning", "default_transaction_isolation": "repeatable read",
           "app.roled": "of a neighbour", "cursor_tuple_fraction": "0.125"}

    def __init__(self, port, number, rng, identity, keeps_open, user="app"):
        self.r = rng
        self.keeps_open = keeps_open  # may stay in a transaction between turns
        self.number = number
        self.identity = f"neighbour{number}" if identity else None
        self.client = FakeClient(port, timeout=HANG_SECONDS)
        self.client.startup(**{"user": user, **({"app.ident": self.identity} if identity else {})})
        self.pending = 0
        self.status = "I"
        self.wants = []  # what the looks under way must show
        self.seen = []
        self.set = {}

    def poll(self, seconds):
        """What came of the answers due. True: none is due any more."""
        end = time.monotonic() + seconds
        while self.pending > 0:
            left = end - time.monotonic()
            self.client.sock.settimeout(max(left, 0.0005))
            try:
                m = self.client.receive()
            except (TimeoutError, socket.timeout):
                return False
            self.seen.append(m)
            if m.kind == "Z":
                self.pending -= 1
                self.status = m.body.decode()
        return True

    def check(self):
        """What is wrong with what came, or None."""
        seen, self.seen = self.seen, []
        for m in seen:
            if m.kind == "E":
                return f"neighbour {self.number}: {m.fields()}"
            if m.kind == "D":
                got = [v.decode() if v is not None else None for v in m.columns()]
                if got[0] == "look":
                    want = self.wants.pop(0)
                    if got[1:] != want:
                        return f"neighbour {self.number} sees {got[1:]}, not {want}"
        return None

    def turn(self, main_is_idle):
        """One thing done between two steps of the session."""
        if not self.poll(0):
            return
        names = sorted(self.ODD)
        roll = self.r.random()
        if self.status == "T" and (roll < 0.5 or not self.keeps_open):
            send = [wire.query("COMMIT")]
        elif roll < 0.35 and len(self.set) < len(names):
            name = self.r.choice([n for n in names if n not in self.set])
            value = self.ODD[name]
            sql = f"SET {name} = {value}" if "," in value else f"SET {name} = '{value}'"
            self.set[name] = value
            send = [wire.query(sql)]
        elif roll < 0.6:
            columns = ", ".join(f"current_setting('{n}', true)" if n in self.set else "'default'" for n in names)
            ident = "current_setting('app.ident')" if self.identity else "''"
            self.wants.append([self.set.get(n, "default") for n in names] + [self.identity or ""])
            send = [wire.query(f"SELECT 'look', {columns}, {ident}")]
        elif roll < 0.7:
            send = [wire.query("BEGIN; INSERT INTO diff_n VALUES (1); COMMIT")]
        elif roll < 0.78 and self.keeps_open and self.status == "I":
            send = [wire.query("BEGIN"), wire.query("SELECT 1")]
        elif roll < 0.9:
            send = [wire.parse("SELECT id, v FROM diff_t ORDER BY id", ""), wire.bind(), wire.execute(), wire.SYNC]
        else:
            send = [wire.parse("SELECT $1::int + 1", "s1"), wire.close("S", "s1"), wire.SYNC]
        self.client.sock.settimeout(HANG_SECONDS)
        self.client.send(*send)
        self.pending += sum(p[:1] in b"QS" for p in send)
        if main_is_idle:
            self.poll(0.03)

    def close(self):
        self.client.close()
