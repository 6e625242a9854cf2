"""The console: PgBouncer's columns in PgBouncer's order and types, and its commands."""

import pathlib
import signal
import subprocess
import sys

import psycopg
import pytest

from harness import wire
from harness.process import accepts, as_user, wait_for

INT4, INT8, NUMERIC, TEXT, BYTEA = 23, 20, 1700, 25, 17

STATS = "server_assignment_count xact_count query_count received sent xact_time query_time wait_time " \
        "client_parse_count server_parse_count bind_count client_login_count"
TOTALS = "server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time " \
         "client_parse_count server_parse_count bind_count client_login_count"
SOCKET = "type user database replication state addr port:i local_addr local_port:i connect_time request_time wait:i " \
         "wait_us:i close_needed:i ptr link remote_pid:i tls application_name prepared_statements:i id:i"
DEBUG = " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i"

COLUMNS = {
    "CLIENTS": SOCKET,
    "SERVERS": SOCKET,
    "POOLS": "database user cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i "
             "sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i "
             "maxwait_us:i pool_mode load_balance_hosts",
    "DATABASES": "name host port:i database force_user pool_size:i min_pool_size:i reserve_pool_size:i "
                 "server_lifetime:i pool_mode load_balance_hosts max_connections:i current_connections:i "
                 "max_client_connections:i current_client_connections:i paused:i disabled:i",
    "USERS": "name pool_size reserve_pool_size pool_mode max_user_connections:i current_connections:i "
             "max_user_client_connections:i current_client_connections:i",
    "STATS": "database " + " ".join(f"total_{c}:N" for c in STATS.split()) + " " +
             " ".join(f"avg_{'recv' if c == 'received' else c}:N" for c in STATS.split()),
    "FDS": "fd:i task user database addr port:i cancel:q link:i client_encoding std_strings datestyle timezone password "
           "scram_client_key:b scram_server_key:b",
    "LISTS": "list items:i",
    "SOCKETS": SOCKET + DEBUG,
    "ACTIVE_SOCKETS": SOCKET + DEBUG,
    "STATS_TOTALS": "database " + " ".join(f"{c}:N" for c in TOTALS.split()),
    "STATS_AVERAGES": "database " + " ".join(f"{c}:N" for c in TOTALS.split()[:8]) + " avg_client_parse_count:N "
                      "avg_server_parse_count:N avg_bind_count:N avg_client_login_count:N",
    "TOTALS": "name value:N",
    "MEM": "name size:i used:i free:i memtotal:i",
    "STATE": "key value",
    "PEERS": "peer_id:i host port:i pool_size:i",
    "PEER_POOLS": "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i",
    "DNS_HOSTS": "hostname ttl:q addrs",
    "DNS_ZONES": "zonename serial:q count:i",
    "CONFIG": "key value default changeable",
    "VERSION": "version",
}


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, stats_users="other")


@pytest.fixture
def console(proxy):
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    return c


@pytest.mark.parametrize("what", COLUMNS)
def test_show_has_pgbouncers_columns(proxy, console, what):
    proxy.connect().execute("SELECT 1")
    answer = console.simple(f"SHOW {what}")
    assert answer.error is None, answer.error.fields()
    head = next(m for m in answer.messages if m.kind == "T")
    want = [c.partition(":") for c in COLUMNS[what].split()]
    assert head.columns() == [name for name, _, _ in want]
    assert head.types() == [{"": TEXT, "i": INT4, "q": INT8, "N": NUMERIC, "b": BYTEA}[kind] for _, _, kind in want]
    assert answer.tags == ["SHOW"]


def test_show_is_forgiving_about_case_and_semicolons(console):
    for sql in ("show version", "SHOW VERSION;", "  Show   Version ; "):
        assert console.simple(sql).value().startswith("PgBouncer 1.25.")


def test_both_names_of_the_console_work(proxy):
    with proxy.raw() as c:
        c.startup(user="boss", database="pgusher")
        assert "pgusher" in c.simple("SHOW VERSION").value()


def test_the_login_parameters_are_pgbouncers(console):
    assert "bouncer" in console.parameters["server_version"]
    assert console.parameters["client_encoding"] == "UTF8"


def test_clients_and_servers_are_listed(proxy, console):
    a = proxy.connect(application_name="seen here")
    a.execute("SELECT 1")
    rows = [r for r in console.simple("SHOW CLIENTS").dicts() if r["database"] == "app"]
    assert [(r["user"], r["state"], r["application_name"]) for r in rows] == [("app", "idle", "seen here")] or \
        [(r["user"], r["state"]) for r in rows] == [("app", "active")]
    servers = [r for r in console.simple("SHOW SERVERS").dicts() if r["database"] == "app"]
    assert [(r["user"], r["state"]) for r in servers] in ([("app", "idle")], [("app", "used")])
    with a.transaction():
        a.execute("SELECT 1")
        pools = [r for r in console.simple("SHOW POOLS").dicts() if r["database"] == "app"]
        assert [(r["cl_active"], r["sv_active"]) for r in pools] == [("1", "1")]
        clients = [r for r in console.simple("SHOW CLIENTS").dicts() if r["database"] == "app"]
        servers = [r for r in console.simple("SHOW SERVERS").dicts() if r["database"] == "app"]
        assert clients[0]["state"] == servers[0]["state"] == "active"
        sockets = [r for r in console.simple("SHOW SOCKETS").dicts() if r["database"] == "app"]
        assert {(r["type"], r["state"]) for r in sockets} == {("C", "cl_active"), ("S", "sv_active")}
        assert clients[0]["link"] == servers[0]["ptr"] and servers[0]["link"] == clients[0]["ptr"]
        assert servers[0]["remote_pid"] == str(a.execute("SELECT pg_backend_pid()").fetchone()[0])


def test_pools_show_who_waits(proxy, console):
    holders = [proxy.connect(autocommit=False) for _ in range(2)]
    for h in holders:
        h.execute("SELECT 1")
    waiter = proxy.raw()
    waiter.startup()
    waiter.send(wire.query("SELECT 1"))
    row = lambda: next(r for r in console.simple("SHOW POOLS").dicts() if r["database"] == "app")
    wait_for("the waiter to be seen", lambda: row()["cl_waiting"] == "1")
    wait_for("its wait to grow", lambda: int(row()["maxwait_us"]) + 1_000_000 * int(row()["maxwait"]) > 0)
    for h in holders:
        h.rollback()
    waiter.until_ready()
    assert row()["cl_waiting"] == "0"


def test_stats_count_queries_and_transactions(proxy, console):
    stats = lambda: next((r for r in console.simple("SHOW STATS").dicts() if r["database"] == "app"), None)
    c = proxy.connect()
    c.execute("SELECT 1")
    before = stats()
    with c.transaction():
        c.execute("SELECT 1")
        c.execute("SELECT 2")
    c.execute("SELECT 3")

    def grown():
        now = stats()
        delta = lambda k: int(now[k]) - int(before[k])
        return delta("total_xact_count") == 2 and delta("total_query_count") >= 3 and \
            delta("total_received") > 0 and delta("total_sent") > 0

    wait_for("the counters to move", grown, 5)


def test_a_console_session_is_one_query_in_the_stats_as_in_pgbouncer(proxy, console):
    def count():
        row = next(r for r in console.simple("SHOW STATS").dicts() if r["database"] == "pgbouncer")
        return int(row["total_query_count"]), int(row["total_xact_count"])

    assert count() == count() == (1, 1)
    proxy.console("SHOW POOLS")
    assert count() == (2, 2)


def test_lists_counts(proxy, console):
    rows = {r["list"]: int(r["items"]) for r in console.simple("SHOW LISTS").dicts()}
    assert list(rows)[:6] == ["databases", "users", "peers", "pools", "peer_pools", "free_clients"]
    assert rows["used_clients"] >= 1


def test_config_shows_values_and_defaults(console):
    rows = {r["key"]: r for r in console.simple("SHOW CONFIG").dicts()}
    assert rows["default_pool_size"]["value"] == "2" and rows["default_pool_size"]["default"] == "20"
    assert rows["default_pool_size"]["changeable"] == "yes" and rows["listen_port"]["changeable"] == "no"
    assert "max_client_conn" in rows and "workers" in rows


def test_help_is_a_notice_with_detail(console):
    answer = console.simple("SHOW HELP")
    assert any("SHOW" in n.get("D", "") for n in answer.notices) and answer.tags == ["SHOW"]


@pytest.mark.parametrize("what", ["NODES", "CACHE", "TOTALS", "STATS_TOTALS", "STATS_AVERAGES", "STATE", "MEM"])
def test_the_other_shows_answer(console, what):
    answer = console.simple(f"SHOW {what}")
    assert answer.error is None, answer.error.fields()
    assert answer.kinds.startswith("T") and answer.kinds.endswith("CZ")


@pytest.mark.parametrize("sql", ["SHOW NONSENSE", "NONSENSE", "SELECT 2 + 2", "SHOW", "", "PAUSE nowhere", "'"])
def test_nonsense_is_an_error_and_the_console_stays(console, sql):
    answer = console.simple(sql)
    if sql:
        assert answer.error is not None
    assert console.simple("SHOW VERSION").error is None


def test_who_may_use_the_console(proxy):
    with proxy.raw() as c:
        c.startup(user="other", database="pgbouncer")
        assert c.simple("SHOW POOLS").error is None
        for sql in ("PAUSE", "RELOAD", "SHUTDOWN", "RESUME"):
            assert c.simple(sql).error is not None, sql
    c = proxy.raw()
    c.send(wire.startup(user="app", database="pgbouncer"))
    e = c.expect_closed()[-1]
    assert e.kind == "E" and e.sqlstate in ("28000", "42501", "08P01", "3D000")


def test_pause_waits_for_transactions_and_resume_lets_go(proxy, console, cluster):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    console.send(wire.query("PAUSE app"))
    assert console.quiet(0.3), "PAUSE returns only when every server is released"
    c.rollback()
    assert console.until_ready().tags == ["PAUSE"]
    wait_for("the servers to be closed", lambda: not cluster.primary.backends(user="app"))
    waiter = proxy.raw()
    waiter.startup()
    waiter.send(wire.query("SELECT 1"))
    assert waiter.quiet(0.3)
    rows = {r["name"]: r for r in proxy.console("SHOW DATABASES")}
    assert rows["app"]["paused"] == "1"
    assert console.simple("RESUME app").tags == ["RESUME"]
    assert waiter.until_ready().kinds == "TDCZ"


def test_pause_of_all_and_resume(proxy, console):
    proxy.connect().execute("SELECT 1")
    assert console.simple("PAUSE").tags == ["PAUSE"]
    assert console.simple("RESUME").tags == ["RESUME"]
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_reload_takes_a_new_database_and_new_limits(proxy, console, cluster):
    proxy.databases["extra"] = cluster.primary.connstr
    proxy.options["default_pool_size"] = 7
    proxy.write()
    assert console.simple("RELOAD").tags == ["RELOAD"]
    assert proxy.connect(dbname="extra").execute("SELECT 1").fetchone() == (1,)
    rows = {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}
    assert rows["default_pool_size"] == "7"


def test_a_broken_reload_changes_nothing(proxy, console, cluster):
    proxy.databases["extra"] = cluster.primary.connstr
    proxy.options["default_pool_size"] = "lots"
    proxy.write()
    answer = console.simple("RELOAD")
    assert answer.error is not None and answer.sqlstate == "F0000"
    assert "RELOAD failed" in answer.error.fields()["M"]
    with pytest.raises(psycopg.OperationalError):
        proxy.connect(dbname="extra")
    assert {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}["default_pool_size"] == "2"
    assert f"{proxy.path.name}:" in proxy.log()


def test_a_changed_database_recycles_its_servers(proxy, console, cluster):
    c = proxy.connect()
    before = c.execute("SELECT pg_backend_pid(), current_database()").fetchone()
    proxy.databases["app"] = f"host=127.0.0.1 port={cluster.primary.port} dbname=postgres"
    proxy.write()
    console.simple("RELOAD")

    def moved():
        row = c.execute("SELECT pg_backend_pid(), current_database()").fetchone()
        return row[0] != before[0] and row[1] == "postgres"

    wait_for("the new database", moved)


def test_shutdown_ends_the_process(proxy, console):
    c = proxy.connect()
    c.execute("SELECT 1")
    console.send(wire.query("SHUTDOWN"))
    assert proxy.process.wait(10) == 0


def test_drivers_can_log_in_to_the_console(proxy):
    with proxy.connect(dbname="pgbouncer", user="boss") as c:
        cur = psycopg.ClientCursor(c)
        assert cur.execute("SHOW POOLS").description[0].name == "database"


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_reads_the_console_as_any_database(proxy, autocommit, binary):
    proxy.connect().execute("SELECT 1")
    with proxy.connect(dbname="pgbouncer", user="boss", autocommit=autocommit, prepare_threshold=2) as c:
        cur = c.cursor(binary=binary, row_factory=psycopg.rows.dict_row)
        for _ in range(5):  # prepared from the third on
            rows = {r["database"]: r for r in cur.execute("SHOW STATS").fetchall()}
            assert rows["app"]["total_query_count"] >= 1 and rows["pgbouncer"]["total_sent"] == 0
            assert {r["list"]: r["items"] for r in cur.execute("SHOW LISTS").fetchall()}["databases"] == 2
        c.rollback()
        assert cur.execute("SELECT 1").fetchone() == {"?column?": 1}


def test_psycopg_gives_commands_their_parameters(proxy):
    victim = proxy.connect(application_name="victim")
    with proxy.connect(dbname="pgbouncer", user="boss") as c:
        ids = {r[18]: r[20] for r in c.execute("SHOW CLIENTS").fetchall()}
        assert c.execute("SET default_pool_size = %s", ("9",)).statusmessage == "SET default_pool_size=9"
        assert c.execute("KILL_CLIENT %s", (ids["victim"],)).statusmessage == "KILL_CLIENT"
        with pytest.raises(psycopg.errors.InvalidCatalogName):
            c.execute("PAUSE %s", ("nowhere",))
        assert c.execute("PAUSE %s", ("app",)).statusmessage == "PAUSE"
        c.execute("RESUME %s", ("app",))
    with pytest.raises(psycopg.OperationalError):
        victim.execute("SELECT 1")


def test_a_pipeline_on_the_console(proxy):
    with proxy.connect(dbname="pgbouncer", user="boss") as c, c.pipeline():
        answers = [c.execute(f"SHOW {what}") for what in ("LISTS", "VERSION", "CLIENTS", "STATE")]
        assert [len(a.fetchall()) for a in answers] == [14, 1, 1, 3]


def test_a_signal_reloads(proxy, cluster):
    proxy.databases["extra"] = cluster.primary.connstr
    proxy.write()
    proxy.signal(signal.SIGHUP)

    def there():
        try:
            return proxy.connect(dbname="extra").execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_for("the new database", there)


READ_FDS = """
import os, socket, struct, sys
sys.path.insert(0, sys.argv[3])
from harness import wire
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect(sys.argv[1])
s.sendall(wire.startup(user=sys.argv[2], database="pgbouncer"))
have, fds = b"", []
while b"Z\\0\\0\\0\\5I" not in have:
    have += s.recv(65536)
s.sendall(wire.query("SHOW FDS"))
have = b""
while b"Z\\0\\0\\0\\5I" not in have:
    part, got, _, _ = socket.recv_fds(s, 200, 8)
    have, fds = have + part, fds + got
print(len(fds), have.count(b"client"), have.count(b"\\0\\0\\0\\6server"), have.count(b"pooler"))
print(sorted(socket.socket(fileno=fd).getsockname()[1] for fd in fds if socket.socket(fileno=os.dup(fd)).family == 2))
"""


def test_show_fds_gives_every_socket_to_the_servers_own_user(proxy):
    connections = [proxy.connect() for _ in range(30)]
    with connections[0].transaction():
        connections[0].execute("SELECT 1")
        out = subprocess.run(as_user([sys.executable, "-c", READ_FDS, str(proxy.folder / f".s.PGSQL.{proxy.port}"),
                                      "boss", str(pathlib.Path(__file__).parents[1])]),
                             capture_output=True, text=True, timeout=20, cwd=proxy.folder)
        assert out.returncode == 0, out.stderr
        counts, ports = out.stdout.splitlines()
        fds, _, servers, doors = (int(n) for n in counts.split())
        assert servers >= 1 and doors == 2 and fds == 30 + servers + doors
        assert ports.count(str(proxy.port)) == 31


def test_show_fds_tells_others_about_them(proxy, console):
    c = proxy.connect(options="-c datestyle=ISO,DMY")
    with c.transaction():
        c.execute("SELECT 1")
        rows = console.simple("SHOW FDS").dicts()
        client = next(r for r in rows if r["task"] == "client")
        server = next(r for r in rows if r["fd"] == client["link"])
        assert server["task"] == "server" and server["link"] == client["fd"]
        assert (client["user"], client["database"], client["addr"]) == ("app", "app", "127.0.0.1")
        assert client["password"] is None and client["scram_client_key"] is None
        assert server["std_strings"] == "on" and int(server["cancel"]) != 0
    assert console.extended("SHOW FDS").sqlstate == "0A000"
    with proxy.raw() as other:
        other.startup(user="other", database="pgbouncer")
        assert other.simple("SHOW FDS").sqlstate == "42501"


def settings(console):
    return {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}


@pytest.mark.parametrize("sql, tag, key, shown", [
    ("SET max_client_conn = '77'", "SET max_client_conn=77", "max_client_conn", "77"),
    ("set query_timeout to 2.5;", "SET query_timeout=2.5", "query_timeout", "2.5"),
    ("SET pool_mode = session", "SET pool_mode=session", "pool_mode", "session"),
    ("SET stats_users = 'a, b'", "SET stats_users=a, b", "stats_users", "a, b"),
    ("SET server_reset_query = ''", "SET server_reset_query=", "server_reset_query", ""),
])
def test_set_changes_and_show_config_tells(console, sql, tag, key, shown):
    assert console.simple(sql).tags == [tag]
    assert settings(console)[key] == shown


@pytest.mark.parametrize("sql, sqlstate", [
    ("SET max_client_conn = lots", "22023"),
    ("SET pool_mode = swimming", "22023"),
    ("SET listen_port = 1", "22023"),
    ("SET nonsense = 1", "42704"),
    ("SET max_client_conn", "42601"),
])
def test_set_is_checked_as_the_ini_is(console, sql, sqlstate):
    before = settings(console)
    assert console.simple(sql).sqlstate == sqlstate
    assert settings(console) == before


def test_what_is_set_holds_at_once_and_until_the_reload(proxy, console):
    assert console.simple("SET max_client_conn = 1").error is None
    proxy.connect()
    with pytest.raises(psycopg.OperationalError, match="max_client_conn"):
        proxy.connect()
    assert console.simple("RELOAD").tags == ["RELOAD"]
    assert settings(console)["max_client_conn"] == "1000"
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_kill_drops_clients_and_servers_and_leaves_the_database_paused(proxy, console, cluster):
    busy, idle = proxy.connect(autocommit=False), proxy.connect()
    busy.execute("SELECT 1")
    assert console.simple("KILL app").tags == ["KILL"]
    for c in (busy, idle):
        with pytest.raises(psycopg.OperationalError):
            c.execute("SELECT 1")
    wait_for("the servers to be gone", lambda: not cluster.primary.backends(user="app"))
    row = next(r for r in console.simple("SHOW DATABASES").dicts() if r["name"] == "app")
    assert row["paused"] == "1"
    assert console.simple("RESUME app").tags == ["RESUME"]
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_disable_rejects_new_clients_only(proxy, console):
    c = proxy.connect()
    assert console.simple("DISABLE app").tags == ["DISABLE"]
    with pytest.raises(psycopg.OperationalError, match='database "app" is disabled'):
        proxy.connect()
    assert c.execute("SELECT 1").fetchone() == (1,)
    assert console.simple("ENABLE app").tags == ["ENABLE"]
    proxy.connect()


def test_reconnect_replaces_servers_at_their_release_and_wait_close_waits_for_it(proxy, console):
    c = proxy.connect(autocommit=False)
    before = c.execute("SELECT pg_backend_pid()").fetchone()
    assert console.simple("RECONNECT app").tags == ["RECONNECT"]
    assert [r["close_needed"] for r in console.simple("SHOW SERVERS").dicts()] == ["1"]
    console.send(wire.query("WAIT_CLOSE app"))
    assert console.quiet(0.3)
    assert c.execute("SELECT pg_backend_pid()").fetchone() == before
    c.commit()
    assert console.until_ready().tags == ["WAIT_CLOSE"]
    assert c.execute("SELECT pg_backend_pid()").fetchone() != before


def test_pause_is_taken_back_by_a_cancel(proxy, console):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    console.send(wire.query("PAUSE"))
    assert console.quiet(0.2)
    console.cancel()
    assert console.until_ready().sqlstate == "57014"
    c.commit()
    assert c.execute("SELECT 1").fetchone() == (1,)


def open_console(proxy):
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    return c


def waiting_client(proxy, console):
    """Asks, and has to wait for a server."""
    c = proxy.raw()
    c.startup()
    c.send(wire.query("SELECT 'waited'"))
    wait_for("the wait", lambda: [r for r in console.simple("SHOW POOLS").dicts() if r["cl_waiting"] == "1"])
    return c


def is_paused(console):
    return next(r["paused"] for r in console.simple("SHOW DATABASES").dicts() if r["name"] == "app") == "1"


def all_paused(console):
    return next(r["value"] for r in console.simple("SHOW STATE").dicts() if r["key"] == "paused") == "yes"


@pytest.mark.parametrize("command", ["PAUSE", "PAUSE app"])
def test_a_console_that_leaves_while_its_pause_waits_leaves_the_pause(proxy, console, command):
    proxy.connect().execute("SELECT 1")
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    with open_console(proxy) as other:
        other.send(wire.query(command))
        assert other.quiet(0.2)
    c.commit()
    waiter = waiting_client(proxy, console)
    assert is_paused(console) == ("app" in command) and all_paused(console) == ("app" not in command)
    assert console.simple(command.replace("PAUSE", "RESUME")).tags == ["RESUME"]
    assert waiter.until_ready().value() == "waited"


def test_several_consoles_wait_for_one_pause_and_all_are_answered(proxy, console):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    consoles = []
    for command in ("PAUSE app", "PAUSE ('app')", "PAUSE"):
        consoles.append(open_console(proxy))
        consoles[-1].send(wire.query(command))
        assert consoles[-1].quiet(0.1)
    c.commit()
    assert [other.until_ready().tags for other in consoles] == [["PAUSE"]] * 3
    assert console.simple("RESUME").tags == console.simple("RESUME app").tags == ["RESUME"]
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_a_pause_that_waits_is_told_when_another_console_ends_it(proxy, console):
    c = proxy.connect(autocommit=False)
    c.execute("SELECT 1")
    other = open_console(proxy)
    other.send(wire.query("PAUSE app"))
    wait_for("the pause", lambda: is_paused(console))
    assert console.simple("RESUME").error.fields()["M"] == "pooler is not paused/suspended"
    assert console.simple("RESUME app").tags == ["RESUME"]
    assert other.until_ready().sqlstate == "57014"
    c.commit()


def test_a_pause_holds_for_databases_that_come_later(proxy, console, cluster):
    assert console.simple("PAUSE").tags == ["PAUSE"]
    proxy.databases["extra"] = cluster.primary.connstr
    proxy.write()
    assert console.simple("RELOAD").tags == ["RELOAD"]
    c = proxy.raw()
    c.send(wire.startup(user="app", database="extra"), wire.query("SELECT 1"))
    wait_for("the database to be used", lambda: [r for r in console.simple("SHOW POOLS").dicts() if r["database"] == "extra"])
    assert not [r for r in console.simple("SHOW SERVERS").dicts() if r["database"] == "extra"]
    assert console.simple("RESUME").tags == ["RESUME"]
    assert c.until("D").value() == "1"


def test_signals_leave_what_was_paused_by_name(proxy, console):
    assert console.simple("PAUSE app").tags == ["PAUSE"]
    proxy.signal(signal.SIGUSR1)
    wait_for("the pause", lambda: all_paused(console))
    proxy.signal(signal.SIGUSR2)
    wait_for("its end", lambda: not all_paused(console))
    assert is_paused(console)
    proxy.signal(signal.SIGUSR2)
    wait_for("the log", lambda: "got SIGUSR2, but not paused/suspended" in proxy.log())
    assert console.simple("RESUME app").tags == ["RESUME"]


def test_shutdown_waits_for_servers_and_there_are_none_while_paused(proxy, console):
    proxy.connect().execute("SELECT 1")
    assert console.simple("PAUSE").tags == ["PAUSE"]
    waiter = waiting_client(proxy, console)
    assert console.simple("SHUTDOWN WAIT_FOR_SERVERS").tags == ["SHUTDOWN"]
    error = waiter.expect_closed()[-1].fields()
    assert (error["S"], error["C"], error["M"]) == ("FATAL", "57P01", "server shutting down")
    assert proxy.process.wait(10) == 0


def test_shutdown_waits_for_clients_that_are_resumed_by_name(proxy, console):
    proxy.connect().execute("SELECT 1")
    assert console.simple("PAUSE app").tags == ["PAUSE"]
    waiter = waiting_client(proxy, console)
    assert console.simple("SHUTDOWN WAIT_FOR_CLIENTS").tags == ["SHUTDOWN"]
    wait_for("it to be known", lambda: console.simple("RESUME").error.fields()["M"] == "pooler is shutting down")
    assert waiter.quiet(0.1)
    assert console.simple("RESUME app").tags == ["RESUME"]
    assert waiter.until("E").rows == [[b"waited"]]
    assert proxy.process.wait(10) == 0


def test_of_several_shutdowns_on_the_console_the_last_one_counts(proxy, console):
    busy = [proxy.connect(autocommit=False) for _ in range(2)]
    for c in busy:
        c.execute("SELECT 1")
    waiter = waiting_client(proxy, console)
    for _ in range(2):
        assert console.simple("SHUTDOWN WAIT_FOR_CLIENTS").tags == ["SHUTDOWN"]
    assert waiter.quiet(0.3)
    assert console.simple("SHUTDOWN WAIT_FOR_SERVERS").tags == ["SHUTDOWN"]
    assert waiter.receive().fields()["M"] == "server shutting down"
    for c in busy:
        c.execute("SELECT 2")
    console.send(wire.query("SHUTDOWN"))
    assert [m.sqlstate for m in console.expect_closed()] == ["57P01"]
    assert proxy.process.wait(10) == 0


def test_signals_pause_and_resume(proxy, console):
    c = proxy.raw()
    c.startup()
    c.simple("SELECT 1")
    state = lambda: {r["key"]: r["value"] for r in console.simple("SHOW STATE").dicts()}
    proxy.signal(signal.SIGUSR1)
    wait_for("the pause", lambda: state()["paused"] == "yes")
    c.send(wire.query("SELECT 1"))
    assert c.quiet(0.2)
    proxy.signal(signal.SIGUSR2)
    assert c.until_ready().value() == "1"
    assert state()["active"] == "yes"


def test_shutdown_waits_for_servers(proxy, console):
    """Who is in a transaction ends it; who waits for a server, or does nothing, is thrown out."""
    busy, idle = proxy.connect(autocommit=False), proxy.raw()
    busy.execute("SELECT 1")
    idle.startup()
    assert console.simple("SHUTDOWN WAIT_FOR_SERVERS").tags == ["SHUTDOWN"]
    assert idle.expect_closed()
    assert busy.execute("SELECT 2").fetchone() == (2,)
    wait_for("the port to be closed", lambda: not accepts(proxy.port))
    busy.commit()
    assert proxy.process.wait(10) == 0


def test_shutdown_waits_for_clients(proxy, console):
    busy = proxy.connect(autocommit=False)
    busy.execute("SELECT 1")
    assert console.simple("SHUTDOWN WAIT_FOR_CLIENTS").tags == ["SHUTDOWN"]
    wait_for("the port to be closed", lambda: not accepts(proxy.port))
    with proxy.raw(path=proxy.folder / f".s.PGSQL.{proxy.port}") as other:  # the console is still to be had
        other.startup(user="boss", database="pgbouncer")
        assert other.simple("SHOW VERSION").error is None
        assert other.simple("RESUME").error is not None
    assert busy.execute("SELECT 2").fetchone() == (2,)
    busy.commit()
    assert proxy.process.wait(10) == 0


def test_a_server_at_rest_for_long_is_used_not_idle(run_pgusher, cluster):
    proxy = run_pgusher({"app": cluster.primary.connstr}, server_check_delay="0.2")
    proxy.connect().execute("SELECT 1")
    states = lambda: [r["state"] for r in proxy.console("SHOW SERVERS")]
    wait_for("the time to pass", lambda: states() == ["used"])
    row = next(r for r in proxy.console("SHOW POOLS") if r["database"] == "app")
    assert (row["sv_idle"], row["sv_used"]) == ("0", "1")
    assert [r["state"] for r in proxy.console("SHOW SOCKETS") if r["type"] == "S"] == ["sv_used"]
