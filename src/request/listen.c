/*
 * LISTEN without a server of one's own. The statement runs on whatever server the transaction has,
 * which so judges it; which LISTEN and UNLISTEN were done, committed or undone is followed by their
 * tags. At the commit the exchange (listen/) takes over, before the client is told that it is done,
 * and the server forgets when it goes back to its pool (server_saw_tag(), clean.c). What cannot be
 * followed, or not be taken over, leaves the server to the client, pinned.
 *
 * A client that listens is told what was notified before the end of each of its transactions, as
 * PostgreSQL does: so the ReadyForQuery waits until the exchange has heard all of it.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "listen/listener.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"
#include "query/quote.h"
#include "request/request.h"

enum { DO_LISTEN = 'L', DO_UNLISTEN = 'U', DO_UNLISTEN_ALL = '*' }; /* before a name and its zero */

struct listening {
    struct listener listener;
    struct buf due;    /* sent: in the order of the tags to come */
    struct buf done;   /* the server did it; the first of them have been committed: */
    size_t committed;  /* ... so many bytes */
    struct buf adding; /* names that the exchange is asked for */
    bool unclear;      /* something was done that was not followed */
    char *encoding;    /* in which it hears them; NULL: it never did */
};

static bool counts(const struct client *c)
{
    return c->account != NULL && c->account->mode != POOL_SESSION;
}

static uint32_t told_pid(const struct client *c)
{
    return get_u32(c->key);
}

bool listen_holds(const struct client *c)
{
    return c->listening != NULL && listener_hears(&c->listening->listener);
}

/* ---- what a unit will do --------------------------------------------------------------------- */

void listen_note(struct request *r, const struct statement *s)
{
    for (uint32_t i = 0; i < s->channels_count; i++) {
        const struct stmt_channel *ch = &s->channels[i];
        buf_put_u8(&r->channels, ch->name == NULL ? DO_UNLISTEN_ALL
                                 : ch->listens    ? DO_LISTEN
                                                  : DO_UNLISTEN);
        buf_put_str(&r->channels, ch->name == NULL ? "" : ch->name);
    }
}

static void on_news(void *arg)
{
    struct client *c = arg;
    listen_tell(c);
}

static struct listening *listening_of(struct request *r)
{
    struct client *c = r->client;
    if (c->listening != NULL) { return c->listening; }
    struct known *k = desk_known(r->desk, c->account->database);
    if (k->branch == NULL) {
        k->branch = branch_new(r->desk->exchange, c->front->loop, c->account->database->id);
    }
    c->listening = mem_new(struct listening);
    listener_init(&c->listening->listener, k->branch, told_pid(c),
                  (size_t)c->front->config->o.notify_queue_bytes, on_news, c);
    return c->listening;
}

void listen_expect(struct request *r)
{
    if (buf_len(&r->channels) == 0 || !counts(r->client)) { return; }
    buf_put_bytes(&listening_of(r)->due, buf_view(&r->channels));
}

bool listen_is_unsettled(const struct client *c)
{
    const struct listening *g = c->listening;
    return g != NULL && (buf_len(&g->due) > 0 || buf_len(&g->done) > 0);
}

/* ---- what was done --------------------------------------------------------------------------- */

static void truncate_to(struct buf *b, size_t len)
{
    if (buf_len(b) > len) { b->end = b->start + len; }
}

static void take_due(struct listening *g)
{
    struct bytes due = buf_view(&g->due);
    if (due.len == 0) { /* a portal that was bound earlier */
        g->unclear = true;
        return;
    }
    size_t size = 1 + strlen((const char *)due.ptr + 1) + 1;
    buf_put(&g->done, due.ptr, size);
    buf_consume(&g->due, size);
}

static void take_rollback(const struct request *r, struct listening *g)
{
    const struct statement *only = r->facts.only;
    if (only != NULL && only->kind == STMT_ROLLBACK_TO) { return; } /* listen_undo() saw to it */
    if ((r->facts.flags & STMT_ROLLS_BACK_TO) != 0) {               /* to where is not known here */
        g->unclear = g->unclear || buf_len(&g->done) > g->committed;
        return;
    }
    truncate_to(&g->done, g->committed);
}

void listen_saw_tag(struct request *r, const char *tag)
{
    bool starts = tag[0] == 'L' || tag[0] == 'U' || tag[0] == 'C' || tag[0] == 'R' || tag[0] == 'D';
    if (!starts || !counts(r->client)) { return; } /* most are not */
    if (strcmp(tag, "LISTEN") == 0 || strcmp(tag, "UNLISTEN") == 0) {
        take_due(listening_of(r));
        return;
    }
    struct listening *g = r->client->listening;
    if (g == NULL) { return; }
    if (strcmp(tag, "COMMIT") == 0) {
        g->committed = buf_len(&g->done);
    } else if (strcmp(tag, "ROLLBACK") == 0) {
        take_rollback(r, g);
    } else if (strcmp(tag, "DISCARD ALL") == 0) {
        buf_put_u8(&g->done, DO_UNLISTEN_ALL);
        buf_put_u8(&g->done, 0);
        g->committed = buf_len(&g->done);
    }
}

size_t listen_mark(const struct client *c)
{
    return c->listening == NULL ? 0 : buf_len(&c->listening->done);
}

void listen_undo(struct client *c, size_t mark)
{
    if (c->listening != NULL) { truncate_to(&c->listening->done, mark); }
}

void listen_undo_unknown(struct client *c)
{
    struct listening *g = c->listening;
    if (g != NULL && buf_len(&g->done) > g->committed) { g->unclear = true; }
}

void listen_forget(struct client *c)
{
    struct listening *g = c->listening;
    if (g == NULL) { return; }
    buf_clear(&g->due);
    buf_clear(&g->done);
    g->committed = 0;
    g->unclear = false;
}

/* ---- the commit ------------------------------------------------------------------------------ */

static bool has_name(struct bytes names, const char *name)
{
    for (size_t at = 0; at < names.len; at += strlen((const char *)names.ptr + at) + 1) {
        if (strcmp((const char *)names.ptr + at, name) == 0) { return true; }
    }
    return false;
}

static void remove_name(struct buf *names, const char *name)
{
    struct buf kept = {0};
    struct bytes all = buf_view(names);
    for (size_t at = 0; at < all.len;) {
        const char *other = (const char *)all.ptr + at;
        if (strcmp(other, name) != 0) { buf_put_str(&kept, other); }
        at += strlen(other) + 1;
    }
    buf_done(names);
    *names = kept;
}

static void end_pin(struct client *c)
{
    c->pins &= ~(uint32_t)PIN_LISTEN;
}

/* What was committed takes effect; what is new is in `adding`. */
static void apply(struct client *c, struct listening *g)
{
    struct bytes done = buf_view(&g->done);
    const size_t end = g->committed;
    assert(end <= done.len);
    buf_clear(&g->adding);
    for (size_t at = 0; at < end;) {
        const char *name = (const char *)done.ptr + at + 1;
        if (done.ptr[at] == DO_UNLISTEN_ALL) {
            buf_clear(&g->adding);
            listener_drop_all(&g->listener);
            end_pin(c);
        } else if (done.ptr[at] == DO_UNLISTEN) {
            remove_name(&g->adding, name);
            listener_drop(&g->listener, name);
        } else if (!listener_has(&g->listener, name) && !has_name(buf_view(&g->adding), name)) {
            buf_put_str(&g->adding, name);
        }
        at += 1 + strlen(name) + 1;
    }
    buf_consume(&g->done, end);
    g->committed = 0;
}

static void pin(struct request *r, const char *reason)
{
    const struct log_who who = client_who(r->client);
    log_warn(&who, "event=listen_pinned reason=\"%s\" next=\"the client keeps its server\"",
             reason);
    pins_keep(r, PIN_LISTEN);
}

static const char *encoding(const struct request *r)
{
    const char *told = r->server == NULL ? NULL : server_param(r->server, "client_encoding");
    return told == NULL ? "UTF8" : told;
}

static void add_names(struct listening *g)
{
    struct bytes names = buf_view(&g->adding);
    for (size_t at = 0; at < names.len; at += strlen((const char *)names.ptr + at) + 1) {
        listener_add(&g->listener, (const char *)names.ptr + at);
    }
    buf_done(&g->adding);
}

static void on_settled(void *arg, enum err e)
{
    struct request *r = arg;
    struct listening *g = r->client->listening;
    r->ask = NULL;
    r->settling = false;
    r->settled = true;
    if (g != NULL && buf_len(&g->adding) > 0) {
        if (e == E_OK) {
            mem_free(&g->encoding);
            g->encoding = mem_strdup(encoding(r));
            add_names(g);
        } else {
            buf_done(&g->adding);
            pin(r, e == E_REFUSED ? "others listen in another encoding" : err_name(e));
        }
    }
    stream_pause(&r->server->stream, false);
    relay_event(r->server, UV_READABLE);
}

/* sender: of what the server with this pid notifies. */
static void ask(struct request *r, struct bytes names, enum sender sender, uint32_t pid,
                void (*done)(void *arg, enum err e))
{
    struct client *c = r->client;
    struct known *k = desk_known(r->desk, c->account->database);
    const char *list[64];
    const char **channels = list;
    unsigned count = 0, room = sizeof list / sizeof *list;
    struct ask_text t = {.account = c->account, .sender = sender, .pid = pid, .told = told_pid(c)};
    t.encoding = encoding(r);
    for (size_t at = 0; at < names.len; at += strlen((const char *)names.ptr + at) + 1) {
        if (count == room) {
            const char **more = mem_array(const char *, 2 * (size_t)room);
            memcpy(more, channels, count * sizeof *more);
            if (channels != list) { mem_free(&channels); }
            channels = more;
            room *= 2;
        }
        channels[count++] = (const char *)names.ptr + at;
    }
    t.channels = channels;
    t.count = count;
    if (k->branch == NULL) {
        k->branch = branch_new(r->desk->exchange, c->front->loop, c->account->database->id);
    }
    r->ask = branch_ask(k->branch, &t, done, r);
    if (channels != list) { mem_free(&channels); }
}

enum err listen_settle(struct request *r, uint8_t status, bool failed)
{
    struct client *c = r->client;
    struct listening *g = c->listening;
    if (r->settled) {
        r->settled = false;
        return E_OK;
    }
    struct bytes names = {0};
    if (g != NULL) {
        buf_clear(&g->due);
        if (status == 'I' && failed) { truncate_to(&g->done, g->committed); }
        if (status == 'I') { g->committed = buf_len(&g->done); }
        apply(c, g);
        if (g->unclear && status == 'I') {
            g->unclear = false;
            buf_done(&g->adding);
            pin(r, "what it listens to was not followed");
        }
        names = buf_view(&g->adding);
    }
    bool ends = status == 'I';
    const bool leaves = ends && r->announced;
    if (ends) { r->shown = false; }
    if (names.len == 0 && !leaves && !(ends && listen_holds(c))) { return E_OK; }
    if (ends) { r->announced = false; }
    r->settling = true;
    ask(r, names, leaves ? SENDER_LEAVES : SENDER_SAME, r->sender, on_settled);
    return E_AGAIN;
}

/* ---- pg_listening_channels() ----------------------------------------------------------------- */

static void put_listen(const char *channel, void *arg)
{
    struct buf *out = arg;
    buf_put_bytes(out, BYTES("LISTEN "));
    quote_ident(out, bytes_str(channel));
    buf_put_u8(out, ';');
}

enum err listen_check(struct request *r, const struct statement *s, struct fault *why)
{
    const struct client *c = r->client;
    if (!listen_holds(c) || !counts(c)) { return E_OK; }
    bool asks = false;
    for (uint32_t i = 0; i < s->functions_count && !asks; i++) {
        asks = strcmp(s->functions[i].name, "pg_listening_channels") == 0;
    }
    if (!asks) { return E_OK; }
    r->facts.asks_channels = true;
    r->facts.replica = false;
    if (r->shown || r->server == NULL || r->server->status != 'T') { return E_OK; }
    /* LISTEN would tell it only after the commit. */
    (void)fault_state(why, E_REFUSED, "0A000",
                      "pg_listening_channels() is not known in the middle of a transaction");
    fault_hint(why, "Ask before the transaction, or in its first statement.");
    return E_REFUSED;
}

static bool show(struct request *r)
{
    const struct client *c = r->client;
    struct server *s = r->server;
    if (!r->facts.asks_channels || r->shown || c->status == 'E') { return true; }
    if (s->expects.count > 0) { return false; }
    struct buf text = {0};
    listener_each(&c->listening->listener, put_listen, &text);
    prepared_unref(&s->unnamed);
    compose_query(&s->stream.out, buf_text(&text));
    buf_done(&text);
    expects_push(&s->expects, EXPECT_QUERY, OWNER_NOBODY, NULL);
    r->shown = r->settings_sent = true;
    return false;
}

/* ---- SET client_encoding --------------------------------------------------------------------- */

static bool is_ascii(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (b.ptr[i] > 127) { return false; }
    }
    return true;
}

void listen_move(struct request *r)
{
    struct client *c = r->client;
    struct server *s = r->server;
    struct listening *g = c->listening;
    if (!listen_holds(c) || !counts(c) || r->on_replica) { return; }
    if (s == NULL || s->status != 'I' || s->expects.count > 0) { return; }
    if (g->encoding == NULL || strcmp(encoding(r), g->encoding) == 0) { return; }
    struct buf text = {0};
    listener_each(&g->listener, put_listen, &text);
    if (is_ascii(buf_view(&text))) {
        pin(r, "it changed its encoding");
        r->moves = r->settings_sent = true;
        prepared_unref(&s->unnamed);
        compose_query(&s->stream.out, buf_text(&text));
        expects_push(&s->expects, EXPECT_QUERY, OWNER_NOBODY, NULL);
        stream_flush(&s->stream);
    } else { /* a name that says something else now: it cannot go on unnoticed */
        g->listener.state = LISTENER_LOST;
    }
    buf_done(&text);
}

/* The exchange has heard all that was notified before the server began to listen. */
static void on_moved(void *arg, enum err e)
{
    struct request *r = arg;
    struct client *c = r->client;
    (void)e; /* a connection that is lost has been told to the listener */
    r->ask = NULL;
    listen_put_news(c);
    listener_drop_all(&c->listening->listener);
    stream_flush(&c->stream);
    request_unwait(r);
    request_resume(c);
}

void listen_moved(struct request *r)
{
    r->moves = false;
    ask(r, (struct bytes){0}, SENDER_SAME, r->sender, on_moved);
}

/* ---- who notifies ---------------------------------------------------------------------------- */

static void on_announced(void *arg, enum err e)
{
    struct request *r = arg;
    (void)e; /* who hears is told the server's own pid then */
    r->ask = NULL;
    request_unwait(r);
    request_resume(r->client);
}

bool listen_announce(struct request *r)
{
    const struct client *c = r->client;
    const struct facts *f = &r->facts;
    if (r->ask != NULL || !show(r)) { return false; }
    if (r->announced || !exchange_is_used(r->desk->exchange) || !counts(c) || c->status == 'E') {
        return true;
    }
    if ((f->flags & STMT_NOTIFIES) == 0 && (f->replica || !listen_holds(c))) { return true; }
    r->announced = true;
    r->sender = r->server->backend_pid;
    ask(r, (struct bytes){0}, SENDER_COMES, r->sender, on_announced);
    return false;
}

/* ---- telling --------------------------------------------------------------------------------- */

bool listen_take_notification(struct request *r, struct bytes body)
{
    struct client *c = r->client;
    const struct listening *g = c->listening;
    struct notification_msg m;
    if (response_read_notification(body, &m) != E_OK) { return false; }
    bool own = m.pid == r->server->backend_pid;
    bool pinned = (c->pins & (uint32_t)(PIN_SESSION | PIN_LISTEN | PIN_UNKNOWN)) != 0;
    if (!own && !pinned) { return false; } /* it has just begun to listen, and was not told so */
    if (g != NULL && listener_has(&g->listener, m.channel)) {
        return false;
    } /* it hears it there */
    compose_notification(&c->stream.out, own ? told_pid(c) : m.pid, m.channel, m.payload);
    return true;
}

void listen_put_news(struct client *c)
{
    struct buf *queue = &c->listening->listener.queue;
    stats_add(&client_stats(c)->sent, buf_len(queue));
    stream_put(&c->stream, buf_view(queue));
    buf_done(queue);
}

static bool is_between(const struct client *c)
{
    const struct request *r = c->request;
    if (c->state != CLIENT_READY || c->status != 'I' || c->skip_to_sync) { return false; }
    if (r == NULL) { return true; }
    if (r->waiting || r->settling || r->bumping || r->step != STEP_READ || r->left > 0 ||
        r->batch_open || r->cache.state != NULL) {
        return false;
    }
    const struct server *s = r->server;
    return s == NULL || (s->expects.count == 0 && s->left == 0 && !s->copy_in);
}

static void end_listener(struct client *c, enum listener_state state)
{
    struct fault why;
    if (state == LISTENER_LOST) {
        (void)fault_state(&why, E_LOST, "57P01",
                          "terminating connection because the connection that listens was lost");
        fault_hint(&why, "Notifications may be missing: connect, LISTEN and look again.");
    } else {
        (void)fault_state(&why, E_LIMIT, "53400",
                          "terminating connection because of too many notifications");
        fault_hint(&why, "They wait while it does not read or is in a transaction: notify_queue.");
    }
    client_fail(c, &why);
}

void listen_tell(struct client *c)
{
    if (!is_between(c)) { return; }
    const struct listener *l = &c->listening->listener;
    if (l->state != LISTENER_FINE) {
        end_listener(c, l->state);
        return;
    }
    if (buf_len(&l->queue) == 0 || stream_unwritten(&c->stream) > STREAM_HIGH_WATER) { return; }
    listen_put_news(c);
    stream_flush(&c->stream);
    if (c->stream.state != E_OK) { client_close(c, "client unexpected eof"); }
}

void listen_each(const struct client *c, void (*visit)(const char *channel, void *arg), void *arg)
{
    if (c->listening != NULL) { listener_each(&c->listening->listener, visit, arg); }
}

size_t listen_waiting(const struct client *c)
{
    return c->listening == NULL ? 0 : buf_len(&c->listening->listener.queue);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void listen_abandon(struct request *r)
{
    ask_forget(&r->ask);
    r->settling = r->settled = false;
    if (r->announced) {
        ask(r, (struct bytes){0}, SENDER_LEAVES, r->sender, NULL);
        ask_forget(&r->ask);
    }
    r->announced = r->shown = false;
}

void listen_close(struct client *c)
{
    struct listening *g = c->listening;
    if (g == NULL) { return; }
    listener_done(&g->listener);
    buf_done(&g->due);
    buf_done(&g->done);
    buf_done(&g->adding);
    mem_free(&g->encoding);
    mem_free(&c->listening);
}
