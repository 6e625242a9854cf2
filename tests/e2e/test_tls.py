"""TLS with real ends: libpq and psql before pgusher, PostgreSQL with ssl = on behind it."""

import shutil
import subprocess
import threading

import psycopg
import pytest

from harness.certs import Certs
from harness.postgres import BIN, ROLES, Node
from harness.process import give_away, wait_for, work_folder

HBA = """
local all all trust
hostssl all scram_user 127.0.0.1/32 scram-sha-256
hostssl all cert_user 127.0.0.1/32 cert map=certs
hostnossl all clear_user 127.0.0.1/32 trust
hostssl all app,other,postgres,watcher,asker 127.0.0.1/32 trust
hostnossl all postgres 127.0.0.1/32 trust
"""

CONF = """
ssl = on
ssl_cert_file = '{folder}/server.pem'
ssl_key_file = '{folder}/server.key'
ssl_ca_file = '{folder}/ca.pem'
ssl_min_protocol_version = 'TLSv1.2'
"""

HOW = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def secured():
    """A PostgreSQL whose HBA file tells TLS from clear text, and its certificates."""
    with work_folder("pgtls") as path:
        node = Node(path, "tls")
        node.create()
        node.certs = Certs(path)
        node.certs.revoke("ca", "server")  # for who reads the list
        with open(node.data / "postgresql.conf", "a") as f:
            f.write(CONF.format(folder=path))
        (node.data / "pg_hba.conf").write_text(HBA)
        (node.data / "pg_ident.conf").write_text("certs app cert_user\n")
        for file in ("pg_hba.conf", "pg_ident.conf"):
            give_away(node.data / file)
        node.start()
        node.script(ROLES + "CREATE ROLE cert_user LOGIN;\nCREATE ROLE clear_user LOGIN;\n", dbname="postgres")
        try:
            yield node
        finally:
            node.stop()


@pytest.fixture
def run(run_pgusher, secured, certs):
    """Both legs by TLS, unless said otherwise."""
    def start(line=None, **options):
        options = {"client_tls_sslmode": "require", "client_tls_cert_file": certs.cert("server"),
                   "client_tls_key_file": certs.key("server"), "server_tls_sslmode": "verify-full",
                   "server_tls_ca_file": secured.certs.ca, **options}
        return run_pgusher({"app": line or f"host=localhost port={secured.port} dbname=app"}, **options)

    return start


def test_verify_full_on_both_legs(run, certs):
    p = run()
    c = p.connect(host="localhost", sslmode="verify-full", sslrootcert=str(certs.ca))
    assert c.execute(HOW).fetchone() == (True, "TLSv1.3")
    assert c.pgconn.ssl_in_use


@pytest.mark.parametrize("ca, host, reason", [("other_ca", "localhost", "certificate verify failed"),
                                              ("ca", "127.0.0.2", "does not match host name")])
def test_libpq_refuses_a_wrong_authority_or_name(run, certs, ca, host, reason):
    p = run(listen_addr="127.0.0.1,127.0.0.2")
    with pytest.raises(psycopg.OperationalError, match=reason):
        p.connect(host=host, sslmode="verify-full", sslrootcert=str(certs.cert(ca)))


@pytest.mark.parametrize("mode, user, tls", [("disable", "clear_user", False), ("disable", "app", None),
                                             ("allow", "app", True), ("allow", "clear_user", False),
                                             ("prefer", "app", True), ("prefer", "clear_user", False),
                                             ("require", "app", True), ("require", "clear_user", None),
                                             ("verify-ca", "app", True)])
def test_modes_towards_a_server_that_tells_them_apart(run, mode, user, tls):
    p = run(server_tls_sslmode=mode, users={"clear_user": ""}, query_wait_timeout=5)
    if tls is None:
        with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"):
            p.connect(user=user).execute(HOW)
    else:
        assert p.connect(user=user).execute(HOW).fetchone()[0] is tls


def test_a_certificate_logs_in_to_the_server(run, secured):
    own = {"server_tls_cert_file": secured.certs.cert("app"), "server_tls_key_file": secured.certs.key("app")}
    p = run(users={"cert_user": ""}, **own)
    assert p.connect(user="cert_user").execute("SELECT current_user").fetchone() == ("cert_user",)


def test_scram_is_bound_to_the_channel_on_both_legs(run, secured, certs):
    """PostgreSQL offers -PLUS by TLS and refuses who could but did not take it; libpq is told to insist."""
    secret = secured.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'")[0][0]
    p = run(users={"scram_user": secret}, auth_type="scram-sha-256")
    more = {"user": "scram_user", "password": "scram secret", "channel_binding": "require"}
    c = p.connect(sslmode="require", **more)
    assert c.execute("SELECT current_user").fetchone() == ("scram_user",)
    assert c.execute(HOW).fetchone() == (True, "TLSv1.3")
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        run(client_tls_sslmode="allow", users={"scram_user": secret}, auth_type="scram-sha-256").connect(
            sslmode="disable", **more)
    rsa = {"client_tls_cert_file": certs.cert("rsa"), "client_tls_key_file": certs.key("rsa")}
    assert run(users={"scram_user": secret}, auth_type="scram-sha-256", **rsa).connect(sslmode="require", **more)


# tls-server-end-point hashes as the certificate's signature does, but never by less than SHA-256; some have no hash
SIGNATURES = {
    "sha1": ("-newkey", "rsa:2048", "-sha1"),
    "sha256": ("-newkey", "rsa:2048", "-sha256"),
    "sha384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha384"),
    "sha512": ("-newkey", "rsa:2048", "-sha512"),
    "rsa-pss": ("-newkey", "rsa:2048", "-sha384", "-sigopt", "rsa_padding_mode:pss"),
    "ed25519": ("-newkey", "ed25519"),
}


@pytest.mark.parametrize("kind", SIGNATURES)
def test_binding_by_each_kind_of_signature(run, secured, kind):
    """libpq and PostgreSQL compare the hash with theirs."""
    secured.certs.self_signed(kind, *SIGNATURES[kind])
    own = {"client_tls_cert_file": secured.certs.cert(kind), "client_tls_key_file": secured.certs.key(kind)}
    secret = secured.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'")[0][0]

    def serve_with(name):
        for option, path in (("cert", secured.certs.cert(name)), ("key", secured.certs.key(name))):
            secured.execute(f"ALTER SYSTEM SET ssl_{option}_file = '{path}'")
        secured.execute("SELECT pg_reload_conf()")
        wait_for("the certificate", lambda: secured.execute("SHOW ssl_key_file")[0][0] == str(secured.certs.key(name)))

    serve_with(kind)
    try:
        p = run(users={"scram_user": secret}, auth_type="scram-sha-256", server_tls_sslmode="require", **own)
        how = {"user": "scram_user", "password": "scram secret", "sslmode": "require"}
        if kind == "ed25519":
            with pytest.raises(psycopg.OperationalError, match="channel binding"):
                p.connect(channel_binding="require", **how)
        bound = "prefer" if kind == "ed25519" else "require"
        assert p.connect(channel_binding=bound, **how).execute("SELECT current_user").fetchone() == ("scram_user",)
    finally:
        serve_with("server")


def test_psql_and_pgbench_by_tls(run, certs, secured):
    p = run()
    url = f"host=localhost port={p.port} dbname=app user=app sslmode=verify-full sslrootcert={certs.ca}"
    out = subprocess.run([BIN / "psql", url, "-Atc", "SELECT 1", "-c", "\\conninfo"], capture_output=True, text=True,
                         check=True).stdout
    assert out.startswith("1\n") and "TLSv1.3" in out
    script = p.folder / "s.sql"
    script.write_text("SELECT 1;\n")
    subprocess.run([BIN / "pgbench", url, "-n", "-f", script, "-c", "8", "-j", "2", "-t", "50", "-M", "prepared"],
                   capture_output=True, check=True)


def test_much_goes_both_ways(run, name):
    p = run(default_pool_size=2)
    c = p.connect()
    text = "é€" * 500_000
    assert c.execute("SELECT %s", (text,)).fetchone()[0] == text
    rows = c.execute("SELECT repeat(i::text, 1000) FROM generate_series(1, 20000) i").fetchall()
    assert len(rows) == 20000 and rows[-1][0] == "20000" * 1000
    c.execute(f"CREATE TABLE {name} (v text)")
    with c.cursor().copy(f"COPY {name} FROM STDIN") as copy:
        for i in range(20000):
            copy.write_row(("x" * 500,))
    assert c.execute(f"SELECT count(*), sum(length(v)) FROM {name}").fetchone() == (20000, 10_000_000)
    got = 0
    with c.cursor().copy(f"COPY {name} TO STDOUT") as copy:
        for block in copy:
            got += len(block)
    assert got == 20000 * 501
    c.execute(f"DROP TABLE {name}")


def test_connections_move_between_workers(run, workers):
    """One server for clients on all workers: each answer comes by a connection that another worker had."""
    p = run(default_pool_size=1)
    pids, problems = set(), []

    def ask(n):
        try:
            with p.connect() as c:
                for i in range(30):
                    size = 1 << (i % 18)
                    pid, text = c.execute("SELECT pg_backend_pid(), repeat('z', %s)", (size,)).fetchone()
                    pids.add(pid)
                    assert len(text) == size
        except Exception as e:  # the thread's end is the test's
            problems.append(e)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems and len(pids) == 1


def test_cancel_reaches_the_server_by_tls(run, secured):
    p = run()
    c = p.connect()
    timer = threading.Timer(0.3, c.cancel)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        c.execute("SELECT pg_sleep(30)")
    assert c.execute("SELECT 1").fetchone() == (1,)
    assert "cancel_failed" not in p.log()


def test_a_new_authority_for_servers_counts_after_reload(run, secured, certs):
    ca = certs.folder / "servers.ca"
    shutil.copyfile(certs.cert("other_ca"), ca)
    give_away(ca)
    p = run(server_tls_ca_file=ca, query_wait_timeout=5)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        p.connect()
    shutil.copyfile(secured.certs.ca, ca)
    p.connect(dbname="pgbouncer", user="boss").execute("RELOAD", prepare=False)
    c = p.connect()
    pid = c.execute("SELECT pg_backend_pid()").fetchone()[0]
    with c.transaction():
        assert c.execute("SELECT pg_backend_pid()").fetchone()[0] == pid
        shutil.copyfile(certs.cert("other_ca"), ca)
        p.connect(dbname="pgbouncer", user="boss").execute("RELOAD", prepare=False)
        assert c.execute("SELECT pg_backend_pid()").fetchone()[0] == pid  # nobody is dropped
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        c.execute("SELECT 1")
    shutil.copyfile(secured.certs.ca, ca)
    ca.write_text("nonsense")
    with pytest.raises(psycopg.Error):
        p.connect(dbname="pgbouncer", user="boss").execute("RELOAD", prepare=False)
    wait_for("the reason", lambda: f"server_tls_ca_file {ca}: " in p.log())


def test_the_common_name_is_an_identity(run_pgusher, secured, certs):
    """Only of a certificate that our authority signed."""
    p = run_pgusher({"app": secured.connstr}, client_tls_sslmode="allow", client_tls_cert_file=certs.cert("server"),
                    client_tls_key_file=certs.key("server"), client_tls_ca_file=certs.ca,
                    sections={"settings": {"app.who": "%{tls_cn|nobody}"}})

    def who(**more):
        return p.connect(**more).execute("SHOW app.who").fetchone()[0]

    for cert, cn in (("app", "app"), ("other", "other"), ("stranger", "nobody")):
        assert who(sslmode="require", sslcert=str(certs.cert(cert)), sslkey=str(certs.key(cert))) == cn
    assert who(sslmode="disable") == who(sslmode="require", sslcert="/nonexistent") == "nobody"


# ---- the control thread's own connections: probes, catalog and auth_query


def probed(p):
    """None when the node was heard of, else why not."""
    def heard():
        row = p.console("SHOW NODES")[0]
        return row if row["role"] == "primary" or row["last_error"] else None

    row = wait_for("a probe", heard)
    return None if row["role"] == "primary" else row["last_error"]


@pytest.mark.parametrize("mode, user, ca, crl, wrong", [
    ("verify-full", "watcher", "ca", False, None),
    ("verify-full", "watcher", "other_ca", False, "certificate verify failed"),
    ("verify-ca", "watcher", "ca", True, "certificate verify failed"),
    ("require", "watcher", "other_ca", True, None),
    ("require", "clear_user", None, False, "no pg_hba.conf entry"),
    ("disable", "clear_user", None, False, None),
    ("disable", "watcher", None, False, "no pg_hba.conf entry"),
])
def test_probes_log_in_as_servers_do(run, secured, folder, mode, user, ca, crl, wrong):
    """Only what is said counts, not what lies where libpq looks by itself."""
    (folder / ".postgresql").mkdir()
    shutil.copyfile(secured.certs.cert("other_ca"), folder / ".postgresql" / "root.crt")
    (folder / ".postgresql" / "postgresql.crt").write_text("nonsense")
    p = run(monitor_user=user, client_tls_sslmode="allow", server_tls_sslmode=mode,
            server_tls_ca_file=secured.certs.cert(ca) if ca else None,
            server_tls_crl_file=secured.certs.crl if crl else None, env={"HOME": str(folder)})
    reason = probed(p)
    assert reason is None if wrong is None else wrong in reason


@pytest.mark.parametrize("cert, wrong", [("app", None), ("other", "authentication failed"), (None, "certificate")])
def test_probes_show_our_certificate(run, secured, cert, wrong):
    own = {"server_tls_cert_file": secured.certs.cert(cert), "server_tls_key_file": secured.certs.key(cert)} if cert else {}
    reason = probed(run(monitor_user="cert_user", client_tls_sslmode="allow", **own))
    assert reason is None if wrong is None else wrong in reason


def test_auth_query_is_asked_as_servers_are(run, secured, certs):
    ca = certs.folder / "servers.ca"
    shutil.copyfile(secured.certs.ca, ca)
    give_away(ca)
    p = run(auth_type="scram-sha-256", auth_user="asker", auth_query_ttl=0, server_tls_ca_file=ca)
    more = {"user": "scram_user", "password": "scram secret", "sslmode": "require"}
    assert p.connect(**more).execute(HOW).fetchone()[0]
    asked = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'asker'"
    assert secured.execute(asked) == [(True,)]
    shutil.copyfile(certs.cert("other_ca"), ca)
    p = run(auth_type="scram-sha-256", auth_user="asker", server_tls_ca_file=ca)
    with pytest.raises(psycopg.OperationalError, match="auth_query: no server can be reached"):
        p.connect(**more)
    assert "certificate verify failed" in p.log()
