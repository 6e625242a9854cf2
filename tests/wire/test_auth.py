"""SCRAM's messages out of order, garbled and cut short; and what an attacker may not learn."""

import base64
import struct

import pytest

from harness import wire


def verifier(password, salt=b"saltsaltsaltsalt", rounds=4096):
    import hashlib
    import hmac

    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hmac.new(salted, b"Client Key", "sha256").digest()
    stored = hashlib.sha256(client).digest()
    server = hmac.new(salted, b"Server Key", "sha256").digest()
    b = lambda x: base64.b64encode(x).decode()
    return f"SCRAM-SHA-256${rounds}:{b(salt)}${b(stored)}:{b(server)}"


@pytest.fixture
def proxy(run_pgusher, polite_server):
    return run_pgusher({"app": polite_server.connstr}, auth_type="scram-sha-256", client_login_timeout=5,
                       users={"alice": verifier("right"), "clear": "plain text"})


def ask(proxy, user="alice"):
    """Up to the list of mechanisms."""
    c = proxy.raw()
    c.send(wire.startup(user=user, database="app"))
    m = c.receive()
    assert m.kind == "R"
    code, = struct.unpack_from("!I", m.body)
    assert code == 10 and b"SCRAM-SHA-256\0" in m.body
    return c


def initial(text, mechanism="SCRAM-SHA-256"):
    data = text.encode() if isinstance(text, str) else text
    return wire.message("p", wire.cstr(mechanism) + struct.pack("!i", len(data)) + data)


def refused(c, *sqlstates):
    e = c.expect_closed()[-1]
    assert e.kind == "E" and e.fields()["S"] == "FATAL", e
    assert e.sqlstate in (sqlstates or ("28P01", "28000", "08P01", "0A000")), e.fields()
    return e


def login(proxy, user, password):
    return proxy.connect(user=user, password=password)


@pytest.mark.parametrize("user", ["clear", "nobody"])
@pytest.mark.parametrize("rounds", [4096, 1000])
def test_who_has_no_scram_secret_is_asked_for_scram_iterations(run_pgusher, polite_server, user, rounds):
    p = run_pgusher({"app": polite_server.connstr}, auth_type="scram-sha-256", scram_iterations=rounds,
                    users={"clear": "plain text"})
    c = ask(p, user)
    c.send(initial("n,,n=,r=abc"))
    assert c.receive().body[4:].decode().rpartition(",i=")[2] == str(rounds)
    login(p, "clear", "plain text")


BAD_FIRST = {
    "unknown mechanism": initial("n,,n=,r=abc", "SCRAM-SHA-1"),
    "plus without tls": initial("p=tls-server-end-point,,n=,r=abc", "SCRAM-SHA-256-PLUS"),
    "no gs2 header": initial("n=,r=abc"),
    "no nonce": initial("n,,n="),
    "empty nonce": initial("n,,n=,r="),
    "mandatory extension": initial("n,,m=x,n=,r=abc"),
    "garbage": initial(b"\xff\xfe\0\1"),
    "empty": initial(""),
    "length past the body": wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 5000) + b"n,,"),
    "negative length": wire.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", -7) + b"n,,"),
    "mechanism unterminated": wire.message("p", b"SCRAM-SHA-256"),
    "nothing": wire.message("p"),
    "a query": wire.query("SELECT 1"),
    "sync": wire.SYNC,
    "huge": struct.pack("!cI", b"p", 0x7FFFFFF0),
    "length 2": b"p\0\0\0\2",
    "not ascii nonce": initial("n,,n=,r=\x01\x02"),
}


@pytest.mark.parametrize("data", BAD_FIRST.values(), ids=BAD_FIRST.keys())
def test_a_bad_first_scram_message_is_refused(proxy, data):
    c = ask(proxy)
    c.send(data)
    refused(c)


BAD_FINAL = {
    "other nonce": lambda nonce: f"c=biws,r=other,p={'A' * 43}=",
    "no proof": lambda nonce: f"c=biws,r={nonce}",
    "short proof": lambda nonce: f"c=biws,r={nonce},p=AAAA",
    "proof not base64": lambda nonce: f"c=biws,r={nonce},p=!!!",
    "other binding": lambda nonce: f"c=eSws,r={nonce},p={'A' * 43}=",
    "wrong proof": lambda nonce: f"c=biws,r={nonce},p={'A' * 43}=",
    "nothing": lambda nonce: "",
    "zeros": lambda nonce: "\0" * 20,
}


@pytest.mark.parametrize("final", BAD_FINAL.values(), ids=BAD_FINAL.keys())
def test_a_bad_last_scram_message_is_refused(proxy, final):
    c = ask(proxy)
    c.send(initial("n,,n=,r=clientnonce"))
    m = c.receive()
    assert struct.unpack_from("!I", m.body)[0] == 11
    nonce = m.body[4:].decode().split(",")[0][2:]
    assert nonce.startswith("clientnonce") and len(nonce) > len("clientnonce") + 16
    c.send(wire.message("p", final(nonce).encode()))
    refused(c)


def test_the_right_password_logs_in(proxy):
    assert login(proxy, "alice", "right").execute("SELECT 1").fetchone() == ("1",)


def test_a_secret_in_clear_text_also_serves_scram(proxy):
    assert login(proxy, "clear", "plain text").execute("SELECT 1").fetchone() == ("1",)


@pytest.mark.parametrize("user,password", [("alice", "wrong"), ("alice", ""), ("clear", "x"), ("nobody", "right")])
def test_a_wrong_password_or_user_is_28P01(proxy, user, password):
    import psycopg

    with pytest.raises(psycopg.OperationalError) as e:
        login(proxy, user, password or "\u00a0")
    assert "28P01" in str(e.value.sqlstate or "") or "authentication failed" in str(e.value)
    assert "right" not in proxy.log() and "wrong" not in proxy.log()


def test_an_unknown_user_is_asked_like_a_known_one(proxy):
    def dialogue(user):
        c = ask(proxy, user)
        c.send(initial("n,,n=,r=clientnonce"))
        first = c.receive()
        salt = first.body[4:].decode().split(",")[1]
        nonce = first.body[4:].decode().split(",")[0][2:]
        c.send(wire.message("p", f"c=biws,r={nonce},p={'A' * 43}=".encode()))
        return first.body[:4], len(salt), refused(c, "28P01").fields()["M"].replace(user, "X"), salt

    known, unknown, again = dialogue("alice"), dialogue("nobody"), dialogue("nobody")
    assert known[:3] == unknown[:3]
    assert unknown[3] == again[3], "the made-up salt must not change"


@pytest.mark.parametrize("stage", ["mechanisms", "first"])
def test_a_client_that_vanishes_during_scram_leaves_nothing(proxy, stage):
    from harness.process import wait_for

    login(proxy, "alice", "right").close()
    before = proxy.process.fds()
    for _ in range(10):
        c = ask(proxy)
        if stage == "first":
            c.send(initial("n,,n=,r=clientnonce"))
            c.receive()
        c.reset()
    wait_for("the fds to be closed", lambda: proxy.process.fds() <= before)
    assert login(proxy, "alice", "right").execute("SELECT 1").fetchone() == ("1",)
