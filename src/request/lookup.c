/*
 * Lookup: may the answer come from the cache, and does it? Only outside transactions, with no state
 * that the key does not hold, for a statement whose every dependency a rule names (CACHE.md §2,
 * §3e).
 */
#include <strings.h>

#include "base/clock.h"
#include "client/caller.h"
#include "pgwire/compose.h"
#include "query/words.h"
#include "request/request.h"

/* Text that the server reads as a moment: the same bytes mean another time later. */
static bool has_moment(const struct bind_msg *b)
{
    struct bind_walk walk = {0};
    struct bytes v;
    bool null;
    for (unsigned i = 0; extended_bind_next(b, &walk, &v, &null); i++) {
        if (!null && extended_bind_format(b, i) == 0 && word_moves_in_time(v)) { return true; }
    }
    return false;
}

static bool is_eligible(const struct request *r)
{
    const struct client *c = r->client;
    return c->account->database->cache != CACHE_OFF && c->status == 'I' && c->pins == 0 &&
           r->server == NULL && !r->facts.nocache && r->facts.only != NULL && !r->facts.unknown &&
           r->facts.judged->reason == JUDGE_CACHEABLE &&
           (r->unit.kind == UNIT_QUERY || (r->unit.kind == UNIT_BATCH && r->unit.plain)) &&
           (!r->unit.has_bind || !has_moment(&r->unit.bind)) &&
           !(r->unit.has_parse && r->unit.parse.name[0] != '\0' &&
             client_statement(c, r->unit.parse.name) != NULL); /* taken: the server says so */
}

/* How a server would read what is parsed now. */
static struct reading reading(const struct request *r)
{
    return (struct reading){.settings = varset_reading(r->want)};
}

/* What was prepared under other settings has another answer than its text would have now. */
static bool is_read_as_now(const struct request *r)
{
    if (r->unit.kind != UNIT_BATCH || r->unit.has_parse) { return true; }
    const struct prepared *p = pending_statement(r, r->unit.bind.statement);
    return p == NULL || reading_equal(p->reading, reading(r));
}

static bool is_keyed(const struct judgement *j, const char *name)
{
    for (unsigned i = 0; i < j->keyed_count; i++) {
        if (strcasecmp(j->keyed[i], name) == 0) { return true; }
    }
    return false;
}

/*
 * Every setting the session has is in the key but for those that no answer depends on: the name
 * shown in pg_stat_activity, and injected ones that no policy of these tables reads.
 */
static void put_settings(struct buf *out, const struct request *r)
{
    const struct client *c = r->client;
    const struct judgement *j = r->facts.judged;
    for (size_t i = 0; i < varset_count(r->want); i++) {
        const struct varset_item *item = varset_at(r->want, i);
        bool injected =
            c->account->identity != NULL && identity_protects(c->account->identity, item->name);
        if (strcmp(item->name, "application_name") == 0 || (injected && !is_keyed(j, item->name))) {
            continue;
        }
        buf_put_str(out, item->name);
        buf_put_str(out, item->value);
    }
}

static void make_key(struct request *r, const struct known *k)
{
    const struct client *c = r->client;
    const struct account *a = c->account;
    const struct node *n = route_primary(a->database->topology);
    const uint64_t node_id[] = {
        n == NULL ? 0 : atomic_load(&n->system_id),
        n == NULL ? 0 : atomic_load(&n->timeline),
        k->catalog == NULL ? 0 : catalog_version(k->catalog),
    };
    struct buf *settings = &r->desk->settings;
    buf_clear(settings);
    put_settings(settings, r);
    const struct unit *u = &r->unit;
    const struct prepared *p =
        u->kind == UNIT_BATCH && !u->has_parse ? pending_statement(r, u->bind.statement) : NULL;
    struct cache_key_parts parts = {
        .redis = a->database->cache == CACHE_REDIS,
        .database =
            a->database->line->dbname != NULL ? a->database->line->dbname : a->database->name,
        .node_id = bytes_of(node_id, sizeof node_id),
        .role = a->server_user,
        .session_user = a->server_user,
        .settings = buf_view(settings),
        .protocol = u->kind == UNIT_QUERY ? 'Q' : 'E',
        .described = u->kind == UNIT_QUERY || u->described,
        .text = u->text,
        .types = p != NULL ? p->types : u->parse.types,
        .types_count = p != NULL ? p->types_count : u->parse.types_count,
        .bind = u->has_bind ? u->bind.rest : (struct bytes){0},
    };
    buf_clear(&r->key);
    cache_key(&parts, &r->key);
}

static void answer(struct request *r, struct cache_entry *e)
{
    struct client *c = r->client;
    const struct unit *u = &r->unit;
    struct buf *out = &c->stream.out;
    virtual_parse(r, reading(r));
    if (u->has_bind) { compose_bare(out, '2'); }
    if (u->kind == UNIT_QUERY) { client_name_statement(c, "", NULL); }
    stream_put(&c->stream, cache_entry_bytes(e));
    compose_ready(out, 'I');
    struct stats *st = client_stats(c);
    stats_add(&st->cache_hits, 1);
    stats_add(&st->queries, 1);
    stats_add(&st->xacts, 1);
}

static void on_ready(struct cache_ticket *t)
{
    struct request *r = t->owner;
    request_unwait(r);
    request_resume(r->client);
}

/* The settings of this unit: the client's, and what the statement's own comment says. */
static enum err make_settings(struct request *r, struct fault *why)
{
    struct client *c = r->client;
    const struct identity *id = c->account->identity;
    varset_unref(&r->want);
    if (id == NULL || !identity_uses_tags(id)) {
        r->want = varset_ref(c->in_tx);
        return E_OK;
    }
    struct varset_edit edit;
    varset_edit_begin(&edit, c->in_tx);
    struct identity_sources from = caller_sources(c);
    from.text = r->unit.text;
    enum err e = r->unit.text.len == 0 ? E_OK : identity_apply(id, &from, &edit, why);
    r->want = varset_edit_end(&edit);
    return e;
}

enum move step_lookup(struct request *r)
{
    struct client *c = r->client;
    if (!r->filling && r->cache.state == NULL) { /* not when it runs again after a wait */
        struct fault why;
        if (make_settings(r, &why) != E_OK) { return request_fail(r, &why); }
    }
    if (!is_eligible(r) || !is_read_as_now(r)) { return MOVE_ON; }
    const struct known *k = desk_known(r->desk, c->account->database);
    if (r->cache.state == NULL) { make_key(r, k); }
    const struct cache_question q = {
        .key = buf_view(&r->key),
        .redis = c->account->database->cache == CACHE_REDIS,
        .deps = r->facts.judged->deps,
        .deps_count = r->facts.judged->deps_count,
        .database_id = c->account->database->cache_id,
        .rule = r->facts.judged->rule,
    };
    r->cache.owner = r;
    r->cache.ready = on_ready;
    struct cache_entry *entry = NULL;
    switch (cache_find(r->desk->cache, &q, &r->cache, clock_now_us(), &entry)) {
    case E_OK:
        answer(r, entry);
        cache_entry_unref(&entry);
        return MOVE_DONE;
    case E_AGAIN: request_wait(r, 0); return MOVE_WAIT;
    case E_NOTFOUND:
        r->filling = true;
        r->broken = false;
        r->rows = 0;
        buf_clear(&r->capture);
        return MOVE_ON;
    default: return MOVE_ON;
    }
}
