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


def begin(client, server, text):
    """A transaction in which a statement runs: its server."""
    client.send(wire.query("BEGIN"), wire.query(f"UPDATE t SET v = '{text}'"))
    client.until_ready()
    s = server.accept()
    s.until(text)
    return s


def serve(client, server, text="after"):
    """The next statement is served by a new server."""
    client.send(wire.query(f"UPDATE t SET v = '{text}'"))
    s = server.accept()
    s.until(text)
    s.answer(s.seen[-1])
    answer = client.until_ready()
    assert (answer.kinds, answer.status) == ("CZ", "I"), answer
    return s


def test_statements_in_flight_are_each_told(proxy, client, server):
    client.send(wire.query("UPDATE t SET v = 'one'"), wire.query("UPDATE t SET v = 'two'"))
    s = server.accept()
    s.until("one")
    s.close()
    answer = client.until_ready(2)
    assert (answer.kinds, answer.status) == ("EZEZ", "I")
    assert {m.sqlstate for m in answer.messages if m.kind == "E"} == {"08006"}
    serve(client, server)


def test_what_was_answered_before_the_end_reaches_the_client(proxy, client, server):
    client.send(wire.query("UPDATE t SET v = 'one'"), wire.query("UPDATE t SET v = 'two'"))
    s = server.accept()
    s.until("one")
    s.send(wire.complete("UPDATE 1"), wire.ready(),
           wire.error("57P01", "terminating connection due to administrator command", "FATAL"))
    s.close()
    answer = client.until_ready(2)
    assert answer.kinds == "CZEZ" and answer.sqlstate == "08006", answer


def test_what_may_count_on_a_lost_begin_is_not_run(proxy, client, server):
    """Behind a text that may have begun a transaction, a statement would be committed by itself."""
    client.send(wire.query("BEGIN; UPDATE t SET v = 'one'"), wire.query("UPDATE t SET v = 'two'"))
    s = server.accept()
    s.until("one")
    s.close()
    assert [(m.fields()["S"], m.sqlstate) for m in client.expect_closed()] == [("FATAL", "08006")]


@pytest.mark.parametrize("waiting", ["SET work_mem = '3MB'", "RESET ALL; SELECT 1"])
def test_a_statement_that_was_not_sent_runs_on_another_server(proxy, client, server, waiting):
    client.send(wire.query("UPDATE t SET v = 'one'"), wire.query(waiting))
    s = server.accept()
    s.until("one")
    s.close()
    server.accept().serve_on()
    answer = client.until_ready(2)
    assert answer.kinds.startswith("EZ") and answer.kinds.count("E") == 1 and answer.status == "I", answer
    assert answer.sqlstate == "08006"


@pytest.mark.parametrize("text", ["SET DateStyle = 'German'", "RESET ALL", "DISCARD ALL", "SET work_mem = '3MB'"])
def test_a_change_of_the_session_that_was_lost_holds_up_nothing(proxy, client, server, text):
    client.send(wire.query(text))
    s = server.accept()
    s.until(text)
    s.close()
    answer = client.until_ready()
    assert (answer.sqlstate, answer.status) == ("08006", "I")
    serve(client, server)


@pytest.mark.parametrize("opened", [False, True], ids=["outside", "after BEGIN"])
def test_a_server_that_dies_over_the_settings_is_replaced_unseen(proxy, client, server, opened):
    client.send(wire.query("SET work_mem = '3MB'"))
    s = server.accept()
    s.until("SET")
    s.answer(s.seen[-1])
    client.until_ready()
    s.close()
    client.send(*([wire.query("BEGIN")] if opened else []), wire.query("VACUUM one"))
    if opened:
        assert client.until_ready().status == "T"
    for _ in range(2):
        s = server.accept()
        s.until_kind("S")
        assert any("work_mem" in t for t in s.texts())
        s.close()
    s = server.accept()
    s.until("one")
    s.answer(s.seen[-1])
    answer = client.until_ready()
    assert (answer.kinds, answer.status) == ("TDCZ", "T" if opened else "I")


def test_statements_in_flight_in_a_transaction_are_each_told(proxy, client, server):
    s = begin(client, server, "one")
    client.send(wire.query("UPDATE t SET v = 'two'"), wire.parse("SELECT 3"), wire.bind(), wire.execute(), wire.SYNC)
    s.receive()
    s.close()
    answer = client.until_ready(3)
    assert (answer.kinds, answer.status) == ("EZEZEZ", "E")
    assert {m.sqlstate for m in answer.messages if m.kind == "E"} == {"08006"}
    assert client.simple("SELECT 'must not run'").sqlstate == "25P02"
    assert client.extended("SELECT 'must not run'").sqlstate == "25P02"
    assert client.simple("COMMIT").tags == ["ROLLBACK"]
    serve(client, server)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_lost_commit_is_told_as_such(proxy, client, server, protocol, how):
    s = begin(client, server, "one")
    s.answer(s.seen[-1])
    client.until_ready()
    if protocol == "simple":
        client.send(wire.query("COMMIT"))
    else:
        client.send(wire.parse("COMMIT"), wire.bind(), wire.execute(), wire.SYNC)
    s.until("COMMIT")
    getattr(s, how)()
    answer = client.until_ready()
    assert (answer.kinds.lstrip("12"), answer.sqlstate, answer.status) == ("EZ", "08007", "I")
    assert "not known" in answer.error.fields()["H"]
    serve(client, server)


def test_a_lost_rollback_leaves_no_transaction(proxy, client, server):
    s = begin(client, server, "one")
    s.answer(s.seen[-1])
    client.until_ready()
    client.send(wire.query("ROLLBACK"))
    s.until("ROLLBACK")
    s.close()
    answer = client.until_ready()
    assert (answer.sqlstate, answer.status) == ("08006", "I")
    serve(client, server)


@pytest.mark.parametrize("text", ["COMMIT AND CHAIN", "UPDATE t SET v = 'x'; COMMIT"])
def test_a_lost_commit_among_others_leaves_a_failed_transaction(proxy, client, server, text):
    s = begin(client, server, "one")
    s.answer(s.seen[-1])
    client.until_ready()
    client.send(wire.query(text))
    s.until("COMMIT")
    s.close()
    answer = client.until_ready()
    assert (answer.sqlstate, answer.status) == ("08007", "E")
    assert client.simple("SELECT 1").sqlstate == "25P02"
    assert client.simple("ROLLBACK").status == "I"
    serve(client, server)


@pytest.mark.parametrize("state", ["57P01", "25P03"])
def test_a_fatal_error_in_a_transaction_is_told_once(proxy, client, server, state):
    s = begin(client, server, "one")
    s.send(wire.error(state, "terminating connection for a reason", "FATAL"))
    s.close()
    answer = client.until_ready()
    assert (answer.kinds, answer.sqlstate, answer.status) == ("EZ", "08006", "E")
    assert answer.error.fields()["S"] == "ERROR" and "for a reason" in answer.error.fields()["M"]
    assert client.simple("SELECT 1").sqlstate == "25P02"
    assert client.simple("ROLLBACK").status == "I"
    serve(client, server)


@pytest.mark.parametrize("synced", [False, True])
def test_a_server_dies_after_an_error_of_a_batch(proxy, client, server, synced):
    """The batch was told its error: what follows up to the Sync is skipped, and nothing told twice."""
    client.send(wire.parse("UPDATE t SET v = 'bad'"), wire.bind(), wire.execute(), wire.FLUSH)
    s = server.accept()
    s.until("bad")
    s.send(wire.error("23505", "duplicate key"))
    assert client.until("E").sqlstate == "23505"
    s.close()
    client.send(wire.parse("SELECT 'skipped'"), wire.bind(), wire.execute())
    if not synced:
        assert client.quiet()
    client.send(wire.SYNC)
    answer = client.until_ready()
    assert (answer.kinds, answer.status) == ("Z", "I")
    serve(client, server)


def test_a_server_dies_in_a_long_query(proxy, client, server):
    whole = wire.query("UPDATE t SET v = '" + "x" * 600_000 + "'")
    client.send(whole[:400_000])
    s = server.accept()
    s.read(100_000)
    s.reset()
    answer = client.until_ready()
    assert (answer.sqlstate, answer.status) == ("08006", "I")
    client.send(whole[400_000:])
    serve(client, server)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_server_dies_in_a_copy(proxy, client, server, protocol):
    batch = [wire.parse("COPY t FROM STDIN"), wire.bind(), wire.execute(), wire.SYNC]
    client.send(*([wire.query("COPY t FROM STDIN")] if protocol == "simple" else batch))
    s = server.accept()
    s.until("COPY")
    s.send(wire.message("G", b"\0\0\1\0\0"))
    client.until("G")
    client.send(wire.copy_data(b"1\n"))
    while s.receive().kind != "d":
        pass
    s.close()
    assert client.until("E").sqlstate == "08006"
    client.send(wire.copy_data(b"2\n"), wire.COPY_DONE, *([] if protocol == "simple" else [wire.SYNC]))
    assert client.until_ready().kinds == "Z"
    serve(client, server)


@pytest.mark.parametrize("pinned", [False, True], ids=["session mode", "pinned"])
def test_who_keeps_a_server_is_told_its_end_by_it(run_pgusher, server, pinned):
    p = run_pgusher({"app": server.connstr}, pool_mode="transaction" if pinned else "session")
    c = p.raw()
    c.startup()
    c.send(wire.query("LOAD 'x'" if pinned else "SELECT 1"))
    s = server.accept()
    s.until_kind("Q")
    s.answer(s.seen[-1])
    c.until_ready()
    s.send(wire.error("57P01", "terminating connection due to administrator command", "FATAL"))
    s.close()
    seen = c.expect_closed()
    assert [(m.kind, m.sqlstate, m.fields()["S"]) for m in seen] == [("E", "57P01", "FATAL")]


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
