/*
 * Putting a server in order after its client left it in disorder: cancel what runs, end a COPY, eat
 * what it still owes, roll back, reset. A server whose order is not proven within the time is
 * closed.
 */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"
#include "server/internal.h"

enum clean_step {
    CLEAN_DRAIN,
    CLEAN_ROLLBACK,
    CLEAN_RESET,
    CLEAN_SETTINGS,
    CLEAN_UNLISTEN,
    CLEAN_CHECK
};

static void finish(struct server *s, enum err e)
{
    timer_clear(&s->stream.loop->timers, &s->timer);
    s->cleaned(s, e);
}

static void on_timeout(struct timer *t)
{
    finish(container_of(t, struct server, timer), E_TIMEOUT);
}

static void send_query(struct server *s, const char *text, enum clean_step step)
{
    s->clean_step = step;
    prepared_unref(&s->unnamed); /* a simple query drops it */
    compose_query(&s->stream.out, text);
    expects_push(&s->expects, EXPECT_QUERY, OWNER_NOBODY, NULL);
    stream_flush(&s->stream);
}

static void forget_settings(struct server *s)
{
    const struct varset *none = varset_ref(varset_empty());
    varset_unref(&s->have);
    varset_unref(&s->now);
    s->have = none;
    s->now = varset_ref(none);
    s->sure = true;
    s->have_unsure = false;
    s->reset_needed = false;
    s->sequences_of = 0;
}

static bool discards_all(const char *query)
{
    static const char all[] = "discard all";
    query += strspn(query, " \t");
    return strncasecmp(query, all, sizeof all - 1) == 0 &&
           query[sizeof all - 1 + strspn(query + sizeof all - 1, " \t;")] == '\0';
}

static void send_unlisten(struct server *s)
{
    s->listens = false;
    send_query(s, "UNLISTEN *", CLEAN_UNLISTEN);
}

/* Nothing is owed any more: what comes next? A reset query of the operator's own may leave anything
   set: that part of it is ours. */
static void next_step(struct server *s, const char *reset_query)
{
    if (s->status != 'I' && s->clean_step == CLEAN_DRAIN) {
        send_query(s, "ROLLBACK", CLEAN_ROLLBACK);
    } else if (s->status != 'I') {
        finish(s, E_PROTOCOL);
    } else if (reset_query != NULL && s->clean_step < CLEAN_RESET) {
        send_query(s, reset_query, CLEAN_RESET);
    } else if (s->clean_step == CLEAN_RESET && reset_query != NULL && !discards_all(reset_query)) {
        send_query(s, "SET SESSION AUTHORIZATION DEFAULT;RESET ALL", CLEAN_SETTINGS);
    } else {
        if (s->clean_step == CLEAN_RESET) { server_forget_statements(s); }
        if (s->clean_step == CLEAN_RESET || s->clean_step == CLEAN_SETTINGS) { forget_settings(s); }
        if (s->listens) {
            send_unlisten(s);
        } else {
            finish(s, E_OK);
        }
    }
}

static void skip_to_sync(struct server *s)
{
    struct expect *x;
    while ((x = expects_head(&s->expects)) != NULL && x->kind != EXPECT_SYNC) {
        struct expect gone = expects_pop(&s->expects);
        server_skipped(s, &gone);
        expect_done(&gone);
    }
}

/* One message of what is owed to nobody. E_OK, or E_PROTOCOL when it makes no sense. */
static enum err eat(struct server *s, uint8_t type, struct bytes body)
{
    const char *tag;
    struct expect *x = expects_head(&s->expects);
    while (x != NULL && x->kind == EXPECT_FAKE) {
        struct expect fake = expects_pop(&s->expects);
        expect_done(&fake);
        x = expects_head(&s->expects);
    }
    switch (type) {
    case 'S': return server_keep_param(s, body) ? E_OK : E_PROTOCOL;
    case 'C':
        if (response_read_complete(body, &tag) == E_OK) { server_saw_tag(s, tag); }
        break;
    case 'E':
        server_saw_error(s);
        if (s->clean_step >= CLEAN_RESET) { return E_SERVER; }
        s->copy_in = false;
        if (x != NULL && x->kind != EXPECT_QUERY && x->kind != EXPECT_FUNCTION) { skip_to_sync(s); }
        return E_OK;
    case 'G': /* nobody will send the data */
        s->copy_in = true;
        expects_drop_syncs_after_head(&s->expects);
        compose_copy_fail(&s->stream.out, "client disconnected");
        if (x != NULL && x->kind == EXPECT_EXECUTE) {
            compose_bare(&s->stream.out, 'S');
            expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
        }
        stream_flush(&s->stream);
        return E_OK;
    default: break;
    }
    bool completes = x != NULL && expect_completed_by(x, type);
    if (type == 'Z') {
        uint8_t status;
        if (!completes || response_read_ready(body, &status) != E_OK) { return E_PROTOCOL; }
        server_saw_ready(s, status);
        s->copy_in = false;
    }
    if (completes) {
        struct expect done = expects_pop(&s->expects);
        expect_done(&done);
    }
    return E_OK;
}

static void eat_all(struct server *s, struct bytes in)
{
    const char *reset_query = s->holder;
    enum err e = E_OK;
    /* Rows may be long: they are dropped as they come. */
    size_t used = s->left < in.len ? s->left : in.len;
    s->left -= (uint32_t)used;
    struct frame f;
    while (s->left == 0 && (e = frame_peek(bytes_skip(in, used), &f)) == E_OK) {
        if (f.type == 'D' || f.type == 'd') {
            size_t here = in.len - used < f.size ? in.len - used : f.size;
            s->left = f.size - (uint32_t)here;
            used += here;
            continue;
        }
        if (in.len - used < f.size) { break; }
        e = eat(s, f.type, frame_body(bytes_skip(in, used), f));
        used += f.size;
        if (e != E_OK) { break; }
    }
    stream_used(&s->stream, in, used);
    if (e != E_OK && e != E_AGAIN) {
        finish(s, e);
        return;
    }
    if (s->expects.count == 0 && s->left == 0 && buf_len(&s->stream.in) == 0) {
        next_step(s, reset_query);
    }
}

static void on_clean_event(struct server *s, int events)
{
    if ((events & UV_WRITABLE) != 0) { stream_flush(&s->stream); }
    if ((events & UV_READABLE) == 0) { return; }
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    if (e == E_OK) {
        eat_all(s, in);
    } else {
        finish(s, e);
    }
}

/* What the server has said already and nobody looked at: a ReadyForQuery that was held back. */
static void on_buffered(struct timer *t)
{
    struct server *s = container_of(t, struct server, timer);
    s->timer.due = on_timeout;
    timer_set(&s->stream.loop->timers, &s->timer, s->clean_until_us);
    if (buf_len(&s->stream.in) > 0) { eat_all(s, buf_view(&s->stream.in)); }
}

void server_clean(struct server *s, bool cancel, const char *reset_query, int64_t timeout_us,
                  void (*cleaned)(struct server *s, enum err e))
{
    s->state = SERVER_CLEANING;
    s->cleaned = cleaned;
    s->clean_step = CLEAN_DRAIN;
    server_hold(s, on_clean_event, (void *)(uintptr_t)reset_query);
    stream_pause(&s->stream, false);
    const bool buffered = buf_len(&s->stream.in) > 0;
    s->clean_until_us = clock_now_us() + timeout_us;
    s->timer.due = buffered ? on_buffered : on_timeout;
    timer_set(&s->stream.loop->timers, &s->timer, buffered ? 0 : s->clean_until_us);
    /* A batch without its Sync would never be answered whole. */
    bool open_batch = false;
    for (uint32_t i = 0; i < s->expects.count; i++) {
        uint8_t kind = expects_at(&s->expects, i)->kind;
        open_batch = kind != EXPECT_QUERY && kind != EXPECT_SYNC && kind != EXPECT_FUNCTION;
    }
    if (s->copy_in) { compose_copy_fail(&s->stream.out, "client disconnected"); }
    if (open_batch) {
        compose_bare(&s->stream.out, 'S');
        expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    }
    stream_flush(&s->stream);
    if (s->expects.count > 0) {
        if (cancel && !s->copy_in) { server_cancel(s); }
        return;
    }
    /* Nothing owed: the next step starts with a query, or, when there is none to run, with an empty
       one whose answer proves order. */
    if (s->status != 'I') {
        send_query(s, "ROLLBACK", CLEAN_ROLLBACK);
    } else if (reset_query != NULL) {
        send_query(s, reset_query, CLEAN_RESET);
    } else if (s->listens) {
        send_unlisten(s);
    } else {
        send_query(s, "", CLEAN_ROLLBACK);
    }
}

void server_check(struct server *s, const char *query, int64_t timeout_us,
                  void (*checked)(struct server *s, enum err e))
{
    s->state = SERVER_CLEANING;
    s->cleaned = checked;
    server_hold(s, on_clean_event, NULL);
    stream_pause(&s->stream, false);
    s->timer.due = on_timeout;
    timer_set(&s->stream.loop->timers, &s->timer, clock_now_us() + timeout_us);
    send_query(s, query, CLEAN_CHECK);
}

static void on_farewell_event(struct server *s, int events)
{
    struct bytes in;
    if ((events & UV_WRITABLE) != 0) { stream_flush(&s->stream); }
    if ((events & UV_READABLE) == 0) { return; }
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    if (e == E_OK) {
        stream_used(&s->stream, in, in.len);
    } else {
        finish(s, E_OK);
    }
}

void server_leave(struct server *s, int64_t timeout_us, void (*left)(struct server *s, enum err e))
{
    s->state = SERVER_DEAD;
    s->cleaned = left;
    server_hold(s, on_farewell_event, NULL);
    stream_pause(&s->stream, false);
    s->timer.due = on_timeout;
    timer_set(&s->stream.loop->timers, &s->timer, clock_now_us() + timeout_us);
    compose_bare(&s->stream.out, 'X');
    stream_flush(&s->stream);
    s->torn = true; /* said once */
}
