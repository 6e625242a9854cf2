"""
What is wrong with a configuration is said where it is, at the start and at RELOAD, and the old one stays whole.
The rows of src/config/options.def are the table: a new option is tested as soon as it is there.
"""

import pathlib
import re

import pytest

from harness import wire
from harness.process import forbid, free_port, give_away, wait_for


ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r"OPT_(BOOL|INT|TIME|SIZE|STR|ENUM)\(\s*(\w+),(.*?)\)\s*(?=OPT_|/\*|\Z)", re.S)

BAD = {
    "BOOL": ["maybe", "2.5", "", "-1", "on off"],
    "INT": ["lots", "1.5", "12 apples", "", "0x", "99999999999999999999"],
    "TIME": ["soon", "-1", "5 parsecs", "", "nan", "1s2", "1e400", "10000000000"],
    "SIZE": ["much", "-1", "3 apples", "", "inf", "1e30"],
    "ENUM": ["sometimes", "", "-1"],
    "STR": [],
}

# options whose text has a form, or names something that must be there
FORMS = {
    "auth_file": ["/nowhere/users.txt", "/"],
    "http_listen": ["nonsense", "127.0.0.1:99999"],
    "logfile": ["/nowhere/its.log", "/"],
    "redis_url": ["nonsense", "redis://", "redis://h:0"],
    "syslog_facility": ["cellar", ""],
}


def test_who_waits_for_a_node_goes_where_a_reload_says(run_pgusher, cluster):
    good = cluster.primary.connstr
    p = run_pgusher({"app": good}, monitor_user="postgres", failover_wait=100_000, query_wait_timeout=0)

    def lead_to(line):
        p.databases["app"] = line
        p.write()
        p.console("RELOAD")

    c = p.raw()
    c.startup(user="postgres")
    lead_to(f"host=127.0.0.1,127.0.0.1 port={free_port()},{free_port()} dbname=app")
    wait_for("probes", lambda: p.log().count("event=node_down") == 2)
    c.send(wire.query("SELECT 1"))
    assert c.quiet(0.3)
    lead_to(good)
    assert c.until_ready().value() == "1"


def number(text):
    """As C reads it."""
    return int(text, 8 if re.fullmatch("0[0-7]+", text) else 0)


def options():
    """(kind, name, bad values) of every row."""
    text = (ROOT / "src/config/options.def").read_text()
    for kind, name, rest in ROW.findall(text):
        values = BAD[kind] + FORMS.get(name, [])
        if kind == "INT":
            low, high = (number(n) for n in re.findall(r'"[^"]*",\s*(-?\w+),\s*(-?\w+)', rest)[0])
            values = values + [str(low - 1), str(high + 1)]
        yield kind, name, values


def test_the_table_is_read_whole():
    rows = list(options())
    assert len(rows) == (ROOT / "src/config/options.def").read_text().count("\nOPT_")
    assert len(rows) > 100 and {"listen_port", "drain_timeout", "pool_mode"} <= {name for _, name, _ in rows}
    assert set(FORMS) <= {name for _, name, _ in rows}


@pytest.fixture
def proxy(run_pgusher, polite_server):
    p = run_pgusher({"app": polite_server.connstr}, default_pool_size=3)
    p.options["unix_socket_dir"] = str(p.folder)
    return p


@pytest.fixture
def console(proxy):
    c = proxy.raw()
    c.startup(user="boss", database="pgbouncer")
    return c


def state(console):
    return {what: console.simple(f"SHOW {what}").dicts() for what in ("CONFIG", "DATABASES", "USERS", "PEERS")}


def refused(proxy, console, before, *words):
    """RELOAD fails with these words on the console and in the log, and nothing has changed."""
    said = len(proxy.log())
    answer = console.simple("RELOAD")
    assert answer.sqlstate == "F0000", words
    assert answer.error.fields()["M"] == "RELOAD failed, see logs for additional details"
    hint = answer.error.fields()["H"]
    for word in words:
        assert word in hint, (word, hint)
    line = wait_for("the log", lambda: next((l for l in proxy.log()[said:].splitlines() if "event=reload_failed" in l), None))
    assert hint in line and 'next="the old configuration stays"' in line
    assert state(console) == before


def test_every_option_with_a_wrong_type_range_or_unit_leaves_the_old_configuration_whole(proxy, console):
    before = state(console)
    proxy.options["default_pool_size"] = 9  # what must not take effect
    tried = 0
    for _, name, values in options():
        for value in values:
            proxy.write()
            text = proxy.path.read_text()
            lines = [l for l in text.splitlines() if not l.startswith(name + " =")]
            at = lines.index("[pgusher]") + 1
            lines.insert(at, f"{name} = {value}")
            proxy.path.write_text("\n".join(lines) + "\n")
            if name in FORMS and value in FORMS[name] and name in ("auth_file", "logfile"):
                refused(proxy, console, before, name, value)
            else:
                refused(proxy, console, before, f"{proxy.path.name}:{at + 1}: {name}", "expected")
            tried += 1
    assert tried > 300
    proxy.write()
    assert console.simple("RELOAD").error is None
    assert {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}["default_pool_size"] == "9"


def test_set_refuses_the_same_values(proxy, console):
    before = state(console)
    changeable = {r["key"]: r["changeable"] for r in before["CONFIG"]}
    for _, name, values in options():
        for value in values:
            answer = console.simple(f"SET {name} = '{value}'")
            assert answer.sqlstate == "22023", (name, value)
            if changeable[name] == "no":
                assert "restart" in answer.error.fields()["M"]
    assert state(console) == before


LINES = {
    "an unknown section": ("[nonsense]\na = 1\n", "unknown section"),
    "an unknown database parameter": ("[databases]\nx = host=a colour=blue\n", "unknown parameter colour"),
    "a wrong number on a database line": ("[databases]\nx = pool_size=many\n", "pool_size = many: expected"),
    "a wrong time on a database line": ("[databases]\nx = server_lifetime=-1\n", "server_lifetime = -1: expected"),
    "a wrong mode on a database line": ("[databases]\nx = pool_mode=wild\n", "pool_mode = wild: expected"),
    "a wrong port on a database line": ("[databases]\nx = port=0\n", "port = 0: expected"),
    "ports that do not fit the hosts": ("[databases]\nx = host=a,b,c port=1,2\n", "2 ports for 3 hosts"),
    "the console's name": ("[databases]\npgbouncer = host=a\n", "is the console's"),
    "an unknown user parameter": ("[users]\napp = colour=blue\n", "unknown parameter colour"),
    "a wrong time on a user line": ("[users]\napp = query_timeout=soon\n", "query_timeout = soon: expected"),
    "a peer without host": ("[peers]\n1 = port=1\n", "expected host="),
    "a peer that is no number": ("[peers]\nfirst = host=a\n", "peer first: expected a number"),
    "a peer's number out of range": ("[peers]\n16384 = host=a\n", "peer 16384: expected a number"),
    "a rule with a wrong time": ("[cache:x]\ntables = a\nttl = soon\n", "ttl = soon"),
    "a setting that cannot be": ("[settings]\nrole = x\n", "cannot be injected"),
    "a line that is none": ("just words\n", "expected name = value"),
    "an include that is not there": ("%include /nowhere/more.ini\n", "cannot read /nowhere/more.ini"),
}


@pytest.mark.parametrize("what", LINES)
def test_a_wrong_line_is_named_by_file_and_line(proxy, console, what):
    addition, words = LINES[what]
    before = state(console)
    proxy.write()
    text = proxy.path.read_text().rstrip() + "\n"
    proxy.path.write_text(text + addition)
    last = len((text + addition).splitlines())
    refused(proxy, console, before, f"{proxy.path.name}:{last}: ", words)


# ---- files


FILES = {"ini": "path", "auth_file": "auth_file"}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["missing", "unreadable", "a folder"])
def test_a_file_that_cannot_be_read_leaves_the_old_state(proxy, console, polite_server, file, how):
    before = state(console)
    path = getattr(proxy, FILES[file])
    if how == "unreadable":
        forbid(path)
    else:
        path.unlink()
    if how == "a folder":
        path.mkdir()
    refused(proxy, console, before, str(path), {"missing": "No such file", "unreadable": "Permission denied",
                                                "a folder": "expected a file"}[how])
    if how == "a folder":
        path.rmdir()
    with proxy.raw() as c:
        c.startup()  # who was known is known
        assert c.simple("SELECT 1").value() == "1"
    proxy.write() if how != "unreadable" else path.chmod(0o644)
    assert console.simple("RELOAD").error is None


def test_included_files_are_part_of_the_whole(proxy, console):
    """A list of files, each included by the one before, as deep as it may be; one of them goes, changes, comes back."""
    depth = 10
    files = [proxy.folder / f"part{n}.ini" for n in range(depth)]
    proxy.write()
    main = proxy.path.read_text()

    def write(last):
        for n, f in enumerate(files):
            f.write_text(f"%include {files[n + 1]}\n" if n + 1 < depth else last)
            give_away(f)
        proxy.path.write_text(main.rstrip() + f"\n%include {files[0]}\n")

    write("query_timeout = 7\n")
    assert console.simple("RELOAD").error is None
    before = state(console)
    assert {r["key"]: r["value"] for r in before["CONFIG"]}["query_timeout"] == "7"

    write("query_timeout = 8\nquery_timeout = soon\n")
    refused(proxy, console, before, f"{files[-1].name}:2: query_timeout = soon")
    write(f"%include {files[0]}\n")
    refused(proxy, console, before, f"{files[-1].name}:1: %include: too deep")
    write("query_timeout = 9\n")
    files[4].unlink()
    refused(proxy, console, before, f"{files[3].name}:1: cannot read {files[4]}")
    write("query_timeout = 9\n")
    assert console.simple("RELOAD").error is None
    assert {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}["query_timeout"] == "9"


def test_an_include_is_relative_to_where_the_process_runs(proxy, console):
    (proxy.folder / "beside.ini").write_text("query_timeout = 5\n")  # the harness starts it in this folder
    give_away(proxy.folder / "beside.ini")
    proxy.write()
    proxy.path.write_text(proxy.path.read_text().rstrip() + "\n%include beside.ini\n")
    assert console.simple("RELOAD").error is None
    assert {r["key"]: r["value"] for r in console.simple("SHOW CONFIG").dicts()}["query_timeout"] == "5"


def test_clients_and_their_transactions_outlive_failed_reloads(proxy, console, polite_server):
    c = proxy.raw()
    c.startup()
    assert c.simple("BEGIN; SELECT 1").status == "T"
    before = state(console)
    for _ in range(5):
        proxy.path.write_text("[pgusher]\nnonsense = 1\n")
        refused(proxy, console, before, "nonsense")
    assert c.simple("COMMIT").status == "I"


def test_a_changed_size_changes_the_pool_and_leaves_its_servers(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " pool_size=1"})
    pid = lambda c: int(c.simple("SELECT pg_backend_pid()").value())
    a, b = p.raw(), p.raw()
    a.startup()
    b.startup()
    first = pid(a)
    a.simple("BEGIN"), pid(a)
    b.send(wire.query("SELECT pg_backend_pid()"))
    assert b.quiet(0.1)

    def resize(size):
        p.databases["app"] = cluster.primary.connstr + f" pool_size={size} min_pool_size=0 reserve_pool_size=0"
        p.write()
        p.console("RELOAD")
        return next(r for r in p.console("SHOW DATABASES") if r["name"] == "app")

    assert resize(2)["pool_size"] == "2"
    second = int(b.until_ready().value())
    assert second != first and pid(a) == first
    a.simple("COMMIT")
    assert resize(1)["pool_size"] == "1"
    left = lambda: [int(r["remote_pid"]) for r in p.console("SHOW SERVERS") if r["database"] == "app"]
    wait_for("one to be closed", lambda: len(left()) == 1)
    assert left()[0] in (first, second) and pid(a) == pid(b) == left()[0]
    assert "database configuration changed" not in p.log()


def test_old_and_new_pools_of_a_changed_line_stay_within_pool_size(run_pgusher, cluster):
    p = run_pgusher({"app": cluster.primary.connstr + " pool_size=2"})
    late = [p.raw() for _ in range(3)]
    for c in late:
        c.startup()
    held = [p.connect(autocommit=False) for _ in range(2)]
    pids = {c.execute("SELECT pg_backend_pid()").fetchone()[0] for c in held}
    p.databases["app"] += " application_name=later"
    p.write()
    p.console("RELOAD")
    for c in late:
        c.send(wire.query("SELECT pg_backend_pid()"))
    assert all(c.quiet(0.1) for c in late)
    assert sum(int(r["current_connections"]) for r in p.console("SHOW DATABASES") if r["name"] == "app") == 2
    held[0].rollback()
    got = {int(c.until_ready().value()) for c in late}
    assert len(got) == 1 and not got & pids  # one after the other, on the one place that is free
    held[1].rollback()
    assert held[1].execute("SELECT 1").fetchone() == (1,)
