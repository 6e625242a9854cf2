/*
 * A growable byte queue: bytes are appended at the end and consumed at the front. Memory is held
 * only while it is needed: buf_release gives it back when the queue is empty.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct buf {
    uint8_t *data;
    size_t start, end, cap;
};

void buf_done(struct buf *b);
/* Frees the memory if nothing is queued. */
void buf_release(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

/* What is queued; valid until the next change of the buffer. */
static inline struct bytes buf_view(const struct buf *b)
{
    return b->data == NULL ? (struct bytes){0} : bytes_of(b->data + b->start, b->end - b->start);
}

/* Room for at least `room` more bytes at data+end: E_NOMEM when there is no memory, for a size that
 * came from outside. */
MUST_USE enum err buf_try_reserve(struct buf *b, size_t room);
/* The same without memory aborts. Returns the place. */
uint8_t *buf_make_room(struct buf *b, size_t room);
static inline uint8_t *buf_reserve(struct buf *b, size_t room)
{
    return b->cap - b->end >= room ? b->data + b->end : buf_make_room(b, room);
}
void buf_consume(struct buf *b, size_t len);
void buf_clear(struct buf *b);

static inline void buf_put(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0) { return; }
    memcpy(buf_reserve(b, len), bytes, len);
    b->end += len;
}

static inline void buf_put_bytes(struct buf *b, struct bytes bytes)
{
    buf_put(b, bytes.ptr, bytes.len);
}

static inline void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->end++;
}

static inline void buf_put_u16(struct buf *b, uint16_t v)
{
    put_u16(buf_reserve(b, 2), v);
    b->end += 2;
}

static inline void buf_put_u32(struct buf *b, uint32_t v)
{
    put_u32(buf_reserve(b, 4), v);
    b->end += 4;
}

/* The text and its closing zero. */
void buf_put_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* The queued bytes as a C string: appends a zero that is not counted. Valid until the next change.
 */
char *buf_text(struct buf *b);
