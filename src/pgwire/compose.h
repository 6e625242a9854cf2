/* Composers of messages, backend's and frontend's, appended to a buffer. Protocol: "Message
 * Formats". */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

/* ---- any message: begin leaves room for the length, end fills it in */
size_t compose_begin(struct buf *out, uint8_t type);
void compose_end(struct buf *out, size_t mark);
/* A message without a body: Sync, Flush, ParseComplete ... */
void compose_bare(struct buf *out, uint8_t type);

/* ---- backend messages */
void compose_auth(struct buf *out, uint32_t code, struct bytes data);
void compose_parameter(struct buf *out, const char *name, const char *value);
/* key: a pid, and a secret of 4 bytes, or of up to 256 since protocol 3.2 */
void compose_key(struct buf *out, struct bytes key);
void compose_ready(struct buf *out, uint8_t status);
void compose_complete(struct buf *out, const char *tag);
void compose_notification(struct buf *out, uint32_t pid, const char *channel, const char *payload);
/* severity "ERROR", "FATAL"; type 'E' */
void compose_error(struct buf *out, const char *severity, const char *sqlstate, const char *message,
                   const char *hint);
void compose_fault(struct buf *out, const char *severity, const struct fault *why);
/* type 'N'; detail and hint may be NULL */
void compose_notice(struct buf *out, const char *severity, const char *sqlstate,
                    const char *message, const char *detail, const char *hint);
/* NegotiateProtocolVersion: the version that is spoken and the unknown _pq_. options, if any */
void compose_negotiate(struct buf *out, uint32_t version, const char *const *options,
                       unsigned count);

struct column {
    const char *name;
    uint32_t type; /* OID: COLUMN_TEXT ... */
};
enum {
    COLUMN_TEXT = 25,
    COLUMN_INT4 = 23,
    COLUMN_INT8 = 20,
    COLUMN_NUMERIC = 1700,
    COLUMN_BYTEA = 17
};
/* binary: by column, in which format its values come; NULL: all in text */
void compose_row_description(struct buf *out, const struct column *columns, unsigned count,
                             const bool *binary);
/* values: text, NULL for null */
void compose_data_row(struct buf *out, const char *const *values, unsigned count);

/* ---- frontend messages */
/* SSLRequest. */
void compose_ssl_request(struct buf *out);
/* pairs: name, value, ... NULL */
void compose_startup(struct buf *out, uint32_t version, const char *const *pairs);
void compose_cancel(struct buf *out, uint32_t pid, struct bytes key);
void compose_query(struct buf *out, const char *text);
/* Parse "", Bind "" with no parameters, Execute "": one statement without a Sync */
void compose_statement(struct buf *out, const char *text);
void compose_password(struct buf *out, struct bytes text); /* 'p', text and a zero */
void compose_sasl_initial(struct buf *out, const char *mechanism, struct bytes data);
void compose_sasl_response(struct buf *out, struct bytes data);
void compose_copy_fail(struct buf *out, const char *reason);
