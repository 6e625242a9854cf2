/* The questions a load asks, in order, and how their rows become facts. Control thread. */
#pragma once

#include "catalog/build.h"
#include "net/pq.h"

struct load_step {
    const char *sql;
    void (*rows)(struct build *b,
                 const PGresult *r); /* NULL: only the content's hash is of interest */
};

/* NULL after the last. Names in SQL need no schema: the path holds pg_catalog only. */
const struct load_step *load_step(unsigned i);

/* One row, one text: the same as long as nothing that matters was committed. */
extern const char load_fingerprint_sql[];
/* One row: a text that is the same as long as nothing at all was committed, and cheap. */
extern const char load_snapshot_sql[];
