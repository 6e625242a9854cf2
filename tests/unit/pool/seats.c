/* pool_size over pools that follow each other: counts, and servers of old and new together. */
#include "unit.h"

#include "base/mem.h"
#include "pool/internal.h"
#include "pool/seats.h"

#include "small.h"

TEST(no_more_seats_than_asked_for)
{
    struct dlist a;
    struct seats *s = seats_new();
    dlist_init(&a);
    seats_join(s, &a);
    CHECK(!seats_take(s, 0));
    CHECK(seats_take(s, 2) && seats_take(s, 2) && !seats_take(s, 2));
    CHECK(seats_take(s, 3));
    seats_give(s);
    CHECK(!seats_take(s, 2) && seats_take(s, UINT_MAX));
    seats_leave(&s, &a);
    CHECK(s == NULL);
}

static void count_member(struct dlist *member, void *arg)
{
    (void)member;
    ++*(unsigned *)arg;
}

TEST(seats_live_as_long_as_somebody_of_the_family)
{
    struct dlist a, b;
    struct seats *s = seats_new(), *same = s;
    unsigned members = 0;
    dlist_init(&a);
    dlist_init(&b);
    seats_join(s, &a);
    seats_join(same, &b);
    CHECK(seats_take(s, 1));
    seats_leave(&s, &a);
    CHECK(!seats_take(same, 1));
    seats_each(same, count_member, &members);
    CHECK(members == 1);
    seats_leave(&same, &b);
}

/* The line as it will be after a reload; the pool of app under it. */
static struct pool *reload(const char *line)
{
    char ini[256];
    struct config *next = NULL;
    (void)snprintf(ini, sizeof ini, "[databases]\nclinic = host=127.0.0.1 port=%d %s\n", fake.port,
                   line);
    CHECK(config_parse(bytes_str(ini), "test.ini", &next, NULL) == E_OK);
    registry_configure(registry, next, users);
    config_unref(&config);
    config = next;
    struct database *db = registry_database(registry, "clinic");
    return pools[1] = registry_account(registry, db, "app")->pools[0];
}

static unsigned total(struct pool *p)
{
    struct pool_counts c;
    pool_counts(p, &c);
    return c.total;
}

static void hold_two(void)
{
    begin("pool_size=2");
    CHECK(!ask(0, 0) && !ask(1, 1));
    UNTIL(holds(0) && holds(1));
}

TEST(the_servers_of_the_replaced_pool_count_until_they_are_gone)
{
    hold_two();
    struct pool *next = reload("pool_size=2 application_name=x");
    CHECK(next != pool);
    askers[2].pool = next;
    askers[3].pool = next;
    CHECK(!ask(2, 2) && !ask(3, 0));
    settle();
    CHECK(!holds(2) && !holds(3) && total(pool) == 2 && total(next) == 0);
    give_back(0); /* it is closed: somebody of the new pool is served */
    UNTIL(holds(2) || holds(3));
    settle();
    CHECK(total(pool) == 1 && total(next) == 1);
    give_back(1);
    UNTIL(holds(2) && holds(3));
    CHECK(total(pool) == 0 && total(next) == 2);
    give_back(2);
    give_back(3);
}

TEST(who_waited_longer_comes_first_whichever_pool_it_waits_at)
{
    hold_two();
    CHECK(!ask(2, 2)); /* at the old one */
    struct pool *next = reload("pool_size=2 application_name=x");
    askers[3].pool = next;
    ahead_us = 1000;
    CHECK(!ask(3, 0));
    give_back(0);
    UNTIL(holds(2));
    settle();
    CHECK(!holds(3));
    give_back(2);
    UNTIL(holds(3));
    CHECK(total(pool) == 1 && total(next) == 1);
    give_back(1);
    give_back(3);
}

TEST(a_size_alone_is_changed_where_it_is)
{
    hold_two();
    CHECK(reload("pool_size=3") == pool);
    CHECK(!ask(2, 2));
    UNTIL(holds(2));
    CHECK(total(pool) == 3 && holds(0) && holds(1));
    give_back(0);
    give_back(1);
    give_back(2);
}

TEST(a_smaller_size_holds_for_the_old_pool_too)
{
    hold_two();
    struct pool *next = reload("pool_size=1 application_name=x");
    CHECK(!ask(2, 2)); /* by somebody who has not moved on yet */
    askers[3].pool = next;
    CHECK(!ask(3, 0));
    give_back(0);
    settle();
    CHECK(!holds(2) && !holds(3) && total(pool) == 1);
    give_back(1);
    UNTIL(holds(2));
    settle();
    CHECK(!holds(3) && total(pool) + total(next) == 1);
    give_back(2);
    UNTIL(holds(3));
    CHECK(total(pool) + total(next) == 1);
    give_back(3);
}

TEST(a_third_definition_counts_with_the_first)
{
    hold_two();
    (void)reload("pool_size=2 application_name=x");
    struct pool *third = reload("pool_size=2 application_name=y");
    askers[2].pool = third;
    CHECK(!ask(2, 2));
    settle();
    CHECK(!holds(2));
    give_back(1);
    UNTIL(holds(2));
    give_back(0);
    give_back(2);
}

static bool same_seats(const struct pool *a, const struct pool *b)
{
    return a->seats == b->seats;
}

static enum err parse(struct config **ret, const char *ini)
{
    return config_parse(bytes_str(ini), "test.ini", ret, NULL);
}

TEST(a_machine_that_stays_keeps_its_seats_and_a_new_one_takes_over_the_other)
{
    struct config *next = NULL;
    begin("");
    CHECK(parse(&next, "[databases]\nclinic = host=a,b\n") == E_OK);
    registry_configure(registry, next, users);
    struct account *old = registry_account(registry, registry_database(registry, "clinic"), "app");
    config_unref(&next);
    CHECK(parse(&next, "[databases]\nclinic = host=b,c\n") == E_OK);
    registry_configure(registry, next, users);
    struct account *next_one =
        registry_account(registry, registry_database(registry, "clinic"), "app");
    config_unref(&next);
    CHECK(same_seats(old->pools[1], next_one->pools[0]));  /* b */
    CHECK(!same_seats(old->pools[0], next_one->pools[1])); /* a's place is b's, which was there */
    CHECK(parse(&next, "[databases]\nclinic = host=b,d\n") == E_OK);
    registry_configure(registry, next, users);
    struct account *last = registry_account(registry, registry_database(registry, "clinic"), "app");
    config_unref(&next);
    CHECK(same_seats(next_one->pools[1], last->pools[1])); /* d for c */
    pools[0] = NULL;
}

#define STOP(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(no_more_seats_than_asked_for),
        RUN(seats_live_as_long_as_somebody_of_the_family),
        STOP(the_servers_of_the_replaced_pool_count_until_they_are_gone),
        STOP(who_waited_longer_comes_first_whichever_pool_it_waits_at),
        STOP(a_size_alone_is_changed_where_it_is),
        STOP(a_smaller_size_holds_for_the_old_pool_too),
        STOP(a_third_definition_counts_with_the_first),
        STOP(a_machine_that_stays_keeps_its_seats_and_a_new_one_takes_over_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
