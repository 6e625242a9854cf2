/* The door in memory mode: freshness, single flight, marks, dropping at any moment. */
#include "unit.h"

#include "cache/cache.h"
#include "net/loop.h"

#define SECOND INT64_C(1000000)

static struct rule_config rules[] = {
    {.ttl_us = 10 * SECOND, .mode = RULE_STRICT},
    {.ttl_us = 10 * SECOND, .mode = RULE_TTL},
    {.ttl_us = 0, .mode = RULE_TTL},
    {.ttl_us = 10 * SECOND, .mode = RULE_FENCED},
};
static const uint32_t deps[] = {16384, 16385};
static struct loop loop;
static struct cache *cache;
static struct cache_side *side;
static struct config config;

struct asker {
    struct cache_ticket ticket;
    struct cache_question question;
    unsigned woken;
};

static void ready(struct cache_ticket *t)
{
    ((struct asker *)t->owner)->woken++;
}

static struct asker asker(const char *key)
{
    return (struct asker){
        .ticket = {.ready = ready},
        .question = {.key = bytes_str(key), .deps = deps, .deps_count = 2, .database_id = 1}};
}

/* "hit:BYTES" or the error's name. */
static const char *find(struct asker *a, int64_t now_us)
{
    static char text[64];
    struct cache_entry *e = NULL;
    a->ticket.owner = a;
    enum err result = cache_find(side, &a->question, &a->ticket, now_us, &e);
    if (result != E_OK) {
        CHECK(e == NULL);
        return err_name(result);
    }
    struct bytes b = cache_entry_bytes(e);
    CHECK(b.len < sizeof text - 4 && a->ticket.state == NULL);
    memcpy(text, "hit:", 4);
    memcpy(text + 4, b.ptr, b.len);
    text[4 + b.len] = '\0';
    cache_entry_unref(&e);
    return text;
}

#define FINDS(asker, now, expected) CHECK_STR(find(&(asker), (now)), (expected))

static void fill(struct asker *a, const char *result, int64_t now_us)
{
    cache_fill(side, &a->ticket, bytes_str(result), now_us);
    CHECK(a->ticket.state == NULL);
}

static void bump(bool all, uint32_t relation)
{
    struct cache_bump b = {0};
    CHECK(cache_bump_tables(side, &b, 1, all, &relation, all ? 0 : 1) == E_OK);
}

static void turn(void)
{
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
    (void)uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static int begin(void **state __attribute__((unused)))
{
    static char none[] = "";
    config = (struct config){.rules = rules, .rules_count = sizeof rules / sizeof rules[0]};
    config.o.cache = CACHE_MEMORY;
    config.o.cache_secret_file = none;
    config.o.redis_url = none;
    config.o.cache_memory_bytes = 1 << 20;
    config.o.cache_max_entry_bytes = 1024;
    loop_init(&loop);
    CHECK(cache_open(&config, &cache, NULL) == E_OK);
    side = cache_attach(cache, &loop);
    return 0;
}

static int end(void **state __attribute__((unused)))
{
    cache_detach(&side);
    loop_done(&loop);
    cache_close(&cache);
    return 0;
}

TEST(what_was_filled_is_found)
{
    struct asker a = asker("q");
    FINDS(a, 0, "notfound");
    fill(&a, "rows", 1);
    FINDS(a, 2, "hit:rows");
    struct cache_stats st;
    cache_stats(cache, &st);
    CHECK(st.hits == 1 && st.misses == 1 && st.fills == 1 && st.entries == 1 && !st.redis_up);
}

TEST(a_bump_of_a_dependency_or_of_everything_voids)
{
    struct asker a = asker("q");
    FINDS(a, 0, "notfound");
    fill(&a, "old", 0);
    bump(false, 99999); /* not ours */
    FINDS(a, 0, "hit:old");
    bump(false, 16385);
    FINDS(a, 0, "notfound");
    fill(&a, "new", 0);
    FINDS(a, 0, "hit:new");
    bump(true, 0);
    FINDS(a, 0, "notfound");
    cache_drop(side, &a.ticket, false);
}

TEST(a_fill_that_a_write_overtook_is_never_served)
{
    struct asker a = asker("q"), b = asker("q");
    FINDS(a, 0, "notfound"); /* its query sees the old rows ... */
    bump(false, 16384);      /* ... then somebody commits and is told so ... */
    fill(&a, "old", 1);      /* ... and only then do the old rows arrive */
    FINDS(b, 2, "notfound");
    cache_drop(side, &b.ticket, false);
}

TEST(nobody_joins_a_query_that_began_before_a_write)
{
    struct asker a = asker("q"), b = asker("q"), c = asker("q");
    FINDS(a, 0, "notfound");
    bump(false, 16384);
    FINDS(b, 1, "notfound"); /* goes itself */
    FINDS(c, 1, "again");    /* may wait for b, not for a */
    fill(&a, "old", 2);
    turn();
    CHECK(c.woken == 0);
    fill(&b, "new", 3);
    CHECK(c.woken == 0); /* never from inside a call */
    turn();
    CHECK(c.woken == 1);
    FINDS(c, 4, "hit:new");
    FINDS(a, 4, "hit:new");
}

TEST(equal_questions_share_one_query)
{
    struct asker a = asker("q"), many[20];
    FINDS(a, 0, "notfound");
    for (int i = 0; i < 20; i++) {
        many[i] = asker("q");
        FINDS(many[i], 0, "again");
        FINDS(many[i], 0, "again"); /* asking early changes nothing */
    }
    cache_drop(side, &many[3].ticket, false); /* a client that died while waiting */
    fill(&a, "rows", 1);
    cache_drop(side, &many[4].ticket, false); /* and one that died on the list */
    turn();
    for (int i = 0; i < 20; i++) {
        if (i == 3 || i == 4) {
            CHECK(many[i].woken == 0);
        } else {
            CHECK(many[i].woken == 1);
            FINDS(many[i], 1, "hit:rows");
        }
    }
    struct cache_stats st;
    cache_stats(cache, &st);
    CHECK(st.misses == 1 && st.flights_joined == 20);
}

TEST(when_the_one_who_ran_the_query_is_gone_the_next_runs_it)
{
    struct asker a = asker("q"), b = asker("q"), c = asker("q");
    FINDS(a, 0, "notfound");
    FINDS(b, 0, "again");
    FINDS(c, 0, "again");
    cache_drop(side, &a.ticket, false);
    turn();
    CHECK(b.woken == 1 && c.woken == 1);
    FINDS(b, 1, "notfound");
    FINDS(c, 1, "again");
    cache_drop(side, &b.ticket, false);
    turn();
    FINDS(c, 2, "notfound");
    fill(&c, "rows", 3);
    FINDS(a, 3, "hit:rows");
}

TEST(queries_without_results_do_not_queue_behind_each_other_for_ever)
{
    struct asker many[10];
    for (int i = 0; i < 10; i++) {
        many[i] = asker("q");
        FINDS(many[i], 0, i == 0 ? "notfound" : "again");
    }
    for (int round = 0; round < 2; round++) {
        cache_drop(side, &many[round].ticket, false);
        turn();
        for (int i = round + 1; i < 10; i++) {
            FINDS(many[i], 1, round == 0 && i > 1 ? "again" : "notfound");
        }
    }
    for (int i = 2; i < 10; i++) { cache_drop(side, &many[i].ticket, false); }
}

TEST(a_wait_has_an_end)
{
    struct asker a = asker("q"), b = asker("q");
    FINDS(a, 0, "notfound");
    FINDS(b, 5, "again");
    CHECK(b.ticket.deadline_us == 5 + 2 * SECOND);
    FINDS(b, b.ticket.deadline_us - 1, "again");
    FINDS(b, b.ticket.deadline_us, "notfound");
    CHECK(b.ticket.deadline_us == 0);
    fill(&a, "slow", 3 * SECOND);
    fill(&b, "slow too", 3 * SECOND);
}

TEST(age_counts_from_the_question_not_from_the_answer)
{
    struct asker a = asker("q");
    FINDS(a, 0, "notfound");
    fill(&a, "rows", 4 * SECOND);
    FINDS(a, 10 * SECOND, "hit:rows");
    FINDS(a, 10 * SECOND + 1, "notfound");
    cache_drop(side, &a.ticket, false);
    struct cache_stats st;
    cache_stats(cache, &st);
    CHECK(st.expired == 1);
}

TEST(a_ttl_rule_looks_at_nothing_but_age)
{
    struct asker a = asker("q");
    a.question.rule = 1;
    FINDS(a, 0, "notfound");
    bump(false, 16384);
    fill(&a, "rows", 1);
    bump(true, 0);
    FINDS(a, 2, "hit:rows");
    a.question.rule = 0; /* the same key under a strict rule */
    FINDS(a, 2, "notfound");
    cache_drop(side, &a.ticket, false);
}

TEST(no_rule_no_ttl_no_fence_no_cache)
{
    struct asker a = asker("q");
    a.question.rule = 2;
    FINDS(a, 0, "refused");
    a.question.rule = 3;
    FINDS(a, 0, "refused");
    a.question.rule = 4;
    FINDS(a, 0, "refused");
    a.question.rule = -1;
    FINDS(a, 0, "refused");
    a.question.rule = 0;
    a.question.deps_count = 1000;
    FINDS(a, 0, "refused");
    a.question.deps_count = 2;
    a.question.redis = true; /* none is configured */
    FINDS(a, 0, "refused");
}

TEST(a_result_that_does_not_fit_is_remembered_for_a_while)
{
    static char big[1025];
    memset(big, 'x', sizeof big);
    struct asker a = asker("q"), b = asker("q"), c = asker("r");
    FINDS(a, 0, "notfound");
    FINDS(b, 0, "again");
    cache_fill(side, &a.ticket, bytes_of(big, sizeof big), 0);
    turn();
    CHECK(b.woken == 1);
    FINDS(b, 1, "refused");
    FINDS(a, 30 * SECOND - 1, "refused");
    FINDS(a, 30 * SECOND, "notfound");
    cache_fill(side, &a.ticket, bytes_of(big, 20), 30 * SECOND);
    FINDS(b, 30 * SECOND, "hit:xxxxxxxxxxxxxxxxxxxx");
    FINDS(c, 0, "notfound");
    cache_drop(side, &c.ticket, true);
    FINDS(c, 1, "refused");
    struct cache_stats st;
    cache_stats(cache, &st);
    CHECK(st.too_big == 2);
}

TEST(changed_rules_void_what_the_old_ones_stored)
{
    struct asker a = asker("q"), b = asker("q");
    FINDS(a, 0, "notfound");
    fill(&a, "rows", 0);
    CHECK(cache_configure(cache, &config, NULL) == E_OK); /* nothing changed */
    FINDS(a, 0, "hit:rows");
    FINDS(b, 0, "hit:rows");
    b = asker("other");
    FINDS(b, 0, "notfound");
    rules[1].empty_results = true;
    CHECK(cache_configure(cache, &config, NULL) == E_OK);
    fill(&b, "rows", 0); /* decided under the old rules */
    FINDS(a, 0, "notfound");
    FINDS(b, 0, "notfound");
    cache_drop(side, &a.ticket, false);
    cache_drop(side, &b.ticket, false);
    rules[1].empty_results = false;
}

TEST(a_detached_side_forgets_whoever_waits)
{
    struct asker a = asker("q"), b = asker("q");
    FINDS(a, 0, "notfound");
    FINDS(b, 0, "again");
    cache_detach(&side);
    CHECK(side == NULL && a.ticket.state == NULL && b.ticket.state == NULL);
    turn();
    CHECK(b.woken == 0);
}

static void drop_other(struct cache_ticket *t)
{
    struct asker *a = t->owner;
    a->woken++;
    cache_drop(side, &a[1].ticket, false);
}

TEST(a_woken_caller_may_drop_the_next_one_on_the_list)
{
    struct asker a = asker("q"), two[2] = {asker("q"), asker("q")};
    two[0].ticket.ready = drop_other;
    FINDS(a, 0, "notfound");
    FINDS(two[0], 0, "again");
    FINDS(two[1], 0, "again");
    fill(&a, "rows", 0);
    turn();
    CHECK(two[0].woken == 1 && two[1].woken == 0);
    FINDS(two[0], 0, "hit:rows");
}

static void detach(struct cache_ticket *t)
{
    ((struct asker *)t->owner)->woken++;
    cache_detach(&side);
}

TEST(a_woken_caller_may_detach_the_side)
{
    struct asker a = asker("q"), b = asker("q"), c = asker("q");
    b.ticket.ready = detach;
    FINDS(a, 0, "notfound");
    FINDS(b, 0, "again");
    FINDS(c, 0, "again");
    fill(&a, "rows", 0);
    turn();
    CHECK(b.woken == 1 && c.woken == 0);
}

#define DOOR(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOOR(what_was_filled_is_found),
        DOOR(a_bump_of_a_dependency_or_of_everything_voids),
        DOOR(a_fill_that_a_write_overtook_is_never_served),
        DOOR(nobody_joins_a_query_that_began_before_a_write),
        DOOR(equal_questions_share_one_query),
        DOOR(when_the_one_who_ran_the_query_is_gone_the_next_runs_it),
        DOOR(queries_without_results_do_not_queue_behind_each_other_for_ever),
        DOOR(a_wait_has_an_end),
        DOOR(age_counts_from_the_question_not_from_the_answer),
        DOOR(a_ttl_rule_looks_at_nothing_but_age),
        DOOR(no_rule_no_ttl_no_fence_no_cache),
        DOOR(a_result_that_does_not_fit_is_remembered_for_a_while),
        DOOR(changed_rules_void_what_the_old_ones_stored),
        DOOR(a_detached_side_forgets_whoever_waits),
        DOOR(a_woken_caller_may_drop_the_next_one_on_the_list),
        DOOR(a_woken_caller_may_detach_the_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
