"""The extended protocol on the console, message by message."""

import struct

import pytest

from harness import wire


@pytest.fixture
def proxy(run_pgusher):
    return run_pgusher({"app": "host=127.0.0.1 port=1"})


@pytest.fixture
def console(proxy):
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    return c


def types_of(parameter_description):
    count, = struct.unpack_from("!H", parameter_description.body)
    return list(struct.unpack_from(f"!{count}I", parameter_description.body, 2))


def test_rows_are_described_once_and_come_in_text(console):
    answer = console.extended("SHOW LISTS")
    assert answer.kinds == "12T" + "D" * 14 + "CZ"
    assert answer.names == ["list", "items"] and answer.rows[0] == [b"databases", b"2"]
    assert answer.tags == ["SHOW"] and answer.status == "I"


def test_rows_come_in_binary_when_asked_for(console):
    answer = console.extended("SHOW LISTS", results=(1,))
    assert answer.rows[0] == [b"databases", b"\0\0\0\2"]
    answer = console.extended("SHOW TOTALS", results=(0, 1))
    assert answer.rows[0] == [b"total_server_assignment_count", b"\0" * 8]
    head = next(m for m in answer.messages if m.kind == "T")
    assert head.body[-2:] == b"\0\1"


def test_a_described_statement_tells_columns_and_parameters(console):
    console.send(wire.parse("SHOW STATE", "s"), wire.describe("S", "s"), wire.SYNC)
    answer = console.until_ready()
    assert answer.kinds == "1tTZ" and answer.names == ["key", "value"]
    console.send(wire.parse("KILL_CLIENT $1", "k", types=(20,)), wire.describe("S", "k"), wire.SYNC)
    answer = console.until_ready()
    assert answer.kinds == "1tnZ" and types_of(answer.messages[1]) == [20]


def test_columns_are_the_same_described_as_sent(console):
    for what in ("CLIENTS", "SERVERS", "SOCKETS", "ACTIVE_SOCKETS", "POOLS", "DATABASES", "USERS", "STATS", "LISTS",
                 "STATS_TOTALS", "STATS_AVERAGES", "TOTALS", "CONFIG", "MEM", "STATE", "DNS_HOSTS", "DNS_ZONES",
                 "VERSION", "PEERS", "PEER_POOLS", "NODES", "WORKERS", "SETTINGS", "CACHE", "CACHE_RULES", "PINS"):
        described = console.extended(f"SHOW {what}")
        simple = console.simple(f"SHOW {what}")
        assert described.error is None and described.names == simple.names, what
        assert [m.types() for m in described.messages if m.kind == "T"] == \
            [m.types() for m in simple.messages if m.kind == "T"]


def test_a_statement_runs_again_and_again(console):
    assert console.prepare("s", "SHOW VERSION").kinds == "1Z"
    for _ in range(3):
        assert console.run("s").kinds == "2DCZ"
    assert console.prepare("s", "SHOW STATE").sqlstate == "42P05"
    console.send(wire.close("S", "s"), wire.close("S", "unknown"), wire.SYNC)
    assert console.until_ready().kinds == "33Z"
    assert console.run("s").sqlstate == "26000"


def test_rows_by_portions(console):
    console.send(wire.parse("SHOW LISTS"), wire.bind(portal="p"), wire.execute("p", 5), wire.execute("p", 5),
                 wire.execute("p", 0), wire.execute("p", 0), wire.SYNC)
    assert console.until_ready().kinds == "12" + "DDDDDs" * 2 + "DDDDC" + "C" + "Z"
    console.send(wire.execute("p"), wire.SYNC)  # the portal ended with the Sync
    assert console.until_ready().sqlstate == "34000"


def test_portals_live_as_long_as_a_transaction_block(console):
    assert console.simple("BEGIN").status == "T"
    console.send(wire.parse("SHOW LISTS"), wire.bind(portal="p"), wire.execute("p", 5), wire.SYNC)
    assert console.until_ready().status == "T"
    console.send(wire.execute("p"), wire.SYNC)
    assert console.until_ready().kinds == "DDDDDDDDDCZ"
    assert console.extended("COMMIT").kinds == "12nCZ"
    console.send(wire.execute("p"), wire.SYNC)
    assert console.until_ready().sqlstate == "34000"


def test_an_error_skips_to_the_sync_and_no_further(console):
    console.send(wire.parse("SHOW NONSENSE"), wire.bind(), wire.execute(), wire.parse("SHOW VERSION"), wire.bind(),
                 wire.execute(), wire.SYNC, wire.parse("SHOW VERSION"), wire.bind(), wire.execute(), wire.SYNC)
    answer = console.until_ready(2)
    assert answer.kinds == "12EZ12DCZ"


@pytest.mark.parametrize("messages, sqlstate", [
    ((wire.bind("nothing"),), "26000"),
    ((wire.execute("nothing"),), "34000"),
    ((wire.describe("P", "nothing"),), "34000"),
    ((wire.describe("S", "nothing"),), "26000"),
    ((wire.parse("SHOW 'x"),), "42601"),
    ((wire.parse("SHOW POOLS; SHOW POOLS"),), "42601"),
    ((wire.parse("SHOW $1"),), "0A000"),
    ((wire.parse("KILL_CLIENT $1"), wire.bind()), "08P01"),
    ((wire.parse("KILL_CLIENT $1"), wire.bind(params=("1", "2"))), "08P01"),
    ((wire.parse("KILL_CLIENT $1"), wire.bind(params=(None,))), "22004"),
    ((wire.parse("KILL_CLIENT $1"), wire.bind(params=(b"a\0b",))), "22021"),
    ((wire.parse("KILL_CLIENT $1", types=(701,)), wire.bind(params=(b"12345678",), formats=(1,))), "0A000"),
    ((wire.parse("SHOW LISTS"), wire.bind(results=(0, 0, 0))), "08P01"),
    ((wire.parse("SHOW LISTS"), wire.bind(results=(7,))), "22023"),
    ((wire.message("P", b"\0"),), "08P01"),
    ((wire.message("B", b"\0"),), "08P01"),
    ((wire.message("E", b"\0"),), "08P01"),
    ((wire.message("D", b"X\0"),), "08P01"),
    ((wire.parse("x" * 70000),), "54000"),
])
def test_what_cannot_be_done_is_an_error_and_the_console_stays(console, messages, sqlstate):
    console.send(*messages, wire.SYNC)
    answer = console.until_ready()
    assert answer.sqlstate == sqlstate, answer
    assert console.extended("SHOW VERSION").kinds == "12TDCZ"


@pytest.mark.parametrize("kind, value", [(21, struct.pack("!h", 99)), (23, struct.pack("!i", 99)),
                                         (20, struct.pack("!q", 99)), (25, b"99")])
def test_binary_parameters_are_read(console, kind, value):
    answer = console.extended("SET default_pool_size = $1", (value,), (kind,), formats=(1,))
    assert answer.tags == ["SET default_pool_size=99"]


def test_many_requests_in_one_write(console):
    console.send(*[wire.parse("SHOW CLIENTS") + wire.bind() + wire.execute() + wire.SYNC for _ in range(200)])
    assert console.until_ready(200).kinds == "12DCZ" * 200


def test_nothing_is_an_empty_query(console):
    assert console.extended("").kinds == "12nIZ"
    assert console.extended("-- ping").kinds == "12nIZ"


def test_what_pgjdbc_says(console):
    """Its start-up, and what its connection pools ask, with unnamed statements and portals."""
    for sql in ("SET extra_float_digits = 3", "SET application_name = 'DataGrip 2025.1'",
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SELECT version()",
                "SHOW TRANSACTION ISOLATION LEVEL", "SELECT 1", "select current_database()"):
        answer = console.extended(sql)
        assert answer.error is None, (sql, answer)
    clients = console.simple("SHOW CLIENTS").dicts()
    assert [c["application_name"] for c in clients] == ["DataGrip 2025.1"]


def test_flush_brings_what_is_there(console):
    console.send(wire.parse("SHOW VERSION"), wire.FLUSH)
    assert console.receive().kind == "1"
    console.send(wire.bind(), wire.execute(), wire.FLUSH)
    assert [console.receive().kind for _ in range(3)] == ["2", "D", "C"]
    console.send(wire.SYNC)
    assert console.receive().kind == "Z"


def test_strict_refuses_as_pgbouncer_does(run_pgusher):
    proxy = run_pgusher({"app": "host=127.0.0.1 port=1"}, pgbouncer_compat="strict")
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    assert c.simple("NONSENSE").sqlstate == "08P01"
    c.send(wire.parse("SHOW VERSION"), wire.bind(), wire.execute(), wire.SYNC)
    errors = [m.fields() for m in c.expect_closed() if m.kind == "E"]
    assert [(e["S"], e["C"], e["M"]) for e in errors] == [
        ("ERROR", "08P01", "extended query protocol not supported by admin console"), ("FATAL", "08P01", "bad packet")]
