"""What people use: psql, pgbench, pg_dump and their kin give through pgusher what they give directly."""

import os
import re
import subprocess

import pytest

from harness.postgres import BIN

TABLES = """
CREATE TABLE {0} (id int PRIMARY KEY, kind text NOT NULL, amount numeric(10, 2) CHECK (amount >= 0), at timestamptz);
INSERT INTO {0} SELECT i, 'kind ' || i % 3, i, '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour'
    FROM generate_series(1, 300) i;
CREATE INDEX ON {0} (kind, at DESC) WHERE amount > 10;
CREATE TABLE {0}_part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE {0}_part_1 PARTITION OF {0}_part FOR VALUES FROM (0) TO (100);
CREATE TABLE {0}_part_2 PARTITION OF {0}_part DEFAULT;
INSERT INTO {0}_part SELECT i, 'v' || i FROM generate_series(1, 200) i;
CREATE VIEW {0}_view AS SELECT kind, sum(amount) FROM {0} GROUP BY kind;
CREATE MATERIALIZED VIEW {0}_mat AS SELECT * FROM {0}_view;
CREATE SEQUENCE {0}_seq;
CREATE FUNCTION {0}_f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
CREATE FUNCTION {0}_trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER {0}_t BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION {0}_trig();
ALTER TABLE {0} ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON {0} USING (true);
COMMENT ON TABLE {0} IS 'it''s a table';
CREATE TYPE {0}_mood AS ENUM ('sad', 'ok');
CREATE DOMAIN {0}_dom AS int CHECK (VALUE > 0);
SELECT lo_from_bytea(0, 'large object');
"""


DB = "tools"  # its own: other tests leave things in theirs


@pytest.fixture(scope="module")
def node(cluster):
    cluster.primary.execute(f"CREATE DATABASE {DB} OWNER app", dbname="postgres")
    yield cluster.primary
    cluster.primary.execute(f"DROP DATABASE {DB} WITH (FORCE)", dbname="postgres")


@pytest.fixture
def proxy(run_pgusher, node):
    return run_pgusher({"*": f"host=127.0.0.1 port={node.port}"}, default_pool_size=4)


@pytest.fixture
def tables(node, name):
    """Tables of app's with all kinds of things around them; their prefix."""
    app = node.connect(DB, "app")
    app.execute(TABLES.format(name))
    app.close()
    yield name
    app = node.connect(DB, "app")
    app.execute(f"DROP TABLE {name}, {name}_part CASCADE; DROP SEQUENCE {name}_seq; DROP FUNCTION {name}_f, {name}_trig; "
                f"DROP TYPE {name}_mood; DROP DOMAIN {name}_dom; SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    app.close()


def url(port, dbname=DB, user="app"):
    return f"postgresql://{user}@127.0.0.1:{port}/{dbname}"


def run(*argv, status=0, stdin="", **env):
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=100, input=stdin,
                         start_new_session=True, env={**os.environ, "PGCONNECT_TIMEOUT": "5", "LC_ALL": "C", **env})
    assert out.returncode == status, out.stderr
    return out


def said(out, *ports):
    """What a tool said, without what differs each time."""
    text = out.stdout + "--- stderr\n" + out.stderr
    for port in ports:
        text = text.replace(str(port), "PORT")
    text = re.sub(r"\\(un)?restrict \w+", r"\\\1restrict", text)
    return re.sub(r"\w+ \w+ +\d+ [\d:]+ \d+ \(every", "(every", text)


def both(node, proxy, argv, **more):
    """Runs the command of a port on both: argv is a function of it; the same must be said."""
    direct, through = (said(run(*argv(port), **more), node.port, proxy.port) for port in (node.port, proxy.port))
    assert through == direct
    return direct


# ---- psql

BACKSLASH = r"""
\d
\d {0}
\d+ {0}
\d+ {0}_part
\d {0}_view
\d {0}_mat
\d {0}_seq
\d {0}_kind_at_idx
\da count
\dA
\db
\dc
\dC
\dd
\dD {0}_dom
\ddp
\dE
\des
\det
\deu
\dew
\df {0}_f
\df+ {0}_f
\sf {0}_f
\sv {0}_view
\dFd english
\dFp
\dFt
\dg
\di {0}*
\dl
\dL
\dm {0}*
\dn
\do ~~
\dO
\dp {0}
\dP {0}*
\drds
\dRp
\dRs
\ds {0}*
\dt {0}*
\dT {0}*
\du
\dv {0}*
\dx
\dX
\dy
\l app
\z {0}
\encoding
\encoding LATIN1
SHOW client_encoding;
\encoding UTF8
\conninfo
\echo :DBNAME :USER :SERVER_VERSION_NAME :ENCODING
\set v 7
SELECT :v AS v, :'v' AS quoted \gx
SELECT 1 AS a, 'x' AS b \gset
\echo :a :b
SELECT 1::int AS a, 'x'::text AS b, now() AS c \gdesc
SELECT kind, id % 2 AS odd, count(*) FROM {0} GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview
SELECT format('SELECT %s AS n', i) FROM generate_series(1, 3) i \gexec
SELECT 1/(3 - nextval('{0}_seq')) AS n \watch 0.01
DISCARD SEQUENCES;
SELECT 1 \; SELECT 2;
SELECT 1 \g |cat
\t on
\a
SELECT * FROM {0} ORDER BY id LIMIT 2;
\errverbose
SELECT 1/0;
\errverbose
\if true
SELECT 'taken';
\else
SELECT 'not taken';
\endif
DO $$ BEGIN RAISE NOTICE 'a notice'; END $$;
\copy (SELECT * FROM {0} ORDER BY id LIMIT 3) TO STDOUT WITH CSV HEADER
\copy {0} FROM STDIN WITH CSV
1001,copied,1,2024-01-01
1002,copied,2,2024-01-01
\.
\copy {0} FROM STDIN WITH CSV
1003,copied,-1,2024-01-01
\.
\copy nosuch FROM STDIN
x
\.
COPY {0} TO STDOUT \g /dev/null
SELECT count(*) FROM {0} WHERE kind = 'copied';
DELETE FROM {0} WHERE kind = 'copied';
\c - other
SELECT current_user;
\c - app
SELECT current_user;
"""


def test_backslash_commands(node, proxy, tables, folder):
    script = folder / "backslash.sql"
    script.write_text(BACKSLASH.format(tables))
    seq = f"ALTER SEQUENCE {tables}_seq RESTART"
    both(node, proxy, lambda port: ["psql", "-X", url(port), "-c", seq, "-f", script])


def test_psql_bind(node, proxy):
    if int(re.search(r"(\d+)", run("psql", "--version").stdout).group(1)) < 16:
        pytest.skip(r"\bind came with psql 16")
    both(node, proxy, lambda port: ["psql", "-X", url(port), "-c", r"SELECT $1::int + $2::int \bind 1 2 \g"])


def test_large_objects_of_psql(node, proxy, folder):
    given, got = folder / "given", folder / "got"
    given.write_bytes(bytes(range(256)) * 400)
    script = folder / "lo.sql"
    script.write_text(f"\\lo_import {given} 'a comment'\n\\set oid :LASTOID\n\\lo_export :oid {got}\n\\dl\n"
                      f"\\lo_unlink :oid\n\\lo_unlink :oid\n\\lo_export :oid {got}\n"
                      f"BEGIN;\n\\lo_import {given}\nROLLBACK;\n\\dl\n\\lo_import /nosuch\n")
    for _ in range(2):
        heard = []
        for port in (node.port, proxy.port):
            got.unlink(missing_ok=True)
            out = said(run("psql", "-X", url(port), "-f", script), port)
            heard.append(re.sub(r"\b\d{5,}\b", "OID", out))
            assert got.read_bytes() == given.read_bytes()
        assert heard[0] == heard[1]


MODES = {
    "on_error_rollback": "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nINSERT INTO {0} VALUES (2001, 'x');\nSELECT 1/0;\n"
                         "INSERT INTO {0} VALUES (2001, 'twice');\nINSERT INTO {0} VALUES (2002, 'x');\nCOMMIT;\n",
    "fetch_count": "\\set FETCH_COUNT 7\nSELECT * FROM {0} ORDER BY id;\nSELECT 100 / (20 - i) FROM generate_series(1, 30) i;"
                   "\nBEGIN;\nSELECT id FROM {0} ORDER BY id;\nSELECT 1;\nCOMMIT;\n",
    "autocommit_off": "\\set AUTOCOMMIT off\nINSERT INTO {0} VALUES (2003, 'x');\nROLLBACK;\n"
                      "INSERT INTO {0} VALUES (2004, 'x');\nSELECT 1/0;\nSELECT 1;\nCOMMIT;\n"
                      "INSERT INTO {0} VALUES (2005, 'x');\nCOMMIT;\nSET work_mem = '3MB';\nROLLBACK;\nSHOW work_mem;\n",
    "on_error_stop": "\\set ON_ERROR_STOP off\nSELEC;\nSELECT 2;\n",
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_psql(node, proxy, tables, folder, mode):
    script = folder / "mode.sql"
    script.write_text(MODES[mode].format(tables) + f"SELECT id, kind FROM {tables} WHERE id > 2000 ORDER BY id;\n"
                      f"ROLLBACK;\nDELETE FROM {tables} WHERE id > 2000;\nCOMMIT;\n")
    both(node, proxy, lambda port: ["psql", "-X", url(port), "-f", script])


@pytest.mark.parametrize("last", ["SELECT 1/0;", "SELECT 1;"])
def test_psql_in_a_single_transaction(node, proxy, tables, folder, last):
    script = folder / "single.sql"
    script.write_text(f"INSERT INTO {tables} VALUES (3001, 'x');\n{last}\n")
    clean = f"DELETE FROM {tables} WHERE id > 3000 RETURNING id"
    both(node, proxy, lambda port: ["sh", "-c", f"psql -X -1 -v ON_ERROR_STOP=1 {url(port)} -f {script}; echo $?; "
                                                f"psql -X {url(port)} -c '{clean}'"])


def test_password_of_psql(node, proxy):
    node.execute("CREATE ROLE changer LOGIN")
    try:
        proxy.users["changer"] = ""
        proxy.write()
        proxy.console("RELOAD")
        run("psql", "-X", url(proxy.port, user="changer"), "-c", r"\password", stdin="new secret\nnew secret\n")
        secret, = node.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'changer'")[0]
        assert secret.startswith("SCRAM-SHA-256$")
    finally:
        node.execute("DROP ROLE changer")


def test_psql_talks_to_the_console(proxy):
    out = run("psql", "-X", "-A", proxy.url("pgbouncer", "boss"), "-c", "SHOW POOLS")
    assert out.stdout.startswith("database|user|cl_active|")


# ---- pg_dump and pg_restore


def dump(port, *more):
    return [BIN / "pg_dump", url(port), *more]


@pytest.mark.parametrize("more", [(), ("--serializable-deferrable",), ("--inserts", "--rows-per-insert=50"),
                                  ("--clean", "--if-exists"), ("--schema-only",), ("--data-only",)],
                         ids=lambda more: " ".join(more) or "plain")
def test_pg_dump_in_plain_text(node, proxy, tables, more):
    assert "CREATE TABLE" in both(node, proxy, lambda port: dump(port, *more)) or "--data-only" in more


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_pg_dump_and_pg_restore(node, proxy, tables, folder, form):
    """Through pgusher there and back: what is restored is what was there."""
    jobs = ["-j", "2"] if form == "directory" else []
    run(*dump(proxy.port, "-F", form, "-f", folder / "dump", *jobs))
    run(*dump(node.port, "-F", form, "-f", folder / "direct", *jobs))
    listed = [said(run(BIN / "pg_restore", "-f", "-", folder / which)) for which in ("dump", "direct")]
    assert listed[0] == listed[1]
    node.execute(f"CREATE DATABASE {tables}_new OWNER app", dbname="postgres")
    try:
        run(BIN / "pg_restore", "-j", "2", "--no-owner", "-d", url(proxy.port, f"{tables}_new"), folder / "dump")
        before, after = (said(run(BIN / "pg_dump", "--no-owner", url(node.port, db))) for db in (DB, f"{tables}_new"))
        assert after == before
        run(BIN / "pg_restore", "--clean", "--single-transaction", "--no-owner", "-d",
            url(proxy.port, f"{tables}_new"), folder / "dump")
        assert said(run(BIN / "pg_dump", "--no-owner", url(node.port, f"{tables}_new"))) == before
    finally:
        node.execute(f"DROP DATABASE {tables}_new WITH (FORCE)", dbname="postgres")


def test_pg_dumpall(node, proxy, tables):
    both(node, proxy, lambda port: [BIN / "pg_dumpall", "--exclude-database=app", "-d", url(port, "postgres", "postgres")])


@pytest.mark.parametrize("tool", ["vacuumdb", "reindexdb", "clusterdb"])
def test_maintenance_in_parallel(node, proxy, tables, tool):
    jobs = [] if tool == "clusterdb" else ["-j", "2"]
    more = ["--analyze"] if tool == "vacuumdb" else []
    both(node, proxy, lambda port: [BIN / tool, *jobs, *more, "-d", url(port, user="postgres")])


# ---- pgbench


@pytest.fixture
def bench(node, proxy):
    """pgbench's tables, made through pgusher."""
    run(BIN / "pgbench", "-i", "-q", "-s", "1", "--foreign-keys", url(proxy.port))
    yield proxy
    node.execute("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers", dbname=DB)


def check_totals(node):
    total = node.execute("SELECT sum(bbalance), (SELECT sum(tbalance) FROM pgbench_tellers), "
                         "(SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_branches", dbname=DB)[0]
    assert total[0] == total[1] == total[2]


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_runs_clean(bench, node, protocol):
    """A thread per client: pgbench prepares synchronously, and must not hold up a client that holds a server."""
    out = run(BIN / "pgbench", "-n", "-M", protocol, "-c", "20", "-j", "20", "-t", "30", "-P", "1", url(bench.port))
    assert "number of failed transactions: 0" in out.stdout
    run(BIN / "pgbench", "-n", "-M", protocol, "-S", "-c", "20", "-j", "20", "-t", "100", url(bench.port))
    check_totals(node)


@pytest.mark.parametrize("protocol", ["extended", "prepared"])
def test_pgbench_in_a_pipeline(bench, node, folder, protocol):
    script = folder / "pipeline.sql"
    script.write_text("\\set aid random(1, 100000)\n\\startpipeline\nBEGIN;\n"
                      "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
                      "UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1;\n"
                      "UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\nEND;\n\\endpipeline\n")
    out = run(BIN / "pgbench", "-n", "-M", protocol, "-c", "6", "-j", "6", "-t", "20", "-f", script, url(bench.port))
    assert "number of transactions actually processed: 120/120" in out.stdout
    assert node.execute("SELECT bbalance FROM pgbench_branches", dbname=DB) == [(120,)]
    check_totals(node)


def test_pgbench_connecting_each_time(bench, node):
    run(BIN / "pgbench", "-n", "-C", "-c", "4", "-t", "25", url(bench.port))
    check_totals(node)
