"""Reads go to replicas and all else to the primary, by the servers' own logs; own writes are read."""

import threading
import time

import psycopg
import pytest

from harness import wire
from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, replicated, things):
    """Started when the tables are there: what is made past it, it learns of with its next look at the catalog."""
    p = run_pgusher({"app": f"{replicated.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    replica_lag_check_period="50ms", default_pool_size=5)
    settle(p, replicated)
    return p


def settle(p, cluster):
    """Until the proxy has found out who is who: reads arrive on a replica."""
    cluster.catch_up()
    counter = iter(range(1_000_000))

    def reads_land_on_a_replica():
        token = f"settle{p.pid}_{next(counter)}"
        try:
            p.connect().execute(f"SELECT 1 /* {token} */")
        except psycopg.Error:
            return False
        return "primary" not in cluster.who_ran(token)

    wait_for("reads on replicas", reads_land_on_a_replica)


@pytest.fixture
def table(replicated, name):
    replicated.primary.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text); GRANT ALL ON {name} TO app; "
                               f"INSERT INTO {name} SELECT i, 'v' || i FROM generate_series(1, 10) i")
    replicated.catch_up()
    return name


def where(replicated, run, token):
    """The nodes that ran what run() sent."""
    marks = {n.name: n.mark() for n in replicated.nodes}
    run()
    names = replicated.who_ran(token, marks)
    return {"replica" if n.startswith("replica") else n for n in names}


READS = ["SELECT 1 /* {t} */", "SELECT * FROM {t}", "SELECT count(*) FROM {t} WHERE id > 3",
         "WITH x AS (SELECT * FROM {t}) SELECT * FROM x", "SELECT v FROM {t} UNION SELECT 'x' ORDER BY 1 LIMIT 2",
         "SELECT lower(v) FROM {t} WHERE v LIKE 'v%' -- for update", "VALUES (1) /* {t} */",
         "SELECT 'for update; insert into {t}' AS text", "TABLE {t}"]

WRITES = ["INSERT INTO {t} VALUES (100, 'x') ON CONFLICT DO NOTHING", "UPDATE {t} SET v = v WHERE id = 1",
          "DELETE FROM {t} WHERE id = 99", "SELECT * FROM {t} FOR UPDATE", "SELECT * FROM {t} FOR SHARE",
          "WITH x AS (INSERT INTO {t} VALUES (101, 'x') ON CONFLICT DO NOTHING RETURNING 1) SELECT * FROM x",
          "SELECT * INTO {t}_copy FROM {t}", "CREATE INDEX ON {t} (v)", "SELECT nextval('{t}_seq')",
          "SELECT {t}_f()", "DO $$ BEGIN PERFORM 1; END /* {t} */ $$", "CALL {t}_p()", "TRUNCATE {t}_trunc",
          "SELECT pg_advisory_xact_lock(1) /* {t} */", "SELECT random() /* {t} */", "SELECT txid_current() /* {t} */",
          "EXPLAIN ANALYZE UPDATE {t} SET v = v WHERE id = 1", "LOCK TABLE {t}", "ANALYZE {t}",
          "MERGE INTO {t} USING (SELECT 1 AS id) s ON {t}.id = s.id WHEN MATCHED THEN UPDATE SET v = 'm'",
          "SELECT 1 /* {t} */; UPDATE {t} SET v = v WHERE id = 1"]


@pytest.fixture
def things(replicated, table):
    replicated.primary.script(f"""CREATE SEQUENCE {table}_seq;
CREATE TABLE {table}_trunc (v int);
ALTER TABLE {table}_trunc OWNER TO app;
ALTER TABLE {table} OWNER TO app;
GRANT ALL ON SEQUENCE {table}_seq TO app;
GRANT CREATE ON SCHEMA public TO app;
CREATE FUNCTION {table}_f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE {table}_p() LANGUAGE sql AS $$ SELECT 1 $$""")
    replicated.catch_up()
    return table


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_reads_run_on_a_replica(proxy, replicated, things, protocol):
    c = proxy.raw()
    c.startup()
    wrong = []
    for sql in READS:
        text = sql.format(t=things)
        nodes = where(replicated, lambda: check(getattr(c, protocol)(text)), things)
        if nodes != {"replica"}:
            wrong.append((text, nodes))
    assert not wrong


def check(answer):
    assert answer.error is None, answer.error.fields()


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_writes_and_doubtful_statements_run_on_the_primary(proxy, replicated, things, protocol):
    c = proxy.raw()
    c.startup()
    wrong = []
    for sql in WRITES:
        text = sql.format(t=things)
        if protocol == "extended" and ";" in text.replace("END", "").rstrip(";") and text.startswith("SELECT 1"):
            continue  # one statement per Parse
        answers = []
        nodes = where(replicated, lambda: answers.append(getattr(c, protocol)(text)), things)
        if nodes != {"primary"}:
            wrong.append((text, nodes, answers[0].error and answers[0].error.fields()["M"]))
    assert not wrong


def test_both_replicas_are_used(proxy, replicated, name):
    marks = {n.name: n.mark() for n in replicated.nodes}
    for i in range(40):
        with proxy.connect() as c:
            c.execute(f"SELECT {i} /* {name} */")
    assert {n.name for n in replicated.replicas} <= set(replicated.who_ran(name, marks))


def test_transactions_go_to_the_primary_and_read_only_ones_to_a_replica(proxy, replicated, table):
    c = proxy.raw()
    c.startup()

    def transaction(begin):
        def run():
            check(c.simple(begin))
            check(c.simple(f"SELECT count(*) FROM {table}"))
            check(c.simple("COMMIT"))
        return where(replicated, run, table)

    assert transaction("BEGIN") == {"primary"}
    assert transaction("BEGIN READ ONLY") == {"replica"}
    assert transaction("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY") == {"replica"}
    assert transaction("BEGIN READ WRITE") == {"primary"}
    assert transaction("BEGIN ISOLATION LEVEL SERIALIZABLE") == {"primary"}


def test_a_write_in_a_read_only_transaction_fails_as_direct(proxy, table):
    c = proxy.raw()
    c.startup()
    c.simple("BEGIN READ ONLY")
    assert c.simple(f"UPDATE {table} SET v = 'x'").sqlstate == "25006"
    assert c.simple("ROLLBACK").status == "I"


def test_a_read_only_transaction_sees_one_snapshot_on_one_node(proxy, replicated, table):
    c = proxy.raw()
    c.startup()
    c.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    first = c.simple("SELECT inet_server_port(), pg_backend_pid()").rows
    for _ in range(3):
        assert c.simple("SELECT inet_server_port(), pg_backend_pid()").rows == first
    c.simple("COMMIT")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_own_writes_are_read_at_once(proxy, table, protocol):
    c = proxy.connect(prepare_threshold=0 if protocol == "prepared" else None)
    for i in range(200):
        if protocol == "simple":
            c.execute(f"UPDATE {table} SET v = 'w{i}' WHERE id = 1")
            got = c.execute(f"SELECT v FROM {table} WHERE id = 1")
        else:
            c.execute(f"UPDATE {table} SET v = %s WHERE id = 1", (f"w{i}",))
            got = c.execute(f"SELECT v FROM {table} WHERE id = %s", (1,))
        assert got.fetchone() == (f"w{i}",)


@pytest.mark.parametrize("scope", ["same client", "another client"])
def test_acknowledged_writes_are_read_while_replay_is_paused(proxy, replicated, table, scope):
    """cluster consistency is the default: every client sees what was acknowledged to any."""
    writer = proxy.connect()
    reader = writer if scope == "same client" else proxy.connect()
    reader.execute(f"SELECT v FROM {table} WHERE id = 1")
    for node in replicated.replicas:
        node.execute("SELECT pg_wal_replay_pause()")
    try:
        writer.execute(f"UPDATE {table} SET v = 'fresh' WHERE id = 1")
        for _ in range(5):
            assert reader.execute(f"SELECT v FROM {table} WHERE id = 1").fetchone() == ("fresh",)
            marks = [(node, node.mark()) for node in replicated.replicas]
            wait_for("probes, which must not overlook the pause", lambda: all(
                len(node.ran("pg_last_wal_replay_lsn", mark)) >= 3 for node, mark in marks))
        with writer.transaction():
            writer.execute(f"UPDATE {table} SET v = 'in tx' WHERE id = 1")
        assert reader.execute(f"SELECT v FROM {table} WHERE id = 1").fetchone() == ("in tx",)
    finally:
        for node in replicated.replicas:
            node.execute("SELECT pg_wal_replay_resume()")
    replicated.catch_up()
    wait_for("reads to return to the replicas", lambda: where(
        replicated, lambda: reader.execute(f"SELECT v FROM {table} WHERE id = 1"), table) == {"replica"})


def test_eventual_consistency_may_read_the_past(run_pgusher, replicated, table):
    p = run_pgusher({"app": f"{replicated.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    read_consistency="eventual", replica_lag_check_period="50ms")
    settle(p, replicated)
    c = p.connect()
    nodes = where(replicated, lambda: (c.execute(f"UPDATE {table} SET v = 'e' WHERE id = 2"),
                                       c.execute(f"SELECT v FROM {table} WHERE id = 2 /* read */")), "/* read */")
    assert nodes == {"replica"}


def test_a_lagging_replica_is_left_out(run_pgusher, replicated, table):
    p = run_pgusher({"app": f"{replicated.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    read_consistency="eventual", replica_lag_check_period="50ms", replica_max_lag="1s")
    settle(p, replicated)
    for node in replicated.replicas:
        node.execute("SELECT pg_wal_replay_pause()")
    try:
        c = p.connect()

        def reads_on_primary():
            replicated.primary.execute(f"UPDATE {table} SET v = v WHERE id = 5")
            return where(replicated, lambda: c.execute(f"SELECT v FROM {table} WHERE id = 5"), table + " WHERE id = 5"
                         ) >= {"primary"} and "replica" not in where(
                replicated, lambda: c.execute(f"SELECT 'lag' FROM {table}"), f"'lag' FROM {table}")

        wait_for("reads to leave the replicas", reads_on_primary, 15)
    finally:
        for node in replicated.replicas:
            node.execute("SELECT pg_wal_replay_resume()")
    replicated.catch_up()


def test_settings_are_carried_to_replicas_too(proxy):
    a = proxy.connect(options="-c work_mem=9MB")
    a.execute("SET app.x = 'mine'")
    for _ in range(5):
        row = a.execute("SELECT current_setting('work_mem'), current_setting('app.x'), pg_is_in_recovery()").fetchone()
        assert row[:2] == ("9MB", "mine")


def test_prepared_reads_and_writes_find_their_nodes(proxy, replicated, table):
    c = proxy.raw()
    c.startup()
    check(c.prepare("r", f"SELECT v FROM {table} WHERE id = $1"))
    check(c.prepare("w", f"UPDATE {table} SET v = $2 WHERE id = $1"))
    for i in range(20):
        check(c.run("w", ("3", f"p{i}")))
        assert c.run("r", ("3",)).value() == f"p{i}"
    replicated.catch_up()
    wait_for("prepared reads on a replica",
             lambda: where(replicated, lambda: c.run("r", ("3",)), f"SELECT v FROM {table}") == {"replica"})


def test_a_read_in_a_pipeline_with_a_write_sees_it(proxy, table):
    c = proxy.raw()
    c.startup()
    for i in range(30):
        c.send(wire.parse(f"UPDATE {table} SET v = 'pipe{i}' WHERE id = 4"), wire.bind(), wire.execute(), wire.SYNC,
               wire.parse(f"SELECT v FROM {table} WHERE id = 4"), wire.bind(), wire.execute(), wire.SYNC)
        answer = c.until_ready(2)
        assert answer.rows == [[f"pipe{i}".encode()]], answer


def test_hints_choose_the_seat(proxy, replicated, name):
    c = proxy.connect()
    assert where(replicated, lambda: c.execute(f"/* pgusher: primary */ SELECT '{name}a'"), f"{name}a") == {"primary"}
    assert where(replicated, lambda: c.execute(f"/* pgusher: replica */ SELECT '{name}b'"), f"{name}b") == {"replica"}


@pytest.mark.seconds(90)
def test_dead_replicas_cost_no_read(proxy, replicated, table):
    """Both replicas are killed and come back while clients go on reading."""
    failures, stop, reads = [], threading.Event(), [0]

    def read():
        try:
            with proxy.connect() as c:
                while not stop.is_set():
                    c.execute(f"SELECT v FROM {table} WHERE id = 1")
                    reads[0] += 1
        except Exception as e:  # a thread has nobody to raise to
            failures.append(e)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for node in replicated.replicas:
            node.stop()
        before = reads[0]
        wait_for("reads to go on", lambda: reads[0] > before + 50 or failures)
    finally:
        stop.set()
        for t in threads:
            t.join()
        for node in replicated.replicas:
            node.start()
    assert not failures, failures[:2]
    settle(proxy, replicated)


def test_without_a_monitor_user_all_goes_to_the_primary(run_pgusher, replicated, name):
    p = run_pgusher({"app": f"{replicated.host_list} dbname=app"}, read_write_split="on")
    c = p.connect()
    assert where(replicated, lambda: c.execute(f"SELECT '{name}'"), name) == {"primary"}


def test_show_nodes_knows_the_roles(proxy, replicated):
    rows = proxy.console("SHOW NODES")
    text = [str(r) for r in rows]
    for node in replicated.nodes:
        row = next(r for r in text if str(node.port) in r)
        assert ("primary" if node is replicated.primary else "replica") in row


def test_databases_made_from_the_star_are_watched_too(run_pgusher, cluster):
    """Without their probes no node would ever be the primary."""
    p = run_pgusher({"*": f"host=127.0.0.1 port={cluster.primary.port}"}, monitor_user="postgres",
                    read_write_split="on", failover_wait=5, autodb_idle_timeout=0.3, server_idle_timeout=0.2)
    for _ in range(2):
        with p.connect(dbname="app") as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
        wait_for("it to be gone", lambda: len(p.console("SHOW DATABASES")) == 1)


def reads_on(run_pgusher, replicated, table, **options):
    p = run_pgusher({"app": f"{replicated.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    read_consistency="session", replica_lag_check_period="50ms", **options)
    settle(p, replicated)
    return p, p.connect()


def test_with_primary_reads_always_the_primary_takes_its_turn(run_pgusher, replicated, table):
    _, c = reads_on(run_pgusher, replicated, table, primary_reads="always")
    seen = [where(replicated, lambda: c.execute(f"SELECT '{table}{i}'"), f"{table}{i}'").pop() for i in range(6)]
    assert (seen.count("primary"), seen.count("replica")) == (2, 4)


def test_with_primary_reads_never_a_read_waits_for_a_replica(run_pgusher, replicated, table):
    p, c = reads_on(run_pgusher, replicated, table, primary_reads="never", failover_wait=1)
    for node in replicated.replicas:
        node.execute("SELECT pg_wal_replay_pause()")
    try:
        c.execute(f"UPDATE {table} SET v = 'w' WHERE id = 2")
        with pytest.raises(psycopg.errors.CannotConnectNow, match="no replica can answer this read"):
            c.execute(f"SELECT v FROM {table} WHERE id = 2")
        assert c.execute(f"SELECT v FROM {table} WHERE id = 2 FOR SHARE").fetchone() == ("w",)  # no mere read
    finally:
        for node in replicated.replicas:
            node.execute("SELECT pg_wal_replay_resume()")
    mark = f"SELECT v /* {table} */"
    nodes = where(replicated, lambda: c.execute(f"{mark} FROM {table} WHERE id = 2"), mark)
    assert nodes == {"replica"}
