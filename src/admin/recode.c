/* Text to binary, value by value. */
#include "admin/recode.h"

#include <assert.h>
#include <stdlib.h>

enum { NUMERIC_BASE = 10000, NUMERIC_POSITIVE = 0x0000, NUMERIC_NEGATIVE = 0x4000 };

bool recode_knows(uint32_t type)
{
    return type == COLUMN_TEXT || type == COLUMN_INT4 || type == COLUMN_INT8 ||
           type == COLUMN_NUMERIC || type == COLUMN_BYTEA;
}

/* The console's numbers are whole: table_int() made them. */
static int64_t number_of(struct bytes text)
{
    char digits[24] = "";
    assert(text.len < sizeof digits);
    memcpy(digits, text.ptr, text.len);
    return strtoll(digits, NULL, 10);
}

static void put_u64(struct buf *out, uint64_t v)
{
    buf_put_u32(out, (uint32_t)(v >> 32));
    buf_put_u32(out, (uint32_t)v);
}

/* As numeric_send does: digits of base 10000, those at the end left out when they are zero. */
static void put_numeric(struct buf *out, int64_t value)
{
    uint16_t digits[8];
    unsigned count = 0, zeros = 0;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    for (; left > 0; left /= NUMERIC_BASE) { digits[count++] = (uint16_t)(left % NUMERIC_BASE); }
    while (zeros < count && digits[zeros] == 0) { zeros++; }
    buf_put_u32(out, 8 + (count - zeros) * 2);
    buf_put_u16(out, (uint16_t)(count - zeros));
    buf_put_u16(out, (uint16_t)(count == 0 ? 0 : count - 1)); /* the first digit's weight */
    buf_put_u16(out, value < 0 ? NUMERIC_NEGATIVE : NUMERIC_POSITIVE);
    buf_put_u16(out, 0); /* none behind the point */
    for (unsigned i = count; i > zeros; i--) { buf_put_u16(out, digits[i - 1]); }
}

static uint8_t hex_digit(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void put_bytea(struct buf *out, struct bytes text)
{
    assert(text.len >= 2 && text.len % 2 == 0); /* \x... */
    buf_put_u32(out, (uint32_t)(text.len / 2 - 1));
    for (size_t i = 2; i < text.len; i += 2) {
        buf_put_u8(out, (uint8_t)(hex_digit(text.ptr[i]) << 4 | hex_digit(text.ptr[i + 1])));
    }
}

static void put_binary(struct buf *out, uint32_t type, struct bytes text)
{
    switch (type) {
    case COLUMN_INT4:
        buf_put_u32(out, 4);
        buf_put_u32(out, (uint32_t)number_of(text));
        return;
    case COLUMN_INT8:
        buf_put_u32(out, 8);
        put_u64(out, (uint64_t)number_of(text));
        return;
    case COLUMN_NUMERIC: put_numeric(out, number_of(text)); return;
    case COLUMN_BYTEA: put_bytea(out, text); return;
    default: /* text is the same in both */
        buf_put_u32(out, (uint32_t)text.len);
        buf_put_bytes(out, text);
    }
}

void recode_row(struct bytes body, const struct column *columns, unsigned count, const bool *binary,
                struct buf *out)
{
    assert(body.len >= 2 && get_u16(body.ptr) == count);
    buf_put_u16(out, (uint16_t)count);
    body = bytes_skip(body, 2);
    for (unsigned i = 0; i < count; i++) {
        uint32_t len = get_u32(body.ptr);
        body = bytes_skip(body, 4);
        if (len == UINT32_MAX) {
            buf_put_u32(out, len);
            continue;
        }
        struct bytes value = bytes_of(body.ptr, len);
        body = bytes_skip(body, len);
        if (binary[i]) {
            put_binary(out, columns[i].type, value);
        } else {
            buf_put_u32(out, len);
            buf_put_bytes(out, value);
        }
    }
}
