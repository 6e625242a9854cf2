/* The statements between two sets, spelled out. */
#include "unit.h"

#include <stdio.h>

#include "sets.h"

/* Takes both sets; expected has one statement a line. */
static void check(const struct varset *have, const struct varset *want, bool certain,
                  const char *expected, bool snapshot)
{
    struct buf texts = {0};
    struct settings_change c = varset_diff(have, want, certain, &texts);
    unsigned statements = 0;
    for (size_t i = texts.start; i < texts.end; i++) {
        if (texts.data[i] != 0) { continue; }
        texts.data[i] = '\n';
        statements++;
    }
    CHECK_STR(buf_text(&texts), expected);
    CHECK(c.statements == statements);
    CHECK(c.snapshot == snapshot);
    buf_done(&texts);
    varset_unref(&have);
    varset_unref(&want);
}

TEST(equal_sets_need_nothing_unless_the_server_is_uncertain)
{
    check(SET("a.b", "1"), SET("a.b", "1"), true, "", false);
    check(SET("a.b", "1"), SET("a.b", "1"), false, "SET \"a\".\"b\" TO '1'\n", false);
    check(varset_empty(), varset_empty(), false, "", false);
}

TEST(what_is_new_or_other_is_set_and_what_is_gone_is_reset)
{
    check(SET("a", "1", "b.c", "2", "d", "4"), SET("b.c", "3", "d", "4", "e", "5"), true,
          "RESET \"a\"\nSET \"b\".\"c\" TO '3'\nSET \"e\" TO '5'\n", false);
}

TEST(values_and_names_cannot_leave_their_quotes)
{
    check(varset_empty(), SET("a.b", "it's", "c", "back\\slash'"), true,
          "SET \"a\".\"b\" TO 'it''s'\nSET \"c\" TO  E'back\\\\slash'''\n", false);
    check(varset_empty(), SET("x\";drop", "1"), true, "SET \"x\"\";drop\" TO '1'\n", false);
}

TEST(a_list_of_names_is_set_as_a_list)
{
    check(varset_empty(), SET("search_path", "clinic"), true, "SET \"search_path\" TO 'clinic'\n",
          false);
    check(varset_empty(), SET("search_path", "a, \"b c\""), true,
          "SELECT pg_catalog.set_config('search_path', 'a, \"b c\"', false)\n", true);
    check(varset_empty(), SET("search_path", "\"$user\""), true,
          "SELECT pg_catalog.set_config('search_path', '\"$user\"', false)\n", true);
    check(varset_empty(), SET("search_path", ""), true,
          "SELECT pg_catalog.set_config('search_path', '', false)\n", true);
    check(varset_empty(), SET("search_path", "Clinic"), true,
          "SELECT pg_catalog.set_config('search_path', 'Clinic', false)\n", true);
    check(SET("search_path", "a, b"), varset_empty(), true, "RESET \"search_path\"\n", false);
    check(varset_empty(), SET("datestyle", "ISO, DMY"), true, "SET \"datestyle\" TO 'ISO, DMY'\n",
          false);
}

TEST(a_name_that_an_identifier_would_cut_goes_by_function)
{
    const char *name = "app.a23456789b23456789c23456789d23456789e23456789f23456789g234";
    char longer[80], expected[200];
    check(varset_empty(), SET(name, "1"), true,
          "SET \"app\".\"a23456789b23456789c23456789d23456789e23456789f23456789g234\" TO '1'\n",
          false);
    (void)snprintf(longer, sizeof longer, "%s123456", name);
    (void)snprintf(expected, sizeof expected, "SELECT pg_catalog.set_config('%s', '1', false)\n",
                   longer);
    check(varset_empty(), SET(longer, "1"), true, expected, true);
    (void)snprintf(expected, sizeof expected, "SELECT pg_catalog.set_config('%s', NULL, false)\n",
                   longer);
    check(SET(longer, "1"), varset_empty(), true, expected, true);
}

TEST(the_encoding_comes_first_and_a_treacherous_one_gets_its_values_in_hex)
{
    check(SET("client_encoding", "SJIS"), SET("a.b", "\xc3\xa9", "client_encoding", "UTF8"), true,
          "SET \"client_encoding\" TO 'UTF8'\nSET \"a\".\"b\" TO '\xc3\xa9'\n", false);
    check(varset_empty(), SET("a.b", "\x83\\'", "a.c", "x", "client_encoding", "SJIS"), true,
          "SET \"client_encoding\" TO 'SJIS'\n"
          "SELECT pg_catalog.set_config('a.b', "
          "pg_catalog.convert_from(pg_catalog.decode('835c27', 'hex'), 'SJIS'), false)\n"
          "SET \"a\".\"c\" TO 'x'\n",
          true);
}

TEST(the_role_is_left_before_and_taken_after_what_needs_the_login_user)
{
    check(varset_empty(), SET("role", "app", "log_statement", "all"), true,
          "SET \"log_statement\" TO 'all'\nSET \"role\" TO 'app'\n", false);
    check(SET("role", "app"), SET("role", "app", "log_statement", "all"), true,
          "RESET \"role\"\nSET \"log_statement\" TO 'all'\nSET \"role\" TO 'app'\n", false);
    check(SET("role", "app"), SET("role", "app", "my.own", "1"), true,
          "SET \"my\".\"own\" TO '1'\n", false);
    check(SET("role", "a"), varset_empty(), true, "RESET \"role\"\n", false);
    check(SET("role", "a"), SET("role", "a", "session_authorization", "joe"), true,
          "RESET \"role\"\nSET \"session_authorization\" TO 'joe'\nSET \"role\" TO 'a'\n", false);
    check(SET("role", "a", "session_authorization", "joe"), SET("x.y", "1"), true,
          "RESET \"role\"\nRESET \"session_authorization\"\nSET \"x\".\"y\" TO '1'\n", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(equal_sets_need_nothing_unless_the_server_is_uncertain),
        RUN(what_is_new_or_other_is_set_and_what_is_gone_is_reset),
        RUN(values_and_names_cannot_leave_their_quotes),
        RUN(a_list_of_names_is_set_as_a_list),
        RUN(a_name_that_an_identifier_would_cut_goes_by_function),
        RUN(the_encoding_comes_first_and_a_treacherous_one_gets_its_values_in_hex),
        RUN(the_role_is_left_before_and_taken_after_what_needs_the_login_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
