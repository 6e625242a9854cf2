/*
 * What one worker's loop drives: Redis, flights, deadlines, and the callers to be woken. Nobody is
 * woken from inside a call: callers are put on a list, and an idle handle, which costs no system
 * call, empties it on the loop's next turn.
 */
#pragma once

#include <uv.h>

#include "cache/flight.h"
#include "cache/redis.h"

struct cache_side {
    struct cache *cache;
    uv_idle_t idle;   /* runs while callers are to be woken or requests to be sent */
    uv_check_t check; /* runs once after a deadline, behind what the sockets had to say */
    uv_timer_t timer;
    unsigned handles; /* open ones; the side is freed with the last */
    bool closing;
    int64_t armed_us;
    struct redis *redis; /* NULL once detached */
    struct hmap flights;
    struct dlist waits; /* every ticket's state */
    struct dlist timed; /* the members of flights, by due_us */
    struct dlist woken; /* whose ready() is to be called */
};

/* The list of callers is not empty, or Redis has something to send. */
void side_wake(struct cache_side *s);
/* w has joined a flight and waits no longer than due_us; these come in order. */
void side_await_flight(struct cache_side *s, struct wait *w, int64_t due_us);
