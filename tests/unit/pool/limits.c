/* Caps that pools share: exact, and equal in what they make their clients wait. */
#include "unit.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pool/limits.h"

static struct limits limits;
static struct cap *clinic, *app, *other;
static struct share a, b;

static int start(void **state)
{
    (void)state;
    limits_init(&limits);
    clinic = limits_cap(&limits, CAP_DATABASE, "clinic");
    app = limits_cap(&limits, CAP_USER, "app");
    other = limits_cap(&limits, CAP_USER, "other");
    share_init(&a, &limits, clinic, app);
    share_init(&b, &limits, clinic, other);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    share_done(&a);
    share_done(&b);
    limits_done(&limits);
    return 0;
}

static void wait_since(struct share *s, int64_t since_us)
{
    atomic_store(&s->oldest_us, since_us);
    atomic_store(&s->waiting, since_us == 0 ? 0 : 1);
}

TEST(a_cap_without_a_limit_only_counts)
{
    for (unsigned i = 0; i < 1000; i++) { CHECK(share_take(&a)); }
    CHECK(limits_used(&limits, clinic) == 1000 && limits_used(&limits, app) == 1000);
    CHECK(limits_used(&limits, other) == 0);
    for (unsigned i = 0; i < 1000; i++) { CHECK(share_give(&a, NULL) == NULL); }
    CHECK(limits_used(&limits, clinic) == 0);
}

TEST(a_name_is_one_cap)
{
    CHECK(limits_cap(&limits, CAP_USER, "app") == app);
    CHECK(limits_cap(&limits, CAP_DATABASE, "app") != app);
}

TEST(a_cap_that_nobody_refers_to_is_forgotten)
{
    struct cap *c = limits_cap(&limits, CAP_USER, "passing");
    struct share passing;
    share_init(&passing, &limits, clinic, c);
    limits_set(&limits, c, 7);
    limits_drop(&limits, &c);
    CHECK(c == NULL);
    c = limits_cap(&limits, CAP_USER, "passing");
    CHECK(c->most == 7); /* the share had kept it */
    limits_drop(&limits, &c);
    share_done(&passing);
    c = limits_cap(&limits, CAP_USER, "passing");
    CHECK(c->most == UINT_MAX);
    limits_drop(&limits, &c);
}

TEST(a_share_is_unused_when_it_holds_wants_and_owes_nothing)
{
    limits_set(&limits, clinic, 1);
    CHECK(share_is_unused(&a) && share_take(&a) && !share_is_unused(&a));
    wait_since(&b, 100);
    CHECK(!share_take(&b) && !share_is_unused(&b)); /* hungry */
    CHECK(share_yield(&a, 1000000) == &b);
    wait_since(&b, 0);
    CHECK(!share_is_unused(&b)); /* a server is being closed for it */
    CHECK(share_give(&a, &b) == NULL);
    CHECK(share_is_unused(&a) && share_is_unused(&b));
    wait_since(&b, 100);
    CHECK(share_take(&a) && !share_take(&b) && share_give(&a, NULL) == &b);
    CHECK(!share_is_unused(&b)); /* granted */
    wait_since(&b, 0);
    CHECK(share_rest(&b) == NULL && share_is_unused(&b));
}

TEST(a_hidden_share_is_nobodys_victim)
{
    struct share *victims[2];
    limits_set(&limits, clinic, 1);
    CHECK(share_take(&a));
    wait_since(&b, 100);
    CHECK(!share_take(&b));
    share_hide(&a);
    CHECK(share_victims(&b, victims, 2) == 0);
    share_show(&a);
    CHECK(share_victims(&b, victims, 2) == 1 && victims[0] == &a);
}

TEST(neither_cap_is_passed)
{
    limits_set(&limits, clinic, 3);
    limits_set(&limits, app, 2);
    CHECK(share_take(&a) && share_take(&a) && !share_take(&a));
    CHECK(share_take(&b) && !share_take(&b));
    CHECK(limits_used(&limits, clinic) == 3 && limits_used(&limits, app) == 2);
}

TEST(a_free_slot_goes_to_whose_first_client_waits_longest)
{
    struct share third;
    share_init(&third, &limits, clinic, limits_cap(&limits, CAP_USER, "third"));
    limits_set(&limits, clinic, 1);
    CHECK(share_take(&a));
    wait_since(&b, 200);
    wait_since(&third, 100);
    CHECK(!share_take(&b) && !share_take(&third));
    CHECK(share_give(&a, NULL) == &third);
    CHECK(!share_take(&a)); /* it is promised, though not used yet */
    CHECK(share_take(&third));
    CHECK(share_give(&third, NULL) == &b);
    share_done(&third);
}

TEST(who_wants_no_more_is_passed_over)
{
    limits_set(&limits, clinic, 1);
    CHECK(share_take(&a));
    wait_since(&b, 100);
    CHECK(!share_take(&b));
    wait_since(&b, 0);
    CHECK(share_give(&a, NULL) == NULL);
    CHECK(share_take(&a));
}

TEST(what_was_granted_and_is_not_needed_goes_on)
{
    limits_set(&limits, clinic, 1);
    CHECK(share_take(&a));
    wait_since(&b, 100);
    CHECK(!share_take(&b));
    CHECK(share_give(&a, NULL) == &b);
    wait_since(&a, 200);
    CHECK(!share_take(&a));
    CHECK(share_rest(&b) == &a);
    CHECK(share_take(&a));
    CHECK(share_rest(&a) == NULL && limits_used(&limits, clinic) == 1);
}

TEST(a_slot_that_does_not_help_is_not_asked_for)
{
    limits_set(&limits, app, 1); /* a's own cap: b cannot help */
    CHECK(share_take(&a) && share_take(&b));
    wait_since(&a, 100);
    CHECK(!share_take(&a));
    CHECK(share_yield(&b, 5000) == NULL);
    struct share *list[4];
    CHECK(share_victims(&a, list, 4) == 0);
}

TEST(without_clients_that_wait_a_slot_is_given_up_at_once)
{
    limits_set(&limits, clinic, 1);
    CHECK(share_take(&a));
    CHECK(share_yield(&a, 5000) == NULL); /* nobody is hungry */
    wait_since(&b, 4999);
    CHECK(!share_take(&b));
    CHECK(share_yield(&a, 5000) == &b);
    CHECK(share_yield(&a, 5000) == NULL); /* one is enough */
    CHECK(share_give(&a, &b) == &b);
}

TEST(with_clients_that_wait_it_is_given_up_for_a_notably_longer_wait)
{
    limits_set(&limits, clinic, 1);
    atomic_store(&b.opening_us, 100);
    CHECK(share_take(&a));
    wait_since(&a, 9000);
    wait_since(&b, 8900);
    CHECK(!share_take(&b));
    CHECK(share_yield(&a, 10000) == NULL); /* 1100 to 1000: a new connection costs more */
    wait_since(&b, 8700);
    CHECK(share_yield(&a, 10000) == &b);
}

TEST(whose_servers_could_make_room_is_listed_once_for_one_claim)
{
    struct share *list[4];
    limits_set(&limits, clinic, 2);
    CHECK(share_take(&a) && share_take(&a));
    wait_since(&b, 100);
    CHECK(share_victims(&b, list, 4) == 0); /* not hungry yet */
    CHECK(!share_take(&b));
    CHECK(share_victims(&b, list, 0) == 1);
    CHECK(share_victims(&b, list, 4) == 1 && list[0] == &a);
    CHECK(share_victims(&b, list, 4) == 0);
    share_unclaim(&b);
    CHECK(share_victims(&b, list, 4) == 1);
}

TEST(nothing_is_opened_ahead_while_somebody_is_hungry)
{
    limits_set(&limits, clinic, 2);
    CHECK(share_take(&a));
    wait_since(&b, 100);
    limits_set(&limits, other, 1);
    CHECK(share_take(&b) && !share_take(&b));
    limits_set(&limits, clinic, 5);
    CHECK(!share_take_spare(&a));
    limits_set(&limits, other, 2);
    CHECK(share_take(&b));
    CHECK(share_take_spare(&a));
}

TEST(clients_are_counted_under_both_caps_or_not_at_all)
{
    limits_set(&limits, clinic, 2);
    limits_set(&limits, app, 1);
    CHECK(limits_enter(&limits, clinic, app) == NULL);
    CHECK(limits_enter(&limits, clinic, app) == app);
    CHECK(limits_enter(&limits, clinic, other) == NULL);
    CHECK(limits_enter(&limits, clinic, other) == clinic);
    limits_leave(&limits, clinic, app);
    CHECK(limits_enter(&limits, clinic, app) == NULL);
}

/* ---- two pools under one cap, by a clock of our own --------------------------------------------
 */

enum { CLIENTS_MOST = 64, WAITS_MOST = 200000 };

struct side { /* a pool in miniature: clients that ask again as soon as they were served */
    struct share *share;
    int64_t queue[CLIENTS_MOST]; /* since when each waits, oldest first */
    unsigned waiting, servers;
    int64_t waits[WAITS_MOST];
    unsigned served, opened;
};

struct event { /* a server of `of` becomes free, freshly opened or after a query */
    int64_t at_us;
    struct side *of;
};

struct world {
    struct side sides[2];
    struct event events[16];
    unsigned events_count;
    int64_t now_us, query_us, opening_us;
};

static void add_event(struct world *w, struct side *of, int64_t at_us)
{
    assert_true(w->events_count < 16);
    w->events[w->events_count++] = (struct event){at_us, of};
}

static void note(struct side *s)
{
    atomic_store(&s->share->oldest_us, s->waiting == 0 ? 0 : s->queue[0]);
    atomic_store(&s->share->waiting, s->waiting);
}

static void enqueue(struct world *w, struct side *s)
{
    s->queue[s->waiting++] = w->now_us;
    note(s);
}

static void serve(struct world *w, struct side *s)
{
    s->waits[s->served++ % WAITS_MOST] = w->now_us - s->queue[0];
    memmove(s->queue, s->queue + 1, --s->waiting * sizeof s->queue[0]);
    note(s);
    add_event(w, s, w->now_us + w->query_us);
}

static void open_more(struct world *w, struct side *s)
{
    while (s->waiting > 0 && share_take(s->share)) {
        s->servers++;
        s->opened++;
        add_event(w, s, w->now_us + w->opening_us);
        return;
    }
}

static void free_server(struct world *w, struct side *s)
{
    struct share *hungry = share_yield(s->share, w->now_us);
    if (hungry != NULL || s->waiting == 0) {
        s->servers--;
        struct share *next = share_give(s->share, hungry);
        if (next != NULL) { open_more(w, next == w->sides[0].share ? &w->sides[0] : &w->sides[1]); }
        open_more(w, s);
        return;
    }
    serve(w, s);
}

static void step(struct world *w)
{
    unsigned first = 0;
    for (unsigned i = 1; i < w->events_count; i++) {
        if (w->events[i].at_us < w->events[first].at_us) { first = i; }
    }
    struct event e = w->events[first];
    w->events[first] = w->events[--w->events_count];
    w->now_us = e.at_us;
    /* Who was served asks again: a side's clients are all waiting or at a server. */
    free_server(w, e.of);
}

static int compare_waits(const void *x, const void *y)
{
    int64_t d = *(const int64_t *)x - *(const int64_t *)y;
    return d < 0 ? -1 : d > 0;
}

static int64_t p99(struct side *s)
{
    unsigned half = s->served / 2; /* the start is no guide */
    qsort(s->waits + half, s->served - half, sizeof s->waits[0], compare_waits);
    return s->waits[half + (s->served - half) * 99 / 100];
}

/* `clients` on each side, a cap of `most`; what is left after `rounds` queries is even. */
static void check_even(int most, unsigned clients, unsigned rounds)
{
    struct world *w = mem_new(struct world);
    *w = (struct world){.now_us = 1000, .query_us = 1000, .opening_us = 3000};
    limits_set(&limits, clinic, most);
    w->sides[0].share = &a;
    w->sides[1].share = &b;
    atomic_store(&a.opening_us, w->opening_us);
    atomic_store(&b.opening_us, w->opening_us);
    for (unsigned i = 0; i < clients; i++) {
        enqueue(w, &w->sides[0]); /* the one side comes first and takes all */
        open_more(w, &w->sides[0]);
    }
    for (unsigned i = 0; i < clients; i++) {
        enqueue(w, &w->sides[1]);
        open_more(w, &w->sides[1]);
    }
    for (unsigned i = 0; i < rounds; i++) {
        unsigned before[2] = {w->sides[0].served, w->sides[1].served};
        step(w);
        CHECK(limits_used(&limits, clinic) <= (unsigned)most);
        for (unsigned k = 0; k < 2; k++) { /* a query began: its client will ask again after it */
            if (w->sides[k].served == before[k]) { continue; }
            enqueue(w, &w->sides[k]);
            open_more(w, &w->sides[k]);
        }
    }
    int64_t p[2] = {p99(&w->sides[0]), p99(&w->sides[1])};
    unsigned served[2] = {w->sides[0].served, w->sides[1].served};
    unsigned opened = w->sides[0].opened + w->sides[1].opened;
    CHECK(2 * p[0] < 3 * p[1] && 2 * p[1] < 3 * p[0]);
    CHECK(2 * served[0] < 3 * served[1] && 2 * served[1] < 3 * served[0]);
    CHECK(opened < rounds / 8); /* and not by opening for each query */
    mem_free(&w);
}

TEST(equally_loaded_pools_wait_equally_when_the_cap_divides)
{
    check_even(4, 20, 100000);
}

TEST(equally_loaded_pools_wait_equally_when_it_does_not)
{
    check_even(3, 20, 100000);
}

TEST(equally_loaded_pools_take_turns_at_a_single_connection)
{
    check_even(1, 30, 100000);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_cap_without_a_limit_only_counts),
        WITH(a_name_is_one_cap),
        WITH(a_cap_that_nobody_refers_to_is_forgotten),
        WITH(a_share_is_unused_when_it_holds_wants_and_owes_nothing),
        WITH(a_hidden_share_is_nobodys_victim),
        WITH(neither_cap_is_passed),
        WITH(a_free_slot_goes_to_whose_first_client_waits_longest),
        WITH(who_wants_no_more_is_passed_over),
        WITH(what_was_granted_and_is_not_needed_goes_on),
        WITH(a_slot_that_does_not_help_is_not_asked_for),
        WITH(without_clients_that_wait_a_slot_is_given_up_at_once),
        WITH(with_clients_that_wait_it_is_given_up_for_a_notably_longer_wait),
        WITH(whose_servers_could_make_room_is_listed_once_for_one_claim),
        WITH(nothing_is_opened_ahead_while_somebody_is_hungry),
        WITH(clients_are_counted_under_both_caps_or_not_at_all),
        WITH(equally_loaded_pools_wait_equally_when_the_cap_divides),
        WITH(equally_loaded_pools_wait_equally_when_it_does_not),
        WITH(equally_loaded_pools_take_turns_at_a_single_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
