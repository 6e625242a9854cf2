/* Deadlines, with the clock moved by hand; the last tests put a loop behind them. */
#include "unit.h"

#include "base/dlist.h"
#include "net/loop.h"

enum { MOST = 600 };

struct alarm {
    struct timer timer;
    unsigned runs;
};

static struct timers timers;
static struct alarm alarms[MOST];
static int64_t ran[MOST * 2]; /* deadlines in the order they ran */
static unsigned ran_count;

static void on_due(struct timer *t)
{
    CHECK(t->slot == 0); /* disarmed by now: it may be set again from here */
    container_of(t, struct alarm, timer)->runs++;
    ran[ran_count++] = t->at_us;
}

static int start(void **state)
{
    (void)state;
    memset(alarms, 0, sizeof alarms);
    for (unsigned i = 0; i < MOST; i++) { alarms[i].timer.due = on_due; }
    ran_count = 0;
    timers_init(&timers, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    timers_done(&timers);
    return 0;
}

/* The same sequence in every run. */
static uint32_t next_number(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

TEST(nothing_is_due_when_nothing_is_set)
{
    CHECK(timers_run(&timers, INT64_MAX) == -1);
}

TEST(a_deadline_runs_when_its_time_has_come_and_only_once)
{
    timer_set(&timers, &alarms[0].timer, 1000);
    CHECK(timers_run(&timers, 999) == 1000);
    CHECK(alarms[0].runs == 0);
    CHECK(timers_run(&timers, 1000) == -1);
    CHECK(alarms[0].runs == 1);
    CHECK(timers_run(&timers, 5000) == -1);
    CHECK(alarms[0].runs == 1);
}

TEST(deadlines_run_in_order_of_time_however_they_were_set)
{
    uint32_t seed = 1;
    for (unsigned i = 0; i < MOST; i++) {
        timer_set(&timers, &alarms[i].timer, next_number(&seed) % 1000);
    }
    CHECK(timers_run(&timers, 499) >= 500);
    for (unsigned i = 0; i < MOST; i++) {
        CHECK(alarms[i].runs == (alarms[i].timer.at_us <= 499 ? 1 : 0));
    }
    CHECK(timers_run(&timers, 1000) == -1);
    CHECK(ran_count == MOST);
    for (unsigned i = 1; i < MOST; i++) { CHECK(ran[i - 1] <= ran[i]); }
}

TEST(a_moved_deadline_runs_at_its_new_time_only)
{
    timer_set(&timers, &alarms[0].timer, 1000);
    timer_set(&timers, &alarms[1].timer, 2000);
    timer_set(&timers, &alarms[2].timer, 3000);
    timer_set(&timers, &alarms[0].timer, 2500); /* later */
    timer_set(&timers, &alarms[2].timer, 500);  /* sooner */
    CHECK(timers_run(&timers, 1999) == 2000);
    CHECK(alarms[2].runs == 1 && alarms[0].runs == 0 && alarms[1].runs == 0);
    CHECK(timers_run(&timers, 2499) == 2500);
    CHECK(alarms[1].runs == 1 && alarms[0].runs == 0);
    CHECK(timers_run(&timers, 9999) == -1);
    CHECK(alarms[0].runs == 1 && alarms[1].runs == 1 && alarms[2].runs == 1);
}

TEST(a_cleared_deadline_never_runs_and_clearing_twice_is_harmless)
{
    timer_set(&timers, &alarms[0].timer, 10);
    timer_set(&timers, &alarms[1].timer, 20);
    timer_clear(&timers, &alarms[0].timer);
    timer_clear(&timers, &alarms[0].timer);
    timer_clear(&timers, &alarms[2].timer); /* was never set */
    CHECK(timers_run(&timers, 15) == 20);
    CHECK(timers_run(&timers, 100) == -1);
    CHECK(alarms[0].runs == 0 && alarms[1].runs == 1 && alarms[2].runs == 0);
}

TEST(after_any_sets_moves_and_clears_exactly_what_is_set_runs_in_order)
{
    uint32_t seed = 7;
    bool armed[MOST] = {false};
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = next_number(&seed) % MOST;
        armed[i] = next_number(&seed) % 3 != 0;
        if (armed[i]) {
            timer_set(&timers, &alarms[i].timer, next_number(&seed) % 100000);
        } else {
            timer_clear(&timers, &alarms[i].timer);
        }
    }
    unsigned expected = 0;
    for (unsigned i = 0; i < MOST; i++) { expected += armed[i]; }
    CHECK(timers.count == expected);
    CHECK(timers_run(&timers, 100000) == -1);
    CHECK(ran_count == expected);
    for (unsigned i = 1; i < ran_count; i++) { CHECK(ran[i - 1] <= ran[i]); }
    for (unsigned i = 0; i < MOST; i++) { CHECK(alarms[i].runs == (armed[i] ? 1 : 0)); }
}

static void set_again(struct timer *t)
{
    on_due(t);
    timer_set(&timers, t, t->at_us + 100);
}

static void clear_the_next(struct timer *t)
{
    on_due(t);
    timer_clear(&timers, &alarms[1].timer);
}

TEST(what_is_due_may_set_itself_again)
{
    alarms[0].timer.due = set_again;
    timer_set(&timers, &alarms[0].timer, 100);
    CHECK(timers_run(&timers, 350) == 400); /* 100, 200, 300 */
    CHECK(alarms[0].runs == 3);
}

TEST(what_is_due_may_clear_another_that_is_due_too)
{
    alarms[0].timer.due = clear_the_next;
    timer_set(&timers, &alarms[0].timer, 1);
    timer_set(&timers, &alarms[1].timer, 2);
    timer_set(&timers, &alarms[2].timer, 3);
    CHECK(timers_run(&timers, 10) == -1);
    CHECK(alarms[0].runs == 1 && alarms[1].runs == 0 && alarms[2].runs == 1);
}

TEST(on_a_loop_a_deadline_set_before_all_others_runs_without_waiting_for_them)
{
    struct loop loop;
    struct alarm far = {.timer.due = on_due}, past = {.timer.due = on_due};
    loop_init(&loop);
    timer_set(&loop.timers, &far.timer, INT64_MAX / 2);
    loop_turn(&loop, false);
    CHECK(ran_count == 0);
    timer_set(&loop.timers, &past.timer, 0);
    loop_turn(&loop, true);
    CHECK(past.runs == 1 && far.runs == 0);
    timer_clear(&loop.timers, &far.timer);
    loop_done(&loop);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(nothing_is_due_when_nothing_is_set),
        EACH(a_deadline_runs_when_its_time_has_come_and_only_once),
        EACH(deadlines_run_in_order_of_time_however_they_were_set),
        EACH(a_moved_deadline_runs_at_its_new_time_only),
        EACH(a_cleared_deadline_never_runs_and_clearing_twice_is_harmless),
        EACH(after_any_sets_moves_and_clears_exactly_what_is_set_runs_in_order),
        EACH(what_is_due_may_set_itself_again),
        EACH(what_is_due_may_clear_another_that_is_due_too),
        EACH(on_a_loop_a_deadline_set_before_all_others_runs_without_waiting_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
