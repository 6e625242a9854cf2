/* Cancel keys: the right client is told, on its own worker, and nobody else ever. */
#include "unit.h"

#include "client/client.h"

enum { WORKERS = 2, CLIENTS = 3 };

static struct loop loops[WORKERS];
static struct front fronts[WORKERS];
static struct shared *shared;
static struct client clients[CLIENTS]; /* 0 and 1 on the first worker, 2 on the second */
static unsigned canceled[CLIENTS];

static void on_cancel(struct client *c)
{
    canceled[c - clients]++;
}

static const struct client_ops ops = {.cancel = on_cancel};

static void turn(void)
{
    for (unsigned i = 0; i < WORKERS; i++) { (void)uv_run(&loops[i].uv, UV_RUN_NOWAIT); }
}

static int start(void **state)
{
    (void)state;
    shared = shared_new();
    memset(canceled, 0, sizeof canceled);
    for (unsigned i = 0; i < WORKERS; i++) {
        loop_init(&loops[i]);
        fronts[i] = (struct front){.loop = &loops[i], .shared = shared};
        dlist_init(&fronts[i].clients);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){
            .front = &fronts[i / 2], .ops = &ops, .state = CLIENT_READY, .id = 100 + i};
        put_u32(clients[i].key, 100 + i);
        put_u32(clients[i].key + 4, 0xa0b0c0d0 + i);
        dlist_push_back(&fronts[i / 2].clients, &clients[i].node);
        client_keep_key(&clients[i]);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) { client_drop_key(&clients[i]); }
    for (unsigned i = 0; i < WORKERS; i++) { loop_done(&loops[i]); }
    shared_free(&shared);
    CHECK(shared == NULL);
    return 0;
}

static void check_canceled(unsigned first, unsigned second, unsigned third)
{
    CHECK(canceled[0] == first && canceled[1] == second && canceled[2] == third);
}

TEST(a_key_reaches_its_client_and_no_other)
{
    client_cancel(shared, 101, BYTES("\xa0\xb0\xc0\xd1"));
    check_canceled(0, 0, 0); /* on its worker, not from in here */
    turn();
    check_canceled(0, 1, 0);
    client_cancel(shared, 102, BYTES("\xa0\xb0\xc0\xd2"));
    client_cancel(shared, 102, BYTES("\xa0\xb0\xc0\xd2"));
    turn();
    check_canceled(0, 1, 2);
}

TEST(a_client_is_canceled_on_its_own_worker)
{
    client_cancel(shared, 102, BYTES("\xa0\xb0\xc0\xd2"));
    (void)uv_run(&loops[0].uv, UV_RUN_NOWAIT);
    check_canceled(0, 0, 0);
    (void)uv_run(&loops[1].uv, UV_RUN_NOWAIT);
    check_canceled(0, 0, 1);
}

TEST(a_key_that_nobody_has_reaches_nobody)
{
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd1"));   /* another's secret */
    client_cancel(shared, 103, BYTES("\xa0\xb0\xc0\xd3"));   /* another's id */
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0"));       /* too short */
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd0\0")); /* too long */
    client_cancel(shared, 100, (struct bytes){0});
    turn();
    check_canceled(0, 0, 0);
}

TEST(a_dropped_key_reaches_nobody_and_the_others_stay)
{
    client_drop_key(&clients[0]);
    client_drop_key(&clients[0]); /* harmless */
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd0"));
    client_cancel(shared, 101, BYTES("\xa0\xb0\xc0\xd1"));
    turn();
    check_canceled(0, 1, 0);
}

TEST(a_key_that_two_have_stays_with_the_first)
{
    struct client late = {.front = &fronts[1], .ops = &ops, .state = CLIENT_READY, .id = 100};
    memcpy(late.key, clients[0].key, sizeof late.key);
    client_keep_key(&late);
    client_drop_key(&late);
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd0"));
    turn();
    check_canceled(1, 0, 0);
}

TEST(a_client_that_left_while_its_cancel_was_on_its_way_is_not_touched)
{
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd0"));
    client_drop_key(&clients[0]);
    dlist_remove(&clients[0].node);
    memset(&clients[0], 0xee, sizeof clients[0]); /* as if freed */
    turn();
    check_canceled(0, 0, 0);
    clients[0] = (struct client){.front = &fronts[0]};
}

TEST(a_client_that_is_not_logged_in_or_closed_is_not_canceled)
{
    clients[0].state = CLIENT_LOGIN;
    clients[1].state = CLIENT_CLOSED;
    client_cancel(shared, 100, BYTES("\xa0\xb0\xc0\xd0"));
    client_cancel(shared, 101, BYTES("\xa0\xb0\xc0\xd1"));
    turn();
    check_canceled(0, 0, 0);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_key_reaches_its_client_and_no_other),
        EACH(a_client_is_canceled_on_its_own_worker),
        EACH(a_key_that_nobody_has_reaches_nobody),
        EACH(a_dropped_key_reaches_nobody_and_the_others_stay),
        EACH(a_key_that_two_have_stays_with_the_first),
        EACH(a_client_that_left_while_its_cancel_was_on_its_way_is_not_touched),
        EACH(a_client_that_is_not_logged_in_or_closed_is_not_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
