"""A client keeps its server while what it made there lasts, and no longer; then nobody sees a trace of it."""

import psycopg
import pytest

from harness.process import wait_for

pytestmark = pytest.mark.tsan

TEMP = "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (1, 2) AND granted"
CURSORS = "SELECT count(*) FROM pg_cursors WHERE is_holdable"

# How a reason ends: name, reason, statements that pin, statements that end it, what tells of a trace.
ENDS = [
    ("drop", "temporary table", ["CREATE TEMP TABLE tt (i int)"], ["DROP TABLE tt"], TEMP),
    ("discard temp", "temporary table", ["CREATE TEMP VIEW tv AS SELECT 1"], ["DISCARD TEMP"], TEMP),
    ("the last of two", "temporary table", ["SELECT 1 AS i INTO TEMP tt", "CREATE TEMP SEQUENCE ts", "DROP TABLE tt"],
     ["DROP SEQUENCE ts"], TEMP),
    ("in a text of several", "temporary table", ["CREATE TEMP TABLE tt (i int); SELECT 1"],
     ["SELECT 1; DROP TABLE tt"], TEMP),
    ("in a transaction", "temporary table", ["CREATE TEMP TABLE tt (i int)"],
     ["BEGIN", "DROP TABLE tt", "COMMIT"], TEMP),
    ("on commit drop", "temporary table", ["BEGIN", "CREATE TEMP TABLE tt (i int) ON COMMIT DROP"], ["COMMIT"], TEMP),
    ("rolled back", "temporary table", ["BEGIN", "CREATE TEMP TABLE tt (i int)"], ["ROLLBACK"], TEMP),
    ("rolled back to", "temporary table", ["BEGIN", "SAVEPOINT a", "CREATE TEMP TABLE tt (i int)"],
     ["ROLLBACK TO a", "COMMIT"], TEMP),
    ("closed", "cursor with hold", ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], ["CLOSE c"], CURSORS),
    ("all closed", "cursor with hold", ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], ["CLOSE ALL"],
     CURSORS),
    ("declared and rolled back", "cursor with hold", ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"], ["ROLLBACK"],
     CURSORS),
    ("unlocked", "advisory lock", ["SELECT pg_advisory_lock(1)"], ["SELECT pg_advisory_unlock(1)"], LOCKS),
    ("unlocked as often as locked", "advisory lock",
     ["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(2)",
      "SELECT pg_advisory_unlock(1)", "SELECT pg_advisory_unlock(1)", "SELECT pg_advisory_unlock(1)"],
     ["SELECT pg_advisory_unlock_shared(2)"], LOCKS),
    ("all unlocked", "advisory lock", ["SELECT pg_advisory_lock(1), pg_advisory_lock(2)"],
     ["SELECT pg_advisory_unlock_all()"], LOCKS),
    ("lock kept through a rollback", "advisory lock", ["BEGIN", "SELECT pg_advisory_lock(1)", "ROLLBACK"],
     ["SELECT pg_advisory_unlock(1)"], LOCKS),
    ("sequences discarded", "sequence", ["SELECT nextval('pins_s')"], ["DISCARD SEQUENCES"], None),
    ("discard all", "temporary table, load, advisory lock, setseed",
     ["CREATE TEMP TABLE tt (i int)", "LOAD 'plpgsql'", "SELECT setseed(0.5), pg_advisory_lock(1)"], ["DISCARD ALL"],
     TEMP),
]


@pytest.fixture(scope="module")
def node(cluster):
    cluster.primary.execute("CREATE SEQUENCE pins_s; GRANT ALL ON SEQUENCE pins_s TO app")
    return cluster.primary


@pytest.fixture
def proxy(run_pgusher, node):
    """One server for all: who is pinned keeps everybody out."""
    return run_pgusher({"app": node.connstr}, default_pool_size=1, query_wait_timeout=5)


def reasons(proxy):
    return [row["reasons"] for row in proxy.console("SHOW PINS")]


@pytest.mark.parametrize("reason,pin,end,trace", [e[1:] for e in ENDS], ids=[e[0] for e in ENDS])
@pytest.mark.parametrize("prepared", [False, True], ids=["simple", "prepared"])
def test_a_pin_ends_with_its_reason(proxy, reason, pin, end, trace, prepared):
    if prepared and any(";" in q for q in pin + end):
        pytest.skip("several statements go by the simple protocol only")
    user = "postgres" if "load" in reason else "app"  # LOAD is a superuser's
    a, b = proxy.connect(user=user, prepare_threshold=0 if prepared else None), proxy.connect(user=user)
    for q in pin:
        a.execute(q, prepare=prepared)
    pid = a.info.backend_pid
    [row] = proxy.console("SHOW PINS")
    assert (row["reasons"], row["id"], row["database"], row["user"]) == (reason, str(pid), "app", user)
    assert int(row["server_pid"]) in [int(s["remote_pid"]) for s in proxy.console("SHOW SERVERS")]
    for q in end:
        a.execute(q, prepare=prepared)
    assert trace is None or b.execute(trace).fetchone() == (0,)
    wait_for("the pin to end", lambda: reasons(proxy) == [])
    assert a.execute("SELECT 1").fetchone() == (1,)


STAYS = {
    "another table is dropped": ["CREATE TEMP TABLE tt (i int)", "CREATE TEMP TABLE tu (i int)", "DROP TABLE tu"],
    "a savepoint before": ["BEGIN", "CREATE TEMP TABLE tt (i int)", "SAVEPOINT a", "SELECT 1", "ROLLBACK TO a",
                           "COMMIT"],
    "the drop is rolled back": ["CREATE TEMP TABLE tt (i int)", "BEGIN", "DROP TABLE tt", "ROLLBACK"],
    "one of two unlocked": ["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"],
    "a function of pg_temp": ["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                              "CREATE TEMP TABLE tt (i int)", "DROP TABLE tt"],
    "hold of two": ["BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; DECLARE d CURSOR WITH HOLD FOR SELECT 1; COMMIT",
                    "CLOSE c"],
    "temporary things may come unseen": ["SET search_path = pg_temp, public", "CREATE TABLE tt (i int)",
                                         "DROP TABLE tt"],
}


@pytest.mark.parametrize("script", STAYS.values(), ids=STAYS.keys())
def test_a_pin_stays_while_one_of_its_reasons_does(proxy, script):
    a = proxy.connect()
    for q in script:
        a.execute(q)
    assert a.execute("SELECT 1").fetchone() == (1,)  # after the server was asked
    assert len(reasons(proxy)) == 1


@pytest.mark.parametrize("script", [
    ["SELECT pg_advisory_lock(1), 1 / (pg_backend_pid() * 0)"],
    ["BEGIN", "SELECT pg_advisory_lock(1)", "SELECT 1 / 0", "ROLLBACK"],
    ["SELECT pg_advisory_lock(1); SELECT 1 / 0"],
    ["SELECT pins_lock()"],
], ids=["one statement", "transaction", "several", "in a function"])
def test_a_lock_outlives_the_error_and_stays_its_clients(run_pgusher, node, script):
    node.execute("""CREATE OR REPLACE FUNCTION pins_lock() RETURNS int LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock(1); RETURN 1 / 0; END'""")
    proxy = run_pgusher({"app": node.connstr}, default_pool_size=2, query_wait_timeout=5, monitor_user="postgres")
    wait_for("the catalog", lambda: "state=loaded" in proxy.log())
    a, b = proxy.connect(), proxy.connect()
    for q in script:
        try:
            a.execute(q)
        except psycopg.errors.DivisionByZero:
            pass
    assert b.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (False,)
    assert a.execute("SELECT pg_advisory_unlock(1)").fetchone() == (True,)
    assert b.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
    b.execute("SELECT pg_advisory_unlock(1)")
    wait_for("the pins to end", lambda: reasons(proxy) == [])


def test_what_only_failed_pins_nobody(proxy):
    a = proxy.connect()
    for q in ("SELEC 1", "CREATE TEMP TABLE tt (i nosuch)", "DECLARE c CURSOR WITH HOLD FOR SELECT nosuch"):
        with pytest.raises(psycopg.Error):
            a.execute(q)
        assert proxy.connect().execute("SELECT 1").fetchone() == (1,)
    assert a.execute("SELECT pg_try_advisory_lock(1), pg_advisory_unlock(1)").fetchone() == (True, True)
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)
    wait_for("the pins to end", lambda: reasons(proxy) == [])


@pytest.mark.parametrize("pin", ["LOAD 'plpgsql'", "SELECT setseed(0.5)"])
def test_what_discard_all_leaves_ends_with_its_server(proxy, pin):
    a, b = proxy.connect(user="postgres"), proxy.connect(user="postgres")
    a.execute(pin)
    pid = a.execute("SELECT pg_backend_pid()").fetchone()
    a.execute("DISCARD ALL")
    assert b.execute("SELECT pg_backend_pid()").fetchone() != pid
    a.execute(pin)
    pid = a.execute("SELECT pg_backend_pid()").fetchone()
    a.close()
    assert b.execute("SELECT pg_backend_pid()").fetchone() != pid


def test_no_more_servers_are_pinned_than_may_be(run_pgusher, node):
    proxy = run_pgusher({"app": node.connstr}, default_pool_size=4, max_pinned_servers=2, query_wait_timeout=5)
    a, b, c = proxy.connect(), proxy.connect(), proxy.connect(autocommit=False)
    a.execute("CREATE TEMP TABLE tt (i int)")
    b.execute("SELECT pg_advisory_lock(2)")
    for _ in range(2):
        with pytest.raises(psycopg.errors.TooManyConnections) as e:
            c.execute("CREATE TEMP TABLE tt (i int)")
        assert "max_pinned_servers" in e.value.diag.message_hint
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            c.execute("SELECT 1")
        c.rollback()
        assert c.execute("SELECT nextval('pins_s') > 0").fetchone() == (True,)  # not worth a server then
        c.rollback()
    assert len(reasons(proxy)) == 2
    a.execute("CREATE TEMP TABLE tu (i int)")
    a.execute("DROP TABLE tt, tu")
    wait_for("a place", lambda: len(reasons(proxy)) == 1)
    c.execute("CREATE TEMP TABLE tt (i int)")
    c.commit()
    b.close()
    wait_for("another", lambda: reasons(proxy) == ["temporary table"])
    a.execute("CREATE TEMP TABLE tt (i int)")
    assert len(reasons(proxy)) == 2


def test_the_log_says_when_most_of_a_pool_is_pinned(run_pgusher, node):
    proxy = run_pgusher({"app": node.connstr}, default_pool_size=3)
    a, b = proxy.connect(), proxy.connect()
    a.execute("CREATE TEMP TABLE tt (i int)")
    assert "pool_mostly_pinned" not in proxy.log()
    b.execute("CREATE TEMP TABLE tt (i int)")
    assert "event=pool_mostly_pinned pinned=2 size=3" in proxy.log()


# What is changed without SET and RESET: statements, what shows it, and what that tells then.
SETS = {
    "set_config": (["SELECT set_config('work_mem', '9MB', false)"], "SHOW work_mem", "9MB"),
    "set_config of an own name": (["SELECT set_config('App.X', 'it''s \\ ü', false)"], "SHOW app.x", "it's \\ ü"),
    "set_config of nothing": (["SELECT set_config('app.x', '', false)"], "SHOW app.x", ""),
    "an expression": (["SELECT set_config('work_mem', (2 + 7) || 'MB', false)"], "SHOW work_mem", "9MB"),
    "to its default": (["SELECT set_config('work_mem', '9MB', false)", "SELECT set_config('work_mem', NULL, false)"],
                       "SHOW work_mem", None),
    "several": (["SET work_mem = '9MB'; SELECT 1"], "SHOW work_mem", "9MB"),
    "several, in a transaction": (["BEGIN; SET work_mem = '9MB'; COMMIT; BEGIN; SET work_mem = '8MB'; ROLLBACK"],
                                  "SHOW work_mem", "9MB"),
    "a list": (["SET search_path = \"$user\", public, \"A b\"; SELECT 1"], "SHOW search_path",
               '"$user", public, "A b"'),
    "characteristics": (["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"],
                        "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')",
                        "serializableon"),
    "time zone": (["SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE"], "SHOW TimeZone", "<-08>+08"),
    "role": (["SET ROLE other"], "SELECT current_user", "other"),
    "role in a transaction": (["BEGIN", "SET ROLE other", "COMMIT"], "SELECT current_user", "other"),
    "role undone": (["BEGIN", "SET ROLE other", "ROLLBACK"], "SELECT current_user", "app"),
    "role and back": (["SET ROLE other; SELECT 1", "SET ROLE NONE"], "SELECT current_user", "app"),
    "reset all leaves the role": (["SET ROLE other", "SELECT 1", "RESET ALL"], "SELECT current_user", "other"),
    "discard all does not": (["SET ROLE other", "SELECT 1", "DISCARD ALL"], "SELECT current_user", "app"),
    "up to a savepoint": (["BEGIN", "SELECT set_config('work_mem', '9MB', false)", "SAVEPOINT a", "SET lock_timeout = 7",
                           "SELECT set_config('work_mem', '8MB', false)", "ROLLBACK TO a", "SELECT 1", "COMMIT"],
                          "SHOW work_mem", "9MB"),
    "from what it is": (["BEGIN", "SET LOCAL work_mem = '9MB'", "SET work_mem FROM CURRENT", "COMMIT"],
                        "SHOW work_mem", "9MB"),
    "over a carried one": (["SET work_mem = '8MB'", "BEGIN", "SELECT set_config('work_mem', '9MB', false)", "SAVEPOINT a",
                            "SET lock_timeout = 7", "ROLLBACK TO a", "SHOW work_mem", "COMMIT"], "SHOW work_mem", "9MB"),
    "failed": (["SELECT set_config('work_mem', '9MB', false), 1 / (pg_backend_pid() * 0)"], "SHOW work_mem", None),
}


@pytest.mark.parametrize("script,look,value", SETS.values(), ids=SETS.keys())
def test_what_was_set_in_another_way_is_carried_too(proxy, cluster, script, look, value):
    cluster.primary.execute("GRANT other TO app", dbname="postgres")
    a, b = proxy.connect(), proxy.connect()
    default = b.execute(look).fetchone() if "app.x" not in look else None
    for q in script:
        try:
            a.execute(q)
        except psycopg.errors.DivisionByZero:
            pass
    for _ in range(2):
        if default is not None:
            assert b.execute(look).fetchone() == default
        else:
            assert b.execute("SELECT current_setting('app.x', true)").fetchone()[0] in (None, "")
        assert a.execute(look).fetchone() == (default if value is None else (value,))
    assert reasons(proxy) == []


def test_set_config_with_bound_values_is_carried(proxy):
    a, b = proxy.connect(), proxy.connect()
    default = b.execute("SHOW work_mem").fetchone()
    for prepare in (False, True):
        for size in ("8MB", "9MB"):
            a.execute("SELECT set_config(%s, %s, %s)", ("Work_mem", size, False), prepare=prepare)
            assert b.execute("SHOW work_mem").fetchone() == default
            assert a.execute("SHOW work_mem").fetchone() == (size,)


def test_a_setting_of_unknown_name_pins_for_good(run_pgusher, node):
    proxy = run_pgusher({"app": node.connstr}, default_pool_size=2)
    a, b = proxy.connect(), proxy.connect()
    default = b.execute("SHOW work_mem").fetchone()
    a.execute("SELECT set_config('work' || '_mem', '9MB', false)")
    a.execute("SELECT set_config('lock_timeout', '9s', false)")
    assert b.execute("SHOW work_mem").fetchone() == default
    assert a.execute("SHOW work_mem").fetchone() == ("9MB",)
    assert reasons(proxy) == ["setting"]
    a.execute("DISCARD ALL")
    assert a.execute("SHOW work_mem").fetchone() == default
    assert reasons(proxy) == []
