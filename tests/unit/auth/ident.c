/* auth_ident_file: names, regular expressions with \1, and what is wrong with a line. */
#include "unit.h"

#include "auth/ident.h"

static struct ident *parse(const char *text)
{
    struct ident *i = NULL;
    struct fault why = {0};
    CHECK(ident_parse(bytes_str(text), "ident", &i, &why) == E_OK);
    return i;
}

static void check_refused(const char *text, const char *want)
{
    struct ident *i = NULL;
    struct fault why = {0};
    CHECK(ident_parse(bytes_str(text), "ident", &i, &why) == E_CONFIG);
    CHECK(i == NULL);
    CHECK_STR(why.text, want);
}

TEST(without_a_map_the_names_must_be_the_same)
{
    CHECK(ident_allows(NULL, NULL, "ann", "ann"));
    CHECK(!ident_allows(NULL, NULL, "ann", "Ann"));
    CHECK(!ident_allows(NULL, "m", "ann", "ann"));
}

TEST(a_map_allows_what_its_lines_say)
{
    struct ident *i = parse("# map system user\nm root ann\nm root bob\nm \"joe x\" \"all\"\n"
                            "other zoe zoe\n");
    CHECK(ident_has(i, "m") && ident_has(i, "other") && !ident_has(i, "none"));
    CHECK(ident_allows(i, "m", "root", "ann") && ident_allows(i, "m", "root", "bob"));
    CHECK(!ident_allows(i, "m", "ann", "ann"));
    CHECK(!ident_allows(i, "m", "zoe", "zoe"));
    CHECK(ident_allows(i, "m", "joe x", "all") && !ident_allows(i, "m", "joe x", "ann"));
    ident_free(&i);
}

TEST(all_stands_for_every_database_user)
{
    struct ident *i = parse("m root all\nm /@ops$ all\n");
    CHECK(ident_allows(i, "m", "root", "ann") && ident_allows(i, "m", "joe@ops", "bob"));
    CHECK(!ident_allows(i, "m", "joe", "ann"));
    ident_free(&i);
}

TEST(a_regular_expression_gives_its_first_part)
{
    struct ident *i = parse("m /^(.*)@example\\.com$ \\1\nm /^(.*)@guest$ guest_\\1_x\n"
                            "m /^x(y)?z$ <\\1>\nm /^plain$ fixed\n");
    CHECK(ident_allows(i, "m", "ann@example.com", "ann"));
    CHECK(!ident_allows(i, "m", "ann@example.com", "bob"));
    CHECK(!ident_allows(i, "m", "ann@example.com.evil", "ann"));
    CHECK(!ident_allows(i, "m", "ann@exampleXcom", "ann"));
    CHECK(ident_allows(i, "m", "bob@guest", "guest_bob_x"));
    CHECK(!ident_allows(i, "m", "bob@guest", "guest_bob_") &&
          !ident_allows(i, "m", "bob@guest", "guest_bobb_x"));
    CHECK(ident_allows(i, "m", "xz", "<>") && ident_allows(i, "m", "xyz", "<y>"));
    CHECK(ident_allows(i, "m", "plain", "fixed") && !ident_allows(i, "m", "plains", "fixed"));
    ident_free(&i);
}

TEST(a_quoted_slash_is_no_regular_expression)
{
    struct ident *i = parse("m \"/root\" ann\n");
    CHECK(ident_allows(i, "m", "/root", "ann") && !ident_allows(i, "m", "root", "ann"));
    ident_free(&i);
}

TEST(an_error_names_file_line_and_token)
{
    check_refused("m a\n", "ident:1: a: expected map name, system user and database user");
    check_refused("\nm a b c\n", "ident:2: c: expected map name, system user and database user");
    check_refused("m a,x b\n", "ident:1: a: expected one name, not a list");
    check_refused("m /( b\n", "ident:1: regular expression (: Unmatched ( or \\(");
    check_refused("m /^a \\1\n",
                  "ident:1: \\1 has a \\1, but the regular expression ^a has no (parentheses)");
    check_refused("m a /b\n",
                  "ident:1: /b: a regular expression can stand for the system user only");
    check_refused("m /((a{200}){200}){200} x\n",
                  "ident:1: regular expression too large: ((a{200}){200}){200}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(without_a_map_the_names_must_be_the_same),
        RUN(a_map_allows_what_its_lines_say),
        RUN(all_stands_for_every_database_user),
        RUN(a_regular_expression_gives_its_first_part),
        RUN(a_quoted_slash_is_no_regular_expression),
        RUN(an_error_names_file_line_and_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
