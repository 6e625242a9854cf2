"""Fixtures. Servers live for the session; each test has its own proxy, held to its promises when it stops."""

import copy
import itertools
import os
import shutil
import signal

import pytest

from differential.run import prepare
from harness.certs import Certs
from harness.fake_server import FakeServer
from harness.pgusher import Pgusher, binary, is_pgbouncer
from harness.postgres import Cluster
from harness.process import give_away, work_folder
from harness.redis import Redis

TEST_SECONDS = 60

_names = itertools.count(1)


def pytest_sessionstart(session):
    if not session.config.option.collectonly and not binary().exists():
        pytest.exit(f"no binary at {binary()}: build it, or name it by PGUSHER_BIN", returncode=3)


def pytest_generate_tests(metafunc):
    """Tests run with one worker and with four; PGUSHER_WORKERS=1 picks, and PGUSHER_E2E_WORKERS for those in e2e."""
    if "workers" in metafunc.fixturenames:
        counts = os.environ.get("PGUSHER_WORKERS", "1" if is_pgbouncer() else "1,4")
        if metafunc.definition.path.parent.name == "e2e":
            counts = os.environ.get("PGUSHER_E2E_WORKERS", counts)
        metafunc.parametrize("workers", [int(n) for n in counts.split(",")], ids=lambda n: f"w{n}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the ends of the proxies' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for path in getattr(item, "proxy_logs", []):
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()[-30:]
                report.sections.append((f"log of {path.name}", "\n".join(lines)))


@pytest.fixture(autouse=True)
def _time_limit(request):
    marker = request.node.get_closest_marker("seconds")
    limit = marker.args[0] if marker else TEST_SECONDS

    def ring(*_):
        raise TimeoutError(f"the test ran longer than {limit} s")

    was = signal.signal(signal.SIGALRM, ring)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, was)


@pytest.fixture
def folder():
    with work_folder("test") as path:
        yield path


@pytest.fixture(scope="session")
def cluster():
    """One primary, no replicas."""
    with work_folder("pg") as path:
        c = Cluster(path)
        try:
            yield c
        finally:
            c.stop()


@pytest.fixture(scope="session")
def compared(cluster):
    """The primary with what the differential tests look at."""
    prepare(cluster.primary)
    return cluster.primary


@pytest.fixture(scope="session")
def replicated():
    """One primary and two streaming replicas."""
    with work_folder("pgr") as path:
        c = Cluster(path, replicas=2)
        try:
            yield c
        finally:
            c.stop()


@pytest.fixture(scope="session")
def made_certs():
    with work_folder("certs") as path:
        yield Certs(path)


@pytest.fixture
def certs(made_certs, folder):
    """Certificates that the test may change: a copy of what was made once."""
    c = copy.copy(made_certs)
    c.folder = folder / "certs"
    shutil.copytree(made_certs.folder, c.folder)
    for path in (c.folder, *c.folder.iterdir()):
        give_away(path)
    return c


@pytest.fixture
def redis(folder):
    r = Redis(folder)
    yield r
    r.stop()


@pytest.fixture
def run_pgusher(request, folder, workers):
    """Starts proxies: run_pgusher({"app": connstr}, option=value, …, users=…, sections=…, env=…)."""
    running = []
    request.node.proxy_logs = []

    def run(databases, users=None, sections=None, env=None, start=True, **options):
        options.setdefault("workers", workers)
        p = Pgusher(folder, databases, options, users, sections, env, start=False)
        request.node.proxy_logs.append(p.log_path)
        running.append(p)
        if start:
            p.start()
        return p

    yield run
    problems = []
    for p in running:
        try:
            p.stop()
        except AssertionError as e:
            problems.append(str(e))
        finally:
            p.kill()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def name():
    """A word no other test uses: for tables, and for marking statements in the servers' logs."""
    return f"t{os.getpid()}_{next(_names)}"


@pytest.fixture
def server():
    """A fake server to be driven by the test."""
    with FakeServer() as s:
        yield s


@pytest.fixture
def polite_server():
    """A fake server that answers everything by itself."""
    with FakeServer(polite=True) as s:
        yield s
