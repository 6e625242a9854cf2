/* The door: a question goes to this process's store or to Redis, then to the flights. */
#include "cache/cache.h"

#include <assert.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "cache/flight.h"
#include "cache/inside.h"
#include "cache/redis.h"
#include "cache/side.h"

#define MARK_US   (30 * US_PER_S) /* how long a result is remembered not to fit */
#define JOIN_US   (2 * US_PER_S)  /* how long another request's query is waited for */
#define JOINS_MAX 2               /* queries without a result before one goes alone */

/* ---- the process's part */

/* Redis's alone, so made when there is one to be; a secret that is named must be good all the same.
   Once there it stays: other processes know these keys. */
static enum err need_seal(struct seal **seal, const struct settings *s, const struct config *cfg,
                          struct fault *why)
{
    bool named = cfg->o.cache_secret_file[0] != '\0';
    if (*seal != NULL || (s->redis == NULL && !named)) { return E_OK; }
    return seal_open(cfg->o.cache_secret_file, seal, why);
}

enum err cache_open(const struct config *cfg, struct cache **ret, struct fault *why)
{
    struct settings *settings = NULL;
    struct seal *seal = NULL;
    enum err e = settings_new(cfg, &settings, why);
    if (e != E_OK) { goto out; }
    e = need_seal(&seal, settings, cfg, why);
    if (e != E_OK) { goto out; }
    (void)signal(SIGPIPE, SIG_IGN); /* libuv writes to Redis with write(2) */
    struct cache *c = mem_new(struct cache);
    c->store = store_new(settings->memory_bytes, settings->max_entry_bytes);
    c->versions = versions_new();
    c->seal = seal;
    lock_init(&c->run_lock, RANK_LEAF);
    atomic_init(&c->settings, settings);
    *ret = c;
    settings = NULL;
out:
    settings_free(&settings);
    return e;
}

void cache_close(struct cache **c)
{
    if (*c == NULL) { return; }
    assert(atomic_load(&(*c)->sides) == 0);
    struct settings *s = atomic_load(&(*c)->settings);
    while (s != NULL) {
        struct settings *older = s->older;
        settings_free(&s);
        s = older;
    }
    store_free(&(*c)->store);
    versions_free(&(*c)->versions);
    seal_free(&(*c)->seal);
    lock_done(&(*c)->run_lock);
    mem_free(c);
}

enum err cache_configure(struct cache *c, const struct config *cfg, struct fault *why)
{
    struct settings *fresh = NULL;
    struct settings *old = atomic_load(&c->settings);
    enum err e = settings_new(cfg, &fresh, why);
    if (e == E_OK) { e = need_seal(&c->seal, fresh, cfg, why); }
    if (e != E_OK) {
        settings_free(&fresh);
        return e;
    }
    fresh->older = old;
    bool moved = !redis_address_equal(old->redis, fresh->redis);
    atomic_store_explicit(&c->settings, fresh, memory_order_release);
    /* What was written until now is unknown to the new Redis. */
    if (moved) { (void)atomic_fetch_add(&c->doubt, 1); }
    store_limit(c->store, fresh->memory_bytes);
    return E_OK;
}

void cache_stats(const struct cache *c, struct cache_stats *ret)
{
    struct store_stats st;
    store_stats(c->store, &st);
    const struct counters *n = &c->counters;
    *ret = (struct cache_stats){
        .hits = st.hits + atomic_load(&n->hits),
        .misses = atomic_load(&n->misses),
        .fills = atomic_load(&n->fills),
        .bumps = atomic_load(&n->bumps),
        .evictions = st.evictions,
        .expired = st.expired,
        .stale = st.stale + atomic_load(&n->stale),
        .redis_hits = atomic_load(&n->redis_hits),
        .redis_errors = atomic_load(&n->redis_errors),
        .flights_joined = atomic_load(&n->joined),
        .too_big = atomic_load(&n->too_big),
        .entries = st.entries,
        .bytes = st.bytes,
        .redis_up = atomic_load(&c->redis_up) > 0,
    };
}

/* ---- reading */

static void mark(struct cache_side *s, const struct claim *c, int64_t now_us)
{
    count(&s->cache->counters.too_big);
    store_mark(s->cache->store, c, now_us + MARK_US);
}

/* A miss: waits for an equal request that is already on its way, or is the one that goes. */
static enum err join_or_lead(struct cache_side *s, struct wait *w, int64_t now_us)
{
    struct cache_ticket *t = w->ticket;
    if (w->joins < JOINS_MAX && flight_join(&s->flights, w)) {
        count(&s->cache->counters.joined);
        t->deadline_us = now_us + JOIN_US;
        side_await_flight(s, w, clock_now_us() + JOIN_US);
        return E_AGAIN;
    }
    count(&s->cache->counters.misses);
    t->deadline_us = 0;
    if (w->joins < JOINS_MAX) {
        flight_lead(&s->flights, w);
    } else {
        /* Twice in vain: this query gives no results to keep, and waiting in line for each other
         * would only make it slower. */
        w->phase = WAIT_LEADS;
    }
    return E_NOTFOUND;
}

static enum err hit(struct cache_side *s, struct wait *w, struct cache_entry **ret)
{
    count(&s->cache->counters.hits);
    *ret = w->found;
    w->found = NULL;
    wait_free(&w);
    return E_OK;
}

static enum err conclude(struct cache_side *s, struct wait *w, int64_t now_us,
                         struct cache_entry **ret)
{
    switch (w->verdict) {
    case E_OK: count(&s->cache->counters.redis_hits); return hit(s, w, ret);
    case E_NOTFOUND: return join_or_lead(s, w, now_us);
    default: wait_free(&w); return E_REFUSED;
    }
}

static enum err begin_redis(struct cache_side *s, const struct claim *c, struct cache_ticket *t,
                            int64_t now_us, unsigned joins)
{
    if (store_marked(s->cache->store, c, now_us)) { return E_REFUSED; }
    struct wait *w = wait_new(t, c);
    if (w == NULL) { return E_REFUSED; }
    w->joins = joins;
    dlist_push_back(&s->waits, &w->all);
    enum err e = redis_find(s->redis, w);
    if (e != E_AGAIN) {
        wait_free(&w);
        return e;
    }
    t->deadline_us = now_us + cache_settings(s->cache)->redis_timeout_us;
    return E_AGAIN;
}

static enum err begin(struct cache_side *s, const struct cache_question *q, struct cache_ticket *t,
                      int64_t now_us, unsigned joins, struct cache_entry **ret)
{
    const struct settings *now = cache_settings(s->cache);
    if (q->rule < 0 || (size_t)q->rule >= now->rules_count || q->deps_count > DEPS_MAX ||
        q->key.len > KEY_MAX) {
        return E_REFUSED;
    }
    const struct settings_rule *rule = &now->rules[q->rule];
    /* `fenced` promises more than counters can give. */
    if (rule->ttl_us <= 0 || rule->mode == RULE_FENCED) { return E_REFUSED; }
    uint64_t stamps[STAMPS_MAX] = {0};
    bool compared = rule->mode != RULE_TTL;
    struct claim c = {
        .redis = q->redis,
        .database_id = q->database_id,
        .deps_count = compared ? q->deps_count : 0,
        .stamps_count = compared ? q->deps_count + 1 : 0,
        .rules = now->rules_print,
        .hash = hmap_hash(q->key),
        .asked_us = now_us,
        .ttl_us = rule->ttl_us,
        .key = q->key,
        .deps = q->deps,
        .stamps = stamps,
    };
    if (q->redis) {
        c.asked_wall_us = clock_wall_us();
        return begin_redis(s, &c, t, now_us, joins);
    }
    /* The versions first: an entry that carries them was valid at this moment, and a query sent
     * from now on sees all that they count. */
    if (compared) {
        versions_read(s->cache->versions, c.database_id, c.deps, c.deps_count, stamps);
    }
    enum err e = store_find(s->cache->store, &c, now_us, ret);
    if (e != E_NOTFOUND) { return e; }
    struct wait *w = wait_new(t, &c);
    if (w == NULL) { return E_REFUSED; }
    w->joins = joins;
    dlist_push_back(&s->waits, &w->all);
    return join_or_lead(s, w, now_us);
}

enum err cache_find(struct cache_side *s, const struct cache_question *q, struct cache_ticket *t,
                    int64_t now_us, struct cache_entry **ret)
{
    struct wait *w = t->state;
    if (w == NULL) { return begin(s, q, t, now_us, 0, ret); }
    assert(w->phase != WAIT_LEADS);
    switch (w->phase) {
    case WAIT_ASKS:
        if (now_us < t->deadline_us) { return E_AGAIN; }
        cache_drop(s, t, false);
        return E_REFUSED;
    case WAIT_KNOWS: dlist_remove(&w->queue); return conclude(s, w, now_us, ret);
    case WAIT_JOINED:
        if (now_us < t->deadline_us) { return E_AGAIN; }
        flight_leave(w);
        w->joins = JOINS_MAX;
        return join_or_lead(s, w, now_us);
    case WAIT_WOKEN:
        if (w->found != NULL) { return hit(s, w, ret); }
        break;
    case WAIT_LEADS: break;
    }
    unsigned joins = w->joins;
    wait_free(&w);
    return begin(s, q, t, now_us, joins, ret);
}

void cache_fill(struct cache_side *s, struct cache_ticket *t, struct bytes result, int64_t now_us)
{
    struct wait *w = t->state;
    assert(w != NULL && w->phase == WAIT_LEADS && result.len > 0);
    struct cache_entry *e = NULL;
    bool fits = (int64_t)result.len <= cache_settings(s->cache)->max_entry_bytes;
    if (fits && w->claim.redis) { redis_fill(s->redis, &w->claim, result); }
    if (fits && (!w->claim.redis || flight_awaited(w))) {
        e = entry_new(&w->claim, result.len);
        if (e != NULL) { memcpy(entry_result(e), result.ptr, result.len); }
    }
    if (e != NULL && !w->claim.redis) { fits = store_put(s->cache->store, entry_ref(e)); }
    if (fits) {
        count(&s->cache->counters.fills);
    } else {
        mark(s, &w->claim, now_us);
    }
    flight_end(&s->flights, w, e, &s->woken);
    cache_entry_unref(&e);
    wait_free(&w);
    side_wake(s);
}

void cache_drop(struct cache_side *s, struct cache_ticket *t, bool too_big)
{
    struct wait *w = t->state;
    if (w == NULL) { return; }
    if (too_big) { mark(s, &w->claim, w->claim.asked_us); }
    redis_forget_find(&w->ask);
    if (w->phase == WAIT_LEADS) { flight_end(&s->flights, w, NULL, &s->woken); }
    wait_free(&w);
    side_wake(s);
}

/* ---- writing */

enum err cache_bump_tables(struct cache_side *s, struct cache_bump *b, uint32_t database_id,
                           bool all, const uint32_t *relations, unsigned n)
{
    b->state = NULL;
    if (!all && n == 0) { return E_OK; }
    count(&s->cache->counters.bumps);
    if (all) { versions_bump(s->cache->versions, database_id, 0); }
    for (unsigned i = 0; i < n; i++) {
        versions_bump(s->cache->versions, database_id, relations[i]);
    }
    return redis_bump(s->redis, b, database_id, all, relations, n);
}

void cache_bump_forget(struct cache_side *s __attribute__((unused)), struct cache_bump *b)
{
    redis_forget_bump(b);
}
