"""Words of the log that scripts and alerts written for PgBouncer look for, each from what it stands for."""

import re
import signal

import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture
def lent(run_pgusher, server):
    """A client whose query a server has: (proxy, client, session)."""

    def make(**options):
        p = run_pgusher({"app": server.connstr}, default_pool_size=1, **options)
        c = p.raw()
        c.startup()
        c.send(wire.query("SELECT 'held'"))
        s = server.accept()
        s.until("held")
        return p, c, s

    return make


def said(p, who, phrase):
    """A line of a client (C) or of a server (S)."""
    wait_for(phrase, lambda: re.search(rf"{who}-0x\w+: app/app@\S+ {re.escape(phrase)}", p.log()))


def test_a_query_that_takes_too_long(lent):
    p, c, _ = lent(query_timeout=0.3)
    assert c.expect_closed()[-1].fields()["M"] == "query timeout"
    said(p, "C", "closing because: query timeout (age=")


def test_a_server_that_breaks_off(lent):
    p, c, s = lent()
    said(p, "S", "new connection to server (from 127.0.0.1:")
    s.close()
    c.until_ready()
    said(p, "S", "closing because: server conn crashed? (age=")


def test_a_server_that_does_not_hear_its_cancel(lent, server):
    p, c, _ = lent(cancel_wait_timeout=0.3)
    server.cancel_gate.clear()
    c.reset()
    server.cancelled()
    said(p, "S", "closing because: cancel_wait_timeout (age=")


@pytest.mark.parametrize("command, reason", [("RECONNECT app", "database configuration changed"), ("PAUSE app", "pause mode")])
def test_servers_that_are_to_go(lent, command, reason):
    p, c, s = lent()
    s.finish()
    c.until_ready()
    p.console(command)
    said(p, "S", f"closing because: {reason} (age=")
    if command == "PAUSE app":
        p.console("RESUME app")


def test_the_end(lent):
    p, c, s = lent()
    s.finish()
    c.until_ready()
    p.signal(signal.SIGTERM)
    assert p.process.wait(10) == 0
    said(p, "S", "closing because: server shutting down (age=")
    said(p, "C", "closing because: server shutting down (age=")


def test_a_client_that_is_thrown_out(lent):
    p, c, _ = lent()
    p.console("KILL app")
    assert c.expect_closed()[-1].fields()["M"] == "admin forced disconnect"
    said(p, "C", "closing because: admin forced disconnect (age=")


def test_a_replication_connection(run_pgusher, server):
    p = run_pgusher({"app": server.connstr})
    c = p.raw()
    c.startup(replication="database")
    said(p, "S", "new connection to server (from 127.0.0.1:")
