"""What nobody uses goes: databases made from "*", pools of users, definitions that a reload replaced."""

import threading

from harness import wire
from harness.pgusher import is_sanitized
from harness.process import wait_for

BRIEF = dict(autodb_idle_timeout=0.3, server_idle_timeout=0.2)


def rows(p, show, **like):
    return [r for r in p.console(f"SHOW {show}") if all(r[k] == v for k, v in like.items())]


def count(p, name):
    return next(int(r["used"]) for r in p.console("SHOW MEM") if r["name"] == name)


def ask(p, database="app", user="app"):
    with p.raw() as c:
        c.startup(user=user, database=database)
        assert c.simple("SELECT 1").kinds == "TDCZ"


def resident(p):
    text = open(f"/proc/{p.pid}/status").read()
    return int(text.partition("VmRSS:")[2].split()[0])


def test_databases_made_from_the_star_come_and_go(run_pgusher, polite_server):
    p = run_pgusher({"*": polite_server.connstr}, **BRIEF)
    sizes = []
    for turn in range(3 if is_sanitized() else 8):
        for i in range(60):
            ask(p, f"db{turn}_{i}")
        assert p.log().count("registered new auto-database") == 60 * (turn + 1)
        wait_for("all to be gone", lambda: len(rows(p, "DATABASES")) == len(rows(p, "POOLS")) == 1)
        assert count(p, "db_cache") == count(p, "account_cache") == count(p, "server_cache") == 0
        sizes.append(resident(p))
    said = "dropping database 'db0_0' as it does not exist anymore or inactive auto-database"
    wait_for("that to be logged", lambda: said in p.log())
    if not is_sanitized():
        assert sizes[-1] - sizes[2] < 300, sizes  # kB, for 300 more


def test_a_database_in_use_stays_and_so_does_one_with_servers(run_pgusher, polite_server):
    p = run_pgusher({"*": polite_server.connstr}, autodb_idle_timeout=0.2)
    held = p.raw()
    held.startup(database="held")
    ask(p, "servers")
    p.console("PAUSE paused")
    ask(p, "passing")
    p.console("KILL passing")
    p.console("RESUME passing")
    wait_for("the one that nobody uses to be gone", lambda: rows(p, "DATABASES", name="passing") == [])
    assert {r["name"] for r in rows(p, "DATABASES")} == {"held", "servers", "paused", "pgbouncer"}
    assert held.simple("SELECT 1").kinds == "TDCZ"


def test_a_users_pool_goes_after_pool_idle_timeout_and_its_counts_stay(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, pool_idle_timeout=0.2, server_idle_timeout=0.2)
    for user in ("app", "other"):
        ask(p, user=user)
    wait_for("the pools to be gone", lambda: rows(p, "POOLS", database="app") == [])
    wait_for("both to be logged", lambda: p.log().count("cleaning up idle pool") == 2)
    assert len(rows(p, "DATABASES", name="app")) == 1
    seen = rows(p, "STATS_TOTALS", database="app")[0]
    assert seen["query_count"] == "2" and seen["client_login_count"] == "2"
    ask(p)
    assert rows(p, "STATS_TOTALS", database="app")[0]["query_count"] == "3"


def test_definitions_that_reloads_replaced_are_freed(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr})
    c = p.raw()
    c.startup()
    for i in range(10):
        p.databases["app"] = f"{polite_server.connstr} application_name=r{i}"
        p.write()
        p.console("RELOAD")
        assert c.simple("SELECT 1").kinds == "TDCZ"
    wait_for("the old ones to be gone", lambda: count(p, "db_cache") == count(p, "account_cache") == 1)
    assert rows(p, "STATS_TOTALS", database="app")[0]["query_count"] == "10"
    p.databases = {"else": polite_server.connstr}
    p.write()
    p.console("RELOAD")
    assert c.simple("SELECT 1").sqlstate == "57P01"
    wait_for("the last one to be gone", lambda: count(p, "account_cache") == 0)
    assert count(p, "db_cache") == 1


def test_all_at_once(run_pgusher, polite_server):
    """Logins, queries, reloads and the console meet databases that go: nobody is refused or crashes it."""
    p = run_pgusher({"*": polite_server.connstr}, autodb_idle_timeout=0.01, pool_idle_timeout=0.01,
                    server_idle_timeout=0.01, max_db_connections=4, default_pool_size=2)
    stop, wrong = threading.Event(), []

    def work(me):
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                with p.raw() as c:
                    c.startup(user=("app", "other")[turn % 2], database=f"db{(me + turn) % 5}")
                    for _ in range(turn % 3):
                        assert c.simple("SELECT 1").kinds == "TDCZ"
        except Exception as e:
            wrong.append(e)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    dropped = lambda: p.log().count("dropping database") + p.log().count("cleaning up idle pool")
    try:
        for turn in range(60):
            p.databases["*"] = f"{polite_server.connstr} application_name=r{turn % 2}"
            if turn % 10 == 0:
                p.write()
                p.console("RELOAD")
            for show in ("POOLS", "DATABASES", "STATS", "SERVERS", "USERS"):
                p.console(f"SHOW {show}")
        wait_for("some to go", lambda: dropped() > 3 or wrong)
    finally:
        stop.set()
        for w in workers:
            w.join()
    assert not wrong, wrong[0]
    wait_for("all to be gone", lambda: count(p, "db_cache") == count(p, "account_cache") == 0)
