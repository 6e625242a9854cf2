"""
The proxy under test. PGUSHER_BIN names the binary (default: build/src/pgusher); with PgBouncer's instead,
options only pgusher knows are left out, so that the tests of the shared surface can be checked on both.
"""

import os
import pathlib
import re
import subprocess
from signal import SIGCONT, SIGTERM

import psycopg

from .fake_client import FakeClient
from .process import Process, as_user, free_port, give_away, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a sanitizer, a failed assertion or the C library prints when a process is no longer sound.
UNSOUND = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error: "
                     r"|Assertion .* failed|stack smashing|double free|SUMMARY: \w+Sanitizer)")

OURS = {"workers", "read_write_split", "read_consistency", "replica_max_lag", "replica_lag_check_period",
        "primary_reads", "failover_wait", "cache", "redis_url", "redis_timeout", "cache_secret_file",
        "cache_memory", "cache_max_entry", "cache_invalidation", "monitor_user", "http_listen",
        "log_format", "max_inspect", "auth_query_ttl", "auth_query_negative_ttl", "max_prepared_statements"}


def binary():
    return pathlib.Path(os.environ.get("PGUSHER_BIN", ROOT / "build" / "src" / "pgusher"))


def is_pgbouncer():
    return binary().name == "pgbouncer"


def is_sanitized():
    """Sanitizer builds say so in the environment: their memory and times mean nothing."""
    return bool(os.environ.get("PGUSHER_SANITIZED"))


def write_ini(path, sections):
    """sections: {name: {key: value}}; a value of None leaves the key out."""
    lines = []
    for name, rows in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{k} = {v}" for k, v in rows.items() if v is not None]
        lines.append("")
    path.write_text("\n".join(lines))
    give_away(path)


class Pgusher:
    """
    One running proxy.
    databases: {name: connection string}; options: of [pgusher]; users: {name: secret} for the auth_file;
    sections: any others, as {"cache:reference": {...}, "settings": {...}}.
    """

    def __init__(self, folder, databases, options=None, users=None, sections=None, env=None, start=True):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.path = self.folder / f"pgusher-{self.port}.ini"
        self.auth_file = self.folder / f"users-{self.port}.txt"
        self.log_path = self.folder / f"pgusher-{self.port}.log"
        self.users = {"app": "", "other": "", "postgres": "", "boss": "", **(users or {})}
        self.databases = dict(databases)
        self.sections = dict(sections or {})
        self.options = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": self.folder,
            "auth_type": "trust",
            "auth_file": self.auth_file,
            "pool_mode": os.environ.get("PGUSHER_POOL_MODE", "transaction"),
            "admin_users": "boss",
            "max_client_conn": 1000,
            "ignore_startup_parameters": "extra_float_digits" if is_pgbouncer() else None,
            **(options or {}),
        }
        self.env = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
                    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=98",
                    "TSAN_OPTIONS": f"exitcode=97:history_size=4:suppressions={ROOT}/tests/tsan.supp",
                    **(env or {})}
        self.opened = []
        self.process = None
        if start:
            self.start()

    def write(self):
        """Puts the files on disk; tests change the attributes, write, and reload."""
        main = dict(self.options)
        others = dict(self.sections)
        if is_pgbouncer():
            main = {k: v for k, v in main.items() if k not in OURS}
            others = {}
        write_ini(self.path, {"databases": self.databases, "pgbouncer" if is_pgbouncer() else "pgusher": main,
                              **others})
        self.auth_file.write_text("".join(f'"{u}" "{s}"\n' for u, s in self.users.items()))
        give_away(self.auth_file)

    def start(self, wait=True):
        self.write()
        self.process = Process([binary(), self.path], self.log_path, env=self.env)
        if wait:
            self.process.await_port(self.port)
            if not is_pgbouncer():
                wait_for("the start to be over", lambda: "event=started" in self.log() or not self.process.alive())

    def check(self, *argv):
        """What --check-config says about the files as they are now."""
        return subprocess.run(as_user([str(binary()), *argv, "--check-config", str(self.path)]), capture_output=True,
                              text=True, timeout=60, cwd=self.folder, env={**os.environ, **self.env})

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.process.log()

    def connect(self, dbname="app", user="app", autocommit=True, **more):
        """A psycopg connection, closed at the latest when the proxy is stopped."""
        more.setdefault("connect_timeout", 5)
        more.setdefault("host", "127.0.0.1")
        more.setdefault("prepare_threshold", None)
        self.opened = [c for c in self.opened if not getattr(c, "closed", False)]
        c = psycopg.connect(port=self.port, dbname=dbname, user=user, autocommit=autocommit, **more)
        self.opened.append(c)
        return c

    def url(self, dbname="app", user="app"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"

    def raw(self, **more):
        """A client that speaks bytes."""
        c = FakeClient(self.port, **more)
        self.opened.append(c)
        return c

    def console(self, sql, user="boss"):
        """One console command by the simple protocol; the rows as dictionaries of text."""
        with self.raw() as c:
            c.startup(user=user, database="pgbouncer")
            return c.simple(sql).dicts()

    def signal(self, number):
        self.process.signal(number)

    def close_clients(self):
        for c in self.opened:
            c.close()
        self.opened.clear()

    def stop(self, how=SIGTERM, seconds=10.0):
        """Ends it and holds it to its promises: status 0, nothing a sanitizer would complain of."""
        self.close_clients()
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.alive():
            process.signal(SIGCONT)
            process.signal(how)
        try:
            status = process.wait(seconds)
        except TimeoutError as e:
            raise AssertionError(f"signal {how} did not end it; its log:\n{tail(process.log())}") from e
        unsound = UNSOUND.search(process.log())
        assert not unsound, f"unsound:\n{excerpt(process.log(), unsound.start())}"
        if is_pgbouncer():
            return  # 1.18 ends with 1 on SIGTERM
        assert status == 0, f"exit status {status}; its log:\n{tail(process.log())}"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process = None


def excerpt(log, at):
    """A sanitizer's report without the map of the bytes around."""
    report = log[log.rfind("\n", 0, at) + 1:].partition("Shadow bytes around")[0]
    return "\n".join(l for l in report.splitlines()[:60] if l.strip())


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])
