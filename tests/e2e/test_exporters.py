"""What reads PgBouncer's console in the field, unchanged: an exporter, foreign tables by position, drivers by name."""

import re
import urllib.request

import psycopg
import psycopg2
import psycopg2.extras
import pytest

from harness.process import Process, free_port, wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": f"{cluster.primary.connstr} pool_size=7 reserve_pool_size=3"}, stats_users="watcher",
                       users={"watcher": ""})


def test_debians_exporter_runs_unchanged(proxy, folder):
    """It reads columns by their names of PgBouncer 1.7; libpq's environment asks for those."""
    c = proxy.connect()
    for _ in range(5):
        c.execute("SELECT 1")
    port = free_port()
    exporter = Process(["prometheus-pgbouncer-exporter", "--host", "127.0.0.1", "--port", port, "--pgbouncer-port",
                        proxy.port, "--pgbouncer-host", "127.0.0.1", "--pgbouncer-user", "watcher"],
                       folder / "exporter.log", env={"PGOPTIONS": "-c pgusher.console_layout=1.7"})
    try:
        exporter.await_port(port)

        def read():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
            return {k: float(v) for k, v in re.findall(r"^(pgbouncer_\S+) (\S+)$", text, re.M)}

        metrics = wait_for("the counters", lambda: (m := read())['pgbouncer_requests_total{database="app"}'] >= 5 and m)
        assert metrics['pgbouncer_received_bytes_total{database="app"}'] > 0
        assert metrics['pgbouncer_active_clients{database="app",user="app"}'] == 1
        assert metrics['pgbouncer_pool_size{database="app"}'] == 7
        assert metrics['pgbouncer_reserve_pool{database="app"}'] == 3
        assert metrics["pgbouncer_databases"] == 2 and metrics["pgbouncer_used_clients"] >= 2
    finally:
        exporter.kill()


# By position, as pgbouncer_fdw declares them for PgBouncer 1.24 and newer.
LAYOUTS = {
    "clients": 'type text, "user" text, database text, replication text, state text, addr text, port int, '
               "local_addr text, local_port int, connect_time timestamptz, request_time timestamptz, wait int, "
               "wait_us int, close_needed int, ptr text, link text, remote_pid int, tls text, application_name text, "
               "prepared_statements int, id int",
    "config": "key text, value text, \"default\" text, changeable boolean",
    "databases": "name text, host text, port int, database text, force_user text, pool_size int, min_pool_size int, "
                 "reserve_pool_size int, server_lifetime int, pool_mode text, load_balance_hosts int, "
                 "max_connections int, current_connections int, max_client_connections int, "
                 "current_client_connections int, paused int, disabled int",
    "dns_hosts": "hostname text, ttl bigint, addrs text",
    "dns_zones": "zonename text, serial bigint, count int",
    "lists": "list text, items int",
    "mem": "name text, size int, used int, free int, memtotal int",
    "peers": "peer_id int, host text, port int, pool_size int",
    "peer_pools": "peer_id int, cl_active_cancel_req int, cl_waiting_cancel_req int, sv_active_cancel int, "
                  "sv_login int",
    "pools": 'database text, "user" text, cl_active int, cl_waiting int, cl_active_cancel_req int, '
             "cl_waiting_cancel_req int, sv_active int, sv_active_cancel int, sv_being_canceled int, sv_idle int, "
             "sv_used int, sv_tested int, sv_login int, maxwait int, maxwait_us int, pool_mode text, "
             "load_balance_hosts int",
    "state": "key text, value text",
    "stats": "database text, " + ", ".join(
        f"{c} numeric" for c in
        "total_server_assignment_count total_xact_count total_query_count total_received total_sent total_xact_time "
        "total_query_time total_wait_time total_client_parse_count total_server_parse_count total_bind_count "
        "total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent "
        "avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count "
        "avg_client_login_count".split()),
    "stats_totals": "database text, " + ", ".join(
        f"{c} numeric" for c in
        "server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time "
        "client_parse_count server_parse_count bind_count client_login_count".split()),
    "totals": "name text, value numeric",
    "users": "name text, pool_size text, reserve_pool_size text, pool_mode text, max_user_connections int, "
             "current_connections int, max_user_client_connections int, current_client_connections int",
    "version": "version text",
}
LAYOUTS["servers"] = LAYOUTS["clients"]
LAYOUTS["sockets"] = LAYOUTS["clients"] + ", " + ", ".join(
    f"{c} int" for c in "recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail".split())
LAYOUTS["active_sockets"] = LAYOUTS["sockets"]


@pytest.mark.parametrize("what", LAYOUTS)
def test_dblink_reads_by_position(proxy, cluster, what):
    proxy.connect(application_name="somebody").execute("SELECT 1")
    with psycopg.connect(f"host=127.0.0.1 port={cluster.primary.port} dbname=postgres user=postgres",
                         autocommit=True) as c:
        c.execute("CREATE EXTENSION IF NOT EXISTS dblink")
        rows = c.execute(f"SELECT * FROM dblink('host=127.0.0.1 port={proxy.port} dbname=pgbouncer user=watcher', "
                         f"'SHOW {what}') AS x ({LAYOUTS[what]})").fetchall()
    if what == "version":
        assert re.match(r"PgBouncer 1\.(2[4-9]|[3-9]\d)", rows[0][0])
    elif what not in ("dns_hosts", "dns_zones", "peers", "peer_pools", "active_sockets"):
        assert rows


def read_as_datadog(port):
    """psycopg2 in autocommit, rows by name."""
    c = psycopg2.connect(host="127.0.0.1", port=port, user="watcher", dbname="pgbouncer", connect_timeout=5)
    try:
        c.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        out = {}
        with c.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
            for what in ("STATS", "POOLS", "DATABASES", "CONFIG", "CLIENTS", "SERVERS", "VERSION"):
                cursor.execute(f"SHOW {what};")
                out[what] = [dict(row) for row in cursor]
        return out, c.notices
    finally:
        c.close()


def test_psycopg2_reads_by_name(proxy):
    app = proxy.connect()
    app.execute("SELECT 1")
    seen, _ = read_as_datadog(proxy.port)
    assert {r["database"] for r in seen["STATS"]} == {"app", "pgbouncer"}
    assert all(isinstance(v, int) for r in seen["POOLS"] for k, v in r.items() if k.startswith(("cl_", "sv_", "max")))
    assert next(r for r in seen["DATABASES"] if r["name"] == "app")["pool_size"] == 7
    assert {r["key"]: r["value"] for r in seen["CONFIG"]}["max_client_conn"] == "1000"
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+$", seen["CLIENTS"][0]["connect_time"])
    assert re.search(r"\d+\.\d+\.\d+", seen["VERSION"][0]["version"])[0] == "1.25.2"


def test_a_reader_in_transactions_gets_the_same(proxy):
    """psycopg2 as it is by default: BEGIN before the first query, ROLLBACK when it is given back."""
    c = psycopg2.connect(host="127.0.0.1", port=proxy.port, user="watcher", dbname="pgbouncer", connect_timeout=5)
    with c.cursor() as cursor:
        cursor.execute("SHOW LISTS")
        assert ("databases", 2) in cursor.fetchall()
    assert c.status == psycopg2.extensions.STATUS_IN_TRANSACTION
    c.rollback()
    c.reset()
    c.close()


def test_the_layouts_names_are_the_clients_own(proxy):
    with proxy.raw() as old, proxy.raw() as new:
        old.startup(user="boss", database="pgbouncer")
        new.startup(user="boss", database="pgbouncer")
        assert old.simple("SET pgusher.console_layout = '1.6'").sqlstate == "22023"
        assert old.simple("SET pgusher.console_layout = '1.7'").tags == ["SET"]
        assert old.simple("SHOW STATS").names[1] == "total_requests"
        assert old.extended("SHOW DATABASES").names[6] == "reserve_pool"
        assert new.simple("SHOW STATS").names[1] == "total_server_assignment_count"
