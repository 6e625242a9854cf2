/* The first packet of a connection, which has no type byte. */
#pragma once

#include "base/bytes.h"
#include "base/fault.h"

enum startup_kind { STARTUP_SSL, STARTUP_GSSENC, STARTUP_CANCEL, STARTUP_LOGIN };

enum { STARTUP_MAX = 10000 }; /* PostgreSQL's MAX_STARTUP_PACKET_LENGTH */

struct startup {
    enum startup_kind kind;
    uint32_t size;       /* of the packet */
    uint32_t version;    /* LOGIN: 0x00030000 ... */
    struct bytes params; /* LOGIN: name zero value zero ... ; points into the packet */
    uint32_t cancel_pid; /* CANCEL */
    struct bytes cancel_key;
};

/*
 * Protocol: "Message Formats", StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
 * Errors:   E_AGAIN: the packet is not complete; E_PROTOCOL with a fault: absurd length, an old or
 *           unknown major version (SQLSTATE 08P01, 0A000), parameters not closed by zeros.
 */
MUST_USE enum err startup_read(struct bytes in, struct startup *ret, struct fault *why);

/* Walks the parameters: *at starts at 0; false at the end. Names and values are C strings in place.
 */
bool startup_next(const struct startup *s, size_t *at, const char **name, const char **value);

/*
 * Walks the words of an `options` parameter: -c name=value, --name=value, backslash escapes.
 * *at starts at 0. name and value are appended to `text` (cleared first), each closed by a zero.
 * Errors: E_EOF at the end; E_SYNTAX for any other word.
 * Protocol: "Message Formats", StartupMessage; pg_split_opts' rules.
 */
struct buf;
MUST_USE enum err startup_option(const char *options, size_t *at, struct buf *text,
                                 const char **name, const char **value);
