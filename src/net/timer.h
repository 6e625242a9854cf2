/*
 * Deadlines: a binary heap of embedded nodes behind one timerfd, so that an idle client costs a
 * few words and no handle, and a wait for events needs no timeout, which the kernel would arm and
 * disarm each time. A deadline that is not armed has slot 0.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct watch;

struct timer {
    int64_t at_us; /* monotonic */
    void (*due)(struct timer *t);
    uint32_t slot; /* 1-based place in the heap; 0: not armed */
};

struct timers {
    struct watch *watch; /* NULL without a loop: only timers_run() */
    int fd;
    struct timer **heap; /* [1..count] */
    uint32_t count, room;
    bool running; /* armed once, when all that was due has run */
};

void timers_init(struct timers *ts, struct loop *l);
void timers_done(struct timers *ts);
/* Arms or moves. due() runs on the loop, once, with the timer disarmed. */
void timer_set(struct timers *ts, struct timer *t, int64_t at_us);
void timer_clear(struct timers *ts, struct timer *t);
/* Runs what is due at now_us; returns when the next one is, or -1. For tests and the loop. */
int64_t timers_run(struct timers *ts, int64_t now_us);
