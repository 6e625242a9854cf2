"""auth_hba_file and auth_ident_file: who is asked for what, who is not let in, and files that are wrong."""

import subprocess
import time

import psycopg
import pytest

from harness import wire
from harness.process import as_user, give_away, wait_for

USERS = {"alice": "right", "bob": "builder", "root": ""}


@pytest.fixture
def run(run_pgusher, polite_server, folder):
    def start(rules, maps=None, **more):
        files = {"auth_hba_file": folder / "hba.conf"}
        (folder / "hba.conf").write_text(rules)
        give_away(folder / "hba.conf")
        if maps is not None:
            files["auth_ident_file"] = folder / "ident.conf"
            (folder / "ident.conf").write_text(maps)
            give_away(folder / "ident.conf")
        line = polite_server.connstr
        return run_pgusher({"app": line, "other": line, "alice": line}, auth_type="hba", users=USERS,
                           **{**files, **more})

    return start


def asked(proxy, user, database="app", **more):
    """The code of the first authentication request, or the error instead."""
    with proxy.raw(**more) as c:
        c.send(wire.startup(user=user, database=database))
        m = c.receive()
        return int.from_bytes(m.body[:4], "big") if m.kind == "R" else m.fields()


def unix(proxy):
    return {"path": proxy.folder / f".s.PGSQL.{proxy.port}"}


def test_each_rule_has_its_method(run):
    p = run("""
host app      alice 127.0.0.1/32 scram-sha-256   # SASL
host other    alice 127.0.0.0 255.0.0.0 md5
host sameuser all   all password
host app      bob   all reject
host app      boss  all trust
local all     all       trust
""")
    assert asked(p, "alice") == 10
    assert asked(p, "alice", "other") == 5
    assert asked(p, "alice", "alice") == 3
    assert asked(p, "boss") == 0
    assert asked(p, "alice", **unix(p)) == 0
    e = asked(p, "bob")
    assert e["C"] == "28000" and e["M"].startswith("login rejected: auth_hba_file rejects it"), e


def test_who_has_no_rule_is_told_so(run):
    p = run("host app alice 10.0.0.0/8 trust\n")
    e = asked(p, "alice")
    assert e["C"] == "28000"
    assert e["M"] == ('login rejected: no entry in auth_hba_file for host "127.0.0.1", user "alice", '
                      'database "app", no encryption')
    assert "no entry in auth_hba_file" in asked(p, "alice", **unix(p))["M"]
    assert "event=login_rejected hba_line=0" in p.log()


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
def test_the_password_is_checked_by_the_rules_method(run, method):
    p = run(f"host all all all {method}\n")
    assert p.connect(user="alice", password="right").execute("SELECT 1").fetchone() == ("1",)
    for user, password in (("alice", "wrong"), ("nobody", "right")):
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            p.connect(user=user, password=password)


def test_a_trusted_user_must_be_known(run):
    p = run("host all all all trust\n")
    assert asked(p, "alice") == 0
    assert asked(p, "nobody")["C"] == "28P01"


def test_hostssl_lines_are_not_for_clear_text(run):
    p = run("hostssl app all all trust\nhostnossl app all all scram-sha-256\n")
    assert asked(p, "alice") == 10


def test_own_addresses_and_networks(run):
    p = run("host app all samehost password\nhost app all samenet md5\nhostgssenc all all all trust\n")
    assert asked(p, "alice") == 3
    assert asked(p, "alice", source="127.9.9.9") == 5
    assert asked(p, "alice", "other")["C"] == "28000"  # nobody comes by GSSAPI


def test_the_console_has_rules_too(run):
    p = run("host pgbouncer boss all trust\nhost all all all scram-sha-256\n")
    assert p.console("SHOW VERSION")
    assert asked(p, "alice", "pgbouncer") == 10


def test_peer_takes_the_systems_user(run):
    """The tests run as root, or as somebody who may not be in the list."""
    import getpass

    me = getpass.getuser()
    p = run("local app all peer map=office\nlocal other all peer\n",
            f"office {me} alice\noffice /^{me[0]}(.*)$ \\1\n")
    assert asked(p, "alice", **unix(p)) == 0
    e = asked(p, "bob", **unix(p))
    assert e["C"] == "28000" and e["M"] == 'Peer authentication failed for user "bob"'
    assert asked(p, "alice", "other", **unix(p))["C"] == "28000"
    assert f"event=peer_refused system_user={me} map=office" in p.log()


def test_peer_knows_only_who_is_listed(run):
    import getpass

    me = getpass.getuser()
    p = run("local app all peer map=office\n", f"office {me} all\n")
    assert asked(p, "alice", **unix(p)) == 0
    assert asked(p, "stranger", **unix(p))["C"] == "28000"


def test_a_wrong_file_does_not_start(run):
    p = run("local all all trust\nhost all all 10.0.0.0/40 trust\n", start=False)
    p.start(wait=False)
    assert p.process.wait() == 1
    log = p.log()
    p.process = None
    assert "hba.conf:2: 10.0.0.0/40: expected 0 to 32 bits" in log


@pytest.mark.parametrize("rules,maps,said", [
    ("host all all all sasl\n", None, "hba.conf:1: sasl: expected method"),
    ("\nhost all all db.example.com trust\n", None, "hba.conf:2: db.example.com: host names are not supported here"),
    ("local all +staff trust\n", None, "hba.conf:1: +staff: roles' members"),
    ("local all @nobody_there trust\n", None, "hba.conf:1: @"),
    ("local all all peer map=x\n", "y a b\n", "hba.conf:1: map=x: auth_ident_file has no such map"),
    ("local all all trust\n", "y /( b\n", "ident.conf:1: regular expression (: "),
    (None, None, "No such file or directory"),
])
def test_a_wrong_file_on_reload_leaves_the_old_rules(run, folder, rules, maps, said):
    p = run("host app alice all scram-sha-256\nhost all all all trust\n", maps="y a b\n")
    if rules is None:
        (folder / "hba.conf").unlink()
    else:
        (folder / "hba.conf").write_text(rules)
    if maps is not None:
        (folder / "ident.conf").write_text(maps)
    with p.raw() as c:
        c.startup(user="boss", database="pgbouncer")
        answer = c.simple("RELOAD")
    assert answer.sqlstate == "F0000" and said in answer.error.fields()["H"]
    assert said in p.log()
    assert asked(p, "alice") == 10 and asked(p, "bob") == 0
    (folder / "hba.conf").write_text("host app alice all reject\nhost all all all trust\n")
    (folder / "ident.conf").write_text("")
    p.console("RELOAD")
    assert asked(p, "alice")["C"] == "28000" and asked(p, "bob") == 0


def test_names_come_from_files(run, folder):
    (folder / "friends").write_text("alice # and\nbob,\"carl x\"\n")
    give_away(folder / "friends")
    p = run("host app @friends all trust\nhost all boss all trust\n")
    assert asked(p, "bob") == 0
    assert asked(p, "app")["C"] == "28000"


def test_check_config_reads_the_files_that_are_named(run, folder):
    p = run("local all all trust\n", start=False)
    p.write()
    assert p.check().returncode == 0
    (folder / "hba.conf").write_text("local all all sasl\n")
    done = p.check()
    assert done.returncode == 1 and "hba.conf:1: sasl: expected method" in done.stderr
    (folder / "hba.conf").write_text("local all all trust\n")
    p.auth_file.write_text("boss\n")
    done = p.check()
    assert done.returncode == 1 and 'users-' in done.stderr and ':1: expected "user" in double quotes' in done.stderr


def test_hba_needs_its_file(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, auth_type="hba", start=False)
    p.start(wait=False)
    assert p.process.wait() == 1
    assert "auth_type: hba needs auth_hba_file" in p.log()
    p.process = None


# ---- the console of whoever runs the process


def psql_as_server(p, user="pgbouncer", database="pgbouncer"):
    return subprocess.run(as_user(["psql", "-X", "-w", "-At", "-h", str(p.folder), "-p", str(p.port), "-U", user, "-d",
                                   database, "-c", "SHOW LISTS", "-c", "RELOAD"]),
                          capture_output=True, text=True, timeout=20, cwd="/")


def test_who_runs_the_process_is_its_operator(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr, "pg": polite_server.connstr}, auth_type="scram-sha-256",
                    users={"pgbouncer": "x"}, admin_users="")
    done = psql_as_server(p)
    assert done.returncode == 0 and "used_clients" in done.stdout and "RELOAD" in done.stdout, done
    assert psql_as_server(p, user="boss").returncode != 0
    assert psql_as_server(p, database="app").returncode != 0


def test_others_are_not_the_operator(run_pgusher, polite_server):
    import os

    p = run_pgusher({"app": polite_server.connstr}, auth_type="scram-sha-256", users={"pgbouncer": "x"}, admin_users="")
    with p.raw() as c:  # over TCP
        c.send(wire.startup(user="pgbouncer", database="pgbouncer"))
        assert c.receive().body[:4] == b"\0\0\0\x0a"
    if os.geteuid() == 0:  # another system user
        with p.raw(**unix(p)) as c:
            c.send(wire.startup(user="pgbouncer", database="pgbouncer"))
            assert c.receive().body[:4] == b"\0\0\0\x0a"


def test_any_needs_a_forced_user(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr, "forced": polite_server.connstr + " user=app"}, auth_type="any")
    e = asked(p, "whoever")
    assert e["M"] == "bouncer config error"
    assert "auth_type=any requires forced user" in p.log()
    assert asked(p, "whoever", "forced") == 0
    assert p.console("SHOW VERSION", user="anybody")


# ---- failures take longer and longer


def fail_once(p):
    c = p.raw(timeout=20)
    c.send(wire.startup(user="alice", database="app"))
    c.receive()
    c.send(wire.message("p", b"wrong\0"))
    return c


def test_repeated_failures_wait_longer_and_right_passwords_do_not(run):
    p = run("host all all all password\n")
    waits = []
    for _ in range(4):
        start = time.monotonic()
        c = fail_once(p)
        assert c.expect_closed()[-1].sqlstate == "28P01"
        waits.append(time.monotonic() - start)
    assert waits[0] >= 0.05 and waits[1] >= 0.1 and waits[2] >= 0.2 and waits[3] >= 0.4, waits
    slow = fail_once(p)
    assert p.connect(user="alice", password="right").execute("SELECT 1").fetchone() == ("1",)
    slow.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        slow.sock.recv(1)
    slow.sock.settimeout(20)
    assert slow.expect_closed()[-1].sqlstate == "28P01"


def test_who_does_not_wait_for_the_refusal_leaves_nothing(run):
    p = run("host all all all password\n")
    before = p.process.fds()
    for _ in range(20):
        fail_once(p).reset()
    wait_for("the fds to be closed", lambda: p.process.fds() <= before)


def test_an_administrators_name_with_another_case_is_another_user(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, auth_type="trust", users={"BOSS": "", "boss": ""})
    with p.raw() as c:
        c.startup(user="boss", database="pgbouncer")
    with p.raw() as c:
        c.send(wire.startup(user="BOSS", database="pgbouncer"))
        while (m := c.receive()).kind == "R":
            pass
        assert m.kind == "E" and m.sqlstate == "42501", m
