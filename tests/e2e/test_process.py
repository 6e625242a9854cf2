"""The process and its surroundings: command line, background, pidfile, rights, log, the service manager."""

import grp
import os
import pwd
import select
import signal
import socket
import stat
import subprocess
import threading

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.pgusher import binary
from harness.process import SERVER_USER, Process, as_user, free_port, give_away, wait_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def call(*argv, **more):
    return subprocess.run(as_user([str(binary()), *map(str, argv)]), capture_output=True, text=True, timeout=20, **more)


@pytest.fixture
def prepared(run_pgusher, cluster, folder):
    """A proxy with its files written, not started."""

    def prepare(**options):
        p = run_pgusher({"app": cluster.primary.connstr}, start=False, **options)
        p.write()
        return p

    return prepare


@pytest.fixture
def children():
    """Processes started by hand, ended with the test."""
    started = []
    yield started
    for child in started:
        child.kill()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"


def text_of(path):
    return path.read_text() if path.exists() else ""


def end(pid):
    os.kill(pid, signal.SIGTERM)
    wait_for("its end", lambda: not alive(pid))


# ---- the command line


def test_every_switch_is_known_and_an_unknown_one_is_not(folder):
    for switch in ("-h", "--help", "-V", "--version"):
        assert call(switch).returncode == 0
    out = call("--version").stdout.splitlines()
    assert out[0].startswith("pgusher ") and any(l.startswith("tls: OpenSSL") for l in out)
    for switch in ("--daemon", "--quiet", "--reboot", "--user", "--verbose"):
        assert switch in call("--help").stdout
    assert call("--nonsense").returncode == 1
    assert call("a.ini", "b.ini").returncode == 1


def test_verbose_adds_and_quiet_silences(prepared, children):
    p = prepared()
    loud = Process([binary(), "-v", p.path], p.folder / "loud.log", env=p.env)
    children.append(loud)
    loud.await_port(p.port)
    p.connect().execute("SELECT 1")
    wait_for("a line of debug", lambda: " DEBUG " in loud.log())
    loud.signal(signal.SIGTERM)
    assert loud.wait() == 0
    quiet = Process([binary(), "-q", p.path], p.folder / "quiet.log", env=p.env)
    children.append(quiet)
    quiet.await_port(p.port)
    p.connect().execute("SELECT 1")
    quiet.signal(signal.SIGTERM)
    assert quiet.wait() == 0 and quiet.log() == ""


def test_in_the_background_it_serves_when_the_caller_returns(prepared, folder):
    log, pidfile = folder / "its.log", folder / "its.pid"
    p = prepared(logfile=log, pidfile=pidfile)
    out = call("-d", p.path, env={**os.environ, **p.env})
    assert out.returncode == 0, out
    pid = int(pidfile.read_text())
    try:
        assert p.connect().execute("SELECT 1").fetchone() == (1,)
        assert os.getsid(pid) != os.getsid(0) and os.getsid(pid) != pid
        assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in range(3)} == {"/dev/null"}
    finally:
        end(pid)
    assert "event=started" in log.read_text() and "event=stopped" in log.read_text()
    assert not pidfile.exists()


def test_in_the_background_a_failed_start_is_the_callers_exit_status(prepared, folder):
    p = prepared(logfile=folder / "its.log", auth_file=folder / "nowhere.txt")
    out = call("-d", p.path)
    assert out.returncode == 1 and "nowhere.txt" in out.stderr
    p = prepared()
    out = call("-d", p.path)
    assert out.returncode == 1 and "logfile or syslog" in out.stderr


# ---- the pidfile


def test_a_second_process_is_refused_by_the_pidfile_and_leaves_it_alone(prepared, folder):
    pidfile = folder / "its.pid"
    p = prepared(pidfile=pidfile, so_reuseport=1, unix_socket_dir="")
    p.start()
    out = call(p.path)
    assert out.returncode == 1 and f"process {p.pid} is running" in out.stderr
    assert int(pidfile.read_text()) == p.pid
    p.stop()
    assert not pidfile.exists()


@pytest.mark.parametrize("text", ["", "1\n", "999999999\n", "not a number\n"])
def test_a_stale_pidfile_is_taken_over_whoever_has_its_number_now(prepared, folder, text):
    pidfile = folder / "its.pid"
    pidfile.write_text(text)
    give_away(pidfile)
    p = prepared(pidfile=pidfile)
    p.start()
    assert int(pidfile.read_text()) == p.pid


def test_a_pidfile_that_cannot_be_written_ends_the_start(prepared, folder):
    p = prepared(pidfile=folder / "nowhere" / "its.pid")
    out = call(p.path)
    assert out.returncode == 1 and "cannot write pidfile" in out.stderr


def test_reboot_takes_over_port_socket_and_pidfile_while_transactions_go_on(prepared, folder, children):
    pidfile = folder / "its.pid"
    p = prepared(pidfile=pidfile, so_reuseport=1)
    p.start()
    busy = p.connect(autocommit=False)
    busy.execute("SELECT 1")
    second = Process([binary(), "-R", p.path], p.folder / "second.log", env=p.env)
    children.append(second)
    wait_for("the second one", lambda: "event=taken_over" in second.log())
    wait_for("the first one to drain", lambda: "event=signal" in p.log())
    assert int(pidfile.read_text()) == second.pid
    assert busy.execute("SELECT 2").fetchone() == (2,)
    busy.commit()
    assert p.process.wait(10) == 0
    assert int(pidfile.read_text()) == second.pid
    for host in ("127.0.0.1", str(p.folder)):
        with psycopg.connect(host=host, port=p.port, user="app", dbname="app") as c:
            assert c.execute("SELECT 3").fetchone() == (3,)
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    assert not pidfile.exists() and not (p.folder / f".s.PGSQL.{p.port}").exists()


def test_reboot_without_a_port_to_share_leaves_the_running_one_whole(prepared, folder):
    pidfile = folder / "its.pid"
    p = prepared(pidfile=pidfile)
    p.start()
    out = call("-R", p.path)
    assert out.returncode == 1 and "already using" in out.stderr
    assert int(pidfile.read_text()) == p.pid
    assert p.connect().execute("SELECT 1").fetchone() == (1,)


# ---- rights


@as_root
@pytest.mark.parametrize("how", ["option", "switch"])
def test_rights_of_root_go_after_binding(prepared, folder, children, how):
    who = pwd.getpwnam(SERVER_USER)
    log = folder / "its.log"
    p = prepared(logfile=log, user=SERVER_USER if how == "option" else "nobody")
    argv = [binary(), p.path] if how == "option" else [binary(), "-u", SERVER_USER, p.path]
    child = Process(argv, p.folder / "root.log", env=p.env, user=False)
    children.append(child)
    child.await_port(p.port)
    wait_for("the start to be over", lambda: "event=started" in text_of(log))
    status = dict(l.split(":\t", 1) for l in open(f"/proc/{child.pid}/status").read().splitlines() if ":\t" in l)
    assert set(status["Uid"].split()) == {str(who.pw_uid)}
    assert set(status["Gid"].split()) == {str(who.pw_gid)}
    assert "0" not in status["Groups"].split()
    assert p.connect().execute("SELECT 1").fetchone() == (1,)
    log.rename(folder / "old.log")  # what it opened as that user it can open again
    child.signal(signal.SIGHUP)
    wait_for("the new log", lambda: log.exists() and "event=reloaded" in text_of(log))
    child.signal(signal.SIGTERM)
    assert child.wait() == 0


@as_root
def test_an_unknown_user_ends_the_start(prepared):
    p = prepared(user="nobody_of_that_name")
    out = subprocess.run([binary(), p.path], capture_output=True, text=True, timeout=20)
    assert out.returncode == 1 and "there is no user nobody_of_that_name" in out.stderr


@as_root
def test_who_is_not_root_can_only_stay_who_it_is(prepared):
    assert "only root can" in call("-u", "nobody", prepared().path).stderr


@as_root
def test_the_unix_socket_has_its_mode_and_group(prepared, children):
    p = prepared(unix_socket_mode="0750", unix_socket_group="daemon")
    child = Process([binary(), "-u", SERVER_USER, p.path], p.log_path, env=p.env, user=False)
    children.append(child)
    wait_for("the start to be over", lambda: "event=started" in child.log())
    st = os.stat(p.folder / f".s.PGSQL.{p.port}")
    assert stat.S_IMODE(st.st_mode) == 0o750 and grp.getgrgid(st.st_gid).gr_name == "daemon"
    child.signal(signal.SIGTERM)
    assert child.wait() == 0


def test_an_unknown_group_ends_the_start(prepared):
    p = prepared(unix_socket_group="no_such_group")
    out = call(p.path)
    assert out.returncode == 1 and "there is no group no_such_group" in out.stderr
    assert not (p.folder / f".s.PGSQL.{p.port}").exists()


# ---- the log


def logging(prepared, folder):
    """A proxy that runs, and the file it logs to."""
    log = folder / "its.log"
    p = prepared(logfile=log)
    p.start(wait=False)
    p.process.await_port(p.port)
    wait_for("the start", lambda: "event=started" in text_of(log))
    return p, log


def test_a_rotated_log_is_let_go_of_at_hup(prepared, folder):
    p, log = logging(prepared, folder)
    log.rename(folder / "old.log")
    p.signal(signal.SIGHUP)
    wait_for("the new log", lambda: log.exists() and "event=reloaded" in text_of(log))
    size = (folder / "old.log").stat().st_size
    p.connect().execute("SELECT 1")
    wait_for("the login", lambda: "login attempt" in text_of(log))
    assert (folder / "old.log").stat().st_size == size


def test_a_rotated_log_is_let_go_of_though_the_configuration_is_wrong(prepared, folder):
    p, log = logging(prepared, folder)
    log.rename(folder / "old.log")
    p.path.write_text("nonsense\n")
    p.signal(signal.SIGHUP)
    wait_for("the new log", lambda: "event=reload_failed" in text_of(log))


def test_a_log_that_cannot_be_opened_leaves_the_old_one_and_the_old_configuration(prepared, folder):
    p, log = logging(prepared, folder)
    p.options.update(logfile=folder / "nowhere" / "x.log", default_pool_size=7)
    p.write()
    p.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "event=reload_failed" in text_of(log))
    assert "cannot open logfile" in log.read_text()
    config = {r["key"]: r["value"] for r in p.console("SHOW CONFIG")}
    assert config["default_pool_size"] == "20" and config["logfile"] == str(log)


@pytest.fixture
def dev_log():
    """The system log's socket, ours."""
    if os.geteuid() != 0 or os.path.lexists("/dev/log"):
        pytest.skip("needs root, and no system log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        s.settimeout(10)
        yield s
        os.unlink("/dev/log")


def test_syslog_has_ident_facility_and_level(dev_log, prepared):
    p = prepared(syslog=1, syslog_ident="poolerone", syslog_facility="local3")
    p.start()
    local3, info = 19, 6
    line = dev_log.recv(65536).decode()
    while "event=started" not in line:  # workers may have had something to say before
        line = dev_log.recv(65536).decode()
    assert line.startswith(f"<{local3 * 8 + info}>") and f"poolerone[{p.pid}]: event=started" in line
    assert "event=started" in p.log()
    p.options["syslog_ident"] = "poolertwo"
    p.write()
    p.signal(signal.SIGHUP)
    while "poolertwo" not in line:
        line = dev_log.recv(65536).decode()
    assert "event=reloaded" in line
    p.options["syslog"] = 0
    p.write()
    p.signal(signal.SIGHUP)
    wait_for("the reload", lambda: p.log().count("event=reloaded") == 2)


def test_an_unknown_facility_is_an_error_with_its_line(prepared):
    out = call("--check-config", prepared(syslog_facility="cellar").path)
    assert out.returncode == 1 and "syslog_facility: expected auth" in out.stderr


# ---- the configuration file


def test_the_next_reload_reads_the_conffile_that_was_set(prepared, folder):
    p = prepared()
    p.start()
    other = folder / "other.ini"
    p.options["default_pool_size"] = 9
    was, p.path = p.path, other
    p.write()
    p.path = was
    p.console(f"SET conffile = '{other}'")
    p.console("RELOAD")
    config = {r["key"]: r["value"] for r in p.console("SHOW CONFIG")}
    assert config["default_pool_size"] == "9" and config["conffile"] == str(other)


def test_what_needs_a_restart_stays_at_reload_and_the_log_says_so(prepared):
    p = prepared()
    p.start()
    p.options.update(listen_port=p.port + 1, listen_backlog=7, default_pool_size=9)
    p.write()
    p.console("RELOAD")
    config = {r["key"]: r["value"] for r in p.console("SHOW CONFIG")}
    assert (config["listen_port"], config["listen_backlog"]) == (str(p.port), "128")
    assert config["default_pool_size"] == "9"
    assert "name=listen_port" in p.log() and "name=listen_backlog" in p.log()


# ---- the service manager


class Manager:
    """What systemd is to a service: a socket that hears notifications."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        if isinstance(address, str) and not address.startswith("\0"):
            os.chmod(address, 0o777)
        self.sock.settimeout(15)

    def until(self, word):
        while True:
            text = self.sock.recv(65536).decode()
            if word in text:
                return dict(l.split("=", 1) for l in text.splitlines())

    def close(self):
        self.sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, folder):
    path = str(folder / "notify")
    m = Manager(path if request.param == "path" else "\0" + path)
    m.name = path if request.param == "path" else "@" + path
    yield m
    m.close()


def test_the_service_manager_is_told_of_start_reload_failure_and_stop(prepared, manager):
    p = prepared()
    p.env["NOTIFY_SOCKET"] = manager.name
    p.start()
    assert manager.until("READY=1")["STATUS"] == "serving"
    p.signal(signal.SIGHUP)
    assert int(manager.until("RELOADING=1")["MONOTONIC_USEC"]) > 0
    assert manager.until("READY=1")["STATUS"] == "serving"
    p.path.write_text("nonsense\n")
    p.signal(signal.SIGHUP)
    manager.until("RELOADING=1")
    assert "the old configuration stays" in manager.until("READY=1")["STATUS"]
    p.signal(signal.SIGTERM)
    assert int(manager.until("STOPPING=1")["EXTEND_TIMEOUT_USEC"]) == 70_000_000
    assert p.process.wait(10) == 0


def test_the_watchdog_hears_of_living_workers_only(prepared, manager):
    p = prepared(workers=2)
    p.env.update(NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="200000")
    p.start()
    for _ in range(3):
        manager.until("WATCHDOG=1")


def activated(p, sockets, log, **more):
    """Started as systemd does it: the sockets are descriptors 3, 4 ..."""
    fds = [s.fileno() for s in sockets]
    moves = " ".join(f"{3 + i}<&{100 + fd}" for i, fd in enumerate(fds))
    for fd in fds:
        os.dup2(fd, 100 + fd, inheritable=True)
    out = open(log, "ab")
    child = subprocess.Popen(
        as_user(["bash", "-c", f"exec {moves}; LISTEN_FDS={len(fds)} LISTEN_PID=$$ exec {binary()} {p.path}"]),
        stdout=out, stderr=out, stdin=subprocess.DEVNULL, pass_fds=[100 + fd for fd in fds],
        env={**os.environ, **p.env}, **more)
    for fd in fds:
        os.close(100 + fd)
    out.close()
    return child


def test_sockets_of_the_service_manager_are_served_in_place_of_our_own(prepared, folder):
    port = free_port()
    p = prepared()
    path = folder / "given"
    with socket.create_server(("127.0.0.1", port)) as tcp, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        os.chmod(path, 0o777)
        local.listen()
        child = activated(p, [tcp, local], p.log_path)
        try:
            with psycopg.connect(host="127.0.0.1", port=port, user="app", dbname="app") as c:
                assert c.execute("SELECT 1").fetchone() == (1,)
            with FakeClient(None, path=path) as c:
                c.startup()
                assert c.simple("SELECT 2").value() == "2"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", p.port), timeout=2)
            assert not (p.folder / f".s.PGSQL.{p.port}").exists()
            child.terminate()
            assert child.wait(10) == 0
            assert path.exists()  # the manager's, not ours to remove
        finally:
            child.kill()
            child.wait()


def test_a_descriptor_that_does_not_listen_ends_the_start(prepared, folder):
    p = prepared()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        child = activated(p, [s], p.log_path)
        assert child.wait(20) == 1
    assert "descriptor 3 from the service manager is not a listening stream" in p.log_path.read_text()


# ---- the way out


def login(path, database):
    """What a login over the unix socket is answered: None, or the error's fields."""
    with FakeClient(None, path=path) as c:
        c.send(wire.startup(user="boss", database=database))
        answer = c.until_ready()
        return answer.error and answer.error.fields()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_while_transactions_end_the_unix_socket_serves_the_console_only(prepared, how):
    p = prepared()
    p.start()
    path = p.folder / f".s.PGSQL.{p.port}"
    old = FakeClient(None, path=path)
    old.startup(user="boss", database="pgbouncer")
    busy = p.connect(autocommit=False)
    busy.execute("SELECT 1")
    p.signal(how)
    wait_for("the refusal", lambda: (login(path, "app") or {}).get("C") == "57P03")
    error = login(path, "app")
    assert (error["S"], error["C"], error["M"]) == ("FATAL", "57P03", "pooler is shutting down")
    assert login(path, "pgbouncer") is None
    assert old.simple("SHOW VERSION").rows  # who was there before stays too
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", p.port), timeout=2)
    busy.commit()
    assert p.process.wait(10) == 0
    assert not path.exists()


def test_at_sigterm_an_idle_client_hears_57P01_and_a_transaction_ends_in_its_own_time(prepared):
    p = prepared()
    p.start()
    idle, busy = p.raw(), p.raw()
    idle.startup()
    busy.startup()
    idle.simple("SELECT 1")
    busy.simple("BEGIN; SELECT 1")
    p.signal(signal.SIGTERM)
    assert idle.receive().sqlstate == "57P01"
    busy.simple("SELECT 2")
    busy.send(wire.query("COMMIT"))
    answer = busy.until("E")
    assert answer.tags == ["COMMIT"] and answer.sqlstate == "57P01"
    assert p.process.wait(10) == 0


def test_a_slow_reader_has_all_of_its_answer_before_it_is_told_to_go(prepared):
    p = prepared()
    p.start()
    c = p.raw()
    c.startup()
    c.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)"))
    wait_for("the answer to fill the way", lambda: p.console("SHOW POOLS")[0]["cl_active"] == "1")
    p.signal(signal.SIGTERM)
    wait_for("the signal", lambda: "event=signal" in p.log())
    answer = c.until("E")
    assert len(answer.rows) == 20000 and answer.tags == ["SELECT 20000"] and answer.sqlstate == "57P01"
    assert p.process.wait(10) == 0


def test_the_drain_has_an_end(prepared):
    p = prepared(drain_timeout=0.5)
    p.start()
    busy = p.raw()
    busy.startup()
    busy.simple("BEGIN; SELECT 1")
    p.signal(signal.SIGTERM)
    assert busy.receive().sqlstate == "57P01"
    assert p.process.wait(10) == 0
    assert "event=drain_late clients=1" in p.log()


def test_sigint_throws_out_who_waits_for_a_server_and_sigterm_does_not(prepared):
    for how in (signal.SIGTERM, signal.SIGINT):
        p = prepared(default_pool_size=1)
        p.start()
        busy, waits = p.raw(), p.raw()
        busy.startup()
        waits.startup()
        busy.simple("BEGIN; SELECT 1")
        waits.send(wire.query("SELECT 'waited'"))
        wait_for("the wait", lambda: p.console("SHOW POOLS")[0]["cl_waiting"] == "1")
        p.signal(how)
        if how == signal.SIGINT:
            assert waits.receive().sqlstate == "57P01"
            assert p.process.alive()
        busy.simple("COMMIT") if how == signal.SIGINT else busy.send(wire.query("COMMIT"))
        if how == signal.SIGTERM:
            assert waits.until("E").rows == [[b"waited"]]
        assert p.process.wait(10) == 0


def test_who_has_connected_before_the_signal_gets_one_transaction(prepared):
    p = prepared(tcp_defer_accept=0)
    p.start()
    c = p.raw()  # accepted, not a byte said yet
    wait_for("it to be accepted", lambda: len(socket_inodes(p.pid)) > 0 and accepted(p))
    p.signal(signal.SIGTERM)
    wait_for("the signal", lambda: "event=signal" in p.log())
    c.startup()
    c.send(wire.query("SELECT 'served'"))
    answer = c.until("E")
    assert answer.rows == [[b"served"]] and answer.sqlstate == "57P01"
    assert p.process.wait(10) == 0


def socket_inodes(pid):
    links = (os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd"))
    return {l[8:-1] for l in links if l.startswith("socket:")}


def accepted(p):
    """Whether a descriptor of the process is an established connection on its port."""
    own = socket_inodes(p.pid)
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{p.port:04X}") and fields[3] == "01" and fields[9] in own:
            return True
    return False


# ---- rolling restart


def test_a_rolling_restart_under_traffic_fails_no_query(run_pgusher, cluster, name, folder):
    """Two processes share a port; one goes, a new one comes, then the other goes, while clients come and go."""
    p = run_pgusher({"app": cluster.primary.connstr}, so_reuseport=1, unix_socket_dir="", default_pool_size=4)
    others = []

    def another():
        child = Process([binary(), p.path], folder / f"other{len(others)}.log", env=p.env)
        others.append(child)
        wait_for("another process", lambda: "event=started" in child.log())
        return child

    cluster.primary.execute(f"CREATE TABLE {name} (v int)")
    cluster.primary.execute(f"GRANT ALL ON {name} TO app")
    stop, failures, done = threading.Event(), [], []

    def short(k):
        """Connects, asks, leaves."""
        i = 0
        while not stop.is_set():
            i += 1
            try:
                with p_connect(p) as c:
                    c.execute(f"INSERT INTO {name} VALUES (%s)", (k * 1_000_000 + i,))
                done.append(k * 1_000_000 + i)
            except psycopg.Error as e:
                failures.append(e)

    def lasting(k):
        """Keeps its connection as a driver's pool does, and takes a new one only when told to go between two queries."""
        i, c = 0, None
        while not stop.is_set():
            i += 1
            if c is None or gone(c):
                c = p_connect(p)
            try:
                with c.transaction():
                    c.execute(f"INSERT INTO {name} VALUES (%s)", (k * 1_000_000 + i,))
                    c.execute("SELECT 1")
                done.append(k * 1_000_000 + i)
            except psycopg.Error as e:
                failures.append(e)

    def gone(c):
        return c.closed or bool(select.select([c.pgconn.socket], [], [], 0)[0])

    threads = [threading.Thread(target=short, args=(k,)) for k in range(3)]
    threads += [threading.Thread(target=lasting, args=(k,)) for k in range(3, 6)]
    for t in threads:
        t.start()
    try:
        wait_for("traffic", lambda: len(done) > 50)
        first = another()
        before = len(done)
        wait_for("traffic on both", lambda: "login attempt" in first.log() and len(done) > before + 50)
        p.signal(signal.SIGTERM)
        assert p.process.wait(20) == 0
        before = len(done)
        second = another()
        wait_for("traffic on both", lambda: "login attempt" in second.log() and len(done) > before + 50)
        first.signal(signal.SIGTERM)
        assert first.wait(20) == 0
        before = len(done)
        wait_for("traffic on the last", lambda: len(done) > before + 50)
    finally:
        stop.set()
        for t in threads:
            t.join()
        for child in others:
            if child.alive():
                child.signal(signal.SIGTERM)
    assert others[-1].wait(20) == 0
    assert failures == []
    assert sorted(done) == sorted(v for v, in cluster.primary.execute(f"SELECT v FROM {name}"))


def p_connect(p):
    return psycopg.connect(host="127.0.0.1", port=p.port, user="app", dbname="app", autocommit=True,
                           connect_timeout=10, prepare_threshold=None)

