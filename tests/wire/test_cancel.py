"""A cancel request reaches the right query, only while it runs; an abandoned query is cancelled."""

import queue

import pytest

from harness import wire


@pytest.fixture
def proxy(run_pgusher, server):
    return run_pgusher({"app": server.connstr}, default_pool_size=2)


def start(proxy, server, text):
    c = proxy.raw()
    c.startup()
    c.send(wire.query(f"UPDATE t SET v = '{text}'"))
    s = server.accept()
    s.until(text)
    return c, s


def test_a_long_cancel_key_reaches_the_query_and_half_of_it_nobody(proxy, server):
    c = proxy.raw()
    c.startup(code=wire.PROTOCOL_3 + 2)
    c.send(wire.query("UPDATE t SET v = 'long'"))
    s = server.accept()
    s.until("long")
    assert len(c.key) == 32
    for wrong in (c.key[:4], c.key[:31], c.key[:-1] + bytes([c.key[-1] ^ 1])):
        with proxy.raw() as k:
            k.send(wire.cancel(c.pid, wrong))
            k.expect_closed()
    none_cancelled(server)
    c.cancel()
    assert server.cancelled() == (s.pid, s.key)
    s.answer(s.seen[-1])
    c.until_ready()


def none_cancelled(server, seconds=0.4):
    with pytest.raises(queue.Empty):
        server.cancelled(seconds)


def test_a_cancel_reaches_the_server_that_runs_the_query(proxy, server):
    a, sa = start(proxy, server, "slow a")
    b, sb = start(proxy, server, "slow b")
    b.cancel()
    assert server.cancelled() == (sb.pid, sb.key)
    sb.send(wire.error("57014", "canceling statement due to user request"), wire.ready())
    assert b.until_ready().sqlstate == "57014"
    none_cancelled(server)
    sa.answer(sa.seen[-1])
    assert a.until_ready().kinds == "CZ"


def test_an_idle_clients_cancel_reaches_nobody(proxy, server):
    a, sa = start(proxy, server, "first")
    sa.answer(sa.seen[-1])
    a.until_ready()
    b = proxy.raw()
    b.startup()
    b.send(wire.query("UPDATE t SET v = 'of b'"))
    sa.until("of b")  # b now has the server a had
    a.cancel()
    none_cancelled(server)
    sa.answer(sa.seen[-1])
    assert b.until_ready().kinds == "CZ"


@pytest.mark.parametrize("what", ["pid", "key", "both"])
def test_a_wrong_cancel_key_reaches_nobody(proxy, server, what):
    c, s = start(proxy, server, "slow")
    pid = c.pid ^ (0 if what == "key" else 0x5A5A)
    key = c.key ^ (0 if what == "pid" else 0x5A5A)
    with proxy.raw() as k:
        k.send(wire.cancel(pid, key))
        assert k.expect_closed() == []
    none_cancelled(server)
    s.answer(s.seen[-1])
    c.until_ready()


def test_a_cancel_packet_cut_short_hurts_nobody(proxy, server):
    c, s = start(proxy, server, "slow")
    for size in (8, 12, 15):
        with proxy.raw() as k:
            k.send(wire.cancel(c.pid, c.key)[:size])
    none_cancelled(server)
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CZ"


def test_a_waiting_clients_cancel_ends_its_wait(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    a, sa = start(p, server, "holds the server")
    b = p.raw()
    b.startup()
    b.send(wire.query("UPDATE t SET v = 'waits'"))
    assert b.quiet()
    b.cancel()
    answer = b.until_ready()
    assert answer.sqlstate == "57014", answer
    none_cancelled(server)
    sa.answer(sa.seen[-1])
    assert a.until_ready().kinds == "CZ"


@pytest.fixture
def busy(run_pgusher, server):
    """A pool whose only server is taken: the proxy, its session, and who has it."""
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    a, s = start(p, server, "holds the server")
    return p, s, a


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_cancelled_wait_in_a_transaction_fails_it(busy, server, protocol):
    p, s, a = busy
    b = p.raw()
    b.startup()
    assert b.simple("BEGIN").status == "T"
    text = "UPDATE t SET v = 'waits'"
    b.send(*([wire.query(text)] if protocol == "simple" else
             [wire.parse(text), wire.bind(), wire.describe(), wire.execute(), wire.SYNC]))
    assert b.quiet()
    b.cancel()
    answer = b.until_ready()
    assert (answer.sqlstate, answer.status) == ("57014", "E")
    answer = b.simple("UPDATE t SET v = 'must not run'")
    assert (answer.sqlstate, answer.status, answer.error.fields().get("H")) == ("25P02", "E", None)
    answer = b.simple("COMMIT")
    assert (answer.tags, answer.status) == (["ROLLBACK"], "I")
    none_cancelled(server)
    s.answer(s.seen[-1])
    assert a.until_ready().kinds == "CZ"
    s.serve_on()
    assert b.simple("UPDATE t SET v = 'runs'").kinds == "CZ"
    assert not any("waits" in t or "must not run" in t for t in s.texts())


def test_a_cancel_of_a_wait_leaves_what_was_sent_behind(busy, server):
    p, s, a = busy
    b = p.raw()
    b.startup()
    b.send(wire.query("UPDATE t SET v = 'waits'"), wire.query("UPDATE t SET v = 'behind'"))
    assert b.quiet()
    b.cancel()
    answer = b.until_ready()
    assert (answer.sqlstate, answer.status) == ("57014", "I")
    s.answer(s.seen[-1])
    a.until_ready()
    s.until("behind")
    s.answer(s.seen[-1])
    assert b.until_ready().kinds == "CZ"
    none_cancelled(server)


def test_the_server_is_lent_again_only_after_the_cancel_was_delivered(run_pgusher, server):
    """A cancel still on its way must not hit the server's next query."""
    a, sa = start(run_pgusher({"app": server.connstr}, default_pool_size=1), server, "slow")
    a.cancel()
    server.cancelled()
    sa.send(wire.error("57014", "canceling statement due to user request"), wire.ready())
    a.until_ready()
    a.send(wire.query("UPDATE t SET v = 'next'"))
    sa.serve_on()
    assert a.until_ready().kinds == "CZ"
    none_cancelled(server, 0.2)


@pytest.fixture
def cancelled_once(run_pgusher, server):
    """One server; its client's query was sent a cancel, whose connection the server keeps open."""
    p = run_pgusher({"app": server.connstr}, default_pool_size=1)
    c, s = start(p, server, "slow")
    server.cancel_gate.clear()
    c.cancel()
    assert server.cancelled() == (s.pid, s.key)
    return p, c, s


def test_cancels_that_come_while_one_is_open_follow_it_as_one(cancelled_once, server):
    p, c, s = cancelled_once
    for _ in range(3):
        c.cancel()
    p.console("SHOW VERSION")
    none_cancelled(server, 0.1)
    server.cancel_gate.set()
    assert server.cancelled() == (s.pid, s.key)
    none_cancelled(server, 0.2)
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CZ"


def test_a_cancel_whose_connection_stays_open_does_not_outlive_the_process(cancelled_once):
    p, c, _ = cancelled_once
    c.close()
    p.stop()  # which looks for leaks


def test_a_cancel_that_waits_reaches_no_later_holder(cancelled_once, server):
    p, c, s = cancelled_once
    other = p.raw()
    other.startup()
    other.send(wire.query("UPDATE t SET v = 'next'"))
    c.cancel()
    p.console("SHOW VERSION")
    s.send(wire.error("57014", "canceling statement due to user request"), wire.ready())
    assert c.until_ready().sqlstate == "57014"
    server.cancel_gate.set()
    s.until("next")
    none_cancelled(server, 0.2)
    s.answer(s.seen[-1])
    s.serve_on()
    assert other.until_ready().kinds == "CZ"


def test_a_cancel_that_waits_ends_with_its_query_in_a_transaction(run_pgusher, server):
    p = run_pgusher({"app": server.connstr})
    c = p.raw()
    c.startup()
    c.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'slow'"))
    s = server.accept()
    s.until("slow")
    server.cancel_gate.clear()
    c.cancel()
    server.cancelled()
    c.cancel()
    p.console("SHOW VERSION")
    s.answer(s.seen[-1])
    c.until_ready(2)
    c.send(wire.query("UPDATE t SET v = 'next'"))
    s.until("next")
    server.cancel_gate.set()
    none_cancelled(server, 0.2)
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CZ"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_abandoned_query_is_cancelled_and_rolled_back(proxy, server, how):
    c = proxy.raw()
    c.startup()
    c.send(wire.query("BEGIN"))
    c.until_ready()
    c.send(wire.query("UPDATE t SET v = 'abandoned'"))
    s = server.accept()
    s.until("abandoned")
    getattr(c, how)()
    assert server.cancelled() == (s.pid, s.key)
    s.send(wire.error("57014", "canceling statement due to user request"), wire.ready("E"))
    # either the transaction is rolled back, or the connection closed; never lent as it is
    try:
        m = s.until_kind("Q")
        while "rollback" not in m.text.lower() and "abort" not in m.text.lower():
            s.answer(m)
            m = s.until_kind("Q")
    except wire.Gone:
        pass


def test_a_client_that_leaves_in_an_idle_transaction_is_rolled_back(proxy, server):
    c = proxy.raw()
    c.startup()
    c.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'left'"))
    s = server.accept()
    s.until("left")
    s.answer(s.seen[-1])
    c.until_ready(2)
    c.close()
    try:
        m = s.until_kind("Q")
        assert "rollback" in m.text.lower() or "abort" in m.text.lower(), m.text
    except wire.Gone:
        pass
