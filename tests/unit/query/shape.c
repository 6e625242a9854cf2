/* Which texts share a shape, and which have none. */
#include "unit.h"

#include "query/shape.h"
#include "query/told.h"

static bool same_shape(const char *a, const char *b)
{
    struct buf one = {0}, two = {0};
    bool plain = shape_scan(bytes_str(a), &one) && shape_scan(bytes_str(b), &two);
    bool same = plain && bytes_equal(buf_view(&one), buf_view(&two));
    buf_done(&one);
    buf_done(&two);
    return same;
}

static bool has_shape(struct bytes text)
{
    struct buf shape = {0};
    bool plain = shape_scan(text, &shape);
    buf_done(&shape);
    return plain;
}

TEST(texts_that_differ_in_literals_share_a_shape)
{
    CHECK(same_shape("select * from t where a = 1 and b = 'x'",
                     "select * from t where a = 23456 and b = 'it''s'"));
    CHECK(same_shape("SELECT -1", "SELECT -22"));
    CHECK(same_shape("select 1.5", "select 22.75"));
    CHECK(same_shape("insert into t values (1,'')", "insert into t values (2,'x -- y /* z')"));
    CHECK(same_shape("select a from t limit 10", "select a from t limit 20"));
}

TEST(white_space_and_comments_are_no_part_of_a_shape)
{
    CHECK(same_shape("select 1 /* trace=1 */", "select 2 /* trace=/*2*/ */ ;"));
    CHECK(same_shape("select\n\t1", "  select -- it's\n 1"));
    CHECK(!same_shape("select 1", "select 1 -- a\\"));
    CHECK(!has_shape(BYTES("select 1 /* open")));
}

TEST(texts_that_differ_in_anything_else_do_not)
{
    CHECK(!same_shape("select a from t", "select b from t"));
    CHECK(!same_shape("select $1", "select $2"));
    CHECK(!same_shape("select \"a\"", "select \"b\""));
    CHECK(!same_shape("select 1", "select '1'"));
    CHECK(!same_shape("select 1+1", "select 1 1"));
    CHECK(!same_shape("select a - - b", "select a -b"));
}

TEST(numbers_of_the_two_kinds_are_kept_apart)
{
    CHECK(same_shape("select 2147483647", "select 0"));
    CHECK(!same_shape("select 2147483648", "select 0"));
    CHECK(same_shape("select 2147483648", "select 99999999999999999999"));
    CHECK(same_shape("select 00000000000001", "select 1"));
    CHECK(!same_shape("select 1.0", "select 1"));
}

TEST(words_that_move_in_time_are_kept)
{
    CHECK(!same_shape("select 'now'", "select 'then'"));
    CHECK(!same_shape("select '10:00 Today'", "select 'a'"));
    CHECK(same_shape("select 'nowhere'", "select 'a'"));
    CHECK(same_shape("select 'now', 1", "select 'now', 2"));
}

TEST(what_is_not_plain_has_no_shape)
{
    static const char *const declined[] = {
        "",
        "  ",
        "set x to 1",
        "show x",
        "explain select 1",
        "selec 1",
        "select 1; select 2",
        "select 1;;",
        "select E'a'",
        "select 'a\\b'",
        "select U&'a'",
        "select u&\"a\"",
        "select B'1'",
        "select x'1'",
        "select N'a'",
        "select $$a$$",
        "select $a$ 1 $a$",
        "select 'a' 'b'",
        "select 'a'\n'b'",
        "select 'a' -- x\n 'b'",
        "select 'a",
        "select \"a",
        "select 1a",
        "select 1e5",
        "select 1.",
        "select .5",
        "select 1..2",
        "select 1.2.3",
        "select 1$1",
        "select 0x1F",
        "select 1_000",
        "select $1a",
        "select set_config('a', 'b', true)",
        "select pg_catalog . \"Set_Config\" ('a', 'b', true)",
        "select current_setting('a')",
        "select cast(a as float(5))",
        "select \303\244",
        "select {a}",
        "select 1\v",
    };
    for (size_t i = 0; i < sizeof declined / sizeof declined[0]; i++) {
        if (has_shape(bytes_str(declined[i]))) { print_error("text %zu\n", i); }
        CHECK(!has_shape(bytes_str(declined[i])));
    }
    CHECK(!has_shape(BYTES("select 1\0")));
    CHECK(!has_shape(BYTES("select 'a\0b'")));
    CHECK(!has_shape((struct bytes){0}));
}

TEST(high_bytes_are_plain_inside_quotes)
{
    CHECK(same_shape("select '\303\244', \"\303\244\"", "select 'a', \"\303\244\""));
}

TEST(texts_of_one_shape_have_equal_facts)
{
    static const char *const pairs[][2] = {
        {"select 1::varchar(10) from t limit 5", "select 2::varchar(20) from t limit 6"},
        {"select interval '1' day", "select interval 'x' day"},
        {"select regclass 'a'", "select regclass 'b'"},
        {"with a as (insert into t values (1) returning 2) select 3 from a for update",
         "with a as (insert into t values (4) returning 5) select 6 from a for update"},
        {"select numeric(1,2) 'a'", "select numeric(3,4) 'b'"},
        {"select 1 1", "select 2 2"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        CHECK(same_shape(pairs[i][0], pairs[i][1]));
        char *a = tell_text(bytes_str(pairs[i][0])), *b = tell_text(bytes_str(pairs[i][1]));
        CHECK_STR(a, b);
        free(a);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(texts_that_differ_in_literals_share_a_shape),
        RUN(white_space_and_comments_are_no_part_of_a_shape),
        RUN(texts_that_differ_in_anything_else_do_not),
        RUN(numbers_of_the_two_kinds_are_kept_apart),
        RUN(words_that_move_in_time_are_kept),
        RUN(what_is_not_plain_has_no_shape),
        RUN(high_bytes_are_plain_inside_quotes),
        RUN(texts_of_one_shape_have_equal_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
