/*
 * The door in Redis mode against a fake Redis on loopback: sharing, voiding, and every way in which
 * Redis can fail. Whatever it does costs hits and never serves what a write has changed.
 */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "fake_redis.h"
#include "net/loop.h"

#define SECOND INT64_C(1000000)
#define SECRET "a secret of at least thirty-two bytes"

static struct rule_config rules[] = {{.ttl_us = 600 * SECOND, .mode = RULE_STRICT},
                                     {.ttl_us = 600 * SECOND, .mode = RULE_TTL}};
static const uint32_t deps[] = {16384, 16385};
static struct loop loop;
static struct fake fake;
static char secret_path[64], url[128];
static unsigned done; /* bumps told */

/* One pgusher with one worker. */
struct proxy {
    struct config config;
    struct cache *cache;
    struct cache_side *side;
};
static struct proxy a, b;

static void start(struct proxy *p, const char *login)
{
    (void)snprintf(url, sizeof url, "redis://%s127.0.0.1:%d/%s", login, fake.port,
                   login[0] == '\0' ? "" : "3");
    p->config = (struct config){.rules = rules, .rules_count = 2};
    p->config.o.cache = CACHE_REDIS;
    p->config.o.cache_secret_file = secret_path;
    p->config.o.redis_url = url;
    p->config.o.redis_timeout_us = 2 * SECOND;
    p->config.o.cache_memory_bytes = 1 << 20;
    p->config.o.cache_max_entry_bytes = 1024;
    CHECK(cache_open(&p->config, &p->cache, NULL) == E_OK);
    p->side = cache_attach(p->cache, &loop);
}

static void stop(struct proxy *p)
{
    if (p->cache == NULL) { return; }
    cache_detach(&p->side);
    cache_close(&p->cache);
}

static void set_timeout(struct proxy *p, int64_t us)
{
    p->config.o.redis_timeout_us = us;
    CHECK(cache_configure(p->cache, &p->config, NULL) == E_OK);
}

static bool up(const struct proxy *p)
{
    struct cache_stats st;
    cache_stats(p->cache, &st);
    return st.redis_up;
}

/* Turns the loop until it is so; fails the test after a while. */
#define UNTIL(condition)                                                                           \
    for (int64_t given_up = clock_now_us() + 10 * SECOND; !(condition);) {                         \
        CHECK(clock_now_us() < given_up);                                                          \
        (void)uv_run(&loop.uv, UV_RUN_ONCE);                                                       \
    }

struct asker {
    struct cache_ticket ticket;
    struct cache_question question;
    unsigned woken;
    char text[64];
};

static void ready(struct cache_ticket *t)
{
    ((struct asker *)t->owner)->woken++;
}

static void ask(struct asker *who, const char *key)
{
    *who = (struct asker){
        .ticket = {.ready = ready, .owner = who},
        .question = {
            .key = bytes_str(key), .redis = true, .deps = deps, .deps_count = 2, .database_id = 1}};
}

static const char *find_now(struct proxy *p, struct asker *who)
{
    struct cache_entry *e = NULL;
    enum err result = cache_find(p->side, &who->question, &who->ticket, clock_now_us(), &e);
    if (result != E_OK) {
        CHECK(e == NULL);
        return err_name(result);
    }
    struct bytes rows = cache_entry_bytes(e);
    CHECK(rows.len < sizeof who->text - 4 && who->ticket.state == NULL);
    (void)snprintf(who->text, sizeof who->text, "hit:%.*s", (int)rows.len, (const char *)rows.ptr);
    cache_entry_unref(&e);
    return who->text;
}

/* The same, through the wait for Redis. */
static const char *find(struct proxy *p, struct asker *who)
{
    const char *result;
    for (;;) {
        unsigned before = who->woken;
        result = find_now(p, who);
        if (strcmp(result, "again") != 0) { return result; }
        CHECK(who->woken == before); /* never from inside the call */
        UNTIL(who->woken > before);
    }
}

static void fill(struct proxy *p, struct asker *who, const char *rows)
{
    unsigned before = fake.sets;
    cache_fill(p->side, &who->ticket, bytes_str(rows), clock_now_us());
    if (fake.fair > UINT32_MAX / 2) { UNTIL(fake.sets > before); }
}

static void bumped(struct cache_bump *bump)
{
    CHECK(bump->state == NULL);
    done++;
}

/* Whether done() was waited for; how long is bounded by redis_timeout. */
static bool bump(struct proxy *p, uint32_t relation)
{
    done = 0;
    struct cache_bump one = {.done = bumped};
    if (cache_bump_tables(p->side, &one, 1, false, &relation, 1) == E_OK) { return false; }
    CHECK(done == 0);
    UNTIL(done > 0);
    CHECK(done == 1 && one.state == NULL);
    return true;
}

/* Finds until the cache takes part again; what is found then is left to the caller. */
static const char *find_recovered(struct proxy *p, struct asker *who)
{
    for (int64_t given_up = clock_now_us() + 10 * SECOND;;) {
        const char *result = find(p, who);
        if (strcmp(result, "refused") != 0) { return result; }
        CHECK(clock_now_us() < given_up);
        (void)uv_run(&loop.uv, UV_RUN_ONCE);
    }
}

static int begin(void **state __attribute__((unused)))
{
    (void)snprintf(secret_path, sizeof secret_path, "/tmp/pgusher-secret-XXXXXX");
    int fd = mkstemp(secret_path);
    CHECK(fd >= 0 && write(fd, SECRET, sizeof SECRET) == sizeof SECRET && close(fd) == 0);
    loop_init(&loop);
    fake_start(&fake, &loop.uv);
    fake.fair = UINT32_MAX;
    start(&a, "");
    UNTIL(up(&a));
    return 0;
}

static int end(void **state __attribute__((unused)))
{
    stop(&a);
    stop(&b);
    fake_stop(&fake);
    loop_done(&loop);
    CHECK(unlink(secret_path) == 0);
    return 0;
}

static void start_second(void)
{
    start(&b, "");
    UNTIL(up(&b));
}

/* A first find meets no versions and makes them; the second may fill. */
static void fill_from(struct proxy *p, const char *key, const char *rows)
{
    struct asker who;
    ask(&who, key);
    CHECK_STR(find_recovered(p, &who), "notfound");
    fill(p, &who, rows);
}

TEST(what_one_process_fills_another_finds)
{
    struct asker who;
    start_second();
    fill_from(&a, "q", "rows");
    ask(&who, "q");
    CHECK_STR(find(&b, &who), "hit:rows");
    struct cache_stats st;
    cache_stats(b.cache, &st);
    CHECK(st.hits == 1 && st.redis_hits == 1 && st.redis_errors == 0);
    for (unsigned i = 0; i < fake.pairs_count; i++) {
        CHECK(strncmp(fake.pairs[i].key, "{pgu:", 5) == 0);
        CHECK(memmem(fake.pairs[i].value, fake.pairs[i].len, "rows", 4) == NULL);
    }
}

TEST(a_first_question_makes_the_versions_and_does_not_fill)
{
    struct asker who;
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "refused");
    CHECK_STR(find(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(a_bump_through_one_process_voids_for_the_other)
{
    struct asker who;
    start_second();
    fill_from(&a, "q", "old");
    CHECK(bump(&b, 16385));
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "notfound");
    fill(&a, &who, "new");
    CHECK_STR(find(&b, &who), "hit:new");
    CHECK(bump(&b, 99999));
    CHECK_STR(find(&b, &who), "hit:new");
}

TEST(a_bump_of_everything_voids)
{
    struct asker who;
    done = 0;
    struct cache_bump all = {.done = bumped};
    fill_from(&a, "q", "old");
    CHECK(cache_bump_tables(a.side, &all, 1, true, NULL, 0) == E_AGAIN);
    UNTIL(done == 1);
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(a_fill_that_a_write_overtook_is_never_served)
{
    struct asker who, other;
    start_second();
    fill_from(&a, "q", "older");
    CHECK(bump(&a, 16384));
    ask(&who, "q");
    ask(&other, "q");
    CHECK_STR(find(&a, &who), "notfound");
    CHECK(bump(&b, 16384));
    fill(&a, &who, "old");
    CHECK_STR(find(&b, &other), "notfound");
    cache_drop(b.side, &other.ticket, false);
}

TEST(equal_questions_share_one_query_unless_a_write_came_between)
{
    struct asker first, same, later;
    fill_from(&a, "warm", "x");
    ask(&first, "q");
    ask(&same, "q");
    ask(&later, "q");
    CHECK_STR(find(&a, &first), "notfound");
    CHECK_STR(find_now(&a, &same), "again");
    UNTIL(same.woken == 1);
    CHECK_STR(find_now(&a, &same), "again"); /* waits for the first */
    CHECK(bump(&a, 16384));
    CHECK_STR(find(&a, &later), "notfound");
    fill(&a, &first, "old");
    UNTIL(same.woken == 2);
    CHECK_STR(find_now(&a, &same), "hit:old"); /* it asked before the write */
    fill(&a, &later, "new");
    CHECK_STR(find(&a, &same), "hit:new");
}

TEST(a_value_under_another_key_or_of_another_time_is_a_miss)
{
    struct asker who;
    uint8_t kept[2048];
    fill_from(&a, "one", "1");
    fill_from(&a, "two", "2");
    struct fake_pair *one = &fake.pairs[fake.pairs_count - 2];
    struct fake_pair *two = &fake.pairs[fake.pairs_count - 1];
    CHECK(strstr(one->key, ":K:") != NULL && strstr(two->key, ":K:") != NULL);
    CHECK(one->len == two->len);
    memcpy(kept, one->value, one->len);
    memcpy(one->value, two->value, two->len);
    ask(&who, "one");
    CHECK_STR(find(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
    memcpy(one->value, kept, one->len);
    CHECK_STR(find(&a, &who), "hit:1");
    CHECK(bump(&a, 16384));
    fill_from(&a, "one", "newer");
    CHECK_STR(find(&a, &who), "hit:newer");
    memcpy(one->value, kept, two->len); /* an old but authentic value comes back */
    one->len = two->len;
    CHECK_STR(find(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(an_emptied_redis_means_a_new_epoch)
{
    struct asker who;
    static struct fake_pair kept[64];
    fill_from(&a, "q", "rows");
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "hit:rows");
    memcpy(kept, fake.pairs, sizeof kept);
    unsigned count = fake.pairs_count;
    fake.pairs_count = 0;
    CHECK_STR(find(&a, &who), "refused");
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
    for (unsigned i = 0; i < count; i++) { /* all but the epoch comes back: still void */
        if (strstr(kept[i].key, ":E") == NULL) {
            fake_set(&fake, kept[i].key, bytes_of(kept[i].value, kept[i].len));
        }
    }
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(a_redis_that_restarts_with_old_data_serves_none_of_it)
{
    struct asker who;
    static struct fake_pair kept[64];
    fill_from(&a, "q", "old");
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "hit:old");
    memcpy(kept, fake.pairs, sizeof kept); /* a snapshot is taken ... */
    unsigned count = fake.pairs_count;
    CHECK(bump(&a, 16384));
    memcpy(fake.pairs, kept, sizeof kept); /* ... and all that came after is lost */
    fake.pairs_count = count;
    fake.run_id[0] = 'f';
    fake_hang_up_all(&fake);
    UNTIL(!up(&a));
    UNTIL(up(&a));
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(another_redis_gets_a_new_epoch_even_if_it_has_one)
{
    struct asker who;
    fill_from(&a, "q", "old");
    /* A replica takes over; another process has met it and renewed the epoch, but some of our
     * versions went to the old one only. */
    fake.run_id[0] = 'f';
    for (unsigned i = 0; i < fake.pairs_count; i++) {
        if (strstr(fake.pairs[i].key, ":E") != NULL) { fake.pairs[i].value[33] = 'f'; }
    }
    fake_hang_up_all(&fake);
    UNTIL(!up(&a));
    ask(&who, "q");
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(an_answer_of_the_wrong_kind_ends_the_connection)
{
    struct asker who;
    static const enum fake_manner wrong[] = {FAKE_NULL, FAKE_NUMBER, FAKE_SHORT};
    for (size_t i = 0; i < 3; i++) {
        unsigned connections = fake.connections;
        fake.fair = 0;
        fake.manner = wrong[i];
        ask(&who, "q");
        CHECK_STR(find(&a, &who), "refused");
        fake.fair = UINT32_MAX;
        UNTIL(fake.connections > connections && up(&a));
    }
}

TEST(a_refused_login_or_database_is_not_passed_over)
{
    static const char *const commands[] = {"AUTH", "SELECT", "INFO", "GET", "SET"};
    for (size_t i = 0; i < 5; i++) {
        stop(&a);
        fake.pairs_count = 0;
        fake.refused = commands[i];
        unsigned connections = fake.connections;
        start(&a, "me:pass@");
        UNTIL(fake.connections > connections + 1);
        CHECK(!up(&a));
        fake.refused = NULL;
        UNTIL(up(&a));
    }
}

TEST(data_of_another_redis_loaded_in_place_is_void)
{
    struct asker who;
    fill_from(&a, "q", "old");
    ask(&who, "q");
    CHECK_STR(find(&a, &who), "hit:old");
    for (unsigned i = 0; i < fake.pairs_count; i++) {
        if (strstr(fake.pairs[i].key, ":E") != NULL) { fake.pairs[i].value[40] ^= 1; }
    }
    CHECK_STR(find(&a, &who), "refused");
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(lost_or_spoilt_versions_cost_one_fill)
{
    struct asker who;
    fill_from(&a, "q", "old");
    ask(&who, "q");
    for (unsigned i = 0; i < fake.pairs_count; i++) {
        if (strstr(fake.pairs[i].key, ":V:1:16384") != NULL) { fake.pairs[i].value[0] = '-'; }
    }
    CHECK_STR(find(&a, &who), "refused");
    CHECK_STR(find(&a, &who), "notfound");
    fill(&a, &who, "new");
    CHECK_STR(find(&a, &who), "hit:new");
}

TEST(silence_costs_a_find_its_timeout_and_the_next_ones_nothing)
{
    struct asker first, second;
    fill_from(&a, "q", "rows");
    ask(&first, "q");
    ask(&second, "q");
    CHECK_STR(find(&a, &first), "hit:rows");
    set_timeout(&a, 10000);
    fake.fair = 0;
    fake.manner = FAKE_SILENT;
    int64_t before = clock_now_us();
    CHECK_STR(find_now(&a, &first), "again");
    CHECK(first.ticket.deadline_us > before);
    UNTIL(first.woken > 1);
    CHECK_STR(find_now(&a, &first), "refused");
    CHECK_STR(find_now(&a, &second), "refused"); /* at once: an answer is overdue */
    CHECK(!bump(&a, 16384));                     /* at once, and so in doubt */
    fake.manner = FAKE_FAIR;
    fake_release(&fake);
    CHECK_STR(find_recovered(&a, &second), "notfound"); /* the late answer went to nobody */
    cache_drop(a.side, &second.ticket, false);
}

TEST(a_bump_without_an_answer_ends_in_time_and_voids_everything)
{
    struct asker who;
    start_second();
    fill_from(&a, "q", "old");
    ask(&who, "q");
    CHECK_STR(find(&b, &who), "hit:old");
    set_timeout(&a, 10000);
    fake.fair = 0;
    fake.manner = FAKE_ERROR; /* the write is refused */
    unsigned sets = fake.sets;
    CHECK(bump(&a, 70000)); /* any relation */
    CHECK(fake.sets > sets);
    CHECK_STR(find_now(&a, &who), "refused");
    fake.fair = UINT32_MAX;
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
    CHECK_STR(find(&b, &who), "notfound"); /* the other process sees the new epoch */
    cache_drop(b.side, &who.ticket, false);
}

TEST(whoever_left_is_not_told)
{
    struct asker who;
    done = 0;
    struct cache_bump one = {.done = bumped};
    fill_from(&a, "q", "rows");
    fake.fair = 0;
    fake.manner = FAKE_SILENT;
    struct asker *gone = malloc(sizeof *gone);
    if (gone == NULL) { abort(); }
    ask(gone, "q");
    CHECK_STR(find_now(&a, gone), "again");
    CHECK(cache_bump_tables(a.side, &one, 1, false, deps, 2) == E_AGAIN);
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    cache_drop(a.side, &gone->ticket, false);
    free(gone);
    cache_bump_forget(a.side, &one);
    cache_bump_forget(a.side, &one); /* harmless */
    fake.manner = FAKE_FAIR;
    fake_release(&fake);
    ask(&who, "q");
    CHECK_STR(find_recovered(&a, &who), "notfound");
    CHECK(done == 0);
    cache_drop(a.side, &who.ticket, false);
}

/* A whole life against one misbehaviour that begins after so many commands. */
static void live_through(enum fake_manner manner, unsigned fair)
{
    struct asker who;
    fake.fair = fair;
    fake.manner = manner;
    ask(&who, "q");
    for (int i = 0; i < 3; i++) {
        const char *found = find(&a, &who);
        CHECK(strcmp(found, "hit:old") != 0 || i > 0);
        if (strcmp(found, "notfound") == 0) { fill(&a, &who, "old"); }
    }
    (void)bump(&a, 16384);
    /* acknowledged: from here on nobody may see what was there before */
    for (int i = 0; i < 3; i++) {
        const char *found = find(&a, &who);
        CHECK(strcmp(found, "hit:old") != 0);
        if (strcmp(found, "notfound") == 0) { fill(&a, &who, "new"); }
    }
    fake.fair = UINT32_MAX;
    fake_release(&fake);
    const char *found = find_recovered(&a, &who);
    CHECK(strcmp(found, "notfound") == 0 || strcmp(found, "hit:new") == 0);
    cache_drop(a.side, &who.ticket, false);
}

TEST(no_misbehaviour_at_any_point_serves_what_a_write_has_changed)
{
    set_timeout(&a, 3000);
    for (enum fake_manner manner = FAKE_SILENT; manner < FAKE_MANNERS; manner++) {
        for (unsigned fair = 0; fair < 9; fair++) { live_through(manner, fair); }
    }
}

TEST(no_misbehaviour_in_the_greeting_gets_through)
{
    for (enum fake_manner manner = FAKE_CLOSES; manner < FAKE_MANNERS; manner++) {
        for (unsigned fair = 0; fair < 3; fair++) {
            if (fair == 1 && manner == FAKE_NULL) { continue; } /* an epoch that is not there yet */
            if (manner == FAKE_HALF || manner == FAKE_HUGE) { continue; } /* silence; see below */
            stop(&a);
            fake.pairs_count = 0;
            fake.fair = fair;
            fake.manner = manner;
            unsigned connections = fake.connections;
            start(&a, "");
            UNTIL(fake.connections > connections + 1 || up(&a));
            CHECK(!up(&a) || (manner == FAKE_TWICE && fair > 0));
            fake.fair = UINT32_MAX;
            UNTIL(up(&a));
        }
    }
}

TEST(a_worker_may_leave_at_any_point)
{
    for (unsigned fair = 0; fair < 8; fair++) {
        for (int turns = 0; turns < 6; turns++) {
            struct asker who;
            done = 0;
            struct cache_bump one = {.done = bumped};
            ask(&who, "q");
            fake.fair = fair;
            fake.manner = FAKE_SILENT;
            (void)find_now(&a, &who);
            enum err told = cache_bump_tables(a.side, &one, 1, false, deps, 2);
            CHECK(told == E_OK || told == E_AGAIN);
            for (int i = 0; i < turns; i++) { (void)uv_run(&loop.uv, UV_RUN_NOWAIT); }
            cache_detach(&a.side);
            CHECK(who.ticket.state == NULL && one.state == NULL);
            fake_release(&fake);
            fake.fair = UINT32_MAX;
            a.side = cache_attach(a.cache, &loop);
            for (int i = 0; i < turns; i++) { (void)uv_run(&loop.uv, UV_RUN_NOWAIT); }
        }
    }
    UNTIL(up(&a));
}

TEST(a_redis_that_is_not_there_costs_nothing_but_hits)
{
    struct asker who;
    fake_hang_up_all(&fake);
    uv_close((uv_handle_t *)fake.listener, fake_listener_closed);
    UNTIL(!up(&a));
    ask(&who, "q");
    for (int64_t until = clock_now_us() + 200000; clock_now_us() < until;) {
        CHECK_STR(find_now(&a, &who), "refused");
        CHECK(!bump(&a, 16384));
        (void)uv_run(&loop.uv, UV_RUN_ONCE);
    }
    unsigned run = fake.commands;
    fake_start(&fake, &loop.uv); /* comes back, at another port */
    CHECK(run > 0);
    fake.fair = UINT32_MAX;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", fake.port);
    CHECK(cache_configure(a.cache, &a.config, NULL) == E_OK);
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

TEST(login_and_database_come_first)
{
    stop(&a);
    fake.log[0] = '\0';
    start(&a, "me:pass@");
    UNTIL(up(&a));
    CHECK(strncmp(fake.log, "AUTH SELECT INFO GET ", 21) == 0);
}

TEST(a_ttl_rule_asks_for_no_versions)
{
    struct asker who;
    ask(&who, "q");
    who.question.rule = 1;
    CHECK_STR(find(&a, &who), "notfound");
    fill(&a, &who, "rows");
    CHECK(bump(&a, 16384));
    CHECK_STR(find(&a, &who), "hit:rows");
    who.question.rule = 0;
    CHECK_STR(find_recovered(&a, &who), "notfound");
    cache_drop(a.side, &who.ticket, false);
}

#define DOOR(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOOR(what_one_process_fills_another_finds),
        DOOR(a_first_question_makes_the_versions_and_does_not_fill),
        DOOR(a_bump_through_one_process_voids_for_the_other),
        DOOR(a_bump_of_everything_voids),
        DOOR(a_fill_that_a_write_overtook_is_never_served),
        DOOR(equal_questions_share_one_query_unless_a_write_came_between),
        DOOR(a_value_under_another_key_or_of_another_time_is_a_miss),
        DOOR(an_emptied_redis_means_a_new_epoch),
        DOOR(a_redis_that_restarts_with_old_data_serves_none_of_it),
        DOOR(another_redis_gets_a_new_epoch_even_if_it_has_one),
        DOOR(an_answer_of_the_wrong_kind_ends_the_connection),
        DOOR(a_refused_login_or_database_is_not_passed_over),
        DOOR(data_of_another_redis_loaded_in_place_is_void),
        DOOR(lost_or_spoilt_versions_cost_one_fill),
        DOOR(silence_costs_a_find_its_timeout_and_the_next_ones_nothing),
        DOOR(a_bump_without_an_answer_ends_in_time_and_voids_everything),
        DOOR(whoever_left_is_not_told),
        DOOR(no_misbehaviour_at_any_point_serves_what_a_write_has_changed),
        DOOR(no_misbehaviour_in_the_greeting_gets_through),
        DOOR(a_worker_may_leave_at_any_point),
        DOOR(a_redis_that_is_not_there_costs_nothing_but_hits),
        DOOR(login_and_database_come_first),
        DOOR(a_ttl_rule_asks_for_no_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
