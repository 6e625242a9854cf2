/* A table of fixed size: a ring of free and used places, the used ones in a line by age. */
#include "auth/penalty.h"

#include <netinet/in.h>

#include "base/hmap.h"
#include "base/mem.h"
#include "base/sync.h"

enum { KEY = 9 }; /* the family, and up to eight bytes */

struct place {
    struct dlist by_age; /* free ones first, then by their last failure */
    struct hlink link;   /* in use when its key is not empty */
    uint8_t key[KEY];
    unsigned failures;
    int64_t last_us;
};

struct penalties {
    struct lock lock;
    struct hmap table;
    struct dlist ages;
    struct place *places;
};

struct penalties *penalties_new(unsigned most_addresses)
{
    struct penalties *p = mem_new(struct penalties);
    lock_init(&p->lock, RANK_LEAF);
    dlist_init(&p->ages);
    p->places = mem_array(struct place, most_addresses);
    for (unsigned i = 0; i < most_addresses; i++) {
        dlist_push_back(&p->ages, &p->places[i].by_age);
    }
    return p;
}

void penalties_free(struct penalties **pp)
{
    struct penalties *p = *pp;
    if (p == NULL) { return; }
    hmap_done(&p->table);
    lock_done(&p->lock);
    mem_free(&p->places);
    mem_free(pp);
}

static void key_of(const struct sockaddr *from, uint8_t ret[KEY])
{
    memset(ret, 0, KEY);
    ret[0] = (uint8_t)from->sa_family;
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        memcpy(ret + 1, &in->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(ret + 1, &in6->sin6_addr, 8);
    }
}

static struct place *find_locked(struct penalties *p, const uint8_t key[KEY])
{
    struct hlink *link = hmap_find(&p->table, bytes_of(key, KEY));
    if (link != NULL) { return container_of(link, struct place, link); }
    struct place *oldest = container_of(p->ages.next, struct place, by_age);
    if (oldest->failures > 0) { hmap_remove(&p->table, &oldest->link); }
    memcpy(oldest->key, key, KEY);
    oldest->failures = 0;
    hmap_insert(&p->table, &oldest->link, bytes_of(oldest->key, KEY));
    return oldest;
}

int64_t penalty_note(struct penalties *p, const struct sockaddr *from, int64_t now_us)
{
    uint8_t key[KEY];
    key_of(from, key);
    lock_take(&p->lock);
    struct place *place = find_locked(p, key);
    if (now_us - place->last_us > PENALTY_MEMORY_US) { place->failures = 0; }
    unsigned before = place->failures++;
    place->last_us = now_us;
    dlist_remove(&place->by_age);
    dlist_push_back(&p->ages, &place->by_age);
    lock_drop(&p->lock);
    enum { DOUBLINGS_MOST = 16 };
    int64_t wait_us = (int64_t)PENALTY_BASE_US
                      << (before < DOUBLINGS_MOST ? before : DOUBLINGS_MOST);
    return wait_us < PENALTY_MOST_US ? wait_us : PENALTY_MOST_US;
}
