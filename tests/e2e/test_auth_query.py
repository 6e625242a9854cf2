"""auth_query: users whom no file knows. The servers ask them for passwords, and nobody stores one."""

import signal
import threading

import psycopg
import pytest

from harness import wire
from harness.fake_server import FakeServer
from harness.postgres import Cluster, Node, ROLES
from harness.process import wait_for


@pytest.fixture
def role(cluster, name):
    """A role with password 'secret' whom the server asks by SCRAM."""
    cluster.primary.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE by_scram", dbname="postgres")
    yield name
    cluster.primary.execute(f"DROP ROLE {name}", dbname="postgres")


@pytest.fixture
def run(run_pgusher, cluster):
    def start(databases=None, **more):
        return run_pgusher(databases or {"app": cluster.primary.connstr},
                           **{"auth_type": "scram-sha-256", "auth_user": "asker", "auth_query_ttl": 60, **more})

    return start


def login(p, user, password="secret", **more):
    return p.connect(user=user, password=password, **more)


def who(c):
    return c.execute("SELECT current_user").fetchone()[0]


def refused(p, user, password="secret", match="authentication failed", **more):
    with pytest.raises(psycopg.OperationalError, match=match) as e:
        login(p, user, password, **more)
    return str(e.value)


def asked(cluster, mark, text="pg_authid"):
    """How often the database was asked since the mark."""
    return len(cluster.primary.ran(text, mark))


def test_scram_passes_through_and_nothing_is_stored(run, cluster, role):
    p = run(default_pool_size=2)
    c = login(p, role)
    assert who(c) == role
    with c.transaction():
        assert who(login(p, role)) == role
    refused(p, role, "wrong")
    assert "SCRAM-SHA-256$" not in p.log() and "secret" not in p.log()
    assert role not in p.auth_file.read_text()


@pytest.mark.parametrize("auth_type", ["md5", "plain"])
def test_md5_secrets_serve_too(run, cluster, name, auth_type):
    with cluster.primary.connect() as c:
        c.execute("SET password_encryption = 'md5'")
        c.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE by_md5")
    try:
        p = run(auth_type=auth_type)
        assert who(login(p, name)) == name
        refused(p, name, "wrong")
    finally:
        cluster.primary.execute(f"DROP ROLE {name}", dbname="postgres")


def test_unknown_users_fail_as_wrong_passwords_do(run, role):
    p = run()
    wrong, unknown = refused(p, role, "wrong"), refused(p, "nobody_at_all")
    assert wrong.replace(role, "X") == unknown.replace("nobody_at_all", "X")


def test_unknown_users_are_asked_for_what_known_ones_are(run, role):
    """auth_type md5 asks for SCRAM where the secret is such a one."""
    p = run(auth_type="md5")

    def first_request(user):
        with p.raw() as c:
            c.send(wire.startup(user=user, database="app"))
            return c.receive().body

    for user in ("nobody_at_all", role, "nobody_else"):
        assert first_request(user) == b"\0\0\0\x0aSCRAM-SHA-256\0\0", user


def test_auth_file_comes_first(run, cluster, role):
    p = run(users={role: "another"})
    mark = cluster.primary.mark()
    refused(p, role, "secret")
    assert asked(cluster, mark) == 0


def test_answers_are_kept(run, cluster, role):
    p = run()
    mark = cluster.primary.mark()
    for _ in range(3):
        assert who(login(p, role)) == role
    assert asked(cluster, mark) == 1
    mark = cluster.primary.mark()
    for _ in range(3):
        refused(p, "nobody_at_all")
    assert asked(cluster, mark) == 1


def test_a_ttl_of_zero_asks_each_time(run, cluster, role):
    p = run(auth_query_ttl=0, auth_query_negative_ttl=0)
    mark = cluster.primary.mark()
    for _ in range(3):
        assert who(login(p, role)) == role
        refused(p, "nobody_at_all")
    assert asked(cluster, mark) == 6


def test_a_new_password_counts_at_the_second_login_at_the_latest(run, cluster, role):
    p = run(server_idle_timeout=600)
    old = login(p, role)
    assert who(old) == role
    cluster.primary.execute(f"ALTER ROLE {role} PASSWORD 'changed'", dbname="postgres")
    refused(p, role, "changed")  # by what was known; forgotten with this failure
    new = login(p, role, "changed")
    assert who(new) == role and who(old) == role
    refused(p, role, "secret")
    # and the servers that are opened from now on are logged in to with the new key
    with old.transaction():
        assert who(login(p, role, "changed")) == role


def test_a_new_password_counts_at_once_without_a_ttl(run, cluster, role):
    p = run(auth_query_ttl=0)
    assert who(login(p, role)) == role
    cluster.primary.execute(f"ALTER ROLE {role} PASSWORD 'changed'", dbname="postgres")
    assert who(login(p, role, "changed")) == role
    refused(p, role, "secret")


def test_a_role_without_a_password_or_right_to_log_in_stays_out(run, cluster, name):
    cluster.primary.execute(f"CREATE ROLE {name} LOGIN", dbname="postgres")
    try:
        p = run(auth_query_ttl=0, auth_query_negative_ttl=0)
        refused(p, name, "secret")
        cluster.primary.execute(f"ALTER ROLE {name} PASSWORD 'secret'", dbname="postgres")
        assert who(login(p, name)) == name
        cluster.primary.execute(f"ALTER ROLE {name} VALID UNTIL '2000-01-01'", dbname="postgres")
        refused(p, name, "secret")
        cluster.primary.execute(f"ALTER ROLE {name} VALID UNTIL 'infinity' NOLOGIN", dbname="postgres")
        refused(p, name, "secret")
    finally:
        cluster.primary.execute(f"DROP ROLE {name}", dbname="postgres")


WRONG = {
    "one column": ("SELECT rolpassword FROM pg_authid WHERE rolname = $1",
                   "expected 2 columns from auth_query, not 1"),
    "three columns": ("SELECT rolname, rolpassword, 1 FROM pg_authid WHERE rolname = $1",
                      "expected 2 columns from auth_query, not 3"),
    "two rows": ("SELECT $1::text, rolpassword FROM pg_authid LIMIT 2", "expected 1 row from auth_query, not 2"),
    "another user": ("SELECT 'asker', rolpassword FROM pg_authid WHERE rolname = $1",
                     "auth_query returned another user than it was asked for"),
    "no secret": ("SELECT $1::text, 'SCRAM-SHA-256$x'", "auth_query returned a malformed SCRAM secret"),
    "no such table": ("SELECT a, b FROM nowhere WHERE c = $1", 'relation \\"nowhere\\" does not exist'),
    "syntax": ("SELEC $1", "syntax error"),
    "no parameter": ("SELECT 'a', 'b'", "could not determine data type of parameter $1|bind message supplies 1"),
}


@pytest.mark.parametrize("query,said", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_query_is_told_to_the_log_and_not_to_the_client(run, role, query, said):
    p = run(auth_query=query)
    said_to_client = refused(p, role, match="bouncer config error: auth_query failed")
    assert "nowhere" not in said_to_client and "columns" not in said_to_client
    log = p.log()
    assert "event=auth_query_failed database=app auth_user=asker" in log
    assert any(part.replace('\\"', '"') in log for part in said.split("|")), log


@pytest.mark.parametrize("query", ["SELECT $1::text, NULL::text", "SELECT nullif($1::text, $1), NULL::text",
                                   "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND false"])
def test_null_and_absent_rows_are_wrong_passwords(run, role, query):
    refused(run(auth_query=query), role)


def test_the_auth_user_may_not_be_able_to_ask(run, cluster, role):
    p = run(auth_user="watcher")
    refused(p, role, match="bouncer config error: auth_query failed")
    assert "permission denied for table pg_authid" in p.log()


def test_an_auth_user_that_cannot_log_in_is_told(run, role):
    p = run(auth_user="no_such_asker")
    refused(p, role, match="auth_query: no server can be reached")
    assert 'role "no_such_asker" does not exist' in p.log()


def test_the_auth_users_password_is_in_auth_file(run, cluster, role, name):
    asker = f"{name}_asker"
    cluster.primary.execute(f"CREATE ROLE {asker} LOGIN SUPERUSER PASSWORD 'asking' IN ROLE by_scram",
                            dbname="postgres")
    try:
        p = run(auth_user=asker, users={asker: "asking"})
        assert who(login(p, role)) == role
        assert "asking" not in p.log()
    finally:
        cluster.primary.execute(f"DROP ROLE {asker}", dbname="postgres")


def test_what_a_client_sets_does_not_reach_the_question(run, cluster, role, name):
    """A table that looks like pg_authid, in a schema that the client puts first."""
    fake = cluster.primary.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_other'",
                                   dbname="postgres")[0][0]
    cluster.primary.script(f"""CREATE SCHEMA {name};
CREATE TABLE {name}.pg_authid AS SELECT '{role}'::name AS rolname, '{fake}'::text AS rolpassword,
    null::timestamptz AS rolvaliduntil, true AS rolcanlogin;
GRANT USAGE ON SCHEMA {name} TO PUBLIC;
GRANT SELECT ON {name}.pg_authid TO PUBLIC;
ALTER DATABASE app SET search_path = {name}, pg_catalog""")
    try:
        p = run(ignore_startup_parameters="")
        refused(p, role, "other secret", options=f"-c search_path={name},pg_catalog")
        assert who(login(p, role, options=f"-c search_path={name},pg_catalog")) == role
    finally:
        cluster.primary.script(f"ALTER DATABASE app RESET search_path;\nDROP SCHEMA {name} CASCADE")


def test_databases_have_their_own_query_user_and_place(run, cluster, role, name):
    cluster.primary.script(f"""CREATE SCHEMA {name};
CREATE FUNCTION {name}.lookup(who text, OUT name text, OUT secret text) LANGUAGE sql SECURITY DEFINER
    AS 'SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = who';
GRANT USAGE ON SCHEMA {name} TO watcher""")
    line = cluster.primary.connstr
    try:
        p = run({"app": line,
                 "own": f"{line} auth_user=watcher auth_query='SELECT name, secret FROM {name}.lookup($1)'",
                 "elsewhere": f"host=127.0.0.1 port={cluster.primary.port} dbname=postgres auth_dbname=app",
                 "nobody": f"{line} auth_user=no_such_asker"})
        for dbname in ("app", "own", "elsewhere"):
            mark = cluster.primary.mark()
            assert who(login(p, role, dbname=dbname)) == role
            refused(p, role, "wrong", dbname=dbname)
            assert bool(asked(cluster, mark, f"{name}.lookup")) == (dbname == "own")
        refused(p, role, match="no server can be reached", dbname="nobody")
    finally:
        cluster.primary.script(f"DROP SCHEMA {name} CASCADE")


def test_the_console_needs_an_auth_dbname(run, cluster, role):
    p = run(admin_users=role)
    refused(p, role, dbname="pgbouncer")
    p.options["auth_dbname"] = "app"
    p.write()
    p.signal(signal.SIGHUP)
    wait_for("the reload", lambda: "event=reloaded" in p.log())
    assert login(p, role, dbname="pgbouncer").execute("SHOW VERSION").fetchone()
    refused(p, role, "wrong", dbname="pgbouncer")


@pytest.mark.parametrize("name_,said", [("nowhere", "auth_dbname is no database of [databases]"),
                                        ("pgbouncer", 'cannot use the reserved "pgbouncer" database as an auth_dbname')])
def test_auth_dbname_must_be_a_database(run, name_, said):
    p = run(auth_dbname=name_, start=False)
    p.start(wait=False)
    assert p.process.wait() == 1
    assert said in p.log()
    p.process = None


def test_hba_rules_ask_too(run, cluster, role, folder):
    (folder / "hba").write_text("host app all all scram-sha-256\n")
    (folder / "hba").chmod(0o644)
    p = run(auth_type="hba", auth_hba_file=folder / "hba")
    assert who(login(p, role)) == role
    refused(p, role, "wrong")


def test_trust_lets_in_whom_the_query_knows(run, cluster):
    p = run(auth_type="trust")
    assert who(p.connect(user="watcher")) == "watcher"
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        p.connect(user="nobody_at_all")


def test_many_at_once_get_their_own_answers(run, cluster, role):
    p = run(auth_query_ttl=0, max_client_conn=200, default_pool_size=5)
    problems = []

    def one(i):
        try:
            user, password = (role, "secret") if i % 2 else ("scram_other", "other secret")
            with psycopg.connect(host="127.0.0.1", port=p.port, dbname="app", user=user, password=password) as c:
                assert who(c) == user
        except Exception as e:  # whatever it is, the test shall show it
            problems.append(repr(e))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems, problems


def test_an_open_session_goes_on_after_a_reload(run, cluster, role):
    """Its account is made anew; the key its login proved goes along."""
    p = run({"app": cluster.primary.connstr + " pool_size=3"})
    c = login(p, role)
    assert who(c) == role
    p.databases["app"] = cluster.primary.connstr + " pool_size=4"
    p.write()
    p.signal(signal.SIGHUP)
    wait_for("the reload", lambda: "event=reloaded" in p.log())
    for _ in range(3):
        assert who(c) == role


def test_a_lost_connection_is_opened_anew(run, cluster, role):
    p = run(auth_query_ttl=0, auth_query_negative_ttl=0)
    assert who(login(p, role)) == role
    killed = cluster.primary.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                     "WHERE usename = 'asker'", dbname="postgres")[0][0]
    assert killed == 1
    assert who(login(p, role)) == role
    refused(p, "nobody_at_all")


@pytest.mark.seconds(120)
def test_a_dead_auth_database(run, cluster, role, name, folder):
    """auth_query has a server of its own, which dies and comes back."""
    node = Node(folder, "auth")
    node.create()
    node.start()
    try:
        node.script(ROLES, dbname="postgres")
        node.execute(f"CREATE ROLE {role} LOGIN", dbname="postgres")
        for user in (role, "scram_other"):
            secret = cluster.primary.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (user,),
                                             dbname="postgres")[0][0]
            node.execute(f"ALTER ROLE {user} PASSWORD '{secret}'", dbname="postgres")
        node.execute("CHECKPOINT", dbname="postgres")  # it will be killed, and commits lazily
        p = run({"app": cluster.primary.connstr, "auth": node.connstr}, auth_dbname="auth", users={"boss": "b"})
        assert who(login(p, role)) == role
        node.stop()
        refused(p, "scram_other", "other secret", match="auth_query: no server can be reached")
        assert "event=auth_query_failed database=auth auth_user=asker" in p.log()
        assert who(login(p, role)) == role, "what is known stays known"
        node.start()
        assert who(login(p, "scram_other", "other secret")) == "scram_other"
    finally:
        node.stop()


@pytest.mark.seconds(120)
def test_the_primary_is_asked_as_long_as_there_is_one(run, cluster, folder):
    """Whatever the order of the hosts; a replica answers when nobody else does."""
    auth = Cluster(folder, replicas=1)
    try:
        secret = cluster.primary.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'", dbname="postgres")
        auth.primary.execute(f"ALTER ROLE scram_user PASSWORD '{secret[0][0]}'", dbname="postgres")
        auth.catch_up()
        replica, primary = auth.replicas[0], auth.primary
        hosts = f"host=127.0.0.1,127.0.0.1 port={replica.port},{primary.port} dbname=app"
        p = run({"app": cluster.primary.connstr, "auth": hosts}, auth_dbname="auth", auth_query_ttl=0)
        marks = replica.mark(), primary.mark()
        assert who(login(p, "scram_user", "scram secret")) == "scram_user"
        assert not replica.ran("pg_authid", marks[0]) and len(primary.ran("pg_authid", marks[1])) == 1
        primary.stop()
        assert who(login(p, "scram_user", "scram secret")) == "scram_user"
        assert len(replica.ran("pg_authid", marks[0])) == 1
        assert "auth_query_failed" not in p.log()
    finally:
        auth.stop()


def test_a_reload_forgets_what_was_told(run, cluster, role):
    p = run(auth_query_negative_ttl=600)
    mark = cluster.primary.mark()
    assert who(login(p, role)) == role
    refused(p, "nobody_at_all")
    p.signal(signal.SIGHUP)
    wait_for("the reload", lambda: "event=reloaded" in p.log())
    assert who(login(p, role)) == role
    refused(p, "nobody_at_all")
    assert asked(cluster, mark) == 4


def test_a_hash_in_auth_file_is_no_password_to_ask_with(run, cluster):
    p = run(users={"asker": "md5" + "0" * 32})
    assert "event=auth_user_secret user=asker" in p.log()
    assert "event=auth_user_secret" not in run(users={"asker": "clear"}).log()


def test_an_auth_database_that_hangs_holds_up_nobody_else(run, cluster):
    """It accepts connections and says nothing."""
    release = threading.Event()
    with FakeServer(login=lambda session: release.wait(30)) as silent:
        p = run({"app": cluster.primary.connstr, "auth": silent.connstr}, auth_dbname="auth", users={"scram_user": "scram secret"},
                server_connect_timeout=2)
        lost = p.raw()
        for user in ("one", "two", "three"):
            c = lost if user == "three" else p.raw(timeout=20)
            c.send(wire.startup(user=user, database="app"))
        lost.reset()  # does not wait for the answer
        assert who(login(p, "scram_user", "scram secret")) == "scram_user"
        e = c_error(p, "four")
        assert e["C"] == "08006" and e["M"] == "auth_query: no server can be reached", e
        assert "no answer from 127.0.0.1" in p.log()
        c = p.raw()
        c.send(wire.startup(user="five", database="app"))  # still waits when everything ends
        p.stop()
        release.set()


def c_error(p, user):
    with p.raw(timeout=20) as c:
        c.send(wire.startup(user=user, database="app"))
        return c.receive().fields()
