/* What quoting makes of a text. */
#include "unit.h"

#include "query/quote.h"

static struct buf out;

static const char *literal(struct bytes text)
{
    buf_clear(&out);
    quote_literal(&out, text);
    return buf_text(&out);
}

static const char *ident(struct bytes text)
{
    buf_clear(&out);
    quote_ident(&out, text);
    return buf_text(&out);
}

static const char *if_needed(struct bytes text)
{
    buf_clear(&out);
    quote_ident_if_needed(&out, text);
    return buf_text(&out);
}

TEST(a_literal_doubles_its_quotes)
{
    CHECK_STR(literal(BYTES("O'Hara''s")), "'O''Hara''''s'");
    CHECK_STR(literal(BYTES("")), "''");
    CHECK_STR(literal((struct bytes){0}), "''");
}

TEST(a_backslash_means_itself_whatever_the_session_has_set)
{
    CHECK_STR(literal(BYTES("a\\'; drop table x; --")), " E'a\\\\''; drop table x; --'");
}

TEST(a_quoted_text_is_appended_to_what_is_there)
{
    buf_clear(&out);
    buf_put(&out, "SET x = ", 8);
    quote_literal(&out, BYTES("1"));
    CHECK_STR(buf_text(&out), "SET x = '1'");
}

TEST(an_identifier_is_always_quoted)
{
    CHECK_STR(ident(BYTES("plain")), "\"plain\"");
    CHECK_STR(ident(BYTES("a\"b\\c'd")), "\"a\"\"b\\c'd\"");
}

TEST(quotes_are_put_only_where_postgresql_would)
{
    CHECK_STR(if_needed(BYTES("app_1")), "app_1");
    CHECK_STR(if_needed(BYTES("public")), "public");
    CHECK_STR(if_needed(BYTES("$user")), "\"$user\"");
    CHECK_STR(if_needed(BYTES("App")), "\"App\"");
    CHECK_STR(if_needed(BYTES("1a")), "\"1a\"");
    CHECK_STR(if_needed(BYTES("")), "\"\"");
    CHECK_STR(if_needed(BYTES("a, b")), "\"a, b\"");
    CHECK_STR(if_needed(BYTES("all")), "\"all\"");
    CHECK_STR(if_needed(BYTES("xmltable")), "\"xmltable\"");
    CHECK_STR(if_needed(BYTES("user")), "\"user\"");
    CHECK_STR(if_needed(BYTES("use")), "use");
    CHECK_STR(if_needed(BYTES("users")), "users");
}

static int forget(void **state)
{
    (void)state;
    buf_done(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_literal_doubles_its_quotes),
        RUN(a_backslash_means_itself_whatever_the_session_has_set),
        RUN(a_quoted_text_is_appended_to_what_is_there),
        RUN(an_identifier_is_always_quoted),
        RUN(quotes_are_put_only_where_postgresql_would),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
