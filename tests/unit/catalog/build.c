/* Effects that functions have through each other, and facts that do not fit together. */
#include "small.h"

TEST(a_function_has_the_effects_of_those_it_names)
{
    struct build *b = small_build();
    small_function(b, "outermost", "sql", 's', "SELECT outer_one()");
    small_function(b, "outer_one", "plpgsql", 's', "BEGIN RETURN public.Inner_One(1); END");
    small_function(b, "inner_one", "sql", 's', "SELECT set_config('a', 'b', false)");
    small_function(b, "writer", "sql", 'v', "INSERT INTO t VALUES (1)");
    small_function(b, "calls_writer", "sql", 's', "SELECT writer()");
    small_function(b, "apart", "sql", 's', "SELECT 'outer_one()'");
    struct catalog *c = small_finish(b);
    CHECK(catalog_function(c, "outermost")->taints && !catalog_function(c, "outermost")->writes);
    CHECK(catalog_function(c, "calls_writer")->writes &&
          !catalog_function(c, "calls_writer")->taints);
    CHECK(!catalog_function(c, "apart")->taints);
    catalog_unref(&c);
}

TEST(a_name_that_needs_quotes_is_followed_too)
{
    struct build *b = small_build();
    small_function(b, "Hidden One", "sql", 'v', "DELETE FROM t");
    small_function(b, "a$b", "sql", 'v', "SELECT set_config('a', 'b', false)");
    small_function(b, "outer_one", "sql", 'v', "SELECT public.\"Hidden One\"()");
    small_function(b, "other", "sql", 'v', "SELECT A$b()");
    struct catalog *c = small_finish(b);
    CHECK(catalog_function(c, "outer_one")->writes && !catalog_function(c, "outer_one")->taints);
    CHECK(catalog_function(c, "other")->taints);
    catalog_unref(&c);
}

TEST(functions_that_call_each_other_come_to_an_end)
{
    struct build *b = small_build();
    small_function(b, "ping", "sql", 's', "SELECT pong()");
    small_function(b, "pong", "sql", 's', "SELECT ping()");
    struct catalog *c = small_finish(b);
    CHECK(!catalog_function(c, "ping")->taints && catalog_function(c, "ping")->reads);
    catalog_unref(&c);
}

TEST(the_worst_overload_stands_for_the_name)
{
    struct build *b = build_new();
    build_builtin(b, "age", 'i');
    build_builtin(b, "age", 's');
    small_function(b, "f", "sql", 'i', "SELECT 1");
    small_function(b, "f", "sql", 'v', "DELETE FROM t");
    struct catalog *c = small_finish(b);
    CHECK(catalog_function(c, "age")->builtin_volatility == 's');
    CHECK(catalog_function(c, "f")->user_volatility == 'v' && catalog_function(c, "f")->writes);
    catalog_unref(&c);
}

TEST(where_triggers_taint_so_do_functions_that_may_fire_them)
{
    struct build *b = small_build();
    small_function(b, "who", "plpgsql", 'v', "BEGIN PERFORM set_config('a','b',false); END");
    small_function(b, "writer", "sql", 'v', "INSERT INTO menus VALUES (1)");
    small_function(b, "caller", "sql", 'v', "SELECT writer()");
    build_calls(b, MENUS, BUILD_TRIGGER, "who");
    struct catalog *c = small_finish(b);
    CHECK(catalog_function(c, "writer")->taints && catalog_function(c, "caller")->taints);
    catalog_unref(&c);
}

TEST(an_aggregate_has_the_effects_of_its_functions)
{
    struct build *b = small_build();
    small_function(b, "step", "plpgsql", 'i', "BEGIN EXECUTE 'SET x = 1'; END");
    small_function(b, "my_sum", "internal", 'i', "aggregate_dummy public.step - - -");
    struct catalog *c = small_finish(b);
    CHECK(catalog_function(c, "my_sum")->taints);
    catalog_unref(&c);
}

TEST(facts_about_unknown_relations_are_left_out)
{
    struct build *b = build_new();
    build_parent(b, 1, 2);
    build_reads(b, 3, 4);
    build_rule(b, 5);
    build_calls(b, 6, BUILD_TRIGGER, "f");
    small_table(b, MENUS, "menus");
    small_table(b, MENUS, "menus again");
    build_cascade(b, MENUS, 7);
    build_parent(b, MENUS, MENUS);
    struct catalog *c = small_finish(b);
    CHECK(c->by_oid.count == 1);
    CHECK_STR(catalog_relation(c, MENUS)->name, "menus");
    CHECK_WRITES(small_judge(c, small_modify("menus")), MENUS);
    catalog_unref(&c);
}

TEST(a_build_that_is_given_up_leaves_nothing_behind)
{
    struct build *b = small_build();
    struct statement *s = query_parse(BYTES("SELECT 1"), 100);
    small_function(b, "f", "sql", 's', "SELECT 1");
    build_definition(b, VIEW, s);
    statement_unref(&s);
    build_free(&b);
    CHECK(b == NULL);
    build_free(&b);
}

TEST(a_rule_for_tables_of_another_database_counts_for_nothing)
{
    struct build *b = build_new();
    small_table(b, UNNAMED, "unnamed");
    struct catalog *c = small_finish(b);
    CHECK(!catalog_has_rules(c));
    catalog_unref(&c);
    b = small_build();
    CHECK(small_select("menus", "") != NULL);
    c = small_finish(b);
    CHECK(catalog_has_rules(c));
    catalog_unref(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_function_has_the_effects_of_those_it_names),
        RUN(a_name_that_needs_quotes_is_followed_too),
        RUN(functions_that_call_each_other_come_to_an_end),
        RUN(the_worst_overload_stands_for_the_name),
        RUN(where_triggers_taint_so_do_functions_that_may_fire_them),
        RUN(an_aggregate_has_the_effects_of_its_functions),
        RUN(facts_about_unknown_relations_are_left_out),
        RUN(a_build_that_is_given_up_leaves_nothing_behind),
        RUN(a_rule_for_tables_of_another_database_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
