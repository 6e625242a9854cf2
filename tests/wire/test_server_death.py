"""A server that dies at each point of a query: the client is told 08006, others notice nothing."""

import pytest

from harness import wire

POINTS = ("before any answer", "in the first header", "after RowDescription", "in a row", "between rows",
          "before CommandComplete", "before ReadyForQuery")

PARTS = {
    "before any answer": b"",
    "in the first header": wire.row_description("v")[:3],
    "after RowDescription": wire.row_description("v"),
    "in a row": wire.row_description("v") + wire.data_row("x" * 1000)[:500],
    "between rows": wire.row_description("v") + wire.data_row("1"),
    "before CommandComplete": wire.row_description("v") + wire.data_row("1") * 3,
    "before ReadyForQuery": wire.row_description("v") + wire.data_row("1") + wire.complete("SELECT 1"),
}


@pytest.fixture
def proxy(run_pgusher, server):
    return run_pgusher({"app": server.connstr}, default_pool_size=2, server_login_retry=1)


@pytest.fixture
def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


def lost(client, server, in_transaction=False, partial=False):
    """
    The client is told that the server is lost. Either FATAL and a close, or an error after which the
    connection works; then a lost transaction must be seen as failed, or what follows would be committed
    by itself. When half a message was passed on, only closing is left.
    """
    seen = []
    try:
        while not seen or seen[-1].kind != "Z":
            seen.append(client.receive())
    except wire.Gone as e:
        if partial and not any(m.kind == "E" for m in seen):
            return
        assert seen and seen[-1].kind == "E" and seen[-1].fields()["S"] == "FATAL", (seen, e)
        assert seen[-1].sqlstate == "08006", seen[-1].fields()
        return
    error = [m for m in seen if m.kind == "E"]
    assert error and error[0].sqlstate == "08006", seen
    if in_transaction:
        assert seen[-1].body == b"E", "a lost transaction must not look idle"
        answer = client.simple("SELECT 'must not run'")
        assert answer.sqlstate == "25P02", answer
        assert client.simple("ROLLBACK").status == "I"
    client.send(wire.query("SELECT 'after'"))
    s = server.accept()
    s.until("after")
    s.finish()
    assert client.until_ready().kinds == "TDCZ"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("point", POINTS)
def test_a_server_dies_during_a_write(proxy, client, server, point, how):
    client.send(wire.query("INSERT INTO t VALUES ('doomed') RETURNING v"))
    s = server.accept()
    s.until("doomed")
    s.send(PARTS[point])
    getattr(s, how)()
    partial = point in ("in the first header", "in a row")
    lost(client, server, partial=partial)


@pytest.mark.parametrize("point", POINTS)
def test_a_server_dies_in_a_transaction(proxy, client, server, point):
    client.send(wire.query("BEGIN"))
    client.until_ready()
    client.send(wire.query("INSERT INTO t VALUES ('doomed') RETURNING v"))
    s = server.accept()
    s.until("doomed")
    s.send(PARTS[point])
    s.close()
    lost(client, server, in_transaction=True, partial=point in ("in the first header", "in a row"))


def test_a_server_dies_while_its_transaction_is_idle(proxy, client, server):
    """An answer nobody waits for would be taken for the next statement's: only a FATAL may come unasked."""
    client.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 1"))
    s = server.accept()
    s.until("UPDATE t")
    s.answer(s.seen[-1])
    client.until_ready(2)
    s.close()
    if not client.quiet(0.3):
        seen = client.expect_closed()
        assert [m.sqlstate for m in seen] == ["08006"] and seen[0].fields()["S"] == "FATAL"
        return
    client.send(wire.query("UPDATE t SET v = 2"))
    lost(client, server, in_transaction=True)


@pytest.mark.parametrize("point", ["after parse", "after bind", "before sync's answer"])
def test_a_server_dies_during_an_extended_batch(proxy, client, server, point):
    client.send(wire.parse("INSERT INTO t VALUES (1)"), wire.bind(), wire.describe(), wire.execute(), wire.SYNC)
    s = server.accept()
    m = s.until_kind("P")
    s.answer(m)
    if point != "after parse":
        s.answer(s.until_kind("B"))
    if point == "before sync's answer":
        s.until_kind("S")
    s.close()
    lost(client, server)


def test_an_idle_server_that_dies_is_noticed_by_nobody(proxy, client, server):
    client.send(wire.query("SELECT 'one'"))
    s = server.accept()
    s.until("one")
    s.finish()
    assert client.until_ready().kinds == "TDCZ"
    s.close()
    client.send(wire.query("SELECT 'two'"))
    s = server.accept()
    s.until("two")
    s.finish()
    assert client.until_ready().kinds == "TDCZ"


@pytest.mark.parametrize("last", [b"", wire.error("57P01", "terminating connection due to administrator command",
                                                  "FATAL")], ids=["silently", "with 57P01"])
def test_an_idle_server_closed_by_the_administrator_is_replaced(proxy, client, server, last):
    client.send(wire.query("SELECT 'one'"))
    s = server.accept()
    s.until("one")
    s.finish()
    client.until_ready()
    s.send(last)
    s.close()
    client.send(wire.query("SELECT 'two'"))
    s = server.accept()
    s.until("two")
    s.finish()
    answer = client.until_ready()
    assert answer.kinds == "TDCZ", answer


def test_a_fatal_error_of_the_server_reaches_the_client(proxy, client, server):
    client.send(wire.query("UPDATE t SET v = 'killed'"))
    s = server.accept()
    s.until("killed")
    s.send(wire.error("57P01", "terminating connection due to administrator command", "FATAL"))
    s.close()
    first = client.receive()
    assert first.kind == "E" and first.sqlstate in ("57P01", "08006")


def test_the_others_go_on_while_one_server_dies(proxy, client, server):
    client.send(wire.query("UPDATE t SET v = 'first'"))
    s1 = server.accept()
    s1.until("first")
    other = proxy.raw()
    other.startup()
    other.send(wire.query("UPDATE t SET v = 'second'"))
    s2 = server.accept()
    s2.until("second")
    s1.close()
    lost_seen = client.receive()
    assert lost_seen.kind == "E"
    s2.answer(s2.seen[-1])
    assert other.until_ready().kinds == "CZ"


GARBAGE = {
    "unknown type": wire.message("\x01", b"abc"),
    "length 0": b"D\0\0\0\0",
    "negative length": b"D\xff\xff\xff\xff",
    "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a second welcome": wire.AUTH_OK,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_server_that_talks_garbage_is_closed_and_the_client_told(proxy, client, server, data):
    client.send(wire.query("UPDATE t SET v = 'odd'"))
    s = server.accept()
    s.until("odd")
    s.send(data)
    seen = []
    try:
        while not seen or seen[-1].kind not in "EZ":
            seen.append(client.receive())
    except wire.Gone:
        pass
    assert seen and seen[-1].kind == "E" and seen[-1].sqlstate in ("08006", "08P01"), seen
    assert s.expect_closed() is not None
    again = proxy.raw()
    again.startup()
    again.send(wire.query("SELECT 'fine'"))
    fresh = server.accept()
    fresh.until("fine")
    fresh.finish()
    assert again.until_ready().kinds == "TDCZ"


def test_bytes_nobody_asked_for_make_a_server_unusable(proxy, client, server):
    """An answer without a question may be anybody's: such a server is never lent out again."""
    client.send(wire.query("SELECT 'one'"))
    s = server.accept()
    s.until("one")
    s.finish()
    client.until_ready()
    s.send(wire.data_row("leaked"), wire.complete("SELECT 1"), wire.ready())
    client.send(wire.query("SELECT 'two'"))
    fresh = server.accept()
    fresh.until("two")
    fresh.finish("clean")
    answer = client.until_ready()
    assert answer.rows == [[b"clean"]], answer


@pytest.mark.parametrize("stage", ["before auth", "in parameters", "before ready"])
def test_a_server_that_dies_during_login_is_tried_again(run_pgusher, server, stage):
    left = [2]

    def login(s):
        if left[0] > 0:
            left[0] -= 1
            if stage != "before auth":
                s.send(wire.AUTH_OK, wire.parameter_status("client_encoding", "UTF8"))
            if stage == "before ready":
                s.send(wire.backend_key(1, 1))
            s.close()
            raise wire.Gone("as scripted")
        s.welcome()

    server.login = login
    server.polite = True
    p = run_pgusher({"app": server.connstr}, server_login_retry=0.2, query_wait_timeout=10)

    def served():
        try:
            with p.raw() as c:
                c.startup()
                return c.simple("SELECT 1").kinds == "TDCZ"
        except (RuntimeError, wire.Gone, ConnectionError):
            return False

    from harness.process import wait_for

    wait_for("a server that stays", served)
