/* hiredis' reader with a bound on arrays and on what is buffered. */
#include "cache/reader.h"

#include <stdlib.h>

#include "base/mem.h"

#define ELEMENTS_MAX 256 /* of an array */

struct reader {
    redisReader *inner;
    redisReplyObjectFunctions functions;
    void *(*create_array)(const redisReadTask *task, int elements);
    size_t max;
};

static void *bounded_array(const redisReadTask *task, int elements)
{
    const struct reader *r = task->privdata;
    return elements < 0 || elements > ELEMENTS_MAX ? NULL : r->create_array(task, elements);
}

struct reader *reader_new(size_t max)
{
    struct reader *r = mem_new(struct reader);
    r->max = max;
    r->inner = redisReaderCreate();
    if (r->inner == NULL) { abort(); }
    r->functions = *r->inner->fn;
    r->create_array = r->functions.createArray;
    r->functions.createArray = bounded_array;
    r->inner->fn = &r->functions;
    r->inner->privdata = r;
    return r;
}

void reader_free(struct reader **r)
{
    if (*r == NULL) { return; }
    redisReaderFree((*r)->inner);
    mem_free(r);
}

enum err reader_feed(struct reader *r, struct bytes in)
{
    if (r->inner->len - r->inner->pos + in.len > r->max) { return E_LIMIT; }
    return redisReaderFeed(r->inner, (const char *)in.ptr, in.len) == REDIS_OK ? E_OK : E_PROTOCOL;
}

enum err reader_next(struct reader *r, redisReply **ret)
{
    void *reply = NULL;
    if (redisReaderGetReply(r->inner, &reply) != REDIS_OK) { return E_PROTOCOL; }
    if (reply == NULL) { return E_AGAIN; }
    *ret = reply;
    return E_OK;
}
