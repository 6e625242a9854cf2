/* options.def as a table: find a row by name, read a text into it, show it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/fault.h"
#include "config/config.h"

enum option_kind { KIND_BOOL, KIND_INT, KIND_TIME, KIND_SIZE, KIND_STR, KIND_ENUM };

struct option_row {
    const char *name, *def, *help;
    enum option_kind kind;
    bool reloadable;
    int min, max;             /* KIND_INT */
    const char *const *texts; /* KIND_ENUM: by value, ends with NULL */
    size_t offset;            /* in struct options */
};

enum option_id {
#define OPT_BOOL(name, def, reload, help)          OPTION_##name,
#define OPT_INT(name, def, min, max, reload, help) OPTION_##name,
#define OPT_TIME(name, def, reload, help)          OPTION_##name,
#define OPT_SIZE(name, def, reload, help)          OPTION_##name,
#define OPT_STR(name, def, reload, help)           OPTION_##name,
#define OPT_ENUM(name, type, def, reload, help)    OPTION_##name,
#include "config/options.def"
#undef OPT_BOOL
#undef OPT_INT
#undef OPT_TIME
#undef OPT_SIZE
#undef OPT_STR
#undef OPT_ENUM
    OPTION_COUNT
};

extern const struct option_row option_rows[OPTION_COUNT];
extern const char *const option_pool_modes[],
    *const option_cache_modes[], *const option_consistencies[], *const option_tls_modes[];

/* NULL when there is none. Aliases of PgBouncer are known too. */
const struct option_row *option_find(const char *name);
/*
 * Reads the text into the row's place; the text's copy goes to the arena.
 * Errors: E_CONFIG with what was expected.
 */
MUST_USE enum err option_set(struct options *o, struct arena *memory, const struct option_row *row,
                             const char *text, struct fault *why);
/* Appends the value as PgBouncer shows it: switches 0 or 1, times in seconds, sizes in bytes. */
void option_show(const struct options *o, const struct option_row *row, struct buf *out);
/* What a value of the row looks like, for errors and help. */
void option_expects(const struct option_row *row, struct buf *out);

/* The entry of names (which ends with NULL) nearest to a mistyped one, or NULL when none is near.
 */
struct nearest {
    const char *name;
    size_t distance;
};
void nearest_try(struct nearest *n, const char *given, const char *candidate);
