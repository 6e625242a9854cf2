/*
 * A server for one client alone, as replication needs it: opened with that client's startup
 * parameters, counted and shown like any other of its pool, never lent to anybody else. When the
 * pool is full of idle servers, one of them makes room.
 */
#include "base/mem.h"
#include "pool/internal.h"

/* The one of this loop that was used longest ago; the caller closes it. */
static struct server *take_idle_locked(struct pool *p, const struct loop *l)
{
    struct server *oldest = NULL;
    dlist_each (node, &p->idle[l->index]) {
        struct server *s = container_of(node, struct server, node);
        if (oldest == NULL || s->released_us < oldest->released_us) { oldest = s; }
    }
    if (oldest == NULL) { return NULL; }
    dlist_remove(&oldest->node);
    p->idle_count--;
    oldest->state = SERVER_DEAD;
    return oldest;
}

static bool is_full(const struct pool *p)
{
    return atomic_load(&p->seats->taken) >= pool_limit(p);
}

/* To another loop: if it has an idle one and the pool still is full, it closes it. */
struct nudge {
    struct letter letter;
    struct pool *pool;
    struct loop *to;
};

static void open_nudge(struct letter *l)
{
    struct nudge *n = container_of(l, struct nudge, letter);
    struct pool *p = n->pool;
    lock_take(&p->lock);
    struct server *s = is_full(p) ? take_idle_locked(p, n->to) : NULL;
    lock_drop(&p->lock);
    if (s != NULL) { pool_close(&s, "evicted", NULL); }
    mem_free(&n);
}

static void ask_for_room(struct pool *p, unsigned of)
{
    struct nudge *n = mem_new(struct nudge);
    n->letter.open = open_nudge;
    n->pool = p;
    n->to = p->loops[of];
    loop_post(n->to, &n->letter);
}

static void make_room(struct pool *p, struct loop *l)
{
    unsigned elsewhere = p->loops_count;
    lock_take(&p->lock);
    struct server *s = take_idle_locked(p, l);
    for (unsigned i = 0; s == NULL && i < p->loops_count; i++) {
        if (!dlist_empty(&p->idle[i])) { elsewhere = i; }
    }
    lock_drop(&p->lock);
    if (s != NULL) { pool_close(&s, "evicted", NULL); }
    if (elsewhere < p->loops_count) { ask_for_room(p, elsewhere); }
}

struct server *pool_open_beside(struct pool *p, struct loop *l, struct server_target *target,
                                const char *const *startup,
                                void (*opened)(struct server *s, enum err e), void *holder)
{
    *target = p->target;
    target->startup = startup;
    target->connect_query = NULL;
    struct server *s = server_open(l, target, opened, holder);
    s->pool = p;
    return s;
}

struct news *pool_room(struct pool *p)
{
    return &p->share.limits->room;
}

enum err pool_open_own(struct pool *p, struct loop *l, struct server_target *target,
                       const char *const *startup, void (*opened)(struct server *s, enum err e),
                       void *holder, struct server **ret)
{
    bool paused = database_is_paused(p->account->database);
    lock_take(&p->lock);
    bool full = is_full(p);
    bool seated = !paused && pool_take_seat(p, false);
    bool room = seated && share_take_spare(&p->share);
    if (room) { p->total++; }
    if (seated && !room) { seats_give(p->seats); }
    lock_drop(&p->lock);
    if (full && !paused) { make_room(p, l); }
    if (!room) { return E_AGAIN; }
    /* A connection for physical replication runs no SQL: no connect_query. */
    struct server *s = pool_open_beside(p, l, target, startup, opened, holder);
    lock_take(&p->lock);
    dlist_push_back(&p->all, &s->all);
    lock_drop(&p->lock);
    *ret = s;
    return E_OK;
}
