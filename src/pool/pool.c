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

struct log_who pool_who(const struct server *s)
{
    return (struct log_who){.kind = 'S',
                            .ptr = s,
                            .database = s->pool->account->database->name,
                            .user = s->pool->account->server_user,
                            .address = s->pool->node->host,
                            .port = s->pool->node->port};
}

/* ---- granting ------------------------------------------------------------------------------- */

void pool_set_ticket(struct ticket *t, enum ticket_state state)
{
    atomic_store_explicit(&t->state, state, memory_order_relaxed);
}

void pool_open_ticket(struct letter *l)
{
    struct ticket *t = container_of(l, struct ticket, letter);
    pool_set_ticket(t, TICKET_NONE);
    t->granted(t);
}

/* A server arrives on the loop of the ticket it is for. */
static void open_arrival(struct letter *l)
{
    struct server *s = container_of(l, struct server, letter);
    struct ticket *t = s->ticket;
    s->ticket = NULL;
    server_attach(s, s->to);
    if (t == NULL) { /* left while it was on its way */
        pool_take_back(s, false);
        return;
    }
    pool_open_ticket(&t->letter);
}

static void open_departure(struct letter *l)
{
    struct server *s = container_of(l, struct server, letter);
    lock_take(&s->pool->lock);
    bool wanted = s->ticket != NULL;
    lock_drop(&s->pool->lock);
    if (!wanted) { /* left before it set out: it stays */
        pool_take_back(s, false);
        return;
    }
    server_detach(s);
    s->letter.open = open_arrival;
    loop_post(s->to, &s->letter);
}

void pool_promise_locked(struct ticket *t, struct server *s)
{
    pool_set_ticket(t, TICKET_COMING);
    t->server = s;
    s->ticket = t;
    s->to = t->loop;
}

/* A ticket of another loop may be gone by now: not touched. */
void pool_deliver(struct server *s, struct loop *at)
{
    if (s->to == at) {
        struct ticket *t = s->ticket;
        s->ticket = NULL;
        t->letter.open = pool_open_ticket;
        loop_defer(at, &t->letter);
        return;
    }
    server_hold(s, pool_idle_event, NULL);
    s->state = SERVER_MOVING;
    server_detach(s);
    s->letter.open = open_arrival;
    loop_post(s->to, &s->letter);
}

void pool_note_waiters_locked(struct pool *p)
{
    int64_t oldest_us =
        dlist_empty(&p->waiters) ? 0 : container_of(p->waiters.next, struct ticket, node)->since_us;
    atomic_store_explicit(&p->share.oldest_us, oldest_us, memory_order_relaxed);
    atomic_store_explicit(&p->share.waiting, p->waiting, memory_order_relaxed);
}

struct ticket *pool_next_waiter_locked(struct pool *p)
{
    if (database_is_paused(p->account->database)) { return NULL; }
    struct dlist *node = dlist_pop_front(&p->waiters);
    if (node == NULL) { return NULL; }
    p->waiting--;
    pool_note_waiters_locked(p);
    return container_of(node, struct ticket, node);
}

/* The first that needs no check, or one of those behind it whose settings are as they should be. */
static struct server *look_for_idle_locked(struct pool *p, const struct ticket *t, unsigned from,
                                           int64_t now_us)
{
    enum { LOOK_MOST = 16 };
    struct server *first = NULL;
    unsigned looked = 0;
    dlist_each (node, &p->idle[from]) {
        struct server *s = container_of(node, struct server, node);
        if (p->check_query[0] != '\0' && now_us - s->released_us > p->check_delay_us) { break; }
        if (first == NULL) { first = s; }
        if (s->now == t->want) { return s; }
        if (p->round_robin || t->want == NULL || ++looked == LOOK_MOST) { break; }
    }
    return first;
}

/* An idle server that needs no check: of the own loop if there is one. */
static struct server *pick_idle_locked(struct pool *p, const struct ticket *t, int64_t now_us,
                                       unsigned *ret_from)
{
    for (unsigned i = 0; i < p->loops_count; i++) {
        unsigned from = (t->loop->index + i) % p->loops_count;
        struct server *s = look_for_idle_locked(p, t, from, now_us);
        if (s == NULL) { continue; }
        dlist_remove(&s->node);
        p->idle_count--;
        *ret_from = from;
        return s;
    }
    return NULL;
}

enum err pool_checkout(struct pool *p, struct ticket *t, struct loop *l, int64_t now_us)
{
    t->pool = p;
    t->loop = l;
    t->since_us = now_us;
    t->server = NULL;
    t->why.code = E_OK;
    bool paused = database_is_paused(p->account->database);
    lock_take(&p->lock);
    struct server *s = NULL;
    unsigned from = l->index;
    if (!paused && p->waiting == 0 && p->idle_count > 0) {
        s = pick_idle_locked(p, t, now_us, &from);
    }
    if (s != NULL) {
        if (from == l->index) {
            s->state = SERVER_ACTIVE;
            pool_set_ticket(t, TICKET_NONE);
            t->server = s;
            lock_drop(&p->lock);
            return E_OK;
        }
        s->state = SERVER_MOVING;
        pool_promise_locked(t, s);
        lock_drop(&p->lock);
        s->letter.open = open_departure;
        loop_post(p->loops[from], &s->letter);
        return E_AGAIN;
    }
    const struct fault *failing = paused ? NULL : pool_failing_locked(p, now_us);
    if (failing != NULL) {
        pool_set_ticket(t, TICKET_NONE);
        (void)fault_state(&t->why, failing->code, failing->sqlstate,
                          "server login has been failing, cached error: %.160s "
                          "(server_login_retry)",
                          failing->text);
        lock_drop(&p->lock);
        return t->why.code;
    }
    pool_set_ticket(t, TICKET_WAITING);
    dlist_push_back(&p->waiters, &t->node);
    p->waiting++;
    pool_note_waiters_locked(p);
    struct plan plan = pool_plan_locked(p, l, now_us);
    lock_drop(&p->lock);
    pool_execute(p, l, plan);
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
        pool_note_waiters_locked(p);
    } else if (t->server != NULL && t->server->ticket == t) {
        t->server->ticket = NULL; /* on its way from another loop: goes back on arrival */
    } else {
        /* Deferred on this loop, or a failure notice in the mailbox. */
        s = t->server;
    }
    bool mailed = t->state == TICKET_COMING && t->server == NULL;
    pool_set_ticket(t, TICKET_NONE);
    t->server = NULL;
    lock_drop(&p->lock);
    if (mailed) { loop_unpost(t->loop, &t->letter); }
    if (s != NULL) {
        dlist_remove(&t->letter.node);
        pool_take_back(s, false);
    }
}

/* ---- returning ------------------------------------------------------------------------------ */

/* Its slot is free only when the server has let go of it: a limit there may be as tight as ours. */
static bool must_leave_first(const struct server *s)
{
    struct pool *p = s->pool;
    if (s->torn || s->stream.state != E_OK) { return false; }
    lock_take(&p->lock);
    bool wanted = p->waiting > 0 || atomic_load(&p->share.limits->hungry_count) > 0;
    lock_drop(&p->lock);
    return wanted;
}

void pool_log_closing(const struct server *s, const char *reason)
{
    if (!log_tells(LOG_DISCONNECTIONS)) { return; }
    const struct log_who who = pool_who(s);
    log_info(&who, "closing because: %s (age=%llds)", reason,
             (long long)((clock_now_us() - s->connected_us) / US_PER_S));
}

static void bury(struct server **ps, struct share *made_for)
{
    struct server *s = *ps;
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    *ps = NULL;
    lock_take(&p->lock);
    p->total--;
    p->leaving -= s->leaving;
    p->pinned -= s->pinned;
    dlist_remove(&s->all);
    lock_drop(&p->lock);
    server_free(&s);
    struct pool *kin = pool_give_seat(p);
    struct share *next = share_give(&p->share, made_for);
    if (kin != NULL) { pool_pump(kin, l); }
    if (next != NULL) { pool_pump(container_of(next, struct pool, share), l); }
}

static void on_left(struct server *s, enum err e)
{
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    (void)e; /* gone, or late */
    bury(&s, s->holder);
    pool_pump(p, l);
}

void pool_bury(struct server **ps, const char *reason, struct share *made_for)
{
    pool_log_closing(*ps, reason);
    bury(ps, made_for);
}

void pool_close(struct server **ps, const char *reason, struct share *made_for)
{
    enum { LEAVE_US = 1000000 };
    struct server *s = *ps;
    struct pool *p = s->pool;
    pool_log_closing(s, reason);
    if (!must_leave_first(s)) {
        bury(ps, made_for);
        return;
    }
    *ps = NULL;
    lock_take(&p->lock);
    p->leaving++;
    lock_drop(&p->lock);
    s->leaving = true;
    server_leave(s, LEAVE_US, on_left);
    s->holder = made_for;
}

void pool_discard(struct server **ps, const char *reason)
{
    struct pool *p = (*ps)->pool;
    struct loop *l = (*ps)->stream.loop;
    pool_close(ps, reason, NULL);
    pool_pump(p, l);
}

/* It rests, and somebody under the same cap may have begun to hunger meanwhile. */
static void relieve(struct pool *p, struct loop *l, int64_t now_us)
{
    struct share *other = share_yield(&p->share, now_us);
    if (other != NULL) { pool_evict(p, other, l); }
}

void pool_take_back(struct server *s, bool fresh)
{
    struct pool *p = s->pool;
    struct loop *l = s->stream.loop;
    server_hold(s, pool_idle_event, NULL);
    if (server_canceling(s)) { /* pool_idle_event() comes back here when the cancel is through */
        s->state = SERVER_CLEANING;
        stream_pause(&s->stream, true); /* nobody would read it meanwhile */
        return;
    }
    int64_t now_us = loop_now(l);
    bool excused = fresh && !s->close_needed && !database_is_paused(p->account->database);
    const char *reason = excused ? NULL : pool_must_close(s, now_us);
    if (reason == NULL && !server_is_clean(s)) { reason = "unclean server"; }
    if (reason != NULL) {
        pool_discard(&s, reason);
        return;
    }
    struct share *other = fresh ? NULL : share_yield(&p->share, now_us);
    if (other != NULL) {
        pool_close(&s, "evicted", other);
        pool_pump(p, l);
        return;
    }
    stream_pause(&s->stream, false);
    s->released_us = now_us;
    lock_take(&p->lock);
    struct ticket *t = pool_next_waiter_locked(p);
    if (t != NULL) {
        s->state = SERVER_ACTIVE;
        pool_promise_locked(t, s);
    } else {
        s->state = SERVER_IDLE;
        if (p->round_robin) {
            dlist_push_back(&p->idle[l->index], &s->node);
        } else {
            dlist_push_front(&p->idle[l->index], &s->node);
        }
        p->idle_count++;
    }
    lock_drop(&p->lock);
    if (t != NULL) {
        pool_deliver(s, l);
    } else {
        relieve(p, l, now_us);
        news_tell(&p->share.limits->room); /* an idle server makes room */
    }
}

static void on_cleaned(struct server *s, enum err e)
{
    if (e == E_OK) {
        pool_take_back(s, false);
    } else {
        pool_discard(&s, e == E_TIMEOUT ? "cancel_wait_timeout" : "server conn crashed?");
    }
}

void pool_checkin(struct server **ps)
{
    struct server *s = *ps;
    pool_unpin(s);
    bool always = s->pool->reset_always && s->pool->reset_query[0] != '\0';
    if (always || s->reset_needed || s->listens) {
        pool_recover(ps, false, always ? WASH_QUERY : WASH_NONE);
        return;
    }
    *ps = NULL;
    pool_take_back(s, false);
}

void pool_recover(struct server **ps, bool cancel, enum wash wash)
{
    struct server *s = *ps;
    pool_unpin(s);
    if (s->reset_needed) { wash = WASH_ALL; }
    const char *query = wash == WASH_NONE ? NULL : "DISCARD ALL";
    *ps = NULL;
    if (s->torn || s->stream.state != E_OK) {
        pool_discard(&s, "client disconnect in the middle of a message");
        return;
    }
    if (!cancel && wash == WASH_NONE && !s->listens && server_is_clean(s)) {
        pool_take_back(s, false);
        return;
    }
    if (wash == WASH_QUERY && s->pool->reset_query[0] != '\0') { query = s->pool->reset_query; }
    server_clean(s, cancel, query, s->pool->clean_timeout_us, on_cleaned);
}
