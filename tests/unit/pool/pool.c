/* Who gets which server, and that none is ever lost. */
#include "unit.h"

#include "small.h"

static int one(void **state)
{
    (void)state;
    begin("pool_size=1");
    return 0;
}

static int two(void **state)
{
    (void)state;
    begin("pool_size=2");
    return 0;
}

static int used_once(void **state)
{
    (void)state;
    begin("pool_size=1 server_lifetime=0");
    return 0;
}

#define SETUP(name, line, options)                                                                 \
    static int name(void **state)                                                                  \
    {                                                                                              \
        (void)state;                                                                               \
        begin_with(line, "[pgusher]\n" options);                                                   \
        return 0;                                                                                  \
    }
SETUP(reserved, "pool_size=1 reserve_pool_size=1", "reserve_pool_timeout=5\n")
SETUP(at_least_two, "pool_size=5 min_pool_size=2", "")
SETUP(checked, "pool_size=3", "server_check_query=select 1\nserver_check_delay=30\n")
SETUP(capped, "pool_size=5 max_db_connections=2", "")
SETUP(capped_at_three, "pool_size=4 max_db_connections=3", "")
SETUP(ageing, "pool_size=4 server_lifetime=100", "server_idle_timeout=0\n")
SETUP(in_turn, "pool_size=2", "server_round_robin=1\n")
SETUP(reset_always, "pool_size=1", "server_reset_query_always=1\nserver_reset_query=select 2\n")
SETUP(forced, "user=boss", "")
SETUP(one_by_default, "", "default_pool_size=1\n")

static int four(void **state)
{
    (void)state;
    begin("pool_size=4");
    return 0;
}

/* `who` gets a server on this loop and keeps it. */
static void lend(unsigned who, unsigned on)
{
    (void)ask(who, on);
    UNTIL(holds(who));
}

/* ---- the limit ------------------------------------------------------------------------------- */

TEST(nothing_is_opened_before_somebody_asks)
{
    settle();
    CHECK(fake.accepted == 0);
    check_counts(0, 0, 0);
}

TEST(the_first_to_ask_gets_a_connection_of_its_own)
{
    CHECK(!ask(0, 1));
    CHECK(counts().login == 1 && counts().waiting == 1);
    UNTIL(holds(0));
    CHECK(fake.accepted == 1);
    check_counts(1, 0, 0);
    CHECK(counts().active == 1 && counts().login == 0);
    CHECK(atomic_load(&askers[0].server->state) == SERVER_ACTIVE);
    CHECK_STR(server_param(askers[0].server, "TimeZone"), "UTC");
    give_back(0);
    check_counts(1, 1, 0);
    CHECK(ask(0, 1)); /* at once: the one that rests here */
    CHECK(fake.accepted == 1);
    give_back(0);
}

TEST(the_limit_holds_over_all_workers_and_is_used_up)
{
    for (unsigned i = 0; i < 9; i++) { CHECK(!ask(i, i % LOOPS)); }
    UNTIL(served_count == 2);
    settle();
    CHECK(served_count == 2 && fake.most_open == 2);
    check_counts(2, 0, 7);
    for (unsigned round = 0; round < 7; round++) {
        give_back(served[round]);
        UNTIL(served_count == round + 3);
    }
    settle();
    CHECK(fake.accepted == 2 && fake.most_open == 2);
    give_back(served[7]);
    give_back(served[8]);
    settle();
    check_counts(2, 2, 0);
}

TEST(no_more_is_opened_than_there_are_askers)
{
    CHECK(!ask(0, 0));
    CHECK(!ask(1, 1));
    UNTIL(holds(0) && holds(1));
    settle();
    CHECK(fake.accepted == 2);
    give_back(0);
    give_back(1);
}

/* ---- order ----------------------------------------------------------------------------------- */

TEST(who_asked_first_is_served_first_whichever_worker_the_server_returns_on)
{
    static const unsigned on[] = {0, 1, 0, 2, 2, 1, 0, 1, 2};
    enum { WAITERS = sizeof on / sizeof *on };
    lend(0, 2);
    for (unsigned i = 0; i < WAITERS; i++) { CHECK(!ask(i + 1, on[i])); }
    settle();
    CHECK(served_count == 1);
    for (unsigned i = 0; i <= WAITERS; i++) {
        UNTIL(holds(i));
        CHECK(served_count == i + 1 && served[i] == i);
        give_back(i); /* on the loop of asker i */
    }
    settle();
    check_counts(1, 1, 0);
    CHECK(fake.accepted == 1);
}

TEST(a_newcomer_does_not_overtake_who_waits)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    give_back(0);      /* promised to 1, on its way */
    CHECK(!ask(2, 0)); /* where the server just was */
    settle();
    CHECK(holds(1) && !holds(2));
    give_back(1);
    UNTIL(holds(2));
    give_back(2);
}

TEST(a_newcomer_after_a_pause_does_not_overtake_who_waited_through_it)
{
    lend(0, 0);
    give_back(0);
    atomic_store(&database->paused, true);
    CHECK(!ask(1, 1));
    atomic_store(&database->paused, false);
    CHECK(!ask(2, 0)); /* though one rests here */
    pool_pump(pool, &loops[0]);
    UNTIL(holds(1));
    CHECK(!holds(2));
    give_back(1);
    UNTIL(holds(2));
    give_back(2);
}

TEST(two_servers_returned_at_once_go_to_the_two_who_waited_longest)
{
    lend(0, 0);
    lend(1, 1);
    CHECK(!ask(2, 2));
    CHECK(!ask(3, 0));
    CHECK(!ask(4, 1));
    give_back(1);
    give_back(0);
    settle();
    CHECK(holds(2) && holds(3) && !holds(4));
    give_back(3);
    UNTIL(holds(4));
    give_back(2);
    give_back(4);
}

TEST(the_oldest_wait_is_told)
{
    CHECK(counts().oldest_wait_us == 0);
    lend(0, 0);
    CHECK(!ask(1, 0));
    int64_t first_us = askers[1].ticket.since_us;
    CHECK(!ask(2, 0));
    CHECK(counts().oldest_wait_us == first_us);
    leave(1);
    CHECK(counts().oldest_wait_us == askers[2].ticket.since_us);
    leave(2);
    give_back(0);
}

/* ---- which idle server ----------------------------------------------------------------------- */

TEST(an_idle_server_of_the_own_worker_is_preferred)
{
    lend(0, 0);
    lend(1, 1);
    struct server *of_0 = askers[0].server, *of_1 = askers[1].server;
    give_back(0);
    give_back(1);
    CHECK(ask(3, 1) && askers[3].server == of_1);
    CHECK(ask(2, 0) && askers[2].server == of_0);
    give_back(2);
    give_back(3);
}

TEST(the_last_one_used_is_used_again)
{
    lend(0, 0);
    lend(1, 0);
    struct server *last = askers[0].server;
    give_back(1);
    give_back(0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(ask(2, 0) && askers[2].server == last);
        give_back(2);
    }
}

static const struct varset *settings(const char *name)
{
    struct varset_edit e;
    varset_edit_begin(&e, varset_empty());
    varset_edit_set(&e, name, "1");
    return varset_edit_end(&e);
}

TEST(of_idle_servers_one_with_the_settings_is_used_else_the_last)
{
    const struct varset *a = settings("app.a"), *b = settings("app.b"), *c = settings("app.c");
    lend(0, 0);
    lend(1, 0);
    struct server *of_a = askers[0].server, *of_b = askers[1].server;
    server_settle(of_a, a);
    server_settle(of_b, b);
    give_back(1);
    give_back(0);
    const struct {
        const struct varset *want;
        const struct server *served;
    } cases[] = {{b, of_b}, {a, of_a}, {c, of_a}, {b, of_b}, {NULL, of_b}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        askers[2].ticket.want = cases[i].want;
        CHECK(ask(2, 0) && askers[2].server == cases[i].served);
        give_back(2);
    }
    askers[2].ticket.want = NULL;
    varset_unref(&a);
    varset_unref(&b);
    varset_unref(&c);
}

TEST(an_idle_server_of_another_worker_comes_over_before_a_new_one_is_opened)
{
    lend(0, 0);
    struct server *s = askers[0].server;
    give_back(0);
    settle();
    CHECK(!ask(1, 2));
    check_counts(1, 0, 0);
    UNTIL(holds(1));
    CHECK(askers[1].server == s && fake.accepted == 1);
    CHECK(atomic_load(&s->home) == &loops[2]);
    give_back(1);
    CHECK(ask(2, 2)); /* it rests there now */
    give_back(2);
    CHECK(fake.accepted == 1);
}

TEST(a_server_that_moved_is_heard_where_it_moved_to)
{
    lend(0, 0);
    give_back(0);
    CHECK(!ask(1, 1));
    UNTIL(holds(1));
    give_back(1);
    fake_say(BYTES("S\0\0\0\x12TimeZone\0CET\0\0"));
    settle(); /* a malformed report: it is closed, by loop 1 */
    check_counts(0, 0, 0);
}

/* ---- leaving --------------------------------------------------------------------------------- */

TEST(who_leaves_while_waiting_is_passed_over)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    CHECK(!ask(2, 2));
    leave(1);
    check_counts(1, 0, 1);
    give_back(0);
    UNTIL(holds(2));
    settle();
    CHECK(!holds(1) && served_count == 2);
    leave(1); /* a second time is harmless */
    give_back(2);
    check_counts(1, 1, 0);
}

TEST(who_leaves_while_a_server_comes_on_the_same_worker_loses_none)
{
    lend(0, 0);
    CHECK(!ask(1, 0));
    give_back(0);
    CHECK(askers[1].ticket.state == TICKET_COMING);
    leave(1);
    check_counts(1, 1, 0); /* back at once */
    settle();
    CHECK(served_count == 1);
    CHECK(ask(2, 0) && fake.accepted == 1);
    give_back(2);
}

TEST(a_server_left_behind_on_the_same_worker_goes_to_the_next_who_waits)
{
    lend(0, 0);
    CHECK(!ask(1, 0));
    CHECK(!ask(2, 1));
    CHECK(!ask(3, 0));
    give_back(0);
    leave(1);
    UNTIL(holds(2));
    CHECK(!holds(3));
    give_back(2);
    UNTIL(holds(3));
    give_back(3);
    settle();
    CHECK(fake.accepted == 1);
    check_counts(1, 1, 0);
}

TEST(who_leaves_while_a_server_comes_from_another_worker_loses_none)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    give_back(0);
    CHECK(askers[1].ticket.state == TICKET_COMING);
    leave(1);
    CHECK(counts().total == 1 && counts().idle == 0); /* still under way */
    settle();
    CHECK(served_count == 1);
    check_counts(1, 1, 0);
    CHECK(ask(2, 1) && fake.accepted == 1);
    give_back(2);
}

TEST(a_server_left_behind_on_its_way_goes_to_the_next_who_waits)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    CHECK(!ask(2, 2));
    CHECK(!ask(3, 0));
    give_back(0);
    leave(1);
    UNTIL(holds(2));
    CHECK(!holds(3));
    leave(3);
    give_back(2);
    settle();
    CHECK(fake.accepted == 1);
    check_counts(1, 1, 0);
}

TEST(who_leaves_before_an_idle_server_of_another_worker_set_out_loses_none)
{
    lend(0, 0);
    give_back(0);
    settle();
    CHECK(!ask(1, 1));
    leave(1); /* the letter lies in the mailbox of loop 0 */
    settle();
    check_counts(1, 1, 0);
    CHECK(!holds(1) && fake.accepted == 1);
    lend(2, 0);
    CHECK(fake.accepted == 1);
    give_back(2);
}

TEST(who_leaves_after_an_idle_server_of_another_worker_set_out_loses_none)
{
    lend(0, 0);
    give_back(0);
    settle();
    CHECK(!ask(1, 1));
    turn_loop(0); /* it lies in the mailbox of loop 1 */
    CHECK(askers[1].ticket.state == TICKET_COMING);
    leave(1);
    settle();
    check_counts(1, 1, 0);
    CHECK(!holds(1) && ask(2, 1));
    CHECK(fake.accepted == 1);
    give_back(2);
}

TEST(who_leaves_may_ask_again_while_the_first_server_is_still_under_way)
{
    lend(0, 0);
    give_back(0);
    settle();
    for (unsigned i = 0; i < 5; i++) {
        CHECK(!ask(1, 1));
        leave(1);
    }
    CHECK(!ask(1, 1));
    UNTIL(holds(1));
    settle();
    give_back(1);
    settle();
    struct pool_counts c = counts();
    CHECK(c.total == c.idle && c.waiting == 0 && c.total == fake.open);
    CHECK(fake.most_open <= 2);
}

TEST(who_leaves_during_the_login_leaves_the_connection_to_others)
{
    fake.hold = true;
    CHECK(!ask(0, 0));
    settle();
    leave(0);
    CHECK(counts().login == 1);
    fake.hold = false;
    settle();
    check_counts(1, 1, 0);
    CHECK(ask(1, 0) && fake.accepted == 1);
    give_back(1);
}

/* ---- failure --------------------------------------------------------------------------------- */

TEST(a_refused_login_is_told_in_the_server_s_words_to_all_who_wait)
{
    fake.refuse = "no entry";
    CHECK(!ask(0, 0));
    CHECK(!ask(1, 1));
    CHECK(!ask(2, 2));
    UNTIL(askers[0].failed && askers[1].failed && askers[2].failed);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_STR(askers[i].why.sqlstate, "28000");
        CHECK(strstr(askers[i].why.text, "no entry") != NULL);
    }
    check_counts(0, 0, 0);
    fake.refuse = NULL;
    CHECK(!ask(0, 1)); /* at once, and without a try */
    CHECK(askers[0].failed && fake.accepted == 1);
    CHECK_STR(askers[0].why.sqlstate, "28000");
    CHECK_STR(askers[0].why.text,
              "server login has been failing, cached error: no entry (server_login_retry)");
    ahead_us = 16 * US_PER_S; /* server_login_retry is 15 s */
    lend(0, 1);
    ahead_us = 0;
    pool_discard(&askers[0].server, "test");
    lend(1, 1); /* all is well again */
    give_back(1);
}

TEST(a_probe_that_reaches_the_node_ends_the_wait_for_the_next_try)
{
    (void)close(fake.listener);
    fake.listener = -1;
    CHECK(!ask(0, 0));
    UNTIL(askers[0].failed);
    CHECK(!ask(0, 0) && askers[0].failed);
    atomic_store(&pool_node(pool)->probed_us, clock_now_us());
    CHECK(!ask(0, 0) && !askers[0].failed); /* tried */
    UNTIL(askers[0].failed);
}

TEST(who_waits_when_the_last_server_dies_while_logins_fail_is_told)
{
    lend(0, 0);
    fake.refuse = "too many";
    CHECK(!ask(1, 1));
    settle();
    CHECK(!askers[1].failed);
    pool_discard(&askers[0].server, "test");
    UNTIL(askers[1].failed);
    CHECK_STR(askers[1].why.text, "too many");
}

/* ---- reserve and minimum --------------------------------------------------------------------- */

TEST(the_reserve_is_for_who_waited_for_long)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    settle();
    CHECK(fake.accepted == 1);
    askers[1].ticket.since_us -= 5 * US_PER_S; /* reserve_pool_timeout */
    CHECK(!ask(2, 2));                         /* the list of those who wait is looked at again */
    leave(2);
    settle();
    pool_pump(pool, &loops[1]);
    UNTIL(holds(1));
    CHECK(fake.accepted == 2 && counts().total == 2);
    CHECK(!ask(2, 2));
    askers[2].ticket.since_us -= 5 * US_PER_S;
    pool_pump(pool, &loops[1]);
    settle();
    CHECK(!holds(2) && fake.accepted == 2); /* of one */
    give_back(1);
    UNTIL(holds(2));
    give_back(0);
    give_back(2);
}

TEST(the_minimum_is_opened_ahead_and_stays)
{
    pool_fill(pool, &loops[1], clock_now_us());
    CHECK(counts().total == 0); /* nobody is there */
    atomic_store(&pool_account(pool)->clients, 1);
    pool_fill(pool, &loops[1], clock_now_us());
    pool_fill(pool, &loops[2], clock_now_us());
    UNTIL(counts().idle == 2);
    settle();
    CHECK(fake.accepted == 2 && counts().total == 2);
    lend(0, 0);
    lend(1, 0);
    lend(2, 0);
    for (unsigned i = 0; i < 3; i++) { give_back(i); }
    pool_tidy(pool, &loops[0], clock_now_us() + 700 * US_PER_S); /* server_idle_timeout */
    settle();
    check_counts(2, 2, 0);
}

/* ---- checked before use ---------------------------------------------------------------------- */

TEST(a_server_that_rested_for_long_is_checked_first)
{
    lend(0, 0);
    give_back(0);
    ahead_us = 31 * US_PER_S;
    CHECK(!ask(1, 1)); /* from another worker */
    CHECK(counts().idle == 0 && counts().waiting == 1);
    UNTIL(holds(1));
    CHECK_STR(fake.asked, "select 1");
    CHECK(fake.accepted == 1);
    give_back(1);
    fake.asked[0] = '\0';
    ahead_us = 0;
    CHECK(ask(2, 1));
    CHECK_STR(fake.asked, "");
    give_back(2);
}

TEST(a_server_that_fails_its_check_is_replaced)
{
    lend(0, 0);
    give_back(0);
    ahead_us = 31 * US_PER_S;
    fake.deaf = true; /* it closes when it is asked */
    CHECK(!ask(1, 0));
    UNTIL(fake.open == 0);
    fake.deaf = false;
    UNTIL(holds(1));
    CHECK(fake.accepted == 2);
    give_back(1);
}

TEST(each_who_waits_has_one_server_checked_for_it)
{
    for (unsigned i = 0; i < 3; i++) { lend(i, i); }
    for (unsigned i = 0; i < 3; i++) { give_back(i); }
    ahead_us = 31 * US_PER_S;
    for (unsigned i = 0; i < 3; i++) { CHECK(!ask(i, 0)); }
    UNTIL(holds(0) && holds(1) && holds(2));
    CHECK(fake.accepted == 3);
    for (unsigned i = 0; i < 3; i++) { give_back(i); }
}

/* ---- caps that pools share ------------------------------------------------------------------- */

static bool other_asks(unsigned who, unsigned on)
{
    askers[who].pool = pools[1] == NULL ? second_pool() : pools[1];
    return ask(who, on);
}

TEST(a_shared_cap_holds_over_pools_and_an_idle_server_makes_room)
{
    lend(0, 0);
    lend(1, 1);
    give_back(1); /* rests on loop 1 */
    CHECK(!other_asks(2, 2));
    UNTIL(holds(2));
    CHECK(fake.most_open == 2 && fake.accepted == 3);
    check_counts(1, 0, 0);
    give_back(0);
    give_back(2);
    settle();
    CHECK(fake.open == 2);
}

TEST(the_idle_server_used_longest_ago_makes_room)
{
    lend(0, 0);
    lend(1, 1);
    struct server *first = askers[1].server, *last = askers[0].server;
    give_back(1);
    loops[0].now_us = loops[1].now_us + 10;
    give_back(0);
    CHECK(first->released_us < last->released_us);
    CHECK(!other_asks(2, 0));
    UNTIL(holds(2));
    CHECK(ask(3, 0) && askers[3].server == last);
    give_back(2);
    give_back(3);
}

TEST(with_all_servers_busy_the_first_that_is_free_makes_room)
{
    lend(0, 0);
    lend(1, 1);
    CHECK(!other_asks(2, 2));
    settle();
    CHECK(!holds(2));
    give_back(1);
    UNTIL(holds(2));
    CHECK(fake.most_open == 2);
    give_back(0);
    give_back(2);
}

TEST(two_pools_under_one_cap_are_served_alike)
{
    unsigned done[2] = {0};
    for (unsigned i = 0; i < 4; i++) { (void)ask(i, i % LOOPS); }
    for (unsigned i = 4; i < 8; i++) { (void)other_asks(i, i % LOOPS); }
    for (unsigned round = 0; round < 20000; round++) {
        turn();
        for (unsigned i = 0; i < 8; i++) {
            if (!holds(i)) { continue; }
            done[i / 4]++;
            give_back(i);
            (void)ask(i, i % LOOPS);
        }
    }
    CHECK(fake.most_open <= 2);
    CHECK(done[0] > 100 && done[1] > 100);
    CHECK(2 * done[0] < 3 * done[1] && 2 * done[1] < 3 * done[0]);
    for (unsigned i = 0; i < 8; i++) {
        if (holds(i)) { give_back(i); }
        if (askers[i].asking) { leave(i); }
    }
}

TEST(who_leaves_with_a_failure_in_the_mailbox_is_not_called)
{
    fake.refuse = "no entry";
    CHECK(!ask(0, 0)); /* its loop opens the connection */
    CHECK(!ask(1, 1));
    for (unsigned i = 0; i < 100000 && !askers[0].failed; i++) {
        fake_turn();
        turn_loop(0);
    }
    CHECK(askers[0].failed && askers[1].ticket.state == TICKET_COMING);
    leave(1);
    settle();
    CHECK(!askers[1].failed);
    fake.refuse = NULL;
    ahead_us = 16 * US_PER_S;
    lend(1, 1);
    give_back(1);
}

TEST(with_another_server_alive_a_failed_login_is_no_reason_to_give_up)
{
    lend(0, 0);
    fake.refuse = "too many";
    CHECK(!ask(1, 1));
    settle();
    CHECK(!askers[1].failed && counts().total == 1);
    give_back(0);
    UNTIL(holds(1));
    give_back(1);
}

TEST(a_node_that_cannot_be_reached_is_marked_so_until_it_can)
{
    (void)close(fake.listener);
    fake.listener = -1;
    CHECK(!ask(0, 0));
    UNTIL(askers[0].failed);
    CHECK_STR(askers[0].why.sqlstate, "08006");
    CHECK(!atomic_load(&pool_node(pool)->up));
    check_counts(0, 0, 0);
}

TEST(a_discarded_server_is_replaced_for_who_waits_within_the_limit)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    CHECK(!ask(2, 2));
    pool_discard(&askers[0].server, "test");
    CHECK(askers[0].server == NULL);
    UNTIL(holds(1));
    CHECK(fake.accepted == 2 && fake.most_open == 1);
    CHECK(!holds(2));
    give_back(1);
    UNTIL(holds(2));
    give_back(2);
}

/* ---- what comes back ------------------------------------------------------------------------- */

TEST(a_server_in_disorder_is_not_lent_again)
{
    lend(0, 0);
    server_saw_ready(askers[0].server, 'T');
    give_back(0);
    check_counts(0, 0, 0);
    lend(0, 0);
    expects_push(&askers[0].server->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
    give_back(0);
    check_counts(0, 0, 0);
    lend(0, 0);
    CHECK(fake.accepted == 3 && fake.most_open == 1);
    give_back(0);
}

TEST(a_server_in_a_transaction_is_rolled_back_for_the_next)
{
    lend(0, 0);
    CHECK(!ask(1, 2));
    server_saw_ready(askers[0].server, 'T');
    pool_recover(&askers[0].server, false, false);
    CHECK(askers[0].server == NULL && counts().cleaning == 1);
    UNTIL(holds(1));
    CHECK_STR(fake.asked, "ROLLBACK");
    CHECK(fake.accepted == 1);
    CHECK(server_is_clean(askers[1].server));
    give_back(1);
}

TEST(a_server_that_must_be_reset_forgets_what_it_had)
{
    const struct prepared *p = prepared_intern(BYTES("select 1"), NULL, 0, reading_any());
    lend(0, 0);
    struct server *s = askers[0].server;
    server_need(s, p);
    expects_clear(&s->expects); /* as if it had been answered */
    buf_clear(&s->stream.out);
    pool_recover(&askers[0].server, false, true);
    UNTIL(counts().idle == 1);
    CHECK_STR(fake.asked, "DISCARD ALL");
    CHECK(ask(1, 0) && askers[1].server == s);
    CHECK(!server_has(s, p));
    give_back(1);
    prepared_unref(&p);
}

TEST(a_server_torn_in_the_middle_of_a_message_is_closed)
{
    lend(0, 0);
    askers[0].server->torn = true;
    pool_recover(&askers[0].server, false, false);
    check_counts(0, 0, 0);
}

/* ---- at rest --------------------------------------------------------------------------------- */

TEST(a_server_that_dies_at_rest_is_noticed)
{
    lend(0, 0);
    lend(1, 1);
    give_back(0);
    give_back(1);
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        if (fake.conns[i].fd != 0) { fake_hang_up(&fake.conns[i]); }
    }
    settle();
    check_counts(0, 0, 0);
    lend(0, 0);
    give_back(0);
}

TEST(a_server_that_says_good_bye_at_rest_is_closed)
{
    lend(0, 0);
    give_back(0);
    fake_say(BYTES("E\0\0\0\x0eSFATAL\0\0\0"));
    settle();
    check_counts(0, 0, 0);
}

TEST(what_a_server_reports_at_rest_is_kept_and_it_stays)
{
    lend(0, 0);
    struct server *s = askers[0].server;
    give_back(0);
    fake_say(BYTES("S\0\0\0\x11TimeZone\0CET\0"));
    settle();
    check_counts(1, 1, 0);
    CHECK_STR(server_param(s, "TimeZone"), "CET");
    CHECK(ask(1, 0) && askers[1].server == s);
    give_back(1);
}

TEST(a_report_that_came_in_part_is_not_mistaken)
{
    lend(0, 0);
    give_back(0);
    fake_say(BYTES("S\0\0\0\x11Time"));
    settle();
    CHECK(counts().total == counts().idle); /* it is whole or gone, never lent half-read */
}

TEST(servers_unused_for_too_long_are_closed)
{
    lend(0, 0);
    lend(1, 0);
    give_back(0);
    pool_tidy(pool, &loops[0], clock_now_us());
    CHECK(counts().total == 2);
    pool_tidy(pool, &loops[1], clock_now_us() + 86400 * US_PER_S); /* not its to close */
    CHECK(counts().total == 2);
    pool_tidy(pool, &loops[0], clock_now_us() + 86400 * US_PER_S);
    check_counts(1, 0, 0); /* the lent one is in use */
    settle();
    CHECK(fake.open == 1);
    give_back(1);
}

TEST(recycled_servers_close_now_or_at_their_return)
{
    lend(0, 0);
    lend(1, 1);
    give_back(0);
    pool_recycle(pool, &loops[0]);
    check_counts(1, 0, 0);
    give_back(1);
    check_counts(0, 0, 0);
    lend(2, 0); /* new ones are not meant */
    give_back(2);
    check_counts(1, 1, 0);
}

TEST(while_paused_nobody_is_served_and_afterwards_all_are)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    atomic_store(&database->paused, true);
    give_back(0);
    CHECK(!ask(2, 2));
    settle();
    check_counts(0, 0, 2);
    CHECK(!holds(1) && !holds(2));
    atomic_store(&database->paused, false);
    for (unsigned i = 0; i < LOOPS; i++) { pool_pump(pool, &loops[i]); }
    UNTIL(holds(1) && holds(2));
    CHECK(served[1] == 1 && served[2] == 2);
    give_back(1);
    give_back(2);
}

TEST(at_the_end_each_worker_closes_its_own)
{
    lend(0, 0);
    lend(1, 1);
    lend(2, 2);
    give_back(1);
    pool_shutdown(pool, &loops[0]);
    askers[0].server = NULL;
    CHECK(counts().total == 2);
    pool_shutdown(pool, &loops[1]);
    CHECK(counts().total == 1);
    give_back(2);
    settle();
    CHECK(fake.open == 1);
}

TEST(with_no_lifetime_a_connection_is_used_once)
{
    lend(0, 0);
    CHECK(fake.accepted == 1);
    CHECK(!ask(1, 1));
    give_back(0);
    UNTIL(holds(1));
    CHECK(fake.accepted == 2);
    give_back(1);
    check_counts(0, 0, 0);
}

TEST(servers_that_grew_old_together_are_replaced_one_after_another)
{
    for (unsigned i = 0; i < 4; i++) { lend(i, 0); }
    for (unsigned i = 0; i < 4; i++) { give_back(i); }
    int64_t now_us = clock_now_us();
    pool_tidy(pool, &loops[0], now_us + 101 * US_PER_S); /* of a lifetime of 100 s, 4 servers */
    CHECK(counts().total == 3);
    pool_tidy(pool, &loops[0], now_us + 110 * US_PER_S);
    CHECK(counts().total == 3);
    pool_tidy(pool, &loops[0], now_us + 127 * US_PER_S);
    CHECK(counts().total == 2);
}

TEST(servers_of_a_name_that_moved_are_replaced)
{
    struct names names;
    struct address a;
    names_init(&names);
    names_configure(&names, US_PER_S, US_PER_S);
    for (unsigned i = 0; i < LOOPS; i++) { loops[i].names = &names; }
    lend(0, 0);
    lend(1, 1);
    give_back(0);
    CHECK(address_numeric(&a, "127.0.0.1", 0));
    names_learn(&names, "127.0.0.1", &a, 1, 1); /* as if it were a name */
    pool_follow_names(pool, &loops[0]);
    CHECK(counts().total == 2);
    CHECK(address_numeric(&a, "127.0.0.2", 0));
    names_learn(&names, "127.0.0.1", &a, 1, 2);
    for (unsigned i = 0; i < LOOPS; i++) { pool_follow_names(pool, &loops[i]); }
    check_counts(1, 0, 0); /* the lent one is in use */
    give_back(1);
    check_counts(0, 0, 0);
    for (unsigned i = 0; i < LOOPS; i++) { loops[i].names = NULL; }
    names_done(&names);
}

TEST(servers_take_turns_when_told_to)
{
    lend(0, 0);
    lend(1, 0);
    struct server *a = askers[0].server, *b = askers[1].server;
    give_back(0);
    give_back(1);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(ask(2, 0) && askers[2].server == (i % 2 == 0 ? a : b));
        give_back(2);
    }
}

TEST(the_reset_query_runs_at_each_return_when_told_to)
{
    lend(0, 0);
    struct server *s = askers[0].server;
    give_back(0);
    CHECK(counts().cleaning == 1);
    UNTIL(counts().idle == 1);
    CHECK_STR(fake.asked, "SET SESSION AUTHORIZATION DEFAULT;RESET ALL"); /* after it */
    CHECK(ask(1, 0) && askers[1].server == s);
    give_back(1);
    UNTIL(counts().idle == 1);
}

TEST(users_of_a_line_that_forces_one_share_its_pool)
{
    CHECK(second_pool() == pool);
    pools[1] = NULL;
}

TEST(a_reload_changes_sizes_without_new_pools)
{
    struct config *next = NULL;
    struct fault why;
    lend(0, 0);
    CHECK(!ask(1, 1));
    settle();
    CHECK(!holds(1));
    CHECK(config_set(config, "default_pool_size", "2", &next, &why) == E_OK);
    registry_configure(registry, next, users);
    config_unref(&next);
    CHECK(!atomic_load(&database->retired));
    pool_pump(pool, &loops[1]);
    UNTIL(holds(1));
    give_back(0);
    give_back(1);
}

TEST(who_waits_while_a_reload_retires_the_database_is_served)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    atomic_store(&database->retired, true);
    give_back(0);
    UNTIL(holds(1));
    CHECK(fake.accepted == 2);
    give_back(1);
    check_counts(0, 0, 0);
}

TEST(a_server_on_its_way_to_nobody_at_the_end_is_closed)
{
    lend(0, 0);
    CHECK(!ask(1, 1));
    give_back(0); /* in the mailbox of loop 1, watched by nobody */
    leave(1);
    for (unsigned i = 0; i < LOOPS; i++) { pool_shutdown(pool, &loops[i]); }
    CHECK(counts().total == 0);
}

TEST(a_server_that_was_to_set_out_at_the_end_is_closed)
{
    lend(0, 0);
    give_back(0);
    settle();
    CHECK(!ask(1, 1)); /* the mailbox of loop 0 says so */
    leave(1);
    for (unsigned i = 0; i < LOOPS; i++) { pool_shutdown(pool, &loops[i]); }
    CHECK(counts().total == 0);
    settle(); /* the letter is not opened */
}

/* ---- all of it at once ----------------------------------------------------------------------- */

static uint32_t next_number(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void act(struct asker *a, unsigned who, uint32_t *seed)
{
    unsigned dice = next_number(seed) % 16;
    if (a->server != NULL && dice == 0) {
        pool_discard(&a->server, "test");
    } else if (a->server != NULL && dice == 1) {
        server_saw_ready(a->server, 'T');
        pool_recover(&a->server, false, false);
    } else if (a->server != NULL) {
        give_back(who);
    } else if (a->asking && dice < 4) {
        leave(who);
    } else if (!a->asking) {
        (void)ask(who, next_number(seed) % LOOPS);
    }
}

TEST(whatever_askers_of_two_pools_do_the_cap_holds_and_no_slot_is_lost)
{
    uint32_t seed = 7;
    (void)second_pool();
    for (unsigned i = 0; i < ASKERS; i++) { askers[i].pool = pools[i % 2]; }
    for (unsigned step = 0; step < 20000; step++) {
        unsigned who = next_number(&seed) % ASKERS;
        act(&askers[who], who, &seed);
        unsigned chance = next_number(&seed) % (LOOPS + 2);
        if (chance < LOOPS) { turn_loop(chance); }
        if (chance == LOOPS) { fake_turn(); }
        struct pool_counts c[2];
        pool_counts(pools[0], &c[0]);
        pool_counts(pools[1], &c[1]);
        CHECK(c[0].total + c[1].total <= 3);
    }
    CHECK(fake.most_open <= 3 && served_count > 1000);
    for (unsigned i = 0; i < ASKERS; i++) {
        if (holds(i)) { give_back(i); }
        if (askers[i].asking) { leave(i); }
        askers[i].pool = NULL;
    }
    settle();
    for (unsigned i = 0; i < 3; i++) { (void)ask(i, i % LOOPS); } /* all three can be had */
    UNTIL(holds(0) && holds(1) && holds(2));
    CHECK(fake.most_open <= 3);
    for (unsigned i = 0; i < 3; i++) { give_back(i); }
    for (unsigned i = 0; i < 3; i++) { askers[i].pool = pools[1]; }
    for (unsigned i = 0; i < 3; i++) { (void)ask(i, i % LOOPS); } /* by either pool */
    UNTIL(holds(0) && holds(1) && holds(2));
    for (unsigned i = 0; i < 3; i++) { give_back(i); }
}

TEST(whatever_askers_do_the_limit_holds_and_no_server_is_lost)
{
    uint32_t seed = 42;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned who = next_number(&seed) % ASKERS;
        act(&askers[who], who, &seed);
        unsigned chance = next_number(&seed) % (LOOPS + 2);
        if (chance < LOOPS) { turn_loop(chance); }
        if (chance == LOOPS) { fake_turn(); }
        unsigned held = 0;
        for (unsigned i = 0; i < ASKERS; i++) { held += holds(i); }
        struct pool_counts c = counts();
        CHECK(held <= 4 && c.total <= 4 && c.idle + c.login <= c.total);
        CHECK(c.idle == 0 || c.waiting == 0);
    }
    CHECK(fake.most_open <= 4 && served_count > 1000);
    for (unsigned i = 0; i < ASKERS; i++) {
        if (holds(i)) { give_back(i); }
        if (askers[i].asking) { leave(i); }
    }
    settle();
    struct pool_counts c = counts();
    CHECK(c.total == c.idle && c.total == fake.open && c.waiting == 0 && c.login == 0);
    for (unsigned i = 0; i < 4; i++) { (void)ask(i, i % LOOPS); } /* all four can be had */
    UNTIL(holds(0) && holds(1) && holds(2) && holds(3));
    for (unsigned i = 0; i < 4; i++) { give_back(i); }
}

#define WITH(size, name) cmocka_unit_test_setup_teardown(name, size, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(one, nothing_is_opened_before_somebody_asks),
        WITH(one, the_first_to_ask_gets_a_connection_of_its_own),
        WITH(two, the_limit_holds_over_all_workers_and_is_used_up),
        WITH(four, no_more_is_opened_than_there_are_askers),
        WITH(one, who_asked_first_is_served_first_whichever_worker_the_server_returns_on),
        WITH(one, a_newcomer_does_not_overtake_who_waits),
        WITH(one, a_newcomer_after_a_pause_does_not_overtake_who_waited_through_it),
        WITH(two, two_servers_returned_at_once_go_to_the_two_who_waited_longest),
        WITH(one, the_oldest_wait_is_told),
        WITH(four, an_idle_server_of_the_own_worker_is_preferred),
        WITH(four, the_last_one_used_is_used_again),
        WITH(four, of_idle_servers_one_with_the_settings_is_used_else_the_last),
        WITH(four, an_idle_server_of_another_worker_comes_over_before_a_new_one_is_opened),
        WITH(four, a_server_that_moved_is_heard_where_it_moved_to),
        WITH(one, who_leaves_while_waiting_is_passed_over),
        WITH(one, who_leaves_while_a_server_comes_on_the_same_worker_loses_none),
        WITH(one, a_server_left_behind_on_the_same_worker_goes_to_the_next_who_waits),
        WITH(one, who_leaves_while_a_server_comes_from_another_worker_loses_none),
        WITH(one, a_server_left_behind_on_its_way_goes_to_the_next_who_waits),
        WITH(one, who_leaves_before_an_idle_server_of_another_worker_set_out_loses_none),
        WITH(one, who_leaves_after_an_idle_server_of_another_worker_set_out_loses_none),
        WITH(two, who_leaves_may_ask_again_while_the_first_server_is_still_under_way),
        WITH(one, who_leaves_during_the_login_leaves_the_connection_to_others),
        WITH(one, a_refused_login_is_told_in_the_server_s_words_to_all_who_wait),
        WITH(one, a_probe_that_reaches_the_node_ends_the_wait_for_the_next_try),
        WITH(two, who_waits_when_the_last_server_dies_while_logins_fail_is_told),
        WITH(reserved, the_reserve_is_for_who_waited_for_long),
        WITH(at_least_two, the_minimum_is_opened_ahead_and_stays),
        WITH(checked, a_server_that_rested_for_long_is_checked_first),
        WITH(checked, a_server_that_fails_its_check_is_replaced),
        WITH(checked, each_who_waits_has_one_server_checked_for_it),
        WITH(capped, a_shared_cap_holds_over_pools_and_an_idle_server_makes_room),
        WITH(capped, the_idle_server_used_longest_ago_makes_room),
        WITH(capped, with_all_servers_busy_the_first_that_is_free_makes_room),
        WITH(capped, two_pools_under_one_cap_are_served_alike),
        WITH(ageing, servers_that_grew_old_together_are_replaced_one_after_another),
        WITH(two, servers_of_a_name_that_moved_are_replaced),
        WITH(in_turn, servers_take_turns_when_told_to),
        WITH(reset_always, the_reset_query_runs_at_each_return_when_told_to),
        WITH(forced, users_of_a_line_that_forces_one_share_its_pool),
        WITH(one_by_default, a_reload_changes_sizes_without_new_pools),
        WITH(capped_at_three, whatever_askers_of_two_pools_do_the_cap_holds_and_no_slot_is_lost),
        WITH(one, who_leaves_with_a_failure_in_the_mailbox_is_not_called),
        WITH(two, with_another_server_alive_a_failed_login_is_no_reason_to_give_up),
        WITH(one, a_node_that_cannot_be_reached_is_marked_so_until_it_can),
        WITH(one, a_discarded_server_is_replaced_for_who_waits_within_the_limit),
        WITH(one, a_server_in_disorder_is_not_lent_again),
        WITH(one, a_server_in_a_transaction_is_rolled_back_for_the_next),
        WITH(one, a_server_that_must_be_reset_forgets_what_it_had),
        WITH(one, a_server_torn_in_the_middle_of_a_message_is_closed),
        WITH(two, a_server_that_dies_at_rest_is_noticed),
        WITH(one, a_server_that_says_good_bye_at_rest_is_closed),
        WITH(one, what_a_server_reports_at_rest_is_kept_and_it_stays),
        WITH(one, a_report_that_came_in_part_is_not_mistaken),
        WITH(two, servers_unused_for_too_long_are_closed),
        WITH(two, recycled_servers_close_now_or_at_their_return),
        WITH(two, while_paused_nobody_is_served_and_afterwards_all_are),
        WITH(four, at_the_end_each_worker_closes_its_own),
        WITH(used_once, with_no_lifetime_a_connection_is_used_once),
        WITH(one, who_waits_while_a_reload_retires_the_database_is_served),
        WITH(one, a_server_on_its_way_to_nobody_at_the_end_is_closed),
        WITH(one, a_server_that_was_to_set_out_at_the_end_is_closed),
        WITH(four, whatever_askers_do_the_limit_holds_and_no_server_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
