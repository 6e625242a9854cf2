"""Host names by DNS: asked for once, again when their time is over or their zone changes, and never waited for."""

import contextlib
import threading

import pytest

from harness.fake_dns import FakeDns
from harness.fake_server import FakeServer
from harness.process import free_port, wait_for

NEVER = 100_000


@pytest.fixture
def dns():
    try:
        d = FakeDns()
    except PermissionError:
        pytest.skip("port 53 is root's")
    yield d
    d.close()


@pytest.fixture
def proxy(dns, run_pgusher, folder):
    """proxy(port, name, ..., option=value): databases of these names, on hosts of these names."""
    def run(port, *names, **options):
        return run_pgusher({n: f"host={n} port={port} dbname=app" for n in names},
                           resolv_conf=dns.resolv_conf(folder), **{"server_login_retry": 0, **options})
    return run


@pytest.fixture
def pair():
    """Two servers that differ in their address only."""
    port = free_port()
    with FakeServer(polite=True, port=port) as one, FakeServer(polite=True, port=port, host="127.0.0.2") as two:
        yield one, two


def ask(p, database):
    with p.raw() as c:
        c.startup(database=database)
        return c.simple("SELECT 1").value()


def hosts(p):
    return {r["hostname"]: r for r in p.console("SHOW DNS_HOSTS")}


def reaches(p, database, server):
    """Whether a server connection is there after a query."""
    before = len(server.all)
    assert ask(p, database) == "1"
    return len(server.all) > before


def test_a_name_is_asked_for_once_in_its_time(dns, proxy, pair):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    p = proxy(pair[0].port, "pg.test", dns_max_ttl=NEVER, default_pool_size=3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):  # each has a server of its own
            c = stack.enter_context(p.raw())
            c.startup(database="pg.test")
            assert c.simple("BEGIN; SELECT 1").value() == "1"
    assert len(pair[0].all) >= 3
    assert dns.count("pg.test") == 1 and dns.count("pg.test", "AAAA") == 1
    row = hosts(p)["pg.test"]
    assert row["addrs"] == "127.0.0.1" and NEVER - 60 <= int(row["ttl"]) <= NEVER


def test_who_asks_for_the_same_name_meanwhile_waits_for_the_same_answer(dns, proxy, pair):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    dns.silent.add("pg.test")
    p = proxy(pair[0].port, "pg.test", default_pool_size=4)
    results = []
    threads = [threading.Thread(target=lambda: results.append(ask(p, "pg.test"))) for _ in range(4)]
    for t in threads:
        t.start()
    wait_for("all to wait", lambda: p.console("SHOW POOLS")[0]["cl_waiting"] == "4")
    wait_for("the question", lambda: dns.count("pg.test") > 0)
    assert {r["list"]: r["items"] for r in p.console("SHOW LISTS")}["dns_queries"] == "1"
    dns.silent.clear()
    for t in threads:
        t.join()
    assert results == ["1"] * 4
    assert {r["list"]: r["items"] for r in p.console("SHOW LISTS")}["dns_queries"] == "0"


def test_when_its_time_is_over_it_is_asked_for_again_and_its_servers_follow(dns, proxy, pair):
    one, two = pair
    dns.hosts["pg.test"] = ["127.0.0.1"]
    p = proxy(one.port, "pg.test", dns_max_ttl=1)
    assert reaches(p, "pg.test", one)
    dns.hosts["pg.test"] = ["127.0.0.2"]
    wait_for("the other server", lambda: reaches(p, "pg.test", two))
    assert hosts(p)["pg.test"]["addrs"] == "127.0.0.2"
    known = len(one.all)
    assert ask(p, "pg.test") == "1" and len(one.all) == known
    assert "event=dns_changed host=pg.test" in p.log()


def test_a_changed_serial_has_the_hosts_of_a_zone_asked_for_at_once(dns, proxy, pair):
    one, two = pair
    dns.hosts.update({"a.zone.test": ["127.0.0.1"], "b.zone.test": ["127.0.0.1"], "c.other.test": ["127.0.0.1"]})
    dns.serials["zone.test"] = 7
    p = proxy(one.port, "a.zone.test", "b.zone.test", "c.other.test", dns_max_ttl=NEVER, dns_zone_check_period="0.2")
    for name in dns.hosts:
        assert ask(p, name) == "1"

    def zones():
        return {r["zonename"]: (r["serial"], r["count"]) for r in p.console("SHOW DNS_ZONES")}

    wait_for("the serial", lambda: zones() == {"zone.test": ("7", "2"), "other.test": ("0", "1")})
    assert {r["list"]: r["items"] for r in p.console("SHOW LISTS")}["dns_zones"] == "2"
    wait_for("the first look", lambda: dns.count("a.zone.test") == 2 and dns.count("b.zone.test") == 2)
    seen = dns.count("zone.test", "SOA")
    wait_for("more looks", lambda: dns.count("zone.test", "SOA") >= seen + 3)
    assert dns.count("a.zone.test") == 2  # nothing has changed
    dns.hosts["a.zone.test"] = ["127.0.0.2"]
    dns.serials["zone.test"] = 8
    wait_for("the other server", lambda: reaches(p, "a.zone.test", two))
    assert zones()["zone.test"] == ("8", "2")
    assert "zone 'zone.test' serial changed: old=7 new=8" in p.log()
    assert dns.count("b.zone.test") == 3 and dns.count("c.other.test") == 1


def test_zones_are_left_alone_unless_asked_for(dns, proxy, pair):
    dns.hosts["a.zone.test"] = ["127.0.0.1"]
    dns.serials["zone.test"] = 7
    p = proxy(pair[0].port, "a.zone.test", dns_max_ttl=NEVER)
    assert ask(p, "a.zone.test") == "1"
    assert dns.count("zone.test", "SOA") == 0
    p.options["dns_zone_check_period"] = "0.1"
    p.write()
    p.console("RELOAD")
    wait_for("a look", lambda: dns.count("zone.test", "SOA") > 0)


def test_what_does_not_exist_is_not_asked_for_again_at_once(dns, proxy, pair):
    p = proxy(pair[0].port, "gone.test", dns_nxdomain_ttl=NEVER)
    for _ in range(3):
        with p.raw() as c, pytest.raises(RuntimeError, match="cannot resolve host"):
            c.startup(database="gone.test")
    assert dns.count("gone.test") == 1
    assert hosts(p)["gone.test"]["addrs"] == "" and int(hosts(p)["gone.test"]["ttl"]) > 15
    assert p.log().count("DNS lookup failed: gone.test") == 1


def test_what_did_not_exist_may_exist_later(dns, proxy, pair):
    p = proxy(pair[0].port, "new.test", dns_nxdomain_ttl="0.1")
    with p.raw() as c, pytest.raises(RuntimeError, match="cannot resolve host"):
        c.startup(database="new.test")
    dns.hosts["new.test"] = ["127.0.0.1"]

    def comes():
        with contextlib.suppress(RuntimeError):
            return ask(p, "new.test") == "1"
        return False

    wait_for("it to be found", comes)


def test_a_name_that_nobody_answers_for_holds_up_no_other(dns, proxy, pair):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    dns.silent.add("mute.test")
    p = proxy(pair[0].port, "mute.test", "pg.test", monitor_user="monitor", server_connect_timeout=NEVER)
    results = []
    stuck = threading.Thread(target=lambda: results.append(ask(p, "mute.test")))
    stuck.start()
    wait_for("the question", lambda: dns.count("mute.test") > 0)
    assert ask(p, "pg.test") == "1"
    dns.hosts["mute.test"] = ["127.0.0.1"]
    dns.silent.clear()
    stuck.join()
    assert results == ["1"]


def test_what_was_known_is_used_when_nobody_answers_any_more(dns, proxy, pair):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    p = proxy(pair[0].port, "pg.test", dns_max_ttl=1, dns_nxdomain_ttl=NEVER)
    assert ask(p, "pg.test") == "1"
    dns.silent.add("pg.test")

    def gives_up():
        p.console("RECONNECT")
        assert reaches(p, "pg.test", pair[0])
        return "event=dns_late host=pg.test" in p.log()

    wait_for("its time to be over", gives_up)
    p.console("RECONNECT")
    assert reaches(p, "pg.test", pair[0])


def test_an_answer_that_comes_late_counts(dns, proxy, pair):
    one, two = pair
    dns.hosts["pg.test"] = ["127.0.0.1"]
    p = proxy(one.port, "pg.test", dns_max_ttl=1, dns_nxdomain_ttl=NEVER)
    assert ask(p, "pg.test") == "1"
    dns.silent.add("pg.test")
    wait_for("to give up on it", lambda: "event=dns_late host=pg.test" in p.log())
    dns.hosts["pg.test"] = ["127.0.0.2"]
    dns.silent.clear()
    wait_for("the other server", lambda: reaches(p, "pg.test", two))


def test_addresses_of_both_kinds_are_tried(dns, proxy):
    port = free_port()
    try:
        server = FakeServer(polite=True, host="::1", port=port)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        dns.hosts.update({"six.test": ["::1"], "both.test": ["127.0.0.1", "::1"]})
        p = proxy(port, "six.test", "both.test")
        assert ask(p, "six.test") == "1" and hosts(p)["six.test"]["addrs"] == "::1"
        assert ask(p, "both.test") == "1"  # nobody listens at the other
        assert set(hosts(p)["both.test"]["addrs"].split(",")) == {"127.0.0.1", "::1"}


def test_probes_find_their_way_too(dns, proxy):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    with FakeServer(polite=True) as server:
        proxy(server.port, "pg.test", monitor_user="monitor")
        wait_for("a probe", lambda: any(s.startup.get("user") == "monitor" for s in server.all))
    assert dns.count("pg.test") == 1


def test_a_changed_resolv_conf_counts_from_the_next_question_on(dns, proxy, pair, folder):
    dns.hosts["pg.test"] = ["127.0.0.1"]
    path = dns.resolv_conf(folder)
    good = path.read_text()
    with contextlib.closing(FakeDns()) as mute:
        mute.silent.add("pg.test")
        p = proxy(pair[0].port, "pg.test", "next.test", server_connect_timeout=NEVER, start=False)
        path.write_text(good.replace(dns.address, mute.address))
        p.start()
        with p.raw() as c:
            thread = threading.Thread(target=lambda: c.startup(database="pg.test"))
            thread.start()
            wait_for("the question", lambda: mute.count("pg.test") > 0)
            path.write_text(good)
            with p.raw() as other, contextlib.suppress(RuntimeError):
                other.startup(database="next.test")  # its question is the next one
            thread.join()
            assert c.simple("SELECT 1").value() == "1"
    assert dns.count("pg.test") == 1 and dns.count("next.test") == 1


def test_a_start_needs_the_file_that_is_named(run_pgusher, folder):
    p = run_pgusher({"app": "host=127.0.0.1"}, resolv_conf=folder / "none.conf", start=False)
    p.write()
    assert f"resolv_conf {folder}/none.conf: No such file" in p.check().stderr
    p.start(wait=False)
    assert p.process.wait(20) == 1
    assert f"resolv_conf {folder}/none.conf: No such file" in p.log()
    p.kill()


def test_redis_is_found_by_name_too(dns, proxy, redis):
    dns.hosts["cache.test"] = ["127.0.0.1"]
    p = proxy(1, "pg.test", cache="redis", redis_url=redis.url.replace("127.0.0.1", "cache.test"))
    wait_for("it to be up", lambda: "event=cache_redis_up" in p.log())
