"""Passwords that PAM and LDAP check, away from the loops that serve clients."""

import os
import pathlib

import psycopg
import pytest

from harness import wire
from harness.fake_ldap import FakeLdap
from harness.process import give_away, wait_for

ENTRIES = {"uid=ann,dc=x": ("right", {"uid": "ann", "mail": "ann@example.com"}),
           "uid=bob,dc=x": ("builder", {"uid": "bob", "mail": "bob@example.com"}),
           "uid=bob2,dc=x": ("builder", {"uid": "bob2", "mail": "bob@example.com"}),
           "cn=search,dc=x": ("finder", {})}


@pytest.fixture
def ldap():
    with FakeLdap(ENTRIES) as directory:
        yield directory


@pytest.fixture
def run(run_pgusher, polite_server, folder):
    def start(options, **more):
        return run_pgusher({"app": polite_server.connstr}, users={},
                           **{"auth_type": "ldap", "auth_ldap_options": options, **more})

    return start


def login(p, user, password):
    return p.connect(user=user, password=password).execute("SELECT 1").fetchone() == ("1",)


def refused(p, user, password, match="password authentication failed"):
    with pytest.raises(psycopg.OperationalError, match=match):
        p.connect(user=user, password=password)


def test_a_dn_made_from_the_name(run, ldap):
    p = run(f'ldapserver=127.0.0.1 ldapport={ldap.port} ldapprefix="uid=" ldapsuffix=",dc=x"')
    assert login(p, "ann", "right")
    refused(p, "ann", "wrong")
    refused(p, "nobody", "right")
    refused(p, "ann,dc=x", "right")
    assert ldap.binds == [("uid=ann,dc=x", "right"), ("uid=ann,dc=x", "wrong"), ("uid=nobody,dc=x", "right"),
                          ("uid=ann\\2cdc\\3dx,dc=x", "right")]
    assert "right" not in p.log() and "wrong" not in p.log()


def test_an_empty_password_never_reaches_the_directory(run, ldap):
    """A directory takes a bind without a password for nobody's, and lets it in."""
    p = run(f"ldapserver=127.0.0.1 ldapport={ldap.port} ldapprefix=uid= ldapsuffix=,dc=x")
    with p.raw() as c:
        c.send(wire.startup(user="ann", database="app"))
        assert c.receive().body == b"\0\0\0\3"
        c.send(wire.message("p", b"\0"))
        assert c.expect_closed()[-1].sqlstate == "28P01"
    assert ldap.binds == []


def test_a_search_finds_the_dn(run, ldap):
    p = run(f'ldapurl="ldap://127.0.0.1:{ldap.port}/dc=x?mail?sub" ldapbinddn=cn=search,dc=x ldapbindpasswd=finder')
    assert login(p, "ann@example.com", "right")
    assert ldap.binds == [("cn=search,dc=x", "finder"), ("uid=ann,dc=x", "right")]
    refused(p, "ann@example.com", "wrong")
    refused(p, "nobody@example.com", "right")
    refused(p, "bob@example.com", "builder")
    refused(p, "*", "right")
    assert ldap.filters[-1] == "(mail=*)", "the star is a letter"
    log = p.log()
    assert "LDAP search: no entry for the user" in log and "more than one entry" in log
    assert "finder" not in log


def test_a_filter_of_ones_own(run, ldap):
    p = run(f'ldapserver=127.0.0.1 ldapport={ldap.port} ldapbasedn=dc=x '
            'ldapsearchfilter=(|(uid=$username)(mail=$username))')
    assert login(p, "bob2", "builder")
    assert login(p, "ann@example.com", "right")
    assert ldap.filters == ["(|(uid=bob2)(mail=bob2))", "(|(uid=ann@example.com)(mail=ann@example.com))"]


def test_the_searchers_wrong_password_is_not_the_users_fault(run, ldap):
    p = run(f"ldapserver=127.0.0.1 ldapport={ldap.port} ldapbasedn=dc=x ldapbinddn=cn=search,dc=x ldapbindpasswd=no")
    refused(p, "ann", "right", match="LDAP cannot be asked")
    assert "LDAP bind for the search: Invalid credentials" in p.log()


def test_a_directory_that_is_down(run, ldap):
    ldap.close()
    p = run(f"ldapserver=127.0.0.1 ldapport={ldap.port} ldapprefix=uid=")
    refused(p, "ann", "right", match="LDAP cannot be asked")
    assert "Can't contact LDAP server" in p.log()


@pytest.mark.parametrize("how", ["ldapscheme=ldaps", "ldaptls=1"])
@pytest.mark.parametrize("ca", ["ca", "other_ca"])
def test_a_password_goes_by_tls_or_not_at_all(run, certs, how, ca):
    with FakeLdap(ENTRIES, tls=certs.server(), ldaps="ldaps" in how) as directory:
        p = run(f"ldapserver=127.0.0.1 ldapport={directory.port} {how} ldapprefix=uid= ldapsuffix=,dc=x",
                env={"LDAPTLS_CACERT": str(certs.cert(ca))})
        if ca == "ca":
            assert login(p, "ann", "right")
            refused(p, "ann", "wrong")
            assert len(directory.binds) == 2
        else:
            refused(p, "ann", "right", match="LDAP cannot be asked")
            assert directory.binds == []
        assert directory.in_clear == 0


def test_a_directory_without_tls_gets_no_password(run, ldap):
    p = run(f"ldapserver=127.0.0.1 ldapport={ldap.port} ldaptls=1 ldapprefix=uid= ldapsuffix=,dc=x")
    refused(p, "ann", "right", match="LDAP cannot be asked")
    assert ldap.binds == [] and "LDAP StartTLS: Protocol error" in p.log()


def test_a_slow_directory_holds_nobody_else(run, ldap, folder):
    (folder / "hba").write_text("host app boss all trust\n"
                                f"host app all all ldap ldapserver=127.0.0.1 ldapport={ldap.port} ldapprefix=uid= "
                                'ldapsuffix=",dc=x"\n')
    give_away(folder / "hba")
    p = run(None, auth_type="hba", auth_hba_file=folder / "hba")
    ldap.gate.clear()
    waiting = [p.raw(timeout=20) for _ in range(6)]
    for c in waiting:
        c.send(wire.startup(user="ann", database="app"))
        assert c.receive().body == b"\0\0\0\3"
        c.send(wire.message("p", b"right\0"))
    assert ldap.asked.wait(10)
    with p.raw() as other:
        other.startup(user="boss")
        for _ in range(10):
            assert other.simple("SELECT 1").kinds == "TDCZ"
    before = p.process.fds()
    waiting.pop().reset()  # gone while its question is out or waits for a thread
    wait_for("its socket to be closed", lambda: p.process.fds() < before)
    ldap.gate.set()
    for c in waiting:
        assert c.until_ready().kinds.startswith("R")


def test_the_end_does_not_wait_for_a_directory(run, ldap):
    p = run(f"ldapserver=127.0.0.1 ldapport={ldap.port} ldapprefix=uid= ldapsuffix=,dc=x")
    ldap.gate.clear()
    c = p.raw()
    c.send(wire.startup(user="ann", database="app"))
    c.receive()
    c.send(wire.message("p", b"right\0"))
    assert ldap.asked.wait(10)
    p.stop(seconds=8)


@pytest.mark.parametrize("options,said", [
    ("", "auth_type: ldap needs auth_ldap_options"),
    ("ldapserver=x", "auth_ldap_options: ldap needs ldapbasedn"),
    ("ldapcolor=red", "auth_ldap_options: unknown LDAP option ldapcolor"),
])
def test_wrong_options_do_not_start(run, options, said):
    p = run(options, start=False)
    p.start(wait=False)
    assert p.process.wait() == 1
    assert said in p.log()
    p.process = None


# ---- PAM, with a service and a list of passwords of the test's own

SCRIPT = """#!/bin/sh
read -r password
[ "$PAM_USER:$password:$PAM_RHOST" = "ann:right:127.0.0.1" ]
"""


@pytest.fixture
def pam(run_pgusher, polite_server, folder, name):
    """Services live in /etc/pam.d, which takes root."""
    if os.geteuid() != 0:
        pytest.skip("only root may add a PAM service")
    service = pathlib.Path("/etc/pam.d") / f"pgusher-{name}"
    script = folder / "check"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    service.write_text(f"auth [success=1 default=ignore] pam_exec.so quiet expose_authtok {script}\n"
                       "auth requisite pam_deny.so\nauth required pam_permit.so\naccount required pam_permit.so\n")
    (folder / "hba").write_text(f"host app all all pam pamservice={service.name}\n")
    give_away(folder / "hba")
    yield run_pgusher({"app": polite_server.connstr}, users={}, auth_type="hba", auth_hba_file=folder / "hba")
    service.unlink()


def test_pam_knows_who_may_come(pam):
    assert login(pam, "ann", "right")
    refused(pam, "ann", "wrong")
    refused(pam, "bob", "right")
    log = pam.log()
    assert log.count('event=pam_refused reason="pam_authenticate: ') == 2
    assert "right" not in log and "wrong" not in log


def test_pam_may_know_the_password_and_refuse_the_account(pam, folder):
    service = next(pathlib.Path("/etc/pam.d").glob(pam.options["auth_hba_file"].read_text().split("pamservice=")[1].strip()))
    service.write_text(service.read_text().replace("account required pam_permit.so", "account required pam_deny.so"))
    refused(pam, "ann", "right")
    assert 'event=pam_refused reason="pam_acct_mgmt: ' in pam.log()


def test_pam_lets_nobody_in_without_a_service(run_pgusher, polite_server):
    """auth_type = pam asks the service pgbouncer; where there is none, Debian's "other" asks for a system user."""
    p = run_pgusher({"app": polite_server.connstr}, auth_type="pam", users={"ann": "right"})
    refused(p, "ann", "right", match="password authentication failed|PAM cannot be asked")
    assert "event=pam_refused" in p.log()
