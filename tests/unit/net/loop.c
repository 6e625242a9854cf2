/* Letters within and between loops; watches that let go. Loops are turned by hand. */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/watch.h"

static struct loop loop;
static struct buf order; /* what was opened, in order */

struct note {
    struct letter letter;
    char mark;
};

static void open_note(struct letter *l)
{
    buf_put_u8(&order, (uint8_t)container_of(l, struct note, letter)->mark);
}

#define NOTE(mark)                                                                                 \
    {                                                                                              \
        {.open = open_note}, (mark)                                                                \
    }

static void turn(void)
{
    loop_turn(&loop, false);
}

static int start(void **state)
{
    (void)state;
    loop_init(&loop);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    loop_done(&loop);
    buf_done(&order);
    return 0;
}

static void check_order(const char *want)
{
    CHECK_STR(buf_text(&order), want);
}

/* ---- letters */

TEST(letters_are_opened_on_the_loop_in_the_order_of_posting)
{
    struct note a = NOTE('a'), b = NOTE('b'), c = NOTE('c');
    loop_post(&loop, &b.letter);
    loop_post(&loop, &a.letter);
    loop_post(&loop, &c.letter);
    check_order("");
    turn();
    check_order("bac");
    turn();
    check_order("bac");
}

TEST(a_letter_taken_back_is_not_opened)
{
    struct note a = NOTE('a'), b = NOTE('b'), c = NOTE('c');
    loop_post(&loop, &a.letter);
    loop_post(&loop, &b.letter);
    loop_post(&loop, &c.letter);
    loop_unpost(&loop, &b.letter);
    turn();
    check_order("ac");
    loop_unpost(&loop, &a.letter); /* opened by now: harmless */
    loop_post(&loop, &b.letter);   /* and a letter may be sent again */
    turn();
    check_order("acb");
}

TEST(a_deferred_letter_is_opened_in_the_next_turn_without_waiting_for_events)
{
    struct note a = NOTE('a'), b = NOTE('b');
    loop_defer(&loop, &b.letter);
    loop_defer(&loop, &a.letter);
    check_order("");
    turn();
    check_order("ba");
}

static struct note deferred_by_letter = NOTE('2');

static void open_and_defer(struct letter *l)
{
    open_note(l);
    loop_defer(&loop, &deferred_by_letter.letter);
}

TEST(what_an_event_defers_is_opened_in_the_same_turn)
{
    struct note first = {{.open = open_and_defer}, '1'};
    loop_post(&loop, &first.letter);
    turn();
    check_order("12");
}

TEST(what_a_deferred_letter_defers_is_opened_too)
{
    struct note first = {{.open = open_and_defer}, '1'};
    loop_defer(&loop, &first.letter);
    turn();
    check_order("12");
}

static void defer_when_due(struct timer *t)
{
    (void)t;
    loop_defer(&loop, &deferred_by_letter.letter);
}

TEST(what_a_timer_defers_does_not_wait_for_the_next_event)
{
    struct timer t = {.due = defer_when_due};
    timer_set(&loop.timers, &t, 0);
    turn();
    check_order("2");
}

TEST(what_is_left_is_opened_before_the_loop_ends)
{
    struct loop other = {0};
    struct note a = NOTE('a'), b = NOTE('b');
    loop_init(&other);
    loop_post(&other, &a.letter);
    loop_defer(&other, &b.letter);
    loop_done(&other);
    check_order("ab");
}

enum { SENDERS = 3, EACH_SENDS = 2000 };

struct numbered {
    struct letter letter;
    unsigned sender, number;
};
static struct numbered sent[SENDERS][EACH_SENDS];
static unsigned next_of[SENDERS], opened;

static void open_numbered(struct letter *l)
{
    const struct numbered *n = container_of(l, struct numbered, letter);
    CHECK(n->number == next_of[n->sender]++);
    opened++;
}

static void *send_all(void *arg)
{
    struct numbered *mine = arg;
    for (unsigned i = 0; i < EACH_SENDS; i++) { loop_post(&loop, &mine[i].letter); }
    return NULL;
}

TEST(letters_of_other_threads_all_arrive_each_thread_s_in_order)
{
    pthread_t threads[SENDERS];
    opened = 0;
    for (unsigned s = 0; s < SENDERS; s++) {
        next_of[s] = 0;
        for (unsigned i = 0; i < EACH_SENDS; i++) {
            sent[s][i] = (struct numbered){{.open = open_numbered}, s, i};
        }
        CHECK(pthread_create(&threads[s], NULL, send_all, sent[s]) == 0);
    }
    while (opened < SENDERS * EACH_SENDS) { loop_turn(&loop, true); }
    for (unsigned s = 0; s < SENDERS; s++) { CHECK(pthread_join(threads[s], NULL) == 0); }
    CHECK(opened == SENDERS * EACH_SENDS);
}

static void open_and_stop(struct letter *l)
{
    open_note(l);
    loop_stop(&loop);
}

TEST(a_loop_runs_until_it_is_stopped)
{
    struct note last = {{.open = open_and_stop}, 's'};
    loop_post(&loop, &last.letter);
    loop_run(&loop);
    check_order("s");
}

/* ---- watches */

static struct watch *watches[2];
static unsigned watch_calls;

static void close_both(void *arg, int events)
{
    (void)arg;
    CHECK((events & UV_READABLE) != 0);
    watch_calls++;
    watch_close(&watches[0]);
    watch_close(&watches[1]);
    watch_close(&watches[1]); /* a second time is harmless */
}

static void turn_often(void)
{
    for (int i = 0; i < 5; i++) { turn(); }
}

static void count_only(void *arg, int events)
{
    (void)arg;
    CHECK(events == (UV_READABLE | UV_WRITABLE));
    watch_calls++;
}

TEST(an_error_that_nobody_can_act_on_is_told_once)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    while (write(fds[0], "a long time unread", 18) > 0) {} /* until there is no room */
    watch_calls = 0;
    watches[0] = watch_open(&loop, fds[0], count_only, NULL);
    watch_want(watches[0], UV_WRITABLE);
    turn_often();
    CHECK(watch_calls == 0);
    (void)close(fds[1]); /* with bytes unread: an error for the other end */
    turn_often();
    CHECK(watch_calls == 1 && watch_wanted(watches[0]) == 0);
    watch_want(watches[0], UV_READABLE); /* who reads is told until it has read the error */
    turn_often();
    CHECK(watch_calls > 2);
    watch_close(&watches[0]);
    (void)close(fds[0]);
}

TEST(a_closed_watch_is_not_called_even_when_its_event_is_in_hand)
{
    int a[2], b[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b) == 0);
    watch_calls = 0;
    watches[0] = watch_open(&loop, a[0], close_both, NULL);
    watches[1] = watch_open(&loop, b[0], close_both, NULL);
    CHECK(write(a[1], "x", 1) == 1 && write(b[1], "x", 1) == 1);
    turn();
    CHECK(watch_calls == 0 && watch_wanted(watches[0]) == 0); /* nothing was asked for yet */
    watch_want(watches[0], UV_READABLE);
    watch_want(watches[1], UV_READABLE);
    CHECK(watch_wanted(watches[1]) == UV_READABLE);
    turn(); /* both are ready in this one */
    turn();
    CHECK(watch_calls == 1);
    CHECK(write(a[0], "y", 1) == 1); /* the descriptor is the owner's, and open */
    for (int i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

static uv_idle_t idle;
static uv_timer_t at_once;
static bool rang;

static void ring(uv_timer_t *timer)
{
    (void)timer;
    rang = true;
    loop_stop(&loop);
}

static void start_timer(struct letter *l)
{
    (void)l;
    CHECK(uv_timer_start(&at_once, ring, 0, 0) == 0);
}

static void defer_letter(uv_idle_t *handle)
{
    static struct letter letter = {.open = start_timer};
    CHECK(uv_idle_stop(handle) == 0);
    loop_defer(&loop, &letter);
}

TEST(what_a_deferred_letter_gives_libuv_to_do_is_not_slept_over)
{
    CHECK(uv_idle_init(&loop.uv, &idle) == 0 && uv_timer_init(&loop.uv, &at_once) == 0);
    CHECK(uv_idle_start(&idle, defer_letter) == 0);
    loop_run(&loop); /* else it waits for ever */
    CHECK(rang);
    uv_close((uv_handle_t *)&idle, NULL);
    uv_close((uv_handle_t *)&at_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(letters_are_opened_on_the_loop_in_the_order_of_posting),
        EACH(a_letter_taken_back_is_not_opened),
        EACH(a_deferred_letter_is_opened_in_the_next_turn_without_waiting_for_events),
        EACH(what_an_event_defers_is_opened_in_the_same_turn),
        EACH(what_a_deferred_letter_defers_is_opened_too),
        EACH(what_a_timer_defers_does_not_wait_for_the_next_event),
        EACH(what_is_left_is_opened_before_the_loop_ends),
        EACH(letters_of_other_threads_all_arrive_each_thread_s_in_order),
        EACH(a_loop_runs_until_it_is_stopped),
        EACH(an_error_that_nobody_can_act_on_is_told_once),
        EACH(a_closed_watch_is_not_called_even_when_its_event_is_in_hand),
        EACH(what_a_deferred_letter_gives_libuv_to_do_is_not_slept_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
