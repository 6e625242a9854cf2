/* What is remembered of host names, by a clock of our own. */
#include "unit.h"

#include "base/clock.h"
#include "net/names.h"

enum { TTL = 15, FAILED = 5 };

static struct names names;
static struct address one, two, three;

static int start(void **state)
{
    (void)state;
    names_init(&names);
    names_configure(&names, TTL * US_PER_S, FAILED * US_PER_S);
    CHECK(address_numeric(&one, "10.0.0.1", 0));
    CHECK(address_numeric(&two, "10.0.0.2", 0));
    CHECK(address_numeric(&three, "::3", 0));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    names_done(&names);
    return 0;
}

static int64_t at(int seconds)
{
    return 1000 * US_PER_S + seconds * US_PER_S;
}

static void learn(int seconds, unsigned count, const struct address *a, const struct address *b)
{
    struct address list[2] = {0};
    if (a != NULL) { list[0] = *a; }
    if (b != NULL) { list[1] = *b; }
    names_learn(&names, "pg", list, count, at(seconds));
}

/* What is given at that time: 1, 2, 3; 0: look it up; -1: in vain. */
static int find(int seconds)
{
    struct address a;
    enum err e = names_find(&names, "pg", at(seconds), &a);
    if (e == E_AGAIN) { return 0; }
    if (e == E_NOTFOUND) { return -1; }
    CHECK(e == E_OK);
    char text[64];
    int port;
    address_text(&a, text, sizeof text, &port);
    return text[strlen(text) - 1] - '0';
}

TEST(a_name_is_looked_up_once_in_its_ttl)
{
    CHECK(find(0) == 0);
    learn(0, 1, &one, NULL);
    CHECK(find(0) == 1 && find(14) == 1);
    CHECK(!names_is_due(&names, "pg", at(14)));
    CHECK(find(15) == 0 && names_is_due(&names, "pg", at(15)));
}

TEST(a_failed_lookup_is_not_repeated_at_once)
{
    learn(0, 0, NULL, NULL);
    CHECK(find(0) == -1 && find(4) == -1);
    CHECK(find(5) == 0);
}

TEST(a_failed_lookup_takes_nothing_away)
{
    learn(0, 1, &one, NULL);
    learn(20, 0, NULL, NULL);
    CHECK(find(21) == 1);
    CHECK(!names_is_due(&names, "pg", at(21)));
    CHECK(names_is_due(&names, "pg", at(25)) && find(25) == 0);
    CHECK(names_has(&names, "pg", &one));
    CHECK(atomic_load(&names.turn) == 0);
}

TEST(several_addresses_take_turns)
{
    learn(0, 2, &one, &two);
    int first = find(0);
    CHECK(find(0) == 3 - first && find(0) == first);
}

TEST(an_address_where_nobody_answers_is_passed_over_for_a_while)
{
    learn(0, 2, &one, &three);
    CHECK(names_failed(&names, "pg", &one, at(1)));
    for (unsigned i = 0; i < 4; i++) { CHECK(find(2) == 3); }
    CHECK(!names_failed(&names, "pg", &three, at(2))); /* no other is left */
    CHECK(find(3) != 0);
    CHECK(find(8) != find(8)); /* both again */
}

TEST(a_change_is_told_and_the_order_is_none)
{
    learn(0, 2, &one, &two);
    learn(15, 2, &two, &one);
    CHECK(atomic_load(&names.turn) == 0);
    learn(30, 1, &two, NULL);
    CHECK(atomic_load(&names.turn) == 1);
    CHECK(!names_has(&names, "pg", &one) && names_has(&names, "pg", &two));
}

TEST(the_port_is_no_part_of_it)
{
    struct address with_port = one;
    learn(0, 1, &one, NULL);
    address_set_port(&with_port, 5432);
    CHECK(names_has(&names, "pg", &with_port));
}

TEST(of_an_unknown_name_nothing_is_claimed)
{
    CHECK(names_has(&names, "pg", &one));
    CHECK(!names_is_due(&names, "pg", at(0)));
    CHECK(!names_failed(&names, "pg", &one, at(0)));
}

TEST(a_name_that_nobody_asks_for_is_forgotten)
{
    learn(0, 1, &one, NULL);
    names_sweep(&names, at(60));
    CHECK(names_has(&names, "pg", &one) && !names_has(&names, "pg", &two));
    CHECK(names_is_due(&names, "pg", at(50))); /* its servers ask */
    names_sweep(&names, at(110));
    CHECK(!names_has(&names, "pg", &two));
    names_sweep(&names, at(111));
    CHECK(names_has(&names, "pg", &two) && names.hosts.count == 0);
}

TEST(a_long_ttl_is_kept_to_its_end)
{
    names_configure(&names, 100 * US_PER_S, FAILED * US_PER_S);
    learn(0, 1, &one, NULL);
    names_sweep(&names, at(100));
    CHECK(names.hosts.count == 1);
    names_sweep(&names, at(101));
    CHECK(names.hosts.count == 0);
}

static void count_rows(void *arg, const char *host, int64_t ttl_us, const struct address *list,
                       unsigned count)
{
    unsigned *rows = arg;
    CHECK_STR(host, "pg");
    CHECK(ttl_us == 12 * US_PER_S && count == 1 && list != NULL);
    ++*rows;
}

TEST(people_see_what_is_known)
{
    unsigned rows = 0;
    learn(0, 1, &one, NULL);
    names_each(&names, at(3), count_rows, &rows);
    CHECK(rows == 1);
}

static struct {
    unsigned count, hosts;
    uint32_t serial;
} zones;

static void count_zone(void *arg, const char *zone, uint32_t serial, unsigned hosts)
{
    (void)arg;
    CHECK_STR(zone, "a.test");
    zones.count++;
    zones.serial = serial;
    zones.hosts = hosts;
}

static void look_at_zones(void)
{
    memset(&zones, 0, sizeof zones);
    names_each_zone(&names, count_zone, NULL);
}

TEST(hosts_have_the_zone_behind_their_first_dot)
{
    CHECK(names_zone("pg") == NULL && names_zone("pg.") == NULL);
    CHECK_STR(names_zone("pg.a.test"), "a.test");
    names_learn(&names, "one.a.test", &one, 1, at(0));
    names_learn(&names, "two.a.test", NULL, 0, at(30));
    names_learn(&names, "plain", &one, 1, at(30));
    look_at_zones();
    CHECK(zones.count == 1 && zones.hosts == 2 && zones.serial == 0);
    names_sweep(&names, at(61));
    look_at_zones();
    CHECK(zones.count == 1 && zones.hosts == 1);
    names_sweep(&names, at(91));
    look_at_zones();
    CHECK(zones.count == 0);
}

TEST(a_serial_counts_when_it_is_a_later_one)
{
    uint32_t old = 1;
    CHECK(!names_learn_serial(&names, "a.test", 5, &old)); /* of whom? */
    names_learn(&names, "pg.a.test", &one, 1, at(0));
    CHECK(names_learn_serial(&names, "a.test", 5, &old) && old == 0);
    CHECK(!names_learn_serial(&names, "a.test", 5, &old));
    CHECK(!names_learn_serial(&names, "a.test", 4, &old));
    CHECK(names_learn_serial(&names, "a.test", 0x7fffffff, &old) && old == 5);
    CHECK(names_learn_serial(&names, "a.test", 0xfffffffe, &old));
    CHECK(names_learn_serial(&names, "a.test", 3, &old) && old == 0xfffffffe); /* it wraps */
    look_at_zones();
    CHECK(zones.serial == 3);
}

TEST(what_was_known_is_there_however_old_it_is)
{
    struct address a, list[NAMES_ADDRESSES];
    CHECK(!names_pick(&names, "pg", at(0), &a) && names_list(&names, "pg", list) == 0);
    learn(0, 2, &one, &two);
    learn(500, 0, NULL, NULL);
    CHECK(names_pick(&names, "pg", at(1000), &a));
    CHECK(names_list(&names, "pg", list) == 2 && list[0].len == one.len);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_name_is_looked_up_once_in_its_ttl),
        WITH(a_failed_lookup_is_not_repeated_at_once),
        WITH(a_failed_lookup_takes_nothing_away),
        WITH(several_addresses_take_turns),
        WITH(an_address_where_nobody_answers_is_passed_over_for_a_while),
        WITH(a_change_is_told_and_the_order_is_none),
        WITH(the_port_is_no_part_of_it),
        WITH(of_an_unknown_name_nothing_is_claimed),
        WITH(a_name_that_nobody_asks_for_is_forgotten),
        WITH(a_long_ttl_is_kept_to_its_end),
        WITH(people_see_what_is_known),
        WITH(hosts_have_the_zone_behind_their_first_dot),
        WITH(a_serial_counts_when_it_is_a_later_one),
        WITH(what_was_known_is_there_however_old_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
