/* What a statement may do, where it may run and what its result depends on. */
#include "small.h"

#include <stdio.h>

static struct catalog *small(void)
{
    return small_finish(small_build());
}

TEST(a_read_of_named_tables_is_cacheable_and_depends_on_them)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("menus public.modules", "count to_char"));
    CHECK(j.reason == JUDGE_CACHEABLE && j.replica && !j.taints && j.rule == 0);
    CHECK_DEPS(j, MENUS, MODULES);
    CHECK_WRITES(j);
    catalog_unref(&c);
}

TEST(without_a_catalog_every_doubt_is_taken)
{
    struct judgement j = small_judge(NULL, small_select("menus", "count my_function"));
    CHECK(j.reason == JUDGE_NO_CATALOG && !j.replica && j.taints && j.writes_all);
    CHECK(small_judge(NULL, small_select("menus", "count public.lower")).taints);
    CHECK(small_judge(NULL, small_select("menus", "query_to_xml")).taints);
    j = small_judge(NULL, small_select("menus", "abs xpath_exists pg_catalog.count set_config"));
    CHECK(!j.taints && j.writes_all);
    j = small_judge(NULL, small_select("menus", ""));
    CHECK(!j.replica && !j.writes_all);
    j = small_judge(NULL, small_modify("menus"));
    CHECK(j.writes_all);
    CHECK(catalog_has_rules(NULL));
}

TEST(a_table_that_no_rule_names_is_told)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("menus unnamed", ""));
    CHECK(j.reason == JUDGE_NO_RULE && j.replica && j.rule == -1);
    CHECK_STR(j.culprit, "public.unnamed");
    catalog_unref(&c);
}

TEST(a_view_stands_for_its_tables_however_deep)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("view_of_view", ""));
    CHECK(j.reason == JUDGE_CACHEABLE && j.replica);
    CHECK_DEPS(j, MENUS, MODULES);
    catalog_unref(&c);
}

TEST(a_name_in_two_schemas_is_ambiguous_unless_qualified)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("dup", ""));
    CHECK(j.reason == JUDGE_AMBIGUOUS && !j.replica && j.deps_count == 0);
    j = small_judge(c, small_select("other.dup", ""));
    CHECK(j.reason == JUDGE_NO_RULE && j.replica);
    j = small_judge(c, small_modify("dup"));
    CHECK_WRITES(j, DUP_PUBLIC, DUP_OTHER);
    catalog_unref(&c);
}

TEST(what_is_not_a_table_of_this_database_stays_on_the_primary)
{
    static const struct {
        const char *name;
        enum judge_reason reason;
    } cases[] = {
        {"nosuch", JUDGE_UNKNOWN_RELATION},
        {"pg_class", JUDGE_CATALOG_RELATION},
        {"pg_catalog.pg_class", JUDGE_CATALOG_RELATION},
        {"information_schema.tables", JUDGE_CATALOG_RELATION},
        {"pg_temp.menus", JUDGE_KIND},
        {"pg_temp_3.menus", JUDGE_KIND},
        {"unlogged", JUDGE_KIND},
        {"abroad", JUDGE_KIND},
        {"a_seq", JUDGE_KIND},
    };
    struct catalog *c = small();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct judgement j = small_judge(c, small_select(cases[i].name, ""));
        CHECK(j.reason == cases[i].reason);
        CHECK(!j.replica);
    }
    catalog_unref(&c);
}

TEST(what_the_text_shows_is_refused_with_its_own_reason)
{
    static const struct {
        uint32_t flag;
        enum judge_reason reason;
    } cases[] = {
        {STMT_TIME, JUDGE_TIME},          {STMT_TIME_LITERAL, JUDGE_TIME},
        {STMT_USER, JUDGE_USER_FUNCTION}, {STMT_SYSTEM_COLUMN, JUDGE_SYSTEM_COLUMN},
        {STMT_SAMPLE, JUDGE_SAMPLE},      {STMT_REG_CAST, JUDGE_REG_CAST},
    };
    struct catalog *c = small();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct statement *s =
            small_stmt(STMT_SELECT, STMT_READS_ONLY | cases[i].flag, "menus", "", "");
        struct judgement j = small_judge(c, s);
        CHECK(j.reason == cases[i].reason && j.replica);
    }
    CHECK(small_judge(c, small_stmt(STMT_UNKNOWN, 0, "", "", "")).reason == JUDGE_NOT_PARSED);
    CHECK(small_judge(c, small_stmt(STMT_MULTI, STMT_READS_ONLY, "menus", "", "")).reason ==
          JUDGE_MULTI);
    CHECK(small_judge(c, small_stmt(STMT_SELECT, STMT_LOCKS_ROWS, "menus", "", "")).reason ==
          JUDGE_NOT_READ);
    CHECK(small_judge(c, small_select("", "")).reason == JUDGE_NO_RELATION);
    catalog_unref(&c);
}

TEST(show_and_explain_stay_where_they_are_about)
{
    struct catalog *c = small();
    CHECK(!small_judge(c, small_stmt(STMT_SHOW, STMT_READS_ONLY, "", "", "")).replica);
    CHECK(!small_judge(c, small_stmt(STMT_EXPLAIN, STMT_READS_ONLY, "menus", "", "")).replica);
    catalog_unref(&c);
}

TEST(functions_decide_by_volatility_and_by_name)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("menus", "now"));
    CHECK(j.reason == JUDGE_FUNCTION && j.replica);
    CHECK_STR(j.culprit, "now");
    j = small_judge(c, small_select("menus", "random"));
    CHECK(j.reason == JUDGE_FUNCTION && !j.replica && !j.writes_all && !j.taints);
    j = small_judge(c, small_select("menus", "pg_backend_pid"));
    CHECK(j.reason == JUDGE_FUNCTION && !j.replica);
    j = small_judge(c, small_select("menus", "query_to_xml"));
    CHECK(j.writes_all && j.taints && !j.replica);
    j = small_judge(c, small_select("menus", "nosuch"));
    CHECK(j.writes_all && j.taints && !j.replica);
    catalog_unref(&c);
}

TEST(a_users_overload_of_a_builtin_is_never_cached)
{
    struct build *b = small_build();
    small_function(b, "count", "sql", 'i', "SELECT 1");
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("menus", "count"));
    CHECK(j.reason == JUDGE_FUNCTION && j.replica && j.deps_count == 0);
    j = small_judge(c, small_select("menus", "pg_catalog.count"));
    CHECK(j.reason == JUDGE_CACHEABLE);
    catalog_unref(&c);
}

TEST(a_users_function_runs_on_a_replica_only_when_declared_and_harmless)
{
    struct build *b = small_build();
    small_function(b, "good", "sql", 's', "SELECT count(*) FROM menus");
    small_function(b, "undeclared", "sql", 'v', "SELECT count(*) FROM menus");
    small_function(b, "liar", "plpgsql", 's', "BEGIN PERFORM set_config('a.b', 'c', false); END");
    small_function(b, "python", "plpython3u", 's', "return 1");
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("", "good"));
    CHECK(j.replica && !j.taints && !j.writes_all);
    j = small_judge(c, small_select("", "undeclared"));
    CHECK(!j.replica && !j.taints && !j.writes_all);
    j = small_judge(c, small_select("", "liar"));
    CHECK(!j.replica && j.taints);
    j = small_judge(c, small_select("", "python"));
    CHECK(!j.replica && j.taints && j.writes_all);
    catalog_unref(&c);
}

TEST(what_a_users_function_reads_is_not_known)
{
    struct build *b = small_build();
    small_function(b, "reader", "sql", 's', "SELECT name FROM unnamed");
    small_function(b, "similarity", "c", 'i', "similarity");
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_select("menus", "reader")).deps_count == 0);
    CHECK_DEPS(small_judge(c, small_select("menus", "similarity")), MENUS);
    catalog_unref(&c);
}

TEST(partitions_meet_at_their_root)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("slots", ""));
    CHECK(j.reason == JUDGE_CACHEABLE);
    CHECK_DEPS(j, SLOTS);
    j = small_judge(c, small_select("slots_1", ""));
    CHECK(j.reason == JUDGE_CACHEABLE && j.rule == 0); /* its root is named */
    CHECK_DEPS(j, SLOTS_1, SLOTS);
    CHECK_WRITES(small_judge(c, small_modify("slots")), SLOTS);
    CHECK_WRITES(small_judge(c, small_modify("slots_2")), SLOTS_2, SLOTS);
    catalog_touch(c, SLOTS_2, &j);
    CHECK_WRITES(j, SLOTS_2, SLOTS);
    catalog_touch(c, 99, &j);
    CHECK(j.writes_all);
    catalog_unref(&c);
}

TEST(what_a_partition_is_or_does_holds_for_its_root)
{
    struct build *b = small_build();
    build_relation(b, 17000, "public", "slots_far", 'f', 'p', false);
    build_parent(b, 17000, SLOTS);
    build_cascade(b, SLOTS_1, UNNAMED);
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_select("slots", "")).reason == JUDGE_KIND);
    CHECK(small_judge(c, small_select("slots_1", "")).reason == JUDGE_CACHEABLE);
    CHECK_WRITES(small_judge(c, small_modify("slots")), SLOTS, UNNAMED);
    CHECK_WRITES(small_judge(c, small_modify("slots_2")), SLOTS_2, SLOTS);
    catalog_unref(&c);
}

TEST(a_write_reaches_along_foreign_keys_and_through_views)
{
    struct catalog *c = small();
    CHECK_WRITES(small_judge(c, small_modify("menus")), MENUS, MODULES, PERMISSIONS);
    CHECK_WRITES(small_judge(c, small_modify("permissions")), PERMISSIONS);
    CHECK_WRITES(small_judge(c, small_modify("view_of_view")), MENUS, MODULES, PERMISSIONS);
    CHECK_WRITES(small_judge(c, small_stmt(STMT_COPY_FROM, 0, "", "unnamed", "")), UNNAMED);
    catalog_unref(&c);
}

TEST(a_trigger_makes_its_table_write_everything)
{
    struct build *b = small_build();
    small_function(b, "stamp", "plpgsql", 'v', "BEGIN NEW.updated_at := now(); RETURN NEW; END");
    small_function(b, "audit", "plpgsql", 'v',
                   "BEGIN INSERT INTO audit VALUES (1); RETURN NEW; END");
    small_function(b, "who", "plpgsql", 'v',
                   "BEGIN PERFORM set_config('a','b',false); RETURN NEW; END");
    build_calls(b, UNNAMED, BUILD_TRIGGER, "stamp");
    build_calls(b, PERMISSIONS, BUILD_TRIGGER, "audit");
    build_calls(b, GRANTS, BUILD_TRIGGER, "who");
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_modify("unnamed")).writes_all); /* whatever its function says */
    CHECK(small_judge(c, small_modify("permissions")).writes_all);
    CHECK(small_judge(c, small_modify("menus")).writes_all); /* it cascades there */
    struct judgement j = small_judge(c, small_modify("grants"));
    CHECK(j.taints && j.writes_all);
    catalog_unref(&c);
}

TEST(plans_last_where_planning_anew_would_find_the_same)
{
    struct build *b = small_build();
    small_function(b, "liar", "sql", 'i', "SELECT clock_timestamp()");
    build_calls(b, VIEW, BUILD_VIEW, "liar");
    build_calls(b, SLOTS_1, BUILD_WRITE, "liar");
    build_calls(b, MODULES, BUILD_WRITE, "count");
    build_calls(b, PATIENTS, BUILD_POLICY, "liar");
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_select("menus modules", "count random")).lasting);
    CHECK(small_judge(c, small_modify("menus")).lasting);
    CHECK(small_judge(c, small_modify("modules")).lasting);
    CHECK(small_judge(c, small_select("appointments", "")).lasting);
    CHECK(!small_judge(c, small_select("menus", "liar")).lasting);
    CHECK(!small_judge(c, small_select("menus", "nobody_knows")).lasting);
    CHECK(!small_judge(c, small_select("nobody_knows", "")).lasting);
    CHECK(!small_judge(c, small_select("dup", "")).lasting);
    CHECK(!small_judge(c, small_select("view_of_view", "")).lasting);
    CHECK(!small_judge(c, small_select("patients", "")).lasting);
    CHECK(!small_judge(c, small_modify("patients")).lasting);
    CHECK(!small_judge(c, small_modify("slots")).lasting); /* a partition's */
    CHECK(!small_judge(c, small_stmt(STMT_SELECT, STMT_TIME_LITERAL, "menus", "", "")).lasting);
    CHECK(!small_judge(c, small_stmt(STMT_SELECT, STMT_REG_CAST, "menus", "", "")).lasting);
    CHECK(!small_judge(NULL, small_select("menus", "")).lasting);
    catalog_unref(&c);
}

TEST(what_takes_values_of_sequences_is_told)
{
    struct build *b = small_build();
    build_sequence(b, SLOTS_1);
    build_sequence(b, PERMISSIONS);
    small_function(b, "next_id", "sql", 'v', "SELECT nextval('a_seq')");
    small_function(b, "caller", "plpgsql", 'v', "BEGIN RETURN next_id(); END");
    small_function(b, "note", "plpgsql", 'v', "BEGIN RAISE NOTICE 'nextval'; END");
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_modify("slots")).sequences); /* a partition's */
    CHECK(small_judge(c, small_modify("permissions")).sequences);
    CHECK(small_judge(c, small_select("menus", "next_id")).sequences);
    CHECK(small_judge(c, small_select("menus", "caller")).sequences);
    CHECK(!small_judge(c, small_select("menus", "note")).sequences);
    CHECK(!small_judge(c, small_modify("unnamed")).sequences);
    CHECK(!small_judge(c, small_select("permissions", "count random")).sequences);
    CHECK(small_judge(c, small_stmt(STMT_CALL, 0, "", "", "")).sequences);
    CHECK(small_judge(NULL, small_modify("unnamed")).sequences);
    catalog_unref(&c);
}

TEST(a_rule_or_an_unknown_target_writes_everything)
{
    struct build *b = small_build();
    build_rule(b, UNNAMED);
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_modify("unnamed")).writes_all);
    CHECK(small_judge(c, small_modify("nosuch")).writes_all);
    CHECK(small_judge(c, small_modify("pg_class")).writes_all);
    CHECK(small_judge(c, small_modify("")).writes_all);
    CHECK(small_judge(c, small_stmt(STMT_MODIFY, STMT_WRITES_ALL, "", "menus", "")).writes_all);
    catalog_unref(&c);
}

TEST(statements_of_unknown_effect_write_everything_and_others_nothing)
{
    static const enum stmt_kind all[] = {
        STMT_UNKNOWN, STMT_COMMIT_PREPARED, STMT_EXECUTE, STMT_DO,     STMT_CALL, STMT_LOAD,
        STMT_DDL,     STMT_UTILITY,         STMT_MULTI,   STMT_EXPLAIN};
    static const enum stmt_kind none[] = {STMT_EMPTY,       STMT_BEGIN,   STMT_COMMIT,
                                          STMT_ROLLBACK,    STMT_SET,     STMT_RESET,
                                          STMT_SHOW,        STMT_FETCH,   STMT_LISTEN,
                                          STMT_DISCARD_ALL, STMT_PREPARE, STMT_PREPARE_TRANSACTION};
    struct catalog *c = small();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK(small_judge(c, small_stmt(all[i], 0, "", "", "")).writes_all);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK_WRITES(small_judge(c, small_stmt(none[i], 0, "", "", "")));
    }
    CHECK_WRITES(small_judge(c, small_stmt(STMT_MULTI, STMT_FUSIBLE, "", "permissions", "")),
                 PERMISSIONS);
    CHECK(small_judge(c, small_stmt(STMT_MULTI, 0, "", "permissions", "")).writes_all);
    catalog_unref(&c);
}

/* ---- row security */

static struct catalog *under_policy(const char *expression)
{
    struct build *b = small_build();
    struct statement *s = query_parse(bytes_str(expression), 65536);
    build_policy(b, APPOINTMENTS, s);
    build_policy_reads(b, APPOINTMENTS, GRANTS);
    statement_unref(&s);
    return small_finish(b);
}

TEST(the_inputs_of_a_policy_join_key_and_dependencies)
{
    struct catalog *c = under_policy(
        "SELECT ((provider_id = (current_setting('app.Provider'::text, true))::integer) OR (EXISTS"
        " ( SELECT 1 FROM public.grants g WHERE (g.user_id = current_setting('app.user'::text))))"
        " OR (CURRENT_USER = 'boss'::name))");
    struct judgement j = small_judge(c, small_select("appointments", "count"));
    CHECK(j.reason == JUDGE_CACHEABLE && j.rule == 1 && j.replica && j.keyed_role);
    CHECK_DEPS(j, APPOINTMENTS, GRANTS);
    CHECK(j.keyed_count == 2);
    CHECK_STR(j.keyed[0], "app.provider");
    CHECK_STR(j.keyed[1], "app.user");
    catalog_unref(&c);
}

TEST(a_policy_whose_inputs_no_key_holds_is_unclear)
{
    static const char *const expressions[] = {
        "SELECT (until > now())",
        "SELECT (until > CURRENT_TIMESTAMP)",
        "SELECT (owner = public.somebody())",
        "SELECT (owner = current_setting(name))",
        "SELECT (random() > 0.5)",
        "SELECT (EXISTS ( SELECT 1 FROM pg_roles WHERE rolname = owner))",
        "SELECT ((((",
    };
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
        struct catalog *c = under_policy(expressions[i]);
        CHECK(small_judge(c, small_select("appointments", "")).reason == JUDGE_RLS_UNCLEAR);
        catalog_unref(&c);
    }
}

TEST(a_policy_with_more_settings_than_a_key_holds_is_unclear)
{
    struct catalog *c = under_policy(
        "SELECT a IN (current_setting('a.1'), current_setting('a.2'), current_setting('a.3'),"
        " current_setting('a.4'), current_setting('a.5'), current_setting('a.6'),"
        " current_setting('a.7'), current_setting('a.8'), current_setting('a.9'))");
    CHECK(small_judge(c, small_select("appointments", "")).reason == JUDGE_RLS_UNCLEAR);
    catalog_unref(&c);
}

TEST(row_security_is_refused_unless_the_rule_keys_it_and_always_inside_a_view)
{
    struct catalog *c = under_policy("SELECT true");
    CHECK(small_judge(c, small_select("appointments", "")).reason == JUDGE_CACHEABLE);
    struct judgement j = small_judge(c, small_select("patients", ""));
    CHECK(j.reason == JUDGE_RLS_REFUSED && j.replica);
    CHECK_STR(j.culprit, "public.patients");
    j = small_judge(c, small_select("appointments_view", ""));
    CHECK(j.reason == JUDGE_RLS_UNCLEAR && j.replica);
    j = small_judge(c, small_select("appointments appointments_view", ""));
    CHECK(j.reason == JUDGE_RLS_UNCLEAR);
    catalog_unref(&c);
}

TEST(the_text_may_read_only_settings_that_a_policy_keys)
{
    struct catalog *c = under_policy("SELECT (p = current_setting('app.user'::text))");
    struct statement *s =
        query_parse(BYTES("SELECT current_setting('app.user') FROM appointments"), 999);
    CHECK(small_judge(c, s).reason == JUDGE_CACHEABLE);
    statement_unref(&s);
    s = query_parse(BYTES("SELECT current_setting('app.other') FROM appointments"), 999);
    CHECK(small_judge(c, s).reason == JUDGE_FUNCTION);
    statement_unref(&s);
    s = query_parse(BYTES("SELECT current_setting('app.user') FROM menus"), 999);
    CHECK(small_judge(c, s).reason == JUDGE_FUNCTION);
    statement_unref(&s);
    s = query_parse(BYTES("SELECT current_setting('in_hot_standby')"), 999);
    CHECK(!small_judge(c, s).replica);
    statement_unref(&s);
    catalog_unref(&c);
}

/* ---- definitions and limits */

static struct judgement judge_view(const char *definition)
{
    struct build *b = small_build();
    struct statement *s = query_parse(bytes_str(definition), 65536);
    build_definition(b, VIEW, s);
    statement_unref(&s);
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("view_of_view", ""));
    catalog_unref(&c);
    return j;
}

TEST(what_a_views_query_calls_counts_like_what_the_text_calls)
{
    struct judgement j = judge_view("SELECT count(*) FROM public.menus");
    CHECK(j.reason == JUDGE_CACHEABLE && j.replica);
    j = judge_view("SELECT now() FROM public.menus");
    CHECK(j.reason == JUDGE_FUNCTION && j.replica);
    j = judge_view("SELECT random() FROM public.menus");
    CHECK(j.reason == JUDGE_FUNCTION && !j.replica);
    j = judge_view("SELECT CURRENT_DATE FROM public.menus");
    CHECK(j.reason == JUDGE_TIME);
    j = judge_view("SELECT relname FROM pg_class");
    CHECK(j.reason == JUDGE_CATALOG_RELATION && !j.replica);
    j = judge_view("SELECT 1 FROM public.menus FOR UPDATE");
    CHECK(j.reason == JUDGE_NOT_PARSED && !j.replica);
}

TEST(reading_a_view_that_calls_a_writer_writes_everything)
{
    struct build *b = small_build();
    small_function(b, "hidden", "sql", 'v', "UPDATE x SET y = 1");
    small_function(b, "looks", "sql", 'v', "SELECT i FROM \"view_of_view\"");
    small_function(b, "looks_there", "plpgsql", 'v', "BEGIN PERFORM looks(); END");
    build_calls(b, VIEW, BUILD_VIEW, "hidden");
    build_calls(b, DUP_OTHER, BUILD_COMPUTED, "looks_there");
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("menus_view", ""));
    CHECK(j.writes_all && !j.replica);
    CHECK(small_judge(c, small_select("view_of_view", "")).writes_all);
    CHECK(small_judge(c, small_select("menus", "looks")).writes_all);
    CHECK(small_judge(c, small_select("menus", "looks_there")).writes_all);
    CHECK(small_judge(c, small_select("dup", "")).writes_all);
    CHECK(!small_judge(c, small_select("menus", "")).writes_all);
    catalog_unref(&c);
}

TEST(a_users_function_or_operator_inside_a_view_is_not_cached)
{
    struct build *b = small_build();
    small_function(b, "reader", "sql", 's', "SELECT 1 FROM unnamed");
    build_calls(b, VIEW, BUILD_VIEW, "reader");
    small_function(b, "full_name", "sql", 's', "SELECT 'x'");
    build_calls(b, PERMISSIONS, BUILD_COMPUTED, "full_name");
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("menus_view", ""));
    CHECK(j.reason == JUDGE_FUNCTION && j.replica && j.deps_count == 0);
    CHECK(small_judge(c, small_select("permissions", "")).reason == JUDGE_FUNCTION);
    catalog_unref(&c);
}

TEST(an_operator_that_may_look_at_tables_keeps_everything_uncached)
{
    struct build *b = small_build();
    build_unnamed(b, "%", "c", 's');
    struct catalog *c = small_finish(b);
    CHECK(small_judge(c, small_select("menus", "")).reason == JUDGE_CACHEABLE);
    catalog_unref(&c);
    b = small_build();
    build_unnamed(b, "=~", "plpgsql", 's');
    c = small_finish(b);
    struct judgement j = small_judge(c, small_select("menus", ""));
    CHECK(j.reason == JUDGE_FUNCTION);
    CHECK_STR(j.culprit, "=~");
    catalog_unref(&c);
}

static enum judge_reason judge_with_domain(const char *check)
{
    struct build *b = small_build();
    small_function(b, "is_even", "sql", 'i', "SELECT $1 % 2 = 0");
    small_function(b, "is_new", "sql", 's', "SELECT true");
    struct statement *s = query_parse(bytes_str(check), SIZE_MAX);
    build_domain(b, "special", s);
    statement_unref(&s);
    struct catalog *c = small_finish(b);
    enum judge_reason reason = small_judge(c, small_select("menus", "")).reason;
    catalog_unref(&c);
    return reason;
}

TEST(a_domain_whose_check_may_change_its_mind_keeps_everything_uncached)
{
    CHECK(judge_with_domain("SELECT VALUE > 0") == JUDGE_CACHEABLE);
    CHECK(judge_with_domain("SELECT is_even(VALUE)") == JUDGE_CACHEABLE);
    CHECK(judge_with_domain("SELECT is_new(VALUE)") == JUDGE_FUNCTION);
    CHECK(judge_with_domain("SELECT VALUE < now()") == JUDGE_FUNCTION);
    CHECK(judge_with_domain("SELECT VALUE < CURRENT_DATE") == JUDGE_FUNCTION);
    CHECK(judge_with_domain("SELECT VALUE < 'today'::date") == JUDGE_FUNCTION);
}

TEST(what_is_cast_to_a_time_must_be_one_wherever_its_name_stands)
{
    const struct stmt_name known = {.name = "starts_at"}, unknown = {.name = "title"};
    struct build *b = small_build();
    build_time_column(b, "starts_at");
    build_time_column(b, "starts_at");
    struct catalog *c = small_finish(b);
    struct statement *s = small_select("menus", "");
    s->casts = &known;
    s->casts_count = 1;
    CHECK(small_judge(c, s).reason == JUDGE_CACHEABLE);
    s->casts = &unknown;
    struct judgement j = small_judge(c, s);
    CHECK(j.reason == JUDGE_TIME && j.replica);
    CHECK_STR(j.culprit, "title");
    catalog_unref(&c);
}

TEST(rules_of_different_modes_do_not_mix_unless_the_stricter_decides)
{
    struct catalog *c = small();
    struct judgement j = small_judge(c, small_select("menus audited", ""));
    CHECK(j.reason == JUDGE_NO_RULE); /* ttl mode has the shorter ttl, menus is strict */
    CHECK_STR(j.culprit, "rules of different modes");
    CHECK(small_judge(c, small_select("audited", "")).rule == 3);
    CHECK(small_judge(c, small_select("menus grants", "")).rule == 1);
    catalog_unref(&c);
}

TEST(too_many_relations_are_told_and_no_partial_list_is_given)
{
    struct build *b = small_build();
    char names[512] = "", name[16];
    for (uint32_t i = 0; i <= JUDGE_DEPS; i++) {
        (void)snprintf(name, sizeof name, "t%u", (unsigned)i);
        small_table(b, 18000 + i, name);
        (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", name);
    }
    build_relation(b, 19000, "public", "wide", 'v', 'p', false);
    for (uint32_t i = 0; i <= JUDGE_DEPS; i++) { build_reads(b, 19000, 18000 + i); }
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select(names, ""));
    CHECK(j.deps_count == 0 && j.replica && j.reason == JUDGE_NO_RULE);
    CHECK(small_judge(c, small_modify("wide")).writes_all);
    catalog_unref(&c);
}

TEST(views_without_end_stay_on_the_primary)
{
    struct build *b = small_build();
    for (uint32_t i = 0; i < 200; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "v%u", (unsigned)i);
        build_relation(b, 20000 + i, "public", name, 'v', 'p', false);
        build_reads(b, 20000 + i, 20000 + (i + 1) % 200);
    }
    struct catalog *c = small_finish(b);
    struct judgement j = small_judge(c, small_select("v0", ""));
    CHECK(j.reason == JUDGE_TOO_MANY && !j.replica);
    CHECK(small_judge(c, small_modify("v0")).writes_all);
    catalog_unref(&c);
}

TEST(every_reason_has_a_word)
{
    for (int r = JUDGE_CACHEABLE; r <= JUDGE_TOO_MANY; r++) {
        CHECK(strcmp(judge_reason_name((enum judge_reason)r), "unknown") != 0);
    }
    CHECK_STR(judge_reason_name(JUDGE_RLS_REFUSED), "rls_refused");
}

TEST(the_version_follows_content_and_rules)
{
    struct build *b1 = small_build(), *b2 = small_build(), *b3 = small_build();
    struct catalog *same = build_finish(&b1, small_config(), 1), *c = small_finish(b2);
    struct config *cfg = small_config();
    cfg->rules[0].ttl_us = 1;
    struct catalog *other = build_finish(&b3, cfg, 1);
    CHECK(catalog_version(same) == catalog_version(c));
    CHECK(catalog_version(same) != catalog_version(other));
    struct catalog *held = catalog_ref(same);
    catalog_unref(&same);
    CHECK(same == NULL && catalog_has_rules(held));
    catalog_unref(&held);
    catalog_unref(&c);
    catalog_unref(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_read_of_named_tables_is_cacheable_and_depends_on_them),
        RUN(without_a_catalog_every_doubt_is_taken),
        RUN(a_table_that_no_rule_names_is_told),
        RUN(a_view_stands_for_its_tables_however_deep),
        RUN(a_name_in_two_schemas_is_ambiguous_unless_qualified),
        RUN(what_is_not_a_table_of_this_database_stays_on_the_primary),
        RUN(what_the_text_shows_is_refused_with_its_own_reason),
        RUN(show_and_explain_stay_where_they_are_about),
        RUN(functions_decide_by_volatility_and_by_name),
        RUN(a_users_overload_of_a_builtin_is_never_cached),
        RUN(a_users_function_runs_on_a_replica_only_when_declared_and_harmless),
        RUN(what_a_users_function_reads_is_not_known),
        RUN(partitions_meet_at_their_root),
        RUN(what_a_partition_is_or_does_holds_for_its_root),
        RUN(a_write_reaches_along_foreign_keys_and_through_views),
        RUN(a_trigger_makes_its_table_write_everything),
        RUN(plans_last_where_planning_anew_would_find_the_same),
        RUN(what_takes_values_of_sequences_is_told),
        RUN(a_rule_or_an_unknown_target_writes_everything),
        RUN(statements_of_unknown_effect_write_everything_and_others_nothing),
        RUN(the_inputs_of_a_policy_join_key_and_dependencies),
        RUN(a_policy_whose_inputs_no_key_holds_is_unclear),
        RUN(a_policy_with_more_settings_than_a_key_holds_is_unclear),
        RUN(row_security_is_refused_unless_the_rule_keys_it_and_always_inside_a_view),
        RUN(the_text_may_read_only_settings_that_a_policy_keys),
        RUN(what_a_views_query_calls_counts_like_what_the_text_calls),
        RUN(reading_a_view_that_calls_a_writer_writes_everything),
        RUN(a_users_function_or_operator_inside_a_view_is_not_cached),
        RUN(an_operator_that_may_look_at_tables_keeps_everything_uncached),
        RUN(a_domain_whose_check_may_change_its_mind_keeps_everything_uncached),
        RUN(what_is_cast_to_a_time_must_be_one_wherever_its_name_stands),
        RUN(rules_of_different_modes_do_not_mix_unless_the_stricter_decides),
        RUN(too_many_relations_are_told_and_no_partial_list_is_given),
        RUN(views_without_end_stay_on_the_primary),
        RUN(every_reason_has_a_word),
        RUN(the_version_follows_content_and_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
