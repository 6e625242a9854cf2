/*
 * Rows of an answer: values are put one after another, in the order of the columns, and land in
 * the buffer as they come. A row whose count of values is not that of the columns is a bug and
 * aborts.
 */
#pragma once

#include <stdbool.h>

#include "pgwire/compose.h"

struct table {
    struct buf *out;
    const struct column *columns;
    unsigned count, filled;
    size_t mark; /* of the row in progress */
};

/* Nothing is written yet: rows may be made before, and elsewhere than, their description. */
struct table table_of(struct buf *out, const struct column *columns, unsigned count);
void table_row(struct table *t);
void table_text(struct table *t, const char *text); /* NULL: null */
void table_bytes(struct table *t, struct bytes text);
void table_int(struct table *t, int64_t value);
void table_null(struct table *t);
void table_yes(struct table *t, bool yes); /* "yes", "no" */
/* "2024-05-06 07:08:09 UTC", local time; wall microseconds, 0: null */
void table_time(struct table *t, int64_t wall_us);
void table_pointer(struct table *t, const void *p); /* NULL: empty text */
void table_end(struct table *t);
