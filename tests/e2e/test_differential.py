"""Random sessions look the same through pgusher, among noisy neighbours, as directly. More: tests/differential/run.py."""

import pytest

from differential.cases import CASES
from differential.grammar import session
from differential.run import CLEAN, Arena, await_catalog, explain, open_proxy

SESSIONS = 14


@pytest.fixture(scope="module")
def node(compared):
    yield compared
    compared.script(CLEAN)


def test_differences_once_found_stay_away(folder, node, workers):
    pool = 1 if workers == 1 else 2
    proxy = open_proxy(folder, node, pool, workers, False, start=False)
    try:
        proxy.start()
        await_catalog(proxy)
        arena = Arena(node, proxy, pool)
        for seed, (name, startup, steps) in enumerate(CASES):
            found = arena.differ(startup, steps, seed)
            assert found is None, f"{name}\n{explain(seed, startup, steps, found)}"
        proxy.stop()
    finally:
        proxy.kill()


@pytest.mark.parametrize("identity", [False, True], ids=["plain", "identity"])
def test_random_sessions_look_as_they_do_directly(folder, node, workers, identity):
    pool = 1 if workers == 1 else 2
    proxy = open_proxy(folder, node, pool, workers, identity, start=False)
    try:
        proxy.start()
        await_catalog(proxy)
        arena = Arena(node, proxy, pool, identity)
        for seed in range(5000, 5000 + SESSIONS):
            startup, steps = session(seed, identity)
            found = arena.differ(startup, steps, seed)
            assert found is None, explain(seed, startup, steps, found)
        proxy.stop()
    finally:
        proxy.kill()
