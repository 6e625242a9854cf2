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
    for (unsigned i = 0; i < WORKERS; i++) { loop_turn(&loops[i], false); }
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
        clients[i] = (struct client){.front = &fronts[i / 2],
                                     .ops = &ops,
                                     .state = CLIENT_READY,
                                     .id = 100 + i,
                                     .key_len = CLIENT_KEY_SHORT};
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

static bool cancel(uint32_t pid, struct bytes secret)
{
    uint8_t key[16];
    put_u32(key, pid);
    if (secret.len > 0) { memcpy(key + 4, secret.ptr, secret.len); }
    return client_cancel(shared, bytes_of(key, 4 + secret.len));
}

static void check_canceled(unsigned first, unsigned second, unsigned third)
{
    CHECK(canceled[0] == first && canceled[1] == second && canceled[2] == third);
}

TEST(a_key_reaches_its_client_and_no_other)
{
    (void)cancel(101, BYTES("\xa0\xb0\xc0\xd1"));
    check_canceled(0, 0, 0); /* on its worker, not from in here */
    turn();
    check_canceled(0, 1, 0);
    (void)cancel(102, BYTES("\xa0\xb0\xc0\xd2"));
    (void)cancel(102, BYTES("\xa0\xb0\xc0\xd2"));
    turn();
    check_canceled(0, 1, 2);
}

TEST(a_client_is_canceled_on_its_own_worker)
{
    (void)cancel(102, BYTES("\xa0\xb0\xc0\xd2"));
    loop_turn(&loops[0], false);
    check_canceled(0, 0, 0);
    loop_turn(&loops[1], false);
    check_canceled(0, 0, 1);
}

TEST(a_key_that_nobody_has_reaches_nobody)
{
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd1"));   /* another's secret */
    (void)cancel(103, BYTES("\xa0\xb0\xc0\xd3"));   /* another's id */
    (void)cancel(100, BYTES("\xa0\xb0\xc0"));       /* too short */
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd0\0")); /* too long */
    (void)cancel(100, (struct bytes){0});
    turn();
    check_canceled(0, 0, 0);
}

TEST(a_dropped_key_reaches_nobody_and_the_others_stay)
{
    client_drop_key(&clients[0]);
    client_drop_key(&clients[0]); /* harmless */
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd0"));
    (void)cancel(101, BYTES("\xa0\xb0\xc0\xd1"));
    turn();
    check_canceled(0, 1, 0);
}

TEST(a_key_that_two_have_stays_with_the_first)
{
    struct client late = {.front = &fronts[1],
                          .ops = &ops,
                          .state = CLIENT_READY,
                          .id = 100,
                          .key_len = CLIENT_KEY_SHORT};
    memcpy(late.key, clients[0].key, sizeof late.key);
    client_keep_key(&late);
    client_drop_key(&late);
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd0"));
    turn();
    check_canceled(1, 0, 0);
}

TEST(a_client_that_left_while_its_cancel_was_on_its_way_is_not_touched)
{
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd0"));
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
    (void)cancel(100, BYTES("\xa0\xb0\xc0\xd0"));
    (void)cancel(101, BYTES("\xa0\xb0\xc0\xd1"));
    turn();
    check_canceled(0, 0, 0);
}

TEST(a_long_key_is_one_key_and_its_front_is_none)
{
    struct client c = {.front = &fronts[0], .ops = &ops, .state = CLIENT_READY, .id = 7};
    client_make_key(&c, 0, true);
    CHECK(c.key_len == 36 && get_u32(c.key) == 7);
    client_keep_key(&c);
    CHECK(!client_cancel(shared, bytes_of(c.key, 8)));
    CHECK(client_cancel(shared, bytes_of(c.key, 36)));
    c.key[35] ^= 1;
    uint8_t other[36];
    memcpy(other, c.key, sizeof other);
    c.key[35] ^= 1;
    CHECK(!client_cancel(shared, bytes_of(other, 36)));
    client_drop_key(&c);
    turn();
}

TEST(a_key_with_peers_names_its_process_and_is_known_after_hops)
{
    struct client c = {.front = &fronts[0], .ops = &ops, .state = CLIENT_READY, .id = 7};
    client_make_key(&c, 0x1234, false);
    CHECK(c.key_len == 8 && (c.key[0] & 0x80) == 0 && (c.key[7] & 3) == 3);
    CHECK(c.key[1] == 0x34 && c.key[2] == 0x12);
    client_keep_key(&c);
    for (uint8_t hops = 0; hops < 4; hops++) {
        uint8_t key[8];
        memcpy(key, c.key, sizeof key);
        key[7] = (uint8_t)((key[7] & ~3U) | hops);
        CHECK(client_cancel(shared, bytes_of(key, 8)));
        key[6] ^= 1;
        CHECK(!client_cancel(shared, bytes_of(key, 8)));
    }
    client_drop_key(&c);
    turn();
}

TEST(without_peers_every_bit_of_a_key_counts)
{
    struct client c = {.front = &fronts[0], .ops = &ops, .state = CLIENT_READY, .id = 7};
    client_make_key(&c, 0, false);
    c.key[7] |= 3;
    client_keep_key(&c);
    uint8_t key[8];
    memcpy(key, c.key, sizeof key);
    key[7] ^= 1;
    CHECK(!client_cancel(shared, bytes_of(key, 8)));
    client_drop_key(&c);
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
        EACH(a_long_key_is_one_key_and_its_front_is_none),
        EACH(a_key_with_peers_names_its_process_and_is_known_after_hops),
        EACH(without_peers_every_bit_of_a_key_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
