"""LISTEN and NOTIFY with transaction pooling: no server is kept for who listens, and nobody can tell."""

import os
import select
import signal
import struct
import time

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.process import wait_for

pytestmark = pytest.mark.tsan


@pytest.fixture
def proxy(run_pgusher, cluster):
    """One server for all: who keeps it keeps everybody out."""
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5)


class Ear:
    """What a connection was notified of, in order, whether it was asking something or idle."""

    def __init__(self, conn):
        self.conn = conn
        self.notes = []
        conn.add_notify_handler(self.notes.append)

    def take(self, count=1, seconds=20):
        """The next notifications of an idle connection."""
        until = time.monotonic() + seconds
        while len(self.notes) < count and time.monotonic() < until:
            select.select([self.conn.fileno()], [], [], 0.1)
            self.conn.pgconn.consume_input()
            while (note := self.conn.pgconn.notifies()) is not None:
                self.conn.pgconn.notify_handler(note)
        taken = self.notes[:count]
        del self.notes[:count]
        return taken

    def told(self, count=1):
        return [(n.channel, n.payload) for n in self.take(count)]

    def silent(self):
        """Nothing is there at the end of a transaction: nothing that was before it comes later."""
        self.conn.execute("SELECT 1")
        return self.notes == []


def test_who_listens_keeps_no_server(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    b.execute(f"NOTIFY {name}, 'hello'")
    assert a.told() == [(name, "hello")]
    assert proxy.console("SHOW PINS") == []


def test_its_own_notification_comes_before_the_end_of_its_statement(proxy, name):
    a = Ear(proxy.connect())
    a.conn.execute(f"LISTEN {name}")
    a.conn.execute(f"NOTIFY {name}, 'mine'")
    assert [(n.payload, n.pid) for n in a.notes] == [("mine", a.conn.info.backend_pid)]


def test_listen_takes_effect_at_commit(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect(user="other")
    with a.conn.transaction():
        a.conn.execute(f"LISTEN {name}")
        b.execute(f"NOTIFY {name}, 'too early'")
        a.conn.execute(f"NOTIFY {name}, 'mine'")
    b.execute(f"NOTIFY {name}, 'now'")
    assert a.told(2) == [(name, "mine"), (name, "now")]


def test_what_is_rolled_back_is_undone(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute("BEGIN")
    a.conn.execute(f"LISTEN {name}_all")
    a.conn.execute("ROLLBACK")
    a.conn.execute("BEGIN")
    a.conn.execute(f"LISTEN {name}_kept")
    a.conn.execute("SAVEPOINT s")
    a.conn.execute(f"LISTEN {name}_part")
    a.conn.execute("ROLLBACK TO s")
    a.conn.execute(f"LISTEN {name}_last")
    a.conn.execute("COMMIT")
    for part in ("all", "part", "kept", "last"):
        b.execute(f"NOTIFY {name}_{part}")
    assert a.told(2) == [(f"{name}_kept", ""), (f"{name}_last", "")]
    assert a.silent()


def test_an_error_undoes_the_text(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect()
    with pytest.raises(psycopg.errors.DivisionByZero):
        a.conn.execute(f"LISTEN {name}_a; SELECT 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        a.conn.execute(f"BEGIN; LISTEN {name}_b; COMMIT; LISTEN {name}_c; SELECT 1 / 0")
    for part in ("a", "b", "c"):
        b.execute(f"NOTIFY {name}_{part}")
    assert a.told() == [(f"{name}_b", "")]
    assert a.silent()


@pytest.mark.parametrize("end", ["UNLISTEN {0}", "UNLISTEN *", "DISCARD ALL", "BEGIN; UNLISTEN *; COMMIT",
                                 "SELECT 1; UNLISTEN {0}"])
def test_unlisten(proxy, name, end):
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}; LISTEN {name}")
    b.execute(f"NOTIFY {name}, 'one'")
    assert a.told() == [(name, "one")]
    a.conn.execute(end.format(name))
    b.execute(f"NOTIFY {name}, 'two'")
    assert a.silent()
    a.conn.execute(f"LISTEN {name}")
    b.execute(f"NOTIFY {name}, 'three'")
    assert a.told() == [(name, "three")]


def test_unlisten_that_is_rolled_back(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    a.conn.execute(f"BEGIN; UNLISTEN {name}; ROLLBACK")
    b.execute(f"NOTIFY {name}")
    assert a.told() == [(name, "")]


def test_none_comes_inside_a_transaction(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    a.conn.execute("BEGIN")
    a.conn.execute("SELECT 1")
    b.execute(f"NOTIFY {name}, '1'")
    b.execute(f"NOTIFY {name}, '2'")
    a.conn.execute("SELECT 1")
    assert a.notes == []
    a.conn.execute("COMMIT")
    assert [n.payload for n in a.notes] == ["1", "2"]


def test_the_extended_protocol(proxy, name):
    a, b = Ear(proxy.connect(prepare_threshold=0)), proxy.connect()
    a.conn.execute(f"LISTEN {name}_a", prepare=True)
    a.conn.execute(f"LISTEN {name}_b", binary=True)
    with a.conn.pipeline():
        a.conn.execute(f"LISTEN {name}_c")
        a.conn.execute(f"LISTEN {name}_d")
        a.conn.execute(f"UNLISTEN {name}_c")
    for part in "abcd":
        b.execute("SELECT pg_notify(%s, %s)", (f"{name}_{part}", part))
    assert a.told(3) == [(f"{name}_{part}", part) for part in "abd"]
    assert proxy.console("SHOW PINS") == []
    assert a.silent()


def test_everyone_hears_in_order(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=3)
    listeners = [Ear(proxy.connect()) for _ in range(9)]
    for c in listeners:
        c.conn.execute(f'LISTEN {name}; LISTEN "{name} Ü"')
    senders = [proxy.connect() for _ in range(3)]
    for i in range(60):
        senders[i % 3].execute("SELECT pg_notify(%s, %s)", ((name, f"{name} Ü")[i % 2], str(i)))
    for c in listeners:
        assert c.told(60) == [((name, f"{name} Ü")[i % 2], str(i)) for i in range(60)]


def test_the_pid_is_the_one_that_the_sender_was_told(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    a, b, c = (Ear(proxy.connect()) for _ in range(3))
    a.conn.execute(f"LISTEN {name}")
    pids = []
    for c in (a, b, c, b, a):
        c.conn.execute("SELECT pg_notify(%s, '')", (name,))
        pids.append(c.conn.info.backend_pid)
    assert [n.pid for n in a.take(5)] == pids
    with cluster.primary.connect("app") as direct:
        direct.execute(f"NOTIFY {name}")
        assert [n.pid for n in a.take(1)] == [direct.info.backend_pid]


def test_the_server_listens_no_more_for_the_next_client(proxy, name):
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    assert b.execute("SELECT * FROM pg_listening_channels()").fetchall() == []


def test_the_channels_are_told_truly(proxy, name):
    a, b = proxy.connect(), proxy.connect()
    channels = "SELECT * FROM pg_listening_channels()"
    a.execute(f'LISTEN {name}_b; LISTEN "{name} a"')
    a.execute(f"BEGIN; LISTEN {name}_not; ROLLBACK")
    assert a.execute(channels).fetchall() == [(f"{name}_b",), (f"{name} a",)]
    with a.transaction():
        assert a.execute(channels).fetchall() == [(f"{name}_b",), (f"{name} a",)]
        a.execute(f"UNLISTEN {name}_b")
    assert a.execute(channels).fetchall() == [(f"{name} a",)]
    a.execute("BEGIN; SELECT 1")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        a.execute(channels)
    a.execute("ROLLBACK")
    assert b.execute(channels).fetchall() == []
    assert [(r["id"], r["user"], r["channel"], r["waiting_bytes"]) for r in proxy.console("SHOW LISTENS")] == [
        (str(a.info.backend_pid), "app", f"{name} a", "0")]


def test_an_unnamed_statement_is_there_after_the_server_has_forgotten(proxy, name):
    with proxy.raw() as a:
        a.startup()
        assert a.extended(f"LISTEN {name}").error is None
        a.send(wire.bind(), wire.execute(), wire.SYNC)
        assert a.until_ready().kinds == "2CZ"


def test_the_connection_goes_when_nobody_listens(proxy, cluster, name):
    with proxy.connect() as a:
        a.execute(f"LISTEN {name}")
    listening = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgusher listens'"
    wait_for("the connection to go", lambda: cluster.primary.execute(listening) == [(0,)], 30)


def kill_listener(cluster):
    return cluster.primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                   "WHERE application_name = 'pgusher listens'")


def test_who_may_have_missed_something_is_disconnected(proxy, cluster, name):
    b = Ear(proxy.connect())
    with proxy.raw() as idle, proxy.raw() as busy:
        for c in (idle, busy):
            c.startup()
            assert c.simple(f"LISTEN {name}").kinds == "CZ"
        assert busy.simple("BEGIN; SELECT 1").status == "T"
        assert kill_listener(cluster) == [(True,)]
        assert idle.until_ready().sqlstate == "57P01"
        assert busy.simple("SELECT 2").status == "T"
        assert busy.simple("COMMIT").kinds == "CZ"
        assert busy.until_ready().sqlstate == "57P01"
    b.conn.execute(f"LISTEN {name}")
    b.conn.execute(f"NOTIFY {name}")
    assert b.told() == [(name, "")]
    assert "event=listen_lost" in proxy.log()


def test_who_leaves_while_the_end_of_its_transaction_waits(run_pgusher, cluster, name):
    """The connection that listens hangs: nobody is told the end of a transaction before it has answered."""
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=8)
    b = proxy.connect()
    with proxy.raw() as a:
        a.startup()
        a.simple(f"LISTEN {name}")
        [(pid,)] = cluster.primary.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgusher listens'")
        os.kill(pid, signal.SIGSTOP)
        try:
            since = cluster.primary.mark()
            a.send(wire.query(f"SELECT '{name}_held'"))
            wait_for("the query to run", lambda: cluster.primary.ran(f"{name}_held", since))
            a.close()
            assert b.execute("SELECT 1").fetchone() == (1,)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_or_kept_by_option(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, notify_lost="keep")
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    assert kill_listener(cluster) == [(True,)]
    wait_for("it to listen again", lambda: proxy.log().count("event=listen_connected") == 2)
    b.execute(f"LISTEN {name}_b")  # done when what was asked for before it is
    b.execute(f"NOTIFY {name}")
    assert a.told() == [(name, "")]
    assert "event=listen_lost" in proxy.log()


def test_one_that_takes_none_is_ended(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, notify_queue="64kB")
    b, c = proxy.connect(), Ear(proxy.connect())
    c.conn.execute(f"LISTEN {name}")
    with proxy.raw() as a:
        a.startup()
        a.simple(f"LISTEN {name}")
        a.simple("BEGIN; SELECT 1")
        for i in range(20):
            b.execute("SELECT pg_notify(%s, %s)", (name, f"{i}" + "x" * 7000))
        assert len(c.take(20)) == 20
        assert a.simple("COMMIT").kinds == "CZ"
        assert a.until_ready().sqlstate == "53400"


# Of one who listens, L, and one who notifies, N: what it says, in one transaction or several.
SCRIPTS = {
    "idle": "L:LISTEN c|N:NOTIFY c, '1'|N:NOTIFY d|L:SELECT 1|N:SELECT pg_notify('c', '2')|L:SELECT 2",
    "own": "L:LISTEN c; NOTIFY c, '1'; NOTIFY c, '2'|L:NOTIFY c, '3'|L:BEGIN; NOTIFY c|L:SELECT 1|L:COMMIT",
    "same twice": "L:LISTEN c|L:LISTEN c|L:BEGIN; NOTIFY c, 'x'; NOTIFY c, 'x'; NOTIFY c, 'y'; COMMIT|L:SELECT 1",
    "early": "L:BEGIN; LISTEN c|N:NOTIFY c, 'early'|L:NOTIFY c, 'own'|L:COMMIT|N:NOTIFY c, 'late'|L:SELECT 1",
    "rolled back": "L:BEGIN; LISTEN c; NOTIFY c; ROLLBACK|N:NOTIFY c|L:SELECT 1|L:LISTEN c|N:BEGIN; NOTIFY c; ROLLBACK|"
                   "N:NOTIFY c, 'y'|L:SELECT 1",
    "savepoints": "L:BEGIN|L:LISTEN a|L:SAVEPOINT s|L:LISTEN b|L:SAVEPOINT t|L:UNLISTEN a|L:ROLLBACK TO t|L:LISTEN c|"
                  "L:ROLLBACK TO s|L:LISTEN d|L:RELEASE s|L:COMMIT|N:NOTIFY a; NOTIFY b; NOTIFY c; NOTIFY d|L:SELECT 1",
    "savepoints in a text": "L:BEGIN; LISTEN a; SAVEPOINT s|L:LISTEN b|L:ROLLBACK TO s; LISTEN c|L:COMMIT|"
                            "N:NOTIFY a; NOTIFY b; NOTIFY c|L:SELECT 1",
    "unlisten": "L:LISTEN c; LISTEN d|N:NOTIFY c, '1'|L:SELECT 1|L:BEGIN; UNLISTEN c|N:NOTIFY c; NOTIFY d|L:COMMIT|"
                "L:SELECT 1",
    "errors": "L:LISTEN c; SELECT 1 / 0|L:BEGIN|L:LISTEN d|L:SELECT 1 / 0|L:LISTEN e|L:COMMIT|L:LISTEN|"
              "N:NOTIFY c; NOTIFY d; NOTIFY e|L:SELECT 1",
    "chain": "L:BEGIN|L:LISTEN c|L:COMMIT AND CHAIN|N:NOTIFY c, '1'|L:LISTEN d|L:ROLLBACK AND CHAIN|N:NOTIFY d|L:COMMIT",
    "in the middle": "L:LISTEN c|L:BEGIN|L:SELECT 1|N:NOTIFY c, '1'|L:SELECT 2|N:NOTIFY c, '2'|L:COMMIT",
    "discard": "L:LISTEN c|L:DISCARD ALL|N:NOTIFY c|L:SELECT 1|L:BEGIN; LISTEN c|L:DISCARD ALL|L:ROLLBACK|N:NOTIFY c|"
               "L:SELECT 1",
    "names": "L:LISTEN \"A b\"|L:LISTEN \"q\"\"x\"|L:LISTEN " + "n" * 70 + "|N:NOTIFY \"A b\"; NOTIFY \"q\"\"x\"|"
             "N:NOTIFY " + "n" * 70 + ", 'long'|N:SELECT pg_notify('" + "n" * 63 + "', 'cut')|L:SELECT 1",
}


def play(port, script, answer):
    """What L was answered, and what it was told by the end of each answer; of whom: itself, N or another."""
    seen = []
    with FakeClient(port, 20) as listens, FakeClient(port, 20) as notifies:
        for c in (listens, notifies):
            c.startup()
        pids = {listens.pid: "L", notifies.pid: "N"}
        for step in script.split("|"):
            who, _, text = step.partition(":")
            got = answer(listens if who == "L" else notifies, text)
            told = [(pids.get(struct.unpack_from("!I", m.body)[0]), m.body[4:]) for m in got.messages if m.kind == "A"]
            rest = [(m.kind, m.fields()["M"] if m.kind in "EN" else m.body) for m in got.messages if m.kind not in "AS"]
            seen.append((step, rest, told))
    return seen


def strangers(seen):
    return [(step, rest, [(pid if pid == "L" else None, note) for pid, note in told]) for step, rest, told in seen]


@pytest.mark.parametrize("answer", [FakeClient.simple, FakeClient.extended], ids=["simple", "extended"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_it_looks_as_it_does_directly(run_pgusher, cluster, script, answer):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    if answer is FakeClient.extended:  # one statement at a time
        steps = [step.split(":", 1) for step in script.split("|")]
        script = "|".join(f"{who}:{text}" for who, texts in steps for text in texts.split("; "))
    seen, direct = play(proxy.port, script, answer), play(cluster.primary.port, script, answer)
    if "event=listen_pinned" in proxy.log():  # its own server tells it: the pids of others are real ones
        seen, direct = (strangers(s) for s in (seen, direct))
    assert seen == direct


def test_another_encoding_pins(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    a, b = Ear(proxy.connect()), Ear(proxy.connect(client_encoding="latin1"))
    a.conn.execute(f"LISTEN {name}")
    b.conn.execute(f"LISTEN {name}")
    assert [p["reasons"] for p in proxy.console("SHOW PINS")] == ["listen"]
    a.conn.execute(f"NOTIFY {name}, 'ü'")
    assert a.told() == b.told() == [(name, "ü")]
    b.conn.execute("UNLISTEN *")
    wait_for("the pin to end", lambda: proxy.console("SHOW PINS") == [])


def test_a_changed_encoding_pins(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    a, b, c = Ear(proxy.connect()), Ear(proxy.connect()), proxy.connect()
    for ear in (a, b):
        ear.conn.execute(f"LISTEN {name}")
    c.execute(f"NOTIFY {name}, 'é'")
    assert a.told() == b.told() == [(name, "é")]
    a.conn.execute("SET client_encoding = 'latin1'")
    assert [p["reasons"] for p in proxy.console("SHOW PINS")] == ["listen"]
    a.conn.execute("SELECT 1")
    for payload in ("ü", "ß", "ø"):
        c.execute(f"NOTIFY {name}, '{payload}'")
        assert a.told() == b.told() == [(name, payload)]
    a.conn.execute(f"NOTIFY {name}, 'ä'")
    assert a.told() == b.told() == [(name, "ä")]
    a.conn.execute("UNLISTEN *")
    wait_for("the pin to end", lambda: proxy.console("SHOW PINS") == [])
    c.execute(f"NOTIFY {name}, 'more'")
    assert b.told() == [(name, "more")] and a.silent()


def test_a_name_that_cannot_be_said_in_the_new_encoding_ends_the_session(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    with proxy.raw() as a:
        a.startup()
        assert not a.simple(f'LISTEN "{name}ü"').error
        assert not a.simple("SET client_encoding = 'latin1'").error
        assert a.until("E").sqlstate == "57P01"


def test_session_mode_is_as_it_was(run_pgusher, cluster, name):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, pool_mode="session")
    a, b = Ear(proxy.connect()), proxy.connect()
    a.conn.execute(f"LISTEN {name}")
    b.execute(f"NOTIFY {name}, 'x'")
    a.conn.execute(f"NOTIFY {name}, 'y'")
    got = a.take(2)
    assert [(n.payload, n.pid == a.conn.info.backend_pid) for n in got] == [("x", False), ("y", True)]
    assert "listen_connected" not in proxy.log()
