/*
 * What a server still owes: one entry per message sent that will be answered, in order. An entry
 * says what completes it and whether its answer is the client's, ours to swallow, or ours to make
 * up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "query/statement.h"
#include "server/prepared.h"

enum expect_kind {
    EXPECT_QUERY,    /* anything up to ReadyForQuery */
    EXPECT_PARSE,    /* ParseComplete */
    EXPECT_BIND,     /* BindComplete */
    EXPECT_CLOSE,    /* CloseComplete */
    EXPECT_DESCRIBE, /* RowDescription or NoData, after ParameterDescription for a statement */
    EXPECT_EXECUTE,  /* CommandComplete, EmptyQueryResponse or PortalSuspended */
    EXPECT_SYNC,     /* ReadyForQuery */
    EXPECT_FUNCTION, /* FunctionCallResponse, then ReadyForQuery */
    EXPECT_FAKE,     /* nothing: the client's answer is made up when its turn comes */
};

enum expect_owner {
    OWNER_CLIENT,
    OWNER_NOBODY, /* swallow: a setting, a BEGIN, a re-made Parse */
};

/* What the client's SQL will do with the name of a prepared statement, in the order of the text. */
struct naming {
    struct naming *next;
    enum stmt_naming what;
    const struct prepared *prepared; /* PREPARE: one reference */
    char name[];
};

struct expect {
    uint8_t kind;  /* enum expect_kind */
    uint8_t owner; /* enum expect_owner */
    uint8_t fake;  /* EXPECT_FAKE: the type of the empty message to make up */
    bool held;     /* FAKE: its turn comes with the answer to what follows it, unless that is an
                      error */
    bool unnamed;  /* PARSE of the unnamed statement, whose text may be one that
                      the server also has by name */
    bool taken;    /* PARSE that the server refuses, because it has the name; ours: the client is to
                      read its own */
    bool counted;  /* among those that may rename */
    const struct prepared *prepared; /* PARSE, CLOSE of a server-side name: one reference */
    uint64_t id;                     /* BIND, DESCRIBE: of the server-side statement, or 0 */
    /* The client's name: that becomes known (PARSE) or free (CLOSE) with it, that is used (BIND,
       DESCRIBE). Of ours: under which the server is given what the client has under it. */
    char *name;
    struct naming *namings; /* QUERY, EXECUTE: those that have not happened yet */
};

struct expects {
    struct expect *ring;
    uint32_t first, count, room; /* room is a power of two */
    uint32_t renaming; /* of these, by which a client's name may come to mean something else */
};

void expects_push(struct expects *x, enum expect_kind kind, enum expect_owner owner,
                  const struct prepared *prepared);
/* The client's Bind or Describe of its statement of that name, which has a name of ours, or id 0.
 */
void expects_push_use(struct expects *x, enum expect_kind kind, uint64_t id, const char *name);
/* The last one pushed is to do that, after what it does already. Takes no reference. */
void expects_add_naming(struct expects *x, enum stmt_naming what, const char *name,
                        const struct prepared *p);
/* The first naming of the head is done with. */
void expect_drop_naming(struct expect *e);
/* The client's Parse or Close: name is copied. */
void expects_push_named(struct expects *x, enum expect_kind kind, const struct prepared *prepared,
                        const char *name);
/* The client's Parse of a name that is taken, sent under the server-side name of prepared. */
void expects_push_taken(struct expects *x, const struct prepared *prepared, const char *name);
void expects_push_fake(struct expects *x, uint8_t type, const struct prepared *prepared,
                       const char *name);
/* Does the client's name come to mean something else when it is done? */
static inline bool expect_renames(const struct expect *e)
{
    return e->name != NULL && e->owner == OWNER_CLIENT && !e->taken && e->kind != EXPECT_BIND &&
           e->kind != EXPECT_DESCRIBE;
}
/* NULL when nothing is owed. */
static inline struct expect *expects_head(const struct expects *x)
{
    return x->count == 0 ? NULL : &x->ring[x->first];
}
struct expect expects_pop(struct expects *x); /* what it holds goes to the caller: expect_done() */
void expect_done(struct expect *e);
/* Is the backend message of this type the last that the entry stands for? */
bool expect_completed_by(const struct expect *x, uint8_t type);
struct expect *expects_at(const struct expects *x, uint32_t i);
/* COPY IN swallows every Sync that was sent after its Execute: forget those. */
void expects_drop_syncs_after_head(struct expects *x);
void expects_clear(struct expects *x);
void expects_done(struct expects *x);
