/*
 * A board: who joins is told once, on its own loop, when there is something new. To miss nothing,
 * join first and look then: whoever changes what is looked at tells afterwards.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "net/loop.h"

struct news {
    struct lock lock;
    struct dlist waiting;
    _Atomic unsigned count;
};

struct news_wait { /* embedded in who waits */
    struct letter letter;
    struct dlist node;
    struct news *news; /* NULL: neither joined nor being told */
    struct loop *loop;
    void (*told)(struct news_wait *w);
};

void news_init(struct news *n);
void news_done(struct news *n);

/* false: it had joined before, and was not told since. w->told is set. */
bool news_join(struct news *n, struct news_wait *w, struct loop *l);
void news_leave_now(struct news_wait *w);
/* told() does not come any more; harmless when it did. The loop that joined. */
static inline void news_leave(struct news_wait *w)
{
    if (w->news != NULL) { news_leave_now(w); }
}

void news_tell_all(struct news *n);
/* Any thread. Costs next to nothing where nobody waits. */
static inline void news_tell(struct news *n)
{
    if (atomic_load(&n->count) > 0) { news_tell_all(n); }
}
