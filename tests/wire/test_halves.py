"""Clients and servers that part in the middle of a message: nothing is left over, nothing is passed off as the rest of it."""

import pytest

from harness import wire
from harness.process import wait_for
from harness.pgusher import is_sanitized

LONG = 600_000  # more than is waited for

HALVES = {
    "short query": wire.query("SELECT 'half'")[:12],
    "query": wire.query("SELECT '" + "x" * LONG + "'")[:LONG // 2],
    "parse": wire.parse("SELECT '" + "x" * LONG + "'", "p")[:LONG // 2],
    "bind": wire.parse("INSERT INTO t VALUES ($1)") + wire.bind(params=["x" * LONG])[:LONG // 2],
    "header": wire.query("BEGIN") + b"Q\0\0",
}


def is_settled(p):
    """Nobody is connected and no server is lent."""
    pools = [r for r in p.console("SHOW POOLS") if r["database"] == "app"]
    counts = {r["list"]: int(r["items"]) for r in p.console("SHOW LISTS")}
    busy = any(r[k] != "0" for r in pools for k in ("cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login"))
    return not busy and counts["used_clients"] <= 1


@pytest.mark.parametrize("how", ["close", "reset"])
def test_clients_that_leave_in_the_middle_of_a_message_leave_nothing(run_pgusher, polite_server, how):
    p = run_pgusher({"app": polite_server.connstr}, default_pool_size=1, log_connections=0, log_disconnections=0)

    def visits(count):
        for _ in range(count):
            for half in HALVES.values():
                c = p.raw()
                c.startup()
                c.send(half)
                getattr(c, how)()
            p.opened.clear()
        wait_for("things to settle", lambda: is_settled(p))
        with p.raw() as c:
            c.startup()
            assert c.simple("SELECT 1").value() == "1"

    visits(3)
    fds, rss = p.process.fds(), p.process.status_kib("VmRSS")
    visits(20)
    wait_for("fds to come back", lambda: p.process.fds() <= fds + 2)
    grown = p.process.status_kib("VmRSS") - rss
    assert grown < (120_000 if is_sanitized() else 4_000), f"{grown} KiB more after 100 visits"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_server_with_half_a_query_is_not_used_again(run_pgusher, server, how):
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    a, b = p.raw(), p.raw()
    a.startup()
    s = server.accept()
    a.send(HALVES["query"])
    s.read(100_000)
    b.startup()
    b.send(wire.query("SELECT 'waits'"))
    getattr(a, how)()
    other = server.accept()
    other.until("waits")
    other.finish()
    assert b.until_ready().value() == "1"
    wait_for("the log", lambda: "closing because: client disconnect in the middle of a message" in p.log())


ROW = wire.data_row("x" * 1_000_000)
HEAD = wire.row_description("v")


@pytest.fixture
def streaming(run_pgusher, server):
    """Half of a row has gone by, all but a few bytes of it: (proxy, client, the server's session)."""

    def make(left=20, **options):
        p = run_pgusher({"app": server.connstr}, default_pool_size=1, **options)
        c = p.raw()
        c.startup()
        c.send(wire.query("SELECT 'row'"))
        s = server.accept()
        s.until("row")
        s.send(HEAD, ROW[:-left])
        assert c.read(len(HEAD)) == HEAD
        c.skip(len(ROW) - left)
        return p, c, s

    return make


def serves_the_next(p, session):
    with p.raw() as c:
        c.startup()
        c.send(wire.query("SELECT 'next'"))
        s = session()
        s.until("next")
        s.finish()
        assert c.until_ready().value() == "1"


def is_served_by_a_clean_server(p, server):
    serves_the_next(p, server.accept)


def nothing_follows(c):
    """The client is closed, and what should have been the row's rest is not made up."""
    assert not c.have
    with pytest.raises(wire.Gone):
        c.read(1)


@pytest.mark.parametrize("command", ["KILL app", "KILL_CLIENT {id}"])
def test_a_client_killed_inside_a_row_gets_no_other_bytes_for_its_rest(streaming, server, command):
    p, c, s = streaming()
    ids = [r["id"] for r in p.console("SHOW CLIENTS") if r["database"] == "app"]
    p.console(command.format(id=ids[0]))
    nothing_follows(c)
    if command.startswith("KILL "):
        p.console("RESUME app")
    assert server.cancelled() == (s.pid, s.key)
    s.send(ROW[-20:], wire.error("57014", "canceled"), wire.ready())
    if command.startswith("KILL "):
        is_served_by_a_clean_server(p, server)
    else:
        serves_the_next(p, lambda: s)


def test_a_timeout_inside_a_row_adds_nothing_to_it(streaming):
    _, c, _ = streaming(query_timeout=0.5)
    nothing_follows(c)


def test_a_row_goes_on_to_its_end_while_its_server_is_to_be_replaced(streaming, server):
    p, c, s = streaming()
    p.console("RECONNECT app")
    assert c.quiet()
    s.send(ROW[-20:], wire.complete("SELECT 1"), wire.ready())
    c.skip(20)
    assert c.until_ready().kinds == "CZ"
    assert s.until_kind("X")
    is_served_by_a_clean_server(p, server)
    wait_for("the count", lambda: {r["total_query_count"] for r in p.console("SHOW STATS") if r["database"] == "app"} == {"2"})


def test_a_client_that_leaves_inside_a_row_costs_the_next_nothing(streaming, server):
    p, c, s = streaming(left=900_000)
    c.reset()
    assert server.cancelled() == (s.pid, s.key)
    s.send(ROW[-900_000:], wire.error("57014", "canceled"), wire.ready())
    serves_the_next(p, lambda: s)


def test_a_replicating_client_killed_inside_a_message_gets_no_other_bytes_for_its_rest(run_pgusher, server):
    p = run_pgusher({"app": server.connstr})
    c = p.raw()
    c.startup(replication="database")
    s = server.accept()
    c.send(wire.query("START_REPLICATION SLOT s LOGICAL 0/0"))
    s.until("START_REPLICATION")
    part = wire.copy_data(b"w" * 1000)[:-20]
    s.send(part)
    assert c.read(len(part)) == part
    p.console("KILL app")
    nothing_follows(c)
    with pytest.raises(wire.Gone):
        s.read(1)
