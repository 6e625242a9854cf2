/*
 * Lines of pg_hba.conf and pg_ident.conf: fields by white space, a field is a list of tokens by
 * comma, a token may stand in "double quotes" ("" inside is one), # begins a comment. Pure.
 * Source: PostgreSQL manual, "The pg_hba.conf File".
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"

struct record_token {
    const char *text;
    bool quoted; /* begins with a quote: no keyword, no @file, no /regex */
};

struct record_field {
    struct record_token *tokens; /* at least one */
    size_t count;
};

struct record {
    int line;
    struct record_field *fields;
    size_t count;
};

/* Where reading stands; starts as {text, name, 0}. */
struct record_reader {
    struct bytes rest;
    const char *name; /* of the file, for errors */
    int line;         /* of the last line read */
};

/*
 * The next line that is not empty.
 * Errors: E_EOF at the end; E_CONFIG with "FILE:LINE: ...".
 * Owner:  the arena.
 */
MUST_USE enum err record_next(struct record_reader *r, struct arena *memory, struct record *ret,
                              struct fault *why);
