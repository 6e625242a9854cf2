/*
 * Savepoints of the transaction in progress, with the client's settings and the server's as they
 * were at each: ROLLBACK TO brings them back. Taken note of when the statement is sent, which is
 * alone then; in a failed transaction nothing is sent that makes one.
 */
#include <string.h>

#include "base/mem.h"
#include "request/request.h"

struct savepoint {
    struct savepoint *older;
    const struct varset *settings;  /* the client's */
    const struct varset *on_server; /* what was believed of it */
    bool sure;
    size_t listens; /* listen_mark() */
    char *name;
};

static void drop_newest(struct client *c)
{
    struct savepoint *sp = c->savepoints;
    c->savepoints = sp->older;
    varset_unref(&sp->settings);
    varset_unref(&sp->on_server);
    mem_free(&sp->name);
    mem_free(&sp);
}

void savepoints_clear(struct client *c)
{
    while (c->savepoints != NULL) { drop_newest(c); }
}

static struct savepoint *find(const struct client *c, const char *name)
{
    struct savepoint *sp = c->savepoints;
    while (sp != NULL && strcmp(sp->name, name) != 0) { sp = sp->older; }
    return sp;
}

static void make(struct request *r, const char *name)
{
    struct client *c = r->client;
    struct savepoint *sp = mem_new(struct savepoint);
    sp->name = mem_strdup(name);
    sp->settings = varset_ref(c->in_tx);
    sp->on_server = varset_ref(r->server->now);
    sp->sure = r->server->sure;
    sp->listens = listen_mark(c);
    sp->older = c->savepoints;
    c->savepoints = sp;
}

bool savepoints_note(struct request *r, const struct statement *s)
{
    struct client *c = r->client;
    struct savepoint *at = find(c, s->name);
    if (s->kind == STMT_SAVEPOINT) {
        if (c->status != 'E') { make(r, s->name); }
        return true;
    }
    if (at == NULL || (s->kind == STMT_RELEASE && c->status == 'E')) { return at != NULL; }
    while (c->savepoints != at) { drop_newest(c); }
    if (s->kind == STMT_RELEASE) {
        drop_newest(c);
        return true;
    }
    varset_unref(&c->in_tx);
    c->in_tx = varset_ref(at->settings);
    server_goes_back(r->server, at->on_server, at->sure);
    listen_undo(c, at->listens);
    return true;
}
