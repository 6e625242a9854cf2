/* Ranked mutexes: a bit per rank held by this thread makes the check one comparison. */
#include "base/sync.h"

#include <assert.h>

static _Thread_local unsigned held;

void lock_init(struct lock *l, enum lock_rank rank)
{
    (void)pthread_mutex_init(&l->mutex, NULL);
    l->rank = rank;
}

void lock_done(struct lock *l)
{
    (void)pthread_mutex_destroy(&l->mutex);
}

void lock_take(struct lock *l)
{
    assert(held < 1u << l->rank);
    (void)pthread_mutex_lock(&l->mutex);
    held |= 1u << l->rank;
}

void lock_drop(struct lock *l)
{
    held &= ~(1u << l->rank);
    (void)pthread_mutex_unlock(&l->mutex);
}
