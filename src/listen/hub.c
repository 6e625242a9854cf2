/*
 * One database's connection that listens. What is asked while a query of its own is under way goes
 * together into the next one: LISTEN and UNLISTEN where the channels have changed, else an empty
 * query. PostgreSQL tells a session what was notified before it answers, so the answer also means
 * that all which was committed before the query was sent has come.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "listen/inside.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"
#include "pool/pool.h"
#include "query/quote.h"

enum {
    ANSWER_US = 10000000, /* a connection that does not answer for so long is lost */
    LOOK_US = 1000000,    /* how often is looked whether this still is the primary */
    RETRY_US = 1000000,
    LINGER_LOOKS = 10, /* so long after the last listener the connection goes */
};

struct channel {
    struct hlink link;
    struct branch **branches; /* those that hear it */
    unsigned count;
    bool listening, asked; /* the server has it; the query under way changes that */
    char name[];
};

struct source { /* who a server's notifications are from */
    struct hlink link;
    uint32_t pid, told;
};

struct hub {
    struct hlink link;
    uint32_t id; /* the database's */
    struct exchange *exchange;
    struct account *account; /* we are its guest */
    char *encoding;
    const char *startup[5];
    struct server_target target;
    struct server *server; /* NULL: none */
    bool ready, busy;      /* logged in; a query of ours is under way */
    bool failed;           /* ... and has failed */
    unsigned idle_looks;
    struct hmap channels, sources;
    struct dlist waiting, running; /* asks */
    struct timer timer;
};

static void go_on(struct hub *h);

static struct log_who who(const struct hub *h)
{
    const struct node *n = h->server == NULL ? NULL : h->target.node;
    return (struct log_who){.kind = 'S',
                            .ptr = h,
                            .database = h->account->database->name,
                            .user = h->account->server_user,
                            .address = n == NULL ? NULL : n->host,
                            .port = n == NULL ? 0 : n->port};
}

static void set_timer(struct hub *h, int64_t in_us)
{
    timer_set(&h->exchange->home->timers, &h->timer, clock_now_us() + in_us);
}

/* ---- channels -------------------------------------------------------------------------------- */

static struct channel *find_channel(const struct hub *h, const char *name)
{
    struct hlink *link = hmap_find(&h->channels, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct channel, link);
}

static void drop_channel(struct hub *h, struct channel *c)
{
    hmap_remove(&h->channels, &c->link);
    mem_free(&c->branches);
    mem_free(&c);
}

static void join(struct hub *h, struct branch *b, const char *name)
{
    struct channel *c = find_channel(h, name);
    if (c == NULL) {
        size_t len = strlen(name);
        c = mem_zeroed(sizeof *c + len + 1);
        memcpy(c->name, name, len + 1);
        hmap_insert(&h->channels, &c->link, bytes_of(c->name, len));
    }
    for (unsigned i = 0; i < c->count; i++) {
        if (c->branches[i] == b) { return; }
    }
    c->branches = mem_grow(c->branches, c->count + 1, sizeof(struct branch *));
    c->branches[c->count++] = b;
}

static void part(struct hub *h, struct channel *c, const struct branch *b)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (c->branches[i] != b) { continue; }
        c->branches[i] = c->branches[--c->count];
        break;
    }
    if (c->count == 0 && !c->listening && !c->asked) { drop_channel(h, c); }
}

void hub_leave(struct hub *h, const struct branch *b, const char *name)
{
    struct channel *c = find_channel(h, name);
    if (c != NULL) { part(h, c, b); }
    go_on(h);
}

void hub_forget(struct hub *h, const struct branch *b)
{
    hmap_each (link, &h->channels) { part(h, container_of(link, struct channel, link), b); }
    go_on(h);
}

/* ---- who notifies ---------------------------------------------------------------------------- */

static struct source *find_source(const struct hub *h, uint32_t pid)
{
    struct hlink *link = hmap_find(&h->sources, bytes_of(&pid, sizeof pid));
    return link == NULL ? NULL : container_of(link, struct source, link);
}

static void forget_source(struct hub *h, uint32_t pid)
{
    struct source *s = find_source(h, pid);
    if (s == NULL) { return; }
    hmap_remove(&h->sources, &s->link);
    mem_free(&s);
}

static void note_source(struct hub *h, uint32_t pid, uint32_t told)
{
    forget_source(h, pid);
    struct source *s = mem_new(struct source);
    s->pid = pid;
    s->told = told;
    hmap_insert(&h->sources, &s->link, bytes_of(&s->pid, sizeof s->pid));
}

static void forget_sources(struct hub *h)
{
    hmap_each (link, &h->sources) {
        forget_source(h, container_of(link, struct source, link)->pid);
    }
}

static void distribute(const struct hub *h, const struct notification_msg *m)
{
    const struct channel *c = find_channel(h, m->channel);
    const struct source *s = find_source(h, m->pid);
    for (unsigned i = 0; c != NULL && i < c->count; i++) {
        note_post(c->branches[i], s == NULL ? m->pid : s->told, s != NULL, m->channel, m->payload);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

/* From when it is answered to what the server notifies after that: in between, nothing comes. */
static void answer(struct hub *h, struct ask *a, enum err e)
{
    if (a->sender == SENDER_COMES && e == E_OK) { note_source(h, a->pid, a->told); }
    if (a->sender == SENDER_LEAVES) { forget_source(h, a->pid); }
    ask_answer(a, e);
}

static void answer_all(struct hub *h, struct dlist *asks, enum err e)
{
    struct dlist *node;
    while ((node = dlist_pop_front(asks)) != NULL) {
        struct ask *a = container_of(node, struct ask, node);
        answer(h, a, e);
    }
}

/* ---- the connection breaks ------------------------------------------------------------------- */

static bool keeps(const struct hub *h)
{
    return h->account->database->config->o.notify_lost == NOTIFY_KEEP;
}

/* Each branch once. */
static void tell_branches(struct hub *h)
{
    struct branch **told = NULL;
    unsigned count = 0;
    hmap_each (link, &h->channels) {
        const struct channel *c = container_of(link, struct channel, link);
        for (unsigned i = 0; i < c->count; i++) {
            unsigned k = 0;
            while (k < count && told[k] != c->branches[i]) { k++; }
            if (k < count) { continue; }
            told = mem_grow(told, count + 1, sizeof(struct branch *));
            told[count++] = c->branches[i];
        }
    }
    for (unsigned i = 0; i < count; i++) { note_post(told[i], 0, false, NULL, NULL); }
    mem_free(&told);
}

/* The channels of those that are kept are listened to again; the others' go with them. */
static void lose_channels(struct hub *h)
{
    bool keep = keeps(h);
    if (!keep) { tell_branches(h); }
    hmap_each (link, &h->channels) {
        struct channel *c = container_of(link, struct channel, link);
        c->listening = c->asked = false;
        if (!keep || c->count == 0) { drop_channel(h, c); }
    }
}

static void lose(struct hub *h, const char *reason)
{
    const struct log_who w = who(h);
    bool listened = h->channels.count > 0 && h->ready;
    if (listened) {
        log_warn(&w, "event=listen_lost channels=%zu reason=\"%s\" next=\"%s\"", h->channels.count,
                 reason, keeps(h) ? "listening again" : "clients that listen are disconnected");
    }
    server_free(&h->server);
    h->ready = h->busy = false;
    forget_sources(h);
    if (listened) { lose_channels(h); }
    answer_all(h, &h->running, E_LOST);
    answer_all(h, &h->waiting, E_LOST);
    set_timer(h, RETRY_US);
}

/* ---- what the server says -------------------------------------------------------------------- */

static void settle_channels(struct hub *h)
{
    hmap_each (link, &h->channels) {
        struct channel *c = container_of(link, struct channel, link);
        if (!c->asked) { continue; }
        c->asked = false;
        if (!h->failed) { c->listening = !c->listening; }
        if (!c->listening && c->count == 0) { drop_channel(h, c); }
    }
}

static void take_ready(struct hub *h)
{
    h->busy = false;
    settle_channels(h);
    answer_all(h, &h->running, h->failed ? E_SERVER : E_OK);
    set_timer(h, LOOK_US);
    if (!h->failed) { go_on(h); } /* else when it is time, or somebody asks */
}

/* false: the connection was lost with it. */
static bool take_message(struct hub *h, uint8_t type, struct bytes body)
{
    struct notification_msg n;
    struct error_msg m = {0};
    switch (type) {
    case 'A':
        if (response_read_notification(body, &n) == E_OK) { distribute(h, &n); }
        return true;
    case 'E':
        if (response_read_error(body, &m) != E_OK || m.message == NULL) { m.message = "an error"; }
        if (!h->busy) {
            lose(h, m.message);
            return false;
        }
        const struct log_who w = who(h);
        log_warn(&w, "event=listen_failed reason=\"%s\"", m.message);
        h->failed = true;
        return true;
    case 'Z':
        if (h->busy) { take_ready(h); }
        return true;
    default: return true;
    }
}

static void on_event(struct server *s, int events)
{
    struct hub *h = s->holder;
    struct bytes in;
    if ((events & UV_WRITABLE) != 0) { stream_flush(&s->stream); }
    if ((events & UV_READABLE) == 0) { return; }
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    if (e != E_OK) {
        lose(h, "server closed the connection unexpectedly");
        return;
    }
    size_t used = 0;
    struct frame f;
    while ((e = frame_peek(bytes_skip(in, used), &f)) == E_OK) {
        enum { MOST = 65536 }; /* a payload has less than 8000 bytes */
        if (f.size > MOST) {
            e = E_PROTOCOL;
            break;
        }
        if (in.len - used < f.size) { break; }
        if (!take_message(h, f.type, frame_body(bytes_skip(in, used), f))) { return; }
        used += f.size;
    }
    if (e == E_PROTOCOL) {
        lose(h, "malformed message from the server");
        return;
    }
    stream_used(&s->stream, in, used);
}

/* ---- what is asked of it --------------------------------------------------------------------- */

static void put_command(struct buf *out, const char *verb, const char *channel)
{
    buf_put_bytes(out, bytes_str(verb));
    quote_ident(out, bytes_str(channel));
    buf_put_u8(out, ';');
}

static bool put_changes(struct hub *h, struct buf *out)
{
    bool any = false;
    hmap_each (link, &h->channels) {
        struct channel *c = container_of(link, struct channel, link);
        if (c->listening == (c->count > 0)) { continue; }
        put_command(out, c->listening ? "UNLISTEN " : "LISTEN ", c->name);
        any = c->asked = true;
    }
    return any;
}

static void on_opened(struct server *s, enum err e)
{
    struct hub *h = s->holder;
    const struct log_who w = who(h);
    if (e != E_OK) {
        log_warn(&w, "event=listen_failed reason=\"%s\"", s->why.text);
        lose(h, s->why.text);
        return;
    }
    log_info(&w, "event=listen_connected server_pid=%u", s->backend_pid);
    h->ready = true;
    s->state = SERVER_ACTIVE;
    server_hold(s, on_event, h);
    set_timer(h, LOOK_US);
    go_on(h);
}

static void open_server(struct hub *h)
{
    const struct node *n = route_primary(h->account->database->topology);
    if (n == NULL) {
        lose(h, "no primary server can be reached");
        return;
    }
    unsigned i = 0;
    h->startup[i++] = "client_encoding";
    h->startup[i++] = h->encoding;
    h->startup[i++] = "application_name";
    h->startup[i++] = "pgusher listens";
    h->startup[i] = NULL;
    timer_clear(&h->exchange->home->timers, &h->timer);
    h->server = pool_open_beside(h->account->pools[n->index], h->exchange->home, &h->target,
                                 h->startup, on_opened, h);
}

static void go_on(struct hub *h)
{
    if (h->server == NULL && (!dlist_empty(&h->waiting) || h->channels.count > 0)) {
        open_server(h);
    }
    if (!h->ready || h->busy) { return; }
    struct buf text = {0};
    bool changes = put_changes(h, &text);
    if (changes || !dlist_empty(&h->waiting)) {
        if (!changes) { buf_put_u8(&text, ';'); }
        struct dlist *node;
        while ((node = dlist_pop_front(&h->waiting)) != NULL) {
            dlist_push_back(&h->running, node);
        }
        h->busy = true;
        h->failed = false;
        h->idle_looks = 0;
        compose_query(&h->server->stream.out, buf_text(&text));
        stream_flush(&h->server->stream);
        set_timer(h, ANSWER_US);
    }
    buf_done(&text);
}

void hub_ask(struct hub *h, struct ask *a)
{
    if (a->count > 0 && strcmp(a->encoding, h->encoding) != 0) {
        if (h->channels.count > 0 || h->server != NULL) {
            answer(h, a, E_REFUSED);
            return;
        }
        mem_free(&h->encoding);
        h->encoding = mem_strdup(a->encoding);
    }
    if (a->count == 0 && !h->ready) { /* nothing is heard now */
        answer(h, a, E_OK);
        return;
    }
    for (unsigned i = 0; i < a->count; i++) { join(h, a->branch, a->names[i]); }
    dlist_push_back(&h->waiting, &a->node);
    go_on(h);
}

/* ---- its time -------------------------------------------------------------------------------- */

static void on_timer(struct timer *t)
{
    struct hub *h = container_of(t, struct hub, timer);
    if (h->busy) {
        lose(h, "no answer in time");
        return;
    }
    if (h->channels.count == 0 && dlist_empty(&h->waiting)) {
        if (h->server == NULL || ++h->idle_looks > LINGER_LOOKS) {
            hub_free(&h);
            return;
        }
    }
    const struct node *n = route_primary(h->account->database->topology);
    if (h->ready && n != NULL && n != h->target.node) {
        lose(h, "another node is the primary now");
        return;
    }
    if (h->ready) { set_timer(h, LOOK_US); }
    go_on(h);
}

struct hub *hub_find(const struct exchange *x, uint32_t database_id)
{
    struct hlink *link = hmap_find(&x->hubs, bytes_of(&database_id, sizeof database_id));
    return link == NULL ? NULL : container_of(link, struct hub, link);
}

struct hub *hub_new(struct exchange *x, struct account *a, const char *encoding)
{
    struct hub *h = mem_new(struct hub);
    h->exchange = x;
    h->account = a;
    h->id = a->database->id;
    h->encoding = mem_strdup(encoding);
    h->timer.due = on_timer;
    dlist_init(&h->waiting);
    dlist_init(&h->running);
    atomic_fetch_add(&a->guests, 1);
    hmap_insert(&x->hubs, &h->link, bytes_of(&h->id, sizeof h->id));
    atomic_fetch_add_explicit(&x->hubs_count, 1, memory_order_release);
    return h;
}

void hub_free(struct hub **ph)
{
    struct hub *h = *ph;
    *ph = NULL;
    timer_clear(&h->exchange->home->timers, &h->timer);
    server_free(&h->server);
    answer_all(h, &h->running, E_SHUTDOWN);
    answer_all(h, &h->waiting, E_SHUTDOWN);
    hmap_each (link, &h->channels) { drop_channel(h, container_of(link, struct channel, link)); }
    forget_sources(h);
    hmap_done(&h->channels);
    hmap_done(&h->sources);
    hmap_remove(&h->exchange->hubs, &h->link);
    atomic_fetch_sub_explicit(&h->exchange->hubs_count, 1, memory_order_release);
    atomic_fetch_sub(&h->account->guests, 1);
    mem_free(&h->encoding);
    mem_free(&h);
}
