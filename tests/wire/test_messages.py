"""After the login: broken, unknown, absurd and out-of-order messages, and clients that vanish."""

import struct
import threading

import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, polite_server):
    return run_pgusher({"app": polite_server.connstr}, default_pool_size=3)


@pytest.fixture
def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


def still_serves(proxy):
    with proxy.raw() as c:
        c.startup()
        assert c.simple("SELECT 1").kinds == "TDCZ"
        assert c.extended("SELECT 1").kinds == "12TDCZ"


def frame(kind, size, body=b""):
    return kind.encode() + struct.pack("!I", size & 0xFFFFFFFF) + body


FATAL = {
    "length 0": frame("Q", 0),
    "length 3": frame("Q", 3),
    "negative length": frame("Q", -5),
    "length 4 GB": frame("Q", 0xFFFFFFFF),
    "unknown type": wire.message("?", b"abc"),
    "type 0": wire.message("\0"),
    "server's message": wire.data_row("1"),
    "password out of turn": wire.password("x"),
    "startup again": wire.startup(user="app", database="app"),
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "sync with a negative length": frame("S", -1),
}


@pytest.mark.parametrize("data", FATAL.values(), ids=FATAL.keys())
def test_a_message_that_cannot_be_framed_ends_the_connection(proxy, client, data):
    client.send(data)
    seen = client.expect_closed()
    assert [m.kind for m in seen] == ["E"], seen
    assert seen[0].fields()["S"] == "FATAL" and seen[0].sqlstate == "08P01"
    still_serves(proxy)


BROKEN = {
    "query without terminator": frame("Q", 12, b"SELECT 1"),
    "empty query body": frame("Q", 4),
    "parse without text": wire.message("P", b"name\0"),
    "parse with 65535 types and none there": wire.message("P", b"\0SELECT 1\0\xff\xff"),
    "parse with a negative type count": wire.message("P", b"\0SELECT 1\0\x80\x00"),
    "bind cut short": wire.message("B", b"\0\0\0\1"),
    "bind with a parameter past the end": wire.message("B", b"\0\0\0\0\0\1" + struct.pack("!i", 9999) + b"x"),
    "bind with parameter length -2": wire.message("B", b"\0\0\0\0\0\1" + struct.pack("!i", -2) + b"\0\0"),
    "bind with bytes left over": wire.message("B", b"\0\0\0\0\0\0\0\0extra"),
    "bind with many formats": wire.message("B", b"\0\0\xff\xff"),
    "describe of nothing": wire.message("D"),
    "describe of X": wire.message("D", b"Xname\0"),
    "describe unterminated": wire.message("D", b"Sname"),
    "execute cut short": wire.message("E", b"\0\0\0"),
    "close of X": wire.message("C", b"Xname\0"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_body_is_08P01_and_hurts_nobody_else(proxy, client, data):
    """PostgreSQL answers ERROR and reads on to Sync; ending the connection is allowed too."""
    client.send(data, wire.SYNC, wire.SYNC)
    seen = []
    try:
        while not seen or seen[-1].kind != "Z":
            seen.append(client.receive())
    except wire.Gone:
        pass
    errors = [m for m in seen if m.kind == "E"]
    assert errors, seen
    assert errors[0].sqlstate in ("08P01", "26000", "22021"), errors[0].fields()
    still_serves(proxy)


def test_a_message_larger_than_max_packet_size_is_refused(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, max_packet_size=100_000)
    c = p.raw()
    c.startup()
    assert c.simple("SELECT '" + "x" * 90_000 + "'").kinds == "TDCZ"
    c.send(frame("Q", 200_000, b"SELECT 1"))
    e = c.expect_closed()[-1]
    assert e.kind == "E" and e.sqlstate in ("08P01", "54000")
    still_serves(p)


def test_a_statement_of_8_MB_passes_whole(run_pgusher, server):
    p = run_pgusher({"app": server.connstr})
    c = p.raw()
    c.startup()
    text = "SELECT '" + "x" * 8_000_000 + "' /* the end */"
    sender = threading.Thread(target=c.send, args=(wire.query(text),))  # more than what lies between may hold
    sender.start()
    m = server.accept().until("the end")
    sender.join()
    assert m.text == text


def test_messages_may_come_byte_by_byte(client):
    for b in wire.parse("SELECT 1") + wire.bind() + wire.describe() + wire.execute() + wire.SYNC:
        client.send(bytes([b]))
    assert client.until_ready().kinds == "12TDCZ"


def test_an_empty_query_is_answered_as_such(client):
    assert client.simple("").kinds == "IZ"
    assert client.simple("  ;  ").kinds == "IZ"
    assert client.extended("").kinds in ("12nIZ",)


def test_sync_alone_is_answered(client):
    client.send(wire.SYNC)
    assert client.until_ready().kinds == "Z"


def test_three_syncs_get_three_readies(client):
    client.send(wire.SYNC, wire.SYNC, wire.SYNC)
    assert client.until_ready(3).kinds == "ZZZ"


def test_copy_data_outside_copy_is_dropped_quietly(client):
    """PostgreSQL discards stray copy messages: a client may have sent them before it saw the error."""
    client.send(wire.copy_data(b"1\n"), wire.COPY_DONE, wire.copy_fail("x"))
    assert client.simple("SELECT 1").kinds == "TDCZ"


def test_execute_of_an_unknown_portal_is_an_error_of_that_batch(client):
    client.send(wire.bind("missing"), wire.execute(), wire.SYNC)
    answer = client.until_ready()
    assert answer.kinds == "EZ" and answer.sqlstate == "26000"
    assert client.simple("SELECT 1").kinds == "TDCZ"


def test_a_function_call_is_answered(client):
    client.send(wire.message("F", struct.pack("!IHHH", 89, 0, 0, 0)))
    answer = client.until_ready()
    assert answer.kinds in ("VZ", "EZ") or answer.messages[-1].fields().get("S") == "FATAL"


def test_terminate_closes(proxy, client):
    client.send(wire.TERMINATE)
    assert client.expect_closed() == []
    still_serves(proxy)


VANISH = {
    "idle": b"",
    "in a header": b"Q\0\0",
    "in a query": wire.query("SELECT 1")[:-3],
    "after a query": wire.query("SELECT 1"),
    "after parse": wire.parse("SELECT 1"),
    "before sync": wire.parse("SELECT 1") + wire.bind() + wire.execute(),
    "in a transaction": wire.query("BEGIN") + wire.query("SELECT 1"),
    "in many queries": wire.query("SELECT 1") * 50,
    "in a statement of 1 MB": frame("Q", 1_000_000, b"SELECT '" + b"x" * 300_000),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("data", VANISH.values(), ids=VANISH.keys())
def test_a_client_that_vanishes_gives_everything_back(proxy, data, how):
    still_serves(proxy)
    with proxy.raw() as probe:
        probe.startup(user="boss", database="pgbouncer")
        base = proxy.process.fds()
        for _ in range(8):
            c = proxy.raw()
            c.startup()
            if data:
                c.send(data)
            getattr(c, how)()
        still_serves(proxy)

        def settled():
            pools = [p for p in probe.simple("SHOW POOLS").dicts() if p["database"] == "app"]
            busy = sum(int(p["cl_active"]) + int(p["cl_waiting"]) + int(p["sv_active"]) for p in pools)
            return busy == 0

        wait_for("clients and servers to be given back", settled)
        # servers may have been opened or replaced; at most pool_size of them, and no client is left
        wait_for("descriptors to be closed", lambda: proxy.process.fds() <= base + 3)
    still_serves(proxy)
