/* A table of ids; the line by age says who goes when it is full. */
#include "auth/answers.h"

#include "base/hmap.h"
#include "base/mem.h"

struct answer {
    struct dlist by_age;
    struct hlink link;
    uint8_t id[ANSWERS_ID];
    struct credential *credential; /* NULL: no such user */
    int64_t until_us;
};

struct answers {
    struct lock lock;
    struct hmap table;
    struct dlist ages;
    unsigned most;
};

struct answers *answers_new(unsigned most)
{
    struct answers *a = mem_new(struct answers);
    lock_init(&a->lock, RANK_LEAF);
    dlist_init(&a->ages);
    a->most = most;
    return a;
}

static struct answer *find_locked(struct answers *a, const uint8_t id[ANSWERS_ID])
{
    struct hlink *link = hmap_find(&a->table, bytes_of(id, ANSWERS_ID));
    return link == NULL ? NULL : container_of(link, struct answer, link);
}

/* Takes it out; freed by the caller outside the lock. NULL stays NULL. */
static struct answer *remove_locked(struct answers *a, struct answer *x)
{
    if (x == NULL) { return NULL; }
    hmap_remove(&a->table, &x->link);
    dlist_remove(&x->by_age);
    return x;
}

static void answer_free(struct answer *x)
{
    if (x == NULL) { return; }
    credential_unref(&x->credential);
    mem_free(&x);
}

void answers_clear(struct answers *a)
{
    struct dlist gone;
    struct dlist *node;
    dlist_init(&gone);
    lock_take(&a->lock);
    while (!dlist_empty(&a->ages)) {
        struct answer *x = remove_locked(a, container_of(a->ages.next, struct answer, by_age));
        dlist_push_back(&gone, &x->by_age);
    }
    lock_drop(&a->lock);
    while ((node = dlist_pop_front(&gone)) != NULL) {
        answer_free(container_of(node, struct answer, by_age));
    }
}

void answers_free(struct answers **pa)
{
    struct answers *a = *pa;
    *pa = NULL;
    if (a == NULL) { return; }
    answers_clear(a);
    hmap_done(&a->table);
    lock_done(&a->lock);
    mem_free(&a);
}

enum err answers_find(struct answers *a, const uint8_t id[ANSWERS_ID], int64_t now_us,
                      struct credential **ret)
{
    struct answer *old = NULL;
    enum err e = E_AGAIN;
    lock_take(&a->lock);
    struct answer *x = find_locked(a, id);
    if (x != NULL && now_us >= x->until_us) {
        old = remove_locked(a, x);
    } else if (x != NULL && x->credential == NULL) {
        e = E_NOTFOUND;
    } else if (x != NULL) {
        *ret = credential_ref(x->credential);
        e = E_OK;
    }
    lock_drop(&a->lock);
    answer_free(old);
    return e;
}

void answers_keep(struct answers *a, const uint8_t id[ANSWERS_ID], struct credential *c,
                  int64_t now_us, int64_t until_us)
{
    struct answer *fresh = NULL;
    if (until_us > now_us) {
        fresh = mem_new(struct answer);
        memcpy(fresh->id, id, ANSWERS_ID);
        fresh->credential = c == NULL ? NULL : credential_ref(c);
        fresh->until_us = until_us;
    }
    struct answer *oldest = NULL;
    lock_take(&a->lock);
    struct answer *before = remove_locked(a, find_locked(a, id));
    if (fresh != NULL) {
        if (a->table.count >= a->most) {
            oldest = remove_locked(a, container_of(a->ages.next, struct answer, by_age));
        }
        hmap_insert(&a->table, &fresh->link, bytes_of(fresh->id, ANSWERS_ID));
        dlist_push_back(&a->ages, &fresh->by_age);
    }
    lock_drop(&a->lock);
    answer_free(before);
    answer_free(oldest);
}

void answers_forget(struct answers *a, const uint8_t id[ANSWERS_ID])
{
    lock_take(&a->lock);
    struct answer *x = find_locked(a, id);
    if (x != NULL && x->credential != NULL) {
        x = remove_locked(a, x);
    } else {
        x = NULL;
    }
    lock_drop(&a->lock);
    answer_free(x);
}
