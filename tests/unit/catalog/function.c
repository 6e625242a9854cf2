/* What a function's name or body tells. */
#include "unit.h"

#include "catalog/function.h"

static struct body body_of(const char *language, const char *text)
{
    const struct function_source s = {
        .name = "f", .language = language, .extension = "", .volatility = 'v', .text = text};
    return function_body(&s);
}

static bool taints(const char *text)
{
    return body_of("plpgsql", text).taints;
}

static bool writes(const char *text)
{
    return body_of("plpgsql", text).writes;
}

TEST(a_body_that_sets_a_setting_taints)
{
    CHECK(taints("BEGIN SET timezone = 'UTC'; END"));
    CHECK(taints("BEGIN IF x THEN set local a.b = 1; END IF; END"));
    CHECK(taints("<<here>> SET x TO y"));
    CHECK(taints("SELECT SET_CONFIG('a', 'b', true)"));
    CHECK(taints("SELECT pg_catalog.\"set_config\"('a', 'b', true)"));
    CHECK(taints("/* why */ set x = 1"));
    CHECK(taints("x := 1; -- then\n reset all"));
    CHECK(taints("EXECUTE 'SET x = 1'"));
    CHECK(taints("SELECT pg_try_advisory_lock(1)"));
    CHECK(taints("CREATE TEMP TABLE t (i int)"));
    CHECK(taints("LISTEN c"));
}

TEST(the_set_of_an_update_is_no_setting)
{
    CHECK(!taints("BEGIN UPDATE t SET a = 1 WHERE b; RETURN NEW; END"));
    CHECK(!taints("BEGIN UPDATE ONLY public.t AS x SET a = 1; END"));
    CHECK(!taints("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2"));
    CHECK(writes("BEGIN UPDATE t SET a = 1; END"));
}

TEST(comments_and_literals_are_no_code)
{
    CHECK(!taints("BEGIN -- set_config\n NULL; /* execute /* load */ reset */ END"));
    CHECK(!taints("BEGIN RAISE NOTICE 'set_config %', E'it\\'s; reset'; END"));
    CHECK(!writes("IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' THEN NEW.a := now(); END IF;"));
    CHECK(taints("BEGIN x := 'it''s'; RESET ALL; END"));
    CHECK(taints("DO $$ BEGIN SET x = 1; END $$"));
}

TEST(a_body_that_may_write_is_found)
{
    CHECK(writes("INSERT INTO t VALUES (1)"));
    CHECK(writes("BEGIN FOR r IN EXECUTE q LOOP END LOOP; END"));
    CHECK(writes("SELECT query_to_xml('DELETE FROM t', true, true, '')"));
    CHECK(!writes("SELECT a INTO x FROM t"));
    CHECK(body_of("sql", "SELECT 1 AS a INTO x").writes);
    CHECK(!writes("SELECT inserted, my_update FROM updates_made"));
}

TEST(a_quoted_name_comes_as_it_is_and_then_word_by_word)
{
    struct words words = words_of("x.\"My \"\"Fn\"() a$b $t$c$t$");
    static const char *const all[] = {"x",  "My \"Fn",        "my",  "Fn",
                                      "fn", "() a$b $t$c$t$", "a$b", "c"};
    struct word w;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(function_next_word(&words, &w));
        CHECK_STR(w.text, all[i]);
    }
    CHECK(!function_next_word(&words, &w));
    CHECK(taints("PERFORM U&\"\\0061\"()") && writes("PERFORM u&\"!0061\" UESCAPE '!'()"));
    CHECK(taints("x := $q$ 5\" $q$; EXECUTE y"));
}

TEST(what_opens_in_a_dollar_quote_ends_with_it)
{
    CHECK(taints("x := $$it's$$; PERFORM set_config('a', 'b', false); y := $$it's$$"));
    CHECK(taints("x := $a$ -- $a$; EXECUTE y"));
    CHECK(taints("x := $$ /* $$; EXECUTE y"));
    CHECK(taints("x := $a$ $b$ ' $a$; EXECUTE y"));
    CHECK(taints("x := $1 || 'it''s'; EXECUTE y") && taints("x := $$ never closed '; EXECUTE y"));
    CHECK(taints("DO $$ BEGIN SET a = 'it'; END $$"));
    CHECK(!taints("x := 'execute $$'; y := 'execute $$'"));
    CHECK(!taints("x := a$b || 'execute' || c$b"));
    CHECK(!taints("x := $$a$$ || 'execute'"));
}

TEST(a_language_that_cannot_be_read_may_do_anything)
{
    struct body b = body_of("plpython3u", "return 1");
    CHECK(b.taints && b.writes && b.reads);
    b = body_of("c", "my_function");
    CHECK(b.taints && b.writes);
    const struct function_source uuid = {.name = "uuid_generate_v4",
                                         .language = "c",
                                         .extension = "uuid-ossp",
                                         .volatility = 'v',
                                         .text = ""};
    b = function_body(&uuid);
    CHECK(!b.taints && !b.writes && !b.reads);
    const struct function_source limit = {.name = "set_limit",
                                          .language = "c",
                                          .extension = "pg_trgm",
                                          .volatility = 'v',
                                          .text = ""};
    CHECK(function_body(&limit).taints);
}

TEST(builtins_are_told_by_volatility_and_name)
{
    CHECK(function_builtin("lower", 'i').cacheable && function_builtin("lower", 'i').replica);
    CHECK(!function_builtin("age", 's').cacheable && function_builtin("age", 's').replica);
    CHECK(!function_builtin("clock_timestamp", 'v').replica);
    CHECK(!function_builtin("txid_current", 's').replica);
    CHECK(!function_builtin("inet_server_addr", 's').replica);
    CHECK(function_builtin("ts_stat", 'v').writes);
}

TEST(names_at_both_ends_of_each_list_are_found)
{
    CHECK(function_builtin("array_to_json", 's').cacheable);
    CHECK(function_builtin("websearch_to_tsquery", 's').cacheable);
    CHECK(function_builtin("timezone", 's').cacheable && function_builtin("timetz", 's').cacheable);
    CHECK(function_builtin("jsonb_object_agg", 's').cacheable);
    CHECK(function_builtin("cursor_to_xml", 'v').taints &&
          function_builtin("ts_rewrite", 'v').taints);
    CHECK(taints("call x()") && taints("unlisten x") && taints("SELECT setseed(1)"));
    CHECK(writes("alter table t") && writes("merge into t") && writes("select dblink_exec('x')"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_body_that_sets_a_setting_taints),
        RUN(the_set_of_an_update_is_no_setting),
        RUN(comments_and_literals_are_no_code),
        RUN(a_body_that_may_write_is_found),
        RUN(a_quoted_name_comes_as_it_is_and_then_word_by_word),
        RUN(what_opens_in_a_dollar_quote_ends_with_it),
        RUN(a_language_that_cannot_be_read_may_do_anything),
        RUN(builtins_are_told_by_volatility_and_name),
        RUN(names_at_both_ends_of_each_list_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
