/*
 * Savepoints of the transaction in progress, with the client's settings as they were at each:
 * ROLLBACK TO brings them back. Taken note of when the statement is sent; in a failed transaction
 * nothing is sent that makes one, and a name that does not exist changes nothing, as on the server.
 */
#include <string.h>

#include "base/mem.h"
#include "request/request.h"

struct savepoint {
    struct savepoint *older;
    const struct varset *settings;
    char *name;
};

static void drop_newest(struct client *c)
{
    struct savepoint *sp = c->savepoints;
    c->savepoints = sp->older;
    varset_unref(&sp->settings);
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

void savepoints_note(struct client *c, const struct statement *s)
{
    if (s->name == NULL) { return; }
    struct savepoint *at = find(c, s->name);
    if (s->kind == STMT_SAVEPOINT && c->status != 'E') {
        struct savepoint *sp = mem_new(struct savepoint);
        sp->name = mem_strdup(s->name);
        sp->settings = varset_ref(c->in_tx);
        sp->older = c->savepoints;
        c->savepoints = sp;
    } else if (s->kind == STMT_ROLLBACK_TO && at != NULL) {
        while (c->savepoints != at) { drop_newest(c); }
        varset_unref(&c->in_tx);
        c->in_tx = varset_ref(at->settings);
    } else if (s->kind == STMT_RELEASE && at != NULL && c->status != 'E') {
        while (c->savepoints != at) { drop_newest(c); }
        drop_newest(c);
    }
}
