"""Signals, command line, and configuration files that are wrong."""

import os
import signal
import subprocess
import threading

import psycopg
import pytest

from harness import wire
from harness.pgusher import binary
from harness.process import as_user, give_away, wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)


def call(*argv):
    return subprocess.run(as_user([str(binary()), *map(str, argv)]), capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda s: s.name)
def test_each_stop_signal_ends_an_idle_proxy_with_status_0(proxy, how):
    proxy.connect().execute("SELECT 1")
    proxy.close_clients()
    proxy.signal(how)
    assert proxy.process.wait(10) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_signal_counts_from_the_first_accepted_connection(run_pgusher, cluster, how):
    """Who finds the port open may signal: the handlers must be there before it is."""
    for _ in range(5):
        p = run_pgusher({"app": cluster.primary.connstr}, start=False)
        p.start(wait=False)
        p.process.await_port(p.port)
        p.signal(how)
        if how == signal.SIGHUP:
            assert p.connect().execute("SELECT 1").fetchone() == (1,)
        else:
            assert p.process.wait(10) == 0


def test_sigterm_lets_transactions_finish(proxy):
    idle, busy = proxy.connect(), proxy.connect(autocommit=False)
    idle.execute("SELECT 1")
    busy.execute("SELECT 1")
    proxy.signal(signal.SIGTERM)
    wait_for("the door to be closed", lambda: refused(proxy))
    assert busy.execute("SELECT 2").fetchone() == (2,)
    with pytest.raises(psycopg.OperationalError):  # at the latest, after one more
        idle.execute("SELECT 2")
        idle.execute("SELECT 3")
    assert proxy.process.alive()
    busy.commit()
    assert proxy.process.wait(10) == 0


def refused(proxy):
    try:
        with proxy.raw(timeout=2) as c:
            c.send(wire.startup(user="app", database="app"))
            return c.receive().kind == "E"
    except (OSError, wire.Gone):
        return True


def test_a_second_sigterm_ends_at_once(proxy):
    c = proxy.connect()
    c.execute("SELECT 1")
    proxy.signal(signal.SIGTERM)
    wait_for("the door to be closed", lambda: refused(proxy))
    proxy.signal(signal.SIGTERM)
    assert proxy.process.wait(10) == 0


def test_sigint_waits_for_busy_servers_only(proxy):
    idle, busy = proxy.connect(), proxy.connect(autocommit=False)
    idle.execute("SELECT 1")
    busy.execute("SELECT 1")
    proxy.signal(signal.SIGINT)
    wait_for("the door to be closed", lambda: refused(proxy))
    assert proxy.process.alive()
    assert busy.execute("SELECT 2").fetchone() == (2,)
    busy.commit()
    assert proxy.process.wait(10) == 0


def test_sigquit_ends_at_once(proxy):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    proxy.signal(signal.SIGQUIT)
    assert proxy.process.wait(5) == 0


def test_usr1_pauses_and_usr2_resumes(proxy):
    proxy.connect().execute("SELECT 1")
    proxy.signal(signal.SIGUSR1)
    paused = lambda want: {r["key"]: r["value"] for r in proxy.console("SHOW STATE")}["paused"] == want
    wait_for("the pause", lambda: paused("yes"))
    proxy.signal(signal.SIGUSR2)
    wait_for("its end", lambda: paused("no"))
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_stopping_under_load_loses_no_acknowledged_work(run_pgusher, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    acked = []

    def work(k):
        try:
            with p.connect() as c:
                for i in range(10_000):
                    c.execute(f"INSERT INTO {name} VALUES (%s)", (k * 100_000 + i,))
                    acked.append(k * 100_000 + i)
        except psycopg.Error:
            pass

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    wait_for("some work", lambda: len(acked) > 100)
    p.signal(signal.SIGINT)
    assert p.process.wait(20) == 0
    for t in threads:
        t.join()
    stored = {v for v, in cluster.primary.execute(f"SELECT v FROM {name}")}
    assert set(acked) <= stored
    assert len(stored) == cluster.primary.execute(f"SELECT count(*) FROM {name}")[0][0]


def test_help_and_version():
    out = call("--help")
    assert out.returncode == 0 and "--check-config" in out.stdout
    out = call("--version")
    assert out.returncode == 0 and "pgusher" in out.stdout.lower()
    out = call("--help-config")
    assert out.returncode == 0 and "default_pool_size" in out.stdout


def test_no_file_or_a_missing_one_is_an_error(folder):
    assert call().returncode == 1 or call().returncode == 2
    out = call(folder / "nowhere.ini")
    assert out.returncode == 1 and "nowhere.ini" in out.stderr


GOOD = "[databases]\napp = host=127.0.0.1 port=1\n[pgusher]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n" \
       "unix_socket_dir =\nauth_type = trust\n"

# what is added, and the words the message must have; the line is that of the addition
BAD = {
    "unknown key": ("nonsense_key = 1\n", ["nonsense_key"]),
    "bad number": ("default_pool_size = lots\n", ["default_pool_size", "lots"]),
    "negative number": ("max_client_conn = -5\n", ["max_client_conn"]),
    "bad time": ("server_idle_timeout = soon\n", ["server_idle_timeout", "soon"]),
    "bad choice": ("pool_mode = sometimes\n", ["pool_mode", "sometimes", "transaction"]),
    "bad flag": ("log_connections = maybe\n", ["log_connections", "maybe"]),
    "bad size": ("cache_memory = much\n", ["cache_memory", "much"]),
    "unknown section": ("[nonsense]\na = 1\n", ["nonsense"]),
    "unknown database parameter": ("[databases]\nx = host=a colour=blue\n", ["colour"]),
    "database with unclosed quote": ("[databases]\nx = host='a\n", ["quote"]),
    "bad port": ("[databases]\nx = host=a port=99999999\n", ["port"]),
    "unknown user parameter": ("[users]\napp = colour=blue\n", ["colour"]),
    "rule without tables": ("[cache:x]\nttl = 1s\n", ["tables"]),
    "unknown rule key": ("[cache:x]\ntables = a\ncolour = blue\n", ["colour"]),
    "bad rule mode": ("[cache:x]\ntables = a\nmode = wild\n", ["mode", "wild"]),
    "unknown source": ("[settings]\napp.x = %{nonsense}\n", ["nonsense"]),
    "unclosed source": ("[settings]\napp.x = %{user\n", ["}"]),
    "a line that is none": ("just words\n", []),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_config_names_file_line_and_what_was_expected(folder, what):
    addition, words = BAD[what]
    text = GOOD.format(port=1) + addition
    path = folder / "bad.ini"
    path.write_text(text)
    give_away(path)
    for argv in ((path,), ("--check-config", path)):
        out = call(*argv)
        assert out.returncode == 1, out
        said = out.stderr + out.stdout
        last = len(text.splitlines())
        first = last - len(addition.splitlines()) + 1
        assert any(f"bad.ini:{n}" in said for n in range(first, last + 1)), said
        for word in words:
            assert word in said, said


def test_a_good_config_is_checked_without_being_run(folder):
    path = folder / "good.ini"
    path.write_text(GOOD.format(port=1))
    give_away(path)
    assert call("--check-config", path).returncode == 0


def test_a_taken_port_is_reported(proxy, folder):
    path = folder / "taken.ini"
    path.write_text(GOOD.format(port=proxy.port))
    give_away(path)
    out = call(path)
    assert out.returncode == 1 and str(proxy.port) in out.stderr


def test_a_pidfile_is_written_and_removed(run_pgusher, cluster, folder):
    pid = folder / "pgusher.pid"
    p = run_pgusher({"app": cluster.primary.connstr}, pidfile=pid)
    assert int(pid.read_text()) == p.pid
    p.stop()
    assert not pid.exists()


def test_a_pgbouncer_section_is_understood(folder, run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, start=False)
    p.write()
    p.path.write_text(p.path.read_text().replace("[pgusher]", "[pgbouncer]"))
    from harness.process import Process

    p.process = Process([binary(), p.path], p.log_path, env=p.env)
    p.process.await_port(p.port)
    assert p.connect().execute("SELECT 1").fetchone() == (1,)


def test_no_parameter_value_is_logged(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, verbose=2)
    c = p.connect(prepare_threshold=0)
    c.execute("SELECT %s::text", ("very private",))
    with pytest.raises(psycopg.Error):
        c.execute("SELECT %s::int", ("very private",))
    assert "very private" not in p.log()
    assert os.path.getsize(p.log_path) > 0
