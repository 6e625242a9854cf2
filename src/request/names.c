/*
 * Prepared statements by SQL: PREPARE, EXECUTE, DEALLOCATE. Their texts go to the server as they
 * came, so that every answer is PostgreSQL's own; what they name stands there under the client's
 * own name, brought there before them where the server has another statement of that name, or none.
 * In a simple query that takes a round trip of its own, as an error of it could not be told from
 * the query's; in a batch it goes along. What the client's names mean follows the tags of what is
 * done.
 */
#include <string.h>

#include "base/mem.h"
#include "pgwire/compose.h"
#include "request/request.h"

struct named_portal {
    struct named_portal *next;
    struct statement *statement;
    const struct prepared *made; /* by a PREPARE */
    char name[];
};

bool names_are_carried(const struct client *c)
{
    return c->account->database->config->o.max_prepared_statements > 0;
}

static bool may_close(const struct request *r)
{
    return !r->server->copy_in && names_are_carried(r->client);
}

/* In a failed transaction the server refuses all of it. */
static bool may_prepare(const struct request *r)
{
    return r->client->status != 'E' && may_close(r);
}

static struct statement *statement_of(const struct request *r, struct bytes text)
{
    const struct known *k = desk_known(r->desk, r->client->account->database);
    return memo_find(k->memo, text)->statement;
}

bool names_are_in(const struct request *r, struct bytes text)
{
    return r->facts.names && statement_of(r, text)->named_count > 0;
}

/* Only of what PostgreSQL analyses when it parses is it of interest; the rest may not be able to
   share a transaction with settings around it. */
static bool is_analysed(const struct request *r, struct bytes text)
{
    const bool alone = r->unit.kind == UNIT_BATCH && r->unit.plain && r->facts.only != NULL;
    const struct statement *st = alone ? r->facts.only : statement_of(r, text);
    return (st->flags & STMT_FUSIBLE) != 0 || st->kind == STMT_PREPARE;
}

struct reading names_reading(const struct request *r, struct bytes text)
{
    return is_analysed(r, text) ? server_reading(r->server) : reading_any();
}

/* ---- what the names must mean on the server -------------------------------------------------- */

/* Does an earlier statement of the text decide? */
static bool is_settled_before(const struct statement *st, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++) {
        if (st->named[j].what == NAMING_FORGET) { return true; }
        if (strcmp(st->named[j].name, st->named[i].name) == 0) { return true; }
    }
    return false;
}

/* false: it must be changed, which was done if act. */
static bool settle(struct request *r, const char *name, const struct prepared *p, bool act)
{
    if (server_has_name(r->server, name, p)) { return true; }
    if (act) { server_need_name(r->server, name, p); }
    return false;
}

static bool settle_statement(struct request *r, const struct statement *st, bool act)
{
    bool settled = true;
    for (uint32_t i = 0; i < st->named_count && (settled || act); i++) {
        const struct stmt_named *n = &st->named[i];
        if (n->what == NAMING_FORGET) { break; }
        if (is_settled_before(st, i)) { continue; }
        settled = settle(r, n->name, pending_statement(r, n->name), act) && settled;
    }
    return settled;
}

static bool is_given(const void *arg, const char *name)
{
    return client_statement(arg, name) != NULL;
}

/* Everything of the client's, or of it what SQL made, and nothing else. */
static bool settle_all(struct request *r, bool listed, bool act)
{
    struct client *c = r->client;
    struct server *s = r->server;
    bool settled = true;
    unsigned count = 0;
    if (act) { server_close_others(s, listed, is_given, c); }
    hmap_each (link, &c->statements) {
        const struct client_stmt *st = container_of(link, struct client_stmt, link);
        if (!listed && !st->prepared->by_sql) { continue; }
        count++;
        settled = settle(r, st->name, st->prepared, act) && settled;
    }
    unsigned others = (listed ? s->statements_count : (unsigned)s->names.count) - count;
    return settled && others == 0;
}

/* A text that nobody has looked into may name anything; it pins, and names are the server's own. */
static bool goes_unseen(const struct request *r)
{
    return (r->facts.pins & PIN_UNKNOWN) != 0 && (r->client->pins & PIN_UNKNOWN) == 0;
}

static bool settle_unit(struct request *r, bool act)
{
    const struct facts *f = &r->facts;
    bool settled = true;
    bool lists = (f->flags & STMT_LISTS_NAMES) != 0;
    if (lists || goes_unseen(r)) { settled = settle_all(r, lists, act); }
    if (f->names && r->unit.kind == UNIT_QUERY) {
        settled = settle_statement(r, f->only, act) && settled;
    }
    return settled;
}

/* Is the answer to more than a Close on its way? */
static bool makes(const struct server *s)
{
    for (uint32_t i = 0; i < s->expects.count; i++) {
        if (expects_at(&s->expects, i)->kind == EXPECT_PARSE) { return true; }
    }
    return false;
}

enum move names_prepare(struct request *r)
{
    struct server *s = r->server;
    const bool made = r->naming;
    r->naming = false;
    bool looks = r->facts.names || (r->facts.flags & STMT_LISTS_NAMES) != 0 || goes_unseen(r);
    if (!looks || made || !may_prepare(r)) { return MOVE_ON; }
    if (r->unit.kind == UNIT_QUERY && r->facts.only == NULL) { return MOVE_ON; }
    if (settle_unit(r, false)) { return MOVE_ON; }
    if (s->expects.count > 0 && !r->batch_open && !r->sole) { /* settings go with it */
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    server_trim_statements(s);
    const bool alone = r->unit.kind != UNIT_BATCH;
    if (alone) {
        s->requested_us = r->began_us = loop_now(s->stream.loop);
        request_send_begin(r);
    }
    (void)settle_unit(r, true);
    if (!alone || !makes(s)) { return MOVE_ON; }
    compose_bare(&s->stream.out, 'S');
    expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    r->settings_sent = r->naming = true;
    request_wait(r, 0);
    return MOVE_WAIT;
}

/* ---- in a batch ------------------------------------------------------------------------------ */

void names_use(struct request *r, const char *name, const struct prepared *p)
{
    if (p == NULL ? may_close(r) : may_prepare(r)) { server_need_name(r->server, name, p); }
}

void names_parse(struct request *r, struct bytes text)
{
    if (!r->facts.names || !may_prepare(r)) { return; }
    (void)settle_statement(r, statement_of(r, text), true);
}

static struct named_portal **find_portal(struct request *r, const char *name)
{
    struct named_portal **at = &r->portals;
    while (*at != NULL && strcmp((*at)->name, name) != 0) { at = &(*at)->next; }
    return at;
}

static void drop_portal(struct named_portal **at)
{
    struct named_portal *p = *at;
    *at = p->next;
    statement_unref(&p->statement);
    prepared_unref(&p->made);
    mem_free(&p);
}

void names_forget_portals(struct request *r)
{
    while (r->portals != NULL) { drop_portal(&r->portals); }
}

void names_bind(struct request *r, const char *portal, const struct prepared *p)
{
    if (!r->facts.names && r->portals == NULL) { return; }
    struct named_portal **at = find_portal(r, portal);
    if (*at != NULL) { drop_portal(at); }
    if (p == NULL || p->by_sql || !r->facts.names) { return; }
    struct statement *st = statement_of(r, p->text);
    if (st->named_count == 0) { return; }
    size_t size = strlen(portal) + 1;
    struct named_portal *made = mem_zeroed(sizeof *made + size);
    memcpy(made->name, portal, size);
    made->statement = statement_ref(st);
    if (st->named[0].what == NAMING_PREPARE) {
        made->made = prepared_intern_sql(p->text, names_reading(r, p->text));
    }
    made->next = r->portals;
    r->portals = made;
    names_parse(r, p->text);
}

void names_execute(struct request *r, const char *portal)
{
    const struct named_portal *p = r->portals == NULL ? NULL : *find_portal(r, portal);
    if (p != NULL && may_prepare(r)) { (void)settle_statement(r, p->statement, true); }
}

/* What is owed last will do this. */
static void add_naming(struct request *r, const struct stmt_named *n, const struct prepared *p)
{
    struct server *s = r->server;
    expects_add_naming(&s->expects, n->what, n->name, p);
    switch (n->what) {
    case NAMING_PREPARE: server_assume_name(s, n->name, p); break;
    case NAMING_DEALLOCATE: server_assume_name(s, n->name, NULL); break;
    case NAMING_FORGET: server_doubt_statements(s); break;
    case NAMING_EXECUTE: break;
    }
}

void names_executed(struct request *r, const char *portal)
{
    const struct named_portal *p = r->portals == NULL ? NULL : *find_portal(r, portal);
    if (p == NULL) { return; }
    for (uint32_t i = 0; i < p->statement->named_count; i++) {
        add_naming(r, &p->statement->named[i], p->made);
    }
}

/* ---- a simple query -------------------------------------------------------------------------- */

/* Its part of the text: what stands around it is not to be run again. */
static struct bytes own_text(struct bytes text, const struct stmt_named *n)
{
    struct bytes own = bytes_skip(text, n->start < text.len ? n->start : text.len);
    if (own.len > n->len) { own.len = n->len; }
    while (n->start > 0 && own.len > 0 && own.ptr[0] <= ' ') { own = bytes_skip(own, 1); }
    return own;
}

void names_query(struct request *r)
{
    const struct statement *st = r->facts.only;
    if (!r->facts.names || st == NULL) { return; }
    struct bytes text = r->unit.text;
    for (uint32_t i = 0; i < st->named_count; i++) {
        const struct stmt_named *n = &st->named[i];
        const struct prepared *p = NULL;
        if (n->what == NAMING_PREPARE) {
            p = prepared_intern_sql(own_text(text, n), server_reading(r->server));
        }
        add_naming(r, n, p);
        prepared_unref(&p);
    }
}

/* ---- done ------------------------------------------------------------------------------------ */

static bool is_tag_of(enum stmt_naming what, const char *tag)
{
    switch (what) {
    case NAMING_PREPARE: return strcmp(tag, "PREPARE") == 0;
    case NAMING_DEALLOCATE: return strcmp(tag, "DEALLOCATE") == 0;
    case NAMING_FORGET:
        return strcmp(tag, "DEALLOCATE ALL") == 0 || strcmp(tag, "DISCARD ALL") == 0;
    case NAMING_EXECUTE: return false;
    }
    return false;
}

void names_complete(struct request *r, struct expect *x, const char *tag)
{
    const struct naming *n = x->namings;
    while (n != NULL && n->what == NAMING_EXECUTE) { n = n->next; }
    if (n == NULL || !is_tag_of(n->what, tag)) { return; }
    while (x->namings != n) { expect_drop_naming(x); }
    if (n->what != NAMING_FORGET) { client_name_statement(r->client, n->name, n->prepared); }
    expect_drop_naming(x);
}
