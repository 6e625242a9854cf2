"""What a session builds up is carried with its client, pinned, or refused: never lost, never leaked."""

import psycopg
import pytest

from harness.process import wait_for


@pytest.fixture
def proxy(run_pgusher, cluster):
    """One server for everybody: whatever leaks is seen at once, and what is pinned without need, too."""
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5)


@pytest.fixture
def two_servers(run_pgusher, cluster):
    """For what may be pinned: another server is left for the others."""
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, query_wait_timeout=5)


def show(c, name):
    return c.execute(f"SHOW {name}").fetchone()[0]


SETTINGS = [("work_mem", "7MB"), ("statement_timeout", "12345ms"), ("search_path", "pg_catalog"),
            ("DateStyle", "German, DMY"), ("TimeZone", "Asia/Tokyo"), ("application_name", "my app"),
            ("IntervalStyle", "iso_8601"), ("client_encoding", "LATIN1"), ("extra_float_digits", "-5"),
            ("app.mine", "it's \\ \"odd\""), ("bytea_output", "escape"), ("standard_conforming_strings", "off"),
            ("default_transaction_isolation", "serializable"), ("row_security", "off"), ("lock_timeout", "77ms")]


@pytest.mark.parametrize("name,value", SETTINGS)
def test_set_is_kept_for_its_client_and_hidden_from_the_others(proxy, name, value):
    a, b = proxy.connect(), proxy.connect()
    default = b.execute("SELECT current_setting(%s, true)", (name,)).fetchone()[0]
    a.execute(f"SET {name} = '{value.replace(chr(39), chr(39) * 2)}'" if "'" in value or "\\" in value
              else f"SET {name} TO {value!r}" if name != "DateStyle" else f"SET {name} TO {value}")
    mine = a.execute("SELECT current_setting(%s)", (name,)).fetchone()[0]
    assert mine == value or name in ("statement_timeout",)
    for _ in range(3):
        theirs = b.execute("SELECT current_setting(%s, true)", (name,)).fetchone()[0]
        assert theirs in (default, "" if default is None else default)
        assert a.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] == mine


def test_a_setting_follows_to_another_server(two_servers):
    a, b = two_servers.connect(), two_servers.connect()
    a.execute("SET work_mem = '9MB'")
    first = a.execute("SELECT pg_backend_pid()").fetchone()[0]
    with b.transaction():
        b.execute("SELECT 1")
        held = b.execute("SELECT pg_backend_pid()").fetchone()[0]
        row = a.execute("SELECT pg_backend_pid(), current_setting('work_mem')").fetchone()
        assert row[0] != held and row[1] == "9MB"
    assert first is not None


def test_reset_and_reset_all_undo_it(proxy):
    a = proxy.connect()
    default = show(a, "work_mem")
    a.execute("SET work_mem = '9MB'")
    a.execute("RESET work_mem")
    assert show(a, "work_mem") == default
    a.execute("SET work_mem = '9MB'")
    a.execute("SET lock_timeout = '5s'")
    a.execute("RESET ALL")
    assert (show(a, "work_mem"), show(a, "lock_timeout")) == (default, "0")
    a.execute("SET work_mem = '9MB'")
    a.execute("SET work_mem TO DEFAULT")
    assert show(a, "work_mem") == default


def test_a_rolled_back_set_is_undone(proxy):
    a = proxy.connect(autocommit=False)
    default = show(a, "work_mem")
    a.commit()
    a.execute("SET work_mem = '9MB'")
    a.rollback()
    assert show(a, "work_mem") == default
    a.commit()
    a.execute("SET work_mem = '8MB'")
    a.execute("SAVEPOINT s")
    a.execute("SET work_mem = '9MB'")
    a.execute("ROLLBACK TO s")
    a.commit()
    assert show(a, "work_mem") == "8MB"


def test_set_local_ends_with_its_transaction(proxy):
    a = proxy.connect()
    default = show(a, "work_mem")
    with a.transaction():
        a.execute("SET LOCAL work_mem = '9MB'")
        assert show(a, "work_mem") == "9MB"
    assert show(a, "work_mem") == default


@pytest.mark.parametrize("local", [False, True])
def test_set_config_is_followed(two_servers, local):
    a, b = two_servers.connect(), two_servers.connect()
    default = show(b, "work_mem")
    a.execute("SELECT set_config('work_mem', '9MB', %s)", (local,))
    assert show(b, "work_mem") == default
    assert show(a, "work_mem") == (default if local else "9MB")


def test_set_config_inside_a_function_does_not_leak(run_pgusher, cluster, name):
    """What functions do is known from the catalog: that takes a monitor_user."""
    cluster.primary.execute(f"""CREATE FUNCTION {name}() RETURNS text LANGUAGE sql AS
        $$ SELECT set_config('work_mem', '13MB', false) $$""")
    two_servers = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, query_wait_timeout=5,
                              monitor_user="postgres")
    wait_for("the catalog", lambda: "state=loaded" in two_servers.log())
    a, b = two_servers.connect(), two_servers.connect()
    default = show(b, "work_mem")
    a.execute(f"SELECT {name}()")
    assert show(b, "work_mem") == default
    a.close()
    assert [show(two_servers.connect(), "work_mem") for _ in range(3)] == [default] * 3


UNSEEN = {
    "select": lambda c, f: c.execute(f"SELECT {f}()"),
    "prepared": lambda c, f: c.execute(f"SELECT {f}()", prepare=True),
    "transaction": lambda c, f: [c.execute(q) for q in ("BEGIN", f"SELECT {f}()", "COMMIT")],
    "failed": lambda c, f: [pytest.raises(psycopg.Error, c.execute, f"SELECT {f}(), 1 / 0"), c.execute("SELECT 1")],
    "in a text of several": lambda c, f: c.execute(f"SELECT 1; SELECT {f}(); SELECT 2", prepare=False),
}


@pytest.mark.parametrize("call", UNSEEN.values(), ids=UNSEEN.keys())
def test_without_a_catalog_what_a_function_may_have_set_ends_with_its_transaction(proxy, cluster, name, call):
    """One server for all: the caller may not be pinned to it, and nobody else sees a trace."""
    cluster.primary.execute(f"""CREATE FUNCTION {name}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('app.{name}', 'leaked', false), pg_advisory_lock(77);
        SET ROLE app;
        PERFORM nextval('{name}_seq'); CREATE TEMP TABLE {name}_temp (i int); END $$;
        CREATE SEQUENCE {name}_seq; GRANT ALL ON {name}_seq TO app""")
    a, b = proxy.connect(prepare_threshold=0), proxy.connect(prepare_threshold=0)
    one = "SELECT current_setting(%s, true), current_user, to_regclass(%s)"
    before = b.execute(one, (f"app.{name}", f"{name}_temp")).fetchone()
    for _ in range(2):
        call(a, name)
        after = b.execute(one, (f"app.{name}", f"{name}_temp")).fetchone()
        assert after in (before, ("", *before[1:]))
        assert b.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77").fetchone() == (0,)


def test_without_a_catalog_builtin_functions_cost_no_reset(proxy, cluster):
    a, mark = proxy.connect(prepare_threshold=0), cluster.primary.mark()
    for _ in range(3):
        a.execute("SELECT lower('X'), now(), count(*), pg_catalog.abs(-1), coalesce(max(1), 2) FROM pg_class")
    assert cluster.primary.ran("DISCARD", mark) == []


def test_set_in_a_do_block_does_not_leak(two_servers):
    a, b = two_servers.connect(), two_servers.connect()
    default = show(b, "work_mem")
    a.execute("DO $$ BEGIN PERFORM set_config('work_mem', '13MB', false); END $$")
    assert show(b, "work_mem") == default
    a.close()
    assert [show(two_servers.connect(), "work_mem") for _ in range(3)] == [default] * 3


def test_startup_parameters_and_options_are_carried(proxy):
    a = proxy.connect(options="-c work_mem=9MB -c app.tenant=seven --statement_timeout=99s",
                      application_name="starter", client_encoding="LATIN1")
    b = proxy.connect()
    default = show(b, "work_mem")
    for _ in range(2):
        assert show(a, "work_mem") == "9MB"
        assert show(a, "app.tenant") == "seven"
        assert show(a, "statement_timeout") == "99s"
        assert show(a, "application_name") == "starter"
        assert show(a, "client_encoding") == "LATIN1"
        assert default == show(b, "work_mem") != "9MB"
        assert b.execute("SELECT current_setting('app.tenant', true)").fetchone()[0] in (None, "")
        assert show(b, "statement_timeout") == "0"
        assert show(b, "client_encoding") == "UTF8"
    a.execute("SET work_mem = '1MB'")
    a.execute("RESET work_mem")
    assert show(a, "work_mem") == "9MB", "RESET goes back to the startup value"


def test_a_bad_startup_option_is_refused_as_postgres_does(proxy):
    with pytest.raises(psycopg.OperationalError) as e:
        proxy.connect(options="-c work_mem=nonsense").execute("SELECT 1")
    assert "work_mem" in str(e.value)
    assert proxy.connect().execute("SELECT 1").fetchone() == (1,)


def test_parameter_status_follows_the_session(proxy):
    a, b = proxy.connect(), proxy.connect()
    a.execute("SET TimeZone = 'Asia/Tokyo'")
    assert a.info.parameter_status("TimeZone") == "Asia/Tokyo"
    b.execute("SELECT 1")
    assert b.info.parameter_status("TimeZone") != "Asia/Tokyo"
    a.execute("SET application_name = 'x y'")
    assert a.info.parameter_status("application_name") == "x y"


def test_set_role_is_kept_and_hidden(two_servers, cluster):
    cluster.primary.execute("GRANT other TO app", dbname="postgres")
    a, b = two_servers.connect(), two_servers.connect()
    a.execute("SET ROLE other")
    for _ in range(2):
        assert a.execute("SELECT current_user").fetchone() == ("other",)
        assert b.execute("SELECT current_user").fetchone() == ("app",)
    a.execute("RESET ROLE")
    assert a.execute("SELECT current_user").fetchone() == ("app",)


def test_set_session_characteristics_is_kept_and_hidden(two_servers):
    a, b = two_servers.connect(), two_servers.connect()
    a.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    assert show(a, "transaction_read_only") == "on"
    assert show(b, "transaction_read_only") == "off"
    assert show(a, "transaction_read_only") == "on"


def test_discard_all_gives_a_fresh_session(proxy):
    a = proxy.connect(options="-c lock_timeout=5s")
    a.execute("SET work_mem = '9MB'")
    a.execute("DISCARD ALL")
    assert show(a, "work_mem") != "9MB"
    assert show(a, "lock_timeout") == "5s"


PINNING = {
    "temp table": ("CREATE TEMP TABLE {n} AS SELECT 42 AS v", "SELECT v FROM {n}", 42),
    "session advisory lock": ("SELECT pg_advisory_lock(4711)",
                              "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 "
                              "AND pid = pg_backend_pid()", 1),
    "holdable cursor": ("BEGIN; DECLARE {n} CURSOR WITH HOLD FOR SELECT 42; COMMIT", "FETCH {n}", 42),
    "sql prepare": ("PREPARE {n} AS SELECT 42", "EXECUTE {n}", 42),
}


@pytest.mark.parametrize("make,use,value", PINNING.values(), ids=PINNING.keys())
def test_other_session_state_stays_usable_or_is_refused(two_servers, name, make, use, value):
    """Pinned or carried: works and is nobody else's. Or 0A000 at once: never silently wrong."""
    a, b = two_servers.connect(), two_servers.connect()
    try:
        a.execute(make.format(n=name))
    except psycopg.errors.FeatureNotSupported:
        return
    for _ in range(4):
        b.execute("SELECT 1")
        assert a.execute(use.format(n=name)).fetchone()[0] == value
        break
    if "advisory" in make:
        with two_servers.connect() as c:
            assert c.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (False,)
    elif "PREPARE" in make or "TEMP" in make:
        with pytest.raises(psycopg.Error):
            b.execute(use.format(n=name))
    a.close()
    fresh = two_servers.connect()
    if "advisory" in make:
        wait_for("the lock to be free", lambda: fresh.execute("SELECT pg_try_advisory_lock(4711)").fetchone()[0])
        fresh.execute("SELECT pg_advisory_unlock_all()")
    else:
        with pytest.raises(psycopg.Error):
            fresh.execute(use.format(n=name))


def test_a_temp_table_may_reuse_its_name_after_its_owner_left(proxy, name):
    for _ in range(3):
        with proxy.connect() as c:
            try:
                c.execute(f"CREATE TEMP TABLE {name} (v int)")
            except psycopg.errors.FeatureNotSupported:
                return


def test_currval_works_or_is_refused(two_servers, cluster, name):
    cluster.primary.execute(f"CREATE SEQUENCE {name}; GRANT ALL ON SEQUENCE {name} TO app")
    a, b = two_servers.connect(), two_servers.connect()
    a.execute(f"SELECT nextval('{name}')")
    b.execute(f"SELECT nextval('{name}')")
    try:
        assert a.execute(f"SELECT currval('{name}')").fetchone() == (1,)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.ObjectNotInPrerequisiteState):
        pass


def test_listen_works_or_is_refused(two_servers, name):
    a, notes = two_servers.connect(), []
    a.add_notify_handler(notes.append)
    try:
        a.execute(f"LISTEN {name}")
    except psycopg.errors.FeatureNotSupported:
        return
    two_servers.connect().execute(f"NOTIFY {name}, 'hello'")
    wait_for("the notification", lambda: a.execute("SELECT 1") and notes)
    assert [(n.channel, n.payload) for n in notes] == [(name, "hello")]


def test_a_client_that_left_takes_everything_with_it(proxy):
    with proxy.connect() as a:
        a.execute("SET work_mem = '9MB'")
        a.execute("SET search_path = pg_catalog")
        a.execute("SET app.secret = 'of a'")
    b = proxy.connect()
    assert show(b, "work_mem") != "9MB"
    assert show(b, "search_path") != "pg_catalog"
    assert b.execute("SELECT current_setting('app.secret', true)").fetchone()[0] in (None, "")


@pytest.mark.parametrize("catalog", [False, True], ids=["no catalog", "catalog"])
@pytest.mark.parametrize("column", ["serial", "int GENERATED ALWAYS AS IDENTITY"])
def test_lastval_is_ones_own_or_refused(run_pgusher, cluster, name, column, catalog):
    """One server for all; a value that another client's INSERT took is never shown."""
    cluster.primary.execute(f"CREATE TABLE {name} (id {column}, v text); GRANT ALL ON {name}, {name}_id_seq TO app")
    more = {"monitor_user": "postgres"} if catalog else {}
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5, **more)
    if catalog:
        wait_for("the catalog", lambda: "state=loaded" in proxy.log())
    a, b, c = proxy.connect(), proxy.connect(), proxy.connect()
    insert, ask = f"INSERT INTO {name} (v) VALUES ('x') RETURNING id", "SELECT lastval()"
    current = f"SELECT currval('{name}_id_seq')"
    for _ in range(2):
        mine = a.execute(insert).fetchone()
        assert a.execute(ask).fetchone() == a.execute(current).fetchone() == mine
        for q in (ask, current, ask):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):  # as for any session that took none
                c.execute(q)
        with b.transaction():
            theirs = b.execute(insert).fetchone()
            assert b.execute(ask).fetchone() == b.execute(current).fetchone() == theirs
        for q in (ask, current):
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                a.execute(q)
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            with a.transaction():
                a.execute("SELECT 1")
                a.execute(ask)
        assert a.execute("SELECT 1").fetchone() == (1,)
    none = proxy.connect()
    assert none.execute(f"INSERT INTO {name} (v) SELECT 'x' WHERE false").rowcount == 0
    for q in (ask, current):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            none.execute(q)
