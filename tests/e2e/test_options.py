"""Options that operators of PgBouncer rely on, each seen from the application or the server."""

import contextlib
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.fake_server import FakeServer
from harness.process import wait_for


def backend(c):
    return c.execute("SELECT pg_backend_pid()").fetchone()[0]


SHORT_LIVED = {"users": {"other": "client_idle_timeout=0.1"}}


def await_upkeep(p):
    """Every worker has looked after its clients once from here on: each throws out one of another user."""
    with contextlib.ExitStack() as stack:
        marks = [stack.enter_context(p.raw()) for _ in range(2 * int(p.options["workers"]))]
        for c in marks:
            c.startup(user="other")
        for c in marks:
            assert c.expect_closed()[-1].fields()["M"] == "client_idle_timeout"


def test_the_host_is_added_to_application_name(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, application_name_add_host=1, default_pool_size=1)
    a, b = p.connect(application_name="mine"), p.connect()
    name = a.execute("SHOW application_name").fetchone()[0]
    assert name.startswith("mine - 127.0.0.1:")
    assert b.execute("SHOW application_name").fetchone()[0].startswith("app - 127.0.0.1:")
    assert a.execute("SHOW application_name").fetchone() == (name,)
    a.execute("SET application_name = 'changed'")  # it is not added again
    assert a.execute("SHOW application_name").fetchone() == ("changed",)


def test_disable_pqexec_refuses_several_statements(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, disable_pqexec=1)
    with p.raw() as c:
        c.startup()
        answer = c.simple("SELECT 1; SELECT 2")
        assert answer.sqlstate == "0A000" and answer.error.fields()["M"] == "PQexec disallowed"
        assert answer.status == "I" and not answer.rows
        assert c.simple("SELECT 1").value() == "1"
        assert c.extended("SELECT 2").value() == "2"


def test_a_session_moves_to_a_new_server_with_server_fast_close(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session", server_fast_close=1,
                    sections=SHORT_LIVED)
    c = p.connect(autocommit=False)
    c.execute("SET work_mem = '77MB'")
    c.commit()
    mine = backend(c)
    p.console("RECONNECT")
    await_upkeep(p)
    assert backend(c) == mine  # in a transaction
    c.commit()
    wait_for("the old server to go", lambda: mine not in [r[0] for r in cluster.primary.backends()])
    assert backend(c) != mine
    assert c.execute("SHOW work_mem").fetchone() == ("77MB",)


def test_without_server_fast_close_a_session_keeps_its_server(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session", sections=SHORT_LIVED)
    c = p.connect()
    mine = backend(c)
    p.console("RECONNECT")
    await_upkeep(p)
    assert backend(c) == mine


def test_hosts_that_are_alike_take_turns(run_pgusher):
    with FakeServer(polite=True) as one, FakeServer(polite=True) as two:
        p = run_pgusher({"app": f"host=127.0.0.1,127.0.0.1 port={one.port},{two.port} dbname=app "
                                "load_balance_hosts=round-robin",
                         "first": f"host=127.0.0.1,127.0.0.1 port={one.port},{two.port} dbname=first"})
        with p.raw() as c:
            c.startup()
            for _ in range(6):
                assert c.simple("SELECT 1").value() == "1"
        assert one.all and two.all
        before = len(two.all)
        with p.raw() as c:
            c.startup(database="first")
            for _ in range(6):
                assert c.simple("SELECT 1").value() == "1"
        assert len(two.all) == before


def test_times_below_a_second_are_kept(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, query_timeout=0.4)
    c = p.connect()
    before = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="query timeout"):
        c.execute("SELECT pg_sleep(5)")
    assert 0.4 <= time.monotonic() - before < 2


def test_a_reload_changes_the_times_of_clients_that_are_there(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr})
    c = p.connect()
    assert c.execute("SELECT 1").fetchone() == (1,)
    p.console("SET client_idle_timeout = 0.3")
    wait_for("the idle client to be thrown out", lambda: "closing because: client_idle_timeout" in p.log())


def test_transactions_in_a_session_have_their_own_time(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, pool_mode="session", transaction_timeout=1.5)
    c = p.connect(autocommit=False)
    for _ in range(3):  # longer together, not each
        c.execute("SELECT pg_sleep(0.6)")
        c.commit()
    c.execute("SELECT 1")
    wait_for("the transaction to be ended", lambda: "closing because: transaction timeout" in p.log())
    with pytest.raises(psycopg.OperationalError, match="transaction timeout"):
        c.execute("SELECT 1")


def test_idle_transactions_are_ended(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, sections={"users": {"app": "idle_transaction_timeout=0.5"}})
    c, other = p.connect(autocommit=False), p.connect(user="other", autocommit=False)
    for x in (c, other):
        x.execute("SELECT 1")
    wait_for("the transaction to be ended", lambda: "closing because: idle transaction timeout" in p.log())
    with pytest.raises(psycopg.OperationalError, match="idle transaction timeout"):
        c.execute("SELECT 1")
    assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_login_that_stalls_is_ended(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, client_login_timeout=0.4, tcp_defer_accept=0)
    with p.raw() as c:
        m = c.receive()
        assert m.kind == "E" and m.fields()["M"] == "client_login_timeout"
    over = threading.Event()
    with FakeServer(login=lambda session: over.wait(20)) as s:
        p.databases["app"] = s.connstr
        p.write()
        p.console("RELOAD")
        with p.raw() as c:
            c.send(wire.startup(user="app", database="app"))
            answer = c.until_ready()
            assert answer.error.fields()["M"] == "client_login_timeout (server down)"
        over.set()


def test_names_of_hosts_are_remembered(run_pgusher, cluster):
    p = run_pgusher({"app": f"host=localhost port={cluster.primary.port} dbname=app"}, default_pool_size=3)
    held = [p.connect(autocommit=False) for _ in range(3)]
    assert len({backend(c) for c in held}) == 3  # whichever of the name's addresses answers
    row = p.console("SHOW DNS_HOSTS")[0]
    assert row["hostname"] == "localhost" and "127.0.0.1" in row["addrs"] and 0 <= int(row["ttl"]) <= 15
    assert {r["list"]: r["items"] for r in p.console("SHOW LISTS")}["dns_names"] == "1"


def test_a_name_that_does_not_exist_is_told_at_once(run_pgusher):
    p = run_pgusher({"app": "host=no-such-host.invalid dbname=app"})
    with pytest.raises(psycopg.OperationalError, match="cannot resolve host"):
        p.connect()
    with pytest.raises(psycopg.OperationalError, match="server login has been failing, cached error: cannot resolve"):
        p.connect()
