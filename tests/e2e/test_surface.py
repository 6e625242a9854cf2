"""Lines of [databases] and [users], unix sockets of all kinds, and the function call message."""

import os
import struct

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.process import free_port, wait_for

LINE = " client_encoding=LATIN1 datestyle='German, DMY' timezone=Asia/Tokyo application_name='of the line'"
TOLD = {"client_encoding": "LATIN1", "DateStyle": "German, DMY", "TimeZone": "Asia/Tokyo",
        "application_name": "of the line"}


@pytest.fixture
def lined(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr + LINE}, default_pool_size=1)


def shown(c):
    return {name: c.simple(f"SHOW {name}").value() for name in TOLD}


# ---- [databases]


def test_a_client_without_settings_has_those_of_the_database_line(lined):
    c = lined.raw()
    c.startup()
    assert {k: c.parameters[k] for k in TOLD} == TOLD
    assert shown(c) == TOLD


def test_a_clients_own_settings_come_first_and_stay_its_own(lined):
    own, plain = lined.raw(), lined.raw()
    own.startup(client_encoding="UTF8", timezone="Europe/Paris", application_name="mine")
    plain.startup()
    mine = {**TOLD, "client_encoding": "UTF8", "TimeZone": "Europe/Paris", "application_name": "mine"}
    assert {k: own.parameters[k] for k in TOLD} == mine
    for _ in range(2):  # both on one server, in turn
        assert shown(own) == mine
        assert shown(plain) == TOLD
    own.simple("SET timezone = 'UTC'")
    plain.simple("SET datestyle = 'ISO'")
    assert shown(own) == {**mine, "TimeZone": "UTC"}
    assert shown(plain) == {**TOLD, "DateStyle": "ISO, DMY"}
    own.simple("RESET timezone")
    plain.simple("RESET ALL")
    assert shown(own) == mine
    assert shown(plain) == TOLD


def test_bytes_are_in_the_encoding_of_the_line(lined):
    c = lined.raw()
    c.startup()
    assert c.simple("SELECT chr(228)").rows == [[b"\xe4"]]


def test_a_changed_line_holds_for_new_logins_at_the_next_reload(lined):
    lined.databases["app"] = lined.databases["app"].replace("Asia/Tokyo", "America/Lima")
    lined.write()
    lined.console("RELOAD")
    c = lined.raw()
    c.startup()
    assert c.parameters["TimeZone"] == "America/Lima" and c.simple("SHOW timezone").value() == "America/Lima"


# ---- [users]


def of_users(run_pgusher, cluster, line, **options):
    return run_pgusher({"app": cluster.primary.connstr}, sections={"users": {"app": line}}, **options)


def raw(p, user="app"):
    c = p.raw()
    c.startup(user=user)
    return c


def test_a_users_pool_mode_is_its_own(run_pgusher, cluster):
    p = of_users(run_pgusher, cluster, "pool_mode=session")
    a, b = raw(p), raw(p, "other")
    a.simple("SELECT 1"), b.simple("SELECT 1")
    modes = {r["user"]: r["pool_mode"] for r in p.console("SHOW POOLS")}
    assert (modes["app"], modes["other"]) == ("session", "transaction")
    linked = {r["user"]: bool(r["link"]) for r in p.console("SHOW CLIENTS")}
    assert (linked["app"], linked["other"]) == (True, False)


def test_a_users_pool_size_is_its_own(run_pgusher, cluster):
    p = of_users(run_pgusher, cluster, "pool_size=1")
    for user, servers in (("app", 1), ("other", 2)):
        busy = [raw(p, user) for _ in range(2)]
        for c in busy:
            c.send(wire.query("BEGIN; SELECT 1"))
        busy[0].until_ready() if servers == 2 else None
        wait_for("servers", lambda: sum(r["user"] == user for r in p.console("SHOW SERVERS")) == servers)
        if servers == 1:
            first = next(c for c in busy if not c.quiet(0.3))
            assert first.until_ready().status == "T"
            assert next(c for c in busy if c is not first).quiet(0.3)


TIMEOUTS = {
    "query_timeout": (["SELECT pg_sleep(30)"], "57014"),
    "idle_transaction_timeout": (["BEGIN; SELECT 1"], "25P03"),
    "transaction_timeout": (["BEGIN; SELECT 1", "SELECT pg_sleep(30)"], "25P04"),
    "client_idle_timeout": (["SELECT 1"], "57P05"),
}


@pytest.mark.parametrize("key", TIMEOUTS)
def test_a_users_timeouts_are_its_own(run_pgusher, cluster, key):
    texts, sqlstate = TIMEOUTS[key]
    p = of_users(run_pgusher, cluster, f"{key}=0.5")
    limited, free = raw(p), raw(p, "other")
    for text in texts:
        limited.send(wire.query(text))
    free.send(wire.query("SELECT pg_sleep(2.2)"))
    answer = limited.until_ready(count=10)
    assert answer.error.fields()["S"] == "FATAL" and answer.sqlstate == sqlstate
    assert free.until_ready().error is None


def test_a_users_wait_for_a_server_is_its_own(run_pgusher, cluster):
    p = of_users(run_pgusher, cluster, "query_wait_timeout=0.3", default_pool_size=1, query_wait_timeout=20)
    busy = raw(p)
    busy.simple("BEGIN; SELECT 1")
    waits = raw(p)
    waits.send(wire.query("SELECT 1"))
    assert waits.until_ready().error.fields()["M"] == "query_wait_timeout"


# ---- unix sockets


def test_clients_come_by_an_abstract_socket(run_pgusher, cluster):
    name = f"@pgusher-test-{os.getpid()}-{free_port()}"
    p = run_pgusher({"app": cluster.primary.connstr}, unix_socket_dir=name)
    with psycopg.connect(host=name, port=p.port, user="app", dbname="app") as c:
        assert c.execute("SELECT 1").fetchone() == (1,)
    assert {r["addr"] for r in p.console("SHOW CLIENTS")} == {"127.0.0.1"}
    with FakeClient(None, path=f"\0{name[1:]}/.s.PGSQL.{p.port}") as c:
        c.startup()
        assert {r["addr"] for r in p.console("SHOW CLIENTS") if r["user"] == "app"} == {"unix"}


@pytest.mark.parametrize("host", ["folder", "default"])
def test_servers_are_reached_by_a_unix_socket(run_pgusher, cluster, host):
    """host=/folder, and no host at all, which is unix_socket_dir."""
    node = cluster.primary
    where = f"host={node.folder}" if host == "folder" else ""
    p = run_pgusher({"app": f"{where} port={node.port} dbname=app"}, unix_socket_dir=node.folder, monitor_user="watcher")
    c = raw(p)
    assert c.simple("SELECT inet_client_addr() IS NULL").value() == "t"
    c.send(wire.query("SELECT pg_sleep(60)"))
    wait_for("it to run", lambda: c.cancel() or not c.quiet(0.1))
    assert c.until_ready().sqlstate == "57014"
    p.stop()
    assert (node.folder / f".s.PGSQL.{node.port}").exists()


def test_servers_are_reached_by_an_abstract_socket(run_pgusher, cluster):
    """One pgusher in front of another, which listens on such a socket."""
    name = f"@pgusher-test-{os.getpid()}-{free_port()}"
    inner = run_pgusher({"app": cluster.primary.connstr}, unix_socket_dir=name)
    outer = run_pgusher({"app": f"host={name} port={inner.port} dbname=app"}, monitor_user="watcher")
    c = raw(outer)
    assert c.simple("SELECT 1").value() == "1"
    assert {r["addr"] for r in inner.console("SHOW CLIENTS") if r["user"] == "app"} == {"unix"}


def test_a_socket_path_that_is_too_long_is_an_error_with_a_reason(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, unix_socket_dir="/tmp/" + "x" * 120, start=False)
    p.start(wait=False)
    assert p.process.wait(10) == 1
    assert "too long for a socket path" in p.log()
    p.process = None


def test_a_living_servers_socket_is_not_taken(run_pgusher, cluster):
    first = run_pgusher({"app": cluster.primary.connstr})
    second = run_pgusher({"app": cluster.primary.connstr}, listen_port=first.port, listen_addr="", start=False)
    second.start(wait=False)
    assert second.process.wait(10) == 1
    assert "is in use by another server" in second.log()
    second.process = None
    with psycopg.connect(host=str(first.folder), port=first.port, user="app", dbname="app") as c:
        assert c.execute("SELECT 1").fetchone() == (1,)


# ---- FunctionCall


def call(oid, *args):
    """Text arguments, text result."""
    body = struct.pack("!IHH", oid, 0, len(args))
    for a in args:
        body += struct.pack("!i", len(a)) + a
    return wire.message("F", body + struct.pack("!H", 0))


@pytest.fixture
def functions(cluster):
    rows = cluster.primary.execute("SELECT oid::regprocedure::text, oid FROM pg_proc WHERE oid::regprocedure::text IN "
                                   "('textcat(text,text)', 'pg_backend_pid()', 'txid_current()', 'int4div(integer,integer)')")
    return dict(rows)


def result(answer):
    body = next(m.body for m in answer.messages if m.kind == "V")
    size = struct.unpack_from("!i", body)[0]
    return body[4:4 + size]


def test_function_calls_are_pooled_like_queries(run_pgusher, cluster, functions):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    a, b = raw(p), raw(p)
    for c in (a, b, a):
        c.send(call(functions["textcat(text,text)"], b"some ", b"text"))
        answer = c.until_ready()
        assert result(answer) == b"some text" and answer.status == "I"
    pids = []
    for c in (a, b):
        c.send(call(functions["pg_backend_pid()"]))
        pids.append(result(c.until_ready()))
    assert pids[0] == pids[1]


def test_function_calls_belong_to_their_transaction(run_pgusher, cluster, functions):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    c = raw(p)
    seen = set()
    assert c.simple("BEGIN").status == "T"
    for _ in range(2):
        c.send(call(functions["txid_current()"]))
        answer = c.until_ready()
        assert answer.status == "T"
        seen.add(result(answer))
    assert len(seen) == 1
    c.send(call(functions["int4div(integer,integer)"], b"1", b"0"))
    answer = c.until_ready()
    assert answer.sqlstate == "22012" and answer.status == "E"
    assert c.simple("ROLLBACK").status == "I"


def test_a_function_call_has_the_clients_settings(run_pgusher, cluster, functions):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    oid = cluster.primary.execute("SELECT 'current_setting(text)'::regprocedure::oid")[0][0]
    a, b = raw(p), raw(p)
    a.simple("SET timezone = 'Asia/Tokyo'")
    b.simple("SET timezone = 'Europe/Paris'")
    for c, zone in ((a, b"Asia/Tokyo"), (b, b"Europe/Paris"), (a, b"Asia/Tokyo")):
        c.send(call(oid, b"timezone"))
        assert result(c.until_ready()) == zone


def test_a_long_function_call_passes_whole(run_pgusher, cluster, functions):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    c = raw(p)
    for size in (100_000, 3_000_000):
        c.send(call(functions["textcat(text,text)"], b"x" * size, b"y"))
        assert result(c.until_ready()) == b"x" * size + b"y"
    assert c.simple("SELECT 1").value() == "1"
