/*
 * A deadline is judged only after the loop has polled once more: when the loop itself was late, the
 * answer may be waiting in the socket, and a timeout that never was would empty Redis.
 */
#include "cache/side.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "net/loop.h"

static void on_idle(uv_idle_t *h);
static void rearm(void *owner);

void side_wake(struct cache_side *s)
{
    if (!s->closing) { (void)uv_idle_start(&s->idle, on_idle); }
}

static void wake(void *owner)
{
    side_wake(owner);
}

/* Calls everybody who has something to be told; those who come up meanwhile have their turn next.
 */
static void tell(struct cache_side *s)
{
    struct dlist now;
    struct cache_bump *b;
    dlist_init(&now);
    for (struct dlist *node; (node = dlist_pop_front(&s->woken)) != NULL;) {
        dlist_push_back(&now, node);
    }
    while (!s->closing && (b = redis_told(s->redis)) != NULL) { b->done(b); }
    /* a caller may drop others, which leave the list, or detach the side, which empties it */
    for (struct dlist *node; (node = dlist_pop_front(&now)) != NULL;) {
        struct cache_ticket *t = container_of(node, struct wait, queue)->ticket;
        t->ready(t);
    }
    if (!dlist_empty(&s->woken)) { side_wake(s); }
}

static void on_idle(uv_idle_t *h)
{
    struct cache_side *s = h->data;
    if (!uv_is_active((uv_handle_t *)&s->check)) { (void)uv_idle_stop(h); }
    tell(s);
    if (!s->closing) { redis_flush(s->redis); }
}

/* Redis has answered, and all its callbacks are over: no need to wait for the next turn. */
static void came_in(void *owner)
{
    struct cache_side *s = owner;
    tell(s);
    if (!s->closing) { redis_flush(s->redis); }
}

static void answered(void *owner, struct wait *w)
{
    struct cache_side *s = owner;
    dlist_remove(&w->queue);
    dlist_push_back(&s->woken, &w->queue);
    side_wake(s);
}

static void on_check(uv_check_t *h)
{
    struct cache_side *s = h->data;
    int64_t now_us = clock_now_us();
    (void)uv_check_stop(h);
    redis_expire(s->redis, now_us);
    dlist_each (node, &s->timed) {
        struct wait *w = container_of(node, struct wait, timed);
        if (w->due_us > now_us) { break; }
        dlist_remove(&w->timed);
        w->ticket->deadline_us = 0; /* the next find goes alone */
        answered(s, w);
    }
    tell(s);
    if (!s->closing) { rearm(s); }
}

static void on_timer(uv_timer_t *h)
{
    struct cache_side *s = h->data;
    s->armed_us = INT64_MAX;
    (void)uv_check_start(&s->check, on_check);
    (void)uv_idle_start(&s->idle, on_idle); /* the poll must not sleep before the check */
}

static void rearm(void *owner)
{
    struct cache_side *s = owner;
    if (s->closing || s->redis == NULL) { return; }
    int64_t due_us = redis_due(s->redis);
    if (!dlist_empty(&s->timed)) {
        int64_t first_us = container_of(s->timed.next, struct wait, timed)->due_us;
        due_us = first_us < due_us ? first_us : due_us;
    }
    if (due_us >= s->armed_us) { return; } /* too early only means to look again */
    int64_t left_us = due_us - clock_now_us();
    s->armed_us = due_us;
    (void)uv_timer_start(&s->timer, on_timer,
                         left_us <= 0 ? 0 : (uint64_t)(left_us / US_PER_MS + 1), 0);
}

void side_await_flight(struct cache_side *s, struct wait *w, int64_t due_us)
{
    w->due_us = due_us;
    dlist_remove(&w->timed);
    dlist_push_back(&s->timed, &w->timed);
    rearm(s);
}

struct cache_side *cache_attach(struct cache *c, struct loop *loop)
{
    static const struct redis_ops ops = {
        .answered = answered, .bumped = wake, .wake = wake, .rearm = rearm, .read = came_in};
    struct cache_side *s = mem_new(struct cache_side);
    s->cache = c;
    s->armed_us = INT64_MAX;
    dlist_init(&s->waits);
    dlist_init(&s->timed);
    dlist_init(&s->woken);
    (void)uv_idle_init(&loop->uv, &s->idle);
    (void)uv_check_init(&loop->uv, &s->check);
    (void)uv_timer_init(&loop->uv, &s->timer);
    s->idle.data = s->check.data = s->timer.data = s;
    s->handles = 3;
    (void)atomic_fetch_add(&c->sides, 1);
    s->redis = redis_new(loop, c, &ops, s);
    redis_tick(s->redis, clock_now_us());
    return s;
}

static void on_closed(uv_handle_t *h)
{
    struct cache_side *s = h->data;
    if (--s->handles == 0) { mem_free(&s); }
}

void cache_detach(struct cache_side **side)
{
    struct cache_side *s = *side;
    if (s == NULL) { return; }
    *side = NULL;
    s->closing = true;
    while (!dlist_empty(&s->waits)) {
        struct wait *w = container_of(s->waits.next, struct wait, all);
        redis_forget_find(&w->ask);
        if (w->phase == WAIT_LEADS) { flight_end(&s->flights, w, NULL, &s->woken); }
        wait_free(&w);
    }
    redis_free(&s->redis);
    hmap_done(&s->flights);
    (void)atomic_fetch_sub(&s->cache->sides, 1);
    uv_close((uv_handle_t *)&s->idle, on_closed);
    uv_close((uv_handle_t *)&s->check, on_closed);
    uv_close((uv_handle_t *)&s->timer, on_closed);
}
