"""Servers of real PostgreSQL that are killed under a transaction: it is lost as a whole, and the client is told."""

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.process import wait_for


@pytest.fixture
def table(cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} (v int PRIMARY KEY); GRANT ALL ON {name} TO app")
    return name


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)


def kill(cluster, pid):
    """Returns when it is gone."""
    cluster.primary.execute("SELECT pg_terminate_backend(%s)", (pid,))
    wait_for("it to be gone", lambda: not cluster.primary.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s",
                                                                  (pid,)))


def backend(c):
    return int(c.simple("SELECT pg_backend_pid()").value())


def statement(c, protocol, sql):
    return c.simple(sql) if protocol == "simple" else c.extended(sql)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_between_two_statements(proxy, cluster, table, protocol):
    c = proxy.raw()
    c.startup()
    assert statement(c, protocol, "BEGIN").status == "T"
    statement(c, protocol, f"INSERT INTO {table} VALUES (1)")
    kill(cluster, backend(c))
    answer = statement(c, protocol, f"INSERT INTO {table} VALUES (2)")
    assert (answer.sqlstate, answer.status) == ("08006", "E")
    for sql in (f"INSERT INTO {table} VALUES (3)", "SELECT 1", "SAVEPOINT a", "ROLLBACK TO a"):
        answer = statement(c, protocol, sql)
        assert (answer.sqlstate, answer.status) == ("25P02", "E"), sql
    answer = statement(c, protocol, "COMMIT")
    assert (answer.tags, answer.status) == (["ROLLBACK"], "I")
    statement(c, protocol, f"INSERT INTO {table} VALUES (4)")
    assert cluster.primary.execute(f"SELECT v FROM {table}") == [(4,)]


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_while_a_statement_runs(proxy, cluster, table, protocol):
    c = proxy.raw()
    c.startup()
    statement(c, protocol, "BEGIN")
    statement(c, protocol, f"INSERT INTO {table} VALUES (1)")
    pid = backend(c)
    c.send(wire.query(f"SELECT pg_sleep(60) /* {table} */"))
    wait_for("it to run", lambda: [p for p, state, q in cluster.primary.backends()
                                   if p == pid and state == "active" and table in q])
    kill(cluster, pid)
    answer = c.until_ready()
    assert (answer.sqlstate, answer.status) == ("08006", "E")
    assert "terminating connection" in answer.error.fields()["M"]
    assert statement(c, protocol, "SELECT 1").sqlstate == "25P02"
    assert statement(c, protocol, "ROLLBACK").status == "I"
    assert cluster.primary.execute(f"SELECT v FROM {table}") == []


def test_psycopg_goes_on_after_its_rollback(proxy, cluster, table):
    c = proxy.connect(autocommit=False)
    c.execute(f"INSERT INTO {table} VALUES (1)")
    kill(cluster, c.execute("SELECT pg_backend_pid()").fetchone()[0])
    with pytest.raises(psycopg.OperationalError) as e:
        c.execute(f"INSERT INTO {table} VALUES (2)")
    assert e.value.sqlstate == "08006"
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        c.execute(f"INSERT INTO {table} VALUES (3)")
    c.rollback()
    c.execute(f"INSERT INTO {table} VALUES (4)")
    c.commit()
    assert cluster.primary.execute(f"SELECT v FROM {table}") == [(4,)]


def test_an_idle_transaction_that_took_too_long(proxy, cluster, table):
    """The server ends it: its words are told."""
    c = proxy.raw()
    c.startup()
    c.simple("SET idle_in_transaction_session_timeout = '100ms'")
    c.simple("BEGIN")
    pid = backend(c)
    wait_for("it to be gone", lambda: not cluster.primary.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s",
                                                                  (pid,)))
    answer = c.simple("SELECT 1")
    assert (answer.sqlstate, answer.status) == ("08006", "E")
    assert "idle-in-transaction timeout" in answer.error.fields()["M"]
    assert c.simple("ROLLBACK").status == "I"


def test_in_session_mode_it_looks_as_directly(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session")

    def end(c):
        c.startup()
        kill(cluster, backend(c))
        return [m.body for m in c.expect_closed()]

    assert end(p.raw()) == end(FakeClient(cluster.primary.port))
