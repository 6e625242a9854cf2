/* Libraries that are loaded on demand: all that was asked for, or a reason. */
#include "unit.h"

#include "base/library.h"

struct calls {
    double (*cos)(double);
    double (*floor)(double);
};

TEST(functions_come_in_the_order_of_their_names)
{
    static const char *const names[] = {"cos", "floor"};
    struct calls m = {0};
    struct fault why = {0};
    CHECK(library_load("libm.so.6", names, 2, &m, &why) == E_OK);
    CHECK(m.cos(0.0) > 0.99 && m.floor(1.5) < 1.1);
}

TEST(a_library_that_is_not_there_is_named)
{
    static const char *const names[] = {"cos"};
    struct calls m = {0};
    struct fault why = {0};
    CHECK(library_load("libpgusher-none.so.1", names, 1, &m, &why) == E_CONFIG);
    CHECK(strstr(why.text, "libpgusher-none.so.1: cannot open") != NULL);
    CHECK(m.cos == NULL);
}

TEST(without_one_function_there_is_none)
{
    static const char *const names[] = {"cos", "pgusher_none"};
    struct calls m = {0};
    struct fault why = {0};
    CHECK(library_load("libm.so.6", names, 2, &m, &why) == E_CONFIG);
    CHECK(strstr(why.text, "pgusher_none") != NULL);
    CHECK(m.cos == NULL && m.floor == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(functions_come_in_the_order_of_their_names),
        RUN(a_library_that_is_not_there_is_named),
        RUN(without_one_function_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
