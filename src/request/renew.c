/*
 * Servers that begin anew. The same place in the pool becomes another session, where no statement
 * of ours could make the old one what the client's own would be:
 *   - RESET inside of a text, a function or set_config() goes back to what the session began with:
 *     a client that gave settings at its start gets a session that began with them, and keeps it;
 *   - a custom setting that somebody has set once is empty ever after, never unknown again;
 *   - the schema of temporary things stays, once there was one.
 * In a transaction it is too late for that.
 */
#include "base/log.h"
#include "pgwire/compose.h"
#include "query/quote.h"
#include "request/request.h"

/* ---- what a statement needs ------------------------------------------------------------------ */

static const char *name_of(const struct stmt_setting *set, const char *(*param)(void *arg, int n),
                           void *arg)
{
    return set->name_param == 0 ? set->name : param(arg, set->name_param);
}

/* Is the value NULL, or perhaps: back to the start? */
static bool may_reset(const struct stmt_setting *set, const char *(*param)(void *arg, int n),
                      void *arg)
{
    if (set->resets) { return true; }
    if (!set->by_function || set->value != NULL) { return false; }
    return set->value_param == 0 || param(arg, set->value_param) == NULL;
}

/* Nobody knows all that it does; so it keeps its server, which had better be one of its own. */
static bool is_opaque(const struct statement *s, bool taints)
{
    return taints || s->kind == STMT_DO || s->kind == STMT_CALL;
}

/* RESET of one setting, RESET ALL and DISCARD ALL are followed where they stand alone. */
static bool is_followed(const struct statement *s, bool alone)
{
    return alone && (s->kind == STMT_RESET || s->kind == STMT_SET || s->kind == STMT_RESET_ALL ||
                     s->kind == STMT_DISCARD_ALL);
}

static bool resets_base(const struct varset *base, const struct statement *s,
                        const char *(*param)(void *arg, int n), void *arg)
{
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *set = &s->settings[i];
        if (set->reads || !may_reset(set, param, arg)) { continue; }
        const char *name = name_of(set, param, arg);
        if (name == NULL || varset_get(base, name) != NULL) { return true; }
    }
    return false;
}

/* SET SESSION AUTHORIZATION undoes SET ROLE, and brings back the role of the start. */
static bool changes_user(const struct statement *s)
{
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const char *name = s->settings[i].name;
        if (name != NULL && strcmp(name, "session_authorization") == 0) { return true; }
    }
    return false;
}

static void note_custom(struct buf *names, const char *name)
{
    if (name != NULL && strchr(name, '.') != NULL) { buf_put_str(names, name); }
}

void renew_look(struct request *r, const struct statement *s, bool taints, bool alone,
                const char *(*param)(void *arg, int n), void *arg)
{
    const struct varset *base = r->client->base;
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *set = &s->settings[i];
        bool reads = set->reads || (set->value == NULL && !set->resets && set->value_param == 0);
        note_custom(reads ? &r->reads_custom : &r->sets_custom, name_of(set, param, arg));
    }
    if (base == varset_empty()) { return; }
    bool all = (s->flags & STMT_RESETS_ALL) != 0 &&
               !(s->kind == STMT_MULTI && (s->flags & STMT_RESETS_ALL_LAST) != 0);
    bool role = varset_get(base, "role") != NULL && changes_user(s);
    r->facts.resets = r->facts.resets || is_opaque(s, taints) || role ||
                      (!is_followed(s, alone) && (all || resets_base(base, s, param, arg)));
}

/* ---- names of custom settings ---------------------------------------------------------------- */

static void note_names(const struct varset **slot, const struct buf *names)
{
    struct bytes all = buf_view(names);
    for (size_t at = 0; at < all.len; at += strlen((const char *)all.ptr + at) + 1) {
        varset_put(slot, (const char *)all.ptr + at, "");
    }
}

void renew_note_sent(struct request *r)
{
    if (buf_len(&r->sets_custom) == 0) { return; }
    note_names(&r->server->customs, &r->sets_custom);
    buf_put_bytes(&r->sent_custom, buf_view(&r->sets_custom));
}

void renew_note_done(struct request *r, bool failed)
{
    if (buf_len(&r->sent_custom) == 0) { return; }
    if (!failed) { note_names(&r->client->customs, &r->sent_custom); }
    buf_clear(&r->sent_custom);
}

static bool is_known(const struct client *c, const char *name)
{
    return varset_get(c->customs, name) != NULL || varset_get(c->in_tx, name) != NULL;
}

/* A name that is read here without being there for the client, because of somebody else. */
static bool knows_too_much(const struct request *r)
{
    struct bytes all = buf_view(&r->reads_custom);
    for (size_t at = 0; at < all.len; at += strlen((const char *)all.ptr + at) + 1) {
        const char *name = (const char *)all.ptr + at;
        if (!is_known(r->client, name) && varset_get(r->server->customs, name) != NULL) {
            return true;
        }
    }
    return false;
}

/*
 * What the client has set and reset is empty on its other servers, too; unless it is there: by a
 * default that the role or the database has, or by what nobody followed. Returns how many.
 */
static unsigned put_known(struct request *r)
{
    struct server *s = r->server;
    struct bytes all = buf_view(&r->reads_custom);
    unsigned count = 0;
    for (size_t at = 0; at < all.len; at += strlen((const char *)all.ptr + at) + 1) {
        const char *name = (const char *)all.ptr + at;
        if (varset_get(r->client->customs, name) == NULL) { continue; }
        if (varset_get(s->customs, name) != NULL || varset_get(r->client->in_tx, name) != NULL) {
            continue;
        }
        struct buf text = {0};
        buf_put_bytes(&text, BYTES("SELECT pg_catalog.set_config("));
        quote_literal(&text, bytes_str(name));
        buf_put_bytes(&text, BYTES(", '', false) WHERE pg_catalog.current_setting("));
        quote_literal(&text, bytes_str(name));
        buf_put_bytes(&text, BYTES(", true) IS NULL"));
        server_prelude_text(s, buf_text(&text));
        buf_done(&text);
        varset_put(&s->customs, name, "");
        count++;
    }
    return count;
}

/* ---- doing it -------------------------------------------------------------------------------- */

static void on_renewed(struct server *s, enum err e)
{
    struct request *r = s->holder;
    struct client *c = r->client;
    s->state = SERVER_ACTIVE;
    request_unwait(r);
    if (e == E_OK) {
        server_hold(s, relay_event, r);
        request_resume(c);
        return;
    }
    struct fault why = s->why;
    pool_discard(&r->server, "login failed");
    size_t size = request_fail(r, &why) == MOVE_DONE ? r->unit.size : 0;
    r->step = STEP_READ;
    buf_consume(&c->stream.in, size);
    request_resume(c);
}

/* A limit of the server's own may leave no room for a second one. */
static void on_left(struct server *s, enum err e)
{
    const struct request *r = s->holder;
    (void)e; /* gone, or late */
    s->state = SERVER_ACTIVE;
    server_renew(s, r->facts.resets ? r->client->base : varset_empty(), on_renewed);
}

/* Nothing of the client's is on it yet. */
static bool is_possible(const struct request *r)
{
    const struct client *c = r->client;
    const struct server *s = r->server;
    /* Else currval() is refused afterwards. */
    bool sequences = (c->pins & PIN_SESSION) != 0 && s->sequences_of == c->id;
    return s->status == 'I' && c->status != 'E' && !server_canceling(s) && !sequences &&
           (c->pins & ~(uint32_t)PIN_SESSION) == 0 && r->pins == 0;
}

bool renew_is_due(const struct request *r)
{
    const struct server *s = r->server;
    if (!r->facts.resets && buf_len(&r->reads_custom) == 0 && !s->had_temp) { return false; }
    if (!is_possible(r)) { return false; }
    const struct statement *only = r->facts.only;
    bool path =
        s->had_temp && only != NULL && only->kind == STMT_SET && (only->pins & PIN_TEMP) != 0;
    return (r->facts.resets && s->begun == varset_empty()) || path || knows_too_much(r);
}

enum move renew_server(struct request *r)
{
    enum { LEAVE_US = 1000000 };
    struct server *s = r->server;
    const struct log_who who = client_who(r->client);
    log_info(&who, "event=server_renewed reason=\"%s\"",
             r->facts.resets ? "startup settings" : "a session that nobody used");
    if (r->facts.resets) { s->close_needed = true; }
    server_leave(s, LEAVE_US, on_left);
    s->holder = r;
    request_wait(r, 0);
    return MOVE_WAIT;
}

bool renew_define(struct request *r)
{
    struct server *s = r->server;
    if (buf_len(&r->reads_custom) == 0 || s->status != 'I' || s->expects.count > 0) {
        return false;
    }
    if (put_known(r) == 0) { return false; }
    compose_bare(&s->stream.out, 'S');
    expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    r->settings_sent = true;
    request_wait(r, 0);
    return true;
}
