"""SUSPEND: nothing moves any more but the console, until RESUME."""

import signal
import socket

import psycopg
import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, suspend_timeout="0.3")


@pytest.fixture
def console(proxy):
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    return c


def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


def state(console):
    return {r["key"]: r["value"] for r in console.simple("SHOW STATE").dicts()}


def test_queries_wait_and_are_answered_after_resume(proxy, console):
    clients = [client(proxy) for _ in range(8)]
    for c in clients:
        assert c.simple("SELECT 1").error is None
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    assert state(console) == {"active": "no", "paused": "no", "suspended": "yes"}
    for i, c in enumerate(clients):
        c.send(wire.query(f"SELECT {i}"))
    assert all(c.quiet(0.1) for c in clients)
    assert console.simple("RESUME").tags == ["RESUME"]
    assert [c.until_ready().value() for c in clients] == [str(i) for i in range(8)]
    assert state(console) == {"active": "yes", "paused": "no", "suspended": "no"}


def test_a_query_under_way_is_answered_after_resume(proxy, console):
    c = client(proxy)
    assert c.simple("BEGIN").error is None and c.simple("SELECT 1").error is None
    c.send(wire.query("SELECT pg_sleep(0.3), 7"))
    wait_for("the query", lambda: [r for r in console.simple("SHOW SERVERS").dicts() if r["state"] == "active"])
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    assert c.quiet(0.5)
    console.simple("RESUME")
    assert c.until_ready().rows[0][1] == b"7"
    assert c.simple("COMMIT").tags == ["COMMIT"]


def test_nobody_is_let_in(proxy, console):
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    c = proxy.raw()
    c.send(wire.startup(user="app", database="app"))
    assert c.quiet(0.3)
    console.simple("RESUME")
    assert c.until_ready().error is None
    assert c.simple("SELECT 1").value() == "1"


def test_who_does_not_come_to_rest_is_thrown_out(proxy, console):
    """Two hold the servers, the third waits for one: it cannot be put to rest."""
    holders = [client(proxy) for _ in range(2)]
    for h in holders:
        assert h.simple("BEGIN").error is None and h.simple("SELECT 1").error is None
    waiter = client(proxy)
    waiter.send(wire.query("SELECT 1"))
    wait_for("the waiter", lambda: [r for r in console.simple("SHOW POOLS").dicts() if r["cl_waiting"] == "1"])
    console.send(wire.query("SUSPEND"))
    assert waiter.expect_closed()[-1].fields()["M"] == "suspend_timeout"
    assert console.until_ready().tags == ["SUSPEND"]
    console.simple("RESUME")
    for h in holders:
        assert h.simple("SELECT 2").value() == "2" and h.simple("COMMIT").error is None


def test_a_client_that_does_not_read_is_thrown_out(proxy, console):
    c = client(proxy)
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.send(wire.query("SELECT repeat('x', 20000000)"))
    wait_for("the answer to get stuck",
             lambda: [r for r in console.simple("SHOW SOCKETS").dicts()
                      if r["type"] == "C" and r["database"] == "app" and int(r["send_avail"]) > 100000])
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    console.simple("RESUME")
    wait_for("the client to be gone",
             lambda: not [r for r in console.simple("SHOW CLIENTS").dicts() if r["database"] == "app"])
    assert client(proxy).simple("SELECT 1").value() == "1"


def test_a_signal_ends_the_wait(proxy, console):
    holders = [client(proxy) for _ in range(2)]
    for h in holders:
        h.simple("BEGIN"), h.simple("SELECT 1")
    waiter = client(proxy)
    waiter.send(wire.query("SELECT 1"))
    wait_for("the waiter", lambda: [r for r in console.simple("SHOW POOLS").dicts() if r["cl_waiting"] == "1"])
    assert console.simple("SET suspend_timeout = 60").error is None
    console.send(wire.query("SUSPEND"))
    assert console.quiet(0.1)
    proxy.signal(signal.SIGUSR2)
    assert console.until_ready().sqlstate == "57014"
    holders[0].simple("COMMIT")
    assert waiter.until_ready().value() == "1"


@pytest.mark.parametrize("how", ["signal", "last console leaves"])
def test_other_ways_to_resume(proxy, console, how):
    c = client(proxy)
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    c.send(wire.query("SELECT 1"))
    assert c.quiet(0.1)
    if how == "signal":
        proxy.signal(signal.SIGUSR2)
    else:
        console.close()
    assert c.until_ready().value() == "1"


def test_it_can_be_stopped_while_suspended(proxy, console):
    c = proxy.connect()
    c.execute("SELECT 1")
    assert console.simple("SUSPEND").tags == ["SUSPEND"]
    proxy.signal(signal.SIGTERM)
    with pytest.raises(psycopg.OperationalError):
        while True:
            c.execute("SELECT 1")
    console.close()
    assert proxy.process.wait(10) == 0


def test_paused_databases_come_first(proxy, console):
    assert console.simple("PAUSE app").tags == ["PAUSE"]
    answer = console.simple("SUSPEND")
    assert answer.error.fields()["M"] in ("cannot suspend with paused databases", "already suspended/paused")
    assert console.simple("RESUME app").tags == ["RESUME"]
