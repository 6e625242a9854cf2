/*
 * The only door to the result cache: find, fill, bump. Entries hold the server's own bytes; table
 * version counters, read before the fill's query was sent, are compared on every hit. One
 * `struct cache` per process (sharded, locked); one `struct cache_side` per worker (its Redis
 * connection). With cache = memory nothing leaves the process.
 *
 * What holds in Redis mode: after done() of a bump that reached Redis nobody is served anything
 * older, through any process. When a bump could not be confirmed in time, this process takes
 * nothing from Redis until it has written a new epoch, which voids every entry; other processes may
 * serve older entries until then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/buf.h"
#include "base/fault.h"
#include "config/config.h"

struct cache;
struct cache_side;
struct cache_entry; /* immutable, refcounted */
struct loop;

MUST_USE enum err cache_open(const struct config *cfg, struct cache **ret, struct fault *why);
void cache_close(struct cache **c); /* after every side is detached */
/*
 * New limits, ttl, rules and Redis address after a reload; any thread. Entries of changed rules are
 * void; a new ttl holds for stored entries. Call it before the workers take up cfg, whose rules
 * cache_question.rule then means. The secret is read once, by cache_open(). Errors: E_CONFIG, and
 * the old ones hold.
 */
MUST_USE enum err cache_configure(struct cache *c, const struct config *cfg, struct fault *why);
/* On the loop's thread, like all that takes a side. */
struct cache_side *cache_attach(struct cache *c, struct loop *loop);
/*
 * Closes the Redis connection; the loop must run until its handles are closed. Calls no waiter and
 * forgets all: tickets and bumps still in use are at rest again.
 */
void cache_detach(struct cache_side **s);

/* ---- the key: length-prefixed fields in one buffer; equal bytes = equal question */
struct cache_key_parts {
    bool redis;           /* where this database's entries live */
    const char *database; /* the server's database and who we are there */
    struct bytes node_id; /* system identifier, timeline and catalog, or empty */
    const char *role, *session_user;
    struct bytes settings; /* output and parse settings, search_path, keyed settings: the caller's
                              canonical bytes */
    uint8_t protocol;      /* 'Q' or 'E' */
    bool described;        /* the answer starts with a RowDescription */
    struct bytes text;
    const uint8_t *types; /* Parse's parameter type OIDs, 4 bytes each, network order */
    unsigned types_count;
    struct bytes bind; /* Bind's bytes from the format codes to the end of the message */
};
/* Appends the canonical key. */
void cache_key(const struct cache_key_parts *parts, struct buf *out);

/* ---- reading */
struct cache_question {
    struct bytes key; /* from cache_key(); borrowed until the answer */
    bool redis;
    const uint32_t *deps; /* relation OIDs; borrowed until the answer */
    unsigned deps_count;
    uint32_t database_id; /* versions are per (database, relation) */
    int rule;             /* index into config's rules: ttl and mode */
};

/* Lives in the caller's request from cache_find() to cache_fill() or cache_drop(). */
struct cache_ticket {
    /* On the side's loop after E_AGAIN, never from inside a call: call find again. */
    void (*ready)(struct cache_ticket *t);
    void *owner;
    int64_t deadline_us; /* of the wait in progress; ready() comes by then, no timer is needed */
    void *state;         /* the cache's own; NULL at rest */
};

/*
 * E_OK:       a hit; *ret holds one reference, to be released with cache_entry_unref().
 * E_NOTFOUND: a miss, and this caller is to run the query, sent only now: the versions are noted in
 *             the ticket. End with cache_fill() or cache_drop().
 * E_AGAIN:    waiting for Redis, or for another fill of the same key and versions on this side
 *             (bounded); ready() comes. cache_drop() ends the wait at any time.
 * E_REFUSED:  no cache now (Redis down or in doubt, mark of an oversized result, ttl 0, a fenced
 *             rule): run the query, no fill.
 */
MUST_USE enum err cache_find(struct cache_side *s, const struct cache_question *q,
                             struct cache_ticket *t, int64_t now_us, struct cache_entry **ret);
/* Not empty: RowDescription (if described) to CommandComplete; copied. */
void cache_fill(struct cache_side *s, struct cache_ticket *t, struct bytes result, int64_t now_us);
/* No result came of it. too_big: remember for a while that this key does not fit. */
void cache_drop(struct cache_side *s, struct cache_ticket *t, bool too_big);

struct bytes cache_entry_bytes(const struct cache_entry *e);
void cache_entry_unref(struct cache_entry **e);

/* ---- writing: after the server's proof of commit, before the client's acknowledgement */
struct cache_bump {
    /* On the side's loop after E_AGAIN: the counters have moved, or time ran out. */
    void (*done)(struct cache_bump *b);
    void *owner;
    void *state;
};
/*
 * E_OK: done, or Redis is known to be out of reach. E_AGAIN: Redis is being told; done() comes
 * within redis_timeout, come what may. Told of every commit, whatever its database's cache mode:
 * Redis learns of it if any database uses Redis.
 */
MUST_USE enum err cache_bump_tables(struct cache_side *s, struct cache_bump *b,
                                    uint32_t database_id, bool all, const uint32_t *relations,
                                    unsigned count);
/* The waiter is gone: done() will not be called. */
void cache_bump_forget(struct cache_side *s, struct cache_bump *b);

struct cache_stats {
    uint64_t hits, misses, fills, bumps, evictions, expired, stale, redis_hits, redis_errors,
        flights_joined, too_big;
    uint64_t entries, bytes;
    bool redis_up;
};
void cache_stats(const struct cache *c, struct cache_stats *ret);
