"""
The files that the configuration names: --check-config, a start and RELOAD find the same fault in each, say which option,
which file and why, and what is in force stays in force.
"""

import re
import shutil
import subprocess

import pytest

from harness import wire
from harness.process import forbid, give_away, wait_for

RULES = "hostssl app app all cert map=office\nhost all all all trust\n"
MAPS = "office app app\n"


@pytest.fixture
def proxy(run_pgusher, polite_server, certs, folder):
    """Every file that there can be, all in use."""
    for name, text in (("hba.conf", RULES), ("ident.conf", MAPS)):
        (folder / name).write_text(text)
        give_away(folder / name)
    for name in ("server", "app"):  # the other side's own copies
        for path in (certs.cert(name), certs.key(name)):
            shutil.copy2(path, path.with_name(f"to_servers_{path.name}"))
    for path in (certs.ca, certs.crl):
        shutil.copy2(path, path.with_name(f"of_servers_{path.name}"))
    for path in certs.folder.iterdir():
        give_away(path)
    own, theirs = certs.folder / "to_servers_app", certs.folder / "of_servers_ca"
    return run_pgusher({"app": polite_server.connstr}, auth_type="hba", auth_hba_file=folder / "hba.conf",
                       auth_ident_file=folder / "ident.conf", client_tls_sslmode="allow",
                       client_tls_cert_file=certs.cert("server"), client_tls_key_file=certs.key("server"),
                       client_tls_ca_file=certs.ca, client_tls_crl_file=certs.crl,
                       server_tls_cert_file=own.with_suffix(".pem"), server_tls_key_file=own.with_suffix(".key"),
                       server_tls_ca_file=theirs.with_suffix(".pem"), server_tls_crl_file=theirs.with_suffix(".crl"))


class Watched:
    """A proxy whose state must not change: who may log in, and by which certificate."""

    def __init__(self, proxy, certs):
        self.proxy, self.known, self.nobody = proxy, certs.client("app"), certs.client()
        self.console = proxy.raw()
        self.console.startup(user="boss", database="pgbouncer")
        self.before = self.state()

    def state(self):
        with self.proxy.raw(tls=self.known) as c:  # by certificate, map and lists
            c.startup()
            serial = c.sock.getpeercert()["serialNumber"]
        with self.proxy.raw(tls=self.nobody) as c:
            c.send(wire.startup(user="app", database="app"))
            return serial, c.receive().sqlstate, self.console.simple("SHOW CONFIG").rows

    def refuses(self, *words):
        said = len(self.proxy.log())
        answer = self.console.simple("RELOAD")
        assert answer.sqlstate == "F0000", words
        for text in (answer.error.fields()["H"], self.proxy.log()[said:]):
            assert all(w in text for w in words), (words, text)
        assert "event=reload_failed" in self.proxy.log()[said:]
        self.proxy.signal(1)
        wait_for("the reload by signal", lambda: self.proxy.log()[said:].count("event=reload_failed") == 2)
        done = self.proxy.check()
        assert done.returncode == 1 and all(w in done.stderr for w in words), (words, done)
        assert self.state() == self.before

    def accepts(self):
        assert self.console.simple("RELOAD").error is None
        done = self.proxy.check()
        assert done.returncode == 0, done


@pytest.fixture
def watched(proxy, certs):
    return Watched(proxy, certs)


OPTIONS = ["auth_file", "auth_hba_file", "auth_ident_file", "client_tls_cert_file", "client_tls_key_file",
           "client_tls_ca_file", "client_tls_crl_file", "server_tls_cert_file", "server_tls_key_file",
           "server_tls_ca_file", "server_tls_crl_file"]
NOT_A_FILE = {"auth_file": "expected a file", "auth_hba_file": "expected a file", "auth_ident_file": "expected a file"}
NONSENSE = {"auth_file": ':1: expected "user"', "auth_hba_file": ":1: nonsense: expected local",
            "auth_ident_file": ":1: nonsense: expected map name"}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_file_that_is_no_good_is_named_and_the_old_state_stays(watched, proxy, option):
    path = proxy.options[option]
    good = path.read_bytes()
    name = [path.name] if option.startswith("auth") else [option, path.name]

    path.unlink()
    watched.refuses(*name, "No such file")
    path.mkdir()
    watched.refuses(*name, NOT_A_FILE.get(option, ""))
    path.rmdir()
    path.write_text("nonsense\n")
    give_away(path)
    watched.refuses(*name, NONSENSE.get(option, ""))
    path.write_bytes(b"\0" + good)
    watched.refuses(*name)
    path.write_bytes(good)
    watched.accepts()
    forbid(path)
    watched.refuses(*name, "Permission denied")
    path.chmod(0o600)
    give_away(path)
    watched.accepts()


@pytest.mark.parametrize("side, name", [("client", "server"), ("server", "app")])
def test_a_pair_that_is_half_replaced_waits_for_its_other_half(watched, proxy, certs, side, name):
    cert, key = proxy.options[f"{side}_tls_cert_file"], proxy.options[f"{side}_tls_key_file"]
    shutil.copyfile(certs.cert("renewed"), cert)
    watched.refuses(f"{side}_tls_key_file {key}: ", "key values mismatch")
    shutil.copyfile(certs.key("renewed"), key)
    watched.accepts()
    assert (watched.state()[0] != watched.before[0]) == (side == "client")


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("file, missing", [("cert", "key"), ("key", "cert"), ("crl", "ca")])
def test_files_that_need_each_other(watched, proxy, side, file, missing):
    proxy.options[f"{side}_tls_{missing}_file"] = None
    proxy.write()
    watched.refuses(f"{side}_tls_{missing}_file must be set")


def test_a_key_with_a_password_is_refused_not_asked_about(watched, proxy, certs):
    from harness.certs import openssl

    openssl("ec", "-in", certs.key("server"), "-aes256", "-passout", "pass:secret", "-out", certs.key("server"))
    give_away(certs.key("server"))
    watched.refuses("client_tls_key_file", certs.key("server").name)


# ---- what else a start needs

STARTS = {
    "pidfile": (("{folder}/nowhere/its.pid", "No such file"), ("{folder}", "Is a directory"), ("/its.pid", "denied")),
    "logfile": (("{folder}/nowhere/its.log", "No such file"), ("{folder}", "Is a directory")),
    "unix_socket_dir": (("{folder}/nowhere", "No such file"), ("{folder}/a_file", "Not a directory"),
                        ("/" + "x" * 120, "too long")),
    "unix_socket_group": (("nobodys_group", "there is no group nobodys_group"),),
    "user": (("nobody_at_all", "there is no user nobody_at_all"),),
    "listen_addr": (("127.0.0.1, " + "x" * 70, "cannot resolve"),),
    "cache_secret_file": (("{folder}/nowhere/secret", "No such file"), ("{folder}/a_file", "at least 32 expected")),
}


@pytest.mark.parametrize("option", STARTS)
def test_check_config_finds_what_a_start_would(run_pgusher, polite_server, folder, option):
    (folder / "a_file").write_text("short")
    (folder / "a_file").chmod(0o600)
    give_away(folder / "a_file")
    for value, words in STARTS[option]:
        p = run_pgusher({"app": polite_server.connstr}, start=False, **{option: value.format(folder=folder)})
        p.start(wait=False)
        assert p.process.wait() == 1
        assert words in p.log() or words == "denied", p.log()
        p.process = None
        done = p.check()
        assert done.returncode == 1 and option in done.stderr and words in done.stderr, done


def test_check_config_leaves_nothing_and_disturbs_nobody(run_pgusher, polite_server, folder):
    """It is run while the process itself runs."""
    p = run_pgusher({"app": polite_server.connstr}, pidfile=folder / "its.pid", logfile=folder / "its.log", start=False)
    p.start(wait=False)
    wait_for("the start", lambda: (folder / "its.log").exists() and "event=started" in (folder / "its.log").read_text())
    c = p.raw()
    c.startup()
    files, log = sorted(folder.iterdir()), (folder / "its.log").read_text()
    done = p.check()
    assert done.returncode == 0 and "ok, 1 databases" in done.stdout and not done.stderr
    assert sorted(folder.iterdir()) == files and (folder / "its.log").read_text() == log
    assert c.simple("SELECT 1").kinds == "TDCZ"
    (folder / "its.pid").unlink()
    (folder / "its.log").unlink()
    p.options.update(pidfile=folder / "other.pid", logfile=folder / "other.log")
    p.write()
    assert p.check().returncode == 0 and not (folder / "other.pid").exists() and not (folder / "other.log").exists()


def test_a_redis_that_cannot_be_leaves_the_old_configuration(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr + " cache=redis"})
    before = p.console("SHOW CONFIG")
    p.options.update(redis_url="unix:///" + "x" * 120, default_pool_size=9)
    p.write()
    with p.raw() as c:
        c.startup(user="boss", database="pgbouncer")
        answer = c.simple("RELOAD")
        assert answer.sqlstate == "F0000" and "redis_url" in answer.error.fields()["H"]
    assert p.console("SHOW CONFIG") == before
    assert p.check().returncode == 1


# ---- libraries that only some configurations need

LIBRARIES = [("libpq", {"monitor_user": "app"}, "monitor_user"), ("libpq", {"auth_user": "app"}, "auth_user"),
             ("libpam", {"auth_type": "pam"}, "pam"),
             ("libldap", {"auth_type": "ldap", "auth_ldap_options": "ldapserver=127.0.0.1 ldapprefix=uid="}, "ldap")]


def hide(folder, name):
    """Where the loader looks first it finds an empty file by that name."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(rf"^\s+({name}[-.]\S*)", known, re.M))
    assert names
    (folder / "lib").mkdir()
    for file in names:
        (folder / "lib" / file).touch()
    return {"LD_LIBRARY_PATH": str(folder / "lib")}


@pytest.mark.parametrize("library, options, needs", LIBRARIES)
def test_a_missing_library_is_missed_by_who_needs_it_alone_and_at_the_start(run_pgusher, polite_server, folder, library,
                                                                            options, needs):
    p = run_pgusher({"app": polite_server.connstr}, env=hide(folder, library))
    assert p.check().returncode == 0
    assert p.connect().execute("SELECT 1").fetchone() == ("1",)
    p.stop()
    p.options.update(options)
    p.start(wait=False)
    assert p.process.wait() == 1
    told = p.log()
    p.process = None
    done = p.check()
    assert done.returncode == 1
    for text in (told, done.stderr):
        assert f"{needs} needs a library: " in text and library in text and "file too short" in text


def test_a_reload_that_needs_a_missing_library_changes_nothing(run_pgusher, polite_server, folder):
    p = run_pgusher({"app": polite_server.connstr}, env=hide(folder, "libldap"), auth_type="hba",
                    auth_hba_file=folder / "hba.conf", start=False)
    (folder / "hba.conf").write_text("host all all all trust\n")
    give_away(folder / "hba.conf")
    p.start()
    console = p.raw()
    console.startup(user="boss", database="pgbouncer")
    (folder / "hba.conf").write_text("host all all all ldap ldapserver=127.0.0.1 ldapprefix=uid=\n")
    assert "ldap needs a library: " in console.simple("RELOAD").error.fields()["H"]
    assert p.connect().execute("SELECT 1").fetchone() == ("1",)
