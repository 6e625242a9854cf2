"""Transactions, portals, pipelines and COPY look as they do directly, byte by byte, though others use the server between."""

import pytest

from differential import transactions
from differential.exact import difference
from differential.run import FRESH
from harness.fake_client import FakeClient

GROUPS = {name.lower(): scripts for name, scripts in vars(transactions).items()
          if isinstance(scripts, dict) and name not in ("STRANGERS", "__builtins__")}


@pytest.mark.seconds(240)
@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_the_same_bytes(run_pgusher, compared, group):
    pool = 2 if group == "pinning" else 1
    proxy = run_pgusher({"app": compared.connstr}, default_pool_size=pool, read_write_split="off")
    control, other = FakeClient(compared.port, timeout=10), proxy.raw()
    control.startup(user="postgres")
    other.startup()

    def fresh():
        answer = control.simple(FRESH)
        assert not answer.error, answer.error.fields()

    def between():
        answer = other.simple("SET work_mem = '99MB'; SELECT 1")
        assert not answer.error, answer.error.fields()

    found = {name: difference(compared, proxy, script, fresh, between) for name, script in GROUPS[group].items()}
    control.close()
    assert not any(found.values()), "\n".join(f"{name}: {words}" for name, words in found.items() if words)
