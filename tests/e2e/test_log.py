"""The log in PgBouncer's words and format, for what reads it."""

import json
import os
import re
import socket

import psycopg
import pytest

from harness.process import wait_for

LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+) \[(?P<pid>\d+)\] "
                  r"(?P<level>FATAL|ERROR|WARNING|LOG|DEBUG) "
                  r"((?P<kind>[CS])-0x[0-9a-f]+: (?P<db>[^/ ]+)/(?P<user>[^@ ]+)@(?P<addr>\S+):(?P<port>\d+) )?"
                  r"(?P<message>.*)")


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr, "down": "host=127.0.0.1 port=1"}, default_pool_size=1,
                       query_wait_timeout="0.3")


def lines(proxy):
    return [LINE.fullmatch(l) for l in proxy.log().splitlines()]


def await_line(proxy, kind, text, level="LOG"):
    """The line about a client or server whose message starts like this."""
    return wait_for(text, lambda: next((m for m in lines(proxy) if m and m["kind"] == kind and m["level"] == level
                                        and re.match(text, m["message"])), None))


def test_every_line_has_the_format(proxy):
    proxy.connect().execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        proxy.connect(dbname="nowhere")
    proxy.console("SHOW POOLS")
    proxy.close_clients()
    await_line(proxy, "C", r"closing because: client (close request|unexpected eof) \(age=")
    bad = [l for l, m in zip(proxy.log().splitlines(), lines(proxy)) if m is None]
    assert not bad
    assert {m["pid"] for m in lines(proxy)} == {str(proxy.pid)}


def test_a_client_comes_and_goes(proxy):
    with proxy.connect() as c:
        c.execute("SELECT 1")
        with socket.socket(fileno=os.dup(c.pgconn.socket)) as s:
            port = str(s.getsockname()[1])
    came = await_line(proxy, "C", r"login attempt: db=app user=app tls=no replication=no$")
    went = await_line(proxy, "C", r"closing because: client close request \(age=\d+s\)$")
    for m in (came, went):
        assert (m["db"], m["user"], m["addr"], m["port"]) == ("app", "app", "127.0.0.1", port)


def test_a_client_over_the_unix_socket(proxy):
    proxy.connect(host=str(proxy.folder)).close()
    m = await_line(proxy, "C", "login attempt: db=app")
    assert m["addr"] == f"unix({os.getpid()})" and m["port"] == str(proxy.port)
    with proxy.connect(host=str(proxy.folder)):
        rows = [r for r in proxy.console("SHOW CLIENTS") if r["addr"] == "unix"]
        assert [(r["remote_pid"], r["port"]) for r in rows] == [(str(os.getpid()), str(proxy.port))]


def test_a_server_comes_and_goes(proxy, cluster):
    proxy.connect().execute("SELECT 1")
    m = await_line(proxy, "S", r"new connection to server \(from 127\.0\.0\.1:\d+\)$")
    assert (m["db"], m["user"], m["addr"], m["port"]) == ("app", "app", "127.0.0.1", str(cluster.primary.port))
    proxy.console("RECONNECT app")
    await_line(proxy, "S", r"closing because: .* \(age=\d+s\)$")


def test_errors_of_the_pooler(proxy):
    with pytest.raises(psycopg.OperationalError):
        proxy.connect(dbname="nowhere")
    await_line(proxy, "C", "pooler error: no such database: nowhere$", "WARNING")
    await_line(proxy, "C", r"closing because: no such database: nowhere \(age=0s\)$")
    holder = proxy.connect(autocommit=False)
    holder.execute("SELECT 1")
    with pytest.raises(psycopg.Error):
        proxy.connect().execute("SELECT 1")
    await_line(proxy, "C", "pooler error: query_wait_timeout$", "WARNING")


def test_a_server_that_cannot_be_reached(proxy):
    with pytest.raises(psycopg.OperationalError):
        proxy.connect(dbname="down")
    await_line(proxy, "S", "server login failed: connect failed", "WARNING")
    await_line(proxy, "S", "closing because: connect failed")


def test_a_server_that_refuses(run_pgusher, cluster):
    proxy = run_pgusher({"app": f"{cluster.primary.connstr} user=nobody_of_that_name"})
    with pytest.raises(psycopg.OperationalError):
        proxy.connect()
    await_line(proxy, "S", 'server login failed: FATAL role "nobody_of_that_name" does not exist', "WARNING")
    await_line(proxy, "S", r"closing because: login failed \(age=")


def test_statistics_each_period(run_pgusher, cluster):
    proxy = run_pgusher({"app": cluster.primary.connstr}, stats_period=1)
    proxy.connect().execute("SELECT 1")
    wait_for("the line", lambda: [m for m in lines(proxy) if m and re.match(
        r"stats: \d+ xacts/s, \d+ queries/s, \d+ client parses/s, \d+ server parses/s, \d+ binds/s, in \d+ B/s, "
        r"out \d+ B/s, xact \d+ us, query \d+ us, wait \d+ us$", m["message"])])


def test_what_is_switched_off_is_not_told(run_pgusher, cluster):
    proxy = run_pgusher({"app": cluster.primary.connstr}, log_connections=0, log_disconnections=0,
                        log_pooler_errors=0, log_stats=0, stats_period=1)
    with proxy.connect() as c:
        c.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        proxy.connect(dbname="nowhere")
    assert proxy.console("SET log_connections = 1") == []
    proxy.connect().close()
    await_line(proxy, "C", "login attempt: db=app")
    messages = [m["message"] for m in lines(proxy) if m]
    assert len([m for m in messages if m.startswith(("login attempt", "new connection"))]) == 1
    assert not [m for m in messages if m.startswith(("closing because", "pooler error", "stats:"))]


def test_json_tells_the_same(run_pgusher, cluster):
    proxy = run_pgusher({"app": cluster.primary.connstr}, log_format="json")
    proxy.connect().execute("SELECT 1")
    wait_for("the server", lambda: "new connection to server" in proxy.log())
    told = [json.loads(l) for l in proxy.log().splitlines()]
    login = next(t for t in told if t["message"].startswith("login attempt: db=app"))
    assert login["kind"] == "C" and re.fullmatch(r"app/app@127\.0\.0\.1:\d+", login["who"])
