/*
 * How many servers pools may have together that follow each other: a reload that changes a database
 * makes new pools, and while the old ones still have servers, pool_size holds for both. Each pool
 * of such a line has its part of the seats; who leaves the last place free for somebody of the
 * family says so.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/dlist.h"
#include "base/sync.h"

struct seats {
    struct lock lock; /* of the list */
    struct dlist members;
    unsigned refs; /* under the lock, as the list */
    _Atomic unsigned taken;
    /* As the newest of the pools has it; UINT_MAX: no limit. */
    _Atomic unsigned size, replica_size, reserve_size;
};

struct seats *seats_new(void);
/* A pool joins the family, by its node in the list, and leaves it; the last one frees the seats. */
void seats_join(struct seats *s, struct dlist *member);
void seats_leave(struct seats **s, struct dlist *member);
/* One more, unless `most` are taken. */
bool seats_take(struct seats *s, unsigned most);
void seats_give(struct seats *s);
/* Under the lock: short, and no lock taken but of a higher rank. */
void seats_each(struct seats *s, void (*visit)(struct dlist *member, void *arg), void *arg);
