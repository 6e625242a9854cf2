/*
 * Readers of the frontend messages that pgusher looks into, and the one rewriting it does: another
 * statement name in Parse, Bind, Describe and Close. All points into body; names are C strings in
 * place. Protocol: "Message Formats". Errors of every reader: E_PROTOCOL when a length or a closing
 * zero runs past the body, or bytes are left over.
 */
#pragma once

#include "base/bytes.h"
#include "base/buf.h"
#include "base/err.h"

struct parse_msg { /* Parse (F) */
    const char *name;
    struct bytes text;    /* without its zero */
    const uint8_t *types; /* 4 bytes each, network order */
    uint16_t types_count;
};
MUST_USE enum err extended_read_parse(struct bytes body, struct parse_msg *ret);

struct bind_msg { /* Bind (F) */
    const char *portal, *statement;
    struct bytes rest; /* from the parameter format codes to the end */
    uint16_t formats_count, params_count, results_count;
    const uint8_t *formats; /* 2 bytes each */
    const uint8_t *params;  /* the first parameter's length word */
    const uint8_t *results; /* result format codes, 2 bytes each */
};
MUST_USE enum err extended_read_bind(struct bytes body, struct bind_msg *ret);
/*
 * The n-th parameter (from 0); NULL where there is none. *ret_null tells NULL. It counts from the
 * front: to read them all, walk, or a message of 65535 parameters costs two thousand million steps.
 */
struct bytes extended_bind_param(const struct bind_msg *b, unsigned n, bool *ret_null);
/* Walks the parameters; *w starts zeroed. False at the end. */
struct bind_walk {
    const uint8_t *at;
    unsigned n; /* parameters read so far */
};
bool extended_bind_next(const struct bind_msg *b, struct bind_walk *w, struct bytes *ret,
                        bool *ret_null);
/*
 * 0 text, 1 binary, or what the client made up: no codes: text; one: it holds for all; else the
 * n-th, and text past the end (whether the counts fit each other is the server's to judge).
 */
int extended_bind_format(const struct bind_msg *b, unsigned n);

struct target_msg { /* Describe (F), Close (F) */
    uint8_t kind;   /* 'S' statement, 'P' portal; E_PROTOCOL for another */
    const char *name;
};
MUST_USE enum err extended_read_target(struct bytes body, struct target_msg *ret);

struct execute_msg { /* Execute (F) */
    const char *portal;
    uint32_t max_rows; /* 0, or over INT32_MAX: all */
};
MUST_USE enum err extended_read_execute(struct bytes body, struct execute_msg *ret);

/* Query (F): the text without its zero. */
MUST_USE enum err extended_read_query(struct bytes body, struct bytes *ret);

/* The same message under another statement name, appended to out. */
void extended_put_parse(struct buf *out, const char *name, struct bytes text, const uint8_t *types,
                        uint16_t types_count);
void extended_put_bind(struct buf *out, const char *portal, const char *statement,
                       struct bytes rest);
void extended_put_execute(struct buf *out, const char *portal); /* all rows */
void extended_put_target(struct buf *out, uint8_t type, uint8_t kind, const char *name);
