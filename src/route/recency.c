/*
 * Slots of "last written at", found by a hash of the relation. Every store only moves a slot
 * forward, so the order in which workers come does not matter.
 */
#include "route/recency.h"

#include <stdatomic.h>

#include "base/mem.h"

enum { SLOTS = 4096 };

struct recency {
    _Atomic int64_t any; /* the latest write to a relation that was named, or to all */
    _Atomic int64_t all; /* the latest write that may have touched any relation */
    _Atomic int64_t slots[SLOTS];
};

struct recency *recency_new(void)
{
    return mem_new(struct recency);
}

void recency_free(struct recency **r)
{
    mem_free(r);
}

/* OIDs are handed out in sequence; the multiplication spreads them over the slots. */
static unsigned slot_of(uint32_t relation)
{
    return (relation * 2654435761U) >> 20;
}
_Static_assert(SLOTS == 1 << (32 - 20), "slot_of() keeps as many bits as there are slots");

static void advance(_Atomic int64_t *at, int64_t now_us)
{
    int64_t seen = atomic_load(at);
    while (seen < now_us && !atomic_compare_exchange_weak(at, &seen, now_us)) {}
}

void recency_note(struct recency *r, bool all, const uint32_t *relations, unsigned count,
                  int64_t now_us)
{
    if (all) { advance(&r->all, now_us); }
    for (unsigned i = 0; i < count; i++) { advance(&r->slots[slot_of(relations[i])], now_us); }
    if (all || count > 0) { advance(&r->any, now_us); }
}

int64_t recency_last(const struct recency *r, const uint32_t *relations, unsigned count)
{
    if (count == 0) { return atomic_load(&r->any); }
    int64_t last = atomic_load(&r->all);
    for (unsigned i = 0; i < count; i++) {
        int64_t at = atomic_load(&r->slots[slot_of(relations[i])]);
        if (at > last) { last = at; }
    }
    return last;
}
