"""Thousands of short lives: fds and memory come back."""

import pytest

from harness import wire
from harness.pgusher import is_sanitized
from harness.process import wait_for


@pytest.mark.parametrize("rude", [False, True], ids=["polite", "rude"])
def test_connecting_and_leaving_costs_neither_fds_nor_memory(run_pgusher, polite_server, rude):
    p = run_pgusher({"app": polite_server.connstr}, default_pool_size=2)

    def visits(count):
        for i in range(count):
            with p.raw() as c:
                c.startup()
                c.simple("SELECT 1")
                c.prepare("s", "SELECT 2")
                if rude and i % 2:
                    c.send(wire.query("BEGIN"))
                    c.reset()
                elif not rude:
                    c.send(wire.TERMINATE)
        p.opened.clear()

    visits(150)
    wait_for("things to settle", lambda: p.process.fds() < 60)
    fds, rss = p.process.fds(), p.process.status_kib("VmRSS")
    visits(450)
    wait_for("fds to come back", lambda: p.process.fds() <= fds + 2)
    grown = p.process.status_kib("VmRSS") - rss
    assert grown < (60_000 if is_sanitized() else 1_500), f"{grown} KiB more after 450 visits"


def test_many_distinct_statements_do_not_grow_without_bound(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, default_pool_size=1, max_prepared_statements=50)
    c = p.raw()
    c.startup()

    def run(first, count):
        for i in range(first, first + count):
            c.prepare("s", f"SELECT {i}, '{'x' * 500}' FROM things_{i}")
            c.run("s")
            c.send(wire.close("S", "s"), wire.SYNC)
            c.until_ready()

    run(0, 500)
    rss = p.process.status_kib("VmRSS")
    run(500, 1500)
    grown = p.process.status_kib("VmRSS") - rss
    assert grown < (80_000 if is_sanitized() else 6_000), f"{grown} KiB more after 1500 statements"
