"""TLS with clients: who gets it, who must have it, and what somebody on the way cannot slip in."""

import socket
import ssl
import struct
import threading

import pytest

from harness import wire
from harness.fake_server import FakeServer
from harness.process import wait_for

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def run(run_pgusher, polite_server, certs):
    def start(mode="require", **options):
        options.setdefault("client_tls_cert_file", certs.cert("server"))
        options.setdefault("client_tls_key_file", certs.key("server"))
        return run_pgusher({"app": polite_server.connstr}, client_tls_sslmode=mode, **options)

    return start


def serves(proxy, **how):
    with proxy.raw(**how) as c:
        c.startup()
        assert c.simple("SELECT 1").kinds == "TDCZ"
        return c.sock.version() if isinstance(c.sock, ssl.SSLSocket) else None


def refused(proxy, **how):
    """The handshake or the first read after it ends in an alert, or the connection in an error."""
    try:
        with proxy.raw(**how) as c:
            c.send(wire.startup(user="app", database="app"))
            m = c.receive()
            assert m.kind == "E", m
            return m.fields()["M"]
    except (ssl.SSLError, ConnectionError, wire.Gone) as e:
        return str(e)


def labels(proxy, **how):
    with proxy.raw(**how) as c:
        c.startup(user="boss", database="pgbouncer")
        return {r["user"]: r["tls"] for r in c.simple("SHOW CLIENTS").dicts()}


# ---- modes


@pytest.mark.parametrize("mode", ["allow", "prefer", "require"])
def test_a_client_that_asks_gets_tls(run, certs, mode):
    p = run(mode)
    assert serves(p, tls=certs.client()) == "TLSv1.3"
    assert labels(p, tls=certs.client())["boss"] == "TLSv1.3/TLS_AES_256_GCM_SHA384/ECDH=X25519"


@pytest.mark.parametrize("mode", ["allow", "prefer"])
def test_a_client_that_does_not_ask_is_served_without(run, mode):
    p = run(mode)
    assert serves(p) is None
    assert labels(p)["boss"] == ""


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_clear_text_is_refused_where_tls_is_required(run, certs, mode):
    p = run(mode, client_tls_ca_file=certs.ca)
    with p.raw() as c:
        c.send(wire.startup(user="app", database="app"))
        error, = c.expect_closed()
        assert (error.sqlstate, error.fields()["M"]) == ("28000", "SSL required")


def test_disable_answers_no(run):
    p = run("disable")
    with p.raw() as c:
        assert c.ask_for_tls() == b"N"
        c.startup()


def test_a_unix_socket_needs_no_tls(run):
    p = run("require")
    path = p.folder / f".s.PGSQL.{p.port}"
    with p.raw(path=path) as c:
        assert c.ask_for_tls() == b"N"
        c.startup()
    assert serves(p, path=path) is None


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_verify_lets_in_who_has_a_good_certificate(run, certs, mode):
    p = run(mode, client_tls_ca_file=certs.ca)
    for version in (V12, V13):
        assert serves(p, tls=certs.client("app", minimum_version=version, maximum_version=version))
        assert "alert" in refused(p, tls=certs.client(maximum_version=version))
        assert "unknown ca" in refused(p, tls=certs.client("stranger", maximum_version=version))
    assert "peer did not return a certificate" in p.log()
    assert "certificate verify failed: " in p.log()


def test_a_revoked_certificate_is_refused(run, certs):
    p = run("verify-ca", client_tls_ca_file=certs.ca, client_tls_crl_file=certs.crl)
    assert serves(p, tls=certs.client("app"))
    assert "revoked" in refused(p, tls=certs.client("revoked"))


def test_a_certificate_that_nobody_demands_is_not_looked_at(run, certs):
    p = run("require", client_tls_ca_file=certs.ca)
    assert serves(p, tls=certs.client("stranger"))


# ---- the way to TLS


def test_gssapi_is_refused_and_tls_still_possible(run, certs):
    p = run()
    with p.raw() as c:
        c.send(wire.special(wire.GSSENC_REQUEST))
        assert c.read(1) == b"N"
        c.secure(certs.client())
        c.startup()


def test_clear_text_behind_the_request_is_refused(run, certs):
    """CVE-2021-23214: else it would pass for the first thing that came by TLS."""
    p = run("allow")
    with p.raw() as c:
        c.send(wire.special(wire.SSL_REQUEST) + wire.startup(user="boss", database="pgbouncer"))
        error, = c.expect_closed()
        assert error.fields()["M"] == "received unencrypted data after SSL request"
    assert serves(p, tls=certs.client())


def test_clear_text_before_the_request_is_refused(run, certs):
    p = run()
    for before in (b"\0", wire.query("SELECT 1"), wire.special(wire.GSSENC_REQUEST)[:5]):
        with p.raw(timeout=3) as c:
            c.send(before + wire.special(wire.SSL_REQUEST))
            assert all(m.kind == "E" for m in c.expect_closed())
    assert serves(p, tls=certs.client())


def test_clear_text_after_the_answer_is_no_handshake(run, certs):
    p = run()
    with p.raw() as c:
        assert c.ask_for_tls() == b"S"
        c.send(wire.startup(user="app", database="app"))
        rest = b""
        while part := c.sock.recv(1000):
            rest += part
        assert rest[:1] in (b"", b"\x15"), rest  # an alert at most
    assert serves(p, tls=certs.client())


@pytest.mark.parametrize("code", [wire.SSL_REQUEST, wire.GSSENC_REQUEST])
def test_encryption_is_not_asked_for_twice(run, certs, code):
    p = run()
    with p.raw(tls=certs.client()) as c:
        c.send(wire.special(code))
        assert [m.kind for m in c.expect_closed()] == ["E"]


def test_a_handshake_may_come_byte_by_byte(run, certs):
    p = run()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certs.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with p.raw() as c:
        assert c.ask_for_tls() == b"S"
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
                tls.write(wire.startup(user="app", database="app"))  # with the last message of the handshake
            except ssl.SSLWantReadError:
                pass
            for b in outgoing.read():
                c.send(bytes([b]))
            if not done:
                incoming.write(c.sock.recv(70000))
        got = b""
        while not got.endswith(wire.ready()):
            incoming.write(c.sock.recv(70000))
            while True:
                try:
                    got += tls.read(70000)
                except ssl.SSLWantReadError:
                    break


def test_a_handshake_that_never_ends_is_ended(run):
    p = run(client_login_timeout=1)
    with p.raw() as c:
        assert c.ask_for_tls() == b"S"
        assert c.sock.recv(100) == b""


# ---- sslnegotiation=direct


def test_direct_tls_with_alpn(run, certs):
    p = run()
    tls = certs.client(alpn=["postgresql"])
    assert serves(p, tls=tls, direct=True) == "TLSv1.3"
    with p.raw(tls=tls) as c:  # asked for as well
        assert c.sock.selected_alpn_protocol() == "postgresql"


def test_direct_tls_without_alpn_is_refused(run, certs):
    p = run()
    assert "without ALPN" in refused(p, tls=certs.client(), direct=True)


@pytest.mark.parametrize("direct", [True, False])
def test_the_alpn_of_another_protocol_is_refused(run, certs, direct):
    p = run()
    assert "no application protocol" in refused(p, tls=certs.client(alpn=["http/1.1", "h2"]), direct=direct)


def test_direct_tls_comes_first_or_not_at_all(run, certs):
    p = run()
    with p.raw() as c:
        c.send(wire.special(wire.GSSENC_REQUEST))
        assert c.read(1) == b"N"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            c.secure(certs.client(alpn=["postgresql"]), direct=True)


def test_direct_tls_where_there_is_none_is_closed(run, certs):
    p = run("disable")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        p.raw(tls=certs.client(alpn=["postgresql"]), direct=True)
    assert serves(p) is None


# ---- versions, ciphers, curves


def test_protocols(run, certs):
    p = run(client_tls_protocols="tlsv1.3")
    assert serves(p, tls=certs.client()) == "TLSv1.3"
    assert "protocol version" in refused(p, tls=certs.client(maximum_version=V12))
    p = run(client_tls_protocols="secure, !tlsv1.3")
    assert serves(p, tls=certs.client()) == "TLSv1.2"


def test_ciphers_and_curves(run, certs):
    p = run(client_tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", client_tls13_ciphers="TLS_CHACHA20_POLY1305_SHA256",
            client_tls_ecdhcurve="secp384r1", client_tls_dheparams="none")
    assert labels(p, tls=certs.client())["boss"] == "TLSv1.3/TLS_CHACHA20_POLY1305_SHA256/ECDH=secp384r1"
    assert labels(p, tls=certs.client(maximum_version=V12))["boss"] == \
        "TLSv1.2/ECDHE-ECDSA-AES128-GCM-SHA256/ECDH=secp384r1"


def test_dhe(run, certs):
    keys = {"client_tls_cert_file": certs.cert("rsa"), "client_tls_key_file": certs.key("rsa")}
    old = certs.client(maximum_version=V12)
    old.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
    assert labels(run(**keys), tls=old)["boss"] == "TLSv1.2/DHE-RSA-AES256-GCM-SHA384"
    assert refused(run(client_tls_dheparams="none", **keys), tls=old)


BAD = {
    "client_tls_protocols": ("tlsv9", "expected secure, all"),
    "client_tls_ciphers": ("NOSUCH", "no cipher match"),
    "client_tls13_ciphers": ("NOSUCH", "no cipher match"),
    "client_tls_ecdhcurve": ("nosuch", "expected auto, none or curves"),
    "client_tls_dheparams": ("nosuch", "expected auto, legacy or none"),
    "client_tls_cert_file": ("/nonexistent.pem", "No such file"),
    "client_tls_key_file": ("/nonexistent.key", "No such file"),
    "client_tls_ca_file": ("/nonexistent.ca", "No such file"),
}


@pytest.mark.parametrize("option", BAD)
def test_a_bad_value_is_named_at_start(run, option):
    value, reason = BAD[option]
    p = run(**{option: value}, start=False)
    p.start(wait=False)
    assert p.process.wait(5) == 1
    assert f"{option} {value}: " in p.log() and reason in p.log()
    p.process = None


@pytest.mark.parametrize("key, reason", [("app", "key values mismatch"), ("ca.srl", "")])
def test_a_key_that_does_not_fit_is_named(run, certs, key, reason):
    path = certs.folder / "ca.srl" if key == "ca.srl" else certs.key(key)
    p = run(client_tls_key_file=path, start=False)
    p.start(wait=False)
    assert p.process.wait(5) == 1
    assert f"client_tls_key_file {path}: " in p.log() and reason in p.log()
    p.process = None


def test_modes_need_their_files(run):
    for mode, missing, more in (("allow", "client_tls_cert_file", {"client_tls_cert_file": None}),
                                ("require", "client_tls_key_file", {"client_tls_key_file": None}),
                                ("verify-ca", "client_tls_ca_file", {})):
        p = run(mode, start=False, **more)
        p.start(wait=False)
        assert p.process.wait(5) == 1
        assert f"{missing} must be set" in p.log()
        p.process = None


# ---- resumption


def resume(proxy, tls, session):
    with proxy.raw(tls=tls, session=session) as c:
        c.startup()
        c.simple("SELECT 1")
        return c.sock.session_reused, c.sock.session


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_a_session_is_resumed_until_the_certificate_changes(run, certs, version):
    p = run("verify-ca", client_tls_ca_file=certs.ca)
    tls = certs.client("app", minimum_version=version, maximum_version=version)
    reused, session = resume(p, tls, None)
    assert not reused
    reused, session = resume(p, tls, session)
    assert reused
    certs.install("renewed", "server")
    p.signal(1)
    wait_for("the reload", lambda: "event=reloaded" in p.log())
    reused, session = resume(p, tls, session)
    assert not reused
    assert resume(p, tls, session)[0]


# ---- records


class Raw:
    """A TLS client that sees its records."""

    def __init__(self, proxy, tls):
        self.client = proxy.raw()
        self.sock = self.client.sock
        assert self.client.ask_for_tls() == b"S"
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.received = bytearray()
        self.run(self.tls.do_handshake)

    def run(self, act):
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self.flush()
                part = self.sock.recv(1 << 20)
                assert part, "closed"
                self.received += part
                self.incoming.write(part)
                continue
            self.flush()
            return result

    def flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def until_ready(self):
        got = bytearray()
        while not got.endswith(wire.ready()):
            got += self.run(lambda: self.tls.read(1 << 20))
        return got

    def records(self):
        sizes, at = [], 0
        while at + 5 <= len(self.received):
            kind, _, size = struct.unpack_from("!BHH", self.received, at)
            sizes.append((kind, size))
            at += 5 + size
        assert at == len(self.received)
        return sizes


def test_large_results_fill_their_records(run_pgusher, certs):
    big = b"x" * 8_000_000
    with FakeServer() as server:
        p = run_pgusher({"app": server.connstr}, client_tls_sslmode="require",
                        client_tls_cert_file=certs.cert("server"), client_tls_key_file=certs.key("server"))
        c = Raw(p, certs.client())
        c.send(wire.startup(user="app", database="app"))
        c.until_ready()
        c.received.clear()
        c.send(wire.query("SELECT big"))
        s = server.accept()
        s.until("SELECT big")
        s.sock.settimeout(20)
        sender = threading.Thread(target=s.finish, args=(big,))  # more than what lies between the two may hold
        sender.start()
        got = c.until_ready()
        sender.join()
        assert got.count(b"x") == len(big)
        sizes = [size for kind, size in c.records() if kind == 23]
        full = sum(size == 16384 + 17 for size in sizes)
        assert full > 0.7 * len(sizes) and len(sizes) < 2 * len(big) / 16384, (full, len(sizes))


def test_a_client_that_does_not_read_is_not_buffered(run_pgusher, certs):
    with FakeServer() as server:
        p = run_pgusher({"app": server.connstr}, client_tls_sslmode="require",
                        client_tls_cert_file=certs.cert("server"), client_tls_key_file=certs.key("server"))
        with p.raw(tls=certs.client()) as c:
            c.startup()
            c.send(wire.query("SELECT much"))
            s = server.accept()
            s.until("SELECT much")
            s.send(wire.row_description("v"))
            row = wire.data_row(b"y" * 100_000)
            s.sock.settimeout(0.5)
            sent = 0
            with pytest.raises(TimeoutError):
                while sent < 1000:
                    s.sock.sendall(row)
                    sent += 1
            assert sent < 300  # sockets' own buffers, on loopback some megabytes each
            # ... and all of it arrives once it reads
            with pytest.raises(TimeoutError):
                c.sock.settimeout(0.5)
                while True:
                    c.skip(1 << 16)


def test_the_end_of_tls_is_the_end(run, certs):
    """close_notify behind a query: the query is answered to nobody, the connection is over, the rest goes on."""
    p = run()
    with p.raw(tls=certs.client()) as c:
        c.startup()
        c.send(wire.query("SELECT 1"))
        c.sock.settimeout(3)
        try:
            c.sock.unwrap()
        except (ssl.SSLError, OSError):
            pass  # an answer may come instead of the peer's own goodbye
    wait_for("the client to be gone", lambda: "unexpected eof" in p.log())
    assert serves(p, tls=certs.client())


def test_a_forged_record_ends_the_connection(run, certs):
    p = run()
    c = Raw(p, certs.client())
    c.send(wire.startup(user="app", database="app"))
    c.until_ready()
    c.sock.sendall(b"\x17\x03\x03\x00\x20" + b"f" * 32)
    while part := c.sock.recv(1000):
        assert wire.ready() not in part
    assert serves(p, tls=certs.client())


# ---- cancel, console, reload


def test_cancel_by_tls(run_pgusher, server, certs):
    p = run_pgusher({"app": server.connstr}, client_tls_sslmode="require",
                    client_tls_cert_file=certs.cert("server"), client_tls_key_file=certs.key("server"))
    with p.raw(tls=certs.client()) as c, p.raw(tls=certs.client()) as other:
        c.startup()
        c.send(wire.query("SELECT long"))
        s = server.accept()
        s.until("SELECT long")
        other.send(wire.cancel(c.pid, c.key))
        assert server.cancelled() == (s.pid, s.key)
        s.send(wire.error("57014", "canceling statement due to user request"), wire.ready())
        assert c.until_ready().sqlstate == "57014"


def serial(proxy, certs):
    with proxy.raw(tls=certs.client()) as c:
        return c.sock.getpeercert()["serialNumber"]


def test_a_renewed_certificate_is_used_after_reload_and_nobody_is_dropped(run, certs):
    p = run()
    with p.raw(tls=certs.client()) as old:
        old.startup()
        before = serial(p, certs)
        certs.install("renewed", "server")
        assert serial(p, certs) == before
        p.signal(1)
        wait_for("the new certificate", lambda: serial(p, certs) != before)
        assert old.simple("SELECT 1").kinds == "TDCZ"


def test_a_bad_file_keeps_all_of_the_old_configuration(run, certs):
    p = run()
    before = serial(p, certs)
    certs.cert("server").write_text("not a certificate\n")
    p.options["max_client_conn"] = 1
    p.write()
    with p.raw(tls=certs.client()) as c:
        c.startup(user="boss", database="pgbouncer")
        answer = c.simple("RELOAD")
        assert answer.sqlstate == "F0000" or answer.error
        assert c.simple("SHOW CONFIG").error is None
    reason = f"client_tls_cert_file {certs.cert('server')}: "
    wait_for("the reason", lambda: "event=reload_failed" in p.log() and reason in p.log())
    assert serial(p, certs) == before
    with p.raw(tls=certs.client()) as a, p.raw(tls=certs.client()) as b:
        a.startup()
        b.startup()


def test_tls_can_be_turned_on_and_off_by_reload(run, certs):
    p = run("disable")
    assert serves(p) is None
    for mode, works in (("require", True), ("disable", False)):
        p.options["client_tls_sslmode"] = mode
        p.write()
        count = p.log().count("event=reloaded")
        p.signal(1)
        wait_for("the reload", lambda: p.log().count("event=reloaded") > count)
        if works:
            assert serves(p, tls=certs.client())
        else:
            assert serves(p) is None


def test_handshakes_do_not_leak_what_they_hold(run, certs):
    """Half of them end in the middle; the sanitizer looks for what is left."""
    p = run()
    for _ in range(10):
        assert serves(p, tls=certs.client())
        with p.raw() as c:
            assert c.ask_for_tls() == b"S"
            c.send(b"\x16\x03\x01\x00\x50")
        c = socket.create_connection(("127.0.0.1", p.port))
        c.sendall(wire.special(wire.SSL_REQUEST))
        c.close()
