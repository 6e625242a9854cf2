/*
 * A mutex with a rank: a thread that holds one may take only a higher rank. Held for list and
 * integer work only: no I/O, no allocation from outside sizes, no callback.
 */
#pragma once

#include <pthread.h>

enum lock_rank {
    RANK_REGISTRY = 1, /* tables of pools, profiles, users */
    RANK_POOL,         /* one pool */
    RANK_LIMITS,       /* counters shared by pools */
    RANK_CACHE,        /* one cache shard */
    RANK_INTERN,       /* interned immutable objects */
    RANK_NEWS,         /* who waits for what others change */
    RANK_MAILBOX,      /* one worker's mailbox */
    RANK_LEAF,
};

struct lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_done(struct lock *l);
/* Aborts when this thread already holds an equal or higher rank: that could deadlock. */
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
