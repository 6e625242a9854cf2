"""COPY in both directions, whole, failed and abandoned."""

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} (a int, b text); GRANT ALL ON {name} TO app")
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)


def test_copy_in_and_out(proxy, name):
    c = proxy.connect()
    with c.cursor().copy(f"COPY {name} FROM STDIN") as copy:
        for i in range(20_000):
            copy.write_row((i, f"row {i}"))
    rows = 0
    with c.cursor().copy(f"COPY {name} TO STDOUT") as copy:
        for _ in copy.rows():
            rows += 1
    assert rows == 20_000
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (20_000,)


def test_binary_copy(proxy, name):
    c = proxy.connect()
    with c.cursor().copy(f"COPY {name} FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "text"])
        copy.write_row((1, "x" * 100_000))
    assert c.execute(f"SELECT length(b) FROM {name}").fetchone() == (100_000,)


def test_a_failed_copy_leaves_nothing(proxy, name):
    c = proxy.connect()
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        with c.cursor().copy(f"COPY {name} FROM STDIN") as copy:
            for i in range(5_000):
                copy.write(f"{i}\tfine\n")
            copy.write("not a number\tx\n")
            for i in range(5_000):
                copy.write(f"{i}\tfine\n")
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)


def test_a_copy_broken_off_by_the_client_leaves_nothing(proxy, name):
    c = proxy.connect()
    with pytest.raises((ZeroDivisionError, psycopg.errors.QueryCanceled)):  # by psycopg's version
        with c.cursor().copy(f"COPY {name} FROM STDIN") as copy:
            copy.write("1\tx\n")
            1 / 0
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)


def test_a_client_that_vanishes_in_copy_frees_the_server(proxy, cluster, name):
    c = proxy.raw()
    c.startup()
    c.send(wire.query(f"COPY {name} FROM STDIN"))
    assert c.receive().kind == "G"
    c.send(wire.copy_data(b"1\tx\n"))
    c.reset()
    other = proxy.connect()
    assert other.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)
    wait_for("no COPY to be left", lambda: not [q for _, state, q in cluster.primary.backends()
                                                if state == "active" and "COPY" in q and name in q])


def test_copy_inside_a_transaction(proxy, name):
    c = proxy.connect(autocommit=False)
    with c.cursor().copy(f"COPY {name} FROM STDIN") as copy:
        copy.write_row((1, "x"))
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,)
    c.rollback()
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)


STRANGERS = {"close": wire.close("S", "x"), "close of the portal": wire.close("P"), "parse": wire.parse("SELECT 1"),
             "known": wire.parse("SELECT 'known'", "known"), "bind": wire.bind(), "describe": wire.describe(),
             "execute": wire.execute(), "query": wire.query("SELECT 1"), "function": wire.message("F", b"\0\0\0\1")}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("message", STRANGERS.values(), ids=STRANGERS.keys())
def test_what_does_not_belong_into_a_copy_ends_the_session_as_it_does_directly(proxy, cluster, name, message, protocol):
    def end(c):
        c.startup()
        c.prepare("known", "SELECT 'known'")
        begin = [wire.parse(f"COPY {name} FROM STDIN"), wire.bind(), wire.execute(), wire.SYNC]
        c.send(*([wire.query(f"COPY {name} FROM STDIN")] if protocol == "simple" else begin))
        c.until("G")
        c.send(wire.copy_data(b"1\tx\n"), message)
        errors = [c.receive().fields() for _ in range(2)]
        c.expect_closed()
        return [{k: e[k] for k in "SCM"} for e in errors]

    other = proxy.connect()
    assert end(proxy.raw()) == end(FakeClient(cluster.primary.port))
    assert other.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)
