/*
 * What is kept: a claim says what was known when a query could start; an entry is the answer
 * stamped with it. Also the plain form of an entry that is sealed and sent to Redis.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/dlist.h"
#include "base/err.h"

#define DEPS_MAX    64
#define STAMPS_MAX  (DEPS_MAX + 1)
#define EPOCH_BYTES 16
#define KEY_MAX     (4u << 20)
#define ENTRY_MAX   (8 << 20) /* whatever cache_max_entry says */
#define MAC_BYTES   32
#define PLAIN_FIXED (8 + 8 + EPOCH_BYTES + 4 + 4)
#define PLAIN_PER   12
#define PLAIN_EXTRA (PLAIN_FIXED + PLAIN_PER * STAMPS_MAX)
#define FUTURE_US   INT64_C(2000000) /* how far another machine's clock may be ahead of ours */

/*
 * A question and the versions read before its query. stamps[0] belongs to the whole database,
 * stamps[i + 1] to deps[i]; in ttl mode nothing is compared and both are empty.
 */
struct claim {
    bool redis;
    uint32_t database_id;
    unsigned deps_count, stamps_count;
    uint64_t rules; /* fingerprint of the rules: other rules, other entries */
    uint64_t hash;  /* of key, with the process key */
    int64_t asked_us, asked_wall_us, ttl_us;
    struct bytes key;
    const uint32_t *deps;
    const uint64_t *stamps;
    uint8_t epoch[EPOCH_BYTES]; /* zero in memory mode */
    uint8_t mac[MAC_BYTES];     /* Redis mode: the key under the deployment's secret */
};

/* Equal question, equal versions: one answer serves both. */
bool claim_equal(const struct claim *a, const struct claim *b);

/*
 * Immutable once stored, but for the links, which belong to the store's shard. data holds stamps,
 * deps, key and result, in this order.
 */
struct cache_entry {
    atomic_uint refs;
    bool mark; /* no result: remembers that this key's does not fit */
    uint32_t deps_count, stamps_count, key_len, result_len;
    int64_t birth_us; /* of a mark: until when it counts */
    uint64_t hash, rules;
    struct cache_entry *next; /* in its bucket */
    struct dlist lru;
    _Alignas(8) uint8_t data[];
};

/* With one reference and room for result_len bytes; NULL without memory. */
struct cache_entry *entry_new(const struct claim *c, size_t result_len);
struct cache_entry *entry_ref(struct cache_entry *e);
uint8_t *entry_result(struct cache_entry *e);
struct bytes entry_key(const struct cache_entry *e);
/* Whether the entry carries exactly these dependencies at these versions. */
bool entry_current(const struct cache_entry *e, const struct claim *c);
/* What it costs, allocator and bucket included. */
size_t entry_cost(size_t deps, size_t stamps, size_t key_len, size_t result_len);

/* ---- the plain form: birth, ttl, epoch, database, counters, result */
struct plain {
    int64_t birth_us, ttl_us; /* wall clock: other processes read it */
    const uint8_t *epoch;
    uint32_t database_id;
    unsigned count; /* 0, or the whole database first */
    const uint8_t *counters;
    struct bytes result;
};

/* Writes the fixed part, to be followed by the result; at most PLAIN_EXTRA bytes. Returns its
 * length. */
size_t plain_write(const struct claim *c, uint8_t *at);
/* Errors: E_PROTOCOL. Owner: *ret points into in. */
MUST_USE enum err plain_read(struct bytes in, struct plain *ret);
/* Whether what was read answers this claim at this wall clock. */
bool plain_current(const struct plain *p, const struct claim *c, int64_t wall_us);
