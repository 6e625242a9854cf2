/* Rounds of all workers, each of which puts to rest what can be, until nothing is left. */
#include "worker/suspend.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { LOOK_US = 10000 };

struct suspend_answer { /* to who waits, on its loop */
    struct letter letter;
    void (*done)(void *arg, const struct fault *why);
    void *arg;
    struct fault why;
};

static void open_answer(struct letter *l)
{
    struct suspend_answer *a = container_of(l, struct suspend_answer, letter);
    a->done(a->arg, a->why.code == E_OK ? NULL : &a->why);
    mem_free(&a);
}

static void answer(struct loop *back, void (*done)(void *arg, const struct fault *why), void *arg,
                   const struct fault *why)
{
    struct suspend_answer *a = mem_new(struct suspend_answer);
    a->letter.open = open_answer;
    a->done = done;
    a->arg = arg;
    if (why != NULL) { a->why = *why; }
    loop_post(back, &a->letter);
}

static void answer_waiter(struct suspend *s, const struct fault *why)
{
    if (s->back != NULL) { answer(s->back, s->done, s->arg, why); }
    s->back = NULL;
}

static void begin_round(struct suspend *s);

static void on_round(void *arg)
{
    struct suspend *s = arg;
    s->running = false;
    enum rest rest = atomic_load(&s->shared->rest);
    if (rest == REST_NONE) { /* RESUME came meanwhile: what this round put to rest gets up */
        crew_each(s->crew, worker_get_up, s->loop, NULL, NULL);
        return;
    }
    if (atomic_load(&s->shared->restless) == 0 || rest == REST_FORCED) {
        log_info(NULL, "event=suspended forced=%d", rest == REST_FORCED);
        answer_waiter(s, NULL);
        return;
    }
    timer_set(&s->loop->timers, &s->timer, clock_now_us() + LOOK_US);
}

static void begin_round(struct suspend *s)
{
    s->running = true;
    atomic_store(&s->shared->restless, 0);
    crew_each(s->crew, worker_rest, s->loop, on_round, s);
}

static void on_look(struct timer *t)
{
    struct suspend *s = container_of(t, struct suspend, timer);
    enum rest wanted = REST_WANTED;
    if (clock_now_us() >= s->until_us) {
        (void)atomic_compare_exchange_strong(&s->shared->rest, &wanted, REST_FORCED);
    }
    begin_round(s);
}

void suspend_init(struct suspend *s, struct crew *crew, struct loop *l, struct shared *shared)
{
    *s = (struct suspend){.crew = crew, .loop = l, .shared = shared, .timer.due = on_look};
}

void suspend_begin(struct suspend *s, int64_t timeout_us, struct loop *back,
                   void (*done)(void *arg, const struct fault *why), void *arg)
{
    if (suspend_is_wanted(s) || s->running) {
        struct fault why;
        (void)fault_state(&why, E_REFUSED, "55000", "already suspended/paused");
        answer(back, done, arg, &why);
        return;
    }
    s->back = back;
    s->done = done;
    s->arg = arg;
    s->until_us = clock_now_us() + timeout_us;
    atomic_store(&s->shared->rest, REST_WANTED);
    begin_round(s);
}

bool suspend_is_wanted(const struct suspend *s)
{
    return atomic_load(&s->shared->rest) != REST_NONE;
}

void suspend_end(struct suspend *s)
{
    struct fault why;
    timer_clear(&s->loop->timers, &s->timer);
    atomic_store(&s->shared->rest, REST_NONE);
    (void)fault_state(&why, E_CANCELED, "57014", "SUSPEND was ended by RESUME");
    answer_waiter(s, &why);
    if (!s->running) { crew_each(s->crew, worker_get_up, s->loop, NULL, NULL); }
}
