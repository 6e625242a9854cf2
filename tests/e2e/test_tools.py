"""What people use: psql, pgbench, pg_dump."""

import os
import subprocess

import pytest

from harness.postgres import BIN


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=4)


def run(*argv, **env):
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=55,
                         env={**os.environ, "PGCONNECT_TIMEOUT": "5", **env})
    assert out.returncode == 0, out.stderr
    return out


def test_psql_runs_a_script(proxy, name):
    out = run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", proxy.url(), "-c",
              f"CREATE TABLE {name} AS SELECT generate_series(1, 5) AS v", "-c", f"SELECT sum(v) FROM {name}",
              "-c", r"\copy (SELECT 1) TO STDOUT", "-c", rf"\d {name}")
    assert "15" in out.stdout and "integer" in out.stdout


def test_psql_talks_to_the_console(proxy):
    out = run("psql", "-X", "-A", proxy.url("pgbouncer", "boss"), "-c", "SHOW POOLS")
    assert out.stdout.startswith("database|user|cl_active|")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_runs_clean(proxy, cluster, protocol):
    """A thread per client: pgbench prepares synchronously, and must not hold up a client that holds a server."""
    if not cluster.primary.execute("SELECT 1 FROM pg_class WHERE relname = 'pgbench_accounts'"):
        run(BIN / "pgbench", "-i", "-q", "-s", "1", f"host=127.0.0.1 port={cluster.primary.port} user=app dbname=app")
    out = run(BIN / "pgbench", "-n", "-M", protocol, "-c", "20", "-j", "20", "-t", "30", proxy.url())
    assert "number of failed transactions: 0" in out.stdout
    run(BIN / "pgbench", "-n", "-M", protocol, "-S", "-c", "20", "-j", "20", "-t", "100", proxy.url())
    total = cluster.primary.execute("SELECT sum(bbalance), (SELECT sum(tbalance) FROM pgbench_tellers), "
                                    "(SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_branches")[0]
    assert total[0] == total[1] == total[2]


def test_pgbench_connecting_each_time(proxy):
    out = subprocess.run([str(BIN / "pgbench"), "-n", "-C", "-c", "4", "-t", "25", "-f", "-", proxy.url()],
                         input="SELECT 1;\n", capture_output=True, text=True, timeout=55)
    assert out.returncode == 0, out.stderr


def test_pg_dump_gives_what_it_gives_directly(proxy, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} AS SELECT i, 'row ' || i AS t FROM generate_series(1, 1000) i; "
                            f"ALTER TABLE {name} OWNER TO app")
    direct = run(BIN / "pg_dump", "-t", name, f"postgresql://app@127.0.0.1:{cluster.primary.port}/app")
    through = run(BIN / "pg_dump", "-t", name, proxy.url())
    rows = lambda out: [l for l in out.stdout.splitlines() if "restrict " not in l]  # a new random word each time
    assert rows(through) == rows(direct)
