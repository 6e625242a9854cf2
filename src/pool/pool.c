/* Lending and returning. */
#include "pool/pool.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/internal.h"

struct account *pool_account(const struct pool *p)
{
    return p->account;
}

struct node *pool_node(const struct pool *p)
{
    return p->node;
}

static struct log_who who_of(const struct server *s)
{
    return (struct log_who){.kind = 'S',
                            .ptr = s,
                            .database = s->pool->account->database->name,
                            .user = s->pool->account->user,
                            .address = s->pool->node->host};
}

/* ---- granting ------------------------------------------------------------------------------- */

static void open_ticket(struct letter *l)
{
    struct ticket *t = container_of(l, struct ticket, letter);
    t->state = TICKET_NONE;
    t->granted(t);
}

static void on_idle_event(struct server *s, int events);

/* A server arrives on the loop of the ticket it is for. */
static void open_arrival(struct letter *l)
{
    struct server *s = container_of(l, struct server, letter);
    struct ticket *t = s->ticket;
    s->ticket = NULL;
    server_attach(s, s->to);
    if (t == NULL) { /* left while it was on its way */
        pool_checkin(&s);
        return;
    }
    open_ticket(&t->letter);
}

static void open_departure(struct letter *l)
{
    struct server *s = container_of(l, struct server, letter);
    lock_take(&s->pool->lock);
    bool wanted = s->ticket != NULL;
    lock_drop(&s->pool->lock);
    if (!wanted) { /* left before it set out: it stays */
        pool_checkin(&s);
        return;
    }
    server_detach(s);
    s->letter.open = open_arrival;
    loop_post(s->to, &s->letter);
}

/* Caller holds the lock. The server is counted active from here on. */
static void promise_locked(struct ticket *t, struct server *s)
{
    t->state = TICKET_COMING;
    t->server = s;
    s->ticket = t;
    s->to = t->loop;
}

/* The server is on loop `at` and promised. A ticket of another loop may be gone by now: not
 * touched. */
static void deliver(struct server *s, struct loop *at)
{
    if (s->to == at) {
        struct ticket *t = s->ticket;
        s->ticket = NULL;
        t->letter.open = open_ticket;
        loop_defer(at, &t->letter);
        return;
    }
    server_hold(s, on_idle_event, NULL);
    s->state = SERVER_MOVING;
    server_detach(s);
    s->letter.open = open_arrival;
    loop_post(s->to, &s->letter);
}

static struct ticket *next_waiter_locked(struct pool *p)
{
    if (atomic_load(&p->account->database->paused)) { return NULL; }
    struct dlist *node = dlist_pop_front(&p->waiters);
    if (node == NULL) { return NULL; }
    p->waiting--;
    return container_of(node, struct ticket, node);
}

/* Tells every waiter that there is no server to be had. */
static void fail_waiters(struct pool *p, const struct fault *why)
{
    for (;;) {
        lock_take(&p->lock);
        struct dlist *node = dlist_pop_front(&p->waiters);
        if (node != NULL) { p->waiting--; }
        struct ticket *t = node == NULL ? NULL : container_of(node, struct ticket, node);
        if (t != NULL) {
            t->state = TICKET_COMING;
            t->server = NULL;
            t->why = *why;
            t->letter.open = open_ticket;
            loop_post(t->loop, &t->letter); /* under the lock: pool_leave() takes it back */
        }
        lock_drop(&p->lock);
        if (t == NULL) { return; }
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static void on_opened(struct server *s, enum err e);
static void take_back(struct server *s, bool fresh);

/* Caller holds the lock: may another connection be opened for who waits? Counts it if so. */
static bool reserve_locked(struct pool *p)
{
    if (p->total >= pool_limit(p) || p->login >= p->waiting) { return false; }
    if (atomic_load(&p->account->database->paused)) { return false; }
    p->total++;
    p->login++;
    return true;
}

static void open_one(struct pool *p, struct loop *l)
{
    struct server *s = server_open(l, &p->target, on_opened, NULL);
    s->pool = p;
    lock_take(&p->lock);
    dlist_push_back(&p->all, &s->all);
    lock_drop(&p->lock);
}

void pool_pump(struct pool *p, struct loop *l)
{
    for (;;) {
        lock_take(&p->lock);
        struct dlist *node = dlist_empty(&p->idle[l->index]) ? NULL : p->idle[l->index].next;
        struct ticket *t = node == NULL ? NULL : next_waiter_locked(p);
        struct server *s = NULL;
        if (t != NULL) {
            s = container_of(node, struct server, node);
            dlist_remove(&s->node);
            p->idle_count--;
            s->state = SERVER_ACTIVE;
            promise_locked(t, s);
        }
        bool open = t == NULL && reserve_locked(p);
        lock_drop(&p->lock);
        if (t != NULL) {
            deliver(s, l);
        } else if (open) {
            open_one(p, l);
        } else {
            return;
        }
    }
}

static void on_opened(struct server *s, enum err e)
{
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    const struct log_who who = who_of(s);
    lock_take(&p->lock);
    p->login--;
    lock_drop(&p->lock);
    if (e == E_OK) {
        route_node_worked(p->node);
        log_debug(&who, "new connection to server (from pid %u)", s->backend_pid);
        take_back(s, true);
        return;
    }
    struct fault why = s->why;
    log_warn(&who, "server login failed: %s", why.text);
    if (e == E_IO || e == E_TIMEOUT || strncmp(why.sqlstate, "57P", 3) == 0) {
        route_node_failed(p->node, clock_now_us());
    }
    lock_take(&p->lock);
    p->total--;
    dlist_remove(&s->all);
    bool hopeless = p->total == 0;
    lock_drop(&p->lock);
    server_free(&s);
    /* With other servers alive those who wait will get one; without, waiting would be in vain. */
    if (hopeless) { fail_waiters(p, &why); }
    (void)l;
}

enum err pool_checkout(struct pool *p, struct ticket *t, struct loop *l, int64_t now_us)
{
    t->pool = p;
    t->loop = l;
    t->since_us = now_us;
    t->server = NULL;
    t->why.code = E_OK;
    bool paused = atomic_load(&p->account->database->paused);
    lock_take(&p->lock);
    struct server *s = NULL;
    unsigned from = l->index;
    if (!paused && p->waiting == 0 && p->idle_count > 0) {
        for (unsigned i = 0; i < p->loops_count && s == NULL; i++) {
            from = (l->index + i) % p->loops_count;
            struct dlist *node = dlist_pop_front(&p->idle[from]);
            if (node != NULL) { s = container_of(node, struct server, node); }
        }
    }
    if (s != NULL) {
        p->idle_count--;
        if (from == l->index) {
            s->state = SERVER_ACTIVE;
            t->state = TICKET_NONE;
            t->server = s;
            lock_drop(&p->lock);
            return E_OK;
        }
        s->state = SERVER_MOVING;
        promise_locked(t, s);
        lock_drop(&p->lock);
        s->letter.open = open_departure;
        loop_post(p->loops[from], &s->letter);
        return E_AGAIN;
    }
    t->state = TICKET_WAITING;
    dlist_push_back(&p->waiters, &t->node);
    p->waiting++;
    bool open = reserve_locked(p);
    lock_drop(&p->lock);
    if (open) { open_one(p, l); }
    return E_AGAIN;
}

void pool_leave(struct ticket *t)
{
    if (t->state == TICKET_NONE) { return; }
    struct pool *p = t->pool;
    struct server *s = NULL;
    lock_take(&p->lock);
    if (t->state == TICKET_WAITING) {
        dlist_remove(&t->node);
        p->waiting--;
    } else if (t->server != NULL && t->server->ticket == t) {
        t->server->ticket = NULL; /* on its way from another loop: goes back on arrival */
    } else {
        /* Deferred on this loop, or a failure notice in the mailbox. */
        s = t->server;
    }
    bool mailed = t->state == TICKET_COMING && t->server == NULL;
    t->state = TICKET_NONE;
    t->server = NULL;
    lock_drop(&p->lock);
    if (mailed) { loop_unpost(t->loop, &t->letter); }
    if (s != NULL) {
        dlist_remove(&t->letter.node);
        pool_checkin(&s);
    }
}

/* ---- returning ------------------------------------------------------------------------------ */

static void close_server(struct server **ps, const char *reason)
{
    struct server *s = *ps;
    struct pool *p = s->pool;
    const struct log_who who = who_of(s);
    *ps = NULL;
    log_debug(&who, "closing because: %s (age=%llds)", reason,
              (long long)((clock_now_us() - s->connected_us) / US_PER_S));
    lock_take(&p->lock);
    p->total--;
    dlist_remove(&s->all);
    lock_drop(&p->lock);
    server_free(&s);
}

void pool_discard(struct server **ps, const char *reason)
{
    struct pool *p = (*ps)->pool;
    struct loop *l = (*ps)->stream.loop;
    close_server(ps, reason);
    pool_pump(p, l);
}

static bool must_close(const struct server *s, int64_t now_us)
{
    const struct pool *p = s->pool;
    const struct database *db = p->account->database;
    return s->close_needed || atomic_load(&db->paused) || atomic_load(&db->retired) ||
           now_us - s->connected_us > p->lifetime_us ||
           !atomic_load_explicit(&p->node->up, memory_order_relaxed);
}

/* fresh: it was opened for who waits and serves once, whatever its lifetime or a reload says; else
   it would be closed and opened again for as long as somebody waits. */
static void take_back(struct server *s, bool fresh)
{
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    server_hold(s, on_idle_event, NULL);
    if (server_canceling(s)) { /* on_idle_event() comes back here when the cancel is through */
        s->state = SERVER_CLEANING;
        stream_pause(&s->stream, true); /* nobody would read it meanwhile */
        return;
    }
    int64_t now_us = loop_now(l);
    bool close_it = fresh ? s->close_needed || atomic_load(&p->account->database->paused)
                          : must_close(s, now_us);
    if (!server_is_clean(s) || close_it) {
        pool_discard(&s, s->close_needed ? "close_needed" : "not reusable");
        return;
    }
    stream_pause(&s->stream, false);
    s->released_us = now_us;
    lock_take(&p->lock);
    struct ticket *t = next_waiter_locked(p);
    if (t != NULL) {
        s->state = SERVER_ACTIVE;
        promise_locked(t, s);
    } else {
        s->state = SERVER_IDLE;
        dlist_push_front(&p->idle[l->index], &s->node);
        p->idle_count++;
    }
    lock_drop(&p->lock);
    if (t != NULL) { deliver(s, l); }
}

void pool_checkin(struct server **ps)
{
    if ((*ps)->reset_needed) {
        pool_recover(ps, false, true);
        return;
    }
    struct server *s = *ps;
    *ps = NULL;
    take_back(s, false);
}

static void on_cleaned(struct server *s, enum err e)
{
    if (e == E_OK) {
        pool_checkin(&s);
    } else {
        pool_discard(&s, e == E_TIMEOUT ? "cancel_wait_timeout" : "server conn crashed?");
    }
}

void pool_recover(struct server **ps, bool cancel, bool reset)
{
    struct server *s = *ps;
    *ps = NULL;
    if (s->torn || s->stream.state != E_OK) {
        pool_discard(&s, "client disconnect in the middle of a message");
        return;
    }
    if (!cancel && !reset && !s->reset_needed && server_is_clean(s)) {
        pool_checkin(&s);
        return;
    }
    reset = reset || s->reset_needed;
    const char *reset_query =
        s->pool->reset_query[0] == '\0' ? "DISCARD ALL" : s->pool->reset_query;
    server_clean(s, cancel, reset ? reset_query : NULL, s->pool->clean_timeout_us, on_cleaned);
}

/* ---- at rest -------------------------------------------------------------------------------- */

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
static void on_idle_event(struct server *s, int events)
{
    if (s->state == SERVER_MOVING || s->state == SERVER_ACTIVE) {
        return;
    } /* its new holder will see */
    if (s->state == SERVER_CLEANING) {
        if (!server_canceling(s)) { pool_checkin(&s); }
        return;
    }
    if (events == 0 || !claim_idle(s)) { return; }
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) {
        pool_checkin(&s);
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
        pool_checkin(&s);
        return;
    }
    pool_discard(&s, "server conn crashed?");
}

static void close_idle(struct pool *p, struct loop *l,
                       bool (*chosen)(const struct server *, int64_t), int64_t now_us,
                       const char *reason)
{
    struct dlist doomed;
    dlist_init(&doomed);
    lock_take(&p->lock);
    dlist_each (node, &p->idle[l->index]) {
        struct server *s = container_of(node, struct server, node);
        if (!chosen(s, now_us)) { continue; }
        dlist_remove(node);
        dlist_push_back(&doomed, node);
        p->idle_count--;
        s->state = SERVER_DEAD;
    }
    lock_drop(&p->lock);
    struct dlist *node;
    while ((node = dlist_pop_front(&doomed)) != NULL) {
        struct server *s = container_of(node, struct server, node);
        close_server(&s, reason);
    }
}

static bool is_stale(const struct server *s, int64_t now_us)
{
    return must_close(s, now_us) ||
           (s->pool->idle_timeout_us > 0 && now_us - s->released_us > s->pool->idle_timeout_us);
}

static bool is_any(const struct server *s, int64_t now_us)
{
    (void)s;
    (void)now_us;
    return true;
}

void pool_tidy(struct pool *p, struct loop *l, int64_t now_us)
{
    close_idle(p, l, is_stale, now_us, "server idle timeout");
    pool_pump(p, l);
}

void pool_recycle(struct pool *p, struct loop *l)
{
    close_idle(p, l, is_any, 0, "database configuration changed");
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
        close_server(&s, "server shutting down");
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
    ret->active = p->total - p->idle_count - p->login - ret->cleaning;
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
