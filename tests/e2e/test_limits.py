"""How many servers and clients there may be: per pool, database and user, exact over all workers."""

import threading
import time

import psycopg
import pytest

from harness.process import wait_for


def backend(c):
    return c.execute("SELECT pg_backend_pid()").fetchone()[0]


def count(cluster, where):
    return cluster.primary.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {where}")[0][0]


class Load:
    """Threads that query through the proxy while the number of backends is watched."""

    def __init__(self, cluster, where):
        self.cluster, self.where = cluster, where
        self.peak, self.failures, self.done = 0, [], {}

    def work(self, p, key, **how):
        try:
            with p.connect(**how) as c:
                for i in range(40):
                    assert c.execute("SELECT %s::int", (i,)).fetchone() == (i,)
                    self.done[key] = self.done.get(key, 0) + 1
                    if i % 8 == 0:
                        with c.transaction():
                            c.execute("SELECT pg_sleep(0.002)")
        except Exception as e:  # a thread has nobody to raise to
            self.failures.append(e)

    def run(self, p, jobs):
        threads = [threading.Thread(target=self.work, args=(p, k), kwargs=how) for k, how in jobs]
        for t in threads:
            t.start()
        with self.cluster.primary.connect() as c:
            while any(t.is_alive() for t in threads):
                n = c.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {self.where}").fetchone()[0]
                self.peak = max(self.peak, n)
        for t in threads:
            t.join()
        assert not self.failures


def test_max_db_connections_holds_over_users(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " max_db_connections=3"}, default_pool_size=10)
    load = Load(cluster, "datname = 'app' AND usename IN ('app', 'other')")
    load.run(p, [(u, {"user": u}) for u in ("app", "other") * 6])
    assert 1 <= load.peak <= 3
    assert load.done == {"app": 240, "other": 240}
    rows = {r["name"]: r for r in p.console("SHOW DATABASES")}
    assert rows["app"]["max_connections"] == "3" and int(rows["app"]["current_connections"]) <= 3


def test_max_user_connections_holds_over_databases(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr, "again": cluster.primary.connstr}, default_pool_size=10,
                    max_user_connections=5, sections={"users": {"app": "max_user_connections=2"}})
    load = Load(cluster, "datname = 'app' AND usename = 'app'")
    load.run(p, [(d, {"dbname": d}) for d in ("app", "again") * 5])
    assert 1 <= load.peak <= 2


def test_a_limit_may_be_as_tight_as_the_servers_own(run_pgusher, cluster, name):
    cluster.primary.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 2")
    p = run_pgusher({"app": cluster.primary.connstr, "again": cluster.primary.connstr}, users={name: ""},
                    max_user_connections=2)
    load = Load(cluster, f"usename = '{name}'")
    load.run(p, [(d, {"dbname": d, "user": name}) for d in ("app", "again") * 3])
    assert load.peak <= 2 and "server login failed" not in p.log()


def test_a_raised_limit_holds_after_a_reload(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=10, max_db_connections=1)
    a, b = p.connect(), p.connect()
    with a.transaction():
        mine = backend(a)
        got = []
        t = threading.Thread(target=lambda: got.append(backend(b)))
        t.start()
        wait_for("the second to wait", lambda: p.console("SHOW POOLS")[0]["cl_waiting"] == "1")
        p.console("SET max_db_connections = 2")
        t.join(10)
        assert got and got[0] != mine


def test_an_idle_server_of_another_user_makes_room(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " max_db_connections=1"})
    a, b = p.connect(user="app"), p.connect(user="other")
    for _ in range(3):
        assert a.execute("SELECT current_user").fetchone() == ("app",)
        assert b.execute("SELECT current_user").fetchone() == ("other",)
    assert "closing because: evicted" in p.log()


def test_users_of_a_forced_user_share_one_pool(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " user=app pool_size=1"})
    a, b = p.connect(user="app"), p.connect(user="other")
    assert backend(a) == backend(b) == backend(a)


def test_clients_per_database_and_user_are_limited(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " max_db_client_connections=3", "free": cluster.primary.connstr},
                    max_user_client_connections=2, max_client_conn=5)
    held = [p.connect(user="app"), p.connect(user="app")]
    with pytest.raises(psycopg.OperationalError, match=r"client connections exceeded \(max_user_client_connections\)"):
        p.connect(user="app")
    held.append(p.connect(user="other"))
    with pytest.raises(psycopg.OperationalError, match=r"client connections exceeded \(max_db_client_connections\)"):
        p.connect(user="other")
    held += [p.connect(dbname="free", user="other"), p.connect(dbname="free", user="postgres")]
    with pytest.raises(psycopg.OperationalError, match=r"no more connections allowed \(max_client_conn\)"):
        p.connect(dbname="free", user="postgres")
    held[0].close()
    wait_for("the place to be free", lambda: p.connect(user="app").execute("SELECT 1").fetchone() == (1,))


def test_a_pool_size_of_zero_is_no_limit(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=0)
    held = [p.connect(autocommit=False) for _ in range(25)]
    assert len({backend(c) for c in held}) == 25


def test_a_users_own_pool_size_and_mode_hold(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=5,
                    sections={"users": {"other": "pool_size=1 pool_mode=session"}})
    a = p.connect(user="other")
    backend(a)
    b = p.connect(user="other")
    b_done = threading.Thread(target=lambda: b.execute("SELECT 1"))
    b_done.start()
    rows = lambda: {r["user"]: r for r in p.console("SHOW POOLS")}
    wait_for("the second to wait", lambda: rows()["other"]["cl_waiting"] == "1")
    assert rows()["other"]["pool_mode"] == "session"
    a.close()
    b_done.join(10)
    assert not b_done.is_alive()


def test_the_reserve_is_used_after_a_wait(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, reserve_pool_size=1,
                    reserve_pool_timeout=0.3)
    a, b = p.connect(), p.connect()
    with a.transaction():
        mine = backend(a)
        before = time.monotonic()
        assert backend(b) != mine
        assert time.monotonic() - before >= 0.25
    assert "taking connection from reserve_pool" in p.log()


def test_the_minimum_is_kept_ready(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " min_pool_size=3", "brief": cluster.primary.connstr},
                    server_idle_timeout=1)
    mine = "datname = 'app' AND usename = 'app'"
    assert count(cluster, mine) == 0
    c = p.connect()
    wait_for("three servers", lambda: int(p.console("SHOW POOLS")[0]["sv_idle"]) == 3)
    backend(c)
    # Servers with no minimum, at rest on every worker since later, show when the time is over.
    others = [p.connect("brief", user="other", autocommit=False) for _ in range(2 * int(p.options["workers"]))]
    for o in others:
        o.execute("SELECT 1")
    for o in others:
        o.commit()
    wait_for("the others' servers to be closed", lambda: count(cluster, "usename = 'other'") == 0)
    assert count(cluster, mine) == 3


def test_a_session_is_reset_when_it_ends(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session", default_pool_size=1)
    with p.connect() as a:
        mine = backend(a)
        a.execute("SET work_mem = '77MB'; CREATE TEMP TABLE left_over (v int); PREPARE left_over AS SELECT 1")
    with p.connect() as b:
        assert backend(b) == mine
        assert b.execute("SHOW work_mem").fetchone() != ("77MB",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            b.execute("SELECT * FROM left_over")
        assert b.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_a_reset_query_of_ones_own_leaves_nothing_set(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session", default_pool_size=1,
                    server_reset_query="SELECT set_config('app.was_reset', 'yes', false)")
    with p.connect() as a:
        mine = backend(a)
        a.execute("SET work_mem = '77MB'")
    with p.connect() as b:
        assert backend(b) == mine
        assert b.execute("SHOW work_mem").fetchone() != ("77MB",)
        assert b.execute("SELECT current_setting('app.was_reset', true)").fetchone() in ((None,), ("",))


def test_the_reset_query_runs_after_each_transaction_when_told_to(run_pgusher, cluster, name):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, server_reset_query_always=1,
                    server_reset_query=f"DISCARD ALL; -- {name}")
    c = p.connect()
    c.execute("SET work_mem = '77MB'")
    assert c.execute("SHOW work_mem").fetchone() == ("77MB",)  # carried over the reset
    assert c.execute("SELECT 1").fetchone() == (1,)


def test_statement_mode_refuses_transactions(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="statement")
    with p.raw() as c:
        c.startup()
        for sql in ("BEGIN", "START TRANSACTION", "SELECT 1; BEGIN; SELECT 2", "COMMIT", "SAVEPOINT s"):
            answer = c.simple(sql)
            assert answer.error is not None and answer.status == "I", sql
        assert c.simple("SELECT 1").value() == "1"
        assert c.extended("BEGIN").sqlstate == "0A000"
        assert c.simple("SELECT 2").value() == "2"
