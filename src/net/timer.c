/* The heap of deadlines. */
#include "net/timer.h"

#include "base/clock.h"
#include "base/mem.h"

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

static void on_timer(uv_timer_t *handle)
{
    struct timers *ts = handle->data;
    if (ts->tick != NULL) { ts->tick(handle->loop); }
    (void)timers_run(ts, clock_now_us());
    rearm(ts);
}

static void rearm(struct timers *ts)
{
    if (ts->handle == NULL) { return; }
    if (ts->count == 0) {
        (void)uv_timer_stop(ts->handle);
        return;
    }
    int64_t left = ts->heap[1]->at_us - clock_now_us();
    uint64_t ms = left <= 0 ? 0 : (uint64_t)((left + US_PER_MS - 1) / US_PER_MS);
    uv_update_time(ts->handle->loop);
    (void)uv_timer_start(ts->handle, on_timer, ms, 0);
}

void timers_init(struct timers *ts, uv_loop_t *loop)
{
    *ts = (struct timers){0};
    if (loop != NULL) {
        ts->handle = mem_new(uv_timer_t);
        (void)uv_timer_init(loop, ts->handle);
        ts->handle->data = ts;
    }
}

static void free_handle(uv_handle_t *handle)
{
    mem_free(&handle);
}

void timers_done(struct timers *ts)
{
    if (ts->handle != NULL) { uv_close((uv_handle_t *)ts->handle, free_handle); }
    ts->handle = NULL;
    mem_free(&ts->heap);
    ts->count = ts->room = 0;
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
    /* The handle may fire early: on_timer looks again. It must never fire late. */
    if (ts->heap[1]->at_us < first_us || first == NULL) { rearm(ts); }
}

void timer_clear(struct timers *ts, struct timer *t)
{
    if (t->slot != 0) { take_out(ts, t); }
    if (ts->count == 0) { rearm(ts); }
}
