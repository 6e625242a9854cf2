/*
 * What an error of the server's means: for the answers that are still owed, for what was sent on
 * the client's behalf, for the server and its node; and whether the client is to see it as it is,
 * with a name of its own in it, or not at all, as the statement is asked again.
 */
#include "request/relay.h"

#include <assert.h>
#include <string.h>

#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"

/* After an error in a batch the server skips what follows up to the Sync. */
static void skip_to_sync(struct relay *y)
{
    struct expect *x = expects_head(&y->s->expects);
    if (x->kind == EXPECT_PARSE && x->name != NULL && x->name[0] == '\0') {
        client_name_statement(y->r->client, "", NULL); /* gone before the new one was looked at */
    }
    while ((x = expects_head(&y->s->expects)) != NULL && x->kind != EXPECT_SYNC) {
        struct expect e = expects_pop(&y->s->expects);
        server_skipped(y->s, &e);
        if (relay_is_held(&e)) { client_name_statement(y->r->client, "", NULL); }
        expect_done(&e);
    }
    if (x == NULL) { /* it is still to come, and what waits to be sent is skipped too */
        y->r->client->skip_to_sync = y->r->batch_open = true;
        y->r->step = STEP_READ;
        y->r->resume = true;
    }
}

/* COPY failed by data that came before these: it did not swallow them. */
static void sync_after_copy(struct relay *y)
{
    struct request *r = y->r;
    for (; r->copy_syncs > 0; r->copy_syncs--) {
        compose_bare(&y->s->stream.out, 'S');
        expects_push(&y->s->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
    }
    stream_flush(&y->s->stream);
    r->client->skip_to_sync = r->batch_open = false;
}

static bool drop_named(const struct varset **slot, const char *message)
{
    for (size_t i = 0; i < varset_count(*slot); i++) {
        const char *name = varset_at(*slot, i)->name;
        if (strchr(name, '.') == NULL || strcasestr(message, name) == NULL) { continue; }
        varset_put(slot, name, NULL);
        return true;
    }
    return false;
}

/*
 * A module that is loaded there knows no setting of that name. PostgreSQL, too, drops it when the
 * module comes; kept, it would fail every statement of the session.
 */
static void drop_refused(struct client *c, const struct error_msg *m)
{
    bool refused = m->sqlstate != NULL && strcmp(m->sqlstate, "42602") == 0 && m->message != NULL;
    while (refused && drop_named(&c->wanted, m->message)) {}
    while (refused && drop_named(&c->in_tx, m->message)) {}
    while (refused && drop_named(&c->customs, m->message)) {}
}

/* A setting or BEGIN of ours failed: the client's request was not run and will not be. */
static void fail_prelude(struct relay *y, struct bytes body)
{
    struct error_msg m;
    y->lost = y->refused = true;
    if (response_read_error(body, &m) != E_OK) { m = (struct error_msg){0}; }
    (void)fault_state(y->why, E_SERVER, m.sqlstate == NULL ? "08006" : m.sqlstate, "%s",
                      m.message == NULL ? "session settings were refused" : m.message);
    fault_hint(y->why, "pgusher could not give this session its settings.");
    drop_refused(y->r->client, &m);
}

/* A read that met a standby's refusal or a server that is going away may be asked again. */
static bool may_ask_again(const struct relay *y, const struct error_msg *m)
{
    const struct request *r = y->r;
    if (!again_may_go_elsewhere(r) || y->at > y->from || m->sqlstate == NULL) { return false; }
    return (r->on_replica &&
            (strcmp(m->sqlstate, "25006") == 0 || strcmp(m->sqlstate, "40001") == 0)) ||
           strcmp(m->sqlstate, "57P01") == 0 || strcmp(m->sqlstate, "57P02") == 0 ||
           strcmp(m->sqlstate, "57P03") == 0;
}

/* Where an error tells a statement's name that is not the client's: prepared.c and send.c made it.
 */
static struct bytes name_of_ours(struct bytes body, const struct expect *x, const char *sqlstate)
{
    static const char quoted[] = "\"" PREPARED_PREFIX, forged[] = "\"?" PREPARED_PREFIX;
    bool about_a_name =
        sqlstate != NULL && (strcmp(sqlstate, "42P05") == 0 || strcmp(sqlstate, "26000") == 0 ||
                             strcmp(sqlstate, "08P01") == 0);
    if (x->name == NULL || x->owner != OWNER_CLIENT || !about_a_name) { return (struct bytes){0}; }
    const uint8_t *at = memmem(body.ptr, body.len, quoted, sizeof quoted - 1);
    if (at == NULL) { at = memmem(body.ptr, body.len, forged, sizeof forged - 1); }
    const uint8_t *end =
        at == NULL ? NULL : memchr(at + 1, '"', body.len - (size_t)(at + 1 - body.ptr));
    return end == NULL ? (struct bytes){0} : bytes_of(at + 1, (size_t)(end - at - 1));
}

/* The same error with the name that the client gave. */
static void put_renamed(struct relay *y, struct bytes body, struct bytes ours, const char *name)
{
    size_t before = (size_t)(ours.ptr - body.ptr);
    relay_pass(y);
    struct buf *out = &y->r->client->stream.out;
    size_t mark = compose_begin(out, 'E');
    buf_put(out, body.ptr, before);
    buf_put(out, name, strlen(name));
    buf_put_bytes(out, bytes_skip(body, before + ours.len));
    compose_end(out, mark);
    y->r->answered = true;
}

/* "cached plan must not change result type": by its words it could be any feature not supported. */
static bool is_void_plan(const struct error_msg *m)
{
    return m->sqlstate != NULL && m->message != NULL && strcmp(m->sqlstate, "0A000") == 0 &&
           m->routine != NULL && strcmp(m->routine, "RevalidateCachedQuery") == 0;
}

/* Would the Parse have met it? Then the Bind has, of a statement that is kept for it. */
static bool is_of_the_text(const struct error_msg *m)
{
    static const char *const files[] = {"parse_", "analyze.c", "namespace.c"};
    for (size_t i = 0; i < sizeof files / sizeof *files && m->file != NULL; i++) {
        if (strncmp(m->file, files[i], strlen(files[i])) == 0) { return true; }
    }
    return false;
}

/* It may be of any that is left to run. */
static void plans_failed(struct server *s, const struct expect *x)
{
    if (x->id != 0) { server_plan_failed(s, x->id); }
    if (x->id == 0 && x->name != NULL) { server_named_plan_failed(s, x->name); }
    for (const struct naming *n = x->namings; n != NULL; n = n->next) {
        if (n->what == NAMING_EXECUTE) { server_named_plan_failed(s, n->name); }
    }
}

/* The unit's answer so far is this error, or the types of parameters before it. */
static bool is_all_of_it(const struct relay *y)
{
    struct frame f;
    struct bytes before = bytes_of(y->in.ptr + y->from, y->at - y->from);
    return before.len == 0 ||
           (frame_peek(before, &f) == E_OK && f.type == 't' && f.size == before.len);
}

/* All that is owed after it is the answer to the unit's Sync. */
static bool replan(struct relay *y)
{
    struct request *r = y->r;
    struct server *s = y->s;
    if (!is_all_of_it(y) || !again_may_replan(r)) { return false; }
    for (uint32_t i = 0; i + 1 < s->expects.count; i++) {
        if (expects_at(&s->expects, i)->kind == EXPECT_SYNC) { return false; }
    }
    if (!again_replanned(r)) { return false; }
    y->from = y->at;
    skip_to_sync(y);
    assert(s->expects.count == 1);
    expects_head(&s->expects)->owner = OWNER_NOBODY;
    r->replans = r->settings_sent = true;
    request_wait(r, 0);
    return true;
}

static bool ends_session(const struct error_msg *m)
{
    return m->severity != NULL &&
           (strcmp(m->severity, "FATAL") == 0 || strcmp(m->severity, "PANIC") == 0);
}

bool relay_take_error(struct relay *y, struct bytes body)
{
    struct request *r = y->r;
    struct expect *x = expects_head(&y->s->expects);
    const bool held = relay_is_held(x);
    if (held) { x = expects_at(&y->s->expects, 1); }
    struct error_msg m;
    server_saw_error(y->s);
    r->broken = r->broken || r->filling;
    if (response_read_error(body, &m) != E_OK) { m = (struct error_msg){0}; }
    /* A FATAL follows, but may be lost when more is written to a server that is gone. */
    bool breach = y->s->copy_in && m.sqlstate != NULL && strcmp(m.sqlstate, "08P01") == 0;
    if (breach || r->breaks_copy) {
        y->over = true;
        return true;
    }
    if (ends_session(&m) && r->client->pins != 0 && (x == NULL || x->owner == OWNER_CLIENT)) {
        y->over = y->told = true;
        return true;
    }
    if (x == NULL || ends_session(&m) || may_ask_again(y, &m)) { /* it says good-bye */
        y->lost = true;
        (void)fault_state(y->why, E_LOST, "08006", "server closed the connection: %s",
                          m.message == NULL ? "" : m.message);
        if (r->on_replica && m.sqlstate != NULL && strcmp(m.sqlstate, "25006") == 0) {
            route_node_demoted(y->s->target->node);
            y->demoted = true;
        }
        return false;
    }
    if (m.sqlstate != NULL && strcmp(m.sqlstate, "25006") == 0 && !r->on_replica) {
        route_node_demoted(y->s->target->node); /* it was the primary */
    }
    const bool is_void = is_void_plan(&m);
    if (is_void) { plans_failed(y->s, x); }
    r->as_it_is = held && !is_void;
    if ((held || (is_void && x->id != 0)) && replan(y)) { return false; }
    r->as_it_is = false;
    if (held && !is_of_the_text(&m)) { relay_put_held(y); }
    const struct statement *only = r->facts.only;
    if (only != NULL && only->kind == STMT_UNKNOWN && m.sqlstate != NULL &&
        strcmp(m.sqlstate, "42601") == 0) {
        r->pins &= ~(uint32_t)PIN_UNKNOWN; /* a text that the server cannot read either: not run */
    }
    bool ours = x->owner == OWNER_NOBODY && x->prepared == NULL &&
                (x->kind == EXPECT_PARSE || x->kind == EXPECT_BIND || x->kind == EXPECT_EXECUTE);
    if (ours) {
        fail_prelude(y, body);
        return false;
    }
    if (r->asking) { return false; } /* the pins stay as they are */
    const bool copying = y->s->copy_in;
    y->s->copy_in = false;
    if (r->naming && x->owner == OWNER_NOBODY) { r->unnameable = true; }
    const struct bytes name = name_of_ours(body, x, m.sqlstate);
    const bool renamed = name.len > 0;
    if (renamed) { put_renamed(y, body, name, x->name); }
    if (x->kind != EXPECT_QUERY && x->kind != EXPECT_FUNCTION && x->kind != EXPECT_SYNC) {
        skip_to_sync(y);
    }
    if (copying && r->copy_syncs > 0) { sync_after_copy(y); }
    return !renamed;
}
