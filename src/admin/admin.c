/*
 * The console's side of a client: messages in, commands run one after another, answers out.
 */
#include "admin/admin.h"

#include "admin/command.h"
#include "admin/control.h"
#include "admin/faked.h"
#include "admin/fds.h"
#include "admin/ledger.h"
#include "admin/portal.h"
#include "admin/session.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/extended.h"
#include "pgwire/frame.h"

enum { QUERY_MOST = 65536 };

struct office *office_new(struct front *own, struct front **fronts, unsigned fronts_count,
                          struct cache *cache, const struct admin_hooks *hooks)
{
    struct office *o = mem_new(struct office);
    o->front = own;
    o->fronts = fronts;
    o->fronts_count = fronts_count;
    o->cache = cache;
    if (hooks != NULL) { o->hooks = *hooks; }
    if (own == fronts[0]) { o->ledger = ledger_new(own); }
    own->office = o;
    return o;
}

/* The clients are gone. Letters that are still on their way find no office. */
void office_free(struct office **po)
{
    struct office *o = *po;
    if (o == NULL) { return; }
    *po = NULL;
    o->front->office = NULL;
    ledger_free(&o->ledger);
    hmap_done(&o->sessions);
    mem_free(&o);
}

static struct session *session_of(struct client *c)
{
    struct office *o = c->front->office;
    struct session *s = session_find(o, c->id);
    if (s != NULL) { return s; }
    s = mem_new(struct session);
    s->id = c->id;
    s->office = o;
    s->client = c;
    hmap_insert(&o->sessions, &s->link, bytes_of(&s->id, sizeof s->id));
    return s;
}

/* ---- commands -------------------------------------------------------------------------------- */

void admin_run(struct session *s, const struct command *c, struct bytes text)
{
    s->busy = true;
    s->client->requested_wall_us = clock_wall_us();
    if (!faked_run(s, c) && !show_run(s, c) && !control_run_command(s, c)) {
        session_reject(s, text);
    }
}

static void run_query(struct session *s, struct bytes text)
{
    struct arena memory = {0};
    struct command c;
    portal_end(s);
    if (command_parse(text, &memory, &c, NULL) != E_OK) {
        session_reject(s, text);
    } else if (c.count == 0) {
        compose_bare(session_out(s), 'I');
        compose_ready(session_out(s), s->client->status);
    } else if (command_parameters(&c) > 0) {
        session_error(s, "42P02", "there is no parameter $%u", command_parameters(&c));
    } else {
        admin_run(s, &c, text);
    }
    arena_done(&memory);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void break_off(struct client *c, const char *what, unsigned type)
{
    struct fault why;
    (void)fault_set(&why, E_PROTOCOL, "%s: message type %u", what, type);
    client_fail(c, &why);
}

/* As PgBouncer does: an error, another one, and good-bye. */
static void refuse_extended(struct session *s)
{
    struct fault why;
    session_error(s, "0A000", "extended query protocol not supported by admin console");
    (void)fault_state(&why, E_REFUSED, "08P01", "bad packet");
    client_fail(s->client, &why);
}

/* A message that is not looked into: its bytes go by as they come. */
static size_t skip(struct session *s, struct bytes in, struct frame f)
{
    size_t here = f.size < in.len ? f.size : in.len;
    s->left = f.size - (uint32_t)here;
    return here;
}

static size_t refuse_long(struct session *s, struct bytes in, struct frame f)
{
    compose_error(session_out(s), "ERROR", "54000", "the command is too long", NULL);
    if (f.type == 'Q') {
        compose_ready(session_out(s), s->client->status);
    } else {
        s->client->skip_to_sync = true;
    }
    return skip(s, in, f);
}

/* A message that is looked into. Returns what was used; 0: not whole yet. c may be closed. */
static size_t take_whole(struct session *s, struct bytes in, struct frame f)
{
    if (f.size > QUERY_MOST) { return refuse_long(s, in, f); }
    if (f.size > in.len) { return 0; }
    if (!s->asked) { atomic_fetch_add(&s->office->front->shared->consoles_asked, 1); }
    s->asked = true;
    if (f.type != 'Q' && session_is_strict(s)) {
        refuse_extended(s);
        return 0;
    }
    struct bytes body = frame_body(in, f), text;
    if (f.type != 'Q') {
        portal_take(s, f.type, body);
    } else if (extended_read_query(body, &text) == E_OK) {
        run_query(s, text);
    } else {
        break_off(s->client, "malformed message", f.type);
        return 0;
    }
    return f.size;
}

/* The message at the front of `in`. Returns what was used; 0: not whole yet. c may be closed. */
static size_t take(struct session *s, struct bytes in, struct frame f)
{
    struct client *c = s->client;
    struct buf *out = &c->stream.out;
    if (f.type == 'X') {
        client_close(c, "client close request");
        return 0;
    }
    if (f.type == 'S') {
        c->skip_to_sync = false;
        portal_end(s);
        compose_ready(out, c->status);
        return skip(s, in, f);
    }
    if (c->skip_to_sync) { return skip(s, in, f); }
    switch (f.type) {
    case 'Q':
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C': return take_whole(s, in, f);
    case 'H':
    case 'd':
    case 'c':
    case 'f': return skip(s, in, f); /* CopyData and its like as PostgreSQL does outside of COPY */
    case 'F':
        compose_error(out, "ERROR", "0A000", "function calls not supported by admin console", NULL);
        compose_ready(out, c->status);
        return skip(s, in, f);
    default: break_off(c, "unsupported packet type for admin console", f.type); return 0;
    }
}

static bool has_room(const struct client *c)
{
    return stream_unwritten(&c->stream) <= STREAM_HIGH_WATER;
}

/* Returns what was used of the input. c may be closed on return. */
static size_t run(struct client *c, struct bytes in)
{
    struct session *s = session_of(c);
    size_t used = 0;
    s->running = true;
    while (used < in.len && !s->busy && has_room(c)) {
        struct bytes rest = bytes_skip(in, used);
        if (s->left > 0) {
            size_t here = s->left < rest.len ? s->left : rest.len;
            s->left -= (uint32_t)here;
            used += here;
            continue;
        }
        struct frame f;
        enum err e = frame_peek(rest, &f);
        if (e == E_AGAIN) { break; }
        if (e != E_OK) {
            break_off(c, "invalid length", rest.ptr[0]);
            return used;
        }
        size_t here = take(s, rest, f);
        if (c->state != CLIENT_READY) { return used; } /* s is gone too */
        if (here == 0) { break; }
        used += here;
    }
    s->running = false;
    stream_flush(&c->stream);
    return used;
}

/* The last look after work was done for c: is it still wanted, may it be read? */
static void settle(struct client *c)
{
    if (c->stream.state != E_OK) {
        client_close(c, "client unexpected eof");
        return;
    }
    stream_pause(&c->stream, buf_len(&c->stream.in) > QUERY_MOST || !has_room(c));
}

/* Works on what was kept of the input. */
static void go_on(struct client *c)
{
    size_t used = run(c, buf_view(&c->stream.in));
    if (c->state != CLIENT_READY) { return; }
    buf_consume(&c->stream.in, used);
    buf_release(&c->stream.in);
    settle(c);
}

void admin_resume(struct session *s)
{
    go_on(s->client);
}

static void on_events(struct client *c, int events)
{
    if ((events & UV_WRITABLE) != 0) {
        stream_flush(&c->stream);
        struct session *s = session_of(c);
        if (s->fds != NULL) { fds_send(s); }
        if (c->state != CLIENT_READY) { return; }
    }
    if ((events & UV_READABLE) == 0) {
        go_on(c);
        return;
    }
    struct bytes in;
    enum err e = stream_read(&c->stream, &in);
    if (e == E_AGAIN) {
        go_on(c);
        return;
    }
    if (e != E_OK) {
        client_close(c, "client unexpected eof");
        return;
    }
    size_t used = run(c, in);
    if (c->state != CLIENT_READY) { return; }
    stream_used(&c->stream, in, used);
    settle(c);
}

static void on_cancel(struct client *c)
{
    struct session *s = session_find(c->front->office, c->id);
    if (s != NULL) { control_cancel(s); }
}

static unsigned count_consoles(const struct office *o)
{
    unsigned n = 0;
    for (unsigned i = 0; i < o->fronts_count; i++) {
        n += atomic_load(&o->fronts[i]->consoles_count);
    }
    return n;
}

static void on_closed(struct client *c)
{
    struct office *o = c->front->office;
    struct session *s = session_find(o, c->id);
    if (s == NULL) { return; }
    timer_clear(&o->front->loop->timers, &s->timer);
    bool suspended = atomic_load(&o->front->shared->rest) != REST_NONE;
    if (suspended && count_consoles(o) == 0) { /* nobody is left who could say RESUME */
        const struct log_who who = client_who(c);
        log_info(&who, "admin disappeared when suspended, doing RESUME");
        o->hooks.resume(o->hooks.arg);
    }
    fds_forget(s);
    portal_forget(s);
    hmap_remove(&o->sessions, &s->link);
    mem_free(&s->scope);
    mem_free(&s);
}

const struct client_ops admin_ops = {.events = on_events, .cancel = on_cancel, .closed = on_closed};
