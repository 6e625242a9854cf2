/* A server that is connected to nothing: what it would be sent stays in its stream's buffer. */
#pragma once

#include "base/mem.h"
#include "server/server.h"

static struct server_target target;

static struct server *server_small(unsigned max_prepared)
{
    struct server *s = mem_new(struct server);
    target.max_prepared = max_prepared;
    s->stream.fd = -1;
    s->target = &target;
    s->state = SERVER_ACTIVE;
    s->status = 'I';
    s->sure = true;
    s->have = varset_ref(varset_empty());
    s->now = varset_ref(varset_empty());
    s->begun = varset_ref(varset_empty());
    s->customs = varset_ref(varset_empty());
    dlist_init(&s->node);
    dlist_init(&s->all);
    dlist_init(&s->lru);
    return s;
}

/* "name", "value", ..., NULL */
static inline const struct varset *set_of(const char *const *pairs)
{
    struct varset_edit e;
    varset_edit_begin(&e, varset_empty());
    for (; *pairs != NULL; pairs += 2) { varset_edit_set(&e, pairs[0], pairs[1]); }
    return varset_edit_end(&e);
}
#define SET(...) set_of((const char *const[]){__VA_ARGS__, NULL})
