/*
 * Transactions that exist only here so far. BEGIN is answered at once and sent with the first
 * statement, so that a client idle after it holds no server and its first statement chooses the
 * seat; if none comes, COMMIT and ROLLBACK are answered too. DEALLOCATE of a name that a client
 * gave by protocol never reaches a server: the name is ours to forget. So is what is left of a
 * transaction whose server died.
 */
#include "base/mem.h"
#include "pgwire/compose.h"
#include "request/request.h"

void virtual_parse(struct request *r, struct reading how)
{
    const struct unit *u = &r->unit;
    if (!u->has_parse) { return; }
    const struct prepared *p =
        prepared_intern(u->parse.text, u->parse.types, u->parse.types_count, how);
    client_name_statement(r->client, u->parse.name, p);
    prepared_unref(&p);
    compose_bare(&r->client->stream.out, '1');
}

void virtual_complete(struct request *r, const char *tag, uint8_t status)
{
    struct client *c = r->client;
    const struct unit *u = &r->unit;
    struct buf *out = &c->stream.out;
    if (u->kind == UNIT_BATCH) {
        virtual_parse(r, reading_any());
        compose_bare(out, '2');
        if (u->described) { compose_bare(out, 'n'); }
    } else {
        client_name_statement(c, "", NULL); /* as a simple query does */
    }
    compose_complete(out, tag);
    compose_ready(out, status);
    c->status = status;
    stats_add(&client_stats(c)->queries, 1);
}

static void drop_begin(struct client *c)
{
    mem_free(&c->begin);
    c->begin_reads = false;
}

/* Answered whole by us: one Query, or a batch of the plain form that has no error in it. */
static bool is_whole(const struct client *c, const struct unit *u)
{
    if (u->kind == UNIT_QUERY) { return true; }
    if (u->kind != UNIT_BATCH || !u->plain || u->bind.params_count > 0) { return false; }
    if (u->has_parse) {
        bool taken = u->parse.name[0] != '\0' && client_statement(c, u->parse.name) != NULL;
        return !taken && u->parse.types_count == 0;
    }
    const struct prepared *p = client_statement(c, u->bind.statement);
    return p != NULL && p->types_count == 0;
}

static bool begin(struct request *r, const struct statement *s)
{
    struct client *c = r->client;
    if (c->status != 'I' || c->account->mode != POOL_TRANSACTION) { return false; }
    /* A portal of that name is there until the transaction's end. */
    if (r->unit.kind == UNIT_BATCH && r->unit.bind.portal[0] != '\0') { return false; }
    c->begin = mem_strndup((const char *)r->unit.text.ptr, r->unit.text.len);
    c->begin_reads = (s->flags & STMT_BEGIN_READ_ONLY) != 0;
    bool starts = (s->flags & STMT_BEGIN_START) != 0;
    virtual_complete(r, starts ? "START TRANSACTION" : "BEGIN", 'T');
    return true;
}

static bool end(struct request *r, const struct statement *s)
{
    struct client *c = r->client;
    bool commit = s->kind == STMT_COMMIT;
    if ((c->begin == NULL && !c->lost) || (s->flags & STMT_CHAIN) != 0) { return false; }
    if (commit && c->lost_untold != NULL) { return false; }
    virtual_complete(r, commit && !c->lost ? "COMMIT" : "ROLLBACK", 'I');
    drop_begin(c);
    c->lost = false;
    mem_free(&c->lost_untold);
    return true;
}

static bool deallocate(struct request *r, const struct statement *s)
{
    struct client *c = r->client;
    if ((c->pins & (PIN_PREPARE | PIN_UNKNOWN)) != 0) { return false; }
    if (s->name == NULL && c->status != 'E') {
        virtual_complete(r, "DEALLOCATE ALL", c->status);
        client_forget_names(c);
        return true;
    }
    if (s->name == NULL || c->status == 'E' || client_statement(c, s->name) == NULL) {
        return false;
    }
    virtual_complete(r, "DEALLOCATE", c->status);
    client_name_statement(c, s->name, NULL);
    return true;
}

/* A prepared name that the batch relies on may carry a BEGIN: parse text and bound text are the
 * same. */
bool virtual_answer(struct request *r)
{
    struct client *c = r->client;
    const struct statement *s = r->facts.only;
    bool linked = r->server != NULL && (r->server->expects.count > 0 || r->batch_open);
    if (s != NULL && is_whole(c, &r->unit) && !linked &&
        (r->server == NULL || s->kind == STMT_DEALLOCATE)) {
        switch (s->kind) {
        case STMT_BEGIN:
            if (begin(r, s)) { return true; }
            break;
        case STMT_COMMIT:
        case STMT_ROLLBACK:
            if (end(r, s)) { return true; }
            break;
        case STMT_DEALLOCATE:
            if (deallocate(r, s)) { return true; }
            break;
        default: break;
        }
    }
    if (!c->lost) { return false; }
    struct fault why;
    if (c->lost_untold != NULL) {
        (void)fault_state(&why, E_LOST, "08006", "%s", c->lost_untold);
        mem_free(&c->lost_untold);
        fault_hint(&why, "The transaction is lost; end it with ROLLBACK.");
        (void)request_fail(r, &why);
        return true;
    }
    (void)fault_state(
        &why, E_LOST, "25P02",
        "current transaction is aborted, commands ignored until end of transaction block");
    (void)request_fail(r, &why);
    return true;
}
