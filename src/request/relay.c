/*
 * Relay: the server's bytes to the client. Runs of messages that go through as they are leave in
 * one write; what is owed to nobody is cut out; what is owed by nobody is put in. Long rows are
 * passed on as they come: no message is waited for unless its content matters here.
 */
#include "request/relay.h"

#include <string.h>

#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"

enum { RELAY_WHOLE_MOST = 16 << 20 }; /* a message whose content matters is waited for up to this */

/* The next `size` bytes go to nobody. */
static void cut(struct relay *y, size_t size)
{
    relay_pass(y);
    y->at += size;
    y->from = y->at;
}

/* Names take effect, made-up answers go out, while nothing of the server's is due before them. */
static void settle_names(struct relay *y, struct expect *e)
{
    if (expect_renames(e)) {
        bool closes = e->kind == EXPECT_CLOSE || (e->kind == EXPECT_FAKE && e->fake == '3');
        client_name_statement(y->r->client, e->name, closes ? NULL : e->prepared);
    }
    if (e->namings != NULL) { server_skipped(y->s, e); } /* it failed before them */
    expect_done(e);
}

static bool owes_fake(const struct server *s)
{
    const struct expect *x = expects_head(&s->expects);
    return x != NULL && x->kind == EXPECT_FAKE && !x->held;
}

static void put_fakes(struct relay *y)
{
    while (owes_fake(y->s)) {
        struct expect e = expects_pop(&y->s->expects);
        relay_pass(y);
        compose_bare(&y->r->client->stream.out, e.fake);
        y->r->fakes_told++;
        settle_names(y, &e);
    }
}

void relay_put_held(struct relay *y)
{
    expects_head(&y->s->expects)->held = false;
    put_fakes(y);
}

static void complete_head(struct relay *y)
{
    struct expect e = expects_pop(&y->s->expects);
    settle_names(y, &e);
}

static bool is_free(const struct relay *y)
{
    const struct request *r = y->r;
    const struct server *s = y->s;
    return s->expects.count == 0 && s->status == 'I' && !r->batch_open && !s->copy_in &&
           r->left == 0 && r->client->pins == 0 && s->left == 0 && r->step == STEP_READ;
}

/*
 * RESET brought the server's own values, where the client's are those of its start: they are set
 * before it is told that its statement is done, so that it is told of them, and of nothing else.
 */
static bool retell(struct relay *y)
{
    struct request *r = y->r;
    struct server *s = y->s;
    r->retell = false;
    if (server_prelude(s, r->client->in_tx) == 0) { return false; }
    compose_bare(&s->stream.out, 'S');
    expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    r->settings_sent = r->retelling = true;
    stream_flush(&s->stream);
    return true;
}

/* Is the report the client's? */
static bool is_told(const struct relay *y, struct bytes body, bool mine)
{
    const struct request *r = y->r;
    if (r->retell && body.len > 0 && memchr(body.ptr, '\0', body.len) != NULL) {
        return varset_get(r->client->base, (const char *)body.ptr) == NULL;
    }
    return (mine && !r->set_by_us) || r->retelling;
}

/* What a Query names could not be brought to the server: the error of that was its answer. */
static void take_for_answer(struct request *r)
{
    r->naming = r->unnameable = r->settings_sent = false;
    request_unwait(r);
    r->step = STEP_READ;
    buf_consume(&r->client->stream.in, r->unit.size);
    prepared_unref(&r->server->unnamed);
    client_name_statement(r->client, "", NULL);
}

static bool take_ready(struct relay *y, struct bytes body, enum expect_owner owner)
{
    struct request *r = y->r;
    struct server *s = y->s;
    uint8_t status;
    if (response_read_ready(body, &status) != E_OK) {
        y->lost = true;
        (void)fault_set(y->why, E_PROTOCOL, "malformed ReadyForQuery");
        return false;
    }
    bool failed = s->failed, rolled_back = s->rolled_back, committed = s->committed;
    bool mine = owner == OWNER_CLIENT || r->unnameable;
    /* Outside a transaction an error undoes a plain statement whole; a text of several, CALL and DO
       may have committed before it. */
    bool undone = rolled_back || (failed && r->undoable && r->client->status == 'I');
    if (mine && status == 'I' && !undone && store_bump(r) == E_AGAIN) {
        y->stop = true;
        return false;
    }
    if (mine && listen_settle(r, status, failed) == E_AGAIN) {
        y->stop = true;
        return false;
    }
    server_saw_ready(s, status);
    s->copy_in = false;
    complete_head(y); /* made-up answers behind it follow the ReadyForQuery itself: run() */
    if (!mine) {
        bool told = r->retelling && !failed, asked = r->asking;
        const bool replans = r->replans;
        r->settings_sent = r->retelling = r->replans = false;
        r->resume = true;
        if (asked) {
            pins_heard(r, failed);
        } else if (r->moves && !failed) {
            listen_moved(r);
        } else if (failed && !replans) {
            y->lost = y->refused = true;
            (void)fault_set(y->why, E_SERVER, "session settings were refused");
        }
        return told;
    }
    if (r->filling) { store_finish(r, !failed && !r->broken && status == 'I'); }
    stats_add(&client_stats(r->client)->query_us,
              (uint64_t)(loop_now(s->stream.loop) - s->requested_us));
    finish_ready(r, status, failed, rolled_back, committed);
    if (r->unnameable) { take_for_answer(r); }
    if (r->retell && !failed && retell(y)) { return false; }
    r->retell = false;
    r->resume = true;
    listen_move(r);
    pins_ask(r);
    if (status == 'I' && r->client->listening != NULL) {
        relay_pass(y);
        listen_put_news(r->client);
    }
    return true;
}

/* DEALLOCATE ALL and DISCARD ALL, alone or in a text of several, count at once: no error after it
   takes them back. */
static void forget_statements(struct relay *y)
{
    client_forget_names(y->r->client);
    server_forget_statements(y->s);
}

static bool drops_statements(const char *tag)
{
    return tag[0] == 'D' && (strcmp(tag, "DEALLOCATE ALL") == 0 || strcmp(tag, "DISCARD ALL") == 0);
}

/* A server that is killed warns before it closes: a read may still be asked elsewhere. */
static bool is_last_word(struct bytes body)
{
    struct error_msg m;
    return response_read_error(body, &m) == E_OK && m.sqlstate != NULL &&
           strncmp(m.sqlstate, "57P0", 4) == 0;
}

/* COPY begins. What the client sent behind it is read by the server as the COPY's: a message that
   never got there must end the session as it would there. */
static uint8_t message_in_copy(const struct server *s)
{
    for (uint32_t i = 1; i < s->expects.count; i++) {
        const struct expect *x = expects_at(&s->expects, i);
        if (x->kind == EXPECT_SYNC) { continue; }
        if (x->kind != EXPECT_FAKE) { return 0; } /* the server has one first, and says so */
        return x->fake == '1' ? 'P' : 'C';
    }
    return 0;
}

static bool is_backend_message(uint8_t type)
{
    static const bool known[256] = {
        ['1'] = true, ['2'] = true, ['3'] = true, ['A'] = true, ['C'] = true, ['D'] = true,
        ['E'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['N'] = true, ['S'] = true,
        ['T'] = true, ['V'] = true, ['W'] = true, ['Z'] = true, ['c'] = true, ['d'] = true,
        ['n'] = true, ['s'] = true, ['t'] = true,
    };
    return known[type];
}

/* A whole message. true: it goes to the client. */
static bool take_message(struct relay *y, uint8_t type, struct bytes message)
{
    struct server *s = y->s;
    struct request *r = y->r;
    struct expect *x = expects_head(&s->expects);
    struct bytes body = bytes_skip(message, FRAME_HEADER);
    if (relay_is_held(x) && strchr("ENSA", type) == NULL) {
        relay_put_held(y);
        x = expects_head(&s->expects);
    }
    bool mine = x == NULL || x->owner == OWNER_CLIENT;
    const char *tag;
    uint8_t breach;
    if (!is_backend_message(type)) {
        y->lost = true;
        (void)fault_set(y->why, E_PROTOCOL, "unexpected message of type %u from the server", type);
        return false;
    }
    switch (type) {
    case 'E': return relay_take_error(y, body);
    case 'S':
        /* Reported before ReadyForQuery ("Asynchronous Operations"), so what our own settings
           changed comes with the client's answer; it knows those values since its login. */
        return server_keep_param(s, body) && is_told(y, body, mine);
    case 'N':
        if (is_last_word(body)) { return false; }
        r->broken = r->broken || (r->filling && mine);
        return mine;
    case 'A':
        relay_pass(y);
        if (listen_take_notification(r, body)) { r->broken = r->broken || r->filling; }
        return false;
    case 'C':
        if (response_read_complete(body, &tag) == E_OK) {
            server_saw_tag(s, tag);
            if (mine) { listen_saw_tag(r, tag); }
            if (drops_statements(tag)) { forget_statements(y); }
            if (x != NULL && x->namings != NULL) { names_complete(r, x, tag); }
            if (mine && tag[0] == 'D' && strcmp(tag, "DISCARD ALL") == 0) { finish_discarded(r); }
        }
        break;
    case 'G':
    case 'W':
        s->copy_in = true;
        r->copies = false;
        r->copy_syncs = 0;
        r->resume = true; /* its data may be here already */
        if (x != NULL && x->kind == EXPECT_EXECUTE) { r->batch_open = true; }
        if (mine && type == 'G' && (breach = message_in_copy(s)) != 0) {
            request_break_copy(r, breach);
        }
        expects_drop_syncs_after_head(&s->expects);
        r->broken = r->broken || r->filling;
        return mine;
    case 'H':
    case 'c': r->broken = r->broken || r->filling; return mine;
    case 't':
    case 'V': return mine;
    default: break;
    }
    if (x == NULL) {
        y->lost = true;
        (void)fault_set(y->why, E_PROTOCOL, "unexpected message of type %c from the server", type);
        return false;
    }
    if (type == 'Z') {
        if (!expect_completed_by(x, 'Z')) {
            y->lost = true;
            (void)fault_set(y->why, E_PROTOCOL, "unexpected ReadyForQuery from the server");
            return false;
        }
        return take_ready(y, body, (enum expect_owner)x->owner);
    }
    if (mine && (type == 'T' || type == 'C')) { store_capture(r, type, message); }
    if (mine && (type == 'I' || type == 's' || type == 'n')) {
        r->broken = r->broken || r->filling;
    }
    if (type == 'D') { pins_hear(r, body); }
    if (expect_completed_by(x, type)) { complete_head(y); }
    return mine;
}

/* Rows: their bytes are of no interest here. true: go on. */
static void take_row(struct relay *y, struct frame f)
{
    struct server *s = y->s;
    const struct expect *x = expects_head(&s->expects);
    size_t here = y->in.len - y->at < f.size ? y->in.len - y->at : f.size;
    bool mine = x == NULL || x->owner == OWNER_CLIENT;
    s->left = f.size - (uint32_t)here;
    y->r->row_drops = !mine;
    if (!mine) {
        cut(y, here);
        return;
    }
    if (y->r->filling) {
        if (f.type == 'D') {
            store_capture(y->r, 'D', bytes_of(y->in.ptr + y->at, here));
        } else {
            y->r->broken = true;
        }
    }
    y->at += here;
}

static void take_rest_of_row(struct relay *y)
{
    size_t here = y->in.len < y->s->left ? y->in.len : y->s->left;
    y->s->left -= (uint32_t)here;
    if (y->r->row_drops) {
        cut(y, here);
        return;
    }
    store_capture(y->r, 0, bytes_of(y->in.ptr, here));
    y->at += here;
}

static void run(struct relay *y)
{
    struct frame f = {0};
    if (y->s->left > 0) { take_rest_of_row(y); }
    while (!y->lost && !y->stop && !y->over && y->at < y->in.len) {
        put_fakes(y);
        struct bytes rest = bytes_skip(y->in, y->at);
        enum err e = frame_peek(rest, &f);
        if (e == E_AGAIN) { return; }
        if (e != E_OK || (f.type != 'D' && f.type != 'd' && f.size > RELAY_WHOLE_MOST)) {
            y->lost = true;
            (void)fault_set(y->why, E_PROTOCOL, "the server sent a message of %u bytes", f.size);
            return;
        }
        if ((f.type == 'D' && !y->r->asking) || f.type == 'd') {
            take_row(y, f);
            continue;
        }
        if (f.size > rest.len) { return; }
        if (take_message(y, f.type, bytes_of(rest.ptr, f.size))) {
            y->at += f.size;
        } else if (!y->lost && !y->stop) {
            cut(y, f.size);
        }
        put_fakes(y);
    }
}

static void lose(struct relay *y, bool again)
{
    struct request *r = y->r;
    struct client *c = r->client;
    if (again) {
        bool closed = strncmp(y->why->text, "server closed", 13) == 0;
        pool_discard(&r->server, closed ? y->why->text : "server conn crashed?");
        again_leave(r, y->demoted);
    } else {
        finish_lost(r, y->why, y->refused); /* r is gone if it closed the client */
    }
    if (c->state != CLIENT_CLOSED) { request_resume(c); }
}

void relay_fakes(struct request *r)
{
    if (!owes_fake(r->server)) { return; }
    struct relay y = {.r = r, .s = r->server};
    put_fakes(&y);
}

void relay_event(struct server *s, int events)
{
    struct request *r = s->holder;
    struct client *c = r->client;
    if ((events & UV_WRITABLE) != 0) {
        stream_flush(&s->stream);
        if (stream_unwritten(&s->stream) < STREAM_HIGH_WATER / 2) {
            stream_pause(&c->stream, false);
        }
    }
    if ((events & UV_READABLE) == 0 || r->bumping || r->settling) { return; }
    struct fault why;
    struct relay y = {.r = r, .s = s, .why = &why};
    enum err e = E_OK;
    bool again = false;
    if (r->bumped || r->settled) { /* what was held back */
        y.in = buf_view(&s->stream.in);
    } else {
        e = stream_read(&s->stream, &y.in);
    }
    if (e == E_AGAIN) { return; }
    if (e != E_OK) {
        y.lost = true;
        (void)fault_state(y.why, E_LOST, "08006", "server closed the connection unexpectedly");
    } else {
        run(&y);
        again = y.lost && !y.refused && again_elsewhere(r);
        if (!again) { relay_pass(&y); }
        stream_used(&s->stream, y.in, y.from);
    }
    if (y.stop) {
        stream_pause(&s->stream, true); /* on_bumped() or on_settled() goes on */
        return;
    }
    if (y.lost) {
        lose(&y, again || (e != E_OK && again_elsewhere(r)));
        return;
    }
    if (y.over) {
        pool_discard(&r->server, y.told ? "server conn crashed?" : "client broke the protocol");
        if (y.told) {
            stream_flush(&c->stream);
            client_close(c, "server closed the connection");
            return;
        }
        (void)fault_state(&why, E_PROTOCOL, "08P01",
                          "terminating connection because protocol synchronization was lost");
        client_fail(c, &why);
        return;
    }
    if (is_free(&y)) { finish_release(r); }
    if (c->draining && r->resume && c->status == 'I' && buf_len(&c->stream.in) == 0) {
        c->ops->drain(c); /* in one write with its answer, before it asks for more */
        if (c->state == CLIENT_CLOSED) { return; }
    }
    stream_flush(&c->stream);
    if (c->stream.state != E_OK) {
        client_close(c, "client unexpected eof");
        return;
    }
    if (r->server != NULL && stream_unwritten(&c->stream) > STREAM_HIGH_WATER) {
        stream_pause(&r->server->stream, true); /* until the client has read */
    }
    if (r->resume && !r->breaks_copy) {
        r->resume = false;
        request_unwait(r);
        request_resume(c); /* tells what is new, too */
    } else if (c->listening != NULL) {
        listen_tell(c);
    }
}
