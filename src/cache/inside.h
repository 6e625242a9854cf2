/* What the files of this folder share: the process's state, its settings, its counters. */
#pragma once

#include <stdatomic.h>

#include "base/sync.h"
#include "cache/address.h"
#include "cache/cache.h"
#include "cache/seal.h"
#include "cache/store.h"
#include "cache/versions.h"

#define RUN_ID_MAX 64

struct settings_rule {
    int64_t ttl_us;
    enum rule_mode mode;
};

/* Immutable; replaced ones live until cache_close, for readers hold no reference. */
struct settings {
    struct settings *older;
    struct settings_rule *rules;
    size_t rules_count;
    uint64_t rules_print;        /* equal for equal rules, in every process */
    struct redis_address *redis; /* NULL: no database uses it */
    int64_t redis_timeout_us;
    int64_t memory_bytes, max_entry_bytes;
};

MUST_USE enum err settings_new(const struct config *cfg, struct settings **ret, struct fault *why);
void settings_free(struct settings **s);

struct counters {
    atomic_uint_fast64_t hits, misses, fills, bumps, stale, redis_hits, redis_errors, joined,
        too_big;
};

static inline void count(atomic_uint_fast64_t *counter)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/*
 * Doubt: a bump may not have reached Redis, so entries there may be stale. Each such case raises
 * `doubt`; a new epoch, written later, raises `settled` to the doubt it started from. While the two
 * differ this process takes nothing from Redis and puts nothing there.
 */
struct cache {
    _Atomic(struct settings *) settings;
    struct store *store;
    struct versions *versions;
    struct seal *seal; /* there before the first settings that have a Redis */
    struct counters counters;
    atomic_uint_fast64_t doubt, settled;
    atomic_uint redis_up; /* sides with a usable connection */
    atomic_uint run;      /* raised when another Redis than before answered */
    atomic_uint sides;
    struct lock run_lock;
    char run_id[RUN_ID_MAX + 1];
};

static inline bool cache_in_doubt(struct cache *c)
{
    return atomic_load(&c->doubt) != atomic_load(&c->settled);
}

static inline const struct settings *cache_settings(struct cache *c)
{
    return atomic_load_explicit(&c->settings, memory_order_acquire);
}
