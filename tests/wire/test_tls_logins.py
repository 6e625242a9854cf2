"""Logins that look at TLS: certificates, hostssl and hostnossl, SCRAM bound to the channel."""

import base64
import hashlib
import hmac
import os
import ssl
import struct

import pytest

from harness import wire
from harness.process import give_away


@pytest.fixture
def run(run_pgusher, polite_server, certs, folder):
    def start(mode="allow", rules=None, maps=None, **options):
        for option, text in (("auth_hba_file", rules), ("auth_ident_file", maps)):
            if text is not None:
                options[option] = folder / option
                options[option].write_text(text)
                give_away(options[option])
        if rules is not None:
            options["auth_type"] = "hba"
        options = {"client_tls_cert_file": certs.cert("server"), "client_tls_key_file": certs.key("server"),
                   "client_tls_ca_file": certs.ca, **options}
        return run_pgusher({"app": polite_server.connstr}, client_tls_sslmode=mode, **options)

    return start


def login(proxy, user="app", **how):
    """True, or the error's SQLSTATE and words."""
    with proxy.raw(**how) as c:
        c.send(wire.startup(user=user, database="app"))
        answer = c.until_ready()
        return (answer.sqlstate, answer.error.fields()["M"]) if answer.error else True


# ---- certificates


def test_auth_type_cert_takes_the_name_in_the_certificate(run, certs):
    p = run("verify-ca", auth_type="cert")
    assert login(p, "app", tls=certs.client("app")) is True
    assert login(p, "other", tls=certs.client("other")) is True
    for user in ("app", "postgres", "nobody"):
        assert login(p, user, tls=certs.client("other")) == \
            ("28000", f'certificate authentication failed for user "{user}"')
    assert 'common_name=other map=(none) known=no' in p.log()


def test_auth_type_cert_needs_certificates_to_be_checked(run):
    p = run("require", auth_type="cert", start=False)
    p.start(wait=False)
    assert p.process.wait(5) == 1
    assert "auth_type: cert needs client_tls_sslmode = verify-ca" in p.log()
    p.process = None


def test_a_rule_may_ask_for_a_certificate(run, certs):
    p = run(rules="hostssl all all 127.0.0.1/32 cert map=m\n", maps="m app boss\nm /^(.*)$ \\1\n")
    assert login(p, "app", tls=certs.client("app")) is True
    assert login(p, "boss", tls=certs.client("app")) is True
    assert login(p, "boss", tls=certs.client("other"))[0] == "28000"
    for stranger in ("stranger", None):
        assert login(p, "app", tls=certs.client(stranger))[0] == "28000"


def test_hostssl_and_hostnossl(run, certs):
    p = run(rules="hostssl all app all trust\nhostnossl all other all trust\n")
    assert login(p, "app", tls=certs.client()) is True
    assert login(p, "other") is True
    assert login(p, "app")[1].endswith("no encryption")
    assert login(p, "other", tls=certs.client())[1].endswith("SSL encryption")


# ---- SCRAM-SHA-256-PLUS


def b64(data):
    return base64.b64encode(data).decode()


class Scram:
    """A client of SCRAM that can do it wrong. flag: what client-first says of binding."""

    def __init__(self, client, user="app", password="secret"):
        self.client, self.user, self.password = client, user, password

    def mechanisms(self):
        self.client.send(wire.startup(user=self.user, database="app"))
        m = self.client.receive()
        assert m.kind == "R" and m.body[:4] == struct.pack("!I", 10), m
        return [s.decode() for s in m.body[4:].split(b"\0") if s]

    def run(self, mechanism, flag, binding=b"", header=None):
        """None when let in, or the error."""
        header = f"{flag},,"
        first = f"n=,r={b64(os.urandom(18))}"
        body = (header + first).encode()
        self.client.send(wire.message("p", wire.cstr(mechanism) + struct.pack("!i", len(body)) + body))
        m = self.client.receive()
        if m.kind == "E":
            return m.fields()
        server_first = m.body[4:].decode()
        nonce, salt, rounds = (part[2:] for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(salt), int(rounds))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c={b64(header.encode() + binding)},r={nonce}"
        signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{first},{server_first},{bare}".encode(),
                                "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.client.send(wire.message("p", f"{bare},p={b64(proof)}".encode()))
        answer = self.client.until_ready()
        return answer.error.fields() if answer.error else None


PLUS, PLAIN, P = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "p=tls-server-end-point"


@pytest.fixture
def scram(run, certs):
    """scram(tls=...): a login in the making."""
    p = run(auth_type="scram-sha-256", users={"app": "secret"})

    def start(tls=True):
        return Scram(p.raw(tls=certs.client() if tls else None))

    yield start


def end_point(certs, name="server"):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certs.cert(name).read_text())).digest()


def test_binding_is_offered_by_tls_only(scram):
    assert scram().mechanisms() == [PLUS, PLAIN]
    assert scram(tls=False).mechanisms() == [PLAIN]


def test_a_bound_login(scram, certs):
    s = scram()
    s.mechanisms()
    assert s.run(PLUS, P, end_point(certs)) is None
    assert s.client.simple("SELECT 1").kinds == "TDCZ"


def test_a_client_that_cannot_bind_needs_not(scram):
    for tls in (True, False):
        s = scram(tls)
        s.mechanisms()
        assert s.run(PLAIN, "n") is None


def test_the_binding_of_another_certificate_is_somebody_on_the_way(scram, certs):
    s = scram()
    s.mechanisms()
    error = s.run(PLUS, P, end_point(certs, "forged"))
    assert (error["C"], error["M"]) == ("28000", "SCRAM channel binding check failed")


def test_a_client_that_was_not_told_of_binding_is_warned(scram):
    """'y': it could, and believes that we cannot; but we said so. Somebody took it out of our list."""
    s = scram()
    s.mechanisms()
    error = s.run(PLAIN, "y")
    assert (error["C"], error["M"]) == ("28000", "SCRAM channel binding negotiation error")
    s = scram(tls=False)
    s.mechanisms()
    assert s.run(PLAIN, "y") is None


@pytest.mark.parametrize("mechanism, flag", [(PLUS, "n"), (PLUS, "y"), (PLAIN, P), (PLUS, "p=tls-unique"),
                                             (PLUS, "p="), (PLUS, "p")])
def test_mechanism_and_flag_must_fit(scram, certs, mechanism, flag):
    s = scram()
    s.mechanisms()
    assert s.run(mechanism, flag, end_point(certs))["S"] == "FATAL"


def test_binding_without_tls_is_refused(scram):
    s = scram(tls=False)
    s.mechanisms()
    assert s.run(PLUS, P, b"x" * 32)["S"] == "FATAL"


def test_wrong_passwords_are_wrong_when_bound(scram, certs):
    s = scram()
    s.password = "wrong"
    s.mechanisms()
    assert s.run(PLUS, P, end_point(certs))["C"] == "28P01"
