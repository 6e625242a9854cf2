/* The table has at most one flight per key: the latest. An older one, at other versions, goes on
 * unlisted and takes nobody in. */
#include "cache/flight.h"

#include <assert.h>

#include "base/mem.h"

struct flight {
    struct hlink link; /* key: the leader's */
    bool listed;
    const struct wait *leader;
    struct dlist members;
};

uint64_t *wait_stamps(struct wait *w)
{
    return (uint64_t *)(void *)w->data;
}

struct wait *wait_new(struct cache_ticket *t, const struct claim *c)
{
    size_t stamps = c->stamps_count * sizeof(uint64_t), deps = c->deps_count * sizeof(uint32_t);
    struct wait *w = mem_try(sizeof *w + stamps + deps + c->key.len);
    if (w == NULL) { return NULL; }
    *w = (struct wait){.ticket = t, .claim = *c};
    dlist_init(&w->all);
    dlist_init(&w->queue);
    dlist_init(&w->timed);
    uint8_t *at = w->data;
    if (stamps > 0) { memcpy(at, c->stamps, stamps); }
    w->claim.stamps = wait_stamps(w);
    at += stamps;
    if (deps > 0) { memcpy(at, c->deps, deps); }
    w->claim.deps = (const uint32_t *)(const void *)at;
    at += deps;
    if (c->key.len > 0) { memcpy(at, c->key.ptr, c->key.len); }
    w->claim.key = bytes_of(at, c->key.len);
    t->state = w;
    return w;
}

void wait_free(struct wait **w)
{
    assert((*w)->phase != WAIT_LEADS || (*w)->flight == NULL);
    (*w)->ticket->state = NULL;
    (*w)->ticket->deadline_us = 0;
    dlist_remove(&(*w)->all);
    dlist_remove(&(*w)->queue);
    dlist_remove(&(*w)->timed);
    cache_entry_unref(&(*w)->found);
    mem_free(w);
}

static struct flight *find(const struct hmap *flights, const struct claim *c)
{
    struct hlink *link = hmap_find_hashed(flights, c->hash, c->key);
    return link == NULL ? NULL : container_of(link, struct flight, link);
}

bool flight_join(struct hmap *flights, struct wait *w)
{
    struct flight *f = find(flights, &w->claim);
    if (f == NULL || !claim_equal(&f->leader->claim, &w->claim)) { return false; }
    w->phase = WAIT_JOINED;
    w->flight = f;
    w->joins++;
    dlist_remove(&w->queue);
    dlist_push_back(&f->members, &w->queue);
    return true;
}

void flight_leave(struct wait *w)
{
    dlist_remove(&w->queue);
    dlist_remove(&w->timed);
    w->flight = NULL;
    w->phase = WAIT_LEADS;
}

bool flight_awaited(const struct wait *w)
{
    return w->flight != NULL && !dlist_empty(&w->flight->members);
}

void flight_lead(struct hmap *flights, struct wait *w)
{
    struct flight *old = find(flights, &w->claim);
    if (old != NULL) {
        hmap_remove(flights, &old->link);
        old->listed = false;
    }
    struct flight *f = mem_new(struct flight);
    f->leader = w;
    f->listed = true;
    dlist_init(&f->members);
    hmap_insert_hashed(flights, &f->link, w->claim.hash, w->claim.key);
    w->phase = WAIT_LEADS;
    w->flight = f;
}

void flight_end(struct hmap *flights, struct wait *w, struct cache_entry *e, struct dlist *woken)
{
    struct flight *f = w->flight;
    if (f == NULL) { return; }
    assert(w->phase == WAIT_LEADS && f->leader == w);
    if (f->listed) { hmap_remove(flights, &f->link); }
    for (struct dlist *node; (node = dlist_pop_front(&f->members)) != NULL;) {
        struct wait *member = container_of(node, struct wait, queue);
        member->phase = WAIT_WOKEN;
        member->flight = NULL;
        member->found = e == NULL ? NULL : entry_ref(e);
        dlist_remove(&member->timed);
        dlist_push_back(woken, node);
    }
    w->flight = NULL;
    mem_free(&f);
}
