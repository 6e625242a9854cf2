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

struct prepared {
    uint64_t id;          /* its server-side name is "pgusher_<id in hex>", or ... */
    struct bytes text;    /* without a zero */
    const uint8_t *types; /* 4 bytes each, network order */
    uint16_t types_count;
    bool by_sql; /* the text is a whole PREPARE ... AS ... */
    uint32_t of; /* the only client that shares it, or 0: what it means depends on its names */
    _Atomic uint32_t *turn; /* how often a change of tables was seen to make its plans void */
};

enum { PREPARED_NAME = 48 };

/* Owner: the caller holds one reference. Copies text and types. */
const struct prepared *prepared_intern(struct bytes text, const uint8_t *types,
                                       uint16_t types_count);
const struct prepared *prepared_intern_of(uint32_t client, struct bytes text, const uint8_t *types,
                                          uint16_t types_count);
/* The same of the text of an SQL PREPARE. */
const struct prepared *prepared_intern_sql(struct bytes text);
const struct prepared *prepared_ref(const struct prepared *p);
void prepared_unref(const struct prepared **p);
/* Plans made in an earlier turn give another form of rows than the statement has now. */
static inline uint32_t prepared_turn(const struct prepared *p)
{
    return atomic_load_explicit(p->turn, memory_order_relaxed);
}
/* A server said so of a plan made in that turn. */
void prepared_outdated(const struct prepared *p, uint32_t turn);
/* context: that of the settings under which the server has read it; "pgusher_<id>_<context>". */
void prepared_name(const struct prepared *p, uint64_t context, char name[PREPARED_NAME]);
#define PREPARED_PREFIX "pgusher_"
