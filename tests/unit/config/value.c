/* Texts into values: each form that the ini allows, and none that it does not. */
#include "unit.h"

#include "base/clock.h"
#include "config/value.h"

static int64_t time_of(const char *text)
{
    int64_t us = -7;
    return value_time(text, &us) == E_OK ? us : -1;
}

static int64_t size_of(const char *text)
{
    int64_t bytes = -7;
    return value_size(text, &bytes) == E_OK ? bytes : -1;
}

TEST(a_time_is_seconds_or_has_a_unit)
{
    CHECK(time_of("0") == 0);
    CHECK(time_of("15") == 15 * US_PER_S);
    CHECK(time_of("0.25") == 250 * US_PER_MS);
    CHECK(time_of("10s") == 10 * US_PER_S);
    CHECK(time_of("100ms") == 100 * US_PER_MS);
    CHECK(time_of("7us") == 7);
    CHECK(time_of("5min") == 300 * US_PER_S);
    CHECK(time_of("1.5 h") == 5400 * US_PER_S);
    CHECK(time_of("2d") == 172800 * US_PER_S);
    CHECK(time_of("1e3") == 1000 * US_PER_S);
}

TEST(what_is_no_time_is_refused)
{
    static const char *const bad[] = {"",     "-1",    "s", "10 parsecs", "nan",  "inf", "0x10",
                                      "1e3s", "1.2.3", ".", "1e300",      "10sx", "1e"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) { CHECK(time_of(bad[i]) == -1); }
}

TEST(a_size_is_bytes_or_has_a_unit)
{
    CHECK(size_of("4096") == 4096);
    CHECK(size_of("2147483647") == 2147483647);
    CHECK(size_of("256kB") == 256 * 1024);
    CHECK(size_of("64MB") == 64 << 20);
    CHECK(size_of("1.5gb") == (INT64_C(3) << 29));
    CHECK(size_of("10kilo") == -1);
    CHECK(size_of("-1") == -1);
    CHECK(size_of("9999999TB") == -1);
}

TEST(a_number_is_decimal_octal_or_hex_and_in_range)
{
    int v = -7;
    CHECK(value_int("0777", 0, 0777, &v) == E_OK && v == 511);
    CHECK(value_int("0x10", 0, 100, &v) == E_OK && v == 16);
    CHECK(value_int("-3", -5, 5, &v) == E_OK && v == -3);
    CHECK(value_int("6", -5, 5, &v) == E_CONFIG && v == -3);
    CHECK(value_int("", 0, 5, &v) == E_CONFIG);
    CHECK(value_int("1 2", 0, 5, &v) == E_CONFIG);
    CHECK(value_int(" 1", 0, 5, &v) == E_CONFIG);
    CHECK(value_int("99999999999999999999", 0, 5, &v) == E_CONFIG);
}

TEST(a_switch_has_many_names)
{
    bool on = false;
    CHECK(value_bool("1", &on) == E_OK && on);
    CHECK(value_bool("Off", &on) == E_OK && !on);
    CHECK(value_bool("YES", &on) == E_OK && on);
    CHECK(value_bool("false", &on) == E_OK && !on);
    CHECK(value_bool("maybe", &on) == E_CONFIG);
    CHECK(value_bool("", &on) == E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_time_is_seconds_or_has_a_unit), RUN(what_is_no_time_is_refused),
        RUN(a_size_is_bytes_or_has_a_unit),   RUN(a_number_is_decimal_octal_or_hex_and_in_range),
        RUN(a_switch_has_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
