/*
 * Message framing: a type byte and a length. Framing never copies and never waits for a whole
 * message that its caller does not need.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { FRAME_HEADER = 5, FRAME_MAX = 0x3fffffff };

struct frame {
    uint8_t type;
    uint32_t size; /* of the whole message, type byte and length included */
};

/*
 * Reads the header at the front of `in`.
 * Protocol: "Message Formats".
 * Errors:   E_AGAIN with fewer than 5 bytes; E_PROTOCOL (the type is told) when the length is under
 * 4 or over FRAME_MAX.
 */
MUST_USE static inline enum err frame_peek(struct bytes in, struct frame *ret)
{
    if (in.len < FRAME_HEADER) { return E_AGAIN; }
    uint32_t len = get_u32(in.ptr + 1);
    ret->type = in.ptr[0];
    if (len < 4 || len > FRAME_MAX) { return E_PROTOCOL; }
    ret->size = len + 1;
    return E_OK;
}

/* The body of a whole message. */
static inline struct bytes frame_body(struct bytes in, struct frame f)
{
    return bytes_of(in.ptr + FRAME_HEADER, f.size - FRAME_HEADER);
}
