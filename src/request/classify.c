/*
 * Classify: what do the unit's statements do? By memory of text and shape, else by the parser;
 * judged in the light of the catalog. Then the guard: may this client run it?
 */
#include <strings.h>

#include "base/mem.h"
#include "client/caller.h"
#include "pgwire/frame.h"
#include "query/guc.h"
#include "request/request.h"

/* Of the memo's entry and of the requests that look at it: one worker's all. */
struct shared_judgement {
    struct judgement j;
    unsigned refs;
};

static void drop_judgement(void *judgement)
{
    struct shared_judgement *s = judgement;
    if (--s->refs == 0) { mem_free(&s); }
}

static const struct judgement *judgement_ref(const struct judgement *j)
{
    container_of(j, struct shared_judgement, j)->refs++;
    return j;
}

void facts_forget(struct facts *f)
{
    statement_unref(&f->only);
    if (f->judged != NULL) {
        drop_judgement(container_of(f->judged, struct shared_judgement, j));
        f->judged = NULL;
    }
}

static struct known *find_known(struct desk *d, const struct database *db)
{
    struct hlink *link = hmap_find(&d->known, bytes_of(&db->id, sizeof db->id));
    if (link != NULL) { return container_of(link, struct known, link); }
    enum { ENTRIES = 20000, BYTES = 16 << 20 };
    struct known *k = mem_new(struct known);
    k->id = db->id;
    k->memo = memo_new(ENTRIES, BYTES, (size_t)db->config->o.max_inspect_bytes, drop_judgement);
    hmap_insert(&d->known, &k->link, bytes_of(&k->id, sizeof k->id));
    return k;
}

struct known *desk_known(struct desk *d, struct database *db)
{
    struct known *k = d->latest;
    if (k == NULL || k->id != db->id) { k = d->latest = find_known(d, db); }
    uint64_t turn = atomic_load_explicit(&db->catalog_turn, memory_order_acquire);
    if (!k->fresh || turn != k->turn) {
        catalog_unref(&k->catalog);
        k->catalog = database_catalog(db);
        k->turn = turn;
        k->fresh = true;
    }
    return k;
}

/* Entries keep a judgement per catalog; the version 0 stands for "none loaded". */
static const struct judgement *judge(const struct known *k, struct memo_entry *e)
{
    uint64_t version = k->catalog == NULL ? 0 : catalog_version(k->catalog);
    if (e->judgement == NULL || e->judgement_version != version) {
        struct shared_judgement *s = mem_new(struct shared_judgement);
        s->refs = 1;
        catalog_judge(k->catalog, e->statement, &s->j);
        if (e->judgement != NULL) { drop_judgement(e->judgement); }
        e->judgement = s;
        e->judgement_version = version;
    }
    const struct shared_judgement *s = e->judgement;
    return &s->j;
}

static void add_writes(struct facts *f, const struct judgement *j)
{
    f->writes_all = f->writes_all || j->writes_all;
    for (unsigned i = 0; i < j->writes_count; i++) {
        if (f->writes_count == JUDGE_DEPS) {
            f->writes_all = true;
            return;
        }
        f->writes[f->writes_count++] = j->writes[i];
    }
}

/* Bound parameters as the guard wants to see them: text, or unknown. */
struct bound {
    const struct bind_msg *bind;
    struct buf text;
};

static const char *bound_param(void *arg, int n)
{
    struct bound *b = arg;
    if (b->bind == NULL || n < 1 || n > b->bind->params_count) { return NULL; }
    if (extended_bind_format(b->bind, (unsigned)n - 1) != 0) { return NULL; }
    bool null;
    struct bytes v = extended_bind_param(b->bind, (unsigned)n - 1, &null);
    if (null) { return NULL; }
    buf_clear(&b->text);
    buf_put_bytes(&b->text, v);
    return buf_text(&b->text);
}

/*
 * The parser reads strings as standard_conforming_strings = on does, in an encoding where no second
 * byte of a character looks like a quote or a backslash. Where the session says otherwise, or one
 * of the account's servers did when it was new, doubt.
 */
static bool is_read_otherwise(const struct client *c, const struct statement *s)
{
    const struct account *a = pool_account(c->account->pools[0]);
    const bool plain = c->in_tx == varset_empty();
    if ((s->flags & STMT_BACKSLASH) != 0) {
        const char *strings = varset_get(c->in_tx, "standard_conforming_strings");
        if (strings != NULL ? strcasecmp(strings, "on") != 0
                            : atomic_load_explicit(&a->odd_strings, memory_order_relaxed)) {
            return true;
        }
    }
    const char *encoding = plain ? NULL : varset_get(c->in_tx, "client_encoding");
    return encoding != NULL ? guc_encoding_is_odd(encoding)
                            : atomic_load_explicit(&a->odd_encoding, memory_order_relaxed);
}

/* Where a text may mean something else to the server, what it must not do cannot be seen in it. */
static enum err guard(const struct request *r, const struct statement *s, struct bytes text,
                      const struct bind_msg *bind, bool otherwise, struct fault *why)
{
    const struct identity *id = r->client->account->identity;
    if (id == NULL) { return E_OK; }
    if (otherwise && (s->flags & STMT_BACKSLASH) != 0) {
        (void)fault_state(why, E_DENIED, "42501",
                          "permission denied: a backslash could hide a protected setting");
        fault_hint(why, "SET standard_conforming_strings = on, and an encoding like UTF8.");
        return E_DENIED;
    }
    struct bound bound = {.bind = bind};
    enum err e = identity_guard(id, s, text, bound_param, &bound, why);
    buf_done(&bound.text);
    return e;
}

static bool sets_locally(const struct statement *s)
{
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *set = &s->settings[i];
        if (set->reads || !set->local) { continue; }
        if (set->name == NULL || guc_changes_analysis(set->name)) { return true; }
    }
    return false;
}

/* What it does when it is run. */
static void add_effects(struct request *r, const struct known *k, const struct statement *s,
                        const struct judgement *j)
{
    struct facts *f = &r->facts;
    /* Where the catalog is not known, one of a user's may do anything, but to pin for each would be
       too much: the server is reset at its release, so that nobody else sees what it did. */
    bool taints = j->taints && k->catalog != NULL;
    f->may_taint = f->may_taint || (j->taints && k->catalog == NULL);
    f->sequences = f->sequences || j->sequences || (s->pins & PIN_SEQUENCE) != 0;
    f->flags |= s->flags;
    f->pins |= s->pins | (taints ? PIN_UNKNOWN : 0);
    f->replica = f->replica && j->replica;
    f->fusible = f->fusible && (s->flags & STMT_FUSIBLE) != 0;
    f->copies = f->copies || s->kind == STMT_COPY_FROM;
    f->sets = f->sets || s->kind == STMT_SET || s->kind == STMT_RESET;
    f->local = f->local || sets_locally(s);
    f->discards = f->discards || (s->flags & STMT_FORGETS) != 0;
    f->ends = f->ends || s->kind == STMT_COMMIT || s->kind == STMT_ROLLBACK ||
              s->kind == STMT_ROLLBACK_TO ||
              (s->flags & (STMT_TRANSACTION | STMT_ROLLS_BACK_TO)) != 0;
    f->savepoints = f->savepoints || s->kind == STMT_SAVEPOINT || s->kind == STMT_RELEASE ||
                    s->kind == STMT_ROLLBACK_TO || (s->flags & STMT_TRANSACTION) != 0;
    add_writes(f, j);
}

static enum err add_named(struct request *r, struct known *k, const struct statement *s,
                          struct fault *why);

/* by_sql: a PREPARE whose statement is run under its name. */
static enum err add_sql(struct request *r, struct known *k, struct bytes text, bool by_sql,
                        const struct bind_msg *bind, struct fault *why)
{
    struct facts *f = &r->facts;
    struct memo_entry *e = memo_find(k->memo, text);
    const struct statement *s = e->statement;
    const struct judgement *j = judge(k, e);
    f->count++;
    if (f->count == 1) {
        f->only = statement_ref(e->statement);
        f->judged = judgement_ref(j);
    } else {
        facts_forget(f);
    }
    const bool otherwise = is_read_otherwise(r->client, s);
    f->unknown = f->unknown || s->kind == STMT_UNKNOWN || otherwise;
    f->names = f->names || s->named_count > 0;
    if (r->unit.kind != UNIT_BATCH || r->unit.plain) { listen_note(r, s); }
    bool several = r->unit.kind == UNIT_BATCH && !r->unit.plain;
    if (s->kind == STMT_PREPARE && !by_sql && !several) {
        f->replica = f->fusible = false;
    } else { /* in a batch of several an EXECUTE of it may follow */
        add_effects(r, k, s, j);
    }
    bool sets =
        (s->pins & PIN_SETTING) != 0 || (several && (s->kind == STMT_SET || s->kind == STMT_RESET));
    if (sets && (bind != NULL || r->unit.kind != UNIT_BATCH)) {
        struct bound bound = {.bind = bind};
        touched_note(r, s, bound_param, &bound);
        buf_done(&bound.text);
    }
    const bool taints = j->taints && k->catalog != NULL;
    if (s->settings_count > 0 || taints || (s->pins & PIN_UNKNOWN) != 0 ||
        (s->flags & STMT_RESETS_ALL) != 0) {
        struct bound bound = {.bind = bind};
        renew_look(r, s, taints, !several && s->kind != STMT_MULTI, bound_param, &bound);
        buf_done(&bound.text);
    }
    unsigned hints = hint_read(text);
    if ((hints & HINT_PRIMARY) != 0) { f->replica = false; }
    if ((hints & HINT_NOCACHE) != 0) { f->nocache = true; }
    enum err err = listen_check(r, s, why);
    if (err == E_OK) { err = guard(r, s, text, bind, otherwise, why); }
    if (err == E_OK && s->named_count > 0 && !by_sql) {
        struct memo_entry *held = memo_hold(e);
        err = add_named(r, k, s, why);
        memo_drop(&held);
    }
    return err;
}

static enum err add_text(struct request *r, struct known *k, struct bytes text,
                         const struct bind_msg *bind, struct fault *why)
{
    return add_sql(r, k, text, false, bind, why);
}

/* The text is that of a name the client gave. */
static enum err add_prepared(struct request *r, struct known *k, const struct prepared *p,
                             const struct bind_msg *bind, struct fault *why)
{
    return add_sql(r, k, p->text, p->by_sql, bind, why);
}

/* What EXECUTE runs. It is no statement of the unit's own: names and parameters are not its. */
static enum err add_executed(struct request *r, struct known *k, struct bytes text, bool by_sql,
                             struct fault *why)
{
    struct facts *f = &r->facts;
    struct memo_entry *e = memo_find(k->memo, text);
    const struct statement *s = e->statement;
    bool query = s->kind == STMT_SELECT || s->kind == STMT_MODIFY || by_sql;
    if (!query) { /* by protocol, another kind was prepared */
        f->unknown = true;
        f->pins |= PIN_UNKNOWN;
    }
    add_effects(r, k, s, judge(k, e));
    if ((s->pins & PIN_SETTING) != 0) { r->touched_unclear = true; }
    enum err err = listen_check(r, s, why);
    return err != E_OK ? err : guard(r, s, text, NULL, is_read_otherwise(r->client, s), why);
}

/* The text that the batch itself gives the name, by protocol. */
static struct bytes parsed_here(const struct unit *u, const char *name)
{
    struct bytes found = {0};
    for (size_t at = 0; u->kind == UNIT_BATCH && at < u->raw.len;) {
        struct frame f;
        struct parse_msg m;
        struct bytes rest = bytes_skip(u->raw, at);
        if (frame_peek(rest, &f) != E_OK) { break; }
        at += f.size;
        if (f.type == 'P' && extended_read_parse(frame_body(rest, f), &m) == E_OK &&
            strcmp(m.name, name) == 0) {
            found = m.text;
        }
    }
    return found;
}

static enum err check_named(const struct stmt_named *n, struct fault *why)
{
    if (strncmp(n->name, PREPARED_PREFIX, strlen(PREPARED_PREFIX)) != 0) { return E_OK; }
    if (n->what != NAMING_PREPARE) {
        (void)fault_state(why, E_NOTFOUND, "26000", "prepared statement \"%s\" does not exist",
                          n->name);
        return E_NOTFOUND;
    }
    (void)fault_state(why, E_REFUSED, "42939", "the name \"%s\" is reserved", n->name);
    fault_hint(why, "Names of prepared statements that begin with " PREPARED_PREFIX
                    " are pgusher's own.");
    return E_REFUSED;
}

/* Is it prepared by an earlier statement of the same text? */
static bool is_made_before(const struct statement *s, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++) {
        const struct stmt_named *n = &s->named[j];
        if (n->what == NAMING_PREPARE && strcmp(n->name, s->named[i].name) == 0) { return true; }
    }
    return false;
}

/* Prepared statements that the text is about, and what it runs of them. */
static enum err add_named(struct request *r, struct known *k, const struct statement *s,
                          struct fault *why)
{
    struct facts *f = &r->facts;
    enum err e = E_OK;
    for (uint32_t i = 0; i < s->named_count && e == E_OK; i++) {
        const struct stmt_named *n = &s->named[i];
        if (n->what == NAMING_FORGET) { continue; }
        if (!names_are_carried(r->client)) {
            f->pins |= n->what == NAMING_PREPARE   ? PIN_PREPARE
                       : n->what == NAMING_EXECUTE ? PIN_PREPARE | PIN_UNKNOWN
                                                   : 0;
            continue;
        }
        e = check_named(n, why);
        if (e != E_OK || n->what != NAMING_EXECUTE || is_made_before(s, i)) { continue; }
        const struct prepared *p = pending_statement(r, n->name);
        struct bytes text = p == NULL ? parsed_here(&r->unit, n->name) : p->text;
        if (text.ptr != NULL) {
            e = add_executed(r, k, text, p != NULL && p->by_sql, why);
        } else {
            f->unknown =
                true; /* by a PREPARE of the batch, or the server says that there is none */
        }
    }
    return e;
}

/* By SQL that is on its way: the last that is about the name counts. */
static bool will_name(const struct expect *x, const char *name, const struct prepared **ret)
{
    bool found = false;
    for (const struct naming *n = x->namings; n != NULL && name[0] != '\0'; n = n->next) {
        if (n->what == NAMING_EXECUTE) { continue; }
        if (n->what != NAMING_FORGET && strcmp(n->name, name) != 0) { continue; }
        found = true;
        *ret = n->prepared;
    }
    return found;
}

const struct prepared *pending_statement(const struct request *r, const char *name)
{
    const struct server *s = r->server;
    const bool may_be_renamed = s != NULL && s->expects.renaming > 0;
    for (uint32_t i = may_be_renamed ? s->expects.count : 0; i > 0; i--) {
        const struct expect *x = expects_at(&s->expects, i - 1);
        const struct prepared *p;
        if (will_name(x, name, &p)) { return p; }
        if (!expect_renames(x) || strcmp(x->name, name) != 0) { continue; }
        return x->kind == EXPECT_FAKE && x->fake == '3' ? NULL : x->prepared;
    }
    return client_statement(r->client, name);
}

struct bytes unit_text(const struct request *r)
{
    const struct unit *u = &r->unit;
    if (u->kind != UNIT_BATCH || !u->has_bind) { return u->text; }
    if (u->has_parse && strcmp(u->parse.name, u->bind.statement) == 0) { return u->parse.text; }
    const struct prepared *p = pending_statement(r, u->bind.statement);
    return p == NULL ? (struct bytes){0} : p->text;
}

/* The texts a batch parses or binds. A statement parsed earlier in the same batch is found there.
 */
/* Settings made from tags go with each statement, inside the transaction: its end undoes them. */
static enum err check_end(const struct request *r, struct fault *why)
{
    const struct identity *id = r->client->account->identity;
    if (!r->facts.ends || id == NULL || !identity_uses_tags(id)) { return E_OK; }
    (void)fault_state(why, E_REFUSED, "0A000",
                      "a statement after the end of a transaction in one batch");
    fault_hint(why, "Settings here depend on each statement's tags: send a Sync in between.");
    return E_REFUSED;
}

/* Where PgBouncer keeps the names of statements, it knows no way to go on without one. */
static void check_name(struct request *r, const char *name)
{
    const struct options *o = &r->client->account->database->config->o;
    if (name[0] == '\0' || pending_statement(r, name) != NULL) { return; }
    r->facts.nameless = o->max_prepared_statements > 0;
}

static bool executes(struct bytes body, const char *portal)
{
    struct execute_msg m;
    return extended_read_execute(body, &m) == E_OK && strcmp(m.portal, portal) == 0;
}

static enum err add_batch(struct request *r, struct known *k, struct fault *why)
{
    struct {
        const char *name;
        struct bytes text;
    } parsed[UNIT_NAMES];
    unsigned parsed_count = 0;
    bool strict = client_is_strict(r->client);
    struct unit *u = &r->unit;
    struct {
        const char *portal; /* NULL: the message before is no Bind, or not of a known text */
        struct bytes text;
    } bound = {0};
    enum err e = E_OK;
    for (size_t at = 0; at < u->raw.len && e == E_OK;) {
        struct frame f;
        struct bytes rest = bytes_skip(u->raw, at);
        if (frame_peek(rest, &f) != E_OK) { return E_PROTOCOL; }
        struct bytes body = frame_body(rest, f);
        struct parse_msg parse;
        struct bind_msg bind;
        struct target_msg target;
        if (f.type == 'P' && extended_read_parse(body, &parse) == E_OK) {
            if (parsed_count < UNIT_NAMES) {
                parsed[parsed_count].name = parse.name;
                parsed[parsed_count++].text = parse.text;
            } else {
                r->facts.unknown = true;
            }
            if (u->executes == 0) { e = add_text(r, k, parse.text, NULL, why); }
        } else if (f.type == 'D' && strict && extended_read_target(body, &target) == E_OK) {
            bool here = target.kind != 'S';
            for (unsigned i = 0; i < parsed_count && !here; i++) {
                here = strcmp(parsed[i].name, target.name) == 0;
            }
            if (!here) { check_name(r, target.name); }
        } else if (f.type == 'B' && extended_read_bind(body, &bind) == E_OK) {
            struct bytes text = {0};
            for (unsigned i = parsed_count; i > 0 && text.ptr == NULL; i--) {
                if (strcmp(parsed[i - 1].name, bind.statement) == 0) { text = parsed[i - 1].text; }
            }
            const struct prepared *p =
                text.ptr == NULL ? pending_statement(r, bind.statement) : NULL;
            if (p != NULL) { r->facts.replanned = r->facts.replanned || prepared_turn(p) != 0; }
            bound.text = p != NULL ? p->text : text;
            bound.portal = bound.text.ptr == NULL ? NULL : bind.portal;
            if (text.ptr == NULL && p == NULL) {
                r->facts.unknown = true; /* the server will say that it does not exist */
                if (strict) { check_name(r, bind.statement); }
            } else {
                e = check_end(r, why);
                if (e == E_OK) {
                    e = p != NULL ? add_prepared(r, k, p, &bind, why)
                                  : add_text(r, k, text, &bind, why);
                }
            }
        }
        if (f.type == 'E' && bound.portal != NULL && executes(body, bound.portal)) {
            listen_note(r, memo_find(k->memo, bound.text)->statement);
        }
        if (f.type != 'B' && f.type != 'D') { bound.portal = NULL; }
        at += f.size;
    }
    /* An Execute of a portal bound earlier may do anything that its statement does. */
    if (u->executes > 0 && !u->has_bind) { r->facts.unknown = true; }
    u->text = unit_text(r);
    return e;
}

/* The most common batch, of which all is known that add_batch() would look up. */
static enum err add_plain(struct request *r, struct known *k, struct fault *why)
{
    struct unit *u = &r->unit;
    const struct prepared *p = u->has_parse ? NULL : pending_statement(r, u->bind.statement);
    if (p != NULL) { r->facts.replanned = prepared_turn(p) != 0; }
    u->text = u->has_parse ? u->parse.text : p != NULL ? p->text : (struct bytes){0};
    if (u->text.ptr == NULL) {
        r->facts.unknown = true; /* the server will say that it does not exist */
        if (client_is_strict(r->client)) { check_name(r, u->bind.statement); }
        return E_OK;
    }
    enum err e = check_end(r, why);
    if (e != E_OK) { return e; }
    return p != NULL ? add_prepared(r, k, p, &u->bind, why)
                     : add_text(r, k, u->text, &u->bind, why);
}

/* Too long to be read: a Bind's statement is known by its name, a Query stays unknown. */
static enum err add_long(struct request *r, struct known *k, struct fault *why)
{
    if (r->unit.type == 'B') {
        const struct prepared *p = pending_statement(r, r->unit.statement);
        if (p != NULL) { return add_prepared(r, k, p, NULL, why); }
    }
    r->facts.unknown = r->facts.may_taint = true;
    if (r->unit.type == 'Q' && r->client->account->identity != NULL) {
        (void)fault_state(why, E_DENIED, "42501", "statement is too long to be checked");
        fault_hint(why, "This database has protected settings: pass long values as parameters.");
        return E_DENIED;
    }
    if (r->unit.type == 'Q') { r->facts.pins |= PIN_UNKNOWN; }
    return E_OK;
}

bool request_is_outdated(const struct request *r)
{
    const struct client *c = r->client;
    return atomic_load_explicit(&c->account->database->retired, memory_order_relaxed) &&
           (c->pins & ~(uint32_t)PIN_SESSION) == 0 && !listen_holds(c) && r->server == NULL &&
           !r->filling && r->cache.state == NULL;
}

/* On to the new definition, and to what its [settings] say of the caller. */
static enum err move_on(struct client *c, struct fault *why)
{
    struct account *next = registry_move(c->front->registry, c->account);
    if (next == NULL) {
        (void)fault_state(why, E_SHUTDOWN, "57P01", "no such database: %s",
                          c->account->database->name);
        return E_SHUTDOWN;
    }
    listen_close(c);
    c->account = next;
    c->pins = c->account->mode == POOL_SESSION ? PIN_SESSION : 0;
    return caller_identify_again(c, why);
}

/* Nothing is held back here: without a batch there is nothing to ask a server for. */
static bool is_only_flush(const struct unit *u)
{
    return u->kind == UNIT_BATCH && u->size == FRAME_HEADER && !u->sync && !u->cut;
}

enum move step_classify(struct request *r)
{
    struct facts *f = &r->facts;
    if (request_is_outdated(r)) {
        struct fault gone;
        if (move_on(r->client, &gone) != E_OK) {
            client_fail(r->client, &gone);
            return MOVE_GONE;
        }
    }
    if (is_only_flush(&r->unit) && !r->batch_open) { return MOVE_DONE; }
    struct known *k = desk_known(r->desk, r->client->account->database);
    struct fault why;
    enum err e = E_OK;
    facts_forget(f);
    buf_clear(&r->channels);
    buf_clear(&r->reads_custom);
    buf_clear(&r->sets_custom);
    *f = (struct facts){.replica = true, .fusible = true};
    switch (r->unit.kind) {
    case UNIT_QUERY: e = add_text(r, k, r->unit.text, NULL, &why); break;
    case UNIT_BATCH: e = r->unit.plain ? add_plain(r, k, &why) : add_batch(r, k, &why); break;
    case UNIT_FUNCTION: f->unknown = f->may_taint = true; break;
    case UNIT_STREAM: e = add_long(r, k, &why); break;
    }
    if (f->nameless) {
        (void)fault_state(&why, E_NOTFOUND, "26000", "prepared statement did not exist");
        client_fail(r->client, &why);
        return MOVE_GONE;
    }
    if (e == E_OK && f->replanned) { e = again_check_plans(r, &why); }
    if (e != E_OK) { return request_fail(r, &why); }
    if (f->unknown) { f->writes_all = true; }
    if (f->unknown || r->unit.cut || f->count == 0) { f->replica = f->fusible = false; }
    bool simple =
        r->unit.kind == UNIT_QUERY || (r->unit.kind == UNIT_STREAM && r->unit.type == 'Q');
    bool several = f->only == NULL || f->only->kind == STMT_MULTI || f->only->kind == STMT_UNKNOWN;
    if (simple && several && r->client->front->config->o.disable_pqexec) {
        (void)fault_state(&why, E_REFUSED, "0A000", "PQexec disallowed");
        fault_hint(&why, "Several statements in one simple query are refused here.");
        return request_fail(r, &why);
    }
    bool block = f->ends || (f->only != NULL && f->only->kind == STMT_BEGIN);
    if (block && r->client->account->mode == POOL_STATEMENT) {
        (void)fault_state(&why, E_REFUSED, "0A000",
                          "transaction blocks not allowed in statement pooling mode");
        return request_fail(r, &why);
    }
    return virtual_answer(r) ? MOVE_DONE : MOVE_ON;
}
