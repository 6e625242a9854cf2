/*
 * Entries in this process: shards of a bucket table and an LRU list each, bounded by bytes. The
 * bound is exact: a shard never holds more than its part of the limit, bucket tables included.
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/entry.h"

struct store;

struct store_stats {
    uint64_t hits, expired, stale, evictions, entries, bytes;
};

/* max_entry: the largest result expected; decides how many shards the bytes are worth. */
struct store *store_new(int64_t bytes, int64_t max_entry);
void store_free(struct store **s);
/* A new bound; what no longer fits goes, oldest first. */
void store_limit(struct store *s, int64_t bytes);

/*
 * E_OK: *ret holds a reference. E_REFUSED: a mark says that the result does not fit.
 * E_NOTFOUND: nothing, or nothing that these versions, rules and ttl allow.
 */
MUST_USE enum err store_find(struct store *s, const struct claim *c, int64_t now_us,
                             struct cache_entry **ret);
/* Whether a mark stands. */
bool store_marked(struct store *s, const struct claim *c, int64_t now_us);
/* Takes the reference; false when it is larger than a shard. Replaces what the key had. */
bool store_put(struct store *s, struct cache_entry *e);
/* Remembers until then that the key's result does not fit. */
void store_mark(struct store *s, const struct claim *c, int64_t until_us);
void store_stats(struct store *s, struct store_stats *ret);
