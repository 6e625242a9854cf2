"""
Random sessions. A session is a startup dictionary and a list of steps; a step is a list of messages that go out
in one write. Messages are tuples, so that a script can be printed, shrunk and pasted back:
    ("Q", sql)  ("P", name, sql, types)  ("B", portal, statement, params, result formats)  ("D", "S" or "P", name)
    ("E", portal, rows)  ("C", "S" or "P", name)  ("H",)  ("S",)  ("d", data)  ("c",)  ("f", why)  ("F", oid, args)
"""

import random
import re

SETTINGS = {
    "work_mem": ["1MB", "3MB", "77MB"],
    "DateStyle": ["German, DMY", "SQL, MDY", "ISO, DMY", "Postgres"],
    "TimeZone": ["Asia/Tokyo", "America/New_York", "UTC", "Europe/Berlin"],
    "application_name": ["one", "two words", ""],
    "IntervalStyle": ["iso_8601", "sql_standard", "postgres_verbose"],
    "client_encoding": ["UTF8", "LATIN1", "SQL_ASCII"],
    "extra_float_digits": ["0", "-3", "3"],
    "bytea_output": ["escape", "hex"],
    "standard_conforming_strings": ["on", "off"],
    "search_path": ["public", "pg_catalog, public", "nowhere, public"],
    "app.x": ["1", "", "it is", "b\\s"],
    "app.y": ["deep", "", "42"],
    "statement_timeout": ["30s", "0", "60000"],
    "lock_timeout": ["9s", "0"],
    "default_transaction_read_only": ["on", "off"],
    "default_transaction_isolation": ["serializable", "read committed", "repeatable read"],
    "default_transaction_deferrable": ["on", "off"],
    "client_min_messages": ["notice", "warning", "error"],
    "enable_seqscan": ["on", "off"],
    "row_security": ["on", "off"],
    "escape_string_warning": ["on", "off"],
    "plan_cache_mode": ["auto", "force_custom_plan", "force_generic_plan"],
    "xmloption": ["content", "document"],
    "idle_in_transaction_session_timeout": ["50s", "0"],
    "app.roled": ["mine", ""],
    "cursor_tuple_fraction": ["0.25", "1"],
}
NAMES = list(SETTINGS)
# What the guard of [settings] refuses where PostgreSQL would not.
GUARDED = re.compile(r"DO \$\$|SELEC 1|diff_|CALL|set_config\(\$1|PREPARE|EXECUTE|ZONE|AUTHORIZATION")
RESETS = re.compile(r"RESET|DEFAULT|ZONE LOCAL|DISCARD|NULL, (false|true)\)")
CUSTOM = ("app.x", "app.y", "app.roled")
BAD_SETS = ["SET work_mem = 'plenty'", "SET nosuch_setting = 1", "SET DateStyle = 'Martian'",
            "SET client_encoding = 'klingon'", "SET TimeZone = 'Mars/Olympus'", "RESET nosuch_setting",
            "SET ROLE nosuch_role", "SET ROLE other", "SET server_version = '9'", "SET log_statement = 'none'",
            "SELECT set_config('work_mem', 'plenty', false)", "SET transaction_isolation = 'nonsense'",
            "SET SESSION AUTHORIZATION diff_role", "SET app.x.y = 1", "SET work_mem = 1, 2", "SET search_path = 1, 'a b'",
            "RESET transaction_isolation", "SET app.\"odd name\" = 'x'"]
PREPARED_NAMES = ["s1", "s2", "s3", "S1", "a b", ""]
PORTALS = ["", "", "p1", "p2"]
SAVEPOINTS = ["a", "b"]

# (text, parameters it takes); values are picked from PARAMS by kind
TEXTS = [
    ("SELECT $1::int + 1", "i"),
    ("SELECT coalesce(current_setting($1, true), '')", "n"),
    ("SELECT coalesce(current_setting('app.x', true), '')", ""),
    ("SELECT id, v FROM diff_t ORDER BY id", ""),
    ("SELECT g FROM generate_series(1, $1::int) g", "i"),
    ("INSERT INTO diff_t(v) VALUES ($1)", "t"),
    ("INSERT INTO diff_t(v) VALUES ($1) RETURNING v", "t"),
    ("UPDATE diff_t SET v = $2 WHERE id = $1::int", "it"),
    ("DELETE FROM diff_t WHERE id = $1::int", "i"),
    ("INSERT INTO diff_t(id, v) VALUES (1, 'again')", ""),
    ("SELECT set_config('work_mem', $1, false)", "m"),
    ("SELECT set_config($1, $2, $3::bool)", "nvb"),
    ("SELECT set_config('app.x', $1, $2::bool)", "tb"),
    ("SET work_mem = '2MB'", ""),
    ("SET app.x = 'prepared'", ""),
    ("RESET work_mem", ""),
    ("SET LOCAL work_mem = '5MB'", ""),
    ("SHOW work_mem", ""),
    ("SHOW TimeZone", ""),
    ("BEGIN", ""),
    ("COMMIT", ""),
    ("ROLLBACK", ""),
    ("SAVEPOINT a", ""),
    ("ROLLBACK TO a", ""),
    ("", ""),
    ("SELECT 100 / $1::int", "i"),
    ("SELECT 1 FROM nosuch_table", ""),
    ("SELEC 1", ""),
    ("SELECT '2024-01-02 03:04:05+00'::timestamptz, '1 day 2 hours'::interval, 0.1::float8 + 0.2", ""),
    ("SELECT '\\x4142'::bytea", ""),
    ("SELECT 'a\\b'", ""),
    ("SELECT $1", "t"),
    ("SELECT $1::text, $2::text", "tt"),
    ("DO $$ BEGIN RAISE NOTICE 'hello'; END $$", ""),
    ("COPY (SELECT * FROM diff_t ORDER BY id) TO STDOUT", ""),
    ("DEALLOCATE ALL", ""),
    ("DISCARD ALL", ""),
    ("RESET ALL", ""),
    ("EXPLAIN (COSTS OFF) SELECT 1", ""),
    ("VALUES (1, 'x'), (2, NULL)", ""),
    ("SELECT 'déjà'::text", ""),
    ("SELECT 1; SELECT 2", ""),
    ("DECLARE c1 CURSOR FOR SELECT g FROM generate_series(1, 9) g", ""),
    ("FETCH 2 FROM c1", ""),
    ("SELECT count(*) FROM diff_t", ""),
    ("SELECT current_user, session_user", ""),
    ("SELECT diff_set($1, $2)", "nv"),
    ("SELECT diff_clause()", ""),
    ("INSERT INTO diff_tr VALUES ($1) RETURNING v", "t"),
    ("SELECT set_config('app.y', NULL, $1::bool)", "b"),
    ("SELECT set_config('DateStyle', $1, false), current_setting('DateStyle')", "d"),
    ("SET ROLE diff_role", ""),
    ("RESET ROLE", ""),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", ""),
    ("ROLLBACK AND CHAIN", ""),
    ("RELEASE a", ""),
    ("CREATE TEMP TABLE IF NOT EXISTS tt(a int)", ""),
    ("DECLARE c2 CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 9) g", ""),
    ("CLOSE ALL", ""),
    ("SELECT pg_try_advisory_lock($1::int)", "i"),
    ("CALL diff_commit()", ""),
]
READY = [t for t in TEXTS if t[0].startswith(("SELECT", "INSERT", "UPDATE", "SHOW", "SET"))]


class Generator:
    def __init__(self, seed, identity=False):
        self.r = random.Random(seed)
        self.identity = identity
        self.tx = False  # a guess
        self.known = []  # (name, parameters) probably prepared

    def pick(self, *choices):
        return self.r.choice(choices)

    def chance(self, p):
        return self.r.random() < p

    # ---- pieces of SQL

    def setting(self):
        name = self.r.choice(NAMES)
        return name, self.r.choice(SETTINGS[name])

    def value(self, name, value):
        if name in ("DateStyle", "search_path"):
            return value
        return "'" + value.replace("'", "''") + "'"

    def set_sql(self):
        name, value = self.setting()
        roll = self.r.random()
        if roll < 0.40:
            return f"SET {self.pick('', 'SESSION ')}{name} {self.pick('=', 'TO')} {self.value(name, value)}"
        if roll < 0.52:
            return f"SET LOCAL {name} = {self.value(name, value)}"
        if roll < 0.62:
            return self.pick(f"RESET {name}", f"SET {name} TO DEFAULT")
        if roll < 0.74:
            return f"SELECT set_config('{name}', '{value}', {self.pick('false', 'true')})"
        if roll < 0.79:
            return self.r.choice(BAD_SETS)
        if roll < 0.83:
            other, more = self.setting()
            return self.pick(f"SELECT set_config('{name}', '{value}', false), set_config('{other}', '{more}', {self.pick('false', 'true')})",
                             f"SELECT set_config('{name}', NULL, {self.pick('false', 'true')})",
                             f"SET {name} FROM CURRENT", f"SET LOCAL {name} TO DEFAULT",
                             f"WITH s AS (SELECT set_config('{name}', '{value}', false)) SELECT count(*) FROM s",
                             f"SELECT set_config('{name}', v, false) FROM diff_t WHERE id = 1",
                             f"SELECT set_config('{name}', '{value}', false) WHERE false")
        return self.pick("SET TIME ZONE 'Asia/Tokyo'", "SET TIME ZONE LOCAL", "SET NAMES 'LATIN1'", "SET NAMES 'UTF8'",
                         "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                         "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
                         "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                         "SET ROLE diff_role", "RESET ROLE", "SET ROLE NONE", "SET SESSION AUTHORIZATION app",
                         "SET LOCAL SESSION AUTHORIZATION app", "SET ROLE app", "SET ROLE 'none'",
                         "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION", "RESET ALL",
                         "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "SET TIME ZONE -7",
                         "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY",
                         "SET LOCAL ROLE diff_role", "SET CONSTRAINTS ALL DEFERRED")

    def look_sql(self):
        name = self.r.choice(NAMES)
        if self.identity and self.chance(0.4):
            return self.pick("SHOW app.ident", "SELECT current_setting('app.ident')")
        if name in CUSTOM:
            return f"SELECT coalesce(current_setting('{name}', true), '')"
        return self.pick(f"SHOW {name}", f"SELECT current_setting('{name}')",
                         "SELECT current_user, session_user", "SHOW transaction_isolation",
                         "SHOW transaction_read_only",
                         "SELECT '2024-01-02 03:04:05+00'::timestamptz, '1 day 2 hours'::interval, 1/3::float8",
                         "SELECT 'a\\b', '\\x41'::bytea",
                         "SELECT name, setting FROM pg_settings WHERE name IN ('work_mem', 'TimeZone', 'search_path', "
                         "'DateStyle', 'lock_timeout') ORDER BY name")

    def tx_sql(self):
        if not self.tx:
            sql = self.r.choice(["BEGIN"] * 6 + ["START TRANSACTION READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE",
                                                 "BEGIN READ ONLY", "COMMIT", "ROLLBACK", "SAVEPOINT a",
                                                 "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE, DEFERRABLE"])
            self.tx = sql.startswith(("BEGIN", "START"))
            return sql
        sql = self.r.choice(["COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a",
                             "ROLLBACK TO b", "RELEASE a", "RELEASE b", "BEGIN", "COMMIT AND CHAIN", "END",
                             "ROLLBACK AND CHAIN", "ROLLBACK TO a", "SAVEPOINT a", "ABORT"])
        if sql in ("COMMIT", "ROLLBACK", "END", "ABORT"):
            self.tx = False
        return sql

    def data_sql(self):
        n = self.r.randint(1, 6)
        return self.pick(f"INSERT INTO diff_t(v) VALUES ('v{n}')", f"INSERT INTO diff_t(id, v) VALUES ({n}, 'dup')",
                         f"UPDATE diff_t SET v = 'u{n}' WHERE id = {n}", f"DELETE FROM diff_t WHERE id = {n}",
                         "SELECT * FROM diff_t ORDER BY id", "SELECT count(*) FROM diff_t",
                         "SELECT v FROM diff_t WHERE id = 1 FOR UPDATE", "",
                         ";", "-- nothing", "SELECT 1/0", "SELECT nosuch_column", "SELEC 1", "SELECT 1 AS one, NULL AS two",
                         "SELECT g FROM generate_series(1, 50) g", "SELECT repeat('x', 9000)", "TABLE diff_t ORDER BY id",
                         "DO $$ BEGIN RAISE NOTICE 'note %', 7; END $$", "DO $$ BEGIN RAISE WARNING 'warn'; END $$",
                         "DO $$ BEGIN PERFORM set_config('work_mem', '13MB', false); END $$",
                         "SELECT diff_set('app.x', 'by function')", "SELECT diff_set('work_mem', '11MB')",
                         "SELECT diff_note()", "SELECT diff_fail()", "CALL diff_commit()", "CALL diff_commit_set()",
                         "SELECT diff_clause()", "SELECT diff_clause_set()", "SELECT current_setting('work_mem'), diff_clause()",
                         "SELECT diff_partly()", "DO $$ BEGIN PERFORM set_config('app.y', 'done', true); END $$",
                         "DO $$ BEGIN SET TimeZone = 'Asia/Tokyo'; RESET work_mem; END $$",
                         "DO $$ BEGIN SET LOCAL lock_timeout = '2s'; END $$", "DO $$ BEGIN RESET ALL; END $$",
                         "DO $$ BEGIN SET ROLE diff_role; END $$", "DO $$ BEGIN SET app.x = 'a'; RAISE EXCEPTION 'no'; END $$",
                         "DO $$ BEGIN SET app.x = 'c'; COMMIT; SET app.y = 'd'; ROLLBACK; END $$",
                         f"INSERT INTO diff_tr VALUES ('by trigger {n}')", "SELECT * FROM diff_view",
                         "INSERT INTO diff_def DEFAULT VALUES", "UPDATE diff_tr SET v = 'again'",
                         "COPY diff_tr FROM '/nonexistent'",
                         "EXPLAIN (COSTS OFF) SELECT * FROM diff_t")

    def state_sql(self):
        return self.pick("CREATE TEMP TABLE tt(a int)", "INSERT INTO tt VALUES (1), (2)", "SELECT * FROM tt",
                         "DROP TABLE tt", "DISCARD TEMP", "CREATE TEMP TABLE td(a int) ON COMMIT DROP",
                         "SELECT * FROM td", "CREATE TEMP TABLE tt AS SELECT 1 AS a", "SELECT 5 AS a INTO TEMP tt",
                         "SELECT pg_advisory_lock(7)", "SELECT pg_try_advisory_lock(7)", "SELECT pg_advisory_unlock(7)",
                         "SELECT pg_advisory_unlock_all()", "SELECT pg_advisory_xact_lock(8)",
                         "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
                         "LISTEN diff_c", "UNLISTEN diff_c", "UNLISTEN *", "NOTIFY diff_c, 'x'",
                         "SELECT pg_notify('diff_c', 'y')", "SELECT * FROM pg_listening_channels()",
                         "SELECT nextval('diff_s')", "SELECT currval('diff_s')",
                         "SELECT setval('diff_s', 70)", "DISCARD SEQUENCES", "DISCARD PLANS",
                         "SELECT setseed(0.5)", "SELECT random() < 2",
                         "DECLARE c1 CURSOR FOR SELECT g FROM generate_series(1, 9) g",
                         "DECLARE c2 CURSOR WITH HOLD FOR SELECT id FROM diff_t ORDER BY id",
                         "CREATE TEMP TABLE tr(a int) ON COMMIT DELETE ROWS", "INSERT INTO tr VALUES (1)", "SELECT count(*) FROM tr",
                         "CREATE TEMP VIEW tv AS SELECT 1", "CREATE TEMP SEQUENCE ts", "SELECT nextval('ts')", "DROP SEQUENCE ts",
                         "ALTER TABLE tt ADD b int", "TRUNCATE tt", "SELECT pg_advisory_lock_shared(9)",
                         "SELECT pg_advisory_unlock_shared(9)", "SELECT lastval()",
                         "FETCH 2 FROM c1", "FETCH ALL FROM c2", "MOVE 1 IN c1", "CLOSE c1", "CLOSE c2", "CLOSE ALL",
                         "SELECT name, is_holdable FROM pg_cursors WHERE name <> '' ORDER BY name")

    def prepare_sql(self):
        name = self.pick("q1", "q2", "q3")
        return self.pick(f"PREPARE {name} AS SELECT 1", f"PREPARE {name}(int) AS SELECT $1 + 1",
                         f"PREPARE {name} AS INSERT INTO diff_t(v) VALUES ('by execute')",
                         f"PREPARE {name} AS SELECT coalesce(current_setting('app.x', true), '')",
                         f"EXECUTE {name}", f"EXECUTE {name}(4)", f"EXECUTE {name}", f"EXECUTE {name}(5)",
                         f"DEALLOCATE {name}", "DEALLOCATE ALL", f"DEALLOCATE PREPARE {name}", "DEALLOCATE nosuch",
                         "SELECT name, from_sql FROM pg_prepared_statements WHERE from_sql ORDER BY 1")

    def any_sql(self):
        kinds = [self.set_sql, self.look_sql, self.tx_sql, self.data_sql, self.state_sql, self.prepare_sql]
        while True:
            sql = self.r.choices(kinds, [24, 22, 16, 16, 5, 4])[0]()
            # Too late for that in a transaction.
            opaque = self.started and sql.startswith("DO") and RESETS.search(sql)
            if not opaque and not (self.identity and GUARDED.search(sql)):
                return sql

    # ---- messages

    def params(self, kinds):
        out = []
        for k in kinds:
            if k == "n":
                out.append(self.r.choice(NAMES))
            elif k == "v":
                value = self.pick("1", "on", "UTC", "SQL", "64MB", None)
                timeout = bool(out) and str(out[-1]).endswith("_timeout")
                out.append("100000" if timeout and value == "1" else value)  # ms: never in time
            elif k == "d":
                out.append(self.pick("German", "DMY", "ISO, YMD", "Martian"))
            elif k == "m":
                out.append(self.pick("6MB", "9MB", "what"))
            elif k == "b":
                out.append(self.pick("t", "f"))
            elif k == "i":
                out.append(self.pick("0", "1", "2", "5", "7", "x", None))
            else:
                out.append(self.pick("text", "", None, "ü", "a'b"))
        if self.chance(0.03):
            out = out[:-1] if out else ["extra"]
        return tuple(out)

    def extended(self):
        """One use of a statement by protocol, without its Sync."""
        roll = self.r.random()
        out = []
        if roll < 0.45 or not self.known:
            text, kinds = self.r.choice(READY if self.chance(0.6) else TEXTS)
            while (self.identity and GUARDED.search(text)) or (self.started and "NULL, $" in text):
                text, kinds = self.r.choice(TEXTS)
            name = self.r.choice(PREPARED_NAMES if self.chance(0.5) else [""])
            types = (25,) * len(kinds) if self.chance(0.1) else ()
            out.append(("P", name, text, types))
            self.known.append((name, kinds))
            if self.chance(0.15):
                return out
        else:
            name, kinds = self.r.choice(self.known)
            if self.chance(0.08):
                name = self.pick("s3", "nosuch", "S1")
        if self.chance(0.15):
            out.append(("D", "S", name))
        portal = self.r.choice(PORTALS)
        out.append(("B", portal, name, self.params(kinds), (1,) if self.chance(0.08) else ()))
        if self.chance(0.5):
            out.append(("D", "P", portal))
        roll = self.r.random()
        if roll < 0.75:
            out.append(("E", portal, 0))
        elif roll < 0.95:
            for _ in range(self.r.randint(1, 3)):
                out.append(("E", portal, self.pick(1, 2, 3)))
        if self.chance(0.1):
            out.append(("C", "P", portal))
        if self.chance(0.12):
            out.append(("C", "S", self.pick(name, "s1", "nosuch")))
        if self.chance(0.05):
            out.append(("E", self.pick("p1", "p2", "nosuch"), 2))
        return out

    def extended_step(self):
        out = []
        for _ in range(self.pick(1, 1, 1, 2, 3)):
            out += self.extended()
            if self.chance(0.1):
                out.append(("H",))
        return [out + [("S",)]]

    def flushed_step(self):
        return [self.extended() + [("H",)], self.extended() + [("S",)]]

    def pipeline_step(self):
        out = []
        for _ in range(self.r.randint(2, 5)):
            if self.chance(0.3):
                out.append(("Q", self.any_sql()))
            else:
                out += self.extended() + [("S",)]
        return [out]

    def multi_step(self):
        texts = [self.any_sql() for _ in range(self.r.randint(2, 4))]
        # What RESET goes back to is put right after the whole text only.
        texts = [t for t in texts if not t.startswith("--") and not (self.started and RESETS.search(t))]
        return [[("Q", "; ".join(texts))]]

    def copy_step(self):
        target = self.pick("COPY diff_t(v) FROM STDIN", "COPY diff_t(id, v) FROM STDIN",
                           "COPY nosuch FROM STDIN", "COPY (SELECT * FROM diff_t ORDER BY id) TO STDOUT", "COPY (SELECT 1, 2) TO STDOUT")
        good = ("d", "c1\nc2\n") if "id" not in target else ("d", "31\ta\n32\tb\n")
        data = [self.pick(good, good, ("d", "bad\tbad\tbad\n"), ("d", "1\tdup\n"), ("d", ""))]
        if self.chance(0.3):
            data.append(good)
        data.append(self.pick(("c",), ("c",), ("f", "no more")))
        if "TO STDOUT" in target:
            data = []
        if self.chance(0.6):
            if self.chance(0.15) and not self.started:
                target = f"{self.any_sql()}; {target}; {self.any_sql()}"
            return [[("Q", target)], data] if data and self.chance(0.5) else [[("Q", target)] + data]
        start = [("P", "", target, ()), ("B", "", "", (), ()), ("E", "", 0)]
        if not data:
            return [start + [("S",)]]
        return self.pick([start + data + [("S",)]], [start + [("H",)], data + [("S",)]], [start + [("S",)], data + [("S",)]],
                         [start + [("S",)] + data + [("S",)]])

    def discard_step(self):
        sql = self.pick("DISCARD ALL", "DISCARD ALL", "RESET ALL", "DEALLOCATE ALL")
        return [[("Q", sql)]] if self.chance(0.7) else [[("P", "", sql, ()), ("B", "", "", (), ()), ("E", "", 0), ("S",)]]

    def function_step(self):
        return [[("F", 177, self.pick(("1", "2"), ("x", "2"), ("2000000000", "2000000000")))]]

    def step(self):
        kinds = [lambda: [[("Q", self.any_sql())]], self.extended_step, self.flushed_step, self.pipeline_step,
                 self.multi_step, self.copy_step, self.discard_step, self.function_step, lambda: [[("S",)]]]
        return self.r.choices(kinds, [45, 22, 4, 9, 8, 5, 3, 1, 1])[0]()

    def startup(self):
        out = {}
        if self.chance(0.3):
            name, value = self.pick(("application_name", "started"), ("TimeZone", "Asia/Tokyo"), ("DateStyle", "German"),
                                    ("work_mem", "8MB"), ("app.x", "start"), ("options", "-c work_mem=5MB"),
                                    ("options", "-c app.y=opt -c datestyle=sql"), ("client_encoding", "LATIN1"),
                                    ("search_path", "pg_catalog, public"), ("options", "-c role=diff_role"),
                                    ("IntervalStyle", "sql_standard"))
            out[name] = value
        if not self.identity and self.chance(0.1):
            out["user"] = "postgres"
        if self.identity:
            out["app.ident"] = "me"
        return out

    def session(self):
        startup = self.startup()
        # Before any transaction, what resets brings a session in which all the rest can be done too.
        steps = [[("Q", self.pick("RESET ALL; SHOW work_mem", "DO $$ BEGIN RESET ALL; END $$"))]] \
            if startup and not self.identity and self.chance(0.5) else []
        self.started = bool(startup) and not steps
        for _ in range(self.r.randint(5, 22)):
            steps += self.step()
        steps.append([("S",)])
        for name in ("work_mem", "TimeZone", "search_path", "lock_timeout"):
            steps.append([("Q", f"SHOW {name}")])
        steps.append([("Q", "ROLLBACK")])
        steps.append([("Q", "SELECT coalesce(current_setting('app.x', true), ''), coalesce(current_setting('app.y', true), ''), "
                            "current_setting('app.roled'), current_setting('IntervalStyle'), current_setting('work_mem'), "
                            "current_setting('DateStyle'), current_setting('TimeZone'), current_user, "
                            "current_setting('default_transaction_isolation')"
                            + (", current_setting('app.ident')" if self.identity else ""))])
        return startup, steps


def session(seed, identity=False):
    return Generator(seed, identity).session()
