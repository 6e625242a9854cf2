/*
 * A prepared statement's text and parameter types, interned for the whole process: two clients that
 * prepare the same share one, and so one server-side name. Immutable, refcounted, any thread.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

struct prepared {
    uint64_t id;          /* its server-side name is "pgusher_<id in hex>" */
    struct bytes text;    /* without a zero */
    const uint8_t *types; /* 4 bytes each, network order */
    uint16_t types_count;
};

enum { PREPARED_NAME = 32 };

/* Owner: the caller holds one reference. Copies text and types. */
const struct prepared *prepared_intern(struct bytes text, const uint8_t *types,
                                       uint16_t types_count);
const struct prepared *prepared_ref(const struct prepared *p);
void prepared_unref(const struct prepared **p);
void prepared_name(const struct prepared *p, char name[PREPARED_NAME]);
#define PREPARED_PREFIX "pgusher_"
