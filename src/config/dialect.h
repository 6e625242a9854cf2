/*
 * Reads the text of an ini as PgBouncer reads it, and tells every name = value with its place.
 */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/fault.h"

struct dialect_line {
    const char *file;
    int line;
    const char *section; /* without brackets; never NULL */
    const char *name, *value;
};

/* Takes a line; the texts are its own only for the call. Any error ends the reading. */
typedef enum err dialect_take(void *arg, const struct dialect_line *at, struct fault *why);

/*
 * Reads a file and what it includes, or a text.
 * Errors: take's own; E_IO when a file cannot be read; E_CONFIG "FILE:LINE: ..." for a line that is
 *         none. A text may include nothing.
 */
MUST_USE enum err dialect_read_file(const char *path, dialect_take *take, void *arg,
                                    struct fault *why);
MUST_USE enum err dialect_read_text(struct bytes text, const char *file, dialect_take *take,
                                    void *arg, struct fault *why);
