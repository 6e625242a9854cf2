"""The primary dies and a replica is promoted: writes wait, then go to the new one; nothing runs twice."""

import threading

import psycopg
import pytest

from harness.postgres import Cluster
from harness.process import wait_for, work_folder


@pytest.fixture
def pair():
    with work_folder("failover") as path:
        c = Cluster(path, replicas=1)
        try:
            yield c
        finally:
            c.stop()


@pytest.mark.seconds(120)
def test_writes_follow_a_promoted_replica(run_pgusher, pair, name):
    pair.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    pair.catch_up()
    p = run_pgusher({"app": f"{pair.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    replica_lag_check_period="100ms", failover_wait="30s", server_login_retry=1)
    c = p.connect()
    c.execute(f"INSERT INTO {name} VALUES (1)")
    pair.catch_up()
    acked, failures, done = [1], [], threading.Event()

    def work():
        n = 1
        conn = p.connect()
        while not done.is_set():
            n += 1
            try:
                conn.execute(f"INSERT INTO {name} VALUES (%s)", (n,))
                acked.append(n)
            except psycopg.Error as e:
                failures.append(e)
                done.wait(0.1)  # as an application would, before it connects again
                conn.close()
                try:
                    conn = p.connect()
                except psycopg.Error as again:
                    failures.append(again)

    t = threading.Thread(target=work)
    t.start()
    wait_for("some writes", lambda: len(acked) > 20)
    replica = pair.replicas[0]
    pair.primary.stop()
    before = len(acked)
    replica.execute("SELECT pg_promote(true, 30)", dbname="postgres")
    wait_for("writes on the new primary", lambda: len(acked) > before + 20, 40)
    done.set()
    t.join()
    # asynchronous replication may lose the last ones; what was acknowledged by the new primary is there, once
    stored = [v for v, in replica.execute(f"SELECT v FROM {name} ORDER BY v")]
    assert len(stored) == len(set(stored)), "a statement ran twice"
    assert set(acked[before + 1:]) <= set(stored)
    assert len(failures) < 20, failures[:3]


@pytest.mark.seconds(120)
def test_a_write_waits_for_the_new_primary(run_pgusher, pair, name):
    pair.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    pair.catch_up()
    p = run_pgusher({"app": f"{pair.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    replica_lag_check_period="100ms", failover_wait="30s", server_login_retry=1)
    c = p.connect()
    wait_for("the roles to be known", lambda: len(p.console("SHOW NODES")) == 2)
    c.execute(f"INSERT INTO {name} VALUES (0)")
    pair.catch_up()

    def read_by_the_replica():
        mark = pair.replicas[0].mark()
        c.execute(f"SELECT count(*) FROM {name}")
        return pair.replicas[0].ran(name, mark)

    wait_for("the replica to have the write, and us to know", read_by_the_replica)
    pair.primary.stop()
    result = []

    def late():
        try:
            with p.connect() as d:
                d.execute(f"INSERT INTO {name} VALUES (1)")
                result.append("written")
        except psycopg.Error as e:
            result.append(e)

    t = threading.Thread(target=late)
    t.start()
    with p.connect() as reader:
        assert reader.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,), "reads go on meanwhile"
    t.join(1.0)
    assert not result, f"it should wait: {result}"
    pair.replicas[0].execute("SELECT pg_promote(true, 30)", dbname="postgres")
    t.join(30)
    assert result == ["written"]
    assert pair.replicas[0].execute(f"SELECT v FROM {name} ORDER BY v") == [(0,), (1,)]


def test_a_node_in_recovery_is_never_the_primary(run_pgusher, pair, name):
    """Without its primary, a replica alone takes no writes: they fail after failover_wait."""
    pair.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    pair.catch_up()
    pair.primary.stop()
    p = run_pgusher({"app": f"{pair.host_list} dbname=app"}, monitor_user="postgres", read_write_split="on",
                    replica_lag_check_period="100ms", failover_wait="1s", server_login_retry=1, query_wait_timeout=5)
    with pytest.raises(psycopg.Error) as e:
        p.connect().execute(f"INSERT INTO {name} VALUES (1)")
    assert e.value.sqlstate != "25006", "it must not be tried on the replica"
