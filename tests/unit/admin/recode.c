/* Text rows to binary ones, byte by byte. */
#include "unit.h"

#include "admin/recode.h"

static struct buf out;

/* One value of one column, as the row that holds it. */
static void check(uint32_t type, struct bytes text, struct bytes want)
{
    const struct column column = {"c", type};
    const bool binary = true;
    struct buf row = {0};
    buf_put_u16(&row, 1);
    buf_put_u32(&row, (uint32_t)text.len);
    buf_put_bytes(&row, text);
    recode_row(buf_view(&row), &column, 1, &binary, &out);
    CHECK(bytes_equal(buf_view(&out), want));
    buf_done(&row);
    buf_done(&out);
}

TEST(integers_are_big_endian)
{
    check(COLUMN_INT4, BYTES("258"), BYTES("\0\1\0\0\0\4\0\0\1\2"));
    check(COLUMN_INT4, BYTES("-1"), BYTES("\0\1\0\0\0\4\xff\xff\xff\xff"));
    check(COLUMN_INT8, BYTES("4294967297"), BYTES("\0\1\0\0\0\x08\0\0\0\1\0\0\0\1"));
}

/* ndigits, weight, sign, dscale, digits: what numeric_send() of PostgreSQL 15 says. */
TEST(numerics_are_digits_of_base_ten_thousand)
{
    check(COLUMN_NUMERIC, BYTES("0"), BYTES("\0\1\0\0\0\x08\0\0\0\0\0\0\0\0"));
    check(COLUMN_NUMERIC, BYTES("7"), BYTES("\0\1\0\0\0\x0a\0\1\0\0\0\0\0\0\0\7"));
    check(COLUMN_NUMERIC, BYTES("123456789"),
          BYTES("\0\1\0\0\0\x0e\0\3\0\2\0\0\0\0\0\1\x09\x29\x1a\x85"));
    check(COLUMN_NUMERIC, BYTES("-20000"), BYTES("\0\1\0\0\0\x0a\0\1\0\1\x40\0\0\0\0\2"));
    check(COLUMN_NUMERIC, BYTES("9223372036854775807"),
          BYTES("\0\1\0\0\0\x12\0\5\0\4\0\0\0\0\x03\x9a\x0d\x2c\x01\x70\x15\x65\x16\xaf"));
}

TEST(text_stays_and_bytea_is_unhexed)
{
    check(COLUMN_TEXT, BYTES("x"), BYTES("\0\1\0\0\0\1x"));
    check(COLUMN_BYTEA, BYTES("\\x00ff1a"), BYTES("\0\1\0\0\0\3\0\xff\x1a"));
    check(COLUMN_BYTEA, BYTES("\\x"), BYTES("\0\1\0\0\0\0"));
}

TEST(each_column_has_its_own_format_and_null_has_none)
{
    static const struct column columns[] = {
        {"a", COLUMN_INT4}, {"b", COLUMN_INT4}, {"c", COLUMN_INT8}};
    static const bool binary[] = {true, false, true};
    recode_row(BYTES("\0\3\0\0\0\1"
                     "5\0\0\0\1"
                     "6\xff\xff\xff\xff"),
               columns, 3, binary, &out);
    CHECK(bytes_equal(buf_view(&out), BYTES("\0\3\0\0\0\4\0\0\0\5\0\0\0\1"
                                            "6\xff\xff\xff\xff")));
    buf_done(&out);
}

TEST(only_types_with_a_known_binary_form_are_sent_so)
{
    CHECK(recode_knows(COLUMN_NUMERIC) && recode_knows(COLUMN_TEXT));
    CHECK(!recode_knows(1184));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(integers_are_big_endian),
        RUN(numerics_are_digits_of_base_ten_thousand),
        RUN(text_stays_and_bytea_is_unhexed),
        RUN(each_column_has_its_own_format_and_null_has_none),
        RUN(only_types_with_a_known_binary_form_are_sent_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
