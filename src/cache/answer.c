/* Readers of what Redis sends: lengths, digits and seals are checked before anything is used. */
#include "cache/answer.h"

#include <ctype.h>

#include "cache/cache.h"

bool answer_string(const redisReply *reply, struct bytes *ret)
{
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) { return false; }
    *ret = bytes_of(reply->str, reply->len);
    return true;
}

enum err answer_run_id(struct bytes info, char ret[RUN_ID_MAX + 1])
{
    static const char label[] = "\nrun_id:";
    const uint8_t *at = memmem(info.ptr, info.len, label, sizeof label - 1);
    if (at == NULL) { return E_PROTOCOL; }
    at += sizeof label - 1;
    const uint8_t *end = info.ptr + info.len;
    size_t len = 0;
    while (at + len < end && isxdigit(at[len])) { len++; }
    if (len < 8 || len > RUN_ID_MAX || at + len == end || (at[len] != '\r' && at[len] != '\n')) {
        return E_PROTOCOL;
    }
    memset(ret, 0, RUN_ID_MAX + 1);
    memcpy(ret, at, len);
    return E_OK;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') { return c - '0'; }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err answer_epoch_text(struct bytes text, const char *run_id, uint8_t ret[EPOCH_BYTES])
{
    uint8_t epoch[EPOCH_BYTES];
    if (text.len <= 2 * EPOCH_BYTES || text.ptr[2 * EPOCH_BYTES] != ':' ||
        !bytes_equal(bytes_skip(text, 2 * EPOCH_BYTES + 1), bytes_str(run_id))) {
        return E_PROTOCOL;
    }
    for (size_t i = 0; i < EPOCH_BYTES; i++) {
        int high = hex(text.ptr[2 * i]), low = hex(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) { return E_PROTOCOL; }
        epoch[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret, epoch, EPOCH_BYTES);
    return E_OK;
}

enum err answer_version(struct bytes text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 18 + 1 || (text.ptr[0] == '0' && text.len > 1)) {
        return E_PROTOCOL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') { return E_PROTOCOL; }
        v = v * 10 + (uint64_t)(text.ptr[i] - '0'); /* 19 digits stay below 2^64 */
    }
    if (v > INT64_MAX) { return E_PROTOCOL; }
    *ret = v;
    return E_OK;
}

enum err answer_entry(const struct seal *s, const struct claim *c, struct bytes sealed,
                      int64_t wall_us, struct cache_entry **ret)
{
    if (sealed.len < SEAL_OVERHEAD + PLAIN_FIXED || sealed.len > INT32_MAX) { return E_PROTOCOL; }
    static const struct claim nothing;
    size_t len = sealed.len - SEAL_OVERHEAD;
    struct plain p;
    struct cache_entry *found = entry_new(&nothing, len);
    if (found == NULL) { return E_NOMEM; }
    enum err e = seal_break(s, c->mac, sealed, found->data, &len);
    if (e != E_OK) { goto out; }
    e = plain_read(bytes_of(found->data, len), &p);
    if (e != E_OK) { goto out; }
    if (!plain_current(&p, c, wall_us)) {
        e = E_TIMEOUT;
        goto out;
    }
    /* the head of the plain form takes the place of a key: the result stays where it is */
    found->key_len = (uint32_t)(len - p.result.len);
    found->result_len = (uint32_t)p.result.len;
    *ret = found;
    found = NULL;
out:
    cache_entry_unref(&found);
    return e;
}
