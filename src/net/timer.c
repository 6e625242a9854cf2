/* The heap of deadlines. */
#include "net/timer.h"

#include <assert.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/watch.h"

static void rearm(struct timers *ts);

static void place(struct timers *ts, uint32_t slot, struct timer *t)
{
    ts->heap[slot] = t;
    t->slot = slot;
}

static void sift(struct timers *ts, uint32_t slot)
{
    struct timer *t = ts->heap[slot];
    while (slot > 1 && ts->heap[slot / 2]->at_us > t->at_us) {
        place(ts, slot, ts->heap[slot / 2]);
        slot /= 2;
    }
    for (;;) {
        uint32_t child = slot * 2;
        if (child > ts->count) { break; }
        if (child < ts->count && ts->heap[child + 1]->at_us < ts->heap[child]->at_us) { child++; }
        if (ts->heap[child]->at_us >= t->at_us) { break; }
        place(ts, slot, ts->heap[child]);
        slot = child;
    }
    place(ts, slot, t);
}

static void take_out(struct timers *ts, struct timer *t)
{
    uint32_t slot = t->slot;
    struct timer *last = ts->heap[ts->count--];
    t->slot = 0;
    if (last != t) {
        place(ts, slot, last);
        sift(ts, slot);
    }
}

int64_t timers_run(struct timers *ts, int64_t now_us)
{
    while (ts->count > 0 && ts->heap[1]->at_us <= now_us) {
        struct timer *t = ts->heap[1];
        take_out(ts, t);
        t->due(t);
    }
    return ts->count == 0 ? -1 : ts->heap[1]->at_us;
}

/* The fd may fire early, after what it was armed for was cleared: then nothing is due. */
static void on_timer(void *arg, int events)
{
    struct timers *ts = arg;
    (void)events;
    ts->running = true;
    (void)timers_run(ts, clock_now_us());
    ts->running = false;
    rearm(ts);
}

static void rearm(struct timers *ts)
{
    if (ts->watch == NULL || ts->running) { return; }
    struct itimerspec at = {0};
    if (ts->count > 0) {
        /* A time of zero would disarm it. */
        int64_t at_us = ts->heap[1]->at_us > 0 ? ts->heap[1]->at_us : 1;
        at.it_value.tv_sec = at_us / US_PER_S;
        at.it_value.tv_nsec = at_us % US_PER_S * 1000;
    }
    int rc = timerfd_settime(ts->fd, TFD_TIMER_ABSTIME, &at, NULL);
    assert(rc == 0);
}

void timers_init(struct timers *ts, struct loop *l)
{
    *ts = (struct timers){.fd = -1};
    if (l == NULL) { return; }
    ts->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    assert(ts->fd >= 0);
    ts->watch = watch_open(l, ts->fd, on_timer, ts);
    watch_want(ts->watch, UV_READABLE | WATCH_EDGE);
}

void timers_done(struct timers *ts)
{
    watch_close(&ts->watch);
    if (ts->fd >= 0) { (void)close(ts->fd); }
    ts->fd = -1;
    while (ts->count > 0) { ts->heap[ts->count--]->slot = 0; }
    mem_free(&ts->heap);
    ts->room = 0;
}

void timer_set(struct timers *ts, struct timer *t, int64_t at_us)
{
    struct timer *first = ts->count == 0 ? NULL : ts->heap[1];
    int64_t first_us = first == NULL ? -1 : first->at_us;
    t->at_us = at_us;
    if (t->slot == 0) {
        if (ts->count + 1 >= ts->room) {
            ts->room = ts->room == 0 ? 64 : ts->room * 2;
            ts->heap = mem_grow(ts->heap, ts->room, sizeof(struct timer *));
        }
        place(ts, ++ts->count, t);
    }
    sift(ts, t->slot);
    /* It may fire early: on_timer looks again. It must never fire late. */
    if (ts->heap[1]->at_us < first_us || first == NULL) { rearm(ts); }
}

void timer_clear(struct timers *ts, struct timer *t)
{
    if (t->slot == 0) { return; }
    take_out(ts, t);
    if (ts->count == 0) { rearm(ts); }
}
