"""What a session's state costs, in messages and round trips that the server sees."""

import select

import pytest

from harness import wire
from harness.process import wait_for

SETTINGS = {"work_mem": "3MB", "app.x": "1", "lock_timeout": "9s", "enable_seqscan": "off", "bytea_output": "escape"}
EXTENDED = [wire.parse("SELECT 'asked'"), wire.bind(), wire.describe(), wire.execute(), wire.SYNC]


def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


def make(c, s, *names):
    """The client makes these settings in the server's session."""
    for name in names:
        c.send(wire.query(f"SET {name} = '{SETTINGS[name]}'"))
        s.until(f"SET {name}")
        s.answer(s.seen[-1])
        c.until_ready()


def took(s, count):
    """The next messages, in short, none of which was answered."""
    return [s.receive() for _ in range(count)]


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("count", [0, len(SETTINGS)])
def test_a_state_that_the_server_has_costs_nothing(run_pgusher, server, protocol, count):
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    c = client(p)
    s = server.warm(c)
    make(c, s, *list(SETTINGS)[:count])
    if protocol == "prepared":
        c.send(wire.parse("SELECT 'asked'", "p"), wire.SYNC)
        s.until_kind("S")
        s.answer(s.seen[-1])
        c.until_ready()
    question = {"simple": [wire.query("SELECT 'asked'")], "extended": EXTENDED,
                "prepared": [wire.bind("p"), wire.execute(), wire.SYNC]}[protocol]
    for _ in range(3):
        c.send(*question)
        assert [m.kind for m in took(s, len(question))] == [chr(m[0]) for m in question]
        assert s.quiet(0.05), "no message of our own, before or behind"
        answers = {"B": wire.BIND_COMPLETE, "P": wire.PARSE_COMPLETE, "D": wire.NO_DATA}
        s.send(*[answers.get(chr(m[0]), b"") for m in question], wire.complete("SELECT 0"), wire.ready())
        assert c.until_ready().status == "I"


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_settings_are_restored_in_the_write_of_the_request(run_pgusher, server, protocol):
    """All of it is there before the server has answered anything, and none of it has a Sync of its own."""
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    c = client(p)
    s = server.warm(c)
    make(c, s, *SETTINGS)
    s.close()
    question = [wire.query("SELECT 'asked'")] if protocol == "simple" else EXTENDED
    c.send(*question)
    s = server.accept()
    kinds = [m.kind for m in took(s, 3 * len(SETTINGS) + len(question))]
    assert kinds == ["P", "B", "E"] * len(SETTINGS) + [chr(m[0]) for m in question]
    s.send(*[wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.complete("SET")] * len(SETTINGS))
    s.send(*([] if protocol == "simple" else [wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.NO_DATA]),
           wire.complete("SELECT 0"), wire.ready())
    assert c.until_ready().status == "I"


def test_only_what_differs_is_set(run_pgusher, server):
    """Two clients that differ in one setting share a server."""
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    a, b = client(p), client(p)
    s = server.warm(a)
    make(a, s, "work_mem", "app.x")
    make(b, s, "work_mem")
    for c, text in ((a, "SET \"app\".\"x\" TO '1'"), (b, "RESET \"app\".\"x\"")) * 2:
        c.send(wire.query("SELECT 'asked'"))
        seen = took(s, 4)
        assert [m.kind for m in seen] == list("PBEQ") and seen[0].strings()[1] == text, seen
        s.send(wire.PARSE_COMPLETE, wire.BIND_COMPLETE, wire.complete("SET"))
        s.finish()
        c.until_ready()


def asked(server):
    """The session that was sent something."""
    return wait_for("a session to be asked", lambda: next((s for s in server.all
                                                           if select.select([s.sock], [], [], 0)[0]), None))


def test_a_client_gets_the_idle_server_that_has_its_settings(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2, workers=1)
    a, b = client(p), client(p)
    sessions = {}
    for c, name in ((a, "work_mem"), (b, "app.x")):
        c.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 1"))
        s = sessions[c] = asked(server)
        s.until("UPDATE t")
        s.answer(s.seen[-1])
        c.until_ready(2)
        make(c, s, name)
    for c, s in sessions.items():
        c.send(wire.query("COMMIT"))
        s.until("COMMIT")
        s.answer(s.seen[-1])
        c.until_ready()
    for c in (a, b, b, a, a, b):
        c.send(wire.query("SELECT 'asked'"))
        s = sessions[c]
        assert [m.kind for m in took(s, 1)] == ["Q"]
        s.finish()
        assert c.until_ready().kinds == "TDCZ"
