"""
The cache: hits come without the server, and never with what a write had already changed. Whether a
statement reached PostgreSQL is read from PostgreSQL's own log.
"""

import threading
import time

import psycopg
import pytest

from harness import wire
from harness.process import give_away, wait_for


class Cached:
    """A proxy with a cache, and the tables its rule names."""

    def __init__(self, proxy, node, name):
        self.proxy = proxy
        self.node = node
        self.name = name

    def client(self, **more):
        c = self.proxy.raw()
        c.startup(**more)
        return c

    def asked(self, run, text=None):
        """How often the server was asked during run(), by statements with text."""
        mark = self.node.mark()
        result = run()
        return len(self.node.ran(text or self.name, mark)), result

    def becomes_cached(self, c, sql, protocol="simple", **more):
        """Until the statement is answered without the server; the answer."""
        last = []

        def hit():
            count, answer = self.asked(lambda: getattr(c, protocol)(sql, **more))
            assert answer.error is None, answer.error.fields()
            last[:] = [answer]
            return count == 0

        wait_for(f"a hit of {sql}", hit, 8)
        return last[0]

    def never_cached(self, c, sql, protocol="simple", times=4, **more):
        for _ in range(times):
            count, answer = self.asked(lambda: getattr(c, protocol)(sql, **more))
            assert answer.error is None, answer.error.fields()
            assert count == 1, f"{sql} was answered from the cache"


SCHEMA = """CREATE TABLE {n} (id int PRIMARY KEY, v text);
INSERT INTO {n} SELECT i, 'v' || i FROM generate_series(1, 10) i;
CREATE TABLE {n}_child (id int PRIMARY KEY, parent int REFERENCES {n} ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO {n}_child SELECT i, i FROM generate_series(1, 10) i;
CREATE VIEW {n}_view AS SELECT id, v FROM {n} WHERE id > 0;
CREATE TABLE {n}_part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE {n}_part1 PARTITION OF {n}_part FOR VALUES FROM (0) TO (100);
CREATE TABLE {n}_part2 PARTITION OF {n}_part FOR VALUES FROM (100) TO (200);
INSERT INTO {n}_part VALUES (1, 'one');
CREATE TABLE {n}_source (v text);
CREATE FUNCTION {n}_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE {n} SET v = NEW.v WHERE id = 1; RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON {n}_source FOR EACH ROW EXECUTE FUNCTION {n}_note();
CREATE TABLE {n}_through_view (v text);
CREATE FUNCTION "{n} Hidden"(t text) RETURNS int LANGUAGE sql AS $$ UPDATE {n} SET v = t WHERE id = 1 RETURNING 1 $$;
CREATE VIEW {n}_writer AS SELECT "{n} Hidden"('new') AS i;
CREATE FUNCTION {n}_look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM i FROM {n}_writer; RETURN NEW; END $$;
CREATE TRIGGER look AFTER INSERT ON {n}_through_view FOR EACH ROW EXECUTE FUNCTION {n}_look();
CREATE FUNCTION {n}_outer(t text) RETURNS int LANGUAGE sql AS $$ SELECT "{n} Hidden"(t) $$;
CREATE FUNCTION {n}_looks() RETURNS int LANGUAGE sql AS $$ SELECT i FROM {n}_writer $$;
CREATE FUNCTION {n}_given(i int DEFAULT "{n} Hidden"('new')) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN i; END $$;
CREATE FUNCTION {n}_set(t text) RETURNS void LANGUAGE sql AS $$ UPDATE {n} SET v = t WHERE id = 1 $$;
CREATE PROCEDURE {n}_proc(t text) LANGUAGE sql AS $$ UPDATE {n} SET v = t WHERE id = 1 $$;
CREATE TABLE {n}_plain (v int);
INSERT INTO {n}_plain VALUES (1);
CREATE TABLE {n}_ruled (v text);
CREATE RULE r AS ON INSERT TO {n}_ruled DO ALSO UPDATE {n} SET v = NEW.v WHERE id = 1;
DO $do$ DECLARE r record; BEGIN
    FOR r IN SELECT oid::regclass AS t FROM pg_class WHERE relname LIKE '{n}%' AND relkind IN ('r', 'p', 'v') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO app', r.t); END LOOP; END $do$"""


@pytest.fixture(params=["memory", "redis"])
def cached(request, run_pgusher, cluster, redis, name):
    cluster.primary.script(SCHEMA.format(n=name))
    p = run_pgusher(
        {"app": cluster.primary.connstr}, cache=request.param, redis_url=redis.url, monitor_user="postgres",
        default_pool_size=4, redis_timeout="50ms",
        sections={"cache:reference": {
            "tables": f"{name}, public.{name}_child, {name}_part, {name}_part1, {name}_part2", "ttl": "1h"}})
    cached = Cached(p, cluster.primary, name)
    cached.redis = redis
    cached.where = request.param
    return cached


# ---- hits

def test_a_repeated_read_is_answered_without_the_server(cached):
    c = cached.client()
    sql = f"SELECT id, v FROM {cached.name} ORDER BY id"
    first = c.simple(sql)
    again = cached.becomes_cached(c, sql)
    assert [m.body for m in again.messages] == [m.body for m in first.messages]
    assert again.kinds == first.kinds


def test_another_client_hits_too(cached):
    a, b = cached.client(), cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(a, sql)
    count, answer = cached.asked(lambda: b.simple(sql))
    assert count == 0 and answer.value() == "v1"


@pytest.mark.parametrize("formats", [(0,), (1,)], ids=["text", "binary"])
def test_the_extended_protocol_hits(cached, formats):
    c = cached.client()
    sql = f"SELECT id, v FROM {cached.name} WHERE id = $1"
    first = c.extended(sql, params=("3",), types=(23,), results=formats)
    again = cached.becomes_cached(c, sql, "extended", params=("3",), types=(23,), results=formats)
    assert [(m.kind, m.body) for m in again.messages] == [(m.kind, m.body) for m in first.messages]
    other = c.extended(sql, params=("4",), types=(23,), results=formats)
    assert other.rows != first.rows


def test_text_and_binary_are_two_entries(cached):
    c = cached.client()
    sql = f"SELECT id FROM {cached.name} WHERE id = 5"
    text = cached.becomes_cached(c, sql, "extended", results=(0,))
    binary = cached.becomes_cached(c, sql, "extended", results=(1,))
    assert text.rows == [[b"5"]] and binary.rows == [[b"\0\0\0\5"]]
    assert cached.becomes_cached(c, sql).rows == [[b"5"]]


def test_prepared_statements_hit(cached):
    c = cached.client()
    c.prepare("s", f"SELECT v FROM {cached.name} WHERE id = $1", types=(23,))

    def hit():
        count, answer = cached.asked(lambda: c.run("s", ("2",)))
        assert answer.rows == [[b"v2"]] and answer.kinds == "2DCZ"
        return count == 0

    wait_for("a hit", hit, 8)


def test_drivers_hit(cached):
    c = cached.proxy.connect(prepare_threshold=0)
    sql = f"SELECT id, v FROM {cached.name} WHERE id = %s"

    def hit():
        count, row = cached.asked(lambda: c.execute(sql, (7,)).fetchone())
        assert row == (7, "v7")
        return count == 0

    wait_for("a hit", hit, 8)


def test_hits_in_a_pipeline_keep_their_places(cached):
    c = cached.client()
    hot = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(c, hot, "extended")
    one = lambda sql: wire.parse(sql) + wire.bind() + wire.describe() + wire.execute() + wire.SYNC
    for _ in range(5):
        c.send(one(hot), one("SELECT 'between'"), one(hot), one("SELECT pg_sleep(0.01), 'x'"), one(hot))
        answer = c.until_ready(5)
        assert answer.kinds == "12TDCZ" * 5
        assert [r[0] for r in answer.rows] == [b"v1", b"between", b"v1", b"", b"v1"]


# ---- writes

WRITES = {
    "update": "UPDATE {n} SET v = 'new' WHERE id = 1",
    "insert": "INSERT INTO {n} VALUES (1000, 'new')",
    "delete": "DELETE FROM {n} WHERE id = 1",
    "truncate": "TRUNCATE {n} CASCADE",
    "upsert": "INSERT INTO {n} VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'new'",
    "merge": "MERGE INTO {n} USING (SELECT 1 AS i) s ON id = i WHEN MATCHED THEN UPDATE SET v = 'new'",
    "cte": "WITH w AS (UPDATE {n} SET v = 'new' WHERE id = 1 RETURNING 1) SELECT * FROM w",
    "view": "UPDATE {n}_view SET v = 'new' WHERE id = 1",
    "trigger": "INSERT INTO {n}_source VALUES ('new')",
    "trigger that reads a view that writes": "INSERT INTO {n}_through_view VALUES ('new')",
    "function with a quoted name inside": "SELECT {n}_outer('new')",
    "view that writes": "SELECT i FROM {n}_writer",
    "function that reads a view that writes": "SELECT {n}_looks()",
    "function with a default that writes": "SELECT {n}_given()",
    "rule": "INSERT INTO {n}_ruled VALUES ('new')",
    "function": "SELECT {n}_set('new')",
    "procedure": "CALL {n}_proc('new')",
    "do": "DO $$ BEGIN UPDATE {n} SET v = 'new' WHERE id = 1; END $$",
    "do hidden": "DO $$ BEGIN EXECUTE 'UPDATE ' || '{n}' || ' SET v = ''new'' WHERE id = 1'; END $$",
    "quoted": 'UPDATE "{n}" SET v = \'new\' WHERE id = 1',
    "qualified": "UPDATE public.{n} AS x SET v = 'new' WHERE x.id = 1",
    "only": "UPDATE ONLY {n} SET v = 'new' WHERE id = 1",
    "two statements": "SELECT 1; UPDATE {n} SET v = 'new' WHERE id = 1",
    "transaction in one message": "BEGIN; UPDATE {n} SET v = 'new' WHERE id = 1; COMMIT",
    "explain analyze": "EXPLAIN ANALYZE UPDATE {n} SET v = 'new' WHERE id = 1",
}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_an_acknowledged_write_is_seen(cached, write, protocol):
    if protocol == "extended" and ";" in write and not write.startswith("DO"):
        pytest.skip("one statement per Parse")
    a, b = cached.client(), cached.client()
    sql = f"SELECT id, v FROM {cached.name} ORDER BY id"
    cached.becomes_cached(b, sql)
    cached.becomes_cached(b, sql, "extended")
    answer = getattr(a, protocol)(write.format(n=cached.name))
    assert answer.error is None, answer.error.fields()
    direct = [[str(i).encode(), v.encode()] for i, v in
              cached.node.execute(f"SELECT id, v FROM {cached.name} ORDER BY id")]
    assert b.simple(sql).rows == direct
    assert b.extended(sql).rows == direct
    assert a.simple(sql).rows == direct


RELATED = {
    "cascade by delete": ("DELETE FROM {n} WHERE id = 2", "SELECT count(*) FROM {n}_child"),
    "cascade by update": ("UPDATE {n} SET id = 77 WHERE id = 2", "SELECT parent FROM {n}_child ORDER BY 1"),
    "leaf by root": ("INSERT INTO {n}_part VALUES (2, 'two')", "SELECT count(*) FROM {n}_part1"),
    "root by leaf": ("INSERT INTO {n}_part1 VALUES (3, 'three')", "SELECT count(*) FROM {n}_part"),
    "moved between leaves": ("UPDATE {n}_part SET id = 150", "SELECT count(*) FROM {n}_part2"),
    "detach": ("ALTER TABLE {n}_part DETACH PARTITION {n}_part1", "SELECT count(*) FROM {n}_part"),
    "join": ("DELETE FROM {n}_child WHERE id = 3", "SELECT count(*) FROM {n} a JOIN {n}_child b ON a.id = b.parent"),
    "view over it": ("UPDATE {n} SET v = 'new' WHERE id = 1", "SELECT v FROM {n}_view ORDER BY id"),
    "sub-select": ("DELETE FROM {n}_child", "SELECT count(*) FROM {n} WHERE id IN (SELECT parent FROM {n}_child)"),
}


@pytest.mark.parametrize("write,read", RELATED.values(), ids=RELATED.keys())
def test_what_a_write_reaches_indirectly_is_seen(cached, write, read):
    a, b = cached.client(), cached.client()
    sql = read.format(n=cached.name)
    before = cached.becomes_cached(b, sql).rows
    answer = a.simple(write.format(n=cached.name))
    assert answer.error is None, answer.error.fields()
    direct = [[str(x).encode() for x in row] for row in cached.node.execute(sql)]
    assert b.simple(sql).rows == direct != before


def test_changed_columns_are_seen(cached):
    a, b = cached.client(), cached.client()
    sql = f"SELECT * FROM {cached.name}_child ORDER BY id LIMIT 1"
    cached.becomes_cached(b, sql)
    cached.becomes_cached(b, sql, "extended")
    assert a.simple(f"ALTER TABLE {cached.name}_child ADD extra text DEFAULT 'there'").error is None
    assert b.simple(sql).rows == [[b"1", b"1", b"there"]]
    assert b.extended(sql).rows == [[b"1", b"1", b"there"]]
    a.simple(f"ALTER TABLE {cached.name}_child DROP extra")
    assert b.simple(sql).rows == [[b"1", b"1"]]


def test_a_table_made_anew_is_read_anew(cached):
    a, b = cached.client(), cached.client()
    sql = f"SELECT count(*) FROM {cached.name}_child"
    cached.becomes_cached(b, sql)
    assert a.simple(f"DROP TABLE {cached.name}_child").error is None
    assert b.simple(sql).sqlstate == "42P01"
    assert a.simple(f"CREATE TABLE {cached.name}_child (id int)").error is None
    assert b.simple(sql).value() == "0"


def test_a_revoked_right_is_gone(cached, cluster):
    node, name = cached.node, cached.name
    node.execute(f"GRANT SELECT ON {name} TO other")
    a, b = cached.client(), cached.client(user="other")
    sql = f"SELECT v FROM {name} WHERE id = 1"
    cached.becomes_cached(b, sql)
    assert a.simple(f"REVOKE SELECT ON {name} FROM other").error is None
    assert b.simple(sql).sqlstate == "42501"


def test_copy_in_is_a_write(cached):
    c = cached.proxy.connect()
    reader = cached.client()
    sql = f"SELECT count(*) FROM {cached.name}"
    cached.becomes_cached(reader, sql)
    with c.cursor().copy(f"COPY {cached.name} FROM STDIN") as copy:
        copy.write_row((500, "copied"))
    assert reader.simple(sql).value() == "11"


def test_a_prepared_write_is_a_write(cached):
    c, reader = cached.client(), cached.client()
    c.prepare("w", f"UPDATE {cached.name} SET v = $1 WHERE id = 1")
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    for i in range(10):
        cached.becomes_cached(reader, sql)
        assert c.run("w", (f"n{i}",)).error is None
        assert reader.simple(sql).value() == f"n{i}"


def test_a_write_in_a_transaction_counts_from_its_commit(cached):
    c, reader = cached.client(), cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(reader, sql)
    c.simple("BEGIN")
    c.simple(f"UPDATE {cached.name} SET v = 'tx' WHERE id = 1")
    assert reader.simple(sql).value() == "v1"
    assert c.simple(sql).value() == "tx", "own uncommitted writes are seen: no cache inside a transaction"
    c.simple("COMMIT")
    assert reader.simple(sql).value() == "tx"
    cached.becomes_cached(reader, sql)


def test_a_rolled_back_write_changes_nothing(cached):
    c, reader = cached.client(), cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(reader, sql)
    c.simple("BEGIN")
    c.simple(f"UPDATE {cached.name} SET v = 'tx' WHERE id = 1")
    assert c.simple(sql).value() == "tx"
    c.simple("ROLLBACK")
    assert reader.simple(sql).value() == "v1"
    assert c.simple(sql).value() == "v1"


def test_statements_inside_transactions_bypass_the_cache(cached):
    c = cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(c, sql)
    c.simple("BEGIN")
    cached.never_cached(c, sql)
    c.simple("COMMIT")


def test_two_phase_commit_counts_from_commit_prepared(cached):
    c, reader = cached.client(), cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    c.simple("BEGIN")
    c.simple(f"UPDATE {cached.name} SET v = '2pc' WHERE id = 1")
    answer = c.simple(f"PREPARE TRANSACTION '{cached.name}'")
    assert answer.error is None, answer
    cached.becomes_cached(reader, sql)
    c.simple(f"COMMIT PREPARED '{cached.name}'")
    assert reader.simple(sql).value() == "2pc"


def test_a_register_never_goes_backwards(cached):
    """W1 of the plan: writers and readers at once; a read never misses a write acknowledged before it began."""
    acked, failures, stop, reads = [0], [], threading.Event(), threading.Semaphore(0)
    sql = f"SELECT v FROM {cached.name} WHERE id = 9"
    setup = cached.client()
    setup.simple(f"UPDATE {cached.name} SET v = '0' WHERE id = 9")

    def write():
        c = cached.client()
        for i in range(1, 150):
            answer = c.simple(f"UPDATE {cached.name} SET v = '{i}' WHERE id = 9")
            if answer.error:
                failures.append(answer)
            acked[0] = i
            for _ in range(9):  # leaves room for hits between two writes
                reads.acquire(timeout=5)
        stop.set()

    def read(protocol):
        c = cached.client()
        while not stop.is_set():
            least = acked[0]
            got = int(getattr(c, protocol)(sql).value())
            if got < least:
                failures.append((least, got))
            reads.release()

    threads = [threading.Thread(target=write)] + [threading.Thread(target=read, args=(p,))
                                                  for p in ("simple", "extended", "simple")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:5]


# ---- what must not be cached

UNCACHEABLE = ["SELECT v, now() FROM {n} WHERE id = 1", "SELECT v, random() FROM {n} WHERE id = 1",
               "SELECT v, clock_timestamp() FROM {n} WHERE id = 1", "SELECT * FROM {n}_plain",
               "SELECT a.v FROM {n} a, {n}_plain", "SELECT v, current_setting('work_mem') FROM {n} WHERE id = 1",
               "SELECT v FROM {n} WHERE id = 1 FOR SHARE", "SELECT v, pg_backend_pid() FROM {n} WHERE id = 1",
               "SELECT v, xmin FROM {n} WHERE id = 1", "SELECT * FROM {n} TABLESAMPLE system (100)",
               "SELECT {n}_set('x') FROM {n} WHERE id = 1", "SELECT v FROM {n} WHERE id = 1; SELECT 1",
               "SELECT v, current_date FROM {n} WHERE id = 1", "SELECT nullif(v, v)::date FROM {n} WHERE id = 1",
               "/* pgusher: nocache */ SELECT v FROM {n} WHERE id = 1"]


@pytest.mark.parametrize("sql", UNCACHEABLE)
def test_what_is_not_proven_cacheable_reaches_the_server(cached, sql):
    c = cached.client()
    cached.becomes_cached(c, f"SELECT count(*) FROM {cached.name}")  # the catalog is known by now
    text = sql.format(n=cached.name)
    for _ in range(3):
        count, answer = cached.asked(lambda: c.simple(text))
        assert answer.error is None, answer.error.fields()
        assert count == 1, text


@pytest.mark.parametrize("kind,value", [("timestamptz", "now"), ("timestamptz", "10:00 today"), ("date[]", "{today}"),
                                        ("tstzrange", "[now,infinity)"), ("text", "now"), ("text", "now ")])
def test_a_parameter_that_may_be_a_moment_is_asked_anew(cached, kind, value):
    c = cached.client()
    sql = f"SELECT v, $1::{kind} FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(c, sql, "extended", params=({"date[]": "{}", "tstzrange": "empty"}.get(kind, "2026-01-01"),))
    cached.never_cached(c, sql, "extended", params=(value,))


def test_a_text_that_may_be_a_moment_is_read_anew(cached):
    node, n = cached.node, cached.name
    c = cached.client()
    cached.becomes_cached(c, f"SELECT count(*) FROM {n}")
    node.execute(f"ALTER TABLE {n} ADD COLUMN at_{n} timestamptz DEFAULT '2026-01-01'")
    cached.becomes_cached(c, f"SELECT at_{n}::date FROM {n} WHERE id = 1")
    node.execute(f"UPDATE {n} SET v = 'now'")
    assert c.simple(f"SELECT v::timestamptz FROM {n} WHERE id = 1").error is None
    cached.never_cached(c, f"SELECT v::timestamptz FROM {n} WHERE id = 1")
    cached.never_cached(c, f"SELECT at_{n}::date FROM (SELECT v AS at_{n} FROM {n} WHERE id = 1) AS {n}")


@pytest.mark.parametrize("kind", ["cast", "domain"])
def test_what_is_called_unnamed_and_looks_at_the_clock_keeps_all_uncached(cached, kind):
    node, n = cached.node, cached.name
    c = cached.client()
    sql = f"SELECT count(*) FROM {n}"
    cached.becomes_cached(c, sql)
    if kind == "cast":
        node.execute(f"CREATE TYPE {n}_t AS (i int); CREATE FUNCTION {n}_f(int) RETURNS {n}_t LANGUAGE sql STABLE AS "
                     f"$$ SELECT ROW(extract(second FROM now()))::{n}_t $$; "
                     f"CREATE CAST (int AS {n}_t) WITH FUNCTION {n}_f(int)")
        drop = f"DROP TYPE {n}_t CASCADE"
    else:
        node.execute(f"CREATE DOMAIN {n}_d AS timestamptz CHECK (VALUE < now())")
        drop = f"DROP DOMAIN {n}_d"
    try:
        wait_for("the catalog is read again", lambda: cached.asked(lambda: c.simple(sql))[0] == 1, 8)
        cached.never_cached(c, sql)
    finally:
        node.execute(drop)


def test_errors_are_not_cached(cached):
    c = cached.client()
    for _ in range(3):
        count, answer = cached.asked(lambda: c.simple(f"SELECT 1 / (id - id) FROM {cached.name}"))
        assert answer.sqlstate == "22012" and count == 1


def test_a_temp_table_of_the_same_name_is_not_answered_by_the_cache(cached):
    c, reader = cached.client(), cached.client()
    sql = f"SELECT count(*) FROM {cached.name}"
    cached.becomes_cached(reader, sql)
    cached.becomes_cached(c, sql)
    answer = c.simple(f"CREATE TEMP TABLE {cached.name} (id int)")
    if answer.sqlstate == "0A000":
        return
    assert c.simple(sql).value() == "0"
    assert reader.simple(sql).value() == "10"


def test_a_search_path_of_ones_own_asks_other_tables(cached):
    node, name = cached.node, cached.name
    node.execute(f"CREATE SCHEMA {name}_s; CREATE TABLE {name}_s.{name} (id int); "
                 f"GRANT ALL ON SCHEMA {name}_s TO app; GRANT ALL ON {name}_s.{name} TO app")
    a, b = cached.client(), cached.client()
    sql = f"SELECT count(*) FROM {name}"
    assert a.simple(sql).value() == "10"  # the bare name stands for two tables now: never cached
    b.simple(f"SET search_path = {name}_s")
    assert b.simple(sql).value() == "0"
    assert a.simple(sql).value() == "10"


@pytest.mark.parametrize("setting,one,two", [("DateStyle", "ISO, MDY", "German"), ("TimeZone", "UTC", "Asia/Tokyo"),
                                             ("IntervalStyle", "postgres", "iso_8601"),
                                             ("bytea_output", "hex", "escape"),
                                             ("extra_float_digits", "1", "-10"),
                                             ("client_encoding", "UTF8", "LATIN1")])
def test_output_settings_are_part_of_the_question(run_pgusher, cluster, name, setting, one, two):
    cluster.primary.execute(f"CREATE TABLE {name} AS SELECT timestamptz '2026-01-02 03:04:05+00' AS t, "
                            f"interval '1 day 2 hours' AS i, '\\x00ff'::bytea AS b, 1.2345678901::float8 AS f, "
                            f"'\u00e4'::text AS s; GRANT ALL ON {name} TO app")
    p = run_pgusher({"app": cluster.primary.connstr}, cache="memory", monitor_user="postgres",
                    sections={"cache:x": {"tables": name, "ttl": "1h"}})
    rig = Cached(p, cluster.primary, name)
    a, b = rig.client(), rig.client()
    sql = f"SELECT * FROM {name}"
    a.simple(f"SET {setting} = '{one}'" if setting != "DateStyle" else f"SET DateStyle TO {one}")
    b.simple(f"SET {setting} = '{two}'" if setting != "DateStyle" else f"SET DateStyle TO {two}")
    first = rig.becomes_cached(a, sql).rows
    second = b.simple(sql).rows
    assert first != second
    with cluster.primary.connect("app", "app") as direct:
        assert direct is not None
    for _ in range(3):
        assert a.simple(sql).rows == first
        assert b.simple(sql).rows == second


def test_what_was_prepared_under_other_settings_is_not_cached_as_of_now(cached):
    sql = f"SELECT id, '01/02/2003'::date FROM {cached.name} WHERE id = 1"
    first, second = cached.client(), cached.client()
    first.simple("SET DateStyle = 'ISO, DMY'")
    first.prepare("s", sql)
    for c in (first, second):
        c.simple("SET DateStyle = 'ISO, MDY'")
    for _ in range(3):
        assert first.run("s").rows == [[b"1", b"2003-02-01"]]
        assert second.extended(sql).rows == [[b"1", b"2003-01-02"]]
    cached.becomes_cached(second, sql, "extended")


def test_another_role_never_gets_what_it_may_not_read(cached):
    a = cached.client(user="app")
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(a, sql)
    b = cached.client(user="other")
    assert b.simple(sql).sqlstate == "42501"


def test_set_role_is_part_of_the_question(cached, cluster):
    cluster.primary.execute("GRANT other TO app", dbname="postgres")
    a = cached.client()
    sql = f"SELECT v FROM {cached.name} WHERE id = 1"
    cached.becomes_cached(a, sql)
    a.simple("SET ROLE other")
    assert a.simple(sql).sqlstate == "42501"
    a.simple("RESET ROLE")
    assert a.simple(sql).value() == "v1"


# ---- limits

def test_large_results_pass_uncached(run_pgusher, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} AS SELECT repeat('x', 1000) AS v FROM generate_series(1, 1000); "
                            f"GRANT ALL ON {name} TO app")
    p = run_pgusher({"app": cluster.primary.connstr}, cache="memory", monitor_user="postgres",
                    cache_max_entry="64kB", sections={"cache:x": {"tables": name, "ttl": "1h"}})
    rig = Cached(p, cluster.primary, name)
    c = rig.client()
    rig.becomes_cached(c, f"SELECT count(*) FROM {name}")
    for _ in range(4):
        count, answer = rig.asked(lambda: c.simple(f"SELECT v FROM {name}"))
        assert count == 1 and len(answer.rows) == 1000
    rig.becomes_cached(c, f"SELECT v FROM {name} LIMIT 20")


def test_the_time_to_live_ends_an_entry(run_pgusher, cluster, name):
    cluster.primary.execute(f"CREATE TABLE {name} AS SELECT 1 AS v; GRANT ALL ON {name} TO app")
    p = run_pgusher({"app": cluster.primary.connstr}, cache="memory", monitor_user="postgres",
                    sections={"cache:x": {"tables": name, "ttl": "1s", "mode": "ttl"}})
    rig = Cached(p, cluster.primary, name)
    c = rig.client()
    sql = f"SELECT v FROM {name}"
    rig.becomes_cached(c, sql)
    cluster.primary.execute(f"UPDATE {name} SET v = 2")  # past the proxy
    wait_for("the entry to end", lambda: c.simple(sql).value() == "2", 5)


def test_a_stampede_asks_once(cached):
    """Who was first on each worker asks, and is answered when the others have joined it."""
    cached.becomes_cached(cached.client(), f"SELECT count(*) FROM {cached.name}")
    sql = f"SELECT sum(id) FROM {cached.name}"
    clients = [cached.client() for _ in range(12)]

    def joined():
        return {row["name"]: int(row["value"]) for row in cached.proxy.console("SHOW CACHE")}["flights_joined"]

    def all_at_once():
        before = joined()
        with cached.node.connect(dbname="app") as gate, gate.transaction():
            gate.execute(f"LOCK TABLE {cached.name}")
            for c in clients:
                c.send(wire.query(sql))
            wait_for("the others to join", lambda: joined() - before >= 8)
        return [c.until_ready().value() for c in clients]

    count, values = cached.asked(all_at_once, "SELECT sum(id)")
    assert values == ["55"] * 12
    assert count <= 4, "each worker asks once"


# ---- row-level security

@pytest.fixture
def secured(cluster, name):
    cluster.primary.script(f"""CREATE TABLE {name} (owner text, v text);
INSERT INTO {name} VALUES ('1', 'of one'), ('2', 'of two');
ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
GRANT ALL ON {name} TO app;
CREATE POLICY p ON {name} USING (owner = current_setting('app.current_provider_id', true))""")
    return name


def secured_proxy(run_pgusher, cluster, name, rls):
    p = run_pgusher({"app": cluster.primary.connstr}, cache="memory", monitor_user="postgres",
                    sections={"cache:x": {"tables": name, "ttl": "1h", "rls": rls},
                              "settings": {"app.current_provider_id": "%{startup:app.current_provider_id}"}})
    return Cached(p, cluster.primary, name)


def test_keyed_row_level_security_caches_per_identity(run_pgusher, cluster, secured):
    rig = secured_proxy(run_pgusher, cluster, secured, "keyed")
    one = rig.client(options="-c app.current_provider_id=1")
    two = rig.client(options="-c app.current_provider_id=2")
    nobody = rig.client()
    sql = f"SELECT v FROM {secured}"
    assert rig.becomes_cached(one, sql).rows == [[b"of one"]]
    assert rig.becomes_cached(two, sql).rows == [[b"of two"]]
    for _ in range(3):
        assert nobody.simple(sql).rows == []
        assert rig.becomes_cached(one, sql).rows == [[b"of one"]]
        assert rig.becomes_cached(two, sql).rows == [[b"of two"]]
    one.simple(f"UPDATE {secured} SET v = 'changed'")
    assert one.simple(sql).rows == [[b"changed"]]
    assert two.simple(sql).rows == [[b"of two"]]


def test_row_level_security_is_refused_unless_keyed(run_pgusher, cluster, secured, name):
    rig = secured_proxy(run_pgusher, cluster, secured, None)
    one = rig.client(options="-c app.current_provider_id=1")
    rig.never_cached(one, f"SELECT v FROM {secured}", times=6)


def test_a_policy_that_reads_what_is_not_keyed_is_refused(run_pgusher, cluster, secured):
    cluster.primary.execute(f"DROP POLICY p ON {secured}; CREATE POLICY p ON {secured} "
                            f"USING (owner = current_setting('app.undeclared', true) OR now() < now())")
    rig = secured_proxy(run_pgusher, cluster, secured, "keyed")
    c = rig.client()
    rig.never_cached(c, f"SELECT v FROM {secured}", times=6)


# ---- asking why

def test_show_cache_why_names_the_reason(cached):
    c = cached.client()
    cached.becomes_cached(c, f"SELECT count(*) FROM {cached.name}")
    why = lambda sql: str(cached.proxy.console(f"SHOW CACHE WHY '{sql}'")).lower()
    good = why(f"SELECT v FROM {cached.name}")
    assert "now" in why(f"SELECT v, now() FROM {cached.name}") or "volatil" in why(f"SELECT now() FROM {cached.name}") \
        or "stable" in why(f"SELECT now() FROM {cached.name}") or "function" in why(f"SELECT now() FROM {cached.name}")
    assert good != why(f"SELECT * FROM {cached.name}_plain") != why(f"UPDATE {cached.name} SET v = 1")


def test_show_cache_counts_hits(cached):
    c = cached.client()
    sql = f"SELECT count(*) FROM {cached.name}"
    cached.becomes_cached(c, sql)
    numbers = lambda: str(cached.proxy.console("SHOW CACHE"))
    before = numbers()
    for _ in range(7):
        c.simple(sql)
    assert numbers() != before


# ---- Redis in trouble

@pytest.fixture
def on_redis(run_pgusher, cluster, redis, name):
    cluster.primary.script(SCHEMA.format(n=name))
    p = run_pgusher({"app": cluster.primary.connstr}, cache="redis", redis_url=redis.url, monitor_user="postgres",
                    redis_timeout="50ms", sections={"cache:x": {"tables": name, "ttl": "1h"}})
    rig = Cached(p, cluster.primary, name)
    rig.redis = redis
    return rig


TROUBLES = {
    "killed": (lambda r: r.kill(), lambda r: r.start()),
    "frozen": (lambda r: r.freeze(), lambda r: r.thaw()),
    "flushed": (lambda r: r.call("FLUSHALL"), lambda r: None),
    "clients kicked": (lambda r: r.call("CLIENT", "KILL", "TYPE", "normal"), lambda r: None),
    "read only": (lambda r: r.call("REPLICAOF", "127.0.0.1", "1"), lambda r: r.call("REPLICAOF", "NO", "ONE")),
    "out of memory": (lambda r: r.call("CONFIG", "SET", "maxmemory", "1"),
                      lambda r: r.call("CONFIG", "SET", "maxmemory", "0")),
}


@pytest.mark.parametrize("begin,end", TROUBLES.values(), ids=TROUBLES.keys())
def test_redis_in_trouble_costs_hits_never_errors_or_stale_reads(on_redis, begin, end):
    writer, reader = on_redis.client(), on_redis.client()
    sql = f"SELECT v FROM {on_redis.name} WHERE id = 1"
    on_redis.becomes_cached(reader, sql)
    begin(on_redis.redis)
    for i in range(10):
        answer = writer.simple(f"UPDATE {on_redis.name} SET v = 'during{i}' WHERE id = 1")
        assert answer.error is None, answer.error.fields()
        assert reader.simple(sql).value() == f"during{i}"
        assert reader.extended(sql).value() == f"during{i}"
    begun = time.monotonic()
    for _ in range(20):
        assert reader.simple(sql).value() == "during9"
    assert time.monotonic() - begun < 5, "a Redis that hangs must not be waited for each time"
    end(on_redis.redis)
    for i in range(10):
        writer.simple(f"UPDATE {on_redis.name} SET v = 'after{i}' WHERE id = 1")
        assert reader.simple(sql).value() == f"after{i}"
    on_redis.becomes_cached(reader, sql)


def test_nothing_readable_lies_in_redis(on_redis):
    c = on_redis.client()
    c.simple(f"UPDATE {on_redis.name} SET v = 'canary in a coal mine' WHERE id = 1")
    sql = f"SELECT v FROM {on_redis.name} WHERE v = 'canary in a coal mine'"
    assert on_redis.becomes_cached(c, sql).value() == "canary in a coal mine"
    assert on_redis.redis.keys() > 0
    import re
    import socket

    with socket.create_connection(("127.0.0.1", on_redis.redis.port), timeout=5) as s:
        s.sendall(b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n")
        keys = s.recv(1_000_000)
    assert b"canary" not in keys and b"SELECT" not in keys and not re.search(rb"coal", keys)


def test_two_proxies_share_redis_and_each_others_writes(run_pgusher, cluster, redis, name, folder):
    cluster.primary.script(SCHEMA.format(n=name))
    secret = folder / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    give_away(secret)
    make = lambda: run_pgusher({"app": cluster.primary.connstr}, cache="redis", redis_url=redis.url,
                               monitor_user="postgres", redis_timeout="200ms", cache_secret_file=secret,
                               sections={"cache:x": {"tables": name, "ttl": "1h"}})
    a, b = Cached(make(), cluster.primary, name), Cached(make(), cluster.primary, name)
    writer, reader = a.client(), b.client()
    sql = f"SELECT v FROM {name} WHERE id = 1"
    a.becomes_cached(writer, sql)
    b.becomes_cached(reader, sql)
    for i in range(20):
        writer.simple(f"UPDATE {name} SET v = 'x{i}' WHERE id = 1")
        assert reader.simple(sql).value() == f"x{i}"
        assert reader.simple(sql).value() == f"x{i}"
