/* Servers at rest: what they say unasked, when they are closed, and how many there are. */
#include "base/clock.h"
#include "pool/internal.h"

/* Takes it out of the idle list, if it still is there: another loop may have been promised it. */
static bool claim_idle(struct server *s)
{
    struct pool *p = s->pool;
    lock_take(&p->lock);
    bool mine = s->state == SERVER_IDLE;
    if (mine) {
        dlist_remove(&s->node);
        p->idle_count--;
        s->state = SERVER_DEAD;
    }
    lock_drop(&p->lock);
    return mine;
}

/* An idle server says something: a parameter changed, a notice, or good-bye. */
void pool_idle_event(struct server *s, int events)
{
    if (s->state == SERVER_MOVING || s->state == SERVER_ACTIVE) {
        return;
    } /* its new holder will see */
    if (s->state == SERVER_CLEANING) {
        if (!server_canceling(s)) { pool_take_back(s, false); }
        return;
    }
    if (events == 0 || !claim_idle(s)) { return; }
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) {
        pool_take_back(s, false);
        return;
    }
    size_t used = 0;
    struct frame f;
    while (e == E_OK && (e = frame_peek(bytes_skip(in, used), &f)) == E_OK &&
           in.len - used >= f.size) {
        struct bytes body = frame_body(bytes_skip(in, used), f);
        used += f.size;
        if (f.type == 'S') {
            e = server_keep_param(s, body) ? E_OK : E_PROTOCOL;
        } else if (f.type != 'N' && f.type != 'A') {
            e = E_EOF;
        }
    }
    if (e == E_AGAIN && used == in.len) {
        stream_used(&s->stream, in, used);
        pool_take_back(s, false);
        return;
    }
    pool_discard(&s, "server conn crashed?");
}

/* Of several that are too old, one at a time is closed, so that not all are replaced at once. */
static bool is_too_old(const struct server *s, int64_t now_us)
{
    struct pool *p = s->pool;
    if (now_us - s->connected_us <= p->lifetime_us) { return false; }
    int64_t last_us = atomic_load(&p->aged_us);
    if (p->age_gap_us == 0) { return true; }
    if (last_us != 0 && now_us - last_us < p->age_gap_us) { return false; }
    return atomic_compare_exchange_strong(&p->aged_us, &last_us, now_us);
}

const char *pool_must_close(const struct server *s, int64_t now_us)
{
    const struct pool *p = s->pool;
    const struct database *db = p->account->database;
    if (s->close_needed) { return "close_needed"; }
    if (database_is_paused(db)) { return "pause mode"; }
    if (atomic_load(&db->retired)) { return "database configuration changed"; }
    if (!atomic_load_explicit(&p->node->up, memory_order_relaxed)) { return "server is down"; }
    return is_too_old(s, now_us) ? "server lifetime over" : NULL;
}

/* Why the idle server is to be closed, or NULL. left: how many there will be if it stays. */
static const char *is_stale(const struct server *s, int64_t now_us, unsigned left)
{
    const struct pool *p = s->pool;
    const char *reason = pool_must_close(s, now_us);
    if (reason != NULL) { return s->close_needed ? "database configuration changed" : reason; }
    unsigned most = pool_limit(p), reserve = atomic_load(&p->seats->reserve_size);
    if (left > most && left - most > reserve) { return "too many servers in the pool"; }
    bool idle = p->idle_timeout_us > 0 && now_us - s->released_us > p->idle_timeout_us;
    return idle && left > p->min_size ? "server idle timeout" : NULL;
}

static const char *is_any(const struct server *s, int64_t now_us, unsigned left)
{
    (void)s;
    (void)now_us;
    (void)left;
    return "database configuration changed";
}

static void close_idle(struct pool *p, struct loop *l,
                       const char *(*judge)(const struct server *, int64_t, unsigned),
                       int64_t now_us)
{
    struct dlist doomed;
    dlist_init(&doomed);
    lock_take(&p->lock);
    unsigned left = p->total;
    dlist_each (node, &p->idle[l->index]) {
        struct server *s = container_of(node, struct server, node);
        const char *reason = judge(s, now_us, left);
        if (reason == NULL) { continue; }
        dlist_remove(node);
        dlist_push_back(&doomed, node);
        p->idle_count--;
        left--;
        s->state = SERVER_DEAD;
        s->holder = (void *)(uintptr_t)reason;
    }
    lock_drop(&p->lock);
    struct dlist *node;
    while ((node = dlist_pop_front(&doomed)) != NULL) {
        struct server *s = container_of(node, struct server, node);
        pool_close(&s, s->holder, NULL);
    }
}

void pool_tidy(struct pool *p, struct loop *l, int64_t now_us)
{
    close_idle(p, l, is_stale, now_us);
    pool_pump(p, l);
}

void pool_follow_names(struct pool *p, struct loop *l)
{
    bool moved = false;
    lock_take(&p->lock);
    dlist_each (node, &p->all) {
        struct server *s = container_of(node, struct server, all);
        if (atomic_load(&s->home) != l || s->state == SERVER_LOGIN || s->close_needed) { continue; }
        if (s->address.any.sa_family == AF_UNIX) { continue; }
        s->close_needed = !names_has(l->names, p->node->host, &s->address);
        moved = moved || s->close_needed;
    }
    lock_drop(&p->lock);
    if (moved) {
        log_info(NULL, "event=dns_changed host=%s database=%s next=\"its servers are replaced\"",
                 p->node->host, p->account->database->name);
        pool_tidy(p, l, clock_now_us());
    }
}

void pool_refresh_name(struct pool *p, struct loop *l)
{
    lock_take(&p->lock);
    bool used = p->total > 0;
    lock_drop(&p->lock);
    if (used) { resolve_refresh(l, p->node->host); }
}

void pool_recycle(struct pool *p, struct loop *l)
{
    close_idle(p, l, is_any, 0);
    lock_take(&p->lock);
    dlist_each (node, &p->all) { container_of(node, struct server, all)->close_needed = true; }
    lock_drop(&p->lock);
}

void pool_shutdown(struct pool *p, struct loop *l)
{
    for (;;) {
        struct server *s = NULL;
        lock_take(&p->lock);
        dlist_each (node, &p->all) {
            struct server *other = container_of(node, struct server, all);
            struct loop *home = atomic_load(&other->home);
            if (home == l || (home == NULL && other->to == l)) { s = other; }
        }
        if (s != NULL) { dlist_remove(&s->node); }
        lock_drop(&p->lock);
        if (s == NULL) { return; }
        loop_unpost(l, &s->letter); /* setting out from here, or on its way to here */
        pool_bury(&s, "server shutting down", NULL);
    }
}

void pool_counts(struct pool *p, struct pool_counts *ret)
{
    lock_take(&p->lock);
    *ret = (struct pool_counts){
        .total = p->total, .idle = p->idle_count, .login = p->login, .waiting = p->waiting};
    dlist_each (node, &p->all) {
        const struct server *s = container_of(node, struct server, all);
        ret->cleaning += s->state == SERVER_CLEANING;
    }
    int64_t fresh_us = clock_now_us() - p->check_delay_us;
    for (unsigned i = 0; i < p->loops_count && p->check_query[0] != '\0'; i++) {
        dlist_each (node, &p->idle[i]) {
            ret->used += container_of(node, struct server, node)->released_us < fresh_us;
        }
    }
    ret->active = p->total - p->idle_count - p->login - ret->cleaning - p->leaving;
    if (!dlist_empty(&p->waiters)) {
        ret->oldest_wait_us = container_of(p->waiters.next, struct ticket, node)->since_us;
    }
    lock_drop(&p->lock);
}

void pool_each_server(struct pool *p, void (*visit)(struct server *s, void *arg), void *arg)
{
    lock_take(&p->lock);
    dlist_each (node, &p->all) { visit(container_of(node, struct server, all), arg); }
    lock_drop(&p->lock);
}
