/*
 * Reading a message body front to back, for the readers of this folder. A read that would pass the
 * end marks the cursor bad and yields zeros, empty views and empty strings; so a reader reads all
 * its fields and asks once, at the end, whether they were there.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct cursor {
    struct bytes left;
    bool bad;
};

static inline struct cursor cursor_of(struct bytes body)
{
    /* An empty body may come without an address; views into it shall have one all the same. */
    return (struct cursor){.left = body.len == 0 ? BYTES("") : body, .bad = false};
}

static inline struct bytes cursor_take(struct cursor *c, size_t len)
{
    if (c->bad || len > c->left.len) {
        c->bad = true;
        return BYTES("");
    }
    struct bytes taken = bytes_of(c->left.ptr, len);
    c->left = bytes_skip(c->left, len);
    return taken;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
    struct bytes b = cursor_take(c, 1);
    return b.len == 1 ? b.ptr[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
    struct bytes b = cursor_take(c, 2);
    return b.len == 2 ? get_u16(b.ptr) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
    struct bytes b = cursor_take(c, 4);
    return b.len == 4 ? get_u32(b.ptr) : 0;
}

/* A text closed by a zero, as a view without it; the zero is there, right behind the view. */
static inline struct bytes cursor_text(struct cursor *c)
{
    const uint8_t *zero = c->bad || c->left.len == 0 ? NULL : memchr(c->left.ptr, 0, c->left.len);
    if (zero == NULL) {
        c->bad = true;
        return BYTES("");
    }
    struct bytes taken = cursor_take(c, (size_t)(zero - c->left.ptr) + 1);
    return bytes_of(taken.ptr, taken.len - 1);
}

static inline const char *cursor_str(struct cursor *c)
{
    return (const char *)cursor_text(c).ptr;
}

static inline struct bytes cursor_rest(struct cursor *c)
{
    return cursor_take(c, c->left.len);
}

/* Every field was there, and nothing is left over. */
MUST_USE static inline enum err cursor_end(const struct cursor *c)
{
    return c->bad || c->left.len > 0 ? E_PROTOCOL : E_OK;
}
