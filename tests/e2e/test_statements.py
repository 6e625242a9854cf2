"""Protocol-level prepared statements of real drivers over few servers."""

import random
import threading

import psycopg
import pytest

from harness import wire
from harness.fake_client import FakeClient


@pytest.mark.parametrize("pool_size", [1, 2])
def test_ten_clients_keep_their_statements_over_few_servers(run_pgusher, cluster, pool_size):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=pool_size)
    clients = [p.connect(prepare_threshold=0) for _ in range(10)]
    for turn in range(5):
        for i, c in enumerate(clients):
            assert c.execute("SELECT %s::int + 0", (i,)).fetchone() == (i,)
            assert c.execute(f"SELECT {i} * %s::int", (turn,)).fetchone() == (i * turn,)
    with cluster.primary.connect("app") as direct:
        assert direct is not None
    assert len(cluster.primary.backends(user="app")) <= pool_size


def test_statements_under_concurrency(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, max_prepared_statements=5)
    failures = []

    def work(k):
        try:
            with p.connect(prepare_threshold=0) as c:
                for i in range(100):
                    q = i % 8
                    got = c.execute(f"SELECT {q} + %s::int", (k,)).fetchone()
                    if got != (q + k,):
                        failures.append((k, i, got))
        except Exception as e:  # a thread has nobody to raise to
            failures.append(e)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]


def test_pipeline_mode_of_psycopg(run_pgusher, cluster, name):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    cluster.primary.execute(f"CREATE TABLE {name} (v int); GRANT ALL ON {name} TO app")
    c = p.connect(prepare_threshold=0)
    with c.pipeline():
        cursors = [c.execute("SELECT %s::int", (i,)) for i in range(100)]
        c.execute(f"INSERT INTO {name} VALUES (1)")
    assert [cur.fetchone()[0] for cur in cursors] == list(range(100))
    c.cursor().executemany(f"INSERT INTO {name} VALUES (%s)", [(i,) for i in range(500)])
    assert c.execute(f"SELECT count(*) FROM {name}").fetchone() == (501,)


def test_an_error_in_a_pipeline_fails_what_follows_up_to_the_sync(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    c = p.connect()
    with pytest.raises(psycopg.errors.DivisionByZero):
        with c.pipeline():
            c.execute("SELECT 1")
            c.execute("SELECT 1/0")
            c.execute("SELECT 2")
    assert c.execute("SELECT 3").fetchone() == (3,)


def test_binary_results_and_parameters(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr})
    c = p.connect(prepare_threshold=0)
    cur = c.cursor(binary=True)
    for value in (1, -2**40, "text", b"\0\xff", 1.5, True, None):
        assert cur.execute("SELECT %b", (value,)).fetchone()[0] == value


def test_server_side_cursors(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    c = p.connect(autocommit=False)
    with c.cursor(name="big") as cur:
        cur.itersize = 100
        cur.execute("SELECT generate_series(1, 1000)")
        assert sum(r[0] for r in cur) == 500500
    c.commit()


def test_portals_fetched_in_parts(run_pgusher, cluster):
    from harness import wire

    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    with p.raw() as c:
        c.startup()
        c.simple("BEGIN")
        c.send(wire.parse("SELECT generate_series(1, 5)"), wire.bind(portal="p"), wire.execute("p", 2), wire.SYNC)
        answer = c.until_ready()
        assert answer.kinds == "12DDsZ"
        c.send(wire.execute("p", 2), wire.execute("p", 2), wire.SYNC)
        assert c.until_ready().kinds == "DDsDCZ"
        assert c.simple("COMMIT").status == "I"


CHANGED = "cached plan must not change result type"


def bound(statement, params=(), described=True, formats=()):
    return (wire.bind(statement, params=params, formats=formats) + (wire.describe() if described else b"")
            + wire.execute() + wire.SYNC)


def ask(c, *messages):
    c.send(*messages)
    return c.until_ready()


@pytest.mark.parametrize("pool_size", [1, 3])
def test_a_changed_table_is_not_noticed_by_who_asks_for_the_form_of_rows(run_pgusher, cluster, name, pool_size):
    """In a transaction PostgreSQL's error stands, and is the last of its kind."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=pool_size)
    cluster.primary.execute(f"CREATE TABLE {name} (a int); INSERT INTO {name} VALUES (1); GRANT ALL ON {name} TO app")
    clients = [p.connect(prepare_threshold=0) for _ in range(3)]
    insert = f"INSERT INTO {name}(a) VALUES (%s) RETURNING *"
    for c in clients:
        c.execute(f"SELECT * FROM {name} WHERE a = %s", (1,))
        c.execute(insert, (5,))
    cluster.primary.execute(f"ALTER TABLE {name} ADD b text DEFAULT 'new'")
    for c in clients:
        for _ in range(2):
            assert c.execute(f"SELECT * FROM {name} WHERE a = %s", (1,)).fetchone() == (1, "new")
            assert c.execute(insert, (5,)).fetchone() == (5, "new")
    assert cluster.primary.execute(f"SELECT count(*) FROM {name} WHERE a = 5") == [(9,)]
    cluster.primary.execute(f"ALTER TABLE {name} ADD c int")
    with pytest.raises(psycopg.errors.FeatureNotSupported), clients[0].transaction():
        clients[0].execute(f"SELECT * FROM {name} WHERE a = %s", (1,))
    with clients[0].transaction():
        assert clients[0].execute(f"SELECT * FROM {name} WHERE a = %s", (1,)).fetchone() == (1, "new", None)


def test_who_remembers_the_form_of_rows_is_told_of_a_changed_table(run_pgusher, cluster, name):
    """As PostgreSQL tells it, until the client prepares again; but nobody else, and no second server."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)
    cluster.primary.execute(f"CREATE TABLE {name} (a int); INSERT INTO {name} VALUES (1); GRANT ALL ON {name} TO app")
    a, b, fresh = p.raw(), p.raw(), p.raw()
    text = f"SELECT * FROM {name} WHERE a = $1"
    for c in (a, b, fresh):
        c.startup()
    for c in (a, b):
        c.simple("BEGIN; SELECT 1")
    for c in (a, b):
        c.simple("COMMIT")
        ask(c, wire.parse(text, "s"), wire.describe("S", "s"), wire.SYNC)
        assert ask(c, bound("s", "1", described=False)).kinds == "2DCZ"
    cluster.primary.execute(f"ALTER TABLE {name} ADD b text DEFAULT 'new'")
    for c in (a, b, a, b):
        told = ask(c, bound("s", "1", described=False))
        assert told.kinds == "EZ" and told.status == "I"
        fields = told.error.fields()
        assert (fields["C"], fields["M"], fields["R"]) == ("0A000", CHANGED, "RevalidateCachedQuery")
    assert ask(a, bound("s", (b"\0\0\0\1",), formats=(1,))).kinds == "EZ"  # it may be of another type now
    assert ask(a, bound("s", "1")).rows == [[b"1", b"new"]]
    a.send(wire.close("S", "s"), wire.SYNC)
    a.until_ready()
    for c, s in ((a, "s"), (fresh, "s"), (b, "other")):
        assert ask(c, wire.parse(text, s), wire.describe("S", s), wire.SYNC).kinds == "1tTZ"
        assert ask(c, bound(s, "1", described=False)).rows == [[b"1", b"new"]]
    a.simple("BEGIN")
    assert ask(b, bound("s", "1", described=False)).sqlstate == "0A000"
    assert ask(a, bound("s", "1", described=False)).rows == [[b"1", b"new"]]


@pytest.mark.parametrize("last", [wire.describe("S", "s") + wire.SYNC, bound("s", "1"), bound("s", "1", described=False)],
                         ids=["described", "executed with a description", "executed"])
def test_a_statement_prepared_after_its_table_changed_is_as_new(run_pgusher, cluster, name, last):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    cluster.primary.execute(f"CREATE TABLE {name} (a int); INSERT INTO {name} VALUES (1); GRANT ALL ON {name} TO app")
    old, new = p.raw(), p.raw()
    for c in (old, new):
        c.startup()
    text = f"SELECT * FROM {name} WHERE a = $1"
    old.prepare("s", text)
    assert old.run("s", "1").kinds == "2DCZ"
    cluster.primary.execute(f"ALTER TABLE {name} ADD b text DEFAULT 'new'")
    answer = ask(new, wire.parse(text, "s"), last)
    assert answer.kinds in ("1tTZ", "12TDCZ", "12DCZ"), answer
    assert ask(new, bound("s", "1")).rows == [[b"1", b"new"]]


def test_a_statement_used_by_another_user_is_their_own(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    a, b = p.connect(user="app", prepare_threshold=0), p.connect(user="other", prepare_threshold=0)
    for _ in range(3):
        assert a.execute("SELECT current_user").fetchone() == ("app",)
        assert b.execute("SELECT current_user").fetchone() == ("other",)


def test_the_type_of_a_parameter_is_part_of_the_statement(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    c = p.connect(prepare_threshold=0)
    for _ in range(2):
        assert c.execute("SELECT pg_typeof(%s)::text", (1,)).fetchone() == ("smallint",)
        assert c.execute("SELECT pg_typeof(%s)::text", (1.5,)).fetchone() == ("double precision",)
        assert c.execute("SELECT pg_typeof(%s)::text", (True,)).fetchone() == ("boolean",)


def test_a_text_read_under_other_settings_is_another_statement(run_pgusher, cluster, name):
    """PostgreSQL reads literals and names when it parses, for whom it parses."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)
    cluster.primary.execute(f"CREATE SCHEMA {name}_a; CREATE SCHEMA {name}_b; GRANT USAGE ON SCHEMA {name}_a, {name}_b TO app; "
                            f"CREATE VIEW {name}_a.v AS SELECT 1 AS x; CREATE VIEW {name}_b.v AS SELECT 'b' AS x, 2 AS y; "
                            f"GRANT SELECT ON {name}_a.v, {name}_b.v TO app")
    a, b, c = (p.connect(prepare_threshold=0) for _ in range(3))
    a.execute("SET DateStyle = 'ISO, DMY'")
    a.execute(f"SET search_path = {name}_a")
    b.execute("SET DateStyle = 'ISO, MDY'")
    b.execute(f"SET search_path = {name}_b")
    text = "SELECT '01/02/2024'::date::text"
    for _ in range(3):
        assert a.execute(text).fetchone() == ("2024-02-01",)
        assert b.execute(text).fetchone() == ("2024-01-02",)
        assert a.execute("SELECT * FROM v").fetchone() == (1,)
        assert b.execute("SELECT * FROM v").fetchone() == ("b", 2)
        with c.transaction():
            c.execute("SET LOCAL DateStyle = 'ISO, DMY'")
            assert c.execute(text).fetchone() == ("2024-02-01",)
        assert c.execute(text).fetchone() == ("2024-02-01",)  # it stays what it was when it was prepared
    with p.raw() as one, p.raw() as two:
        one.startup(DateStyle="ISO, DMY")
        two.startup()
        for client in (one, two):
            client.send(wire.parse(text), wire.SYNC)
            client.until_ready()
        for client, day in ((one, b"2024-02-01"), (two, b"2024-01-02"), (one, b"2024-02-01")):
            assert client.run("").rows == [[day]]


FORGETTING = {
    "first": wire.query("DEALLOCATE ALL; SELECT 1"),
    "last": wire.query("SELECT 1; DEALLOCATE ALL"),
    "and an error after it": wire.query("DEALLOCATE ALL; SELECT 1 / 0"),
    "never reached": wire.query("SELECT 1 / 0; DEALLOCATE ALL"),
    "discard all": wire.query("DISCARD ALL"),
    "refused": wire.query("SELECT 1; DISCARD ALL"),
    "in a transaction": wire.query("BEGIN; DEALLOCATE ALL; ROLLBACK"),
    "in a batch": wire.parse("DEALLOCATE ALL") + wire.bind() + wire.execute() + wire.parse("SELECT 5", "t") + wire.SYNC,
    "in a batch that fails": wire.parse("DEALLOCATE ALL") + wire.bind() + wire.execute() + wire.parse("SELECT 5", "t")
    + wire.bind("nosuch") + wire.SYNC,
}


@pytest.mark.parametrize("message", FORGETTING.values(), ids=FORGETTING.keys())
def test_names_are_forgotten_when_the_server_has_forgotten_them(run_pgusher, cluster, message):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1)

    def play(c):
        c.startup()
        other = FakeClient(c.sock.getpeername()[1])
        other.startup()
        answers = [c.prepare("s", "SELECT 1"), c.prepare("u", "SELECT 2")]
        c.send(message)
        answers.append(c.until_ready())
        for name in "stu":
            other.prepare("s", f"SELECT '{name}'")
            other.run("s")
            answers += [c.run(name), c.prepare(name, "SELECT 3"), c.run(name)]
        return [(a.kinds, a.sqlstate, a.rows) for a in answers]

    assert play(p.raw()) == play(FakeClient(cluster.primary.port))


TEXTS = ["SELECT 1", "ROLLBACK", "COMMIT", "ROLLBACK TO one", "", "SELECT 1; SELECT 2", "SELEKT", "SET work_mem = '3MB'",
         "SELECT * FROM nosuch", "PREPARE TRANSACTION 'x'"]
PARSES = [lambda t, n: wire.parse(t, n), lambda t, n: wire.parse(t, n) + wire.parse(t, n),
          lambda t, n: wire.parse(t, n) + wire.bind(n) + wire.execute(),
          lambda t, n: wire.close("S", n) + wire.parse(t, n) + wire.bind(n) + wire.execute()]


@pytest.mark.parametrize("failed", [False, True], ids=["idle", "failed"])
@pytest.mark.parametrize("text", TEXTS)
def test_parse_is_refused_as_it_is_directly(run_pgusher, cluster, text, failed):
    """With names free and taken, of texts the server has or lacks, in a failed transaction and outside of one."""
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2)

    def play(port):
        seen = []
        for name in ("", "s"):
            for known in (None, ("s", text), ("s", "SELECT 1"), ("s", "ROLLBACK"), ("other", text)):
                for parse in PARSES:
                    with FakeClient(port) as c, FakeClient(port) as other:
                        c.startup()
                        other.startup()
                        if known:
                            c.prepare(*known)
                        other.simple("BEGIN; SELECT 1")  # perhaps on the server that has it
                        if failed:
                            c.simple("BEGIN; SAVEPOINT one; SELECT 1 / 0")
                        c.send(parse(text, name), wire.SYNC)
                        answers = [c.until_ready(), c.simple("ROLLBACK"), c.run(name)]
                        seen.append((name, known, [(a.kinds, a.status, a.error and a.error.fields().get("M"))
                                                   for a in answers]))
        return seen

    assert play(p.port) == play(cluster.primary.port)


def test_four_thousand_names_over_fifty_servers(run_pgusher, cluster):
    """Servers keep a few of them each, the least recently used one goes, and nobody notices."""
    servers, names, texts, kept, uses = 50, 80, 1000, 12, 6
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=servers, max_prepared_statements=kept)
    clients = [p.raw() for _ in range(servers)]
    added = {}
    for number, c in enumerate(clients):
        c.startup()
        added[c] = [(number * names + i) % texts for i in range(names)]
        c.send(*[wire.parse(f"SELECT $1::int + {n}", f"s{i}") for i, n in enumerate(added[c])], wire.SYNC)
    for c in clients:
        assert c.until_ready().error is None
    rng = random.Random(4)
    for turn in range(6):
        wanted = {}
        for c in rng.sample(clients, len(clients)):
            if turn % 2 == 0:  # all at once have one each
                c.simple("BEGIN")
            picked = [rng.randrange(names) for _ in range(uses)]
            wanted[c] = [str(turn + added[c][i]).encode() for i in picked]
            c.send(*[wire.bind(f"s{i}", params=(str(turn),)) + wire.execute() for i in picked], wire.SYNC)
        for c in clients:
            assert [row[0] for row in c.until_ready().rows] == wanted[c]
        for c in clients if turn % 2 == 0 else ():
            assert c.simple("COMMIT").error is None
    have = [int(s["prepared_statements"]) for s in p.console("SHOW SERVERS") if s["database"] == "app"]
    assert len(have) == servers and max(have) <= kept and sum(have) > servers * kept // 2
    assert {int(c["prepared_statements"]) for c in p.console("SHOW CLIENTS") if c["database"] == "app"} == {names}
    for c in clients:
        c.close()
