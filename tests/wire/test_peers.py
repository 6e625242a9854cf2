"""Several processes on one port: a cancel request that comes to the wrong one is passed on to the right one."""

import socket
import struct

import pytest

from harness import wire
from harness.fake_client import FakeClient
from harness.fake_server import FakeServer
from harness.process import wait_for


@pytest.fixture
def pair(run_pgusher, server, folder):
    """Two processes on one port, each with a unix socket that only its peer uses."""
    homes = []
    for name in ("one", "two"):
        home = folder / name
        home.mkdir()
        home.chmod(0o777)
        homes.append(home)
    first = run_pgusher({"app": server.connstr}, start=False, so_reuseport=1, peer_id=1, unix_socket_dir=homes[0])
    second = run_pgusher({"app": server.connstr}, start=False, so_reuseport=1, peer_id=2, unix_socket_dir=homes[1],
                         listen_port=first.port)
    peers = {i + 1: f"host={home} port={first.port}" for i, home in enumerate(homes)}
    first.sections = second.sections = {"peers": peers}
    first.start()
    second.start(wait=False)
    second.port = first.port
    wait_for("the second process", lambda: "event=started" in second.log())
    return first, second


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
