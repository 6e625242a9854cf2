"""SQL PREPARE, EXECUTE and DEALLOCATE, mixed with statements of the protocol: carried from server to server."""

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient

Q = wire.query
P = wire.parse


def batch(*messages):
    return b"".join(messages) + wire.SYNC


def run(text, name="", **bind):
    return P(text, name) + wire.bind(name, **bind) + wire.execute()


def answer(a):
    """All that a client can see, but where in PostgreSQL's source an error was made."""
    return [(m.kind, {k: v for k, v in m.fields().items() if k not in "FLR"} if m.kind in "EN" else m.body)
            for m in a.messages if m.kind != "S"]


def play(port, script):
    """Each step: who, and what is sent."""
    clients, seen = {}, []
    for who, message in script:
        if who not in clients:
            clients[who] = FakeClient(port)
            clients[who].startup()
        clients[who].send(message)
        seen.append((who, message, answer(clients[who].until_ready())))
    return seen


SCRIPTS = {
    "one name, two statements": [
        ("a", Q("PREPARE x(int) AS SELECT $1 + 1")), ("b", Q("PREPARE x AS SELECT 'b'")), ("a", Q("EXECUTE x(1)")),
        ("b", Q("EXECUTE x")), ("c", Q("EXECUTE x")), ("a", Q("EXECUTE x(2)")), ("c", Q("DEALLOCATE x")),
        ("a", Q("PREPARE x AS SELECT 1")), ("a", Q("DEALLOCATE x")), ("a", Q("EXECUTE x")), ("b", Q("EXECUTE x")),
        ("b", Q("DEALLOCATE ALL")), ("b", Q("EXECUTE x")), ("a", Q("PREPARE x AS SELECT 7")), ("a", Q("EXECUTE x"))],
    "names are as SQL reads them": [
        ("a", Q('PREPARE "A b" AS SELECT 1')), ("a", Q("PREPARE Ab AS SELECT 2")), ("a", Q("EXECUTE aB")),
        ("b", Q('EXECUTE "A b"')), ("a", Q('EXECUTE "A b"')), ("a", Q('DEALLOCATE PREPARE "A b"')),
        ("a", Q('EXECUTE "A b"')), ("a", Q("PREPARE " + "n" * 80 + " AS SELECT 3")), ("b", Q("EXECUTE ab")),
        ("a", Q("EXECUTE " + "n" * 80))],
    "errors and their places": [
        ("a", Q("PREPARE x AS SELECT nosuch")), ("a", Q("EXECUTE x")), ("a", Q("PREPARE x(int, text) AS SELECT $1, $2")),
        ("b", Q("PREPARE x AS SELECT 1")), ("a", Q("EXECUTE x(1)")), ("a", Q("EXECUTE x('a', 1)")),
        ("a", Q("  EXECUTE x(nosuch(1), 2)")), ("b", Q("EXECUTE x(1)")), ("a", Q("EXECUTE x(1, 2)")),
        ("a", Q("PREPARE y AS VACUUM")), ("a", Q("PREPARE y AS SELECT $1")), ("b", Q("EXECUTE x")),
        ("a", Q("EXECUTE y('t')")), ("a", Q("PREPARE y AS SELECT 1")), ("a", Q("PREPARE z AS SELECT $1 + $2::int")),
        ("b", Q("EXECUTE z(1, 2)")), ("a", Q("EXECUTE z(1, 2)"))],
    "transactions do not undo it": [
        ("a", Q("BEGIN")), ("a", Q("PREPARE x AS SELECT 5")), ("a", Q("ROLLBACK")), ("b", Q("PREPARE x AS SELECT 6")),
        ("a", Q("EXECUTE x")), ("a", Q("BEGIN")), ("a", Q("DEALLOCATE x")), ("a", Q("SELECT 1/0")),
        ("a", Q("PREPARE y AS SELECT 1")), ("a", Q("EXECUTE x")), ("a", Q("DEALLOCATE ALL")), ("a", Q("ROLLBACK")),
        ("a", Q("EXECUTE x")), ("a", Q("EXECUTE y")), ("a", Q("BEGIN; PREPARE z AS SELECT 9; SELECT 1/0")),
        ("a", Q("EXECUTE z")), ("a", Q("ROLLBACK")), ("b", Q("EXECUTE x")), ("a", Q("EXECUTE z")),
        ("a", Q("BEGIN")), ("a", Q("EXECUTE z")), ("a", Q("EXECUTE nosuch")), ("a", Q("EXECUTE z")), ("a", Q("COMMIT"))],
    "several in one text": [
        ("b", Q("PREPARE x AS SELECT 'b'")),
        ("a", Q("PREPARE x AS SELECT 1; EXECUTE x; DEALLOCATE x;  PREPARE x AS SELECT 8; SELECT 1/0; PREPARE y AS SELECT 1")),
        ("b", Q("EXECUTE x")), ("a", Q("EXECUTE x")), ("a", Q("EXECUTE y")),
        ("a", Q("EXECUTE x; EXECUTE x; DEALLOCATE x; EXECUTE x")), ("a", Q("EXECUTE x")), ("b", Q("EXECUTE x; DEALLOCATE ALL")),
        ("b", Q("EXECUTE x")), ("a", Q("PREPARE p AS SELECT 1; PREPARE p AS SELECT 2")), ("a", Q("EXECUTE p")),
        ("a", Q("DEALLOCATE ALL; PREPARE p AS SELECT 3; EXECUTE p")), ("b", Q("EXECUTE p")), ("a", Q("EXECUTE p"))],
    "by protocol, used by SQL": [
        ("a", batch(P("SELECT $1::int + 1", "s"))), ("b", Q("PREPARE s AS SELECT 0")), ("a", Q("EXECUTE s(4)")),
        ("a", Q("PREPARE s AS SELECT 1")), ("a", Q("EXPLAIN (COSTS off) EXECUTE s(4)")), ("b", Q("EXECUTE s")),
        ("a", batch(wire.bind("s", params=("4",)), wire.execute())), ("a", Q("DEALLOCATE s")), ("a", Q("EXECUTE s(4)")),
        ("a", batch(wire.bind("s", params=("4",)), wire.execute())), ("a", batch(P("SELECT nosuch", "s"))),
        ("a", Q("EXECUTE s")), ("a", batch(P("SELECT 1", "s"), wire.close("S", "s"))), ("a", Q("EXECUTE s"))],
    "by SQL, used by the protocol": [
        ("a", Q("PREPARE s(int) AS SELECT $1 + 1")), ("b", Q("PREPARE s AS SELECT 'b'")),
        ("a", batch(wire.describe("S", "s"))), ("b", batch(wire.bind("s"), wire.describe(), wire.execute())),
        ("a", batch(wire.bind("s", params=("4",)), wire.describe(), wire.execute())), ("a", batch(P("SELECT 1", "s"))),
        ("a", batch(wire.bind("s"), wire.execute())), ("a", batch(wire.close("S", "s"))), ("a", Q("EXECUTE s(1)")),
        ("a", batch(P("SELECT 2", "s"))), ("a", Q("EXECUTE s")), ("b", Q("EXECUTE s"))],
    "in batches": [
        ("b", Q("PREPARE x AS SELECT 'b'")),
        ("a", batch(run("PREPARE x(int) AS SELECT $1 * 2"), run("EXECUTE x(4)"), wire.describe("S", "x"),
                    wire.bind("x", params=("5",)), wire.execute())),
        ("b", batch(run("EXECUTE x"))), ("a", batch(P("EXECUTE x(6)"), wire.describe("S", ""))),
        ("b", Q("EXECUTE x")), ("a", batch(wire.bind(), wire.describe(), wire.execute())),
        ("a", batch(run("DEALLOCATE x"), run("EXECUTE x(4)"), run("PREPARE y AS SELECT 1"))), ("a", Q("EXECUTE y")),
        ("a", batch(run("PREPARE x AS SELECT 3"), wire.bind("nosuch"), run("PREPARE y AS SELECT 1"))),
        ("b", Q("EXECUTE x")), ("a", Q("EXECUTE x")), ("a", Q("EXECUTE y")),
        ("a", batch(P("PREPARE p AS SELECT 11", "m"), P("DEALLOCATE p", "n"), wire.bind("m", "one"), wire.bind("n", "two"),
                    wire.execute("two"), wire.execute("one"))),
        ("a", batch(wire.bind("m", "one"), wire.execute("one"))), ("b", Q("PREPARE p AS SELECT 'b'")),
        ("a", Q("EXECUTE p")), ("a", batch(run("DEALLOCATE ALL"), run("EXECUTE p"))), ("a", Q("EXECUTE x"))],
    "a prepared EXECUTE is its client's": [
        ("a", Q("PREPARE x AS SELECT 1")), ("b", Q("PREPARE x AS SELECT 'b'::text, 2")),
        ("a", batch(P("EXECUTE x", "e"), wire.describe("S", "e"))), ("b", batch(P("EXECUTE x", "e"), wire.describe("S", "e"))),
        ("a", batch(wire.bind("e"), wire.describe(), wire.execute())), ("b", batch(wire.bind("e"), wire.describe(), wire.execute())),
        ("a", batch(wire.describe("S", "e"))), ("a", Q("EXECUTE e"))],
    "discarded and prepared again in one batch": [
        ("a", batch(P("SELECT 1", "s"))), ("a", Q("PREPARE x AS SELECT 1")),
        ("a", batch(run("DISCARD ALL"), P("SELECT 2", "s"), wire.bind("s"), wire.execute(), P("SELECT 1", "t"),
                    wire.bind("t"), wire.execute())),
        ("a", batch(wire.bind("s"), wire.execute())), ("a", batch(wire.bind("t"), wire.execute())), ("a", Q("EXECUTE x")),
        ("a", batch(run("DEALLOCATE ALL"), P("SELECT 3", "s"), wire.bind("nosuch"))), ("a", batch(wire.bind("s"), wire.execute())),
        ("a", batch(P("SELECT 1", "s"), wire.bind("s"), wire.execute()))],
    "what is listed": [
        ("a", batch(P("SELECT $1::int", "s"))), ("a", Q("PREPARE x(text) AS SELECT $1")), ("b", Q("PREPARE x AS SELECT 'b'")),
        ("a", Q("SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY 1")),
        ("b", batch(run("SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY 1"))),
        ("c", Q("SELECT count(*) FROM pg_prepared_statements")), ("a", Q("EXECUTE x('t')")),
        ("a", batch(wire.bind("s", params=("4",)), wire.execute())),
        ("b", Q("BEGIN")), ("b", Q("SELECT name FROM pg_prepared_statements")), ("b", Q("COMMIT"))],
    "with settings of one's own": [
        ("a", Q("SET DateStyle = 'German'")), ("a", Q("SET search_path = pg_catalog")), ("b", Q("PREPARE x AS SELECT 'b'")),
        ("a", Q("SELECT name FROM pg_prepared_statements")), ("b", Q("EXECUTE x")), ("a", Q("PREPARE x AS SELECT '1.2.2024'::date")),
        ("b", Q("EXECUTE x")), ("a", Q("EXECUTE x")), ("b", Q("EXECUTE x")), ("a", batch(run("EXECUTE x"))),
        ("b", batch(run("SELECT name FROM pg_prepared_statements"))), ("a", Q("DEALLOCATE x; EXECUTE x"))],
    "unseen by us": [
        ("a", Q("PREPARE x AS SELECT 1")), ("b", Q("PREPARE x AS SELECT 2")), ("b", Q("PREPARE y AS SELECT 3")),
        ("a", Q("DO $$ BEGIN EXECUTE 'EXECUTE x'; EXECUTE 'PREPARE y AS SELECT 4'; END $$")), ("a", Q("EXECUTE y")),
        ("a", Q("EXECUTE x")), ("a", Q("DEALLOCATE y")), ("a", Q("EXECUTE y")), ("a", Q("DEALLOCATE x")),
        ("a", Q("DO $$ BEGIN EXECUTE 'PREPARE x AS SELECT 4'; END $$")), ("a", Q("DEALLOCATE ALL")), ("a", Q("EXECUTE x")),
        ("a", Q("DISCARD ALL")), ("b", Q("EXECUTE x")), ("a", Q("EXECUTE x"))],
    "errors name statements as the client does": [
        ("a", batch(P("SELECT $1::int", "s"))), ("a", batch(wire.bind("s"), wire.execute())),
        ("a", batch(wire.bind("nosuch"), wire.execute())), ("a", batch(wire.describe("S", "nosuch"))),
        ("a", batch(wire.bind("pgusher_1"), wire.execute())), ("a", batch(wire.bind(""), wire.execute())),
        ("a", Q("EXECUTE pgusher_1")), ("a", Q("DEALLOCATE pgusher_1")),
        ("a", batch(P("SELECT $1::int", "s"))), ("a", batch(wire.bind("s", params=("x",)), wire.execute()))],
}


@pytest.mark.parametrize("pool_size", [1, 4])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_looks_as_it_does_directly(run_pgusher, cluster, script, pool_size):
    if pool_size == 1 and script is SCRIPTS["unseen by us"]:
        pytest.skip("it pins")
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=pool_size)
    if pool_size > 1:  # each step may meet another server
        script = [s for step in script for s in (step, ("z", Q("BEGIN; SELECT 1")), ("y", Q("SELECT 2")), ("z", Q("COMMIT")))]
    for through, direct in zip(play(p.port, script), play(cluster.primary.port, script)):
        assert through == direct


def test_pipelined_queries_wait_for_no_round_trip(run_pgusher, cluster):
    """What the first prepares the next may use; what fails in between is known by none of them."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    texts = ["PREPARE x AS SELECT nosuch", "PREPARE x AS SELECT 1", "EXECUTE x", "DEALLOCATE x", "EXECUTE x",
             "PREPARE x AS SELECT 2", "PREPARE x AS SELECT 3", "EXECUTE x", "BEGIN", "SELECT 1/0", "DEALLOCATE x", "ROLLBACK",
             "EXECUTE x"]

    def pipeline(port):
        with FakeClient(port) as c, FakeClient(port) as other:
            c.startup()
            other.startup()
            other.simple("PREPARE x AS SELECT 'other'")
            c.send(*[Q(t) for t in texts])
            seen = [answer(c.until_ready()) for _ in texts]
            other.simple("EXECUTE x")
            return seen + [answer(c.simple("EXECUTE x"))]

    assert pipeline(p.port) == pipeline(cluster.primary.port)


def test_a_statement_whose_table_went_says_so_at_its_place(run_pgusher, cluster, name):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    for port in (cluster.primary.port, p.port):
        cluster.primary.execute(f"CREATE TABLE {name} (a int); GRANT ALL ON {name} TO app")
        with FakeClient(port) as c, FakeClient(port) as other:
            c.startup()
            other.startup()
            seen = [answer(c.simple(f"PREPARE x AS SELECT a FROM {name}"))]
            other.simple("BEGIN; SELECT 1")  # the next is on another server, where it must be made anew
            cluster.primary.execute(f"DROP TABLE {name}")
            for message in (Q("EXECUTE x"), Q("SELECT 1"), Q("BEGIN"), Q("EXECUTE x"),
                            Q("EXECUTE x"), Q("ROLLBACK"), Q("DEALLOCATE x"), Q("EXECUTE x")):
                c.send(message)
                seen.append(answer(c.until_ready()))
        if port == cluster.primary.port:
            direct = seen
    assert seen == direct


def test_changed_columns_are_told_once(run_pgusher, cluster, name):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    cluster.primary.execute(f"CREATE TABLE {name} (a int); INSERT INTO {name} VALUES (1); GRANT ALL ON {name} TO app")
    a, b = p.connect(), p.connect()
    for c in (a, b):
        c.execute(f"PREPARE x AS SELECT * FROM {name}")
        assert c.execute("EXECUTE x").fetchone() == (1,)
    cluster.primary.execute(f"ALTER TABLE {name} ADD b int DEFAULT 2")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="must not change result type"):
        a.execute("EXECUTE x")
    assert a.execute("EXECUTE x").fetchone() == (1, 2)
    assert b.execute("EXECUTE x").fetchone() == (1, 2)


def test_nobody_is_pinned_and_effects_are_those_of_the_statement(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    a, b = p.connect(), p.connect()
    a.execute("PREPARE look AS SELECT current_setting('app.x', true)")
    a.execute("PREPARE lock(int) AS SELECT pg_advisory_lock($1)")
    assert a.execute("EXECUTE look").fetchone()[0] in (None, "")
    assert p.console("SHOW PINS") == []
    assert b.execute("SELECT 1").fetchone() == (1,)
    a.execute("EXECUTE lock(5)")
    assert "advisory" in str(p.console("SHOW PINS"))
    a.execute("SELECT pg_advisory_unlock(5)")
    assert b.execute("SELECT pg_try_advisory_xact_lock(5)").fetchone() == (True,)


@pytest.mark.parametrize("pool_size", [1, 5])
def test_a_thousand_statements_of_ten_clients(run_pgusher, cluster, pool_size):
    """By SQL and by protocol, many more than a server keeps; none is lost, no server keeps more."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=pool_size, max_prepared_statements=20)
    clients = [p.raw() for _ in range(10)]
    for i, c in enumerate(clients):
        c.startup()
        for k in range(100):
            if k % 2:
                assert c.prepare(f"s{k}", f"SELECT {i}, {k}, $1::int").error is None
            else:
                assert c.simple(f"PREPARE s{k}(int) AS SELECT {i}, {k}, $1").error is None
    for turn in range(2):
        for k in range(100):
            for i, c in enumerate(clients):
                got = c.run(f"s{k}", "7") if (k + i + turn) % 2 else c.simple(f"EXECUTE s{k}(7)")
                assert got.rows == [[str(i).encode(), str(k).encode(), b"7"]], (i, k, got.error and got.error.fields())
    assert all(int(s["prepared_statements"]) <= 20 for s in p.console("SHOW SERVERS"))


def test_without_carried_names_it_pins(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, max_prepared_statements=0)
    a = p.connect()
    a.execute("PREPARE x AS SELECT 1")
    assert "prepare" in str(p.console("SHOW PINS"))
    assert a.execute("EXECUTE x").fetchone() == (1,)


def test_names_of_our_own_are_not_to_be_had(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    a = p.connect(prepare_threshold=0)
    a.execute("SELECT 'secret'")
    with pytest.raises(psycopg.errors.ReservedName):
        p.connect().execute("PREPARE pgusher_1 AS SELECT 1")
    for text in ("EXECUTE pgusher_1", "DEALLOCATE pgusher_1"):
        with pytest.raises(psycopg.errors.InvalidSqlStatementName, match='"pgusher_1" does not exist'):
            p.connect().execute(text)
