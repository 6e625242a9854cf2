"""Who may come in, and with whose password pgusher goes on to the server."""

import psycopg
import pytest

USERS = {"scram_user": "scram secret", "scram_other": "other secret", "plain_user": "plain secret",
         "md5_user": "md5 secret"}


def verifier(cluster, user):
    return cluster.primary.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (user,),
                                   dbname="postgres")[0][0]


@pytest.fixture
def secrets(cluster):
    """An auth_file without a single clear-text password."""
    return {u: verifier(cluster, u) for u in ("scram_user", "scram_other")}


def who(c):
    return c.execute("SELECT current_user").fetchone()[0]


@pytest.mark.parametrize("how", ["tcp", "unix"])
def test_scram_passes_through_without_a_stored_password(run_pgusher, cluster, secrets, how):
    p = run_pgusher({"app": cluster.primary.connstr}, users=secrets, auth_type="scram-sha-256", default_pool_size=2)
    more = {"host": str(p.folder)} if how == "unix" else {}
    c = p.connect(user="scram_user", password="scram secret", **more)
    assert who(c) == "scram_user"
    with c.transaction():
        assert who(p.connect(user="scram_user", password="scram secret", **more)) == "scram_user"
    assert "SCRAM-SHA-256$" not in p.log() and "secret" not in p.log()


def test_a_verifier_that_is_not_the_servers_cannot_pass_through(run_pgusher, cluster, secrets):
    """Same password, other salt: the client proves itself to us, but we cannot to the server."""
    cluster.primary.execute("CREATE ROLE salted LOGIN PASSWORD 'scram secret'", dbname="postgres")
    try:
        p = run_pgusher({"app": cluster.primary.connstr}, users={"scram_user": verifier(cluster, "salted")},
                        auth_type="scram-sha-256", query_wait_timeout=3, server_login_retry=1)
        with pytest.raises(psycopg.OperationalError):
            p.connect(user="scram_user", password="scram secret").execute("SELECT 1")
    finally:
        cluster.primary.execute("DROP ROLE salted", dbname="postgres")


@pytest.mark.parametrize("user", USERS)
def test_servers_ask_by_each_method(run_pgusher, cluster, user):
    """The password is stored in clear text: scram-sha-256, md5 and password all work towards the server."""
    p = run_pgusher({"app": cluster.primary.connstr}, users=USERS, auth_type="scram-sha-256")
    assert who(p.connect(user=user, password=USERS[user])) == user


def test_an_md5_secret_serves_an_md5_server(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, users={"md5_user": verifier(cluster, "md5_user")},
                    auth_type="trust")
    assert who(p.connect(user="md5_user")) == "md5_user"


def test_the_database_lines_password_is_used(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " user=scram_user password='scram secret'"})
    assert who(p.connect(user="app")) == "scram_user"


@pytest.mark.parametrize("password", ["wrong", "scram secre", "scram secret ", "SCRAM SECRET"])
def test_wrong_passwords_are_refused(run_pgusher, cluster, secrets, password):
    p = run_pgusher({"app": cluster.primary.connstr}, users=secrets, auth_type="scram-sha-256")
    with pytest.raises(psycopg.OperationalError) as e:
        p.connect(user="scram_user", password=password)
    assert "authentication failed" in str(e.value)
    assert who(p.connect(user="scram_user", password="scram secret")) == "scram_user"


def test_users_may_not_use_each_others_passwords_or_pools(run_pgusher, cluster, secrets):
    p = run_pgusher({"app": cluster.primary.connstr}, users=secrets, auth_type="scram-sha-256", default_pool_size=1)
    with pytest.raises(psycopg.OperationalError):
        p.connect(user="scram_other", password="scram secret")
    a = p.connect(user="scram_user", password="scram secret")
    b = p.connect(user="scram_other", password="other secret")
    for _ in range(3):
        assert (who(a), who(b)) == ("scram_user", "scram_other")


def test_a_wrong_password_stored_here_is_reported_by_the_servers_words(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, users={"scram_user": "not the servers"}, auth_type="trust",
                    query_wait_timeout=3, server_login_retry=1)
    with pytest.raises(psycopg.OperationalError) as e:
        p.connect(user="scram_user").execute("SELECT 1")
    assert "authentication failed" in str(e.value) or "query_wait_timeout" in str(e.value) or \
        "SASL" in str(e.value)


def test_a_changed_auth_file_counts_after_reload(run_pgusher, cluster, secrets):
    p = run_pgusher({"app": cluster.primary.connstr}, auth_type="scram-sha-256",
                    users={"scram_user": secrets["scram_other"], "boss": "boss secret"})
    with pytest.raises(psycopg.OperationalError):
        p.connect(user="scram_user", password="scram secret")
    p.users["scram_user"] = secrets["scram_user"]
    p.write()
    p.connect(dbname="pgbouncer", user="boss", password="boss secret").execute("RELOAD", prepare=False)
    assert who(p.connect(user="scram_user", password="scram secret")) == "scram_user"


def test_console_users_authenticate_too(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr}, auth_type="scram-sha-256", users={"boss": "boss secret"})
    with pytest.raises(psycopg.OperationalError):
        p.connect(dbname="pgbouncer", user="boss", password="wrong")
    with pytest.raises(psycopg.OperationalError):
        p.connect(dbname="pgbouncer", user="boss", password="")


@pytest.mark.parametrize("password", ["pa\u00a0ss wo\u0301rd \ufb01", "\u0627" + "1 forbidden"], ids=["prepared", "raw"])
def test_passwords_are_normalized_as_postgres_does(run_pgusher, cluster, password):
    cluster.primary.execute(f"SET password_encryption = 'scram-sha-256'; ALTER ROLE scram_other PASSWORD '{password}'")
    try:
        clear = run_pgusher({"app": cluster.primary.connstr}, users={"scram_other": password}, auth_type="scram-sha-256")
        stored = run_pgusher({"app": cluster.primary.connstr}, users={"scram_other": verifier(cluster, "scram_other")},
                             auth_type="plain")
        assert who(clear.connect(user="scram_other", password=password)) == "scram_other"
        assert who(stored.connect(user="scram_other", password=password)) == "scram_other"
    finally:
        cluster.primary.execute("ALTER ROLE scram_other PASSWORD 'other secret'")
