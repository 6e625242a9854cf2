"""Several processes on one port: a cancel request that comes to the wrong one is passed on to the right one."""

import socket
import struct

import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.fake_server import FakeServer
from harness.process import wait_for


def start_group(run_pgusher, server, folder, count):
    """Processes on one port, each with a unix socket that only its peers use."""
    group, peers = [], {}
    for i in range(1, count + 1):
        home = folder / f"home-{i}"
        home.mkdir()
        home.chmod(0o777)
        port = {"listen_port": group[0].port} if group else {}
        group.append(run_pgusher({"app": server.connstr}, start=False, so_reuseport=1, peer_id=i, unix_socket_dir=home,
                                 **port))
        group[-1].port = group[0].port
        peers[i] = f"host={home} port={group[0].port}"
    for p in group:
        p.sections = {"peers": peers}
        p.start(wait=False)
        wait_for("the process", lambda: "event=started" in p.log())
    return group


@pytest.fixture
def pair(run_pgusher, server, folder):
    return start_group(run_pgusher, server, folder, 2)


def door(p):
    return p.options["unix_socket_dir"] / f".s.PGSQL.{p.port}"


def ask(p, pid, key):
    """A cancel request to this very process; back when it says that it is done."""
    with FakeClient(None, path=door(p)) as k:
        k.send(wire.cancel(pid, key))
        assert k.expect_closed() == []


def run_slow(p, server, text, **more):
    c = FakeClient(None, path=door(p))
    c.startup(**more)
    c.send(wire.query(f"UPDATE t SET v = '{text}'"))
    s = server.accept()
    s.until(text)
    return c, s


def end(c, s):
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CZ"
    c.close()


@pytest.mark.parametrize("minor", [0, 2])
def test_a_cancel_reaches_its_process_whichever_hears_of_it(pair, server, minor):
    for own, other in (pair, pair[::-1]):
        c, s = run_slow(own, server, "slow", code=wire.PROTOCOL_3 + minor)
        ask(other, c.pid, c.key)
        assert server.cancelled() == (s.pid, s.key)
        ask(own, c.pid, c.key)
        assert server.cancelled() == (s.pid, s.key)
        end(c, s)


def test_cancels_through_the_shared_port_all_arrive(pair, server):
    first, _ = pair
    running = [run_slow(first, server, f"slow {n}") for n in range(12)]
    for c, s in running:
        with first.raw() as k:
            k.send(wire.cancel(c.pid, c.key))
            k.expect_closed()
        assert server.cancelled() == (s.pid, s.key)
    for c, s in running:
        end(c, s)


def test_keys_name_their_process(pair, server):
    for p in pair:
        c, s = run_slow(p, server, "slow")
        head = struct.pack("!II", c.pid, c.key)
        assert head[0] & 0x80 == 0 and head[1] | head[2] << 8 == p.options["peer_id"] and head[7] & 3 == 3
        end(c, s)


def console(p, sql):
    with FakeClient(None, path=door(p)) as c:
        c.startup(user="boss", database="pgbouncer")
        return c.simple(sql).dicts()


def test_three_processes_find_each_others_clients(run_pgusher, server, folder):
    group = start_group(run_pgusher, server, folder, 3)
    running = [run_slow(p, server, f"slow {i}") for i, p in enumerate(group)]
    for other in group:
        for c, s in running:
            ask(other, c.pid, c.key)
            assert server.cancelled() == (s.pid, s.key)
    for i, p in enumerate(group):
        others = [str(n) for n in (1, 2, 3) if n != i + 1]
        assert [r["peer_id"] for r in console(p, "SHOW PEER_POOLS")] == others
        assert {r["list"]: r["items"] for r in console(p, "SHOW LISTS")}["peer_pools"] == "2"
        assert [r["peer_id"] for r in console(p, "SHOW PEERS")] == ["1", "2", "3"]
    for c, s in running:
        end(c, s)


@pytest.mark.parametrize("hops, arrives", [(3, True), (2, False)])
def test_a_request_is_passed_on_three_times_at_most(run_pgusher, server, hops, arrives):
    """Each of three knows another way to the peer 9; the last one leads there."""
    with FakeServer() as nine:
        way = nine.port
        for i in (3, 2, 1):
            p = run_pgusher({"app": server.connstr}, peer_id=i, sections={"peers": {"9": f"host=127.0.0.1 port={way}"}})
            way = p.port
        with p.raw() as k:
            k.send(wire.cancel(*key_of(9, hops)))
            k.expect_closed()
        assert nine.cancels.qsize() == arrives
        if arrives:
            assert nine.cancelled() == key_of(9, 0)


def peer_pool(p):
    return {k: int(v) for k, v in p.console("SHOW PEER_POOLS")[0].items()}


def counts(active, waiting):
    return {"peer_id": 2, "cl_active_cancel_req": active, "cl_waiting_cancel_req": waiting, "sv_active_cancel": active,
            "sv_login": 0}


def test_no_more_requests_than_pool_size_are_under_way_to_a_peer(run_pgusher, server):
    with FakeServer() as peer:
        peer.cancel_gate.clear()
        p = run_pgusher({"app": server.connstr}, peer_id=1, cancel_wait_timeout=60,
                        sections={"peers": {"2": f"host=127.0.0.1 port={peer.port} pool_size=2"}})
        assert p.console("SHOW PEER_POOLS") == []
        asking = [p.raw() for _ in range(5)]
        for k in asking:
            k.send(wire.cancel(*key_of(2, 3)))
        wait_for("two to arrive", lambda: peer.cancels.qsize() == 2)
        wait_for("the others to wait", lambda: peer_pool(p) == counts(2, 3))
        assert p.console("SHOW PEERS") == [{"peer_id": "2", "host": "127.0.0.1", "port": str(peer.port), "pool_size": "2"}]
        assert peer.cancels.qsize() == 2 and all(k.quiet(0.01) for k in asking)
        peer.cancel_gate.set()
        for k in asking:
            assert k.expect_closed() == []
        assert peer.cancels.qsize() == 5
        wait_for("the end", lambda: peer_pool(p) == counts(0, 0))


def test_who_waits_for_a_place_too_long_gives_up_and_the_others_go_on(run_pgusher, server):
    with FakeServer() as peer:
        peer.cancel_gate.clear()
        p = run_pgusher({"app": server.connstr}, peer_id=1, cancel_wait_timeout=0.5,
                        sections={"peers": {"2": f"host=127.0.0.1 port={peer.port} pool_size=1"}})
        asking = [p.raw() for _ in range(3)]
        for k in asking:
            k.send(wire.cancel(*key_of(2, 3)))
        for k in asking:
            k.expect_closed()
        wait_for("the end", lambda: peer_pool(p) == counts(0, 0))
        peer.cancel_gate.set()
        before = peer.cancels.qsize()
        with p.raw() as k:
            k.send(wire.cancel(*key_of(2, 3)))
            k.expect_closed()
        assert peer.cancels.qsize() == before + 1


@pytest.mark.parametrize("mode, tls", [("disable", False), ("allow", False), ("prefer", True), ("verify-full", True)])
def test_peers_are_reached_as_servers_are(run_pgusher, server, certs, mode, tls):
    with FakeServer(tls=certs.server()) as peer:
        p = run_pgusher({"app": server.connstr}, peer_id=1, server_tls_sslmode=mode, server_tls_ca_file=certs.ca,
                        sections={"peers": {"2": f"host=localhost port={peer.port}"}})
        with p.raw() as k:
            k.send(wire.cancel(*key_of(2, 3)))
            k.expect_closed()
        assert peer.cancelled() == key_of(2, 2) and peer.cancel_tls == tls


def test_a_peer_without_the_tls_that_is_required_gets_nothing(run_pgusher, server):
    with FakeServer() as peer:
        p = run_pgusher({"app": server.connstr}, peer_id=1, server_tls_sslmode="require",
                        sections={"peers": {"2": f"host=127.0.0.1 port={peer.port}"}})
        with p.raw() as k:
            k.send(wire.cancel(*key_of(2, 3)))
            k.expect_closed()
        assert peer.cancels.empty() and "event=cancel_not_forwarded peer=2" in p.log()


def test_a_cancel_comes_by_tls_to_a_process_that_takes_tls_only(run_pgusher, polite_server, server, certs):
    own = run_pgusher({"app": server.connstr}, peer_id=2, client_tls_sslmode="require",
                      client_tls_key_file=certs.key("server"), client_tls_cert_file=certs.cert("server"))
    other = run_pgusher({"app": polite_server.connstr}, peer_id=1, server_tls_sslmode="allow",
                        sections={"peers": {"2": f"host=localhost port={own.port}"}})
    other.options |= {"server_tls_sslmode": "verify-ca", "server_tls_ca_file": certs.ca}
    other.write()
    other.console("RELOAD")
    c = own.raw(tls=certs.client())
    c.startup()
    c.send(wire.query("UPDATE t SET v = 'slow'"))
    s = server.accept()
    s.until("slow")
    with other.raw() as k:
        k.send(wire.cancel(c.pid, c.key))
        assert k.expect_closed() == []
    assert server.cancelled() == (s.pid, s.key)
    s.answer(s.seen[-1])
    assert c.until_ready().kinds == "CZ"


def key_of(peer_id, hops):
    return struct.unpack("!II", bytes([1, peer_id & 255, peer_id >> 8, 4, 5, 6, 7, 8 | hops]))


def test_hops_are_counted_and_come_to_an_end(run_pgusher, server):
    with FakeServer() as peer:
        p = run_pgusher({"app": server.connstr}, peer_id=1, sections={"peers": {"300": f"host=localhost port={peer.port}"}})
        for hops in (3, 2, 1):
            with p.raw() as k:
                k.send(wire.cancel(*key_of(300, hops)))
                assert peer.cancelled() == key_of(300, hops - 1)
                k.expect_closed()
        with p.raw() as k:
            k.send(wire.cancel(*key_of(300, 0)))
            k.expect_closed()
        for stranger in (1, 2, 0):  # ourselves, and nobody
            with p.raw() as k:
                k.send(wire.cancel(*key_of(stranger, 3)))
                k.expect_closed()
        assert peer.cancels.empty()


def test_who_leaves_at_once_is_heard_too(run_pgusher, server):
    """Some drivers close without waiting for the answer."""
    with FakeServer() as peer:
        p = run_pgusher({"app": server.connstr}, peer_id=1, sections={"peers": {"2": f"host=127.0.0.1 port={peer.port}"}})
        with p.raw() as k:
            k.send(wire.cancel(*key_of(2, 3)))
        assert peer.cancelled() == key_of(2, 2)


def test_a_peer_that_is_away_or_silent_holds_nobody_for_long(run_pgusher, server, folder):
    with FakeServer(login=lambda s: None) as silent:
        silent.stop_listening()
        p = run_pgusher({"app": server.connstr}, peer_id=1, cancel_wait_timeout=0.3, sections={"peers": {
            "2": f"host=127.0.0.1 port={silent.port}", "3": f"host={folder}/nowhere", "4": "host=no.such.host.invalid"}})
        for peer_id in (2, 3, 4):
            with p.raw() as k:
                k.send(wire.cancel(*key_of(peer_id, 3)))
                k.expect_closed()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        p.sections["peers"]["2"] = f"host=127.0.0.1 port={listener.getsockname()[1]}"
        p.write()
        p.console("RELOAD")
        with p.raw() as k:
            k.send(wire.cancel(*key_of(2, 3)))
            taken, _ = listener.accept()  # and never answered
            k.expect_closed()
            taken.close()
    with p.raw() as c:
        c.startup(user="boss", database="pgbouncer")
