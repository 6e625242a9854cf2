/* What is taken out, when it is freed, and what is put back. The rounds between are the test's. */
#include "unit.h"

#include "pool/reap.h"

#include "small.h"

#define AUTO "* = host=127.0.0.1"

static size_t databases_count, accounts_count;

static void count_database(struct database *db, void *arg)
{
    (void)db;
    (void)arg;
    databases_count++;
}

static void count_account(struct account *a, void *arg)
{
    (void)a;
    (void)arg;
    accounts_count++;
}

static void check_left(size_t databases, size_t accounts)
{
    databases_count = accounts_count = 0;
    registry_each_database(registry, count_database, NULL);
    registry_each_account(registry, count_account, NULL);
    CHECK(databases_count == databases);
    CHECK(accounts_count == accounts);
}

static struct account *enter(const char *name, const char *user)
{
    struct account *a = NULL;
    struct fault why = {0};
    CHECK(registry_enter(registry, name, user, &a, &why) == E_OK);
    return a;
}

/* A login and its end. */
static void visit(const char *name, const char *user)
{
    registry_leave(registry, enter(name, user));
}

static void reload(const char *line, const char *options)
{
    char ini[512];
    struct config *next = NULL;
    (void)snprintf(ini, sizeof ini, "[databases]\n%s\n%s", line, options);
    CHECK(config_parse(bytes_str(ini), "test.ini", &next, NULL) == E_OK);
    registry_configure(registry, next, users);
    config_unref(&config);
    config = next;
    pools[0] = NULL;
}

/* One look and its rounds. true: something was out. */
static bool look(int64_t now_s)
{
    bool found = registry_doom(registry, now_s * US_PER_S);
    (void)registry_reap(registry);
    return found;
}

TEST(a_replaced_definition_goes_with_its_last_client)
{
    begin("");
    struct account *a = enter("clinic", "app"), *next;
    uint32_t id = a->database->id;
    reload("clinic = host=127.0.0.1 port=1", "");
    CHECK(!look(1));
    check_left(2, 1);
    next = registry_move(registry, a);
    CHECK(next != NULL && next != a && !atomic_load(&next->database->retired));
    CHECK(registry_doom(registry, 2 * US_PER_S));
    check_left(1, 1); /* not to be found, and still there for who has it */
    size_t ids;
    CHECK(registry_doomed(registry, &ids)[0] == id && ids == 1);
    CHECK_STR(a->database->name, "clinic");
    (void)registry_reap(registry);
    CHECK(!look(3));
    registry_leave(registry, next);
}

TEST(a_definition_stays_while_a_server_of_its_lives)
{
    begin("pool_size=1");
    CHECK(!ask(0, 0));
    UNTIL(holds(0));
    reload("clinic = host=127.0.0.1 port=1", "");
    CHECK(!look(1));
    give_back(0); /* and is closed */
    settle();
    CHECK(look(2));
    check_left(1, 0);
}

TEST(a_removed_line_leaves_nothing)
{
    begin("");
    reload("other = host=127.0.0.1", "");
    CHECK(look(1));
    check_left(1, 0);
}

TEST(a_database_of_the_star_goes_after_autodb_idle_timeout)
{
    begin("");
    reload(AUTO, "[pgbouncer]\nautodb_idle_timeout = 10\n");
    CHECK(look(1)); /* clinic itself */
    struct account *a = enter("one", "app"), *b = enter("two", "app");
    CHECK(!look(100));
    registry_leave(registry, a);
    CHECK(!look(101)); /* idle from here on */
    CHECK(!look(110));
    check_left(2, 2);
    CHECK(look(111));
    check_left(1, 1);
    registry_leave(registry, b);
}

TEST(use_begins_the_time_anew_and_pause_stops_it)
{
    begin("");
    reload(AUTO, "[pgbouncer]\nautodb_idle_timeout = 10\n");
    visit("one", "app");
    (void)look(100);
    struct account *a = enter("one", "app");
    CHECK(!look(109));
    registry_leave(registry, a);
    CHECK(!look(110));
    CHECK(!look(119));
    atomic_store(&a->database->paused, true);
    CHECK(!look(200));
    atomic_store(&a->database->paused, false);
    CHECK(look(200));
    check_left(0, 0);
}

TEST(a_pause_of_a_star_database_outlives_a_reload_that_changes_it)
{
    begin("");
    reload(AUTO, "");
    atomic_store(&registry_database(registry, "one")->paused, true);
    reload(AUTO " port=1", "");
    (void)look(1);
    CHECK(atomic_load(&registry_database(registry, "one")->paused));
    CHECK(look(2)); /* its successor knows it now */
    check_left(1, 0);
}

TEST(an_account_goes_after_pool_idle_timeout_and_its_counters_stay)
{
    begin_with("", "[pgbouncer]\npool_idle_timeout = 10\n");
    struct account *a = enter("clinic", "brief");
    stats_add(&a->stats[1].queries, 7);
    registry_leave(registry, a);
    struct account *b = enter("clinic", "app"); /* the one of begin() */
    CHECK(!look(100));
    CHECK(!look(109));
    CHECK(look(110));
    check_left(1, 1);
    CHECK(atomic_load(&b->database->past->queries) == 7);
    a = enter("clinic", "brief");
    CHECK(atomic_load(&a->stats[1].queries) == 0);
    registry_leave(registry, a);
    registry_leave(registry, b);
}

TEST(counters_go_on_to_the_next_definition)
{
    begin("");
    struct account *a = enter("clinic", "app"), *next;
    stats_add(&a->stats[0].queries, 7);
    reload("clinic = host=127.0.0.1 port=1", "");
    next = registry_move(registry, a);
    CHECK(look(1));
    CHECK(atomic_load(&next->database->past->queries) == 7);
    registry_leave(registry, next);
}

TEST(a_forced_users_pool_stays_for_min_pool_size_and_for_who_shares_it)
{
    const char *idle = "[pgbouncer]\npool_idle_timeout = 10\n";
    begin("");
    reload("clinic = host=127.0.0.1 user=boss min_pool_size=1", idle);
    (void)look(100);
    CHECK(!look(200));
    reload("clinic = host=127.0.0.1 user=boss", idle);
    struct account *a = enter("clinic", "app");
    CHECK(a->shares_pools);
    (void)look(300);
    CHECK(!look(400));
    registry_leave(registry, a);
    CHECK(!look(500));
    CHECK(look(510)); /* the one that shares */
    CHECK(look(511)); /* and then the owner */
    check_left(1, 0);
    a = enter("clinic", "app");
    CHECK(!a->shares_pools);
    registry_leave(registry, a);
}

TEST(what_somebody_holds_is_not_freed)
{
    begin("");
    const struct database *db = database;
    reload("other = host=127.0.0.1", "");
    registry_hold(registry);
    CHECK(look(1));
    CHECK_STR(db->name, "clinic");
    registry_let_go(registry);
    CHECK(look(2)); /* it was out all the time */
    CHECK(!look(3));
}

TEST(what_came_into_use_in_between_is_put_back)
{
    begin("");
    reload("clinic = host=127.0.0.1 port=1", "");
    CHECK(registry_doom(registry, 1));
    CHECK(!ask(0, 0)); /* who found it before asks now */
    UNTIL(holds(0));
    (void)registry_reap(registry);
    check_left(2, 1);
    give_back(0);
    settle();
    CHECK(look(2));
    check_left(1, 0);
}

TEST(thousands_of_databases_come_and_go)
{
    enum { MANY = 3000 };
    char name[32];
    begin("");
    reload(AUTO, "[pgbouncer]\nautodb_idle_timeout = 1\n");
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "db%u", i);
        visit(name, "app");
    }
    check_left(MANY + 1, MANY + 1); /* clinic's with them */
    (void)look(1);
    check_left(MANY, MANY);
    CHECK(registry_doom(registry, 2 * US_PER_S));
    CHECK(registry_reap(registry) == MANY);
    check_left(0, 0);
}

#define STOP(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOP(a_replaced_definition_goes_with_its_last_client),
        STOP(a_definition_stays_while_a_server_of_its_lives),
        STOP(a_removed_line_leaves_nothing),
        STOP(a_database_of_the_star_goes_after_autodb_idle_timeout),
        STOP(use_begins_the_time_anew_and_pause_stops_it),
        STOP(a_pause_of_a_star_database_outlives_a_reload_that_changes_it),
        STOP(an_account_goes_after_pool_idle_timeout_and_its_counters_stay),
        STOP(counters_go_on_to_the_next_definition),
        STOP(a_forced_users_pool_stays_for_min_pool_size_and_for_who_shares_it),
        STOP(what_somebody_holds_is_not_freed),
        STOP(what_came_into_use_in_between_is_put_back),
        STOP(thousands_of_databases_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
