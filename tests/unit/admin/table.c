/* Rows, byte by byte. */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "admin/table.h"

static struct buf out;

static void check_out(struct bytes want)
{
    CHECK(bytes_equal(buf_view(&out), want));
    buf_done(&out);
}

static const struct column two[] = {{"a", COLUMN_TEXT}, {"b", COLUMN_INT4}};

TEST(a_row_is_its_values_in_order)
{
    struct table t = table_of(&out, two, 2);
    table_row(&t);
    table_text(&t, "xy");
    table_int(&t, -7);
    table_end(&t);
    check_out(BYTES("D\0\0\0\x12\0\2\0\0\0\2xy\0\0\0\2-7"));
}

TEST(null_is_not_the_empty_text)
{
    struct table t = table_of(&out, two, 2);
    table_row(&t);
    table_text(&t, NULL);
    table_text(&t, "");
    table_end(&t);
    check_out(BYTES("D\0\0\0\x0e\0\2\xff\xff\xff\xff\0\0\0\0"));
}

TEST(rows_follow_each_other)
{
    struct table t = table_of(&out, two, 1);
    table_row(&t);
    table_yes(&t, true);
    table_end(&t);
    table_row(&t);
    table_pointer(&t, NULL);
    table_end(&t);
    check_out(BYTES("D\0\0\0\x0d\0\1\0\0\0\3yes"
                    "D\0\0\0\x0a\0\1\0\0\0\0"));
}

TEST(a_time_is_text_with_its_zone_and_zero_is_null)
{
    CHECK(setenv("TZ", "UTC", 1) == 0);
    tzset();
    struct table t = table_of(&out, two, 2);
    table_row(&t);
    table_time(&t, INT64_C(1700000000) * 1000000 + 999999);
    table_time(&t, 0);
    table_end(&t);
    check_out(BYTES("D\0\0\0\x25\0\2\0\0\0\x17"
                    "2023-11-14 22:13:20 UTC\xff\xff\xff\xff"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_row_is_its_values_in_order),
        RUN(null_is_not_the_empty_text),
        RUN(rows_follow_each_other),
        RUN(a_time_is_text_with_its_zone_and_zero_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
