"""Settings injected for the caller: there before the first statement, out of the caller's reach, nobody else's."""

import signal

import psycopg
import pytest

from harness.process import wait_for


SETTINGS = {
    "app.client_ip": "%{client_addr}",
    "app.login": "%{user}@%{database}",
    "app.program": "%{application_name}",
    "app.current_user_id": "%{startup:app.current_user_id}",
    "app.current_provider_id": "%{tag:provider_id}",
    "app.fixed": "always this",
    "app.with_default": "%{startup:app.nothing|none given}",
}


@pytest.fixture
def proxy(run_pgusher, cluster):
    return run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, sections={"settings": SETTINGS})


def value(c, name, more=""):
    return c.execute(f"SELECT current_setting('{name}', true){more}").fetchone()[0]


def test_every_source_is_there_before_the_first_statement(proxy):
    c = proxy.connect(options="-c app.current_user_id=42", application_name="clinic")
    assert value(c, "app.client_ip") == "127.0.0.1"
    assert value(c, "app.login") == "app@app"
    assert value(c, "app.program") == "clinic"
    assert value(c, "app.current_user_id") == "42"
    assert value(c, "app.fixed") == "always this"
    assert value(c, "app.with_default") == "none given"
    assert value(c, "app.current_provider_id") == ""


@pytest.mark.parametrize("protocol", ["simple", "extended", "in a transaction", "first statement"])
def test_they_reach_the_server_in_each_protocol(proxy, protocol):
    c = proxy.raw()
    c.startup(options="-c app.current_user_id=7")
    sql = "SELECT current_setting('app.current_user_id', true)"
    if protocol == "in a transaction":
        c.simple("BEGIN")
    answer = c.extended(sql) if protocol == "extended" else c.simple(sql)
    assert answer.value() == "7"
    assert answer.kinds == ("12TDCZ" if protocol == "extended" else "TDCZ")


def test_two_clients_on_one_server_each_see_their_own(proxy):
    a = proxy.connect(options="-c app.current_user_id=1")
    b = proxy.connect(options="-c app.current_user_id=2")
    c = proxy.connect()
    for _ in range(5):
        assert value(a, "app.current_user_id") == "1"
        assert value(b, "app.current_user_id") == "2"
        assert value(c, "app.current_user_id") == ""


def test_they_survive_rollback(proxy):
    a = proxy.connect(autocommit=False, options="-c app.current_user_id=1")
    b = proxy.connect(options="-c app.current_user_id=2")
    for _ in range(3):
        assert value(a, "app.current_user_id") == "1"
        with pytest.raises(psycopg.Error):
            a.execute("SELECT 1/0")
        a.rollback()
        assert value(b, "app.current_user_id") == "2"


PROTECTED = ["SET app.current_user_id = '666'", "SET SESSION app.current_user_id TO 666",
             "SET LOCAL app.current_user_id = '666'", "RESET app.current_user_id",
             "SET APP.Current_User_Id = '666'", 'SET "app"."current_user_id" = 1',
             "SELECT set_config('app.current_user_id', '666', false)",
             "SELECT set_config('APP.CURRENT_USER_ID', '666', true)",
             "SELECT pg_catalog.set_config('app.current_user_id', '666', false)",
             "WITH x AS (SELECT set_config('app.current_user_id', '666', false)) SELECT * FROM x",
             "SELECT 1 WHERE set_config('app.current_user_id', '666', false) IS NOT NULL",
             "SELECT 1; SET app.current_user_id = '666'", "SET app.current_user_id TO DEFAULT",
             "SET app.current_user_id FROM CURRENT"]


@pytest.mark.parametrize("sql", PROTECTED)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
def test_a_protected_setting_cannot_be_changed(proxy, sql, inside):
    c = proxy.connect(options="-c app.current_user_id=1", autocommit=True)
    if inside:
        c.execute("BEGIN")
    with pytest.raises(psycopg.Error) as e:
        c.execute(sql)
    assert e.value.sqlstate in (("42501", "42601") if "FROM CURRENT" in sql else ("42501",))
    if inside:
        c.execute("ROLLBACK")
    assert value(c, "app.current_user_id") == "1"


@pytest.mark.parametrize("sql", [
    "SELECT set_config('app.' || 'current_user_id', '666', false)",
    "DO $$ BEGIN PERFORM set_config('app.current_user_id', '666', false); END $$",
    "DO $$ BEGIN EXECUTE 'SET app.current_user_id = 666'; END $$",
    "SELECT set_config(n, '666', false) FROM (VALUES ('app.current_user_id')) x(n)",
])
def test_a_hidden_change_is_refused_or_undone(proxy, sql):
    """What cannot be seen in the text may run, but must not outlive its statement."""
    c = proxy.connect(options="-c app.current_user_id=1")
    try:
        c.execute(sql)
    except psycopg.Error as e:
        assert e.sqlstate in ("42501", "0A000")
    assert value(c, "app.current_user_id") == "1"
    assert value(proxy.connect(), "app.current_user_id") == ""


def test_prepared_statements_cannot_change_it_either(proxy):
    c = proxy.raw()
    c.startup(options="-c app.current_user_id=1")
    answer = c.extended("SELECT set_config($1, $2, false)", ("app.current_user_id", "666"), types=(25, 25))
    if answer.error:
        assert answer.sqlstate == "42501"
    assert c.extended("SELECT current_setting('app.current_user_id', true)").value() == "1"
    answer = c.prepare("s", "SET app.current_user_id = '666'")
    if not answer.error:
        answer = c.run("s")
    assert answer.sqlstate == "42501"


def test_reset_all_and_discard_all_keep_it(proxy):
    c = proxy.connect(options="-c app.current_user_id=1")
    for sql in ("RESET ALL", "DISCARD ALL"):
        c.execute(sql)
        assert value(c, "app.current_user_id") == "1"
        assert value(c, "app.client_ip") == "127.0.0.1"


def test_options_cannot_set_a_protected_name_that_has_another_source(proxy):
    """app.client_ip comes from the address alone: 42501 at login, or ours wins."""
    try:
        c = proxy.connect(options="-c app.client_ip=6.6.6.6")
        assert value(c, "app.client_ip") == "127.0.0.1"
    except psycopg.OperationalError as e:
        assert "app.client_ip" in str(e)


def test_a_tag_sets_it_for_its_statement_only(proxy):
    a, b = proxy.connect(), proxy.connect()
    tagged = " /*provider_id='p-1'*/"
    assert value(a, "app.current_provider_id", tagged) == "p-1"
    assert value(a, "app.current_provider_id") == ""
    assert value(b, "app.current_provider_id", " /*provider_id='p%202',route='x'*/") == "p 2"
    assert value(a, "app.current_provider_id") == ""


def test_values_are_quoted(proxy):
    nasty = "x'; DROP TABLE users; --\\"
    c = proxy.connect(application_name=nasty)
    assert value(c, "app.program") == c.execute("SHOW application_name").fetchone()[0] == nasty


def test_a_required_setting_without_source_is_28000(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr},
                    sections={"settings": {"app.current_user_id!": "%{startup:app.current_user_id}"}})
    with pytest.raises(psycopg.OperationalError) as e:
        p.connect().execute("SELECT 1")
    assert "app.current_user_id" in str(e.value)
    c = p.raw()
    from harness import wire

    c.send(wire.startup(user="app", database="app"), wire.query("SELECT 1"))
    seen = []
    try:
        while not seen or seen[-1].kind != "E":
            seen.append(c.receive())
    except wire.Gone:
        pass
    assert seen[-1].sqlstate == "28000"
    ok = p.connect(options="-c app.current_user_id=5")
    assert value(ok, "app.current_user_id") == "5"


def test_narrower_sections_win(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr, "second": cluster.primary.connstr},
                    sections={"settings": {"app.who": "all"}, "settings:second": {"app.who": "db"},
                              "settings:second/other": {"app.who": "db and user"}})
    assert value(p.connect(), "app.who") == "all"
    assert value(p.connect(dbname="second"), "app.who") == "db"
    assert value(p.connect(dbname="second", user="other"), "app.who") == "db and user"


def test_row_level_security_sees_the_caller(proxy, cluster, name):
    cluster.primary.script(f"""CREATE TABLE {name} (owner text, v int);
INSERT INTO {name} VALUES ('1', 10), ('2', 20);
ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON {name} TO app;
CREATE POLICY p ON {name} USING (owner = current_setting('app.current_user_id', true))""")
    a = proxy.connect(options="-c app.current_user_id=1")
    b = proxy.connect(options="-c app.current_user_id=2")
    nobody = proxy.connect()
    for _ in range(3):
        assert a.execute(f"SELECT v FROM {name}").fetchall() == [(10,)]
        assert b.execute(f"SELECT v FROM {name}").fetchall() == [(20,)]
        assert nobody.execute(f"SELECT v FROM {name}").fetchall() == []


def test_a_setting_the_server_refuses_fails_the_request(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1,
                    sections={"settings": {"work_mem": "%{startup:app.mem|4MB}"}})
    bad = p.connect(options="-c app.mem=nonsense")
    with pytest.raises(psycopg.Error):
        bad.execute("SELECT 'must not run'")
    good = p.connect(options="-c app.mem=9MB")
    wait_for("the next client to be served",
             lambda: good.execute("SHOW work_mem").fetchone() == ("9MB",))


HIDDEN = "SELECT 'a\\', '; SET app.fixed = 1; --'"  # one statement to who takes a backslash for itself


@pytest.mark.parametrize("how", ["set", "startup", "role"])
def test_a_backslash_hides_nothing(run_pgusher, cluster, name, how):
    cluster.primary.execute(f"CREATE ROLE {name} LOGIN")
    if how == "role":
        cluster.primary.execute(f"ALTER ROLE {name} SET standard_conforming_strings = off")
    proxy = run_pgusher({"app": cluster.primary.connstr}, users={name: ""}, default_pool_size=1,
                        sections={"settings": SETTINGS})
    c = proxy.raw()
    c.startup(user=name, **({"options": "-c standard_conforming_strings=off"} if how == "startup" else {}))
    if how == "set":
        c.simple("SET standard_conforming_strings = off")
    assert c.simple(HIDDEN).sqlstate == "42501"
    assert c.simple("SELECT current_setting('app.fixed')").value() == "always this"
    assert c.simple("SET standard_conforming_strings = on").error is None
    assert c.simple(HIDDEN).rows == [[b"a\\", b"; SET app.fixed = 1; --"]]


def test_a_reload_renews_who_is_logged_in(run_pgusher, cluster):
    """What [settings] says now holds for sessions that are open; what they have set themselves stays."""
    rows = {"app.old": "was here", "app.who": "%{user}", "app.tenant": "%{startup:app.tenant}"}
    p = run_pgusher({"app": cluster.primary.connstr}, default_pool_size=1, sections={"settings": rows})
    c = p.connect(options="-c app.tenant=7 -c work_mem=5MB -c datestyle=German", application_name="clinic")
    date = c.execute("SHOW DateStyle").fetchone()
    c.execute("SET lock_timeout = '11s'")
    assert [value(c, n) for n in ("app.old", "app.who", "app.tenant")] == ["was here", "app", "7"]
    p.sections["settings"] = {"app.new": "%{application_name} %{startup:app.tenant}", "app.who": "someone else"}
    p.write()
    p.signal(signal.SIGHUP)
    wait_for("the new row", lambda: value(c, "app.new") == "clinic 7")
    assert value(c, "app.who") == "someone else"
    assert value(c, "app.old") in (None, "")
    assert [c.execute(f"SHOW {n}").fetchone() for n in ("app.tenant", "work_mem", "lock_timeout", "DateStyle")] == [
        ("7",), ("5MB",), ("11s",), date]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        c.execute("SET app.new = 'forged'")
    c.execute("SET app.old = 'free again'")
    assert value(c, "app.old") == "free again"
    p.sections["settings"] = {"app.must!": "%{startup:app.badge}"}
    p.write()
    p.signal(signal.SIGHUP)

    def is_refused():
        try:
            return value(c, "app.must") == "never"
        except psycopg.OperationalError as e:
            return "app.must" in str(e) or "28000" in str(e)

    wait_for("the client to be refused", is_refused)
