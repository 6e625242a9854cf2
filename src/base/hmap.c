/* Chained hashing with power-of-two growth. */
#include "base/hmap.h"

#include <assert.h>

#include "base/mem.h"
#include "base/siphash.h"

uint64_t hmap_hash(struct bytes key)
{
    return siphash_fast(siphash_process_key(), key);
}

struct hlink *hmap_find_hashed(const struct hmap *m, uint64_t hash, struct bytes key)
{
    if (m->slots == NULL) { return NULL; }
    for (struct hlink *at = m->slots[hash & m->mask]; at != NULL; at = at->next) {
        if (at->hash == hash && bytes_equal(at->key, key)) { return at; }
    }
    return NULL;
}

struct hlink *hmap_find(const struct hmap *m, struct bytes key)
{
    return m->count == 0 ? NULL : hmap_find_hashed(m, hmap_hash(key), key);
}

static void grow(struct hmap *m)
{
    size_t size = m->slots == NULL ? 8 : (m->mask + 1) * 2;
    struct hlink **slots = mem_array(struct hlink *, size);
    for (size_t i = 0; m->slots != NULL && i <= m->mask; i++) {
        for (struct hlink *at = m->slots[i], *next; at != NULL; at = next) {
            next = at->next;
            at->next = slots[at->hash & (size - 1)];
            slots[at->hash & (size - 1)] = at;
        }
    }
    mem_free(&m->slots);
    m->slots = slots;
    m->mask = size - 1;
}

void hmap_insert_hashed(struct hmap *m, struct hlink *link, uint64_t hash, struct bytes key)
{
    if (m->slots == NULL || m->count > m->mask) { grow(m); }
    link->hash = hash;
    link->key = key;
    link->next = m->slots[hash & m->mask];
    m->slots[hash & m->mask] = link;
    m->count++;
}

void hmap_insert(struct hmap *m, struct hlink *link, struct bytes key)
{
    hmap_insert_hashed(m, link, hmap_hash(key), key);
}

void hmap_remove(struct hmap *m, struct hlink *link)
{
    assert(m->slots != NULL);
    struct hlink **at = &m->slots[link->hash & m->mask];
    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    m->count--;
}

void hmap_done(struct hmap *m)
{
    mem_free(&m->slots);
    *m = (struct hmap){0};
}

struct hlink *hmap_step(const struct hmap *m, struct hmap_walk *w)
{
    struct hlink *link = w->next;
    while (link == NULL && m->slots != NULL && w->slot <= m->mask) { link = m->slots[w->slot++]; }
    w->next = link == NULL ? NULL : link->next;
    return link;
}
