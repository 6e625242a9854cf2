"""Clients share servers, statement by statement and transaction by transaction, and never notice."""

import threading
import time

import psycopg
import pytest

from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)


def backend(c):
    return c.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_two_clients_use_one_server_connection(proxy):
    a, b = proxy.connect(), proxy.connect()
    assert backend(a) == backend(b) == backend(a)


def test_a_transaction_keeps_the_server_to_itself(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    a, b = p.connect(), p.connect()
    with a.transaction():
        mine = backend(a)
        assert backend(b) != mine
        assert backend(a) == mine


def test_pools_are_per_user(proxy):
    assert backend(proxy.connect(user="app")) != backend(proxy.connect(user="other"))


def test_a_unix_socket_client_is_served(proxy):
    c = proxy.connect(host=str(proxy.folder))
    assert c.execute("SELECT current_user, current_database()").fetchone() == ("app", "app")


def test_errors_carry_the_servers_own_fields(proxy):
    c = proxy.connect()
    with pytest.raises(psycopg.errors.UndefinedTable) as e:
        c.execute("SELECT * FROM nowhere")
    assert e.value.diag.sqlstate == "42P01" and e.value.diag.statement_position == "15"
    assert c.execute("SELECT 1").fetchone() == (1,)


def test_a_failed_transaction_behaves_as_direct(proxy):
    c = proxy.connect(autocommit=False)
    with pytest.raises(psycopg.errors.DivisionByZero):
        c.execute("SELECT 1/0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        c.execute("SELECT 1")
    c.rollback()
    assert c.execute("SELECT 1").fetchone() == (1,)


def test_commit_of_a_failed_transaction_says_rollback(proxy):
    with proxy.raw() as c:
        c.startup()
        c.simple("BEGIN")
        assert c.simple("SELECT 1/0").sqlstate == "22012"
        answer = c.simple("COMMIT")
        assert answer.tags == ["ROLLBACK"] and answer.status == "I"


def test_commit_and_chain_stays_in_a_transaction(proxy):
    with proxy.raw() as c:
        c.startup()
        c.simple("BEGIN")
        c.simple("SELECT 1")
        assert c.simple("COMMIT AND CHAIN").status == "T"
        assert c.simple("SELECT 1").status == "T"
        assert c.simple("ROLLBACK").status == "I"


def test_savepoints_work(proxy, cluster, name):
    c = proxy.connect(autocommit=False)
    c.execute(f"CREATE TABLE {name} (v int)")
    with c.transaction():
        c.execute(f"INSERT INTO {name} VALUES (1)")
        with pytest.raises(psycopg.errors.DivisionByZero):
            with c.transaction():
                c.execute(f"INSERT INTO {name} VALUES (2)")
                c.execute("SELECT 1/0")
        c.execute(f"INSERT INTO {name} VALUES (3)")
    c.commit()
    assert cluster.primary.execute(f"SELECT v FROM {name} ORDER BY v") == [(1,), (3,)]


def test_multi_statement_queries_are_one_transaction(proxy, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    with proxy.raw() as c:
        c.startup()
        answer = c.simple(f"INSERT INTO {name} VALUES (1); INSERT INTO {name} VALUES (2); SELECT 1/0")
        assert answer.sqlstate == "22012"
        assert answer.tags == ["INSERT 0 1", "INSERT 0 1"]
        answer = c.simple(f"BEGIN; INSERT INTO {name} VALUES (3); COMMIT; SELECT count(*) FROM {name}")
        assert answer.value() == "1" and answer.status == "I"


def test_a_query_that_opens_a_transaction_in_passing_keeps_its_server(proxy):
    with proxy.raw() as a, proxy.raw() as b:
        a.startup()
        b.startup()
        assert a.simple("SELECT 1; BEGIN; SELECT 2").status == "T"
        b.send(b"Q\0\0\0\x0dSELECT 1\0")
        assert b.quiet()
        assert a.simple("COMMIT").status == "I"
        assert b.until_ready().status == "I"


def test_pool_size_is_never_exceeded_under_load(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=3)
    peak, stop, failures = [0], threading.Event(), []

    def watch():
        with cluster.primary.connect() as c:
            while not stop.is_set():
                n = c.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND usename = 'app'")
                peak[0] = max(peak[0], n.fetchone()[0])

    def work():
        try:
            with p.connect() as c:
                for i in range(60):
                    assert c.execute("SELECT %s::int", (i,)).fetchone() == (i,)
                    if i % 10 == 0:
                        with c.transaction():
                            c.execute("SELECT pg_sleep(0.002)")
        except Exception as e:  # a thread has nobody to raise to
            failures.append(e)

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=work) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    watcher.join()
    assert not failures
    assert 1 <= peak[0] <= 3


def test_values_of_all_sizes_come_through(proxy):
    c = proxy.connect()
    for size in (0, 1, 100, 4090, 8192, 65535, 65536, 1_000_000):
        text = c.execute("SELECT repeat('x', %s)", (size,)).fetchone()[0]
        assert len(text) == size
        echoed = c.execute("SELECT %s::text", (text,)).fetchone()[0]
        assert echoed == text


def test_many_rows_come_through(proxy):
    c = proxy.connect()
    total = sum(row[0] for row in c.execute("SELECT generate_series(1, 200000)"))
    assert total == 200000 * 200001 // 2


def test_server_connections_are_closed_after_server_idle_timeout(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, server_idle_timeout=1)
    c = p.connect()
    pid = backend(c)
    wait_for("the idle server to be closed",
             lambda: pid not in [r[0] for r in cluster.primary.backends()])
    assert backend(c) != pid


def test_min_pool_size_or_not_an_idle_proxy_asks_nothing(proxy, cluster):
    c = proxy.connect()
    backend(c)
    before = proxy.process.cpu_seconds()
    time.sleep(1.0)  # the time itself is what is measured
    assert proxy.process.cpu_seconds() - before <= 0.05


def test_the_fallback_database_takes_any_name(run_pgusher, cluster):
    p = run_pgusher({"*": f"host=127.0.0.1 port={cluster.primary.port}"})
    assert p.connect(dbname="postgres", user="postgres").execute("SELECT current_database()").fetchone() == \
        ("postgres",)
    with pytest.raises(psycopg.OperationalError):
        p.connect(dbname="nowhere").execute("SELECT 1")


def test_a_database_line_may_rename_and_force_the_user(run_pgusher, cluster):
    p = run_pgusher({"alias": f"host=127.0.0.1 port={cluster.primary.port} dbname=app user=other"})
    c = p.connect(dbname="alias", user="app")
    assert c.execute("SELECT current_database(), current_user").fetchone() == ("app", "other")
