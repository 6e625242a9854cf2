"""A throwaway PostgreSQL primary and its streaming replicas, and what each of them was asked to run."""

import glob
import pathlib
import subprocess

import psycopg

from .process import Process, as_user, free_port, give_away, wait_for

BIN = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])

CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 200
max_prepared_transactions = 10
shared_buffers = 64MB
wal_level = logical
max_wal_senders = 10
hot_standby = on
wal_receiver_status_interval = 1
wal_retrieve_retry_interval = 100ms
log_statement = 'all'
log_line_prefix = '%p|%u|%d|'
log_min_messages = warning
log_timezone = 'UTC'
timezone = 'UTC'
autovacuum = off
"""

# role name: how it logs in over TCP
HBA = """
local all all trust
host  all scram_user 127.0.0.1/32 scram-sha-256
host  all scram_other 127.0.0.1/32 scram-sha-256
host  all md5_user 127.0.0.1/32 md5
host  all plain_user 127.0.0.1/32 password
host  all +by_scram 127.0.0.1/32 scram-sha-256
host  all +by_md5 127.0.0.1/32 md5
host  all all 127.0.0.1/32 trust
host  replication all 127.0.0.1/32 trust
"""

ROLES = """
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE by_scram NOLOGIN;
CREATE ROLE by_md5 NOLOGIN;
CREATE ROLE asker LOGIN SUPERUSER;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_user LOGIN PASSWORD 'scram secret';
CREATE ROLE scram_other LOGIN PASSWORD 'other secret';
CREATE ROLE plain_user LOGIN PASSWORD 'plain secret';
SET password_encryption = 'md5';
CREATE ROLE md5_user LOGIN PASSWORD 'md5 secret';
CREATE DATABASE app OWNER app;
"""


class Node:
    """One PostgreSQL server."""

    def __init__(self, folder, name):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.data = self.folder / name
        self.log_path = self.folder / f"{name}.log"
        self.port = free_port()
        self.process = None

    @property
    def connstr(self):
        """What goes into a [databases] line."""
        return f"host=127.0.0.1 port={self.port} dbname=app"

    def run(self, *argv):
        subprocess.run(as_user([str(a) for a in argv]), check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, cwd=self.folder)

    def create(self):
        self.run(BIN / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync",
                 "-E", "UTF8", "--locale=C.UTF-8")
        self._configure()

    def clone(self, primary):
        self.run(BIN / "pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", str(primary.port),
                 "-U", "postgres", "-c", "fast", "-X", "stream", "--no-sync", "-R",
                 "-d", f"application_name={self.name}")
        self._configure()

    def _configure(self):
        with open(self.data / "postgresql.conf", "a") as f:
            f.write(CONF.format(port=self.port, folder=self.folder))
        (self.data / "pg_hba.conf").write_text(HBA)
        give_away(self.data / "pg_hba.conf")

    def start(self):
        self.process = Process([BIN / "postgres", "-D", self.data], self.log_path)
        self.process.await_port(self.port)

        def answers():
            try:
                with self.connect(connect_timeout=2):
                    return True
            except psycopg.OperationalError:
                return False

        wait_for(f"{self.name} to let us in", answers)

    def stop(self):
        if self.process is not None and self.process.alive():
            import signal

            self.process.signal(signal.SIGCONT)
            self.process.signal(signal.SIGQUIT)
            self.process.wait(20)
        self.process = None

    def connect(self, dbname="postgres", user="postgres", **more):
        more.setdefault("connect_timeout", 5)
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname=dbname, user=user,
                               autocommit=True, **more)

    def execute(self, sql, params=None, dbname="app"):
        """Runs sql on a connection of its own; the rows, if there are any."""
        with self.connect(dbname) as c:
            cur = c.execute(sql, params)
            return cur.fetchall() if cur.description else []

    def script(self, sql, dbname="app"):
        """Statements one by one, outside a transaction."""
        with self.connect(dbname) as c:
            for statement in filter(str.strip, sql.split(";\n")):
                c.execute(statement)

    def mark(self):
        """Where the log ends now, for ran()."""
        return self.log_path.stat().st_size

    def ran(self, text, since=0):
        """The logged statements since the mark that contain text."""
        with open(self.log_path, "rb") as f:
            f.seek(since)
            lines = f.read().decode(errors="replace").splitlines()
        return [l for l in lines
                if text in l and ("statement: " in l or "execute " in l) and "DETAIL" not in l]

    def backends(self, dbname="app", user=None):
        """Client backends of the database: pid, state, query."""
        return self.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND datname = %s AND pid <> pg_backend_pid() AND (%s::text IS NULL OR usename = %s)",
            (dbname, user, user), dbname="postgres")


class Cluster:
    """A primary and count replicas, all started."""

    def __init__(self, folder, replicas=0):
        self.folder = folder
        self.primary = Node(folder, "primary")
        self.primary.create()
        self.primary.start()
        self.primary.script(ROLES, dbname="postgres")
        self.replicas = []
        self.add_replicas(replicas)

    def add_replicas(self, count):
        while len(self.replicas) < count:
            node = Node(self.folder, f"replica{len(self.replicas) + 1}")
            node.clone(self.primary)
            node.start()
            self.replicas.append(node)

    @property
    def nodes(self):
        return [self.primary, *self.replicas]

    @property
    def host_list(self):
        """All nodes in one [databases] line."""
        return (f"host={','.join('127.0.0.1' for _ in self.nodes)} "
                f"port={','.join(str(n.port) for n in self.nodes)}")

    def catch_up(self, seconds=10):
        """Waits until every replica has replayed what the primary has written."""
        lsn = self.primary.execute("SELECT pg_current_wal_lsn()", dbname="postgres")[0][0]
        for node in self.replicas:
            wait_for(f"{node.name} to replay {lsn}", lambda: node.execute(
                "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,), dbname="postgres")[0][0], seconds)

    def who_ran(self, text, since=None, seconds=2.0):
        """Names of the nodes whose logs have text; waits a little for the log's writer."""
        since = since or {}
        try:
            return wait_for(f"a node that ran {text}", lambda: [
                n.name for n in self.nodes if n.ran(text, since.get(n.name, 0))], seconds)
        except TimeoutError:
            return []

    def stop(self):
        for node in reversed(self.nodes):
            node.stop()
