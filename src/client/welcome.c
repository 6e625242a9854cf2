/* One batch on a lent server: the settings, then Sync. What ParameterStatus says then is the
 * welcome. */
#include "client/welcome.h"

#include "base/clock.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"

struct welcome {
    struct account *account;
    const struct varset *startup;
    struct loop *loop;
    struct ticket ticket;
    struct letter later; /* a node that failed at once: the next is asked from the loop */
    struct server *server;
    unsigned first, tried; /* nodes, from which on */
    bool failed;
    struct fault why;
    void (*answer)(void *arg, struct bytes parameters, const struct fault *why);
    void *arg;
};

static void ask_node(struct welcome *w);

static void give(struct welcome *w, struct bytes parameters, const struct fault *why)
{
    void (*answer)(void *, struct bytes, const struct fault *) = w->answer;
    void *arg = w->arg;
    varset_unref(&w->startup);
    mem_free(&w);
    answer(arg, parameters, why);
}

static void settle(struct welcome *w)
{
    struct server *s = w->server;
    w->server = NULL;
    if (w->failed) {
        struct fault why = w->why;
        pool_recover(&s, false, WASH_NONE);
        give(w, (struct bytes){0}, &why);
        return;
    }
    struct buf out = {0};
    for (size_t i = 0; i < s->params_count; i++) {
        compose_parameter(&out, s->params[i].name, s->params[i].value);
    }
    account_keep_profile(w->account, w->startup, buf_view(&out));
    pool_checkin(&s);
    give(w, buf_view(&out), NULL);
    buf_done(&out);
}

/* E_OK: go on; E_EOF: the batch is over. */
static enum err take(struct welcome *w, uint8_t type, struct bytes body)
{
    struct server *s = w->server;
    struct error_msg m;
    uint8_t status;
    switch (type) {
    case 'S': return server_keep_param(s, body) ? E_OK : E_PROTOCOL;
    case 'E':
        server_saw_error(s);
        if (response_read_error(body, &m) != E_OK) { return E_PROTOCOL; }
        w->failed = true;
        (void)fault_state(&w->why, E_SERVER, m.sqlstate == NULL ? "08006" : m.sqlstate, "%s",
                          m.message == NULL ? "startup settings refused" : m.message);
        return E_OK;
    case 'Z':
        if (response_read_ready(body, &status) != E_OK) { return E_PROTOCOL; }
        expects_clear(&s->expects);
        server_saw_ready(s, status);
        return E_EOF;
    default: return E_OK;
    }
}

static void on_event(struct server *s, int events)
{
    struct welcome *w = s->holder;
    if ((events & UV_WRITABLE) != 0) { stream_flush(&s->stream); }
    if ((events & UV_READABLE) == 0) { return; }
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    size_t used = 0;
    struct frame f;
    while (e == E_OK && (e = frame_peek(bytes_skip(in, used), &f)) == E_OK &&
           in.len - used >= f.size) {
        e = take(w, f.type, frame_body(bytes_skip(in, used), f));
        used += f.size;
    }
    if (e == E_OK || e == E_AGAIN) {
        stream_used(&s->stream, in, used);
        return;
    }
    if (e == E_EOF && used > 0) {
        stream_used(&s->stream, in, used);
        settle(w);
        return;
    }
    w->server = NULL;
    pool_discard(&s, "server conn crashed?");
    ask_node(w);
}

static void got_server(struct welcome *w)
{
    struct server *s = w->server;
    server_hold(s, on_event, w);
    (void)server_prelude(s, varset_empty()); /* a part of DateStyle is completed by the default */
    (void)server_prelude(s, w->startup);
    compose_bare(&s->stream.out, 'S');
    expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    stream_flush(&s->stream);
}

static void on_granted(struct ticket *t)
{
    struct welcome *w = container_of(t, struct welcome, ticket);
    if (t->server == NULL) {
        w->why = t->why;
        ask_node(w);
        return;
    }
    w->server = t->server;
    t->server = NULL;
    got_server(w);
}

static void open_later(struct letter *l)
{
    ask_node(container_of(l, struct welcome, later));
}

/* The primary first, then any node: a login need not fail because writes would. */
static void ask_node(struct welcome *w)
{
    struct topology *t = w->account->database->topology;
    const struct node *primary = w->tried == 0 ? route_primary(t) : NULL;
    if (primary != NULL) { w->first = primary->index; }
    if (w->tried >= t->count) {
        struct fault why = w->why;
        if (why.code == E_OK) { (void)fault_set(&why, E_LOST, "no server can be reached"); }
        give(w, (struct bytes){0}, &why);
        return;
    }
    struct pool *p = w->account->pools[(w->first + w->tried++) % t->count];
    w->ticket.granted = on_granted;
    enum err e = pool_checkout(p, &w->ticket, w->loop, clock_now_us());
    if (e == E_AGAIN) { return; }
    if (e != E_OK) {
        w->why = w->ticket.why;
        w->later.open = open_later;
        loop_defer(w->loop, &w->later);
        return;
    }
    w->server = w->ticket.server;
    w->ticket.server = NULL;
    got_server(w);
}

struct welcome *
welcome_ask(struct account *a, const struct varset *startup, struct loop *l,
            void (*answer)(void *arg, struct bytes parameters, const struct fault *why), void *arg)
{
    struct welcome *w = mem_new(struct welcome);
    w->account = a;
    w->startup = varset_ref(startup);
    w->loop = l;
    w->answer = answer;
    w->arg = arg;
    dlist_init(&w->later.node);
    ask_node(w);
    return w;
}

void welcome_drop(struct welcome **pw)
{
    struct welcome *w = *pw;
    if (w == NULL) { return; }
    *pw = NULL;
    pool_leave(&w->ticket);
    dlist_remove(&w->later.node);
    if (w->server != NULL) { pool_recover(&w->server, false, WASH_NONE); }
    varset_unref(&w->startup);
    mem_free(&w);
}

void welcome_console(struct buf *out, const char *client_encoding)
{
    compose_parameter(out, "server_version", "1.25.2/bouncer");
    compose_parameter(out, "client_encoding", client_encoding == NULL ? "UTF8" : client_encoding);
    compose_parameter(out, "server_encoding", "UTF8");
    compose_parameter(out, "DateStyle", "ISO");
    compose_parameter(out, "TimeZone", "GMT");
    compose_parameter(out, "standard_conforming_strings", "on");
    compose_parameter(out, "is_superuser", "on");
}
