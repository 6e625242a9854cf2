/* What a client may run while settings are protected, seen through the real parser. */
#include "unit.h"

#include <stdlib.h>

#include "config/load.h"
#include "settings/identity.h"

static struct identity *id, *tagged;

static int compile(void **state)
{
    (void)state;
    static const char *const inis[] = {"[settings]\napp.user_id = %{user}\ntimezone = UTC\n",
                                       "[settings]\napp.user_id = %{tag:user}\n"};
    for (int i = 0; i < 2; i++) {
        struct config *cfg = NULL;
        if (config_parse(bytes_str(inis[i]), "a.ini", &cfg, NULL) != E_OK) { return -1; }
        *(i == 0 ? &id : &tagged) = identity_compile(cfg, "db", "joe");
        config_unref(&cfg);
    }
    return 0;
}

static int drop(void **state)
{
    (void)state;
    identity_unref(&id);
    identity_unref(&tagged);
    return 0;
}

static const char *bound(void *arg, int n)
{
    const char *const *values = arg;
    return values[n - 1];
}

static enum err guard(const struct identity *who, const char *text, size_t max_bytes, void *params)
{
    struct statement *s = query_parse(bytes_str(text), max_bytes);
    struct fault why = {0};
    enum err e =
        identity_guard(who, s, bytes_str(text), params == NULL ? NULL : bound, params, &why);
    CHECK(e == E_OK || (e == E_DENIED && strcmp(why.sqlstate, "42501") == 0));
    CHECK(e == E_OK || (why.text[0] != '\0' && why.hint[0] != '\0'));
    statement_unref(&s);
    return e;
}

static void check_allowed(const char *text)
{
    if (guard(id, text, 65536, NULL) != E_OK) { fail_msg("refused: %s", text); }
}

static void check_refused(const char *text)
{
    if (guard(id, text, 65536, NULL) != E_DENIED) { fail_msg("allowed: %s", text); }
    CHECK(guard(NULL, text, 65536, NULL) == E_OK);
}

TEST(ordinary_statements_pass)
{
    check_allowed("SELECT 1");
    check_allowed("UPDATE t SET a = 1");
    check_allowed("SET search_path TO a, b");
    check_allowed("RESET search_path");
    check_allowed("SET ROLE joe");
    check_allowed("SELECT set_config('work_mem', '1MB', false)");
    check_allowed("SHOW app.user_id");
    check_allowed("SELECT current_setting('app.user_id')");
    check_allowed("SELECT current_setting($1)");
    check_allowed("ALTER TABLE t ALTER a SET NOT NULL");
    check_allowed("BEGIN; INSERT INTO t VALUES (1); COMMIT");
    check_allowed("BEGIN; ROLLBACK; ; -- end");
    check_allowed("RESET ALL");
    check_allowed("DISCARD ALL");
    check_allowed("SELECT 1; RESET ALL");
    check_allowed("PREPARE p AS UPDATE t SET a = 1");
    check_allowed("EXECUTE p(1)");
    check_allowed("COPY t FROM STDIN");
}

TEST(a_protected_name_cannot_be_set_or_reset)
{
    check_refused("SET app.user_id = '7'");
    check_refused("SET \"App\".USER_ID TO '7'");
    check_refused("SET \"app.user_id\" TO '7'");
    check_refused("SET LOCAL app.user_id = '7'");
    check_refused("SET app.user_id FROM CURRENT");
    check_refused("RESET app.user_id");
    check_refused("SET app.user_id TO DEFAULT");
    check_refused("SET TIME ZONE 'CET'");
    check_refused("SELECT 1; SET app.user_id = '7'; SELECT 2");
    check_refused("ALTER ROLE joe SET app.user_id = '7'");
    check_refused("ALTER DATABASE db SET app.user_id = '7'");
}

TEST(set_config_is_judged_by_its_name_or_refused)
{
    check_refused("SELECT set_config('app.user_id', '7', true)");
    check_refused("SELECT * FROM t WHERE a = pg_catalog.set_config('APP.User_ID', '7', false)");
    check_refused("WITH x AS (SELECT set_config('app.user_id', '7', false)) SELECT 1");
    check_refused("SELECT set_config('app.' || 'user_id', '7', false)");
    check_refused("SELECT set_config(name, '7', false) FROM t");
    check_refused("SELECT set_config($1, $2, false)");
    check_refused("UPDATE pg_settings SET setting = '7' WHERE name = 'app.user_id'");
    check_refused("UPDATE pg_catalog.pg_settings SET setting = '7'");
    check_refused("PREPARE p AS SELECT set_config($1, '7', false)");
    check_refused("CREATE VIEW v AS SELECT set_config('app.user_id', '7', false)");
}

TEST(a_bound_name_is_judged_when_it_is_known)
{
    const char *text = "SELECT set_config($2, $1, false)";
    const char *harmless[] = {"x", "work_mem"}, *harmful[] = {"x", "App.User_Id"};
    const char *unknown[] = {"x", NULL};
    CHECK(guard(id, text, 65536, harmless) == E_OK);
    CHECK(guard(id, text, 65536, harmful) == E_DENIED);
    CHECK(guard(id, text, 65536, unknown) == E_DENIED);
}

TEST(nothing_runs_behind_a_reset_or_a_rollback_in_the_same_text)
{
    check_refused("RESET ALL; SELECT 1");
    check_refused("DISCARD ALL; SELECT 1");
    check_refused("ROLLBACK; SELECT 1");
    check_refused("BEGIN; SELECT 1; ABORT /* x */ ; /* y */ SELECT 2");
    check_refused("ROLLBACK TO s; SELECT 1");
    check_allowed("BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; SELECT 1; COMMIT");
    CHECK(guard(tagged, "COMMIT; SELECT 1", 65536, NULL) == E_DENIED);
    CHECK(guard(tagged, "BEGIN; SELECT 1; COMMIT", 65536, NULL) == E_OK);
}

TEST(a_body_that_could_change_settings_is_refused)
{
    check_refused("DO $$ BEGIN PERFORM set_config('app.user_id', '7', false); END $$");
    check_refused("DO $$ BEGIN SET app.user_id = '7'; END $$");
    check_refused("DO $$ BEGIN EXECUTE 'x'; END $$");
    check_refused("DO 'begin perform set_con'\n'fig(''app.user_id'', ''7'', false); end'");
    check_refused("DO E'begin perform \\x73et_config(''app.user_id'', ''7'', false); end'");
    check_refused("DO U&'begin perform \\0073et_config(''app.user_id'', ''7'', false); end'");
    check_refused("DO $$ BEGIN PERFORM U&\"set\\005fconfig\"('a', 'b', false); END $$");
    check_refused("DO LANGUAGE plperl $$ spi_exec_query('S' . 'ET x = 1') $$");
    check_refused("DO LANGUAGE 'plpython3u' $$ pass $$");
    check_refused(
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RESET ALL; END $$");
    check_allowed("DO $$ BEGIN RAISE NOTICE 'hello'; END $$");
    check_allowed("DO LANGUAGE plpgsql $$ BEGIN DELETE FROM assets; END $$");
    check_allowed("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
}

TEST(functions_that_run_a_text_are_refused)
{
    check_refused("SELECT query_to_xml('select set_config(''a.b'', '''', false)', true, true, '')");
    check_refused("SELECT * FROM ts_stat($1)");
    check_refused("SELECT * FROM crosstab3('select 1')");
}

TEST(a_text_too_long_to_parse_passes_only_if_it_cannot_change_settings)
{
    CHECK(guard(id, "INSERT INTO t VALUES ('do set execute')", 5, NULL) == E_OK);
    CHECK(guard(id, "UPDATE t SET a = 1", 5, NULL) == E_OK);
    CHECK(guard(id, "(SELECT 1) UNION SELECT 2;", 5, NULL) == E_OK);
    CHECK(guard(id, "SELECT 1; SET app.user_id = 1", 5, NULL) == E_DENIED);
    CHECK(guard(id, "SELECT set_config('a', 'b', false)", 5, NULL) == E_DENIED);
    CHECK(guard(id, "SELECT U&\"set\\005fconfig\"('a', 'b', false)", 5, NULL) == E_DENIED);
    CHECK(guard(id, "\"x\"", 0, NULL) == E_OK);
    CHECK(guard(id, "UPDATE pg_settings SET setting = 1", 5, NULL) == E_DENIED);
    CHECK(guard(id, "DO $$ BEGIN EXECUTE 'x'; END $$", 5, NULL) == E_DENIED);
    CHECK(guard(id, "RESET ALL; SELECT 1", 5, NULL) == E_DENIED);
    CHECK(guard(id, "ROLLBACK; SELECT 1", 5, NULL) == E_DENIED);
    CHECK(guard(id, "SELECT 'open", 5, NULL) == E_DENIED);
    CHECK(guard(id, "SELECT 'a\\' ; SET x.y = 1; --'", 5, NULL) == E_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(ordinary_statements_pass),
        RUN(a_protected_name_cannot_be_set_or_reset),
        RUN(set_config_is_judged_by_its_name_or_refused),
        RUN(a_bound_name_is_judged_when_it_is_known),
        RUN(nothing_runs_behind_a_reset_or_a_rollback_in_the_same_text),
        RUN(a_body_that_could_change_settings_is_refused),
        RUN(functions_that_run_a_text_are_refused),
        RUN(a_text_too_long_to_parse_passes_only_if_it_cannot_change_settings),
    };
    return cmocka_run_group_tests(tests, compile, drop);
}
