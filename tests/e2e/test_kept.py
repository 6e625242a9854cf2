"""Statements without a name that come again and again are kept prepared, and nobody can tell but by the time they take."""

import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.process import wait_for


def ask(sql, *params):
    return wire.parse(sql) + wire.bind(params=params) + wire.describe() + wire.execute() + wire.SYNC


def answer(a):
    """As a client sees it; tables have other OIDs each time."""
    return [(m.kind, {k: v for k, v in m.fields().items() if k not in "FLR"} if m.kind in "EN" else
             m.body.split(b"\0")[1:2] if m.kind == "T" else m.body) for m in a.messages if m.kind != "S"]


def start(run_pgusher, cluster, **options):
    """Only who knows the catalog knows what a plan may have folded into it."""
    p = run_pgusher({"app": cluster.primary.connstr}, **{"monitor_user": "postgres", **options})
    if options.get("monitor_user", True):
        wait_for("the catalog", lambda: "event=catalog_loaded" in p.log())
    return p


def play(port, node, table):
    text = f"SELECT * FROM {table} WHERE a = $1"
    again = wire.bind(params=("1",)) + wire.execute() + wire.SYNC
    change = node.execute
    change(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1); GRANT ALL ON {table} TO app")
    seen = []
    with FakeClient(port) as c:
        c.startup()

        def take(*messages):
            for m in messages:
                c.send(m)
                seen.append(answer(c.until_ready()))

        take(*[ask(text, "1")] * 8, ask(text, "x"), ask(text), ask(text, "1"), again)
        change(f"ALTER TABLE {table} ADD b int DEFAULT 3")
        take(*[ask(text, "1")] * 3)
        change(f"ALTER TABLE {table} RENAME a TO z")
        take(*[ask(text, "1")] * 2, again, wire.query("BEGIN"), ask(text, "1"), ask(text, "1"), wire.query("ROLLBACK"))
        change(f"ALTER TABLE {table} RENAME z TO a")
        take(wire.query("BEGIN"), ask(text, "1"), ask(text, "x"), wire.query("ROLLBACK"), again, ask(text, "1"), again)
        take(*[ask("SELECT 1 / $1::int", str(i % 2)) for i in range(12)])
        change(f"ALTER TABLE {table} OWNER TO app")
        take(wire.query("BEGIN"), wire.query(f"ALTER TABLE {table} ADD c int"), ask(text, "1"), wire.query("COMMIT"))
        take(wire.query("SELECT name FROM pg_prepared_statements"), ask(text, "1"))

        def take_at_once(*messages):
            c.send(*messages)
            seen.extend(answer(c.until_ready()) for _ in messages)

        take_at_once(*[ask(text, "x" if i == 2 else "1") for i in range(5)])
        # Others change the table; then come many at once, a transaction, and one right behind another.
        take(*[ask(text, "1")] * 8)
        change(f"ALTER TABLE {table} ADD d int DEFAULT 4")
        take_at_once(*[ask(text, "1")] * 3)
        take(*[ask(text, "1")] * 8)
        change(f"ALTER TABLE {table} ADD e int DEFAULT 5")
        take(wire.query("BEGIN"), ask(text, "1"), ask(text, "1"), wire.query("COMMIT"), ask(text, "1"))
        take(*[ask(text, "1")] * 8)
        change(f"ALTER TABLE {table} ADD f int DEFAULT 6")
        c.send(ask(text, "1"))
        c.send(ask(text, "1"))
        seen += [answer(c.until_ready()) for _ in range(2)]
        change(f"ALTER TABLE {table} ALTER a TYPE int8")
        take(ask(text, "3000000000"), ask(text, "1"))
    return seen


@pytest.mark.parametrize("pool_size", [1, 3])
def test_looks_as_it_does_directly(run_pgusher, cluster, name, pool_size):
    p = start(run_pgusher, cluster, default_pool_size=pool_size)
    through, direct = play(p.port, cluster.primary, name), play(cluster.primary.port, cluster.primary, name)
    for i, (a, b) in enumerate(zip(through, direct)):
        assert a == b, i


def parses(p):
    [row] = [s for s in p.console("SHOW STATS") if s["database"] == "app"]
    return int(row["total_server_parse_count"])


def run_often(p, text):
    with p.raw() as a, p.raw() as b:
        for c in (a, b):
            c.startup()
        before = parses(p)
        for i in range(100):
            for c in (a, b):
                c.send(ask(text, str(i)))
                assert c.until_ready().rows == [[str(i).encode()]]
        return parses(p) - before


def test_postgresql_parses_it_a_few_times(run_pgusher, cluster):
    p = start(run_pgusher, cluster, default_pool_size=1, workers=1)
    assert run_often(p, "SELECT $1::int") < 10


@pytest.mark.parametrize("options, text", [({"prepare_unnamed": 0}, "SELECT $1::int"), ({"max_prepared_statements": 0}, "SELECT $1::int"),
                                           ({"monitor_user": None}, "SELECT $1::int"), ({}, "SHOW server_version")])
def test_what_is_not_to_be_kept_is_parsed_each_time(run_pgusher, cluster, options, text):
    p = start(run_pgusher, cluster, default_pool_size=1, workers=1, **options)
    if "$1" in text:
        assert run_often(p, text) == 200
        return
    with p.raw() as c:
        c.startup()
        before = parses(p)
        for _ in range(20):
            c.send(ask(text))
            assert c.until_ready().error is None
        assert parses(p) - before == 20


def test_texts_that_come_once_are_not_kept(run_pgusher, cluster):
    p = start(run_pgusher, cluster, default_pool_size=1)
    with p.raw() as c:
        c.startup()
        for i in range(300):
            c.send(ask(f"SELECT {i}"))
            assert c.until_ready().rows == [[str(i).encode()]]
    assert [s["prepared_statements"] for s in p.console("SHOW SERVERS")] == ["0"]


# PostgreSQL folds these into a plan when it makes it, or before.
@pytest.mark.parametrize("text", [
    "SELECT 'now'::timestamp", "SELECT timestamptz 'now'", "SELECT CAST('now' AS timetz)", "SELECT {n}_liar()",
    "SELECT v FROM {n}_view", "INSERT INTO {n} VALUES ('now') RETURNING v", "INSERT INTO {n}_default (i) VALUES (1) RETURNING v"])
def test_what_moves_is_not_kept(run_pgusher, cluster, name, text):
    cluster.primary.script(f"""CREATE FUNCTION {name}_liar() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT clock_timestamp()::text';
CREATE VIEW {name}_view AS SELECT {name}_liar() AS v;
CREATE TABLE {name} (v timestamp);
CREATE TABLE {name}_default (i int, v text DEFAULT {name}_liar());
GRANT ALL ON ALL TABLES IN SCHEMA public TO app""")
    p = start(run_pgusher, cluster, default_pool_size=1)
    with p.raw() as c:
        c.startup()
        seen = set()
        for _ in range(20):
            c.send(ask(text.format(n=name)))
            [[value]] = c.until_ready().rows
            seen.add(value)
    assert len(seen) == 20


def test_a_table_that_comes_to_hide_another_is_seen(run_pgusher, cluster, name):
    cluster.primary.script(f"CREATE SCHEMA {name}; GRANT USAGE ON SCHEMA {name} TO app; CREATE TABLE public.{name}_t AS SELECT 1 AS v")
    cluster.primary.script("GRANT SELECT ON ALL TABLES IN SCHEMA public TO app")
    p = start(run_pgusher, cluster, default_pool_size=1)
    with p.raw() as c:
        c.startup(options=f"-c search_path={name},public")
        value = lambda: c.send(ask(f"SELECT v FROM {name}_t")) or c.until_ready().rows
        assert all(value() == [[b"1"]] for _ in range(20))
        cluster.primary.script(f"CREATE TABLE {name}.{name}_t AS SELECT 2 AS v; GRANT SELECT ON {name}.{name}_t TO app")
        wait_for("the other to be seen", lambda: value() == [[b"2"]])
