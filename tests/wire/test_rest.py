"""What a process takes before anybody asks it for anything is what its configuration needs."""

import os
import pathlib

import pytest

from harness.process import give_away


def libraries(p):
    return {pathlib.Path(line.split()[-1]).name for line in pathlib.Path(f"/proc/{p.pid}/maps").read_text().splitlines()
            if ".so" in line}


def loaded(p, name):
    return any(file.startswith(name) for file in libraries(p))


def reload(p):
    with p.raw() as console:
        console.startup(user="boss", database="pgbouncer")
        assert console.simple("RELOAD").error is None


ON_DEMAND = ["libpq", "libldap", "libpam", "libgnutls", "libkrb5"]


def test_libraries_that_nothing_asks_for_are_not_loaded(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr})
    assert p.connect().execute("SELECT 1").fetchone() == ("1",)
    assert not [name for name in ON_DEMAND if loaded(p, name)]


@pytest.mark.parametrize("library, options", [("libpq", {"monitor_user": "app"}), ("libpam", {"auth_type": "pam"})])
def test_those_that_an_option_needs_are_there_from_the_start(run_pgusher, polite_server, library, options):
    assert loaded(run_pgusher({"app": polite_server.connstr}, **options), library)


def test_a_reload_brings_what_it_needs(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr})
    p.options["auth_user"] = "app"
    p.write()
    reload(p)
    assert loaded(p, "libpq")


def test_openssl_is_not_set_up_where_no_secret_and_no_tls_is(run_pgusher, polite_server, folder):
    """Its configuration is a pipe that nobody writes to: who reads it waits for ever."""
    pipe = folder / "openssl.cnf"
    os.mkfifo(pipe)
    give_away(pipe)
    p = run_pgusher({"app": polite_server.connstr}, env={"OPENSSL_CONF": str(pipe)})
    assert p.connect().execute("SELECT 1").fetchone() == ("1",)
    reload(p)
    assert p.connect().execute("SELECT 1").fetchone() == ("1",)
