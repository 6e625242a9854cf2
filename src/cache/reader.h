/*
 * Replies out of a stream of bytes, by hiredis' reader under our bounds: it would wait for a string
 * of any length and make room for an array of any size, as the sender likes.
 */
#pragma once

#include <hiredis/hiredis.h>

#include "base/bytes.h"
#include "base/err.h"

struct reader;

/* max: bytes of one unfinished reply that are waited for. */
struct reader *reader_new(size_t max);
void reader_free(struct reader **r);
/* Errors: E_PROTOCOL, E_LIMIT; the stream cannot be read further. */
MUST_USE enum err reader_feed(struct reader *r, struct bytes in);
/* E_OK: the caller owns *ret: freeReplyObject. E_AGAIN: more bytes are needed. E_PROTOCOL. */
MUST_USE enum err reader_next(struct reader *r, redisReply **ret);
