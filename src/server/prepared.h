/*
 * A prepared statement's text and parameter types, interned for the whole process: two clients that
 * prepare the same share one, and so one server-side name. Immutable but for its turn, refcounted,
 * any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "settings/varset.h"

/*
 * PostgreSQL reads literals and names when it parses: the same text, prepared under other settings,
 * is another statement, and stays that one whatever is set later.
 */
struct reading {
    const struct varset *settings; /* varset_reading(), borrowed; NULL: they do not matter to it */
    uint64_t odd;     /* not only those: the number of the transaction that alone knows; or 0 */
    uint64_t catalog; /* kept for who did not ask: the version of what names mean; or 0 */
    uint32_t of;      /* the only client that shares it, or 0: what it means depends on its names */
};

struct prepared {
    uint64_t id;          /* its server-side name is "pgusher_<id in hex>" */
    struct bytes text;    /* without a zero */
    const uint8_t *types; /* 4 bytes each, network order */
    uint16_t types_count;
    bool by_sql;            /* the text is a whole PREPARE ... AS ... */
    struct reading reading; /* one reference, unless NULL */
    _Atomic uint32_t *turn; /* how often a change of tables was seen to make its plans void */
};

enum { PREPARED_NAME = 48 };

/* Owner: the caller holds one reference. Copies text and types. */
const struct prepared *prepared_intern(struct bytes text, const uint8_t *types,
                                       uint16_t types_count, struct reading how);
/* The same of the text of an SQL PREPARE. */
const struct prepared *prepared_intern_sql(struct bytes text, struct reading how);
static inline struct reading reading_any(void)
{
    return (struct reading){0};
}
static inline bool reading_equal(struct reading a, struct reading b)
{
    return a.settings == b.settings && a.odd == b.odd && a.catalog == b.catalog && a.of == b.of;
}
/* What prepared_intern() would give is p, which may be NULL: drivers parse the same again and
 * again. */
bool prepared_is(const struct prepared *p, struct bytes text, const uint8_t *types,
                 uint16_t types_count, struct reading how);
const struct prepared *prepared_ref(const struct prepared *p);
void prepared_unref(const struct prepared **p);
/* Plans made in an earlier turn give another form of rows than the statement has now. */
static inline uint32_t prepared_turn(const struct prepared *p)
{
    return atomic_load_explicit(p->turn, memory_order_relaxed);
}
/* A server said so of a plan made in that turn. */
void prepared_outdated(const struct prepared *p, uint32_t turn);
void prepared_name(const struct prepared *p, char name[PREPARED_NAME]);
#define PREPARED_PREFIX "pgusher_"
