/*
 * Prepare and send: the server's session becomes the client's, in the same write as the request;
 * messages go out under server-side statement names, and each leaves a note of what the server now
 * owes.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "request/request.h"

/* Settings on their way may be rolled back: what follows must not be sent before that is known. */
static bool must_wait_for_answers(const struct request *r)
{
    const struct server *s = r->server;
    if (s->expects.count == 0 || r->batch_open) { return false; }
    if (r->copies) { return true; }  /* what ends it is to be told as the client sent it: road.c */
    if (r->remakes) { return true; } /* the next unit may use it, and would not find it */
    if (!kept_is_bound(r)) { return true; }
    const struct statement *st = r->facts.only;
    bool changes = r->facts.pins != 0 || r->chains || r->facts.discards ||
                   (r->facts.flags & STMT_RESETS_ALL) != 0 || st == NULL || st->kind == STMT_SET ||
                   st->kind == STMT_RESET || st->kind == STMT_DEALLOCATE || r->facts.savepoints ||
                   buf_len(&r->channels) > 0;
    bool unsettled = s->have != s->now || !s->sure || listen_is_unsettled(r->client);
    return unsettled || changes || r->pins != 0 || r->writes_count > JUDGE_DEPS / 2 ||
           r->settings_sent || s->now != r->want || r->client->begin != NULL;
}

/* A transaction takes these when it begins: they must be right before its first message. */
static bool changes_next_transaction(const struct server *s, const struct varset *want)
{
    static const char *const names[] = {"default_transaction_isolation",
                                        "default_transaction_read_only",
                                        "default_transaction_deferrable"};
    if (!s->sure) { return true; }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *has = varset_get(s->now, names[i]), *wants = varset_get(want, names[i]);
        bool same = has == wants || (has != NULL && wants != NULL && strcmp(has, wants) == 0);
        if (!same) { return true; }
    }
    return false;
}

static enum move refuse_sequence(struct request *r)
{
    struct fault why;
    (void)fault_state(&why, E_REFUSED, "0A000",
                      "the values that sequences gave to earlier transactions are not known here");
    fault_hint(&why, "Use INSERT ... RETURNING, or ask in the transaction that took the value.");
    if (r->client->status == 'I' && r->client->pins == 0) { finish_release(r); }
    return request_fail(r, &why);
}

static void forget_sequences(struct request *r)
{
    r->server->sequences_of = r->client->id;
    server_prelude_text(r->server, "DISCARD SEQUENCES");
}

/* What was put before the unit gets a round trip of its own. */
static enum move close_prelude(struct request *r)
{
    compose_bare(&r->server->stream.out, 'S');
    expects_push(&r->server->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
    r->settings_sent = true;
    request_wait(r, 0);
    return MOVE_WAIT;
}

/*
 * lastval() and currval() are right where this client was the last to take values of sequences, and
 * took none elsewhere since. One that took none at all is to be told so by a server that holds
 * none.
 */
static enum move check_sequences(struct request *r)
{
    struct client *c = r->client;
    struct server *s = r->server;
    if ((r->facts.flags & STMT_OWN_SEQUENCE) == 0) { return MOVE_ON; }
    atomic_store_explicit(&c->account->database->asks_sequences, true, memory_order_relaxed);
    if (r->facts.sequences || c->status == 'E') { return MOVE_ON; }
    if (c->sequences_on != 0) {
        bool here = s->sequences_of == c->id && s->backend_pid == c->sequences_on;
        return here ? MOVE_ON : refuse_sequence(r);
    }
    if (s->sequences_of == c->id) { return MOVE_ON; }
    if (s->expects.count > 0) {
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    forget_sequences(r);
    return close_prelude(r);
}

/* Whether it takes a value is not sure. If it does not, lastval() must not tell another client's.
 */
static bool forgets_sequences(const struct request *r)
{
    const struct server *s = r->server;
    return r->facts.sequences && s->sequences_of != 0 && s->sequences_of != r->client->id &&
           atomic_load_explicit(&r->client->account->database->asks_sequences,
                                memory_order_relaxed);
}

/*
 * It is the client's own while settings that nobody followed pin it: what ROLLBACK TO made unsure
 * is as the client wants it, and to set all of it again could undo what was not followed.
 */
static bool is_own_session(const struct client *c)
{
    return c->account->identity == NULL && (c->pins & (PIN_SETTING | PIN_UNKNOWN)) != 0;
}

static void put_prelude(struct request *r, bool own)
{
    struct server *s = r->server;
    bool sure = s->sure;
    s->sure = sure || own;
    (void)server_prelude(s, r->want);
    if (own) { s->sure = sure; }
}

static bool only_reads_settings(const struct statement *s)
{
    for (uint32_t i = 0; i < s->settings_count; i++) {
        if (!s->settings[i].reads) { return false; }
    }
    return true;
}

enum move step_prepare(struct request *r)
{
    struct client *c = r->client;
    struct server *s = r->server;
    const struct identity *id = c->account->identity;
    if (r->batch_open) { return MOVE_ON; } /* in the middle of a batch: as it began */
    if (r->want != c->in_tx && (id == NULL || !identity_uses_tags(id))) {
        varset_unref(&r->want);
        r->want = varset_ref(c->in_tx);
    }
    if (must_wait_for_answers(r)) {
        /* What it may set is noted anew then: notes are done with at the end of a transaction. */
        if ((r->facts.pins & PIN_SETTING) != 0 || r->facts.sets) { r->step = STEP_CLASSIFY; }
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    enum move m = check_sequences(r);
    if (m != MOVE_ON) { return m; }
    bool renew = renew_is_due(r);
    if (renew && s->expects.count > 0) {
        r->step = STEP_CLASSIFY;
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    if (s->begun != varset_empty() || (renew && r->facts.resets)) { r->facts.pins |= PIN_STARTUP; }
    struct fault why;
    if (r->facts.pins != 0 && pins_reserve(r, &why) != E_OK) {
        if (c->status == 'I' && c->pins == 0) { finish_release(r); }
        return request_fail(r, &why);
    }
    if (renew) { return renew_server(r); }
    if (renew_define(r)) { return MOVE_WAIT; }
    if (!listen_announce(r)) {
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    r->sole = s->expects.count == 0;
    r->set_by_us = false;
    const bool own = is_own_session(c), settled = s->now == r->want && (s->sure || own);
    const bool forgets = forgets_sequences(r);
    if (c->status == 'E' || (settled && !forgets)) { return MOVE_ON; }
    if (s->expects.count > 0) { /* settled: else it waits already */
        request_wait(r, 0);
        return MOVE_WAIT;
    }
    if (forgets) { forget_sequences(r); }
    /* What may not follow unsynced messages gets its settings in a batch and a round trip of their
       own. So does a transaction block: settings made inside it would be undone by its ROLLBACK,
       and what follows that in the same text or batch would run with another client's. So does what
       the client is to be told the reports of: they must not be of ours, made or undone. */
    bool open = r->unit.kind == UNIT_BATCH && !r->unit.sync; /* a BEGIN may follow */
    bool tells =
        (r->facts.pins & PIN_SETTING) != 0 || r->facts.sets || r->facts.only == NULL || open;
    if (!r->facts.fusible || c->begin != NULL || tells ||
        (c->status == 'I' && changes_next_transaction(s, r->want))) {
        put_prelude(r, own);
        return close_prelude(r);
    }
    put_prelude(r, own);
    if (settled) { return MOVE_ON; }
    const struct statement *st = r->facts.only;
    r->set_by_us = st != NULL && only_reads_settings(st) && r->facts.pins == 0;
    return MOVE_ON;
}

/* ---- messages of a batch --------------------------------------------------------------------- */

static void forward(struct server *s, struct bytes message)
{
    stream_put(&s->stream, message);
}

/* Where the server must refuse: it has that statement, so another Parse of it is an error. */
static void send_refused_parse(struct request *r, const struct prepared *p, const char *name)
{
    struct server *s = r->server;
    char ours[PREPARED_NAME];
    server_need(s, p); /* an error in the text itself comes first */
    prepared_name(p, ours);
    extended_put_parse(&s->stream.out, ours, p->text, p->types, p->types_count);
    expects_push_taken(&s->expects, p, name);
}

static const struct prepared *intern(const struct request *r, const struct parse_msg *m)
{
    struct reading how = names_reading(r, m->text);
    if (m->name[0] != '\0' && names_are_in(r, m->text)) { how.of = r->client->id; }
    const struct prepared *const likely[] = {r->server->unnamed, r->client->unnamed};
    for (size_t i = 0; i < sizeof likely / sizeof *likely; i++) {
        if (prepared_is(likely[i], m->text, m->types, m->types_count, how)) {
            return prepared_ref(likely[i]);
        }
    }
    return prepared_intern(m->text, m->types, m->types_count, how);
}

/* The client's Parse goes as it is, under the client's name. */
static void expect_own_parse(struct request *r, const struct prepared *p, const char *name)
{
    struct server *s = r->server;
    prepared_unref(&s->unnamed);
    if (name[0] == '\0') { s->unnamed = prepared_ref(p); }
    expects_push_named(&s->expects, EXPECT_PARSE, p, name);
    stats_add(&client_stats(r->client)->server_parses, 1);
}

static void send_parse(struct request *r, struct bytes message, struct bytes body)
{
    struct server *s = r->server;
    struct parse_msg m;
    if (extended_read_parse(body, &m) != E_OK) { return; } /* read once already */
    stats_add(&client_stats(r->client)->client_parses, 1);
    const struct prepared *p = intern(r, &m);
    names_parse(r, m.text);
    if (m.name[0] == '\0' || s->target->max_prepared == 0) {
        forward(s, message);
        expect_own_parse(r, p, m.name);
    } else if (pending_statement(r, m.name) != NULL ||
               (server_has(s, p) && failed_refuses(r, m.text))) {
        send_refused_parse(r, p, m.name);
    } else if (server_has(s, p)) {
        server_need(s, p);
        expects_push_fake(&s->expects, '1', p, m.name);
    } else {
        server_parse(s, p, m.name);
        stats_add(&client_stats(r->client)->server_parses, 1);
    }
    prepared_unref(&p);
}

/*
 * The name to use on the server for the client's name. A name it never gave stays as it is, so that
 * the server's error tells it; but never one of ours. Returns the id of what has a name of ours.
 */
static uint64_t name_on_server(struct request *r, const char *name, const struct prepared *p,
                               char ours[PREPARED_NAME + 64])
{
    struct server *s = r->server;
    if (name[0] == '\0') {
        server_need_unnamed(s, p);
        ours[0] = '\0';
    } else if (p != NULL && p->by_sql) {
        names_use(r, name, p);
        (void)snprintf(ours, PREPARED_NAME + 64, "%s", name);
    } else if (p == NULL || s->target->max_prepared == 0) {
        if (p == NULL) { names_use(r, name, NULL); }
        bool forged = strncmp(name, PREPARED_PREFIX, strlen(PREPARED_PREFIX)) == 0;
        (void)snprintf(ours, PREPARED_NAME + 64, "%s%.80s", forged ? "?" : "", name);
    } else {
        server_need(s, p);
        prepared_name(p, ours);
        return p->id;
    }
    return 0;
}

static uint64_t server_name(struct request *r, const char *name, char ours[PREPARED_NAME + 64])
{
    const struct expects *x = &r->server->expects;
    const struct prepared *p = pending_statement(r, name);
    if (p != NULL && !p->by_sql) { names_parse(r, p->text); }
    const uint32_t owed = x->count;
    uint64_t id = name_on_server(r, name, p, ours);
    r->remakes = r->remakes || (owed > r->owed_before && x->count > owed);
    return id;
}

static void send_bind(struct request *r, struct bytes body)
{
    struct bind_msg m;
    char name[PREPARED_NAME + 64];
    if (extended_read_bind(body, &m) != E_OK) { return; }
    names_bind(r, m.portal, pending_statement(r, m.statement));
    uint64_t id = server_name(r, m.statement, name);
    extended_put_bind(&r->server->stream.out, m.portal, name, m.rest);
    expects_push_use(&r->server->expects, EXPECT_BIND, id, m.statement);
    stats_add(&client_stats(r->client)->binds, 1);
}

static void send_target(struct request *r, uint8_t type, struct bytes message, struct bytes body)
{
    struct server *s = r->server;
    struct target_msg m;
    char name[PREPARED_NAME + 64];
    if (extended_read_target(body, &m) != E_OK) { return; }
    if (m.kind != 'S') {
        forward(s, message);
        expects_push(&s->expects, type == 'D' ? EXPECT_DESCRIBE : EXPECT_CLOSE, OWNER_CLIENT, NULL);
    } else if (type == 'D') {
        const struct prepared *p = pending_statement(r, m.name);
        if (p != NULL && !p->by_sql && failed_describe(r, m.name, p)) { return; }
        uint64_t id = server_name(r, m.name, name);
        extended_put_target(&s->stream.out, 'D', 'S', name);
        expects_push_use(&s->expects, EXPECT_DESCRIBE, id, m.name);
    } else if (m.name[0] == '\0' || s->target->max_prepared == 0) {
        forward(s, message);
        expects_push_named(&s->expects, EXPECT_CLOSE, NULL, m.name);
        if (m.name[0] == '\0') { prepared_unref(&s->unnamed); }
    } else {
        /* Others may use the same statement: only the client's name goes. */
        expects_push_fake(&s->expects, '3', NULL, m.name);
    }
}

/* All of it unnamed, as drivers do that prepare nothing: not a byte of it is different for the
 * server. */
static bool is_the_servers(const struct unit *u)
{
    return u->plain && u->has_parse && u->parse.name[0] == '\0' && u->bind.statement[0] == '\0';
}

static void send_execute(struct request *r, struct bytes message, struct bytes body)
{
    struct execute_msg m;
    if (extended_read_execute(body, &m) != E_OK) { return; }
    names_execute(r, m.portal);
    forward(r->server, message);
    expects_push(&r->server->expects, EXPECT_EXECUTE, OWNER_CLIENT, NULL);
    names_executed(r, m.portal);
}

static void send_as_it_is(struct request *r)
{
    struct server *s = r->server;
    const struct unit *u = &r->unit;
    const struct prepared *p = intern(r, &u->parse);
    if (!kept_send(r, p)) {
        forward(s, u->raw);
        expect_own_parse(r, p, "");
        expects_push(&s->expects, EXPECT_BIND, OWNER_CLIENT, NULL);
    }
    prepared_unref(&p);
    if (u->described) { expects_push(&s->expects, EXPECT_DESCRIBE, OWNER_CLIENT, NULL); }
    expects_push(&s->expects, EXPECT_EXECUTE, OWNER_CLIENT, NULL);
    expects_push(&s->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
    stats_add(&client_stats(r->client)->client_parses, 1);
    stats_add(&client_stats(r->client)->binds, 1);
    r->batch_open = false;
}

static void send_batch(struct request *r)
{
    struct server *s = r->server;
    const struct bytes raw = r->unit.raw;
    for (size_t at = 0; at < raw.len;) {
        struct frame f;
        struct bytes rest = bytes_skip(raw, at);
        if (frame_peek(rest, &f) != E_OK) { return; } /* read once already */
        struct bytes message = bytes_of(rest.ptr, f.size), body = frame_body(rest, f);
        at += f.size;
        switch (f.type) {
        case 'P': send_parse(r, message, body); break;
        case 'B': send_bind(r, body); break;
        case 'D':
        case 'C': send_target(r, f.type, message, body); break;
        case 'E': send_execute(r, message, body); break;
        case 'S':
            forward(s, message);
            expects_push(&s->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
            break;
        default: forward(s, message); break;
        }
    }
    r->batch_open = !r->unit.sync;
}

/* A message whose end is not here yet: what is there goes, the rest follows as it comes (road.c).
 */
static void send_stream(struct request *r)
{
    struct server *s = r->server;
    const struct unit *u = &r->unit;
    size_t here = u->raw.len < u->size ? u->raw.len : u->size, from = 0;
    if (u->type == 'B') {
        char name[PREPARED_NAME + 64];
        uint64_t id = server_name(r, u->statement, name);
        size_t mark = compose_begin(&s->stream.out, 'B');
        buf_put_str(&s->stream.out, u->portal);
        buf_put_str(&s->stream.out, name);
        size_t head = 4 + strlen(u->portal) + 1 + strlen(name) + 1;
        put_u32(s->stream.out.data + s->stream.out.start + mark + 1,
                (uint32_t)(head + u->size - u->skip));
        from = u->skip;
        expects_push_use(&s->expects, EXPECT_BIND, id, u->statement);
        r->batch_open = true;
    } else {
        expects_push(&s->expects, u->type == 'Q' ? EXPECT_QUERY : EXPECT_FUNCTION, OWNER_CLIENT,
                     NULL);
    }
    stream_put(&s->stream, bytes_of(u->raw.ptr + from, here - from));
    r->left = (uint32_t)(u->size - here);
    s->torn = r->left > 0;
    r->unit.size = here;
}

/* ---- what a statement will have changed ------------------------------------------------------ */

/* SET and RESET of one setting, as the client's state if the transaction commits. */
static bool carry_setting(struct request *r, const struct statement *s)
{
    struct client *c = r->client;
    if (s->settings_count != 1) { return false; }
    const struct stmt_setting *set = &s->settings[0];
    if (set->local || set->reads || set->by_function || set->name == NULL) { return false; }
    if (!set->resets && set->value == NULL) { return false; }
    struct varset_edit server, client;
    varset_edit_begin(&server, r->server->now);
    varset_edit_begin(&client, c->in_tx);
    const char *given = varset_get(c->base, set->name);
    if (!set->resets) {
        varset_edit_set(&server, set->name, set->value);
        varset_edit_set(&client, set->name, set->value);
    } else {
        varset_edit_set(&server, set->name, varset_get(r->server->begun, set->name));
        if (given != NULL) {
            r->resets |= RESET_SETTINGS;
            r->retell = r->server->begun == varset_empty();
            varset_edit_set(&client, set->name, given);
        } else {
            varset_edit_remove(&client, set->name);
        }
    }
    if (strcmp(set->name, "session_authorization") == 0) { /* it ends SET ROLE */
        varset_edit_set(&server, "role", varset_get(r->server->begun, "role"));
        varset_edit_set(&client, "role", varset_get(c->base, "role"));
    }
    const struct varset *now = varset_edit_end(&server);
    server_assume(r->server, now);
    varset_unref(&now);
    varset_unref(&c->in_tx);
    c->in_tx = varset_edit_end(&client);
    r->dates = !set->resets && strcmp(set->name, "datestyle") == 0 &&
               r->unit.sync == (r->unit.kind == UNIT_BATCH);
    return true;
}

/* RESET ALL and DISCARD ALL. The former leaves the role alone. */
static void assume_reset(struct request *r, bool role_too)
{
    static const char *const kept[] = {"role", "session_authorization"};
    struct client *c = r->client;
    struct varset_edit server, client;
    varset_edit_begin(&server, r->server->begun);
    varset_edit_begin(&client, c->base);
    for (size_t i = 0; i < sizeof kept / sizeof *kept && !role_too; i++) {
        varset_edit_set(&server, kept[i], varset_get(r->server->now, kept[i]));
        varset_edit_set(&client, kept[i], varset_get(c->in_tx, kept[i]));
    }
    const struct varset *now = varset_edit_end(&server);
    server_assume(r->server, now);
    varset_unref(&now);
    varset_unref(&c->in_tx);
    c->in_tx = varset_edit_end(&client);
}

static void expect_effects(struct request *r)
{
    struct client *c = r->client;
    const struct facts *f = &r->facts;
    const struct statement *s = f->only;
    r->pins |= f->pins;
    renew_note_sent(r);
    const bool unfollowed = ((c->pins | r->pins) & (PIN_SETTING | PIN_UNKNOWN)) != 0;
    if (f->local || unfollowed || (s == NULL && f->sets)) { server_reads_oddly(r->server); }
    r->frees = r->frees || (f->flags & (STMT_FREES | STMT_TEMP_DROP | STMT_ROLLS_BACK_TO)) != 0;
    if (f->writes_all) { r->writes_all = true; }
    for (unsigned i = 0; i < f->writes_count; i++) {
        if (r->writes_count == JUDGE_DEPS) {
            r->writes_all = true;
            break;
        }
        r->writes[r->writes_count++] = f->writes[i];
    }
    bool runs = r->unit.kind != UNIT_BATCH || r->unit.executes > 0 || r->unit.has_bind;
    if (f->may_taint && runs) { r->server->reset_needed = true; }
    if (f->sequences && runs) {
        r->server->sequences_of = c->id;
        c->sequences_on = r->server->backend_pid;
    }
    if (r->unit.kind == UNIT_BATCH && r->unit.executes == 0) {
        /* Parsed and bound only. An Execute may follow, when it is not known of what. */
        if (r->unit.has_bind && (f->sets || f->discards || (f->flags & STMT_RESETS_ALL) != 0)) {
            r->pins |= PIN_SETTING;
            r->touched_unclear =
                r->touched_unclear || f->discards || (f->flags & STMT_RESETS_ALL) != 0;
            r->server->close_needed = r->server->close_needed || f->discards;
        }
        return;
    }
    if (s == NULL && f->sets) { r->pins |= PIN_SETTING; }
    const bool sole_end = s != NULL && (s->kind == STMT_COMMIT || s->kind == STMT_ROLLBACK);
    const bool goes_on = (f->flags & STMT_CHAIN) != 0 || /* or with a BEGIN behind it */
                         (f->ends && !sole_end && (f->flags & STMT_ROLLS_BACK_TO) == 0);
    r->chains = r->chains || goes_on;
    r->ends = sole_end && !r->chains ? s->kind : STMT_EMPTY;
    r->commits = r->commits || (sole_end ? s->kind == STMT_COMMIT : f->ends);
    r->partly = (f->flags & STMT_TRANSACTION) != 0 ||
                (s != NULL && (s->kind == STMT_CALL || s->kind == STMT_DO));
    if (s != NULL && s->kind == STMT_DISCARD && strcmp(s->name, "sequences") == 0) {
        r->resets |= RESET_SEQUENCES;
    }
    if (f->discards) { r->resets |= RESET_STATEMENTS; }
    if ((f->flags & STMT_RESETS_ALL) != 0) {
        r->resets |= RESET_SETTINGS;
        r->retell = varset_count(c->base) > 0 && r->server->begun == varset_empty();
        bool all = s != NULL && s->kind == STMT_DISCARD_ALL;
        assume_reset(r, all || (s == NULL ? f->discards : (s->flags & STMT_FORGETS) != 0));
    }
    bool plain = s != NULL &&
                 (s->kind == STMT_SELECT || s->kind == STMT_MODIFY || s->kind == STMT_COPY_FROM);
    r->undoable = plain && (r->sole || r->undoable);
    if (s != NULL && (s->kind == STMT_SET || s->kind == STMT_RESET) && !carry_setting(r, s)) {
        r->pins |= PIN_SETTING;
    }
    if (goes_on) { /* COMMIT, too, rolls back what has failed */
        bool sets = (r->pins & PIN_SETTING) != 0;
        server_goes_back(r->server, r->server->have, !r->server->have_unsure && !sets);
    }
    bool known = !f->savepoints;
    if (s != NULL && s->kind != STMT_MULTI && f->savepoints) {
        known = savepoints_note(r, s);
    } else if (f->savepoints || f->unknown) {
        savepoints_clear(c);
    }
    const bool lost = !known && (f->flags & STMT_ROLLS_BACK_TO) != 0;
    if (lost) { listen_undo_unknown(c); }
    if (lost && c->in_tx != c->wanted) {
        r->pins |= PIN_SETTING;
        touched_note_all(r, c->in_tx);
        touched_note_all(r, c->wanted);
    }
}

/* ---- the step -------------------------------------------------------------------------------- */

void request_send_begin(struct request *r)
{
    struct client *c = r->client;
    if (c->begin == NULL) { return; }
    server_prelude_text(r->server, c->begin);
    mem_free(&c->begin);
    c->begin_reads = false;
}

enum move step_send(struct request *r)
{
    struct server *s = r->server;
    const bool whole = !r->batch_open;
    enum move m = names_prepare(r);
    if (m != MOVE_ON) { return m; }
    r->answered = r->kept = false;
    if (s->expects.count == 0) {
        s->requested_us = loop_now(s->stream.loop);
        if (r->client->status == 'I') { r->began_us = s->requested_us; }
    }
    request_send_begin(r);
    expect_effects(r);
    listen_expect(r);
    r->owed_before = whole ? s->expects.count : 0;
    if (whole) { r->remakes = false; }
    switch (r->unit.kind) {
    case UNIT_QUERY:
        forward(s, r->unit.raw);
        prepared_unref(&s->unnamed); /* a simple query drops it */
        if (s->expects.count == 0) {
            expects_push(&s->expects, EXPECT_QUERY, OWNER_CLIENT, NULL);
            client_name_statement(r->client, "", NULL);
        } else { /* after what is under way has named it */
            expects_push_named(&s->expects, EXPECT_QUERY, NULL, "");
        }
        names_query(r);
        r->batch_open = false;
        break;
    case UNIT_FUNCTION:
        forward(s, r->unit.raw);
        expects_push(&s->expects, EXPECT_FUNCTION, OWNER_CLIENT, NULL);
        break;
    case UNIT_BATCH:
        if (is_the_servers(&r->unit) && !r->facts.names && r->portals == NULL) {
            send_as_it_is(r);
        } else {
            send_batch(r);
        }
        break;
    case UNIT_STREAM: send_stream(r); break;
    }
    again_keep(r, whole);
    r->as_it_is = false;
    r->copies = r->facts.copies || (r->copies && !whole);
    const struct statement *st = r->facts.only;
    r->may_copy = !r->batch_open || (r->unit.kind == UNIT_BATCH && r->unit.executes > 0 &&
                                     (st == NULL || st->kind == STMT_COPY_FROM));
    relay_fakes(r);
    r->client->requested_wall_us = s->requested_wall_us = loop_wall(s->stream.loop);
    stats_add(&client_stats(r->client)->received, r->unit.size);
    if (r->unit.kind != UNIT_BATCH || r->unit.executes > 0) {
        stats_add(&client_stats(r->client)->queries, 1);
    }
    return MOVE_DONE;
}
