"""Replication connections: physical and logical, each on a server of its own on the primary."""

import os
import signal
import subprocess

import psycopg
import pytest

from harness import wire
from harness.postgres import BIN
from harness.process import as_user, give_away, wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr, "replication": f"host=127.0.0.1 port={cluster.primary.port}"},
                       default_pool_size=2)


@pytest.fixture
def slot(cluster, name):
    yield name
    cluster.primary.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                            "WHERE slot_name = %s AND NOT temporary", (name,))


def tool(p, what, *argv, seconds=40, **more):
    out = subprocess.run(as_user([str(BIN / what), "-h", "127.0.0.1", "-p", str(p.port), "-U", "postgres",
                                  *map(str, argv)]), capture_output=True, text=True, timeout=seconds, cwd=p.folder, **more)
    assert out.returncode == 0, out
    return out.stdout


def psql(p, sql, replication, dbname="app", **more):
    words = " ".join(f"{k}={v}" for k, v in {"dbname": dbname, "replication": replication, **more}.items())
    return tool(p, "psql", "-XAtc", sql, words).strip()


def open_raw(p, replication="database", **more):
    c = p.raw()
    c.startup(user="postgres", replication=replication, **more)
    return c


def walsenders(cluster):
    return cluster.primary.execute("SELECT pid, application_name FROM pg_stat_activity "
                                   "WHERE backend_type = 'walsender' ORDER BY 1")


@pytest.mark.parametrize("value", ["true", "on", "yes", "1", "database"])
def test_identify_system_tells_of_the_primary(proxy, cluster, value):
    system, timeline, _, database = psql(proxy, "IDENTIFY_SYSTEM", value).split("|")
    assert int(system) == cluster.primary.execute("SELECT system_identifier FROM pg_control_system()")[0][0]
    assert timeline == "1" and database == ("app" if value == "database" else "")


@pytest.mark.parametrize("value", ["false", "off", "no", "0"])
def test_a_connection_that_is_none_is_pooled_like_any_other(proxy, value):
    c = proxy.raw()
    c.startup(replication=value)
    assert c.simple("SELECT 1").value() == "1"
    assert {r["replication"] for r in proxy.console("SHOW CLIENTS")} == {"none"}


def test_another_value_is_refused(proxy):
    c = proxy.raw()
    c.send(wire.startup(user="postgres", database="app", replication="sometimes"))
    error = c.until_ready().error.fields()
    assert (error["C"], error["M"]) == ("22023", 'invalid value for parameter "replication": "sometimes"')


def test_pg_receivewal_streams(proxy, cluster, slot, name):
    cluster.primary.execute("SELECT pg_create_physical_replication_slot(%s, true)", (slot,))
    cluster.primary.execute(f"CREATE TABLE {name}_r AS SELECT generate_series(1, 20000) v")
    end = cluster.primary.execute("SELECT pg_switch_wal()")[0][0]
    folder = proxy.folder / "wal"
    folder.mkdir()
    folder.chmod(0o777)
    tool(proxy, "pg_receivewal", "-D", folder, "-S", slot, "--endpos", end, "--no-loop", "--no-sync")
    assert any(f.name.startswith("0000") for f in folder.iterdir())


def test_pg_basebackup_copies_all_of_it(proxy, cluster):
    tool(proxy, "pg_basebackup", "-D", proxy.folder / "copy", "-c", "fast", "-X", "stream", "--no-sync")
    assert (proxy.folder / "copy" / "PG_VERSION").read_text() == (cluster.primary.data / "PG_VERSION").read_text()
    out = subprocess.run(as_user([str(BIN / "pg_verifybackup"), str(proxy.folder / "copy")]), capture_output=True,
                         text=True, timeout=40)
    assert out.returncode == 0, out


def test_pg_recvlogical_decodes(proxy, cluster, slot, name):
    out = proxy.folder / "changes"
    tool(proxy, "pg_recvlogical", "-d", "app", "-S", slot, "--create-slot", "-P", "test_decoding")
    cluster.primary.execute(f"CREATE TABLE {name} (v int)")
    cluster.primary.execute(f"INSERT INTO {name} SELECT generate_series(1, 5000)")
    end = cluster.primary.execute("SELECT pg_switch_wal()")[0][0]
    tool(proxy, "pg_recvlogical", "-d", "app", "-S", slot, "--start", "--endpos", end, "-f", out)
    assert out.read_text().count(f"table public.{name}: INSERT") == 5000


def test_it_goes_to_the_primary_wherever_that_stands_in_the_list(run_pgusher, replicated):
    nodes = [*replicated.replicas, replicated.primary]
    p = run_pgusher({"app": f"host={','.join('127.0.0.1' for _ in nodes)} port={','.join(str(n.port) for n in nodes)} "
                            "dbname=app"}, monitor_user="watcher")
    assert psql(p, "SELECT pg_is_in_recovery()", "database") == "f"


def test_its_startup_parameters_reach_the_server(proxy, cluster, name):
    c = open_raw(proxy, "true", application_name=name)
    assert [a for _, a in walsenders(cluster)] == [name]
    c.close()
    assert psql(proxy, "SHOW DateStyle", "database", options="'-c datestyle=german'") == "German, DMY"


def test_its_server_is_nobody_elses_and_is_never_pooled(proxy, cluster):
    own = open_raw(proxy)
    pid = own.simple("SELECT pg_backend_pid()").value()
    others = {proxy.connect().execute("SELECT pg_backend_pid()").fetchone()[0] for _ in range(5)}
    assert int(pid) not in others
    assert own.simple("SELECT pg_backend_pid()").value() == pid
    own.close()
    wait_for("its end", lambda: not walsenders(cluster))
    assert not [r for r in proxy.console("SHOW SERVERS") if r["remote_pid"] == pid]


def test_the_console_shows_it(proxy, cluster):
    for value, kind in (("true", "physical"), ("database", "logical")):
        c = open_raw(proxy, value)
        client, = [r for r in proxy.console("SHOW CLIENTS") if r["user"] == "postgres"]
        server, = [r for r in proxy.console("SHOW SERVERS") if r["user"] == "postgres"]
        assert (client["replication"], client["state"]) == (kind, "active")
        assert (server["replication"], server["state"]) == (kind, "active")
        assert client["link"] == server["ptr"] and server["link"] == client["ptr"]
        c.close()
        wait_for("its end", lambda: not walsenders(cluster))


def test_it_counts_in_the_size_of_its_pool(proxy, cluster):
    both = [open_raw(proxy), open_raw(proxy)]
    third = proxy.raw()
    third.send(wire.startup(user="postgres", database="app", replication="database"))
    assert third.quiet(0.3) and len(walsenders(cluster)) == 2
    pooled = proxy.raw()
    pooled.send(wire.startup(user="postgres", database="app"))
    assert pooled.quiet(0.3)
    for c in both:
        c.close()
    assert third.until_ready().status == "I"
    assert pooled.until_ready().status == "I"


def waiting(p):
    """A replication client that is not let in yet."""
    c = p.raw()
    c.send(wire.startup(user="postgres", database="app", replication="database"))
    assert c.quiet(0.3)
    return c


@pytest.mark.parametrize("scope", ["", " app"])
def test_a_resume_lets_it_in(proxy, scope):
    proxy.console("PAUSE" + scope)
    c = waiting(proxy)
    proxy.console("RESUME" + scope)
    assert c.until_ready().status == "I"


def test_a_reload_with_more_room_lets_it_in(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    first = open_raw(p)
    c = waiting(p)
    p.options["default_pool_size"] = 2
    p.write()
    p.console("RELOAD")
    assert c.until_ready().status == "I"
    first.close()


def test_a_server_that_becomes_idle_makes_room(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    busy = p.connect(user="postgres", autocommit=False)
    busy.execute("SELECT 1")
    c = waiting(p)
    busy.commit()
    assert c.until_ready().status == "I"


@pytest.mark.parametrize("limit", ["max_db_connections", "max_user_connections"])
def test_it_counts_in_the_limits_of_its_database_and_user(run_pgusher, cluster, limit):
    p = run_pgusher({"app": cluster.primary.connstr}, **{limit: 1})
    first = open_raw(p)
    second = p.raw()
    second.send(wire.startup(user="postgres", database="app", replication="database"))
    assert second.quiet(0.3)
    first.close()
    assert second.until_ready().status == "I"


def test_it_counts_among_the_clients(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, max_db_client_connections=1)
    first = open_raw(p)
    second = p.raw()
    second.send(wire.startup(user="postgres", database="app", replication="database"))
    assert second.until_ready().sqlstate == "53300"
    first.close()


def test_idle_servers_make_room(proxy, cluster):
    a, b = proxy.connect(user="postgres", autocommit=False), proxy.connect(user="postgres", autocommit=False)
    for c in (a, b):
        c.execute("SELECT 1")
    for c in (a, b):
        c.commit()
    both = [open_raw(proxy), open_raw(proxy)]
    assert len(walsenders(cluster)) == 2
    assert sum(r["user"] == "postgres" for r in proxy.console("SHOW SERVERS")) == 2
    both.pop().close()
    assert a.execute("SELECT 1").fetchone() == (1,)


def test_a_cancel_reaches_it(proxy):
    c = open_raw(proxy)
    c.send(wire.query("SELECT pg_sleep(60)"))
    wait_for("it to run", lambda: c.cancel() or not c.quiet(0.1))
    assert c.until_ready().sqlstate == "57014"
    assert c.simple("SELECT 1").value() == "1"


def test_a_server_that_dies_ends_the_client(proxy, cluster):
    c = open_raw(proxy)
    pid = c.simple("SELECT pg_backend_pid()").value()
    cluster.primary.execute("SELECT pg_terminate_backend(%s)", (int(pid),))
    seen = c.expect_closed()
    assert [m.sqlstate for m in seen] == ["57P01"]


def test_a_server_login_that_fails_is_told(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, users={"nobody": ""})
    c = p.raw()
    c.send(wire.startup(user="nobody", database="app", replication="database"))
    assert c.until_ready().sqlstate == "28000"
    c = p.raw()
    c.send(wire.startup(user="app", database="app", replication="database"))  # it may log in, but not replicate
    assert c.until_ready().sqlstate == "42501"


def test_without_a_line_of_its_name_physical_replication_is_told_what_is_missing(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr})
    c = p.raw()
    c.send(wire.startup(user="postgres", database="replication", replication="true"))
    error = c.until_ready().error.fields()
    assert error["C"] == "3D000" and "needs a line" in error["H"]


def test_protected_settings_and_logical_replication_exclude_each_other(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, sections={"settings": {"app.who": "%{user}"}})
    c = p.raw()
    c.send(wire.startup(user="postgres", database="app", replication="database"))
    assert c.until_ready().sqlstate == "0A000"
    open_raw(p, "true")


def test_hba_rules_for_replication_are_for_the_physical_kind(run_pgusher, cluster, folder):
    hba = folder / "hba.conf"
    hba.write_text("host replication postgres all trust\nhost app app all trust\n")
    give_away(hba)
    p = run_pgusher({"app": cluster.primary.connstr}, auth_type="hba", auth_hba_file=hba)
    open_raw(p, "true")
    for user, replication in (("postgres", "database"), ("app", "true")):
        c = p.raw()
        c.send(wire.startup(user=user, database="app", replication=replication))
        assert c.until_ready().sqlstate == "28000"


def test_the_console_does_not_replicate(proxy):
    c = proxy.raw()
    c.send(wire.startup(user="boss", database="pgbouncer", replication="true"))
    assert c.until_ready().sqlstate == "0A000"


def test_a_stream_ends_between_two_messages_when_pgusher_stops(proxy, cluster, slot):
    c = open_raw(proxy)
    c.simple(f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL test_decoding")
    c.send(wire.query(f"START_REPLICATION SLOT {slot} LOGICAL 0/0"))
    assert c.until("W")
    cluster.primary.execute(f"CREATE TABLE {slot} AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
    proxy.signal(signal.SIGTERM)
    seen = c.expect_closed()
    assert seen[-1].sqlstate == "57P01" and {m.kind for m in seen[:-1]} <= {"d"}
    assert proxy.process.wait(10) == 0


def test_a_stream_with_a_slow_reader_is_held_back(proxy, cluster, slot, name):
    c = open_raw(proxy)
    c.simple(f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL test_decoding")
    cluster.primary.execute(f"CREATE TABLE {name} AS SELECT repeat('x', 1000) FROM generate_series(1, 40000)")
    c.send(wire.query(f"START_REPLICATION SLOT {slot} LOGICAL 0/0"))
    rss = lambda: int(open(f"/proc/{proxy.pid}/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
    before = rss()
    wait_for("the stream to stand", lambda: c.quiet(0.01) is False)
    messages = 0
    while messages < 40000:
        messages += c.receive().kind == "d"
    assert rss() - before < 30 << 20
