/*
 * The road: runs a client's units through the steps, one after another, and resumes where one
 * waited. Completions do not recurse: they mark the request runnable and call request_resume()
 * once.
 */
#include <assert.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "listen/listener.h"
#include "request/request.h"

typedef enum move step_fn(struct request *r);

static step_fn *const steps[] = {
    [STEP_CLASSIFY] = step_classify, [STEP_LOOKUP] = step_lookup,   [STEP_ROUTE] = step_route,
    [STEP_CHECKOUT] = step_checkout, [STEP_PREPARE] = step_prepare, [STEP_SEND] = step_send,
};

/* ---- waiting --------------------------------------------------------------------------------- */

/* The times of a wait for a server, in the order they come; 0: never. */
struct wait_times {
    int64_t notify_us, reserve_us, timeout_us;
};

static struct wait_times wait_times(const struct request *r)
{
    const struct client *c = r->client;
    const struct config *cfg = c->front->config;
    const struct user_config *user = config_user(cfg, c->account->user);
    int64_t limit_us = cfg->o.query_wait_timeout_us, since_us = r->ticket.since_us;
    const struct database_config *line = c->account->database->line;
    if (line->query_wait_timeout_us >= 0) { limit_us = line->query_wait_timeout_us; }
    if (user != NULL && user->query_wait_timeout_us >= 0) {
        limit_us = user->query_wait_timeout_us;
    }
    return (struct wait_times){
        .notify_us = cfg->o.query_wait_notify_us > 0 ? since_us + cfg->o.query_wait_notify_us : 0,
        .reserve_us =
            cfg->o.reserve_pool_timeout_us > 0 ? since_us + cfg->o.reserve_pool_timeout_us : 0,
        .timeout_us = limit_us > 0 ? since_us + limit_us : 0,
    };
}

static void sooner(int64_t *next_us, int64_t at_us, int64_t now_us)
{
    if (at_us > now_us && (*next_us == 0 || at_us < *next_us)) { *next_us = at_us; }
}

void request_wait_for_server(struct request *r, int64_t now_us)
{
    struct wait_times w = wait_times(r);
    int64_t next_us = 0;
    sooner(&next_us, w.notify_us, now_us);
    sooner(&next_us, w.reserve_us, now_us);
    sooner(&next_us, w.timeout_us, now_us);
    request_wait(r, next_us);
}

/* A time of the wait has come: which? */
static void on_wait_time(struct request *r)
{
    struct client *c = r->client;
    struct wait_times w = wait_times(r);
    int64_t now_us = r->timer.at_us;
    if (w.timeout_us > 0 && now_us >= w.timeout_us) {
        struct fault why;
        pool_leave(&r->ticket);
        (void)fault_state(&why, E_LIMIT, "53300", "query_wait_timeout");
        client_fail(c, &why);
        return;
    }
    if (now_us == w.notify_us) {
        compose_notice(&c->stream.out, "NOTICE", "00000",
                       "No server connection available in postgres backend, client being queued",
                       NULL, NULL);
        stream_flush(&c->stream);
    }
    if (now_us == w.reserve_us) { pool_pump(r->ticket.pool, c->front->loop); }
    request_wait_for_server(r, now_us);
}

static void on_deadline(struct timer *t)
{
    struct request *r = container_of(t, struct request, timer);
    struct client *c = r->client;
    if (r->ticket.state != TICKET_NONE) {
        on_wait_time(r);
        return;
    }
    request_unwait(r);
    request_resume(c);
}

void request_wait(struct request *r, int64_t deadline_us)
{
    r->waiting = true;
    if (deadline_us > 0) { timer_set(&r->desk->front->loop->timers, &r->timer, deadline_us); }
}

void request_unwait(struct request *r)
{
    r->waiting = false;
    timer_clear(&r->desk->front->loop->timers, &r->timer);
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct request *request_new(struct client *c)
{
    struct desk *d = c->front->desk;
    struct request *r = d->spares;
    if (r != NULL) {
        d->spares = r->next;
        d->spares_count--;
        r->next = NULL;
    } else {
        r = mem_new(struct request);
    }
    r->client = c;
    r->desk = d;
    r->timer.due = on_deadline;
    c->request = r;
    return r;
}

static void free_spare(struct request *r)
{
    buf_done(&r->again);
    buf_done(&r->key);
    buf_done(&r->touched);
    buf_done(&r->channels);
    buf_done(&r->reads_custom);
    buf_done(&r->sets_custom);
    buf_done(&r->sent_custom);
    mem_free(&r);
}

void request_free(struct request *r)
{
    timer_clear(&r->desk->front->loop->timers, &r->timer);
    news_leave(&r->news);
    facts_forget(&r->facts);
    varset_unref(&r->want);
    names_forget_portals(r);
    buf_done(&r->capture);
    struct desk *d = r->desk;
    enum { SPARES_MOST = 64, BUFFER_MOST = 4096 };
    bool large = r->again.cap > BUFFER_MOST || r->key.cap > BUFFER_MOST ||
                 r->touched.cap > BUFFER_MOST || r->channels.cap > BUFFER_MOST ||
                 r->reads_custom.cap > BUFFER_MOST || r->sets_custom.cap > BUFFER_MOST ||
                 r->sent_custom.cap > BUFFER_MOST;
    if (d->spares_count == SPARES_MOST || large) {
        free_spare(r);
        return;
    }
    memset(r, 0, offsetof(struct request, again));
    buf_clear(&r->again);
    buf_clear(&r->key);
    buf_clear(&r->touched);
    buf_clear(&r->channels);
    buf_clear(&r->reads_custom);
    buf_clear(&r->sets_custom);
    buf_clear(&r->sent_custom);
    memset(&r->ticket, 0, offsetof(struct ticket, why));
    r->ticket.why.code = E_OK;
    r->next = d->spares;
    d->spares = r;
    d->spares_count++;
}

struct desk *desk_new(struct front *f, struct cache *cache, struct exchange *exchange)
{
    struct desk *d = mem_new(struct desk);
    d->front = f;
    d->exchange = exchange;
    d->cache = cache_attach(cache, f->loop);
    return d;
}

static void free_known(struct desk *d, struct known *k)
{
    hmap_remove(&d->known, &k->link);
    memo_free(&k->memo);
    catalog_unref(&k->catalog);
    branch_free(&k->branch);
    mem_free(&k);
}

void desk_forget(struct desk *d, uint32_t database_id)
{
    struct hlink *link = hmap_find(&d->known, bytes_of(&database_id, sizeof database_id));
    if (link == NULL) { return; }
    struct known *k = container_of(link, struct known, link);
    if (d->latest == k) { d->latest = NULL; }
    free_known(d, k);
}

void desk_free(struct desk **pd)
{
    struct desk *d = *pd;
    *pd = NULL;
    hmap_each (link, &d->known) { free_known(d, container_of(link, struct known, link)); }
    hmap_done(&d->known);
    while (d->spares != NULL) {
        struct request *r = d->spares;
        d->spares = r->next;
        free_spare(r);
    }
    kept_forget(d);
    buf_done(&d->settings);
    cache_detach(&d->cache);
    mem_free(&d);
}

void request_flush(struct request *r)
{
    struct client *c = r->client;
    if (r->server != NULL) {
        if (stream_unwritten(&r->server->stream) > 0) { stream_flush(&r->server->stream); }
        if (stream_unwritten(&r->server->stream) > STREAM_HIGH_WATER) {
            stream_pause(&c->stream, true);
        }
    }
    /* A client that is to go may be told so in the same write: after_run(). */
    if (stream_unwritten(&c->stream) > 0 && !c->draining) { stream_flush(&c->stream); }
}

/*
 * The unit is answered with an error by us. In a transaction that a server has, the server's side
 * is rolled back now and the client is told 25P02 until it ends the transaction, as PostgreSQL
 * would.
 */
enum move request_fail(struct request *r, const struct fault *why)
{
    struct client *c = r->client;
    client_log_error(c, why);
    news_leave(&r->news);
    store_finish(r, false);
    if (r->server != NULL && r->server->expects.count > 0) {
        /* Answers are due before this one. */
        r->step = STEP_CLASSIFY;
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    if (c->status != 'I' && c->pins == 0) {
        c->lost = true;
        c->status = 'E';
        mem_free(&c->begin);
        r->writes_all = false;
        r->writes_count = 0;
        varset_unref(&c->in_tx);
        c->in_tx = varset_ref(c->wanted);
        listen_forget(c);
        listen_abandon(r);
        if (r->server != NULL) { pool_recover(&r->server, false, WASH_NONE); }
    }
    client_put_error(c, "ERROR", why);
    if (r->unit.kind == UNIT_QUERY || r->unit.kind == UNIT_FUNCTION || r->unit.sync ||
        (r->unit.kind == UNIT_STREAM && r->unit.type != 'B')) {
        compose_ready(&c->stream.out, c->status);
    } else {
        c->skip_to_sync = true;
    }
    if (r->unit.kind == UNIT_STREAM) {
        size_t here = r->unit.raw.len < r->unit.size ? r->unit.raw.len : r->unit.size;
        r->left = (uint32_t)(r->unit.size - here);
        r->left_drops = true;
        r->unit.size = here;
    }
    return MOVE_DONE;
}

void request_fail_waiting(struct request *r, const struct fault *why)
{
    size_t size = request_fail(r, why) == MOVE_DONE ? r->unit.size : 0;
    r->step = STEP_READ;
    buf_consume(&r->client->stream.in, size);
}

/* ---- the client's bytes ---------------------------------------------------------------------- */

/* Data was sent along with its COPY: whether the server takes it is known when it has answered. */
static bool awaits_copy(const struct request *r)
{
    const struct server *s = r->server;
    return s != NULL && !s->copy_in && s->expects.count > 0 && r->may_copy;
}

/* COPY data and what follows it, while the server takes it; else it is ignored, as PostgreSQL does.
 */
static size_t take_copy(struct request *r, struct bytes in, struct frame f)
{
    struct server *s = r->server;
    size_t here = f.size < in.len ? f.size : in.len;
    bool wanted = s != NULL && s->copy_in;
    r->left = f.size - (uint32_t)here;
    r->left_drops = !wanted;
    if (wanted) {
        stream_put(&s->stream, bytes_of(in.ptr, here));
        s->torn = r->left > 0;
        r->copy_syncs = 0;
        if (f.type != 'd') { s->copy_in = false; }
    }
    return here;
}

/* Flush and Sync say nothing to COPY. But where it has failed by the data before it, a Sync does:
 * errors.c. */
static size_t take_copy_sync(struct request *r, struct bytes in, struct frame f)
{
    size_t here = f.size < in.len ? f.size : in.len;
    r->left = f.size - (uint32_t)here;
    r->left_drops = true;
    r->copy_syncs += f.type == 'S';
    return here;
}

/* PostgreSQL (14 and later) looks at the type alone, says what is wrong, and cannot go on. */
void request_break_copy(struct request *r, uint8_t type)
{
    compose_bare(&r->server->stream.out, type);
    stream_flush(&r->server->stream);
    r->server->torn = true;
    r->breaks_copy = true;
    request_wait(r, 0);
}

static size_t take_left(struct request *r, struct bytes in)
{
    size_t here = r->left < in.len ? r->left : in.len;
    r->left -= (uint32_t)here;
    if (!r->left_drops && r->server != NULL) {
        stream_put(&r->server->stream, bytes_of(in.ptr, here));
        r->server->torn = r->left > 0;
    }
    return here;
}

/* After an error in a batch: nothing is looked at until the Sync, which is answered. */
static size_t take_skipped(struct client *c, struct request *r, struct bytes in, struct frame f)
{
    size_t here = f.size < in.len ? f.size : in.len;
    r->left = f.size - (uint32_t)here;
    r->left_drops = true;
    if (f.type == 'S') {
        c->skip_to_sync = false;
        if (r->server != NULL && r->batch_open) { /* the server skips too, and answers the Sync */
            stream_put(&r->server->stream, bytes_of(in.ptr, here));
            expects_push(&r->server->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
            r->batch_open = false;
        } else {
            compose_ready(&c->stream.out, c->status);
        }
    }
    return here;
}

/* The unit at the front of `in` goes through the steps. Returns what was used of `in`. */
static size_t run_steps(struct client *c, struct request *r, struct bytes in, bool *ret_stop)
{
    if (r->step == STEP_READ) {
        struct fault why;
        enum err e = unit_read(in, &r->unit, &why);
        *ret_stop = true;
        if (e == E_AGAIN) { return 0; }
        if (e != E_OK) {
            client_fail(c, &why);
            return 0;
        }
        r->step = STEP_CLASSIFY;
        r->arrived_us = c->active_us = loop_now(c->front->loop);
        c->requested_wall_us = loop_wall(c->front->loop);
    } else {
        /* Run again: the input may have moved since. */
        struct fault why;
        enum err e = unit_read(in, &r->unit, &why);
        assert(e == E_OK);
        r->unit.text = unit_text(r);
    }
    r->followed = in.len > r->unit.size;
    for (;;) {
        enum move m = steps[r->step](r);
        if (m == MOVE_ON) { r->step++; }
        if (m == MOVE_WAIT) {
            *ret_stop = true;
            return 0;
        }
        if (m == MOVE_GONE) {
            *ret_stop = true;
            return 0;
        }
        if (m == MOVE_DONE) {
            r->step = STEP_READ;
            *ret_stop = false;
            return r->unit.size;
        }
    }
}

static bool is_idle(const struct request *r)
{
    return r->server == NULL && !r->waiting && r->step == STEP_READ && r->left == 0 &&
           r->cache.state == NULL && !r->bumping && !r->settling;
}

/* What is under way needs what is known of it until its end: the next unit is not looked at before.
 */
static bool must_be_alone(const struct request *r)
{
    bool copying = r->server != NULL && r->server->copy_in;
    return r->filling || r->bumping || r->settling || r->retelling || r->dates ||
           (r->resets != 0 && !copying && !r->batch_open);
}

/* Returns what was used of the input. c may be closed on return: look at its state. */
static size_t run(struct client *c, struct bytes in)
{
    size_t used = 0;
    while (c->state == CLIENT_READY && used < in.len) {
        struct request *r = c->request == NULL ? request_new(c) : c->request;
        struct bytes rest = bytes_skip(in, used);
        if (r->waiting || (r->step == STEP_READ && r->left == 0 && must_be_alone(r))) { break; }
        if (r->left > 0) {
            used += take_left(r, rest);
            continue;
        }
        struct frame f;
        enum err e = frame_peek(rest, &f);
        if (e == E_AGAIN) { break; }
        if (e == E_OK && f.size > (size_t)c->front->config->o.max_packet_size_bytes) {
            struct fault why;
            (void)fault_set(&why, E_PROTOCOL, "message of %u bytes is over max_packet_size",
                            f.size);
            client_fail(c, &why);
            return used;
        }
        bool inside = r->step != STEP_READ;
        if (e == E_OK && !inside && f.type == 'X') {
            client_close(c, "client close request");
            return used;
        }
        if (e == E_OK && !inside && (f.type == 'd' || f.type == 'c' || f.type == 'f')) {
            if (awaits_copy(r)) {
                request_wait(r, 0);
                break;
            }
            used += take_copy(r, rest, f);
            continue;
        }
        if (e == E_OK && !inside && r->server != NULL && r->server->copy_in) {
            if (f.type == 'H' || f.type == 'S') {
                used += take_copy_sync(r, rest, f);
                continue;
            }
            request_break_copy(r, f.type);
            break;
        }
        if (e == E_OK && !inside && c->skip_to_sync) {
            used += take_skipped(c, r, rest, f);
            continue;
        }
        bool stop = false;
        used += run_steps(c, r, rest, &stop);
        if (stop) { break; }
    }
    if (c->state != CLIENT_READY || c->request == NULL) { return used; }
    request_flush(c->request);
    if (is_idle(c->request)) {
        request_free(c->request);
        c->request = NULL;
    }
    return used;
}

/* What a waiting client may pile up before it is no longer read. */
enum { INPUT_MOST = 1 << 20 };

static void after_run(struct client *c)
{
    if (c->stream.state != E_OK) {
        client_close(c, "client unexpected eof");
        return;
    }
    const struct request *r = c->request;
    if (r != NULL && r->waiting) {
        if (buf_len(&c->stream.in) > INPUT_MOST) { stream_pause(&c->stream, true); }
    } else if (r == NULL || r->server == NULL ||
               stream_unwritten(&r->server->stream) <= STREAM_HIGH_WATER) {
        stream_pause(&c->stream, stream_unwritten(&c->stream) > STREAM_HIGH_WATER);
    }
    bool between = r == NULL || (r->server == NULL && !r->waiting);
    if (c->draining && between && c->status == 'I' && buf_len(&c->stream.in) == 0) {
        c->ops->drain(c);
    }
    if (c->draining && c->state != CLIENT_CLOSED) { stream_flush(&c->stream); }
    if (c->listening != NULL) { listen_tell(c); }
}

void request_resume(struct client *c)
{
    if (c->state != CLIENT_READY) { return; }
    struct bytes in = buf_view(&c->stream.in);
    size_t used = run(c, in);
    if (c->state != CLIENT_READY) { return; }
    if (used > 0) {
        buf_consume(&c->stream.in, used);
        buf_release(&c->stream.in);
    }
    if (in.len == 0 && c->request != NULL) {
        request_flush(c->request);
        if (is_idle(c->request)) {
            request_free(c->request);
            c->request = NULL;
        }
    }
    after_run(c);
}

static void on_events(struct client *c, int events)
{
    if ((events & UV_WRITABLE) != 0) {
        stream_flush(&c->stream);
        struct request *r = c->request;
        if (r != NULL && r->server != NULL && !r->bumping && !r->settling &&
            stream_unwritten(&c->stream) < STREAM_HIGH_WATER / 2) {
            stream_pause(&r->server->stream, false);
        }
        if (stream_unwritten(&c->stream) < STREAM_HIGH_WATER / 2) { after_run(c); }
        if (c->state != CLIENT_READY) { return; }
    }
    if (events == 0) { /* bytes wait since the login */
        request_resume(c);
        return;
    }
    if ((events & UV_READABLE) == 0) { return; }
    struct bytes in;
    if (!client_read(c, &in)) { return; }
    size_t used = run(c, in);
    if (c->state != CLIENT_READY) { return; }
    stream_used(&c->stream, in, used);
    after_run(c);
}

/* ---- upcalls of the client ------------------------------------------------------------------- */

static void on_cancel(struct client *c)
{
    struct request *r = c->request;
    if (r == NULL) { return; }
    if (r->server != NULL && r->server->expects.count > 0) {
        server_cancel(r->server);
        return;
    }
    if (!r->waiting || r->server != NULL || r->bumping || r->settling) { return; }
    /* It waits for a server, a primary or the cache: the request ends here. */
    struct fault why;
    pool_leave(&r->ticket);
    if (r->cache.state != NULL) { cache_drop(r->desk->cache, &r->cache, false); }
    r->filling = false;
    request_unwait(r);
    (void)fault_state(&why, E_CANCELED, "57014", "canceling statement due to user request");
    request_fail_waiting(r, &why);
    request_resume(c);
}

/* pgusher stops: at rest now, else after_run() comes back here when it is. */
static void on_drain(struct client *c)
{
    const struct request *r = c->request;
    if (c->front->hasty && r != NULL && r->ticket.state == TICKET_WAITING) {
        struct fault why;
        (void)fault_set(&why, E_SHUTDOWN, "server shutting down");
        client_fail(c, &why);
        return;
    }
    bool between = r == NULL || (r->server == NULL && !r->waiting);
    if (!between &&
        !(r->server != NULL && c->pins != 0 && c->status == 'I' && r->server->expects.count == 0)) {
        return;
    }
    if (c->status != 'I' && c->begin == NULL) { return; }
    if (c->stream.blocked) { return; } /* its answer is on the way: on_events() comes back here */
    struct fault why;
    (void)fault_state(&why, E_SHUTDOWN, "57P01", "server shutting down");
    client_fail(c, &why);
}

static bool is_inside(const struct client *c)
{
    const struct request *r = c->request;
    return r != NULL && r->server != NULL && r->server->left > 0 && !r->row_drops;
}

const struct client_ops request_ops = {.events = on_events,
                                       .cancel = on_cancel,
                                       .drain = on_drain,
                                       .is_inside = is_inside,
                                       .closed = finish_abandon};
