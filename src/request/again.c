/*
 * Asking again: a unit that provably had no effect is run once more. A read whose server died or
 * turned it away goes elsewhere; a statement whose tables have changed since the server planned it
 * is planned anew, where PostgreSQL itself would have planned it now, or where the client asks for
 * the form of the rows in the same breath. To everyone else the change is told as PostgreSQL does.
 */
#include <assert.h>

#include "pgwire/frame.h"
#include "request/request.h"

enum { TRIES = 3 };

static bool may_meet_old_plan(const struct request *r)
{
    const struct unit *u = &r->unit;
    if (u->kind != UNIT_BATCH || !u->sync || u->raw.len > AGAIN_MOST) { return false; }
    if (u->plain) { return u->bind.statement[0] != '\0' || r->kept; }
    return u->has_parse && !u->has_bind && u->executes == 0;
}

void again_keep(struct request *r, bool whole)
{
    const struct unit *u = &r->unit;
    buf_clear(&r->again);
    r->fakes_told = 0;
    if (!whole || r->client->status != 'I' || !r->sole) { return; }
    r->again_elsewhere = r->facts.replica && (u->sync || u->kind == UNIT_QUERY);
    if (r->again_elsewhere || may_meet_old_plan(r)) { buf_put_bytes(&r->again, u->raw); }
}

bool again_may_go_elsewhere(const struct request *r)
{
    return r->again_elsewhere && buf_len(&r->again) > 0 && !r->answered;
}

/* What was kept, without the messages that were answered here. */
static bool unanswered(const struct request *r, struct bytes *ret)
{
    *ret = buf_view(&r->again);
    for (unsigned i = 0; i < r->fakes_told; i++) {
        struct frame f;
        if (frame_peek(*ret, &f) != E_OK || f.size > ret->len) { return false; }
        if (f.type != 'P' && f.type != 'C') { return false; }
        *ret = bytes_skip(*ret, f.size);
    }
    return true;
}

/* It goes back to the front of the client's input, as if it had never been sent. */
static bool put_back(struct request *r)
{
    struct client *c = r->client;
    struct bytes unit;
    if (r->tries >= TRIES || !unanswered(r, &unit)) { return false; }
    r->tries++;
    struct buf in = {0};
    buf_put_bytes(&in, unit);
    buf_put_bytes(&in, buf_view(&c->stream.in));
    buf_done(&c->stream.in);
    c->stream.in = in;
    buf_clear(&r->again);
    store_finish(r, false);
    r->filling = r->broken = false;
    r->batch_open = false;
    r->writes_all = false;
    r->writes_count = 0;
    r->pins = 0;
    r->step = STEP_READ;
    return true;
}

bool again_elsewhere(struct request *r)
{
    if (!again_may_go_elsewhere(r) || r->client->status != 'I' || r->client->pins != 0) {
        return false;
    }
    return put_back(r);
}

void again_leave(struct request *r, bool refused)
{
    r->primary_only = r->on_replica && (refused || !route_keeps_from_primary(r));
    r->on_replica = false;
    request_unwait(r);
}

/* Another analysis may take a parameter for another type: a binary value would be another then. */
static bool means_the_same(const struct client *c, const struct bind_msg *b)
{
    const struct prepared *p = client_statement(c, b->statement);
    bool typed = p != NULL && p->types_count >= b->params_count;
    for (unsigned i = 0; typed && i < b->params_count; i++) {
        typed = get_u32(p->types + 4 * (size_t)i) != 0;
    }
    for (unsigned i = 0; !typed && i < b->formats_count; i++) {
        if (get_u16(b->formats + 2 * (size_t)i) != 0) { return false; }
    }
    return true;
}

/* Does the client learn the form of the rows with this Bind? */
static bool learns(const struct request *r, const struct unit *u)
{
    return u->plain && u->described && means_the_same(r->client, &u->bind);
}

bool again_may_replan(const struct request *r)
{
    struct unit u;
    struct fault why;
    if (buf_len(&r->again) == 0 || r->answered || r->client->status != 'I') { return false; }
    if (unit_read(buf_view(&r->again), &u, &why) != E_OK || u.kind != UNIT_BATCH) { return false; }
    if (u.plain) { return u.has_parse || learns(r, &u); }
    return u.has_parse && !u.has_bind && u.executes == 0;
}

bool again_replanned(struct request *r)
{
    struct unit u;
    struct fault why;
    enum err e = unit_read(buf_view(&r->again), &u, &why);
    assert(e == E_OK); /* again_may_replan() */
    if (u.has_parse) { client_renew_statement(r->client, u.parse.name); }
    return put_back(r);
}

static enum err refuse(struct fault *why)
{
    (void)fault_state(why, E_REFUSED, "0A000", "cached plan must not change result type");
    why->routine = "RevalidateCachedQuery";
    return E_REFUSED;
}

/* A Describe of the portal at the front. */
static bool describes(struct bytes rest, const char *portal)
{
    struct frame f;
    struct target_msg t;
    return frame_peek(rest, &f) == E_OK && f.type == 'D' && f.size <= rest.len &&
           extended_read_target(frame_body(rest, f), &t) == E_OK && t.kind == 'P' &&
           strcmp(t.name, portal) == 0;
}

enum err again_check_plans(const struct request *r, struct fault *why)
{
    const struct client *c = r->client;
    const struct unit *u = &r->unit;
    if (u->kind != UNIT_BATCH) { return E_OK; }
    for (size_t at = 0; at < u->raw.len;) {
        struct frame f;
        struct bind_msg b;
        struct bytes rest = bytes_skip(u->raw, at);
        if (frame_peek(rest, &f) != E_OK) { return E_PROTOCOL; }
        at += f.size;
        if (f.type == 'P') { return E_OK; } /* prepared anew, or an error of its own */
        if (f.type != 'B' || extended_read_bind(frame_body(rest, f), &b) != E_OK) { continue; }
        if (!client_statement_is_old(c, b.statement)) { continue; }
        if (pending_statement(r, b.statement) != client_statement(c, b.statement)) { continue; }
        bool told = describes(bytes_skip(u->raw, at), b.portal) && means_the_same(c, &b);
        if (!told) { return refuse(why); }
    }
    return E_OK;
}
