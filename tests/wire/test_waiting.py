"""What a client is told while it waits for a server, and how servers that fail are met."""

import re
import time

import pytest

from harness import wire
from harness.fake_server import FakeServer
from harness.process import free_port, wait_for

QUEUED = "No server connection available in postgres backend, client being queued"


def refuse(sqlstate, text):
    """A login that ends with this FATAL."""

    def login(session):
        session.send(wire.error(sqlstate, text, severity="FATAL"))
        session.close()

    return login


@pytest.fixture
def busy(run_pgusher, server):
    """A pool of one server, which somebody holds; another client waits. (proxy, session, holder, waiter)"""

    def make(connstr="", sections=None, **options):
        p = run_pgusher({"app": server.connstr + connstr}, default_pool_size=1, sections=sections, **options)
        a, b = p.raw(), p.raw()
        a.startup()
        s = server.accept()
        b.startup()
        a.send(wire.query("SELECT 'held'"))
        s.until("held")
        b.send(wire.query("SELECT 'waits'"))
        return p, s, a, b

    return make


def test_who_waits_for_long_is_told_and_then_served(busy):
    _, s, a, b = busy(query_wait_notify=0.2)
    notice = b.receive()
    assert notice.kind == "N" and notice.fields()["M"] == QUEUED and notice.fields()["S"] == "NOTICE"
    assert b.quiet(0.5)  # once
    s.finish()
    assert a.until_ready().value() == "1"
    s.until("waits")
    s.finish()
    assert b.until_ready().value() == "1"


def test_who_waits_too_long_is_thrown_out(busy):
    p, _, _, b = busy(query_wait_timeout=0.3)
    answer = b.until_ready()
    assert answer.sqlstate == "53300" and answer.error.fields()["M"] == "query_wait_timeout"
    wait_for("the log", lambda: "closing because: query_wait_timeout" in p.log())


def test_the_wait_for_a_server_is_part_of_a_querys_time(busy):
    p, _, _, b = busy(query_timeout=0.5)
    answer = b.until_ready()
    assert answer.sqlstate == "57014" and answer.error.fields()["M"] == "query_timeout"
    wait_for("the log", lambda: "closing because: query_timeout" in p.log())


def test_a_databases_own_wait_limit_holds(busy):
    _, _, _, b = busy(connstr=" query_wait_timeout=0.2", query_wait_timeout=100)
    assert b.until_ready().error.fields()["M"] == "query_wait_timeout"


def test_a_users_own_wait_limit_holds(busy):
    _, _, _, b = busy(query_wait_timeout=100, sections={"users": {"app": "query_wait_timeout=0.2"}})
    assert b.until_ready().error.fields()["M"] == "query_wait_timeout"


def test_while_logins_fail_clients_are_told_at_once(run_pgusher):
    port = free_port()
    p = run_pgusher({"app": f"host=127.0.0.1 port={port}"}, server_login_retry=2, query_wait_timeout=60)
    with pytest.raises(RuntimeError, match="connect failed"):
        p.raw().startup()
    before = time.monotonic()
    with pytest.raises(RuntimeError, match=r"server login has been failing, cached error: connect failed.*"
                                           r"\(server_login_retry\).*08006|08006.*server login has been failing"):
        p.raw().startup()
    assert time.monotonic() - before < 1
    assert len(re.findall(r"S-\S+ \S+ closing because: connect failed", p.log())) == 1  # no second try
    with FakeServer(polite=True) as s:
        s.stop_listening()
        s.port = port
        s.listen_again()

        def served():
            try:
                with p.raw() as c:
                    c.startup()
                    return c.simple("SELECT 1").value() == "1"
            except RuntimeError:
                return False

        wait_for("the retry", served)


def test_a_server_that_starts_up_is_told_as_such(run_pgusher):
    with FakeServer(login=refuse("57P03", "the database system is starting up")) as s:
        p = run_pgusher({"app": s.connstr}, server_login_retry=30)
        for words in ("starting up", "server login has been failing, cached error: the database system is starting up"):
            with p.raw() as c:
                c.send(wire.startup(user="app", database="app"))
                answer = c.until_ready()
                assert answer.sqlstate == "57P03" and words in answer.error.fields()["M"]
        assert len(s.all) == 1
        assert "server login failed: FATAL the database system is starting up" in p.log()
        assert "closing because: login failed (age" in p.log()


def test_one_bad_host_never_blocks_a_good_one(run_pgusher, polite_server):
    bad = free_port()
    p = run_pgusher({"app": f"host=127.0.0.1,127.0.0.1 port={bad},{polite_server.port} dbname=app"},
                    server_login_retry=60)
    for _ in range(3):
        with p.raw() as c:
            c.startup()
            assert c.simple("SELECT 1").value() == "1"


def test_a_refused_login_leaves_other_servers_in_use(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2, server_login_retry=60)
    a, b = p.raw(), p.raw()
    a.startup()
    s = server.accept()
    b.startup()
    server.login = refuse("53300", "sorry, too many clients already")
    a.send(wire.query("SELECT 'held'"))
    s.until("held")
    b.send(wire.query("SELECT 'waits'"))
    wait_for("the refusal", lambda: "too many clients" in p.log())
    assert b.quiet()
    s.finish()
    a.until_ready()
    s.until("waits")
    s.finish()
    assert b.until_ready().value() == "1"


def checked(run_pgusher, server):
    """The proxy, a client with a statement, and the session that is asked first whether it still is there."""
    p = run_pgusher({"app": server.connstr}, server_check_query="SELECT 'check'", server_check_delay=0)
    a = p.raw()
    a.startup()
    s = server.accept()
    a.send(wire.query("SELECT 'mine'"))
    s.until("check")
    return p, a, s


def test_a_server_that_rested_is_checked_before_use(run_pgusher, server):
    p, a, s = checked(run_pgusher, server)
    assert a.quiet()
    assert p.console("SHOW POOLS")[0]["sv_tested"] == "1"
    s.finish()
    s.until("mine")
    s.finish()
    assert a.until_ready().value() == "1"


def test_a_server_that_fails_its_check_is_replaced(run_pgusher, server):
    p, a, s = checked(run_pgusher, server)
    s.close()
    s = server.accept()
    s.until("mine")
    s.finish()
    assert a.until_ready().value() == "1"


def test_query_timeout_is_the_querys_own_time(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, query_timeout=2)
    a = p.raw()
    a.startup()
    s = server.accept()
    assert a.simple("BEGIN").status == "T"
    for i in range(5):  # the transaction is longer, each query is not
        a.send(wire.query(f"SELECT 'q{i}'"))
        s.until(f"q{i}")
        time.sleep(0.6)  # the time itself is what is limited
        s.finish()
        assert a.until_ready().status == "T"
    a.send(wire.query("SELECT 'long'"))
    s.until("long")
    answer = a.until_ready()
    assert answer.sqlstate == "57014" and answer.error.fields()["M"] == "query timeout"
