"""Prepared statements over pooled servers: one server-side name per text and types, renamed on the way."""

import pytest

from harness import wire


def client(proxy):
    c = proxy.raw()
    c.startup()
    return c


@pytest.fixture
def proxy(run_pgusher, server):
    return run_pgusher({"app": server.connstr}, default_pool_size=1, max_prepared_statements=100)


def parses(session, text):
    return [m for m in session.seen if m.kind == "P" and text in m.strings()[1]]


def test_two_clients_may_use_one_name_for_different_statements(proxy, server):
    a, b = client(proxy), client(proxy)
    a.send(wire.parse("UPDATE t SET v = 'of a'", "s1"), wire.SYNC)
    s = server.accept()
    s.serve_on()
    assert a.until_ready().kinds == "1Z"
    assert b.prepare("s1", "UPDATE t SET v = 'of b'").kinds == "1Z"
    for _ in range(3):
        assert a.run("s1").kinds == "2CZ"
        assert b.run("s1").kinds == "2CZ"
    order = [s.statements.get(m.strings()[1]) for m in s.seen if m.kind == "B"]
    assert order == ["UPDATE t SET v = 'of a'", "UPDATE t SET v = 'of b'"] * 3


def test_one_text_is_parsed_once_per_server_for_all_clients(proxy, server):
    clients = [client(proxy) for _ in range(5)]
    clients[0].send(wire.parse("UPDATE t SET v = $1", "mine"), wire.SYNC)
    s = server.accept()
    s.serve_on()
    clients[0].until_ready()
    for i, c in enumerate(clients[1:]):
        assert c.prepare(f"name{i}", "UPDATE t SET v = $1").kinds == "1Z"
    for i, c in enumerate(clients):
        name = "mine" if i == 0 else f"name{i - 1}"
        assert c.run(name, ("1",)).kinds == "2CZ"
    assert len(parses(s, "UPDATE t SET v = $1")) == 1


def test_the_same_text_with_other_types_is_another_statement(proxy, server):
    a, b = client(proxy), client(proxy)
    a.send(wire.parse("UPDATE t SET v = $1", "s", types=(23,)), wire.SYNC)
    s = server.accept()
    s.serve_on()
    a.until_ready()
    b.prepare("s", "UPDATE t SET v = $1", types=(25,))
    assert a.run("s", ("1",)).kinds == "2CZ"
    assert b.run("s", ("1",)).kinds == "2CZ"
    assert len({m.strings()[0] for m in parses(s, "UPDATE t SET v = $1")}) == 2


def test_a_statement_follows_its_client_to_another_server(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2)
    a, b = client(p), client(p)
    a.send(wire.parse("UPDATE t SET v = 'moving'", "s"), wire.SYNC)
    s1 = server.accept()
    s1.serve_on()
    assert a.until_ready().kinds == "1Z"
    # b takes the warm server and keeps it
    b.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'hold'"))
    b.until_ready(2)
    a.send(wire.bind("s"), wire.execute(), wire.SYNC)
    s2 = server.accept()
    s2.serve_on()
    answer = a.until_ready()
    assert answer.kinds == "2CZ", "the Parse that was added must not be seen by the client"
    assert len(parses(s2, "moving")) == 1


def test_describe_of_a_statement_is_answered_on_any_server(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=2)
    a, b = client(p), client(p)
    a.send(wire.parse("UPDATE t SET v = $1", "s"), wire.SYNC)
    server.accept().serve_on()
    a.until_ready()
    b.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'hold'"))
    b.until_ready(2)
    a.send(wire.describe("S", "s"), wire.SYNC)
    server.accept().serve_on()
    assert a.until_ready().kinds == "tnZ"


def test_close_frees_the_name_for_another_text(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = 1", "s"), wire.SYNC)
    s = server.accept()
    s.serve_on()
    c.until_ready()
    c.send(wire.close("S", "s"), wire.SYNC)
    assert c.until_ready().kinds == "3Z"
    answer = c.run("s")
    assert answer.sqlstate == "26000", answer
    assert c.prepare("s", "UPDATE t SET v = 2").kinds == "1Z"
    assert c.run("s").kinds == "2CZ"


def test_closing_a_name_nobody_knows_is_no_error(proxy, server):
    c = client(proxy)
    c.send(wire.close("S", "unknown"), wire.SYNC)
    server.sessions.put(None)  # a server may or may not be asked
    s = server.accept()
    if s is None:
        try:
            s = server.accept(0.3)
        except Exception:
            s = None
    if s is not None:
        s.serve_on()
    assert c.until_ready().kinds == "3Z"


def test_a_name_in_use_cannot_be_prepared_again(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = 1", "s"), wire.SYNC)
    server.accept().serve_on()
    c.until_ready()
    answer = c.prepare("s", "UPDATE t SET v = 2")
    assert answer.sqlstate == "42P05", answer
    assert c.run("s").kinds == "2CZ"


def test_a_parse_the_server_refuses_leaves_the_name_free(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE nowhere SET v = 1", "s"), wire.SYNC)
    s = server.accept()
    s.until_kind("P")
    s.send(wire.error("42P01", 'relation "nowhere" does not exist'))
    s.until_kind("S")
    s.send(wire.ready())
    assert c.until_ready().sqlstate == "42P01"
    s.serve_on()
    assert c.run("s").sqlstate == "26000"
    assert c.prepare("s", "UPDATE t SET v = 2").kinds == "1Z"
    assert c.run("s").kinds == "2CZ"


def test_a_statement_refused_on_a_later_server_fails_its_batch_only(run_pgusher, server):
    """The table was dropped meanwhile: the hidden Parse fails, the client sees that error once."""
    p = run_pgusher({"app": server.connstr}, default_pool_size=2)
    a, b = client(p), client(p)
    a.send(wire.parse("UPDATE dropped SET v = 1", "s"), wire.SYNC)
    server.accept().serve_on()
    a.until_ready()
    b.send(wire.query("BEGIN"), wire.query("UPDATE t SET v = 'hold'"))
    b.until_ready(2)
    a.send(wire.bind("s"), wire.execute(), wire.SYNC)
    s2 = server.accept()
    while "dropped" not in (m := s2.until_kind("P")).strings()[1]:
        s2.answer(m)  # the session's settings come first
    s2.send(wire.error("42P01", 'relation "dropped" does not exist'))
    s2.skip_to_sync()
    answer = a.until_ready()
    assert answer.kinds == "EZ" and answer.sqlstate == "42P01", answer
    s2.serve_on()
    assert a.simple("UPDATE t SET v = 3").kinds == "CZ"


def test_the_least_recently_used_statement_leaves_a_full_server(run_pgusher, server):
    p = run_pgusher({"app": server.connstr}, default_pool_size=1, max_prepared_statements=3)
    c = client(p)
    c.send(wire.parse("UPDATE t SET v = 0", "s0"), wire.SYNC)
    s = server.accept()
    s.serve_on()
    c.until_ready()
    for i in range(1, 10):
        assert c.prepare(f"s{i}", f"UPDATE t SET v = {i}").kinds == "1Z"
    for i in range(10):
        answer = c.run(f"s{i}")
        assert answer.kinds == "2CZ", answer
    assert len([n for n in s.statements if n]) <= 3


def test_the_unnamed_statement_is_not_shared(proxy, server):
    """Another client's unnamed statement must not answer this client's Bind."""
    a, b = client(proxy), client(proxy)
    a.send(wire.parse("UPDATE t SET v = 'of a'"), wire.SYNC)
    s = server.accept()
    s.serve_on()
    a.until_ready()
    b.send(wire.parse("UPDATE t SET v = 'of b'"), wire.bind(), wire.execute(), wire.SYNC)
    b.until_ready()
    a.send(wire.bind(), wire.execute(), wire.SYNC)
    assert a.until_ready().kinds == "2CZ"
    last = [m for m in s.seen if m.kind == "B"][-1]
    assert s.statements[last.strings()[1]] == "UPDATE t SET v = 'of a'"


def test_deallocate_all_and_discard_all_forget_the_clients_names(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = 1", "s"), wire.SYNC)
    server.accept().serve_on()
    c.until_ready()
    assert c.simple("DEALLOCATE ALL").error is None
    assert c.run("s").sqlstate == "26000"
    c.prepare("s", "UPDATE t SET v = 1")
    assert c.simple("DISCARD ALL").error is None
    assert c.run("s").sqlstate == "26000"


def test_statements_in_a_pipeline_with_two_texts_for_one_name(proxy, server):
    c = client(proxy)
    c.send(wire.parse("UPDATE t SET v = 1", "s"), wire.bind("s"), wire.execute(), wire.close("S", "s"),
           wire.parse("UPDATE t SET v = 2", "s"), wire.bind("s"), wire.execute(), wire.SYNC)
    s = server.accept()
    bound = []
    while True:
        m = s.next()
        s.answer(m)
        if m.kind == "E":
            bound.append(s.statements[s.portals[m.text]])
        if m.kind == "S":
            break
    assert c.until_ready().kinds == "12C312CZ"
    assert bound == ["UPDATE t SET v = 1", "UPDATE t SET v = 2"]
