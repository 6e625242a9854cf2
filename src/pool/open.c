/*
 * Opening servers for who waits, within the pool's own size and reserve and the caps it shares, and
 * not before the retry time when logins fail. A server that has rested for long is checked rather
 * than a new one opened. Under a full cap, idle servers of other pools make room.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pool/internal.h"
#include "query/guc.h"

/* ---- what may be done ------------------------------------------------------------------------ */

/* A probe that reached the node since is a reason to try at once. */
static bool is_barred(const struct pool *p, int64_t now_us)
{
    return p->failed_us != 0 && now_us - p->failed_us < p->login_retry_us &&
           atomic_load(&p->node->probed_us) < p->failed_us;
}

const struct fault *pool_failing_locked(const struct pool *p, int64_t now_us)
{
    return p->total == 0 && is_barred(p, now_us) ? &p->failed : NULL;
}

/* The pool is full: have its clients waited long enough for the reserve? */
static bool may_use_reserve(const struct pool *p, int64_t now_us)
{
    int64_t oldest_us = atomic_load(&p->share.oldest_us);
    return p->reserve_wait_us > 0 && oldest_us != 0 && now_us - oldest_us >= p->reserve_wait_us;
}

/* Only what must be checked first is left at rest while somebody waits. */
static struct plan plan_check(struct pool *p, const struct loop *l)
{
    for (unsigned i = 0; i < p->loops_count; i++) {
        unsigned from = (l->index + i) % p->loops_count;
        struct dlist *node = dlist_pop_front(&p->idle[from]);
        if (node == NULL) { continue; }
        struct server *s = container_of(node, struct server, node);
        p->idle_count--;
        p->checking++;
        s->state = SERVER_MOVING; /* to its check; whoever is told of its events looks away */
        return (struct plan){.how = OPEN_CHECK, .server = s, .from = from};
    }
    return (struct plan){.how = OPEN_NOTHING};
}

struct plan pool_plan_locked(struct pool *p, const struct loop *l, int64_t now_us)
{
    const struct plan nothing = {.how = OPEN_NOTHING};
    if (p->login + p->checking >= p->waiting) { return nothing; }
    if (database_is_paused(p->account->database)) { return nothing; }
    if (p->idle_count > 0) { return plan_check(p, l); }
    if (is_barred(p, now_us)) { return nothing; }
    bool reserve = !pool_take_seat(p, false);
    if (reserve && (!may_use_reserve(p, now_us) || !pool_take_seat(p, true))) { return nothing; }
    if (!share_take(&p->share)) {
        seats_give(p->seats);
        return (struct plan){.how = OPEN_HUNGRY};
    }
    p->total++;
    p->login++;
    return (struct plan){.how = reserve ? OPEN_RESERVE : OPEN_NEW};
}

/* ---- eviction -------------------------------------------------------------------------------- */

static void open_eviction(struct letter *l)
{
    struct server *s = container_of(l, struct server, letter);
    struct share *hungry = s->holder;
    s->holder = NULL;
    pool_close(&s, "evicted", hungry);
}

/* The idle server that was used longest ago, or NULL. */
static struct server *least_used_locked(const struct pool *p, unsigned *ret_on)
{
    struct server *oldest = NULL;
    for (unsigned i = 0; i < p->loops_count; i++) {
        dlist_each (node, &p->idle[i]) {
            struct server *s = container_of(node, struct server, node);
            if (oldest != NULL && s->released_us >= oldest->released_us) { continue; }
            oldest = s;
            *ret_on = i;
        }
    }
    return oldest;
}

void pool_evict(struct pool *p, struct share *hungry, struct loop *l)
{
    unsigned on = 0;
    lock_take(&p->lock);
    struct server *s = least_used_locked(p, &on);
    if (s != NULL) {
        dlist_remove(&s->node);
        p->idle_count--;
        s->state = SERVER_DEAD;
        s->holder = hungry;
        s->letter.open = open_eviction;
    }
    lock_drop(&p->lock);
    if (s == NULL) {
        share_unclaim(hungry);
    } else if (p->loops[on] == l) {
        loop_defer(l, &s->letter);
    } else {
        loop_post(p->loops[on], &s->letter);
    }
}

/* All pools that could make room. Owner: the caller. */
static struct share **list_victims(struct share *hungry, unsigned *ret_count)
{
    struct share **list = NULL;
    unsigned room = 0, count;
    while ((count = share_victims(hungry, list, room)) > room) {
        room = count;
        mem_free(&list);
        list = mem_array(struct share *, room);
    }
    *ret_count = count;
    return list;
}

static void make_room(struct pool *p, struct loop *l)
{
    unsigned count;
    struct share **list = list_victims(&p->share, &count);
    struct pool *best = NULL;
    int64_t best_us = 0;
    for (unsigned i = 0; i < count; i++) {
        struct pool *other = container_of(list[i], struct pool, share);
        unsigned on;
        lock_take(&other->lock);
        const struct server *s = least_used_locked(other, &on);
        int64_t used_us = s == NULL ? 0 : s->released_us;
        lock_drop(&other->lock);
        if (s != NULL && (best == NULL || used_us < best_us)) {
            best = other;
            best_us = used_us;
        }
    }
    mem_free(&list);
    if (best != NULL) {
        pool_evict(best, &p->share, l);
    } else if (count > 0) {
        share_unclaim(&p->share);
    }
}

/* ---- doing it -------------------------------------------------------------------------------- */

static void on_checked(struct server *s, enum err e)
{
    lock_take(&s->pool->lock);
    s->pool->checking--;
    lock_drop(&s->pool->lock);
    if (e == E_OK) {
        pool_take_back(s, false);
    } else {
        pool_discard(&s, e == E_TIMEOUT ? "test query timeout" : "server conn crashed?");
    }
}

static void check(struct server *s)
{
    server_check(s, s->pool->check_query, s->target->connect_timeout_us, on_checked);
}

static void open_check(struct letter *l)
{
    check(container_of(l, struct server, letter));
}

/* Tells every waiter that there is no server to be had. */
static void fail_waiters(struct pool *p, const struct fault *why)
{
    for (;;) {
        lock_take(&p->lock);
        struct dlist *node = dlist_pop_front(&p->waiters);
        if (node != NULL) { p->waiting--; }
        pool_note_waiters_locked(p);
        struct ticket *t = node == NULL ? NULL : container_of(node, struct ticket, node);
        if (t != NULL) {
            pool_set_ticket(t, TICKET_COMING);
            t->server = NULL;
            t->why = *why;
            t->letter.open = pool_open_ticket;
            loop_post(t->loop, &t->letter); /* under the lock: pool_leave() takes it back */
        }
        lock_drop(&p->lock);
        if (t == NULL) { return; }
    }
}

void pool_log_opened(const struct server *s)
{
    if (!log_tells(LOG_CONNECTIONS)) { return; }
    const struct log_who who = pool_who(s);
    struct address own = {0};
    char host[64];
    int port;
    if (!socket_own_address(s->stream.fd, &own)) { own.any.sa_family = AF_UNIX; }
    address_text(&own, host, sizeof host, &port);
    bool v6 = own.any.sa_family == AF_INET6;
    if (port == 0) {
        log_info(&who, "new connection to server");
    } else {
        log_info(&who, "new connection to server (from %s%s%s:%d)", v6 ? "[" : "", host,
                 v6 ? "]" : "", port);
    }
}

static void log_failed(const struct server *s, enum err e)
{
    const struct log_who who = pool_who(s);
    bool refused = e == E_SERVER || e == E_AUTH;
    log_warn(&who, "server login failed: %s%s", e == E_SERVER ? "FATAL " : "", s->why.text);
    pool_log_closing(s, refused ? "login failed" : s->why.text);
}

/* What a role or the database has made the session's default, told by the server at its login. */
static void note_defaults(struct account *a, const struct server *s)
{
    const char *strings = server_param(s, "standard_conforming_strings");
    const char *encoding = server_param(s, "client_encoding");
    if (strings != NULL && strcmp(strings, "on") != 0) { atomic_store(&a->odd_strings, true); }
    if (encoding != NULL && guc_encoding_is_odd(encoding)) { atomic_store(&a->odd_encoding, true); }
}

static void on_opened(struct server *s, enum err e)
{
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    int64_t now_us = clock_now_us();
    if (e == E_OK) {
        lock_take(&p->lock);
        p->login--;
        p->failed_us = 0;
        lock_drop(&p->lock);
        atomic_store(&p->share.opening_us, now_us - s->connected_us);
        route_node_worked(p->node);
        pool_log_opened(s);
        note_defaults(p->account, s);
        pool_take_back(s, true);
        return;
    }
    struct fault why = s->why;
    log_failed(s, e);
    if (e == E_IO || e == E_TIMEOUT || strncmp(why.sqlstate, "57P", 3) == 0) {
        route_node_failed(p->node, now_us);
    }
    lock_take(&p->lock);
    p->login--;
    p->total--;
    p->failed_us = now_us;
    p->failed = why;
    dlist_remove(&s->all);
    bool hopeless = p->total == 0;
    lock_drop(&p->lock);
    server_free(&s);
    struct pool *kin = pool_give_seat(p);
    struct share *next = share_give(&p->share, NULL);
    /* With other servers alive those who wait will get one; without, waiting would be in vain. */
    if (hopeless) { fail_waiters(p, &why); }
    if (kin != NULL) { pool_pump(kin, l); }
    if (next != NULL) { pool_pump(container_of(next, struct pool, share), l); }
}

static void open_one(struct pool *p, struct loop *l)
{
    struct server *s = server_open(l, &p->target, on_opened, NULL);
    s->pool = p;
    lock_take(&p->lock);
    dlist_push_back(&p->all, &s->all);
    lock_drop(&p->lock);
}

static void log_reserve(const struct pool *p)
{
    const struct log_who who = {.kind = 'S',
                                .ptr = p,
                                .database = p->account->database->name,
                                .user = p->account->server_user,
                                .address = p->node->host};
    log_warn(&who, "taking connection from reserve_pool");
}

void pool_execute(struct pool *p, struct loop *l, struct plan plan)
{
    switch (plan.how) {
    case OPEN_NOTHING: break;
    case OPEN_RESERVE:
        log_reserve(p);
        open_one(p, l);
        break;
    case OPEN_NEW: open_one(p, l); break;
    case OPEN_HUNGRY: make_room(p, l); break;
    case OPEN_CHECK:
        if (p->loops[plan.from] == l) {
            check(plan.server);
        } else {
            plan.server->letter.open = open_check;
            loop_post(p->loops[plan.from], &plan.server->letter);
        }
        break;
    }
}

/* Idle servers of this loop that need no check, to who waits; then what else can be done. */
static struct share *pump(struct pool *p, struct loop *l)
{
    struct plan plan = {.how = OPEN_NEW};
    while (plan.how != OPEN_NOTHING && plan.how != OPEN_HUNGRY) {
        int64_t now_us = clock_now_us();
        struct server *s = NULL;
        struct ticket *t = NULL;
        lock_take(&p->lock);
        if (!dlist_empty(&p->idle[l->index])) {
            s = container_of(p->idle[l->index].next, struct server, node);
            bool fresh = p->check_query[0] == '\0' || now_us - s->released_us <= p->check_delay_us;
            t = fresh ? pool_next_waiter_locked(p) : NULL;
        }
        if (t != NULL) {
            dlist_remove(&s->node);
            p->idle_count--;
            s->state = SERVER_ACTIVE;
            pool_promise_locked(t, s);
        } else {
            plan = pool_plan_locked(p, l, now_us);
        }
        lock_drop(&p->lock);
        if (t != NULL) {
            pool_deliver(s, l);
        } else {
            pool_execute(p, l, plan);
        }
    }
    /* Its last server is gone, and logins fail: waiting for the next try would be in vain. */
    struct fault why = {0};
    lock_take(&p->lock);
    const struct fault *failing = p->waiting > 0 ? pool_failing_locked(p, clock_now_us()) : NULL;
    if (failing != NULL) { why = *failing; }
    lock_drop(&p->lock);
    if (failing != NULL) { fail_waiters(p, &why); }
    return share_rest(&p->share);
}

void pool_pump(struct pool *p, struct loop *l)
{
    struct share *next = &p->share;
    while (next != NULL) { next = pump(container_of(next, struct pool, share), l); }
}

/* ---- min_pool_size --------------------------------------------------------------------------- */

/* Kept ready: where statements may go, for users that are there or that the line names. */
static bool is_wanted(const struct pool *p)
{
    const struct account *a = p->account;
    const struct database *db = a->database;
    if (atomic_load(&db->retired) || database_is_paused(db)) { return false; }
    if (atomic_load(&a->clients) == 0 && db->line->user == NULL) { return false; }
    if (!atomic_load(&p->node->up)) { return false; }
    if (db->topology->balance && !atomic_load(&db->topology->probed)) { return true; }
    return atomic_load(&p->node->role) == NODE_REPLICA ? db->split
                                                       : route_primary(db->topology) == p->node;
}

void pool_fill(struct pool *p, struct loop *l, int64_t now_us)
{
    if (p->min_size == 0 || !is_wanted(p)) { return; }
    for (;;) {
        bool open = false;
        lock_take(&p->lock);
        if (p->total < p->min_size && !is_barred(p, now_us) && pool_take_seat(p, false)) {
            open = share_take_spare(&p->share);
            if (!open) { seats_give(p->seats); }
        }
        if (open) {
            p->total++;
            p->login++;
        }
        lock_drop(&p->lock);
        if (!open) { return; }
        open_one(p, l);
    }
}
