/*
 * A hash table from byte keys to objects that embed a `struct hlink`. The table owns neither keys
 * nor objects: the link points at a key inside its object. Keys are hashed with the process key,
 * so no outsider can choose collisions.
 */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/dlist.h"

struct hlink {
    struct hlink *next;
    uint64_t hash;
    struct bytes key;
};

struct hmap {
    struct hlink **slots;
    size_t mask; /* slots - 1, or 0 before the first insert */
    size_t count;
};

uint64_t hmap_hash(struct bytes key);
struct hlink *hmap_find(const struct hmap *m, struct bytes key);
/* The same when the caller has the key's hmap_hash already. */
struct hlink *hmap_find_hashed(const struct hmap *m, uint64_t hash, struct bytes key);
/* The key must not be in the table; it must stay in place until removed. */
void hmap_insert(struct hmap *m, struct hlink *link, struct bytes key);
void hmap_insert_hashed(struct hmap *m, struct hlink *link, uint64_t hash, struct bytes key);
void hmap_remove(struct hmap *m, struct hlink *link);
/* Frees the table's own memory, not the objects. */
void hmap_done(struct hmap *m);

/* Walking: *slot starts at 0; the returned link may be removed before the next call. NULL at the
 * end. */
struct hmap_walk {
    size_t slot;
    struct hlink *next;
};
struct hlink *hmap_step(const struct hmap *m, struct hmap_walk *w);
#define hmap_each(link, map)                                                                       \
    for (struct hmap_walk link##_walk = {0}, *link##_w = &link##_walk; link##_w != NULL;           \
         link##_w = NULL)                                                                          \
        for (struct hlink *link = hmap_step((map), link##_w); link != NULL;                        \
             link = hmap_step((map), link##_w))
