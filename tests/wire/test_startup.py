"""Before the login is over: garbage, absurd lengths, encryption requests, half-open clients, wrong names."""

import struct
import time

import pytest

from harness import wire
from harness.process import wait_for

CLOSED_OR_ERROR = "the connection must be closed"


@pytest.fixture
def proxy(run_pgusher, polite_server):
    return run_pgusher({"app": polite_server.connstr}, client_login_timeout=2)


def still_serves(proxy):
    with proxy.raw() as c:
        c.startup()
        assert c.simple("SELECT 1").kinds == "TDCZ"


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 64,
    "ones": b"\xff" * 64,
    "length 0": struct.pack("!II", 0, wire.PROTOCOL_3),
    "length 4": struct.pack("!II", 4, wire.PROTOCOL_3),
    "length 7": struct.pack("!II", 7, wire.PROTOCOL_3),
    "length 2 GB": struct.pack("!II", 0x7FFFFFFF, wire.PROTOCOL_3) + b"user\0app\0\0",
    "length 11 kB": struct.pack("!II", 11_000, wire.PROTOCOL_3) + b"user\0" + b"a" * 20_000,
    "negative length": struct.pack("!iI", -1, wire.PROTOCOL_3),
    "no terminator": struct.pack("!II", 17, wire.PROTOCOL_3) + b"user\0apps",
    "name without value": struct.pack("!II", 14, wire.PROTOCOL_3) + b"user\0\0",
    "unknown code": wire.special(0x04D20000 + 99),
    "protocol 9": wire.startup(code=9 << 16, user="app") + b"\0",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_before_startup_ends_that_connection_alone(proxy, data):
    c = proxy.raw()
    c.send(data)
    seen = c.expect_closed()
    assert all(m.kind == "E" and m.fields()["S"] == "FATAL" for m in seen), seen
    still_serves(proxy)


def test_a_startup_packet_may_come_byte_by_byte(proxy):
    c = proxy.raw()
    for b in wire.startup(user="app", database="app"):
        c.send(bytes([b]))
    assert c.until_ready().kinds.startswith("R")
    assert c.simple("SELECT 1").kinds == "TDCZ"


def test_a_query_may_ride_in_the_startup_packets_segment(proxy):
    c = proxy.raw()
    c.send(wire.startup(user="app", database="app"), wire.query("SELECT 1"))
    c.until_ready()
    assert c.until_ready().kinds == "TDCZ"


@pytest.mark.parametrize("code", [wire.SSL_REQUEST, wire.GSSENC_REQUEST], ids=["ssl", "gss"])
def test_encryption_requests_are_declined_and_startup_follows(proxy, code):
    c = proxy.raw()
    c.send(wire.special(code))
    assert c.read(1) == b"N"
    c.startup()
    assert c.simple("SELECT 1").kinds == "TDCZ"


def test_both_encryption_requests_in_turn_are_declined(proxy):
    c = proxy.raw()
    c.send(wire.special(wire.GSSENC_REQUEST))
    assert c.read(1) == b"N"
    c.send(wire.special(wire.SSL_REQUEST))
    assert c.read(1) == b"N"
    c.startup()


def test_endless_encryption_requests_are_cut_off(proxy):
    c = proxy.raw()
    with pytest.raises((wire.Gone, OSError)):
        for _ in range(50):
            c.send(wire.special(wire.SSL_REQUEST))
            if c.read(1) != b"N":
                raise wire.Gone("refused")
    still_serves(proxy)


def test_protocol_2_is_refused_with_a_message(proxy):
    c = proxy.raw()
    c.send(struct.pack("!II", 296, 2 << 16) + b"app".ljust(64, b"\0") + b"app".ljust(32, b"\0") + b"\0" * 192)
    assert b"V2 protocol" in c.sock.recv(4096)


# asked for: what NegotiateProtocolVersion says (None: it does not come), and the bytes of the cancel key
MINORS = {
    "3.0": (0, {}, None, 4),
    "3.0 with an option": (0, {"_pq_.option": "1"}, (0, ["_pq_.option"]), 4),
    "3.1": (1, {}, None, 4),
    "3.2": (2, {}, None, 32),
    "3.2 with options": (2, {"_pq_.a": "1", "_pq_.b": ""}, (2, ["_pq_.a", "_pq_.b"]), 32),
    "3.3": (3, {}, (2, []), 32),
    "3.9999": (9999, {"_pq_.grease": "x"}, (2, ["_pq_.grease"]), 32),
}


@pytest.mark.parametrize("what", MINORS)
@pytest.mark.parametrize("database", ["app", "pgbouncer"])
def test_the_newest_minor_protocol_that_both_know_is_spoken(proxy, what, database):
    minor, options, negotiated, key_size = MINORS[what]
    c = proxy.raw()
    answer = c.startup(user="boss", database=database, code=wire.PROTOCOL_3 + minor, **options)
    first = answer.messages[0]
    if negotiated is None:
        assert first.kind == "R"
    else:
        assert first.kind == "v", "NegotiateProtocolVersion comes first"
        version, count = struct.unpack_from("!II", first.body)
        names = [n.decode() for n in first.body[8:].split(b"\0")[:-1]]
        assert (version, count, names) == (wire.PROTOCOL_3 + negotiated[0], len(negotiated[1]), negotiated[1])
    key = next(m.body for m in answer.messages if m.kind == "K")
    assert len(key) == 4 + key_size
    assert answer.status == "I"


def test_an_unknown_database_is_3D000(proxy):
    c = proxy.raw()
    c.send(wire.startup(user="app", database="nowhere"))
    e = c.expect_closed()[-1]
    assert (e.kind, e.sqlstate, e.fields()["S"]) == ("E", "3D000", "FATAL")
    assert "no such database: nowhere" in e.fields()["M"]


def test_a_startup_without_user_is_refused(proxy):
    c = proxy.raw()
    c.send(wire.startup(database="app"))
    e = c.expect_closed()[-1]
    assert e.kind == "E" and e.sqlstate in ("28000", "08P01")


def test_the_database_defaults_to_the_users_name(proxy):
    c = proxy.raw()
    c.send(wire.startup(user="app"))
    assert c.until_ready().status == "I"


def test_the_login_reports_the_servers_parameters_and_a_key(proxy):
    c = proxy.raw()
    c.startup()
    assert c.parameters["server_encoding"] == "UTF8"
    assert c.parameters["server_version"].startswith("15")
    assert c.parameters["standard_conforming_strings"] == "on"
    assert c.pid is not None and c.key is not None


def test_two_clients_get_different_cancel_keys(proxy):
    with proxy.raw() as a, proxy.raw() as b:
        a.startup()
        b.startup()
        assert (a.pid, a.key) != (b.pid, b.key)


@pytest.mark.parametrize("first", [b"", b"\0\0", wire.startup(user="app", database="app")[:12]],
                         ids=["nothing", "two bytes", "half a packet"])
def test_a_half_open_client_is_sent_away_after_client_login_timeout(run_pgusher, polite_server, first):
    proxy = run_pgusher({"app": polite_server.connstr}, client_login_timeout=2, tcp_defer_accept=0)
    c = proxy.raw()
    begin = time.monotonic()
    c.send(first)
    seen = c.expect_closed()
    took = time.monotonic() - begin
    assert 1.0 < took < 5.0
    assert all("client_login_timeout" in m.fields()["M"] for m in seen)
    still_serves(proxy)


@pytest.mark.parametrize("size", [0, 1, 4, 7, 8, 12, 20])
def test_a_client_that_vanishes_during_startup_leaves_nothing(proxy, size):
    still_serves(proxy)
    before = proxy.process.fds()
    for _ in range(20):
        c = proxy.raw()
        c.send(wire.startup(user="app", database="app")[:size])
        c.reset() if size % 2 else c.close()
    wait_for("the fds to be closed", lambda: proxy.process.fds() <= before)
    still_serves(proxy)


def test_more_clients_than_max_client_conn_get_53300(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, max_client_conn=3)
    kept = [p.raw() for _ in range(3)]
    for c in kept:
        c.startup()
    c = p.raw()
    c.send(wire.startup(user="app", database="app"))
    e = c.expect_closed()[-1]
    assert e.sqlstate == "53300"
    assert "no more connections allowed (max_client_conn)" in e.fields()["M"]
    kept.pop().close()

    def welcome():
        with p.raw() as again:
            again.send(wire.startup(user="app", database="app"))
            return again.receive().kind == "R"

    wait_for("room for one more", welcome)


def test_clients_that_are_logging_in_count_in_max_client_conn(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, max_client_conn=2)
    startup = wire.startup(user="app", database="app")
    early = p.raw()
    early.send(startup[:9])
    wait_for("it to be seen", lambda: logins(p) == 1)
    kept = p.raw()
    kept.startup()
    late = p.raw()
    late.send(startup)
    assert late.expect_closed()[-1].sqlstate == "53300"
    assert p.console("SHOW LISTS")  # takes no place, and finds none needed
    early.send(startup[9:])
    early.until_ready()  # who came in time has its place
    early.close()
    wait_for("the place to be free", lambda: logs_in(p))


def logs_in(p):
    with p.raw() as c:
        c.send(wire.startup(user="app", database="app"))
        return c.receive().kind == "R"


def logins(p):
    return int({r["list"]: r["items"] for r in p.console("SHOW LISTS")}["login_clients"])


def test_a_silent_client_is_accepted_at_once_only_without_tcp_defer_accept(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr})
    waiting = p.raw()
    assert logins(p) == 0  # the console came later and has been accepted
    p.console("SET tcp_defer_accept = 0")
    at_once = p.raw()
    wait_for("it to be accepted", lambda: logins(p) == 1)
    for c in (waiting, at_once):
        c.startup()


def test_login_notify_message_is_told_before_the_first_ready(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, login_notify_message="this is pgusher, mind the pooling mode")
    c = p.raw()
    c.send(wire.startup(user="app", database="app"))
    seen = c.until_ready().messages
    assert [m.kind for m in seen[:2]] == ["R", "N"]
    told = seen[1].fields()
    assert (told["S"], told["C"], told["M"]) == ("NOTICE", "00000", "this is pgusher, mind the pooling mode")
    p.console("SET login_notify_message = ''")
    c = p.raw()
    c.send(wire.startup(user="app", database="app"))
    assert "N" not in [m.kind for m in c.until_ready().messages]


@pytest.mark.parametrize("size", [1, 2000, 9000])
def test_startup_parameters_may_be_long(proxy, size):
    c = proxy.raw()
    c.startup(application_name="a" * size)
    assert c.simple("SELECT 1").kinds == "TDCZ"


@pytest.mark.parametrize("how", ["refused", "closed at once", "error"])
def test_a_server_that_does_not_let_us_in_is_reported_not_hung_on(run_pgusher, server, how):
    if how == "refused":
        server.stop_listening()
    elif how == "closed at once":
        server.login = lambda s: s.close()
    else:
        server.login = lambda s: s.send(wire.error("53300", "sorry, too many clients already", "FATAL"))
    p = run_pgusher({"app": server.connstr}, server_login_retry=1, query_wait_timeout=3)
    c = p.raw()
    c.send(wire.startup(user="app", database="app"), wire.query("SELECT 1"))
    seen = []
    try:
        while not any(m.kind == "E" for m in seen):
            seen.append(c.receive())
    except wire.Gone:
        pass
    e = seen[-1]
    assert e.kind == "E" and e.sqlstate in ("08006", "08001", "08004", "53300", "57014"), seen
    if how == "error":
        assert "too many clients" in e.fields()["M"]
    with p.raw() as console:
        console.startup(user="boss", database="pgbouncer")
        assert console.simple("SHOW VERSION").kinds == "TDCZ"


def test_a_server_that_answers_the_probes_nonsense_is_left_out_not_died_of(run_pgusher, polite_server):
    """What the monitor reads comes from outside too: one row of one column, whatever it asks."""
    p = run_pgusher({"app": polite_server.connstr}, monitor_user="app", cache="memory", read_write_split="on",
                    sections={"cache:x": {"tables": "t", "ttl": "1h"}})
    asked = lambda: any("WITH" in t for s in polite_server.all for t in s.texts())  # the catalog's fingerprint
    wait_for("roles and catalog to have been asked for", asked)
    for _ in range(20):
        assert p.console("SHOW VERSION")
    assert p.process.alive()
