/*
 * Readers of the frontend messages that pgusher looks into, and the one rewriting it does: another
 * statement name in Parse, Bind, Describe and Close. All points into body; names are C strings in place.
 * Protocol: "Message Formats". Errors of every reader: E_PROTOCOL when a length or a closing zero runs
 * past the body, or bytes are left over.
 */
#pragma once

#include "base/bytes.h"
#include "base/buf.h"
#include "base/err.h"

struct parse_msg { /* Parse (F) */
    const char *name;
    struct bytes text; /* without its zero */
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
/* The n-th parameter (from 0). *ret_null tells NULL. Format: extended_bind_format(). */
struct bytes extended_bind_param(const struct bind_msg *b, unsigned n, bool *ret_null);
int extended_bind_format(const struct bind_msg *b, unsigned n);

struct target_msg { /* Describe (F), Close (F) */
    uint8_t kind;   /* 'S' statement, 'P' portal */
    const char *name;
};
MUST_USE enum err extended_read_target(struct bytes body, struct target_msg *ret);

struct execute_msg { /* Execute (F) */
    const char *portal;
    uint32_t max_rows;
};
MUST_USE enum err extended_read_execute(struct bytes body, struct execute_msg *ret);

/* Query (F): the text without its zero. */
MUST_USE enum err extended_read_query(struct bytes body, struct bytes *ret);

/* The same message under another statement name, appended to out. */
void extended_put_parse(struct buf *out, const char *name, struct bytes text, const uint8_t *types,
                        uint16_t types_count);
void extended_put_bind(struct buf *out, const char *portal, const char *statement, struct bytes rest);
void extended_put_target(struct buf *out, uint8_t type, uint8_t kind, const char *name);
