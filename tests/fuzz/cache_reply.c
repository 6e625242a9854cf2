/* A stream of replies in pieces: the first byte is their length. */
#include <stdlib.h>

#include "cache/answer.h"
#include "cache/reader.h"

#define MAX 4096

static void look(const redisReply *reply, unsigned depth)
{
    struct bytes text;
    uint64_t version;
    if (answer_string(reply, &text) && answer_version(text, &version) == E_OK &&
        version > INT64_MAX) {
        abort();
    }
    if (reply->type != REDIS_REPLY_ARRAY) { return; }
    if (depth > 16 || reply->elements > 256) { abort(); }
    for (size_t i = 0; i < reply->elements; i++) { look(reply->element[i], depth + 1); }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) { return 0; }
    size_t piece = data[0] == 0 ? 1 : data[0];
    struct bytes left = bytes_of(data + 1, size - 1);
    struct reader *r = reader_new(MAX);
    enum err e = E_AGAIN;
    while (e == E_AGAIN && left.len > 0) {
        size_t len = left.len < piece ? left.len : piece;
        e = reader_feed(r, bytes_of(left.ptr, len));
        left = bytes_skip(left, len);
        redisReply *reply = NULL;
        while (e == E_OK && (e = reader_next(r, &reply)) == E_OK) {
            look(reply, 0);
            freeReplyObject(reply);
        }
    }
    reader_free(&r);
    return 0;
}
