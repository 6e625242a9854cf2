/*
 * Bytes go both ways as they come; only the ends of the server's messages are followed, so that a
 * client can be told good-bye between two of them.
 */
#include "client/replication.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"

/* Besides user and database: what a startup packet of ours has room for. */
enum { PAIRS_MOST = 14 };

struct replication {
    struct client *client;
    enum replication_kind kind;
    struct server *server; /* NULL: not opened yet, or gone */
    struct server_target target;
    const char *startup[2 * PAIRS_MOST + 1];
    struct timer timer;             /* to begin, and to look again */
    struct news_wait primary, room; /* for a server to be opened */
    void (*told)(void *arg, struct bytes parameters, const struct fault *why);
    uint8_t head[FRAME_HEADER]; /* of the server's message in progress, */
    uint32_t head_len;          /* ... as far as it is here */
    uint32_t left;              /* of its body */
    bool leaves;                /* at the next end of a message the client is told to go */
    bool ended;                 /* the server has closed: the client has only to read the rest */
};

enum err replication_read(const char *value, enum replication_kind *ret, struct fault *why)
{
    static const char *const on[] = {"true", "yes", "on", "1"};
    static const char *const off[] = {"false", "no", "off", "0"};
    if (strcmp(value, "database") == 0) {
        *ret = REPLICATION_LOGICAL;
        return E_OK;
    }
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        bool is_on = strcasecmp(value, on[i]) == 0;
        if (!is_on && strcasecmp(value, off[i]) != 0) { continue; }
        *ret = is_on ? REPLICATION_PHYSICAL : REPLICATION_NONE;
        return E_OK;
    }
    return fault_state(why, E_PROTOCOL, "22023",
                       "invalid value for parameter \"replication\": \"%s\"", value);
}

/* ---- the way in ------------------------------------------------------------------------------ */

static void put_pair(struct replication *x, size_t *n, const char *name, const char *value)
{
    x->startup[(*n)++] = name;
    x->startup[(*n)++] = value;
}

/* What the database line says, unless the client says otherwise; the texts live as long as c. */
static enum err put_startup(struct replication *x, struct fault *why)
{
    const struct client *c = x->client;
    const struct database_config *line = c->account->database->line;
    const char *const defaults[] = {
        "client_encoding", line->client_encoding, "datestyle",        line->datestyle,
        "timezone",        line->timezone,        "application_name", line->application_name};
    size_t n = 0, count = varset_count(c->startup);
    enum { DEFAULTS = sizeof defaults / sizeof *defaults / 2 };
    if (count > PAIRS_MOST - DEFAULTS - 1) {
        return fault_state(why, E_LIMIT, "54000", "too many startup parameters for replication");
    }
    put_pair(x, &n, "replication", x->kind == REPLICATION_LOGICAL ? "database" : "true");
    for (size_t i = 0; i < DEFAULTS; i++) {
        const char *name = defaults[2 * i], *value = defaults[2 * i + 1];
        if (value != NULL && varset_get(c->startup, name) == NULL) { put_pair(x, &n, name, value); }
    }
    for (size_t i = 0; i < count; i++) {
        const struct varset_item *item = varset_at(c->startup, i);
        put_pair(x, &n, item->name, item->value);
    }
    return E_OK;
}

static void on_server(struct server *s, int events);

static void fail(struct replication *x, const struct fault *why)
{
    x->told(x->client, (struct bytes){0}, why); /* ends the client, and x with it */
}

static void on_opened(struct server *s, enum err e)
{
    struct replication *x = s->holder;
    struct client *c = x->client;
    const struct log_who who = client_who(c);
    if (e != E_OK) {
        struct fault why = s->why;
        log_warn(&who, "server login failed: %s", why.text);
        if (e == E_IO || e == E_TIMEOUT) {
            route_node_failed(s->target->node, loop_now(s->stream.loop));
        }
        fail(x, &why);
        return;
    }
    pool_log_opened(s);
    s->state = SERVER_ACTIVE;
    server_hold(s, on_server, x);
    struct buf parameters = {0};
    for (size_t i = 0; i < s->params_count; i++) {
        compose_parameter(&parameters, s->params[i].name, s->params[i].value);
    }
    c->ops = &replication_ops;
    x->told(c, buf_view(&parameters), NULL);
    buf_done(&parameters);
}

static bool try_to_open(struct replication *x)
{
    struct client *c = x->client;
    const struct node *n = route_primary(c->account->database->topology);
    return n != NULL && pool_open_own(c->account->pools[n->index], c->front->loop, &x->target,
                                      x->startup, on_opened, x, &x->server) == E_OK;
}

/* Waits for a primary and for room, client_login_timeout at most. */
static void open_server(struct replication *x)
{
    const struct account *a = x->client->account;
    struct topology *t = a->database->topology;
    struct loop *l = x->client->front->loop;
    bool joined;
    do {
        if (try_to_open(x)) {
            news_leave(&x->primary);
            news_leave(&x->room);
            timer_clear(&l->timers, &x->timer);
            return;
        }
        joined = news_join(&t->news, &x->primary, l);
        joined = news_join(pool_room(a->pools[0]), &x->room, l) || joined;
    } while (joined);
    int64_t again_us = route_again_us(t);
    if (again_us > clock_now_us()) { timer_set(&l->timers, &x->timer, again_us); }
}

static void on_primary(struct news_wait *w)
{
    open_server(container_of(w, struct replication, primary));
}

static void on_room(struct news_wait *w)
{
    open_server(container_of(w, struct replication, room));
}

static void on_time(struct timer *t)
{
    open_server(container_of(t, struct replication, timer));
}

static void on_refused(struct timer *t)
{
    struct fault why;
    struct replication *x = container_of(t, struct replication, timer);
    enum err e = put_startup(x, &why);
    assert(e != E_OK);
    (void)e;
    fail(x, &why);
}

void replication_start(struct client *c, enum replication_kind kind,
                       void (*told)(void *arg, struct bytes parameters, const struct fault *why))
{
    struct replication *x = mem_new(struct replication);
    x->client = c;
    x->kind = kind;
    x->told = told;
    c->replication = x;
    enum err e = put_startup(x, NULL);
    x->primary.told = on_primary;
    x->room.told = on_room;
    x->timer.due = e == E_OK ? on_time : on_refused;
    timer_set(&c->front->loop->timers, &x->timer,
              0); /* told() comes from the loop, not from here */
}

void replication_end(struct client *c)
{
    struct replication *x = c->replication;
    if (x == NULL) { return; }
    c->replication = NULL;
    timer_clear(&c->front->loop->timers, &x->timer);
    news_leave(&x->primary);
    news_leave(&x->room);
    if (x->server != NULL) {
        x->server->torn = true; /* in whatever message it is: no good-bye of ours may follow */
        pool_discard(&x->server, "replication connection ended");
    }
    mem_free(&x);
}

/* ---- both ways ------------------------------------------------------------------------------- */

static bool is_inside(const struct client *c)
{
    const struct replication *x = c->replication;
    return x->left > 0 || x->head_len > 0;
}

/* How much of the run belongs to messages up to the first end of one after which nothing may come;
 * all of it when the client does not leave. */
static size_t follow(struct replication *x, struct bytes run)
{
    size_t at = 0;
    while (at < run.len) {
        if (x->leaves && !is_inside(x->client)) { break; }
        if (x->left > 0) {
            size_t here = run.len - at < x->left ? run.len - at : x->left;
            x->left -= (uint32_t)here;
            at += here;
            continue;
        }
        x->head[x->head_len++] = run.ptr[at++];
        if (x->head_len == FRAME_HEADER) {
            uint32_t size = get_u32(x->head + 1);
            x->left = size > 4 ? size - 4 : 0;
            x->head_len = 0;
        }
    }
    return at;
}

static void say_good_bye(struct replication *x)
{
    struct fault why;
    (void)fault_state(&why, E_SHUTDOWN, "57P01", "server shutting down");
    client_fail(x->client, &why);
}

static void on_server(struct server *s, int events)
{
    struct replication *x = s->holder;
    struct client *c = x->client;
    if ((events & UV_WRITABLE) != 0) {
        stream_flush(&s->stream);
        if (stream_unwritten(&s->stream) < STREAM_HIGH_WATER / 2) {
            stream_pause(&c->stream, false);
        }
    }
    if ((events & UV_READABLE) == 0) { return; }
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    if (e != E_OK) {
        x->ended = true;
        stream_pause(&s->stream, true);
        if (stream_unwritten(&c->stream) == 0) { client_close(c, "server closed the connection"); }
        return;
    }
    size_t wanted = follow(x, in);
    stats_add(&client_stats(c)->sent, wanted);
    stream_put(&c->stream, bytes_of(in.ptr, wanted));
    stream_used(&s->stream, in, in.len);
    if (wanted < in.len || (x->leaves && !is_inside(c))) {
        say_good_bye(x);
        return;
    }
    stream_flush(&c->stream);
    if (c->stream.state != E_OK) {
        client_close(c, "client unexpected eof");
    } else if (stream_unwritten(&c->stream) > STREAM_HIGH_WATER) {
        stream_pause(&s->stream, true);
    }
}

static void on_client(struct client *c, int events)
{
    struct replication *x = c->replication;
    if ((events & UV_WRITABLE) != 0) {
        stream_flush(&c->stream);
        if (stream_unwritten(&c->stream) == 0 && x->ended) {
            client_close(c, "server closed the connection");
            return;
        }
        if (stream_unwritten(&c->stream) < STREAM_HIGH_WATER / 2 && !x->ended) {
            stream_pause(&x->server->stream, false);
        }
    }
    struct bytes in = buf_view(&c->stream.in); /* events 0: they have waited since the login */
    if (events != 0) {
        if ((events & UV_READABLE) == 0) { return; }
        if (!client_read(c, &in)) { return; }
    }
    c->active_us = loop_now(c->front->loop);
    c->requested_wall_us = loop_wall(c->front->loop);
    stats_add(&client_stats(c)->received, in.len);
    stream_put(&x->server->stream, in);
    stream_used(&c->stream, in, in.len);
    stream_flush(&x->server->stream);
    if (stream_unwritten(&x->server->stream) > STREAM_HIGH_WATER) {
        stream_pause(&c->stream, true);
    }
}

static void on_cancel(struct client *c)
{
    if (c->replication->server != NULL) { server_cancel(c->replication->server); }
}

/* A stream has no end of its own: the client comes again, and goes on where it was. */
static void on_drain(struct client *c)
{
    struct replication *x = c->replication;
    x->leaves = true;
    if (!is_inside(c) && !c->stream.blocked) { say_good_bye(x); }
}

const struct client_ops replication_ops = {.events = on_client,
                                           .cancel = on_cancel,
                                           .drain = on_drain,
                                           .is_inside = is_inside,
                                           .closed = replication_end};

/* ---- what the console shows ------------------------------------------------------------------ */

const char *replication_name(const struct client *c)
{
    static const char *const names[] = {"none", "physical", "logical"};
    return names[c->replication == NULL ? REPLICATION_NONE : c->replication->kind];
}

const struct server *replication_server(const struct client *c)
{
    return c->replication == NULL ? NULL : c->replication->server;
}

const struct client *replication_client(const struct server *s)
{
    return s->event == on_server ? ((const struct replication *)s->holder)->client : NULL;
}
