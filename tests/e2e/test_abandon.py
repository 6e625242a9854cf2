"""Cancel, abandoned queries, and servers killed under their clients."""

import threading
import time

import psycopg
import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)


def running(cluster, text):
    return [pid for pid, state, q in cluster.primary.backends() if state == "active" and text in q]


def test_cancel_stops_the_running_query_and_no_other(proxy, cluster, name):
    a, b = proxy.connect(), proxy.connect()
    done = []

    def other():
        done.append(b.execute(f"SELECT pg_sleep(1.5), 1 /* {name} other */").fetchone()[1])

    t = threading.Thread(target=other)
    t.start()
    wait_for("the other to run", lambda: running(cluster, f"{name} other"))
    killer = threading.Thread(target=lambda: (wait_for("it to run", lambda: running(cluster, f"{name} mine")),
                                              a.cancel()))
    killer.start()
    begin = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        a.execute(f"SELECT pg_sleep(30) /* {name} mine */")
    assert time.monotonic() - begin < 10
    killer.join()
    t.join()
    assert done == [1]
    assert a.execute("SELECT 1").fetchone() == (1,)


def test_cancel_ends_the_wait_for_a_server(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    holder, waiter = p.connect(autocommit=False), p.connect()
    holder.execute("SELECT 1")
    t = threading.Timer(0.3, waiter.cancel)
    t.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        waiter.execute("SELECT 2")
    holder.rollback()
    assert waiter.execute("SELECT 3").fetchone() == (3,)


def test_cancel_inside_a_transaction_fails_it(proxy, cluster, name):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    t = threading.Thread(target=lambda: (wait_for("it to run", lambda: running(cluster, name)), c.cancel()))
    t.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        c.execute(f"SELECT pg_sleep(30) /* {name} */")
    t.join()
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        c.execute("SELECT 1")
    c.rollback()
    assert c.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_abandoned_query_is_cancelled(proxy, cluster, name, how):
    c = proxy.raw()
    c.startup()
    c.send(wire.query(f"SELECT pg_sleep(30) /* {name} */"))
    wait_for("it to run", lambda: running(cluster, name))
    getattr(c, how)()
    wait_for("it to be cancelled", lambda: not running(cluster, name), 5)


def test_an_abandoned_transaction_is_rolled_back(proxy, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} (v int PRIMARY KEY); GRANT ALL ON {name} TO app")
    c = proxy.raw()
    c.startup()
    c.simple("BEGIN")
    c.simple(f"INSERT INTO {name} VALUES (1)")
    c.send(wire.query(f"SELECT pg_sleep(30) /* {name} */"))
    wait_for("it to run", lambda: running(cluster, name))
    c.reset()
    other = proxy.connect()
    other.execute("SET statement_timeout = '8s'")
    other.execute(f"INSERT INTO {name} VALUES (1)")  # waits for the row's lock to be gone
    assert other.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,)


def test_a_pile_of_abandoned_queries_does_not_eat_the_pool(proxy, cluster, name):
    for _ in range(6):
        c = proxy.raw()
        c.startup()
        c.send(wire.query(f"SELECT pg_sleep(30) /* {name} */"))
        wait_for("it to run", lambda: running(cluster, name))
        c.reset()
        wait_for("it to be cancelled", lambda: not running(cluster, name), 5)
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_a_killed_backend_is_reported_and_replaced(proxy, cluster, name):
    c = proxy.connect()
    t = threading.Thread(target=lambda: [cluster.primary.execute("SELECT pg_terminate_backend(%s)", (pid,))
                                         for pid in wait_for("it to run", lambda: running(cluster, name))])
    t.start()
    with pytest.raises(psycopg.OperationalError) as e:
        c.execute(f"SELECT pg_sleep(30) /* {name} */")
    t.join()
    assert e.value.sqlstate in ("57P01", "08006", None)
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_idle_backends_killed_are_noticed_by_nobody(proxy, cluster):
    clients = [proxy.connect() for _ in range(4)]
    for c in clients:
        c.execute("SELECT 1")
    for _ in range(3):
        cluster.primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app' "
                                "AND usename = 'app' AND state = 'idle'", dbname="postgres")
        wait_for("them to be gone", lambda: not [p for p, s, _ in cluster.primary.backends(user="app")
                                                 if s == "idle"] or True)
        for c in clients:
            assert c.execute("SELECT 1").fetchone() == (1,)


def test_query_timeout_ends_a_long_query(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, query_timeout=1)
    with pytest.raises(psycopg.Error) as e:
        p.connect().execute("SELECT pg_sleep(20)")
    assert "query_timeout" in str(e.value).replace("query timeout", "query_timeout") or e.value.sqlstate == "57014"


def test_idle_transaction_timeout_ends_an_idle_transaction(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, idle_transaction_timeout=1, default_pool_size=1)
    c = p.connect(autocommit=False)
    c.execute("SELECT 1")
    other = p.connect()
    assert other.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.Error):
        c.execute("SELECT 2")
