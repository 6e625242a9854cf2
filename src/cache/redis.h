/*
 * One worker's use of Redis: finding, filling and bumping, and what is done when any of it fails.
 * All keys carry one hash tag named after the secret:
 *   {pgu:TAG}:E          the epoch: a random nonce and the run_id of the Redis it was written to
 *   {pgu:TAG}:V:DB:OID   a relation's version, and {pgu:TAG}:V:DB:* the whole database's
 *   {pgu:TAG}:K:MAC      a sealed entry
 * Versions and epochs are never counted up but replaced by fresh 62- and 128-bit random values: a
 * value that cannot return serves as well as a larger one, needs no script, and makes every write
 * safe to repeat, to race and to lose a predecessor of. An entry counts only if the reply that
 * carries it also carries its epoch and its versions.
 */
#pragma once

#include "cache/flight.h"
#include "cache/inside.h"

struct redis;

struct redis_ops {
    void (*answered)(void *owner, struct wait *w); /* now WAIT_KNOWS */
    void (*bumped)(void *owner);                   /* redis_told() has one */
    void (*wake)(void *owner);                     /* call redis_flush() before the loop sleeps */
    void (*rearm)(void *owner);                    /* redis_due() is earlier now */
    void (*read)(void *owner);                     /* after a batch of the above */
};

struct redis *redis_new(struct loop *loop, struct cache *c, const struct redis_ops *ops,
                        void *owner);
/* Every wait must have been forgotten; bumps are. */
void redis_free(struct redis **r);

/* E_AGAIN: answered() comes within redis_timeout. E_REFUSED: not now. */
MUST_USE enum err redis_find(struct redis *r, struct wait *w);
void redis_forget_find(struct redis_ask **ask);
void redis_fill(struct redis *r, const struct claim *c, struct bytes result);
/* The next bump whose done() is to be called, its state NULL again; NULL: none. */
struct cache_bump *redis_told(struct redis *r);
/* n is not 0 unless all. E_AGAIN: bumped() comes. E_OK: told already, or the doubt is raised. */
MUST_USE enum err redis_bump(struct redis *r, struct cache_bump *b, uint32_t database_id, bool all,
                             const uint32_t *relations, unsigned n);
void redis_forget_bump(struct cache_bump *b);

/* Reconnects, adopts new settings, writes a new epoch: whatever is due. */
void redis_tick(struct redis *r, int64_t now_us);
void redis_flush(struct redis *r);
int64_t redis_due(const struct redis *r);
void redis_expire(struct redis *r, int64_t now_us);
