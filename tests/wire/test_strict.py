"""pgbouncer_compat = strict: PgBouncer's behaviour where pgusher's is better on purpose, and only there."""

import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture(params=["off", "strict"])
def compat(request):
    return request.param


@pytest.fixture
def proxy(run_pgusher, polite_server, compat):
    return run_pgusher({"app": polite_server.connstr}, default_pool_size=1, query_wait_timeout="0.3",
                       max_prepared_statements=100, pgbouncer_compat=compat)


def refused(proxy, **startup):
    c = proxy.raw()
    c.send(wire.startup(**{"user": "app", "database": "app", **startup}))
    return c.expect_closed()[-1].fields()


def client(proxy, **more):
    c = proxy.raw()
    c.startup(**more)
    return c


def test_sqlstates_of_the_pooler(proxy, compat):
    e = refused(proxy, database="nowhere")
    assert (e["S"], e["M"]) == ("FATAL", "no such database: nowhere")
    assert e["C"] == ("08P01" if compat == "strict" else "3D000")
    holder, waiter = client(proxy), client(proxy)
    assert holder.simple("BEGIN").error is None and holder.simple("UPDATE t SET v = 1").error is None
    waiter.send(wire.query("SELECT 1"))
    e = next(m for m in waiter.until_ready().messages if m.kind == "E").fields()
    assert e["M"] == "query_wait_timeout" and e["C"] == ("08P01" if compat == "strict" else "53300")


def test_errors_of_the_server_stay_what_they_are(run_pgusher, server, compat):
    proxy = run_pgusher({"app": server.connstr}, pgbouncer_compat=compat)
    c = client(proxy)
    c.send(wire.query("SELECT 1 FROM nowhere"))
    s = server.accept()
    s.until("nowhere")
    s.send(wire.error("42P01", "no such table"), wire.ready())
    assert c.until_ready().sqlstate == "42P01"


@pytest.mark.parametrize("parameters, name", [
    ({"search_path": "x"}, "unsupported startup parameter: search_path"),
    ({"extra_float_digits": "2"}, "unsupported startup parameter: extra_float_digits"),
    ({"options": "-c work_mem=1MB"}, "unsupported startup parameter in options: work_mem"),
])
def test_startup_parameters_that_are_not_tracked(proxy, compat, parameters, name):
    if compat == "off":
        client(proxy, **parameters)
        return
    e = refused(proxy, **parameters)
    assert (e["S"], e["C"], e["M"]) == ("FATAL", "08P01", name)


def test_startup_parameters_that_are(proxy):
    client(proxy, application_name="x", client_encoding="UTF8", DateStyle="ISO", TimeZone="UTC",
           standard_conforming_strings="on", IntervalStyle="postgres", options="-c timezone=UTC")


def test_startup_parameters_that_are_ignored(run_pgusher, polite_server):
    proxy = run_pgusher({"app": polite_server.connstr}, pgbouncer_compat="strict",
                        ignore_startup_parameters="extra_float_digits, search_path")
    client(proxy, extra_float_digits="2", options="-c search_path=x")


@pytest.mark.parametrize("messages", [(wire.bind("gone"), wire.execute()), (wire.describe("S", "gone"),)])
def test_a_statement_that_does_not_exist(proxy, compat, messages):
    c = client(proxy)
    assert c.prepare("here", "SELECT 1").kinds == "1Z"
    assert c.run("here").error is None
    c.send(wire.describe("S", "here"), wire.SYNC)
    assert c.until_ready().error is None
    c.send(*messages, wire.SYNC)
    if compat == "strict":
        e = c.expect_closed()[-1].fields()
        assert (e["S"], e["C"], e["M"]) == ("FATAL", "08P01", "prepared statement did not exist")
    else:
        c.until_ready()
        assert c.simple("SELECT 1").error is None


def test_a_statement_of_the_same_batch_exists(proxy):
    c = client(proxy)
    c.send(wire.parse("SELECT 1", "new"), wire.describe("S", "new"), wire.bind("new"), wire.execute(), wire.SYNC)
    assert c.until_ready().error is None


def test_a_reload_changes_it(proxy, compat):
    proxy.options["pgbouncer_compat"] = "off" if compat == "strict" else "strict"
    proxy.write()
    proxy.console("SHOW VERSION")
    with proxy.raw() as c:
        c.startup(user="boss", database="pgbouncer")
        assert c.simple("RELOAD").tags == ["RELOAD"]
    wait_for("the other SQLSTATE",
             lambda: refused(proxy, database="nowhere")["C"] == ("3D000" if compat == "strict" else "08P01"))
