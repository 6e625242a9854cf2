/* Composers. A mark is a place counted from the front of the queue: the queue may move as it grows.
 */
#include "pgwire/compose.h"

#include <assert.h>

#include "pgwire/sqlstate.h"

enum { CODE_CANCEL = 80877102, CODE_SSL = 80877103 };

size_t compose_begin(struct buf *out, uint8_t type)
{
    size_t mark = buf_len(out);
    buf_put_u8(out, type);
    buf_put_u32(out, 0);
    return mark;
}

void compose_end(struct buf *out, size_t mark)
{
    size_t len = buf_len(out) - mark - 1; /* the length counts itself, not the type */
    assert(len >= 4 && len <= INT32_MAX);
    put_u32(out->data + out->start + mark + 1, (uint32_t)len);
}

void compose_bare(struct buf *out, uint8_t type)
{
    buf_put_u8(out, type);
    buf_put_u32(out, 4);
}

void compose_auth(struct buf *out, uint32_t code, struct bytes data)
{
    size_t mark = compose_begin(out, 'R');
    buf_put_u32(out, code);
    buf_put_bytes(out, data);
    compose_end(out, mark);
}

void compose_parameter(struct buf *out, const char *name, const char *value)
{
    size_t mark = compose_begin(out, 'S');
    buf_put_str(out, name);
    buf_put_str(out, value);
    compose_end(out, mark);
}

void compose_key(struct buf *out, struct bytes key)
{
    size_t mark = compose_begin(out, 'K');
    buf_put_bytes(out, key);
    compose_end(out, mark);
}

void compose_ready(struct buf *out, uint8_t status)
{
    size_t mark = compose_begin(out, 'Z');
    buf_put_u8(out, status);
    compose_end(out, mark);
}

/* A message of one string. */
static void put_string(struct buf *out, uint8_t type, const char *text)
{
    size_t mark = compose_begin(out, type);
    buf_put_str(out, text);
    compose_end(out, mark);
}

void compose_complete(struct buf *out, const char *tag)
{
    put_string(out, 'C', tag);
}

void compose_notification(struct buf *out, uint32_t pid, const char *channel, const char *payload)
{
    size_t mark = compose_begin(out, 'A');
    buf_put_u32(out, pid);
    buf_put_str(out, channel);
    buf_put_str(out, payload);
    compose_end(out, mark);
}

/* A field of an error or a notice; NULL and empty are left out. */
static void put_field(struct buf *out, uint8_t field, const char *text)
{
    if (text == NULL || text[0] == '\0') { return; }
    buf_put_u8(out, field);
    buf_put_str(out, text);
}

static void compose_report(struct buf *out, uint8_t type, const char *severity,
                           const char *sqlstate, const char *message, const char *detail,
                           const char *hint, const char *routine)
{
    size_t mark = compose_begin(out, type);
    put_field(out, 'S', severity);
    put_field(out, 'V', severity);
    put_field(out, 'C', sqlstate);
    /* The message is always there, even when empty: drivers rely on it. */
    buf_put_u8(out, 'M');
    buf_put_str(out, message);
    put_field(out, 'D', detail);
    put_field(out, 'H', hint);
    put_field(out, 'R', routine);
    buf_put_u8(out, 0);
    compose_end(out, mark);
}

void compose_error(struct buf *out, const char *severity, const char *sqlstate, const char *message,
                   const char *hint)
{
    compose_report(out, 'E', severity, sqlstate, message, NULL, hint, NULL);
}

void compose_fault(struct buf *out, const char *severity, const struct fault *why)
{
    const char *sqlstate = why->sqlstate[0] != '\0' ? why->sqlstate : sqlstate_of(why->code);
    compose_report(out, 'E', severity, sqlstate, why->text, NULL, why->hint, why->routine);
}

void compose_notice(struct buf *out, const char *severity, const char *sqlstate,
                    const char *message, const char *detail, const char *hint)
{
    compose_report(out, 'N', severity, sqlstate, message, detail, hint, NULL);
}

void compose_negotiate(struct buf *out, uint32_t version, const char *const *options,
                       unsigned count)
{
    size_t mark = compose_begin(out, 'v');
    buf_put_u32(out, version);
    buf_put_u32(out, count);
    for (unsigned i = 0; i < count; i++) { buf_put_str(out, options[i]); }
    compose_end(out, mark);
}

/* pg_type.typlen of the types we send: -1 is "of any length". */
static uint16_t type_length(uint32_t type)
{
    switch (type) {
    case COLUMN_INT4: return 4;
    case COLUMN_INT8: return 8;
    default: return UINT16_MAX;
    }
}

void compose_row_description(struct buf *out, const struct column *columns, unsigned count,
                             const bool *binary)
{
    assert(count <= UINT16_MAX);
    size_t mark = compose_begin(out, 'T');
    buf_put_u16(out, (uint16_t)count);
    for (unsigned i = 0; i < count; i++) {
        buf_put_str(out, columns[i].name);
        buf_put_u32(out, 0); /* not a table's column */
        buf_put_u16(out, 0);
        buf_put_u32(out, columns[i].type);
        buf_put_u16(out, type_length(columns[i].type));
        buf_put_u32(out, UINT32_MAX); /* no type modifier */
        buf_put_u16(out, binary != NULL && binary[i]);
    }
    compose_end(out, mark);
}

void compose_data_row(struct buf *out, const char *const *values, unsigned count)
{
    assert(count <= UINT16_MAX);
    size_t mark = compose_begin(out, 'D');
    buf_put_u16(out, (uint16_t)count);
    for (unsigned i = 0; i < count; i++) {
        if (values[i] == NULL) {
            buf_put_u32(out, UINT32_MAX);
            continue;
        }
        struct bytes value = bytes_str(values[i]);
        buf_put_u32(out, (uint32_t)value.len);
        buf_put_bytes(out, value);
    }
    compose_end(out, mark);
}

/* The first packets have no type: the length stands at the mark itself. */
static void end_packet(struct buf *out, size_t mark)
{
    put_u32(out->data + out->start + mark, (uint32_t)(buf_len(out) - mark));
}

void compose_ssl_request(struct buf *out)
{
    buf_put_u32(out, 8);
    buf_put_u32(out, CODE_SSL);
}

void compose_startup(struct buf *out, uint32_t version, const char *const *pairs)
{
    size_t mark = buf_len(out);
    buf_put_u32(out, 0);
    buf_put_u32(out, version);
    for (size_t i = 0; pairs[i] != NULL; i++) { buf_put_str(out, pairs[i]); }
    buf_put_u8(out, 0);
    end_packet(out, mark);
}

void compose_cancel(struct buf *out, uint32_t pid, struct bytes key)
{
    size_t mark = buf_len(out);
    buf_put_u32(out, 0);
    buf_put_u32(out, CODE_CANCEL);
    buf_put_u32(out, pid);
    buf_put_bytes(out, key);
    end_packet(out, mark);
}

void compose_query(struct buf *out, const char *text)
{
    put_string(out, 'Q', text);
}

void compose_statement(struct buf *out, const char *text)
{
    size_t parse = compose_begin(out, 'P');
    buf_put_str(out, "");
    buf_put_str(out, text);
    buf_put_u16(out, 0); /* no parameter types */
    compose_end(out, parse);

    size_t bind = compose_begin(out, 'B');
    buf_put_str(out, "");
    buf_put_str(out, "");
    buf_put_u16(out, 0); /* formats, parameters, result formats: none */
    buf_put_u16(out, 0);
    buf_put_u16(out, 0);
    compose_end(out, bind);

    size_t execute = compose_begin(out, 'E');
    buf_put_str(out, "");
    buf_put_u32(out, 0); /* all rows */
    compose_end(out, execute);
}

void compose_password(struct buf *out, struct bytes text)
{
    size_t mark = compose_begin(out, 'p');
    buf_put_bytes(out, text);
    buf_put_u8(out, 0);
    compose_end(out, mark);
}

void compose_sasl_initial(struct buf *out, const char *mechanism, struct bytes data)
{
    size_t mark = compose_begin(out, 'p');
    buf_put_str(out, mechanism);
    buf_put_u32(out, (uint32_t)data.len);
    buf_put_bytes(out, data);
    compose_end(out, mark);
}

void compose_sasl_response(struct buf *out, struct bytes data)
{
    size_t mark = compose_begin(out, 'p');
    buf_put_bytes(out, data);
    compose_end(out, mark);
}

void compose_copy_fail(struct buf *out, const char *reason)
{
    put_string(out, 'f', reason);
}
