/* A count that several pools move, and a list for who is told. */
#include "pool/seats.h"

#include <assert.h>

#include "base/mem.h"

struct seats *seats_new(void)
{
    struct seats *s = mem_new(struct seats);
    lock_init(&s->lock, RANK_LEAF);
    dlist_init(&s->members);
    return s;
}

void seats_join(struct seats *s, struct dlist *member)
{
    lock_take(&s->lock);
    dlist_push_back(&s->members, member);
    s->refs++;
    lock_drop(&s->lock);
}

void seats_leave(struct seats **ps, struct dlist *member)
{
    struct seats *s = *ps;
    *ps = NULL;
    lock_take(&s->lock);
    dlist_remove(member);
    bool last = --s->refs == 0;
    lock_drop(&s->lock);
    if (!last) { return; }
    lock_done(&s->lock);
    mem_free(&s);
}

bool seats_take(struct seats *s, unsigned most)
{
    unsigned taken = atomic_load(&s->taken);
    while (taken < most) {
        if (atomic_compare_exchange_weak(&s->taken, &taken, taken + 1)) { return true; }
    }
    return false;
}

void seats_give(struct seats *s)
{
    unsigned was = atomic_fetch_sub(&s->taken, 1);
    assert(was > 0);
}

void seats_each(struct seats *s, void (*visit)(struct dlist *member, void *arg), void *arg)
{
    lock_take(&s->lock);
    dlist_each (member, &s->members) { visit(member, arg); }
    lock_drop(&s->lock);
}
