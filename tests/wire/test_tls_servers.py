"""TLS with servers: asked for, answered well and badly, checked as server_tls_sslmode says."""

import queue
import ssl

import pytest

from harness import wire
from harness.fake_server import FakeServer
from harness.process import give_away, wait_for


@pytest.fixture
def serve():
    """Fake servers: serve(tls=..., tls_answer=...)."""
    servers = []

    def start(**how):
        servers.append(FakeServer(polite=True, **how))
        return servers[-1]

    yield start
    for s in servers:
        s.close()


@pytest.fixture
def run(run_pgusher, certs):
    def start(server, mode, host="127.0.0.1", **options):
        options.setdefault("server_tls_ca_file", certs.ca if mode.startswith("verify") else None)
        return run_pgusher({"app": f"host={host} port={server.port} dbname=app"}, server_tls_sslmode=mode,
                           query_wait_timeout=5, **{"server_connect_timeout": 5, **options})

    return start


def label(p):
    """How the server that just answered was reached."""
    with p.raw() as c:
        c.startup()
        assert c.simple("SELECT 1").kinds == "TDCZ"
        with p.raw() as console:
            console.startup(user="boss", database="pgbouncer")
            return console.simple("SHOW SERVERS").dicts()[0]["tls"]


def failure(p):
    with p.raw() as c:
        c.send(wire.startup(user="app", database="app"))
        answer = c.until_ready()
        assert answer.sqlstate in ("08006", "08P01"), answer
        return answer.error.fields()["M"]


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_a_server_without_tls(run, serve, mode):
    s = serve()
    p = run(s, mode)
    if mode == "require":
        assert "has no TLS, which is required" in failure(p)
    else:
        assert label(p) == ""
        assert s.requests == (mode == "prefer")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
def test_a_server_with_tls(run, serve, certs, mode):
    s = serve(tls=certs.server())
    p = run(s, mode)
    assert label(p) == ("" if mode in ("disable", "allow") else "TLSv1.3/TLS_AES_256_GCM_SHA384/ECDH=X25519")
    assert len(s.all) >= 1


def test_openssl_that_cannot_be_set_up_fails_the_login_not_the_process(run, serve, certs, folder):
    """It is asked for the first time when a server says that it has TLS."""
    bad = folder / "openssl.cnf"
    bad.write_text("config_diagnostics = 1\nopenssl_conf = own\n[own]\nssl_conf = nowhere\n")
    give_away(bad)
    p = run(serve(tls=certs.server()), "require", env={"OPENSSL_CONF": str(bad)})
    for _ in range(2):
        assert "OpenSSL cannot be set up" in failure(p)
    assert p.process.alive()


def test_a_host_is_checked_by_its_name(run, serve, certs):
    assert label(run(serve(tls=certs.server()), "verify-full", host="localhost"))
    p = run(serve(tls=certs.server("elsewhere")), "verify-full", host="localhost")
    assert "certificate verify failed: hostname mismatch" in failure(p)


def test_an_address_is_checked_as_one(run, serve, certs):
    p = run(serve(tls=certs.server("elsewhere")), "verify-full")
    assert "certificate verify failed: IP address mismatch" in failure(p)
    assert label(run(serve(tls=certs.server("elsewhere")), "verify-ca"))


@pytest.mark.parametrize("name, reason", [("forged", "unable to get local issuer certificate"),
                                          ("expired", "certificate has expired")])
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_bad_certificate_is_refused(run, serve, certs, mode, name, reason):
    s = serve(tls=certs.server(name))
    assert f"certificate verify failed: {reason}" in failure(run(s, mode))
    assert s.all == []
    assert label(run(s, "require"))


def test_a_revoked_certificate_is_refused(run, serve, certs):
    s = serve(tls=certs.server("revoked"))
    assert label(run(s, "verify-ca"))
    assert "certificate revoked" in failure(run(s, "verify-ca", server_tls_crl_file=certs.crl))


def test_our_own_certificate_is_shown(run, serve, certs):
    s = serve(tls=certs.server(client_ca=certs.ca))
    assert label(run(s, "require", server_tls_cert_file=certs.cert("app"), server_tls_key_file=certs.key("app")))
    count = len(s.all)
    assert failure(run(s, "require"))  # by TLS 1.3 the refusal comes after the handshake
    assert len(s.all) == count


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-full"])
def test_clear_text_behind_the_answer_is_refused(run, serve, certs, mode):
    """CVE-2021-23222."""
    s = serve(tls=certs.server(), tls_answer=b"S" + wire.error("28000", "injected"))
    assert "sent clear text behind its answer" in failure(run(s, mode))
    assert s.all == []


@pytest.mark.parametrize("answer", [b"E" + wire.error("28000", "injected")[1:], b"X", b"\x16\x03\x03"])
@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_other_answers_end_the_login_and_their_words_are_not_passed_on(run, serve, mode, answer):
    s = serve(tls_answer=answer)
    assert "injected" not in failure(run(s, mode))


def test_prefer_goes_without_when_the_handshake_fails(run, serve, certs):
    """As libpq does; who minds says require."""
    old = certs.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    s = serve(tls=old)
    assert label(run(s, "prefer", server_tls_protocols="tlsv1.3")) == ""
    assert "TLS with" in failure(run(s, "require", server_tls_protocols="tlsv1.3"))


def test_ciphers_towards_servers(run, serve, certs):
    p = run(serve(tls=certs.server()), "require", server_tls13_ciphers="TLS_AES_128_GCM_SHA256")
    assert label(p).startswith("TLSv1.3/TLS_AES_128_GCM_SHA256/")
    p = run(serve(tls=certs.server()), "require", server_tls_protocols="tlsv1.2",
            server_tls_ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert label(p).startswith("TLSv1.2/ECDHE-ECDSA-AES128-GCM-SHA256/")


@pytest.mark.parametrize("words, version", [("tlsv1.2", "TLSv1.2"), ("secure", "TLSv1.3")])
def test_protocols_of_probes(run, serve, certs, words, version):
    spoken = queue.Queue()

    def log_in(session):
        spoken.put((session.startup["user"], session.sock.version()))
        session.welcome()

    run(serve(tls=certs.server(), login=log_in), "require", server_tls_protocols=words, monitor_user="monitor")
    assert spoken.get(timeout=30) == ("monitor", version)


def test_a_probe_does_not_speak_what_is_not_allowed(run, serve, certs):
    old = certs.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    s = serve(tls=old)
    p = run(s, "require", server_tls_protocols="tlsv1.3", monitor_user="monitor")
    wait_for("it to fail", lambda: "event=node_down" in p.log())
    assert s.all == []


def test_verify_needs_an_authority(run_pgusher, serve):
    p = run_pgusher({"app": serve().connstr}, server_tls_sslmode="verify-ca", start=False)
    p.start(wait=False)
    assert p.process.wait(5) == 1
    assert "server_tls_ca_file must be set" in p.log()
    p.process = None


def test_a_server_that_stops_in_the_handshake_times_out(run, serve):
    s = serve(tls_answer=b"S")  # and then reads clear text that never comes
    p = run(s, "require", server_connect_timeout=1)
    assert "connect timeout" in failure(p)
