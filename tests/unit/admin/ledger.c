/* Pages of counters and the averages made of two. */
#include "unit.h"

#include "admin/ledger.h"
#include "base/mem.h"

static struct page page_of(const char *database, uint64_t xacts, uint64_t xact_time, int64_t at_us)
{
    struct page p = {.rows = mem_array(struct figures, 1), .count = 1, .at_us = at_us};
    p.rows[0].database = mem_strdup(database);
    p.rows[0].v[FIGURE_XACTS] = xacts;
    p.rows[0].v[FIGURE_XACT_TIME] = xact_time;
    return p;
}

TEST(a_difference_is_what_happened_between_and_how_long_that_was)
{
    struct page from = page_of("a", 100, 5000, 1000000), to = page_of("a", 160, 11000, 3000000);
    struct page d;
    page_differ(&d, &from, &to);
    CHECK(d.count == 1 && d.at_us == 2000000);
    CHECK(d.rows[0].v[FIGURE_XACTS] == 60 && d.rows[0].v[FIGURE_XACT_TIME] == 6000);
    page_done(&d);
    page_done(&from);
    page_done(&to);
}

TEST(a_database_that_is_new_counts_from_zero_and_one_that_went_is_left_out)
{
    struct page from = page_of("old", 100, 0, 0), to = page_of("new", 7, 0, 1000000);
    struct page d;
    page_differ(&d, &from, &to);
    CHECK(d.count == 1 && page_find(&d, "old") == NULL);
    CHECK(page_find(&d, "new")->v[FIGURE_XACTS] == 7);
    page_done(&d);
    page_done(&from);
    page_done(&to);
}

TEST(a_database_that_went_and_came_back_counts_from_zero)
{
    struct page from = page_of("a", 100, 0, 0), to = page_of("a", 7, 0, 1000000);
    struct page d;
    page_differ(&d, &from, &to);
    CHECK(d.rows[0].v[FIGURE_XACTS] == 7);
    page_done(&d);
    page_done(&from);
    page_done(&to);
}

TEST(counts_are_averaged_per_second_and_times_per_transaction_and_query)
{
    struct figures d = {.database = "a"};
    d.v[FIGURE_XACTS] = 100;
    d.v[FIGURE_XACT_TIME] = 12345;
    d.v[FIGURE_QUERIES] = 200;
    d.v[FIGURE_QUERY_TIME] = 1000;
    d.v[FIGURE_WAIT_TIME] = 500;
    struct figures a = figures_average(&d, 10 * 1000000);
    CHECK(a.v[FIGURE_XACTS] == 10 && a.v[FIGURE_XACT_TIME] == 123);
    CHECK(a.v[FIGURE_QUERIES] == 20 && a.v[FIGURE_QUERY_TIME] == 5);
    CHECK(a.v[FIGURE_WAIT_TIME] == 50);
}

TEST(nothing_in_no_time_is_zero)
{
    struct figures d = {.database = "a"};
    d.v[FIGURE_XACT_TIME] = 10;
    struct figures a = figures_average(&d, 0);
    CHECK(a.v[FIGURE_XACT_TIME] == 0);
    a = figures_average(&d, 1000000);
    CHECK(a.v[FIGURE_XACT_TIME] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_difference_is_what_happened_between_and_how_long_that_was),
        RUN(a_database_that_is_new_counts_from_zero_and_one_that_went_is_left_out),
        RUN(a_database_that_went_and_came_back_counts_from_zero),
        RUN(counts_are_averaged_per_second_and_times_per_transaction_and_query),
        RUN(nothing_in_no_time_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
