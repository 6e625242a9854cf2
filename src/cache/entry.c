/* Entries in memory and their plain form for Redis. */
#include "cache/entry.h"

#include <assert.h>

#include "base/mem.h"
#include "cache/cache.h"

#define ALLOCATOR_COST 24 /* the heap's header and rounding, the slot in the bucket table */

static bool same(const void *a, const void *b, size_t len)
{
    return bytes_equal(bytes_of(a, len), bytes_of(b, len));
}

bool claim_equal(const struct claim *a, const struct claim *b)
{
    return a->redis == b->redis && a->rules == b->rules && a->database_id == b->database_id &&
           a->deps_count == b->deps_count && a->stamps_count == b->stamps_count &&
           same(a->deps, b->deps, a->deps_count * sizeof a->deps[0]) &&
           same(a->stamps, b->stamps, a->stamps_count * sizeof a->stamps[0]) &&
           memcmp(a->epoch, b->epoch, EPOCH_BYTES) == 0 && bytes_equal(a->key, b->key);
}

static size_t data_len(size_t deps, size_t stamps, size_t key_len, size_t result_len)
{
    return stamps * sizeof(uint64_t) + deps * sizeof(uint32_t) + key_len + result_len;
}

size_t entry_cost(size_t deps, size_t stamps, size_t key_len, size_t result_len)
{
    return sizeof(struct cache_entry) + ALLOCATOR_COST +
           data_len(deps, stamps, key_len, result_len);
}

static const uint8_t *stamps_of(const struct cache_entry *e)
{
    return e->data;
}

static const uint8_t *deps_of(const struct cache_entry *e)
{
    return e->data + e->stamps_count * sizeof(uint64_t);
}

struct bytes entry_key(const struct cache_entry *e)
{
    return bytes_of(deps_of(e) + e->deps_count * sizeof(uint32_t), e->key_len);
}

uint8_t *entry_result(struct cache_entry *e)
{
    return e->data + data_len(e->deps_count, e->stamps_count, e->key_len, 0);
}

static uint8_t *append(uint8_t *at, const void *from, size_t len)
{
    if (len > 0) { memcpy(at, from, len); }
    return at + len;
}

struct cache_entry *entry_new(const struct claim *c, size_t result_len)
{
    assert(c->key.len <= KEY_MAX && result_len <= UINT32_MAX);
    struct cache_entry *e =
        mem_try(sizeof *e + data_len(c->deps_count, c->stamps_count, c->key.len, result_len));
    if (e == NULL) { return NULL; }
    *e = (struct cache_entry){.deps_count = c->deps_count,
                              .stamps_count = c->stamps_count,
                              .key_len = (uint32_t)c->key.len,
                              .result_len = (uint32_t)result_len,
                              .birth_us = c->asked_us,
                              .hash = c->hash,
                              .rules = c->rules};
    atomic_init(&e->refs, 1);
    dlist_init(&e->lru);
    uint8_t *at = append(e->data, c->stamps, c->stamps_count * sizeof(uint64_t));
    at = append(at, c->deps, c->deps_count * sizeof(uint32_t));
    (void)append(at, c->key.ptr, c->key.len);
    return e;
}

struct cache_entry *entry_ref(struct cache_entry *e)
{
    (void)atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void cache_entry_unref(struct cache_entry **e)
{
    if (*e == NULL) { return; }
    if (atomic_fetch_sub_explicit(&(*e)->refs, 1, memory_order_acq_rel) == 1) { mem_free(e); }
    *e = NULL;
}

struct bytes cache_entry_bytes(const struct cache_entry *e)
{
    return bytes_of(e->data + data_len(e->deps_count, e->stamps_count, e->key_len, 0),
                    e->result_len);
}

bool entry_current(const struct cache_entry *e, const struct claim *c)
{
    return e->rules == c->rules && e->deps_count == c->deps_count &&
           e->stamps_count == c->stamps_count &&
           same(stamps_of(e), c->stamps, c->stamps_count * sizeof(uint64_t)) &&
           same(deps_of(e), c->deps, c->deps_count * sizeof(uint32_t));
}

static uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    put_u32(at, (uint32_t)(v >> 32));
    put_u32(at + 4, (uint32_t)v);
    return at + 8;
}

static uint64_t get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

size_t plain_write(const struct claim *c, uint8_t *at)
{
    const uint8_t *start = at;
    at = put_u64(at, (uint64_t)c->asked_wall_us);
    at = put_u64(at, (uint64_t)c->ttl_us);
    memcpy(at, c->epoch, EPOCH_BYTES);
    at += EPOCH_BYTES;
    put_u32(at, c->database_id);
    put_u32(at + 4, c->stamps_count);
    at += 8;
    for (unsigned i = 0; i < c->stamps_count; i++) {
        put_u32(at, i == 0 ? 0 : c->deps[i - 1]);
        at = put_u64(at + 4, c->stamps[i]);
    }
    return (size_t)(at - start);
}

enum err plain_read(struct bytes in, struct plain *ret)
{
    if (in.len < PLAIN_FIXED) { return E_PROTOCOL; }
    struct plain p = {.birth_us = (int64_t)get_u64(in.ptr),
                      .ttl_us = (int64_t)get_u64(in.ptr + 8),
                      .epoch = in.ptr + 16,
                      .database_id = get_u32(in.ptr + 16 + EPOCH_BYTES),
                      .count = get_u32(in.ptr + 20 + EPOCH_BYTES)};
    in = bytes_skip(in, PLAIN_FIXED);
    if (p.birth_us < 0 || p.ttl_us <= 0 || p.count > STAMPS_MAX || in.len / PLAIN_PER < p.count) {
        return E_PROTOCOL;
    }
    p.counters = in.ptr;
    p.result = bytes_skip(in, (size_t)p.count * PLAIN_PER);
    *ret = p;
    return E_OK;
}

bool plain_current(const struct plain *p, const struct claim *c, int64_t wall_us)
{
    /* both the ttl it was born with and the one that holds now; a clock set back is no excuse */
    int64_t ttl_us = p->ttl_us < c->ttl_us ? p->ttl_us : c->ttl_us;
    if (wall_us < p->birth_us ? p->birth_us - wall_us > FUTURE_US
                              : wall_us - p->birth_us > ttl_us) {
        return false;
    }
    if (p->database_id != c->database_id || p->count != c->stamps_count ||
        memcmp(p->epoch, c->epoch, EPOCH_BYTES) != 0) {
        return false;
    }
    for (unsigned i = 0; i < p->count; i++) {
        const uint8_t *at = p->counters + (size_t)i * PLAIN_PER;
        if (get_u32(at) != (i == 0 ? 0 : c->deps[i - 1]) || get_u64(at + 4) != c->stamps[i]) {
            return false;
        }
    }
    return true;
}
