"""
Scripts played directly and through pgusher, whose answers must be equal byte by byte, but for pids and keys. A
script is a list of steps: a text is a Query, a list is one write of texts and messages, made by the functions below.
"""

from .play import Player

SYNC, FLUSH, DONE = ("S",), ("H",), ("c",)


def parse(sql, name="", types=()):
    return ("P", name, sql, tuple(types))


def bind(portal="", statement="", params=(), results=()):
    return ("B", portal, statement, tuple(params), tuple(results))


def describe(what="P", name=""):
    return ("D", what, name)


def execute(portal="", rows=0):
    return ("E", portal, rows)


def close(what="S", name=""):
    return ("C", what, name)


def data(text):
    return ("d", text)


def fail(why):
    return ("f", why)


def call(oid, *args):
    return ("F", oid, args)


def run(sql, *params):
    """A statement in the extended protocol, without its Sync."""
    return [parse(sql), bind(params=params), describe(), execute()]


def extended(sql, *params):
    return run(sql, *params) + [SYNC]


class ExactPlayer(Player):
    def take(self, m):
        if m.kind == "K":
            return
        if m.kind == "Z":
            self.status = m.body.decode()
        body = m.body[4:] if m.kind == "A" else m.body
        if m.kind == "E" and m.fields()["S"] == "FATAL":  # where in PostgreSQL's source is not told by ours
            body = {k: v for k, v in m.fields().items() if k not in "FLR"}
        self.stream.append((m.kind, body))


def play(port, steps, marks=None, between=None):
    """marks: of the run to compare with; between: called when a step left the session idle."""
    p = ExactPlayer(port, {})
    for i, step in enumerate(steps):
        if p.over:
            break
        if marks is None:
            p.direct_step(steps, i)
        elif not p.proxy_step(step, marks[i + 1]):
            break
        if between is not None and p.marks[-1] > p.marks[-2] and p.stream[-1] == ("Z", b"I"):
            between()
    p.close()
    return p


def difference(node, proxy, script, fresh, between=None):
    """None, or what differs, in words. fresh: makes the tables new before each run."""
    steps = [[("Q", m) if isinstance(m, str) else m for m in ([step] if isinstance(step, str) else step)]
             for step in script]
    fresh()
    direct = play(node.port, steps)
    fresh()
    through = play(proxy.port, steps, direct.marks, between)
    for i in range(max(len(direct.stream), len(through.stream))):
        a, b = (p.stream[i] if i < len(p.stream) else "nothing" for p in (direct, through))
        if a != b:
            return f"message {i}: {a} directly, {b} through pgusher"
    return None
