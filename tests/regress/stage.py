"""
Plays files of PostgreSQL's regression suite on a throwaway server as pg_regress does: directly, or through pgusher
in transaction mode with a small pool, alone or among neighbours that share the pool. What a client connects to has the
same folder and port each time, so the outputs can be compared byte by byte.
"""

import os
import pathlib
import shutil
import subprocess
import threading
import time

from harness.fake_client import FakeClient
from harness.pgusher import Pgusher
from harness.postgres import BIN
from harness.process import Process, as_user, free_port, wait_for

CONF = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
fsync = off
max_prepared_transactions = 2
log_line_prefix = '%m %b[%p] %q%a '
log_statement = '{log}'
"""

DATABASE = """
CREATE DATABASE regression TEMPLATE = template0 LC_COLLATE = 'C' LC_CTYPE = 'C';
ALTER DATABASE regression SET lc_messages TO 'C';
ALTER DATABASE regression SET lc_monetary TO 'C';
ALTER DATABASE regression SET lc_numeric TO 'C';
ALTER DATABASE regression SET lc_time TO 'C';
ALTER DATABASE regression SET bytea_output TO 'hex';
ALTER DATABASE regression SET timezone_abbreviations TO 'Default';
"""

ODD = {
    "work_mem": "'123MB'", "TimeZone": "'Asia/Kathmandu'", "DateStyle": "'SQL, DMY'", "IntervalStyle": "'sql_standard'",
    "extra_float_digits": "'-9'", "search_path": "pg_catalog, neighbour", "bytea_output": "'escape'",
    "client_min_messages": "'error'", "default_transaction_isolation": "'repeatable read'", "lock_timeout": "'77s'",
    "statement_timeout": "'177s'", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_indexscan": "off",
    "enable_nestloop": "off", "enable_sort": "off", "max_parallel_workers_per_gather": "0", "constraint_exclusion": "on",
    "xmlbinary": "'hex'", "xmloption": "'document'", "array_nulls": "off", "backslash_quote": "'on'",
    "check_function_bodies": "off", "default_with_oids": "off", "default_table_access_method": "'heap'",
    "from_collapse_limit": "'1'", "geqo": "off", "gin_fuzzy_search_limit": "'3'", "lo_compat_privileges": "on",
    "password_encryption": "'md5'", "plan_cache_mode": "'force_generic_plan'", "quote_all_identifiers": "on",
    "row_security": "off", "synchronize_seqscans": "off", "standard_conforming_strings": "off",
    "transform_null_equals": "on", "vacuum_freeze_min_age": "'0'", "lc_numeric": "'C.UTF-8'", "client_encoding": "'LATIN1'",
    "application_name": "'a neighbour'", "neighbour.own": "'mine'", "session_replication_role": "'replica'",
    "default_statistics_target": "'1'", "random_page_cost": "'99'", "cursor_tuple_fraction": "'1'", "jit": "off",
    "default_text_search_config": "'pg_catalog.german'", "default_toast_compression": "'pglz'",
    "escape_string_warning": "off", "idle_in_transaction_session_timeout": "'99s'", "debug_print_plan": "off",
}
TURN_SECONDS = 0.02
FILE_SECONDS = 60


class Neighbour(threading.Thread):
    """A client of the same pool that sets odd values, uses the database, and resets nothing."""

    def __init__(self, port, number):
        super().__init__(daemon=True)
        self.number = number
        self.over = threading.Event()
        self.complaint = None
        self.client = FakeClient(port, timeout=60)
        self.client.startup(user="postgres", database="regression")

    def run(self):
        names = sorted(ODD)
        turn = self.number * 7
        try:
            while not self.over.wait(TURN_SECONDS):
                name = names[turn % len(names)]
                turn += 1
                answer = self.client.simple(f"SET {name} = {ODD[name]}")
                answer = answer if answer.error else self.client.simple("SELECT count(*) FROM pg_catalog.pg_am")
                if answer.error and answer.sqlstate != "42704":  # a setting that this release does not know
                    self.complaint = f"neighbour {self.number}: {answer.error.fields()}"
        except Exception as e:
            self.complaint = f"neighbour {self.number}: {type(e).__name__}: {e}"

    def stop(self):
        self.over.set()
        self.join()
        self.client.close()


class Stage:
    """
    A fresh server on which the files are played in order. folder: where it may write; suite: from source.lay_out;
    port: where clients connect to; pool: None for directly, else the size of pgusher's pool; conf: more of postgresql.conf.
    """

    def __init__(self, folder, suite, port, pool=None, neighbours=0, workers=1, log="none", conf=""):
        self.folder, self.suite, self.port = pathlib.Path(folder), pathlib.Path(suite), port
        self.data, self.server, self.proxy, self.neighbours = self.folder / "data", None, None, []
        self.server_port = port if pool is None else free_port()
        self.log, self.conf = log, conf
        shutil.rmtree(self.data, ignore_errors=True)
        for left in (self.suite / "results").iterdir():
            left.unlink()
        try:
            self._start_server()
            if pool is not None:
                self._start_proxy(pool, workers)
                self.neighbours = [Neighbour(port, i) for i in range(neighbours)]
                for n in self.neighbours:
                    n.start()
        except BaseException:
            self.kill()
            raise

    def _start_server(self):
        subprocess.run(as_user([str(BIN / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync",
                                "--no-locale"]),
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder)
        with open(self.data / "postgresql.conf", "a") as f:
            f.write(CONF.format(port=self.server_port, folder=self.folder, log=self.log) + self.conf + "\n")
        self.server = Process([BIN / "postgres", "-D", self.data], self.folder / f"server-{self.server_port}.log",
                              env={"TZ": "PST8PDT"})
        self.server.await_port(self.server_port)
        wait_for("the server to take clients", lambda: self._psql("postgres", self.server_port, "SELECT 1").returncode == 0)
        done = self._psql("postgres", self.server_port, DATABASE)
        if done.returncode != 0:
            raise RuntimeError(f"no database: {done.stdout.decode()}")

    def _start_proxy(self, pool, workers):
        options = {"listen_port": self.port, "default_pool_size": pool, "workers": workers, "auth_user": "postgres",
                   "monitor_user": "postgres", "cache": "memory", "max_client_conn": 100}
        where = f"host={self.folder} port={self.server_port}"
        self.proxy = Pgusher(self.folder, {"regression": where, "*": f"{where} cache=off"}, options, start=False)
        self.proxy.port = self.port
        self.proxy.start()

    def _psql(self, dbname, port, text, *more, env=None):
        argv = [str(BIN / "psql"), "-X", "-a", "-q", "-d", dbname, "-v", "HIDE_TABLEAM=on",
                "-v", "HIDE_TOAST_COMPRESSION=on", *more]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_")) and k not in ("LANG", "LANGUAGE")}
        clean.update({"PGHOST": str(self.folder), "PGPORT": str(port), "PGUSER": "postgres", "LC_MESSAGES": "C",
                      "PGTZ": "PST8PDT", "PGDATESTYLE": "Postgres, MDY", "PGOPTIONS": "-c intervalstyle=postgres_verbose",
                      **(env or {})})
        return subprocess.run(as_user(argv), input=text.encode() if isinstance(text, str) else text, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.suite, env=clean,
                              timeout=FILE_SECONDS)

    def play(self, name):
        """What psql says of the file, and the seconds that took."""
        begin = time.monotonic()
        env = {"PG_ABS_SRCDIR": str(self.suite), "PG_ABS_BUILDDIR": str(self.suite), "PG_LIBDIR": str(self.suite / "lib"),
               "PG_DLSUFFIX": ".so", "PGAPPNAME": f"pg_regress/{name}"}
        try:
            output = self._psql("regression", self.port, (self.suite / "sql" / f"{name}.sql").read_bytes(), env=env).stdout
        except subprocess.TimeoutExpired as e:
            output = (e.stdout or b"") + f"\n*** {name} had no end in {FILE_SECONDS} s\n".encode()
        return output, time.monotonic() - begin

    def stop(self):
        """Ends everything; what neighbours complained of."""
        for n in self.neighbours:
            n.stop()
        complaints = [n.complaint for n in self.neighbours if n.complaint]
        self.neighbours = []
        try:
            if self.proxy is not None:
                self.proxy.stop()
        finally:
            self.kill()
        return complaints

    def kill(self):
        for n in self.neighbours:
            n.stop()
        if self.proxy is not None:
            self.proxy.kill()
        if self.server is not None:
            self.server.kill()
            self.server = None
