"""Where no statement of pgusher's could undo what others left, or go back to what a client began with: a new session."""

import psycopg
import pytest

from harness import wire
from harness.process import wait_for

pytestmark = pytest.mark.tsan

KNOWN = {"cache": "memory", "monitor_user": "postgres"}


@pytest.fixture
def proxy(run_pgusher, cluster):
    """One server for all."""
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5)


def renewals(proxy):
    return proxy.log().count("event=server_renewed")


def reasons(proxy):
    return [row["reasons"] for row in proxy.console("SHOW PINS")]


def show(c, name):
    return c.execute(f"SELECT current_setting('{name}', true)").fetchone()[0]


# ---- what others left

def test_a_custom_setting_of_somebody_else_is_unknown(proxy):
    a, b = proxy.connect(), proxy.connect()
    a.execute("SET app.own = 'mine'")
    assert show(b, "app.own") is None
    assert show(a, "app.own") == "mine"
    with pytest.raises(psycopg.errors.UndefinedObject):
        b.execute("SHOW app.own")
    assert b.execute("SELECT current_setting(%s, true)", ("App.Own",)).fetchone()[0] is None
    assert show(a, "app.own") == "mine"


@pytest.mark.parametrize("text", ["SET LOCAL app.own = 'x'", "SELECT set_config('app.own', 'x', true)", "SET app.own = 'x'"])
def test_a_custom_setting_that_was_set_once_is_empty_ever_after(proxy, text):
    a, b = proxy.connect(), proxy.connect()
    assert show(a, "app.own") is None
    with a.transaction():
        a.execute(text)
    if not text.startswith(("SET LOCAL", "SELECT")):
        a.execute("RESET app.own")
    for _ in range(2):
        assert show(a, "app.own") == ""
        assert show(b, "app.own") is None


def test_a_custom_setting_that_could_not_be_set_stays_unknown(proxy):
    a = proxy.connect()
    with pytest.raises(psycopg.errors.InvalidName):
        a.execute("SET app.\"odd name\" = 'x'")
    assert a.execute("SELECT current_setting('app.odd name', true)").fetchone()[0] is None


def test_what_one_client_sets_for_itself_costs_no_session(proxy):
    a, b = proxy.connect(), proxy.connect()
    for c in (a, b, a, b):
        c.execute("SET app.own = 'mine'")
        assert show(c, "app.own") == "mine"
    assert renewals(proxy) == 0


def test_there_is_no_schema_for_temporary_things_of_somebody_else(proxy):
    a, b = proxy.connect(), proxy.connect()
    a.execute("CREATE TEMP TABLE tt (i int)")
    a.execute("DROP TABLE tt")
    b.execute("SET search_path = pg_temp")
    assert b.execute("SELECT pg_catalog.pg_my_temp_schema()").fetchone()[0] == 0


# ---- what the client began with

BEGAN = "-c work_mem=5MB -c app.own=began"
TEXTS = {
    "one of several": ["SET work_mem = '9MB'", "RESET work_mem; SELECT 1"],
    "all, among several": ["SET work_mem = '9MB'", "RESET ALL; SELECT 1"],
    "in DO": ["SET work_mem = '9MB'", "DO $$ BEGIN RESET work_mem; END $$"],
    "all, in DO": ["DO $$ BEGIN SET work_mem = '9MB'; END $$", "DO $$ BEGIN RESET ALL; END $$"],
    "by set_config()": ["SET work_mem = '9MB'", "SELECT set_config('work_mem', NULL, false)"],
    "for a transaction": ["BEGIN", "SET LOCAL work_mem TO DEFAULT", "COMMIT"],
    "again": ["RESET work_mem; SELECT 1", "BEGIN", "SET work_mem = '9MB'", "DO $$ BEGIN RESET ALL; END $$", "COMMIT"],
    "alone, afterwards": ["RESET work_mem; SELECT 1", "SET work_mem = '9MB'", "RESET work_mem"],
    "all, alone, afterwards": ["RESET work_mem; SELECT 1", "SET work_mem = '9MB'", "RESET ALL"],
    "DISCARD ALL, afterwards": ["RESET work_mem; SELECT 1", "SET work_mem = '9MB'", "DISCARD ALL"],
}


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_reset_goes_back_to_what_the_client_began_with(run_pgusher, cluster, texts, mode):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5, pool_mode=mode)
    a = proxy.connect(options=BEGAN)
    for q in texts:
        a.execute(q)
    assert (show(a, "work_mem"), show(a, "app.own")) == ("5MB", "began")
    a.close()
    b = proxy.connect()
    assert (show(b, "work_mem"), show(b, "app.own")) == ("4MB", None)


def test_the_text_itself_sees_what_the_client_began_with(proxy):
    a = proxy.connect(options=BEGAN)
    a.execute("SET work_mem = '9MB'")
    cursor = a.execute("RESET work_mem; SHOW work_mem")
    cursor.nextset()
    assert cursor.fetchone() == ("5MB",)
    assert a.execute("SELECT set_config('work_mem', %s, false)", (None,)).fetchone() == ("5MB",)
    wait_for("nothing else to be asked", lambda: reasons(proxy) == ["startup settings"])
    a.execute("DISCARD ALL")
    assert show(a, "work_mem") == "5MB"
    assert reasons(proxy) == []


def test_a_function_that_may_reset_runs_where_it_can(run_pgusher, cluster):
    cluster.primary.execute("CREATE OR REPLACE FUNCTION renew_reset() RETURNS text LANGUAGE plpgsql AS "
                            "'BEGIN RESET work_mem; RETURN current_setting(''work_mem''); END'")
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5, **KNOWN)
    wait_for("the catalog", lambda: "event=catalog_loaded" in proxy.log())
    a = proxy.connect(options=BEGAN)
    a.execute("SET work_mem = '9MB'")
    assert a.execute("SELECT renew_reset()").fetchone() == ("5MB",)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL", "DISCARD ALL", "SET work_mem TO DEFAULT"])
def test_reset_alone_needs_no_other_session(run_pgusher, cluster, mode, reset):
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, query_wait_timeout=5, pool_mode=mode)
    a = proxy.connect(options=BEGAN)
    a.execute("SET work_mem = '9MB'")
    a.execute(reset)
    assert (show(a, "work_mem"), show(a, "app.own")) == ("5MB", "began")
    assert renewals(proxy) == 0


def test_a_login_that_fails_then_is_the_statement_s_error(proxy, cluster):
    a = proxy.connect(options=BEGAN)
    assert show(a, "work_mem") == "5MB"
    cluster.primary.execute("ALTER ROLE app NOLOGIN")
    try:
        with pytest.raises(psycopg.errors.InvalidAuthorizationSpecification):
            a.execute("RESET work_mem; SHOW work_mem")
    finally:
        cluster.primary.execute("ALTER ROLE app LOGIN")
    wait_for("the session to go on", lambda: works(a))
    assert show(a, "work_mem") == "5MB"
    assert reasons(proxy) == []


def works(c):
    try:
        return c.execute("SELECT 1").fetchone() == (1,)
    except psycopg.errors.InvalidAuthorizationSpecification:
        return False  # until server_login_retry is over


def test_a_client_that_leaves_meanwhile_takes_nothing_along(proxy):
    for _ in range(5):
        a = proxy.raw()
        a.startup(options=BEGAN)
        a.simple("SELECT 1")
        a.send(wire.query("RESET work_mem; SHOW work_mem"))
        a.close()
    b = proxy.connect()
    assert (show(b, "work_mem"), show(b, "app.own")) == ("4MB", None)
    wait_for("all servers but one to be gone", lambda: len(proxy.console("SHOW SERVERS")) == 1)


def test_a_setting_that_another_server_refuses_is_told_once(run_pgusher, cluster):
    cluster.primary.execute("CREATE OR REPLACE FUNCTION renew_one() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'")
    proxy = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=2, query_wait_timeout=5)
    a, b = proxy.connect(), proxy.connect()
    b.execute("BEGIN")
    b.execute("SELECT renew_one()")  # this server knows PL/pgSQL's settings
    a.execute("SET plpgsql.nosuch = 'x'")  # the other one takes it for somebody's own
    holder = proxy.connect()
    holder.execute("BEGIN")
    holder.execute("SELECT 1")
    b.execute("COMMIT")
    with pytest.raises(psycopg.errors.InvalidName):
        a.execute("SELECT 1")
    assert a.execute("SELECT 1").fetchone() == (1,)
    assert show(a, "plpgsql.nosuch") is None
