/* The ring of what a server owes. */
#include "server/expect.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

static char unnamed[] = ""; /* the name of most: not worth an allocation */

static struct expect *at(const struct expects *x, uint32_t i)
{
    return &x->ring[(x->first + i) & (x->room - 1)];
}

static struct expect *push(struct expects *x)
{
    if (x->count == x->room) {
        uint32_t room = x->room == 0 ? 16 : x->room * 2;
        struct expect *ring = mem_array(struct expect, room);
        for (uint32_t i = 0; i < x->count; i++) { ring[i] = *at(x, i); }
        mem_free(&x->ring);
        *x = (struct expects){
            .ring = ring, .count = x->count, .room = room, .renaming = x->renaming};
    }
    x->count++;
    struct expect *e = at(x, x->count - 1);
    *e = (struct expect){0};
    return e;
}

void expects_push(struct expects *x, enum expect_kind kind, enum expect_owner owner,
                  const struct prepared *prepared)
{
    struct expect *e = push(x);
    e->kind = (uint8_t)kind;
    e->owner = (uint8_t)owner;
    e->prepared = prepared == NULL ? NULL : prepared_ref(prepared);
}

static char *keep_name(const char *name)
{
    return name[0] == '\0' ? unnamed : mem_strdup(name);
}

void expects_push_use(struct expects *x, enum expect_kind kind, uint64_t id, const char *name)
{
    expects_push(x, kind, OWNER_CLIENT, NULL);
    at(x, x->count - 1)->id = id;
    at(x, x->count - 1)->name = keep_name(name);
}

/* The last one pushed may rename. */
static void count(struct expects *x)
{
    struct expect *e = at(x, x->count - 1);
    x->renaming += !e->counted;
    e->counted = true;
}

void expects_add_naming(struct expects *x, enum stmt_naming what, const char *name,
                        const struct prepared *p)
{
    size_t len = name == NULL ? 0 : strlen(name);
    struct naming *n = mem_zeroed(sizeof *n + len + 1);
    n->what = what;
    n->prepared = p == NULL ? NULL : prepared_ref(p);
    if (len > 0) { memcpy(n->name, name, len); }
    struct naming **last = &at(x, x->count - 1)->namings;
    while (*last != NULL) { last = &(*last)->next; }
    count(x);
    *last = n;
}

void expect_drop_naming(struct expect *e)
{
    struct naming *n = e->namings;
    e->namings = n->next;
    prepared_unref(&n->prepared);
    mem_free(&n);
}

void expects_push_named(struct expects *x, enum expect_kind kind, const struct prepared *prepared,
                        const char *name)
{
    expects_push(x, kind, OWNER_CLIENT, prepared);
    at(x, x->count - 1)->name = keep_name(name);
    at(x, x->count - 1)->unnamed = kind == EXPECT_PARSE && name[0] == '\0';
    count(x);
}

void expects_push_taken(struct expects *x, const struct prepared *prepared, const char *name)
{
    expects_push_named(x, EXPECT_PARSE, prepared, name);
    at(x, x->count - 1)->taken = true;
}

void expects_push_fake(struct expects *x, uint8_t type, const struct prepared *prepared,
                       const char *name)
{
    expects_push_named(x, EXPECT_FAKE, prepared, name);
    at(x, x->count - 1)->fake = type;
}

void expect_done(struct expect *e)
{
    prepared_unref(&e->prepared);
    while (e->namings != NULL) { expect_drop_naming(e); }
    if (e->name != unnamed) { mem_free(&e->name); }
    e->name = NULL;
}

struct expect *expects_at(const struct expects *x, uint32_t i)
{
    return i < x->count ? at(x, i) : NULL;
}

struct expect expects_pop(struct expects *x)
{
    assert(x->count > 0);
    struct expect e = *at(x, 0);
    x->first = (x->first + 1) & (x->room - 1);
    x->count--;
    x->renaming -= e.counted;
    return e;
}

bool expect_completed_by(const struct expect *x, uint8_t type)
{
    switch (x->kind) {
    case EXPECT_QUERY:
    case EXPECT_SYNC:
    case EXPECT_FUNCTION: return type == 'Z';
    case EXPECT_PARSE: return type == '1';
    case EXPECT_BIND: return type == '2';
    case EXPECT_CLOSE: return type == '3';
    case EXPECT_DESCRIBE: return type == 'T' || type == 'n';
    case EXPECT_EXECUTE: return type == 'C' || type == 'I' || type == 's';
    default: return false;
    }
}

void expects_drop_syncs_after_head(struct expects *x)
{
    uint32_t kept = x->count == 0 ? 0 : 1;
    for (uint32_t i = 1; i < x->count; i++) {
        if (at(x, i)->kind == EXPECT_SYNC) { continue; } /* holds nothing */
        *at(x, kept++) = *at(x, i);
    }
    x->count = kept;
}

void expects_clear(struct expects *x)
{
    while (x->count > 0) {
        struct expect e = expects_pop(x);
        expect_done(&e);
    }
}

void expects_done(struct expects *x)
{
    expects_clear(x);
    mem_free(&x->ring);
    x->room = 0;
}
