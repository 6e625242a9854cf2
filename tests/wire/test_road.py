"""When a server is taken and given back: BEGIN, ReadyForQuery, pipelines, Flush, COPY, big rows."""

import threading

import pytest

from harness import wire
from harness.pgusher import is_sanitized
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, server):
    return run_pgusher({"app": server.connstr}, default_pool_size=1)


def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


def test_begin_is_answered_without_a_server(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    answer = c.simple("BEGIN")
    assert (answer.tags, answer.status) == (["BEGIN"], "T")
    assert s.quiet(), "the server must not hear of BEGIN yet"
    other = client(proxy)
    other.send(wire.query("UPDATE t SET v = 'of another'"))
    s.until("of another")
    s.answer(s.seen[-1])
    assert other.until_ready().kinds == "CZ"
    c.send(wire.query("UPDATE t SET v = 'first of the transaction'"))
    s.until("first of the transaction")
    assert any(t.lower().startswith("begin") or "begin" in t.lower() for t in s.texts())
    assert s.status == "T"
    s.answer(s.seen[-1])
    answer = c.until_ready()
    assert (answer.kinds, answer.status) == ("CZ", "T")


@pytest.mark.parametrize("end,tag", [("COMMIT", "COMMIT"), ("ROLLBACK", "ROLLBACK"), ("END", "COMMIT")])
def test_an_empty_transaction_costs_no_server(proxy, server, end, tag):
    c = client(proxy)
    s = server.warm(c)
    assert c.simple("BEGIN").status == "T"
    answer = c.simple(end)
    assert (answer.tags, answer.status) == ([tag], "I")
    assert s.quiet()


def test_begin_twice_warns_like_postgres(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    s.serve_on()
    c.simple("BEGIN")
    answer = c.simple("BEGIN")
    assert answer.tags == ["BEGIN"] and answer.status == "T"


def test_the_options_of_begin_reach_the_server(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    c.simple("BEGIN ISOLATION LEVEL SERIALIZABLE")
    c.send(wire.query("UPDATE t SET v = 'x'"))
    s.until("UPDATE t SET v = 'x'")
    assert any("serializable" in t.lower() for t in s.texts())


def test_begin_works_in_the_extended_protocol(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    answer = c.extended("BEGIN")
    assert (answer.kinds, answer.status, answer.tags) == ("12nCZ", "T", ["BEGIN"])
    c.send(wire.query("UPDATE t SET v = 'x'"))
    s.until("UPDATE t SET v = 'x'")
    assert s.status == "T"
    s.answer(s.seen[-1])
    assert c.until_ready().status == "T"
    s.serve_on()
    answer = c.extended("COMMIT")
    assert answer.tags == ["COMMIT"] and answer.status == "I"


def test_a_server_is_kept_until_the_transaction_ends(proxy, server):
    a, b = client(proxy), client(proxy)
    s = server.warm(a)
    a.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'held'"))
    s.until("held")
    s.answer(s.seen[-1])
    a.until_ready(2)
    b.send(wire.query("UPDATE t SET v = 'waits'"))
    assert s.quiet() and b.quiet()
    a.send(wire.query("COMMIT"))
    s.until("COMMIT")
    assert b.quiet(), "given back only when the server says idle"
    s.answer(s.seen[-1])
    assert a.until_ready().status == "I"
    s.until("waits")
    s.answer(s.seen[-1])
    assert b.until_ready().kinds == "CZ"


def test_a_failed_transaction_keeps_its_server(proxy, server):
    a, b = client(proxy), client(proxy)
    s = server.warm(a)
    a.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'fails'"))
    s.until("fails")
    s.send(wire.error("23505", "duplicate key"), wire.ready("E"))
    answer = a.until_ready(2)
    assert answer.status == "E"
    s.status = "E"
    b.send(wire.query("UPDATE t SET v = 'waits'"))
    assert s.quiet()
    a.send(wire.query("ROLLBACK"))
    s.until("ROLLBACK")
    s.answer(s.seen[-1])
    assert a.until_ready().status == "I"
    s.until("waits")


def test_a_server_is_not_given_back_between_two_queries_in_flight(proxy, server):
    """Two Query messages sent at once: the first ReadyForQuery is not the last."""
    a, b = client(proxy), client(proxy)
    s = server.warm(a)
    a.send(wire.query("UPDATE t SET v = 'one'"), wire.query("UPDATE t SET v = 'two'"))
    s.until("one")
    b.send(wire.query("UPDATE t SET v = 'other'"))
    s.answer(s.seen[-1])
    order = []
    for _ in range(2):
        m = s.until_kind("Q")
        order.append(m.text)
        s.answer(m)
    assert a.until_ready(2).kinds == "CZCZ"
    assert b.until_ready().kinds == "CZ"
    assert sorted(order) == ["UPDATE t SET v = 'other'", "UPDATE t SET v = 'two'"]


def test_a_pipeline_is_answered_in_order(proxy, server):
    c = client(proxy)
    batch = b""
    for i in range(50):
        batch += wire.parse(f"UPDATE t SET v = {i}") + wire.bind() + wire.execute() + wire.SYNC
    c.send(batch)
    server.accept().serve_on()
    answer = c.until_ready(50)
    assert answer.kinds == "12CZ" * 50


def test_a_pipeline_without_syncs_is_one_batch(proxy, server):
    c = client(proxy)
    one = wire.parse("UPDATE t SET v = 1") + wire.bind() + wire.execute()
    c.send(one * 20, wire.SYNC)
    server.accept().serve_on()
    assert c.until_ready().kinds == "12C" * 20 + "Z"


def test_an_error_skips_to_the_sync_and_the_next_batch_runs(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = 1"), wire.bind(), wire.execute(), wire.bind("missing"), wire.execute(),
           wire.SYNC, wire.parse("UPDATE t SET v = 2"), wire.bind(), wire.execute(), wire.SYNC)
    server.accept().serve_on()
    answer = c.until_ready(2)
    assert answer.kinds == "12CEZ12CZ", answer


def test_flush_brings_answers_without_sync(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = $1"), wire.describe("S"), wire.FLUSH)
    s = server.accept()
    s.serve_on()
    assert c.until("n").kinds == "1tn"
    c.send(wire.bind(params=("1",)), wire.FLUSH)
    assert c.until("2").kinds == "2"
    c.send(wire.execute(), wire.SYNC)
    assert c.until_ready().kinds == "CZ"


def test_a_server_stays_with_its_client_between_flush_and_sync(proxy, server):
    a, b = client(proxy), client(proxy)
    a.send(wire.parse("UPDATE t SET v = 1"), wire.bind(), wire.execute(), wire.FLUSH)
    s = server.accept()
    s.serve_on()
    a.until("C")
    b.send(wire.query("UPDATE t SET v = 2"))
    assert b.quiet()
    a.send(wire.SYNC)
    assert a.until_ready().kinds == "Z"
    assert b.until_ready().kinds == "CZ"


def test_multi_statement_queries_are_passed_whole(proxy, server):
    c = client(proxy)
    c.send(wire.query("UPDATE t SET v = 1; UPDATE t SET v = 2"))
    s = server.accept()
    assert s.until("v = 2").text == "UPDATE t SET v = 1; UPDATE t SET v = 2"
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CCZ"


def copy_in(c, server):
    """COPY FROM STDIN has begun: the session it runs in."""
    c.send(wire.query("COPY t FROM STDIN"))
    s = server.accept()
    s.until("COPY t")
    s.send(wire.message("G", b"\0\0\1\0\0"))
    assert c.receive().kind == "G"
    return s


def test_copy_in_passes_both_ways(proxy, server):
    c = client(proxy)
    s = copy_in(c, server)
    for i in range(100):
        c.send(wire.copy_data(b"%d\n" % i))
    c.send(wire.COPY_DONE)
    got = b""
    while True:
        m = s.next()
        if m.kind == "c":
            break
        assert m.kind == "d"
        got += m.body
    assert got == b"".join(b"%d\n" % i for i in range(100))
    s.send(wire.complete("COPY 100"), wire.ready())
    assert c.until_ready().tags == ["COPY 100"]


def test_copy_that_the_client_fails_is_reported_by_the_server(proxy, server):
    c = client(proxy)
    s = copy_in(c, server)
    c.send(wire.copy_data(b"1\n"), wire.copy_fail("changed my mind"))
    s.until_kind("f")
    s.send(wire.error("57014", "COPY from stdin failed: changed my mind"), wire.ready())
    assert c.until_ready().sqlstate == "57014"


def test_copy_the_server_breaks_off_while_data_still_comes(proxy, server):
    """The client may have sent more before it saw the error: those bytes are not the next query's."""
    c = client(proxy)
    s = copy_in(c, server)
    c.send(wire.copy_data(b"bad\n"))
    s.until_kind("d")
    s.send(wire.error("22P02", "invalid input syntax"), wire.ready())
    c.send(wire.copy_data(b"more\n"), wire.COPY_DONE)
    assert c.until_ready().sqlstate == "22P02"
    c.send(wire.query("UPDATE t SET v = 'after copy'"))
    later = s
    try:
        later.until("after copy")
    except wire.Gone:
        later = server.accept()
        later.until("after copy")
    later.answer(later.seen[-1])
    assert c.until_ready().kinds == "CZ"


def test_copy_out_passes(proxy, server):
    c = client(proxy)
    c.send(wire.query("COPY t TO STDOUT"))
    s = server.accept()
    s.until("COPY t")
    s.send(wire.message("H", b"\0\0\1\0\0"), *(wire.copy_data(b"%d\n" % i) for i in range(1000)),
           wire.COPY_DONE, wire.complete("COPY 1000"), wire.ready())
    answer = c.until_ready()
    assert answer.kinds == "H" + "d" * 1000 + "cCZ"


def test_notices_and_parameter_changes_reach_the_client(proxy, server):
    c = client(proxy)
    c.send(wire.query("UPDATE t SET v = 'noisy'"))
    s = server.accept()
    s.until("noisy")
    s.send(wire.notice("careful"), wire.parameter_status("application_name", "new"), wire.complete("UPDATE 1"),
           wire.ready())
    answer = c.until_ready()
    assert [n["M"] for n in answer.notices] == ["careful"]
    assert any(m.kind == "S" and m.strings()[:2] == ["application_name", "new"] for m in answer.messages)


def test_a_50_MB_row_moves_no_memory(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    before = proxy.process.status_kib("VmHWM")
    c.send(wire.query("UPDATE t SET v = 'big' RETURNING v"))
    s.until("big")
    row = wire.data_row(b"x" * 50_000_000)
    t = threading.Thread(target=s.send, args=(wire.row_description("v"), row, wire.complete("UPDATE 1"),
                                              wire.ready()))
    t.start()
    assert c.receive().kind == "T"
    c.skip(len(row))
    assert c.until_ready().kinds == "CZ"
    t.join()
    after = proxy.process.status_kib("VmHWM")
    assert after - before < (20_000 if is_sanitized() else 2_000), f"{after - before} KiB more"


def test_a_50_MB_parameter_moves_no_memory(proxy, server):
    c = client(proxy)
    s = server.warm(c)
    before = proxy.process.status_kib("VmHWM")
    s.sock.settimeout(30)
    seen = []

    def serve():
        while True:
            m = s.next()
            seen.append((m.kind, len(m.body)))
            s.answer(m)
            if m.kind == "S":
                return

    t = threading.Thread(target=serve)
    t.start()
    c.send(wire.parse("UPDATE t SET v = $1"), wire.bind(params=(b"x" * 50_000_000,)), wire.execute(), wire.SYNC)
    assert c.until_ready().kinds == "12CZ"
    t.join()
    assert max(size for _, size in seen) > 50_000_000
    after = proxy.process.status_kib("VmHWM")
    assert after - before < (20_000 if is_sanitized() else 3_000), f"{after - before} KiB more"


def test_a_client_that_does_not_read_stops_its_server_not_the_others(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2)
    lazy, busy = client(p), client(p)
    lazy.send(wire.query("UPDATE t SET v = 'lazy' RETURNING v"))
    s = server.accept()
    s.until("lazy")
    before = p.process.status_kib("VmHWM")
    s.sock.settimeout(1.0)
    sent = 0
    with pytest.raises(TimeoutError):
        s.send(wire.row_description("v"))
        chunk = wire.data_row(b"x" * 100_000)
        while sent < 200_000_000:
            s.send(chunk)
            sent += len(chunk)
    busy.send(wire.query("UPDATE t SET v = 'busy'"))
    s2 = server.accept()
    s2.until("busy")
    s2.answer(s2.seen[-1])
    assert busy.until_ready().kinds == "CZ"
    grown = p.process.status_kib("VmHWM") - before
    assert grown < (40_000 if is_sanitized() else 4_000), f"{grown} KiB more"
    s.close()


def test_a_server_that_does_not_read_stops_its_client_not_the_others(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2)
    loud, busy = client(p), client(p)
    s = copy_in(loud, server)
    before = p.process.status_kib("VmHWM")
    loud.sock.settimeout(1.0)
    with pytest.raises(TimeoutError):
        for _ in range(2000):
            loud.send(wire.copy_data(b"x" * 100_000))
    busy.send(wire.query("UPDATE t SET v = 'busy'"))
    s2 = server.accept()
    s2.until("busy")
    s2.answer(s2.seen[-1])
    assert busy.until_ready().kinds == "CZ"
    grown = p.process.status_kib("VmHWM") - before
    assert grown < (40_000 if is_sanitized() else 4_000), f"{grown} KiB more"


def test_waiting_clients_are_served_in_arrival_order(proxy, server):
    holder = client(proxy)
    s = server.warm(holder)
    holder.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'hold'"))
    s.until("hold")
    s.answer(s.seen[-1])
    holder.until_ready(2)
    waiting = []
    for i in range(12):
        c = client(proxy)
        c.send(wire.query(f"UPDATE t SET v = 'number {i:02}'"))
        waiting.append(c)
        rows = lambda: [r for r in proxy.console("SHOW POOLS") if r["database"] == "app"]
        wait_for(f"client {i} to wait", lambda: sum(int(r["cl_waiting"]) for r in rows()) == i + 1)
    holder.send(wire.query("COMMIT"))
    order = []
    while len(order) < 12:
        m = s.until_kind("Q")
        s.answer(m)
        if "number" in m.text:
            order.append(m.text)
    assert order == sorted(order)
    for c in waiting:
        assert c.until_ready().kinds == "CZ"


def test_query_wait_timeout_ends_a_wait(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=1, query_wait_timeout=1)
    a, b = client(p), client(p)
    a.send(wire.query("UPDATE t SET v = 'holds'"))
    s = server.accept()
    s.until("holds")
    b.send(wire.query("UPDATE t SET v = 'waits'"))
    seen = []
    try:
        while not any(m.kind == "E" for m in seen):
            seen.append(b.receive())
    except wire.Gone:
        pass
    assert "query_wait_timeout" in seen[-1].fields()["M"]
    s.answer(s.seen[-1])
    assert a.until_ready().kinds == "CZ"


@pytest.mark.parametrize("clients", [40])
def test_pool_size_is_exact(run_pgusher, polite_server, clients):
    """Never more server connections than pool_size, whatever worker asks."""
    p = run_pgusher({"app": polite_server.connstr}, default_pool_size=4)
    many = [client(p) for _ in range(clients)]
    for _ in range(5):
        for c in many:
            c.send(wire.query("UPDATE t SET v = 1"))
        for c in many:
            assert c.until_ready().kinds == "CZ"
    assert len(polite_server.all) <= 4
