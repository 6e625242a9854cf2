/* The growable byte queue. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { BUF_SMALLEST = 256 };

void buf_done(struct buf *b)
{
    mem_free(&b->data);
    b->start = b->end = b->cap = 0;
}

void buf_release(struct buf *b)
{
    if (b->start == b->end) { buf_done(b); }
}

enum err buf_try_reserve(struct buf *b, size_t room)
{
    if (b->cap - b->end >= room) { return E_OK; }
    size_t len = b->end - b->start;
    if (b->start > 0 && b->cap - len >= room && b->start >= len) {
        memcpy(b->data, b->data + b->start, len);
        b->start = 0;
        b->end = len;
        return E_OK;
    }
    if (room > SIZE_MAX / 2 - len) { return E_NOMEM; }
    size_t want = len + room;
    size_t cap = b->cap < BUF_SMALLEST ? BUF_SMALLEST : b->cap;
    while (cap < want) { cap *= 2; }
    uint8_t *data = mem_try(cap);
    if (data == NULL) { return E_NOMEM; }
    if (len > 0) { memcpy(data, b->data + b->start, len); }
    mem_free(&b->data);
    *b = (struct buf){.data = data, .start = 0, .end = len, .cap = cap};
    return E_OK;
}

uint8_t *buf_make_room(struct buf *b, size_t room)
{
    if (buf_try_reserve(b, room) != E_OK) { abort(); }
    return b->data + b->end;
}

void buf_consume(struct buf *b, size_t len)
{
    assert(len <= b->end - b->start);
    b->start += len;
    if (b->start == b->end) { b->start = b->end = 0; }
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
}

void buf_put_str(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text) + 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(len >= 0);
    uint8_t *at = buf_reserve(b, (size_t)len + 1);
    va_start(ap, fmt);
    (void)vsnprintf((char *)at, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->end += (size_t)len;
}

char *buf_text(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return (char *)(b->data + b->start);
}
