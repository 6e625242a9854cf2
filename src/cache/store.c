/* The bucket tables never grow while entries come and go, so no lookup ever pays for a rehash. */
#include "cache/store.h"

#include <assert.h>

#include "base/mem.h"
#include "base/sync.h"
#include "cache/cache.h"

#define SHARDS_MAX     16u
#define RESULTS_PER    4    /* a shard has room for so many of the largest results */
#define BYTES_PER_SLOT 1024 /* of the limit: about one slot per entry */
#define SLOTS_MIN      64u

struct shard {
    struct lock lock;
    struct cache_entry **slots;
    size_t mask;
    struct dlist lru; /* oldest first */
    int64_t limit, bytes;
    uint64_t entries;
    atomic_uint_fast64_t hits, expired, stale, evictions;
    char apart[64]; /* shards do not share a cache line */
};

struct store {
    unsigned count;
    struct shard shards[SHARDS_MAX];
};

static struct shard *shard_of(struct store *s, uint64_t hash)
{
    return &s->shards[(hash >> 56) & (s->count - 1)];
}

static int64_t cost_of(const struct cache_entry *e)
{
    return (int64_t)entry_cost(e->deps_count, e->stamps_count, e->key_len, e->result_len);
}

static size_t slots_for(int64_t bytes)
{
    size_t slots = SLOTS_MIN;
    while ((int64_t)slots * BYTES_PER_SLOT < bytes) { slots *= 2; }
    return slots;
}

/* What is left for entries when the bucket table has its part. */
static int64_t room(int64_t bytes, size_t slots)
{
    int64_t left = bytes - (int64_t)(slots * sizeof(struct cache_entry *));
    return left < 0 ? 0 : left;
}

struct store *store_new(int64_t bytes, int64_t max_entry)
{
    struct store *s = mem_new(struct store);
    s->count = SHARDS_MAX;
    while (s->count > 1 && bytes / s->count / RESULTS_PER < max_entry) { s->count /= 2; }
    for (unsigned i = 0; i < s->count; i++) {
        struct shard *sh = &s->shards[i];
        int64_t part = bytes / s->count;
        size_t slots = slots_for(part);
        lock_init(&sh->lock, RANK_CACHE);
        dlist_init(&sh->lru);
        sh->slots = mem_array(struct cache_entry *, slots);
        sh->mask = slots - 1;
        sh->limit = room(part, slots);
    }
    return s;
}

static struct cache_entry **place_of(struct shard *sh, uint64_t hash, struct bytes key)
{
    struct cache_entry **at = &sh->slots[hash & sh->mask];
    while (*at != NULL && ((*at)->hash != hash || !bytes_equal(entry_key(*at), key))) {
        at = &(*at)->next;
    }
    return at;
}

/* Takes the entry at a place out of the shard and puts it on the caller's list of the dead, to be
 * freed when the lock is gone. */
static void take_out_locked(struct shard *sh, struct cache_entry **at, struct cache_entry **dead)
{
    struct cache_entry *e = *at;
    *at = e->next;
    dlist_remove(&e->lru);
    sh->bytes -= cost_of(e);
    sh->entries--;
    e->next = *dead;
    *dead = e;
}

static void bury(struct cache_entry *dead)
{
    while (dead != NULL) {
        struct cache_entry *next = dead->next;
        cache_entry_unref(&dead);
        dead = next;
    }
}

static void shrink_locked(struct shard *sh, int64_t to, struct cache_entry **dead)
{
    while (sh->bytes > to) {
        struct cache_entry *oldest = container_of(sh->lru.next, struct cache_entry, lru);
        struct cache_entry **at = &sh->slots[oldest->hash & sh->mask];
        while (*at != oldest) { at = &(*at)->next; }
        take_out_locked(sh, at, dead);
        (void)atomic_fetch_add_explicit(&sh->evictions, 1, memory_order_relaxed);
    }
}

void store_free(struct store **s)
{
    if (*s == NULL) { return; }
    for (unsigned i = 0; i < (*s)->count; i++) {
        struct shard *sh = &(*s)->shards[i];
        struct cache_entry *dead = NULL;
        shrink_locked(sh, 0, &dead); /* the last one to hold the store needs no lock */
        bury(dead);
        mem_free(&sh->slots);
        lock_done(&sh->lock);
    }
    mem_free(s);
}

void store_limit(struct store *s, int64_t bytes)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct shard *sh = &s->shards[i];
        struct cache_entry *dead = NULL;
        lock_take(&sh->lock);
        sh->limit = room(bytes / s->count, sh->mask + 1);
        shrink_locked(sh, sh->limit, &dead);
        lock_drop(&sh->lock);
        bury(dead);
    }
}

static enum err judge(const struct cache_entry *e, const struct claim *c, int64_t now_us)
{
    if (e->mark) { return now_us < e->birth_us ? E_REFUSED : E_TIMEOUT; }
    if (now_us - e->birth_us > c->ttl_us) { return E_TIMEOUT; }
    return entry_current(e, c) ? E_OK : E_NOTFOUND;
}

enum err store_find(struct store *s, const struct claim *c, int64_t now_us,
                    struct cache_entry **ret)
{
    struct shard *sh = shard_of(s, c->hash);
    struct cache_entry *dead = NULL;
    lock_take(&sh->lock);
    struct cache_entry **at = place_of(sh, c->hash, c->key);
    struct cache_entry *e = *at;
    enum err verdict = E_NOTFOUND;
    if (e != NULL) {
        verdict = judge(e, c, now_us);
        switch (verdict) {
        case E_OK:
            if (sh->lru.prev != &e->lru) {
                dlist_remove(&e->lru);
                dlist_push_back(&sh->lru, &e->lru);
            }
            *ret = entry_ref(e);
            (void)atomic_fetch_add_explicit(&sh->hits, 1, memory_order_relaxed);
            break;
        case E_TIMEOUT:
            take_out_locked(sh, at, &dead);
            (void)atomic_fetch_add_explicit(&sh->expired, 1, memory_order_relaxed);
            verdict = E_NOTFOUND;
            break;
        case E_NOTFOUND:
            /* It stays: its versions may be newer than the ones this caller has read. */
            (void)atomic_fetch_add_explicit(&sh->stale, 1, memory_order_relaxed);
            break;
        default: break;
        }
    }
    lock_drop(&sh->lock);
    bury(dead);
    return verdict;
}

bool store_marked(struct store *s, const struct claim *c, int64_t now_us)
{
    struct shard *sh = shard_of(s, c->hash);
    lock_take(&sh->lock);
    const struct cache_entry *e = *place_of(sh, c->hash, c->key);
    bool marked = e != NULL && e->mark && now_us < e->birth_us;
    lock_drop(&sh->lock);
    return marked;
}

bool store_put(struct store *s, struct cache_entry *e)
{
    struct shard *sh = shard_of(s, e->hash);
    struct cache_entry *dead = NULL;
    int64_t cost = cost_of(e);
    lock_take(&sh->lock);
    struct cache_entry **at = place_of(sh, e->hash, entry_key(e));
    if (*at != NULL) { take_out_locked(sh, at, &dead); }
    bool fits = cost <= sh->limit;
    if (fits) {
        shrink_locked(sh, sh->limit - cost, &dead);
        struct cache_entry **slot = &sh->slots[e->hash & sh->mask];
        e->next = *slot;
        *slot = e;
        dlist_push_back(&sh->lru, &e->lru);
        sh->bytes += cost;
        sh->entries++;
    }
    lock_drop(&sh->lock);
    bury(dead);
    if (!fits) { cache_entry_unref(&e); }
    return fits;
}

void store_mark(struct store *s, const struct claim *c, int64_t until_us)
{
    struct claim bare = *c;
    bare.deps_count = bare.stamps_count = 0;
    struct cache_entry *e = entry_new(&bare, 0);
    if (e == NULL) { return; }
    e->mark = true;
    e->birth_us = until_us;
    (void)store_put(s, e); /* without room for a mark the next one is simply measured again */
}

void store_stats(struct store *s, struct store_stats *ret)
{
    *ret = (struct store_stats){0};
    for (unsigned i = 0; i < s->count; i++) {
        struct shard *sh = &s->shards[i];
        lock_take(&sh->lock);
        ret->entries += sh->entries;
        ret->bytes += (uint64_t)sh->bytes;
        lock_drop(&sh->lock);
        ret->hits += atomic_load_explicit(&sh->hits, memory_order_relaxed);
        ret->expired += atomic_load_explicit(&sh->expired, memory_order_relaxed);
        ret->stale += atomic_load_explicit(&sh->stale, memory_order_relaxed);
        ret->evictions += atomic_load_explicit(&sh->evictions, memory_order_relaxed);
    }
}
