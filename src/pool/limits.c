/*
 * Counting slots and choosing who gets one.
 *
 * Giving a slot to whoever waited longest, each time, would be fair and slow: every hand-over
 * closes one connection and opens another. So a slot moves when the other pool's first client has
 * waited notably longer and the move brings the clients per slot nearer to each other, or keeps
 * them as far apart, which is how pools take turns at slots that do not divide. Ages alone would
 * not do: they follow the shares late, and slots would swing to and fro for ever.
 */
#include "pool/limits.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

void limits_init(struct limits *l)
{
    *l = (struct limits){0};
    lock_init(&l->lock, RANK_LIMITS);
    dlist_init(&l->hungry);
    news_init(&l->room);
}

/* Room may have been made, or hunger stilled. */
static void drop_and_tell(struct limits *l)
{
    lock_drop(&l->lock);
    news_tell(&l->room);
}

void limits_done(struct limits *l)
{
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        hmap_each (link, &l->caps[k]) {
            struct cap *c = container_of(link, struct cap, link);
            hmap_remove(&l->caps[k], link);
            mem_free(&c);
        }
        hmap_done(&l->caps[k]);
    }
    news_done(&l->room);
    lock_done(&l->lock);
}

struct cap *limits_cap(struct limits *l, enum cap_kind kind, const char *name)
{
    size_t len = strlen(name);
    lock_take(&l->lock);
    struct hlink *link = hmap_find(&l->caps[kind], bytes_of(name, len));
    struct cap *c = link == NULL ? NULL : container_of(link, struct cap, link);
    if (c == NULL) {
        c = mem_zeroed(sizeof *c + len + 1);
        memcpy(c->name, name, len + 1);
        c->most = UINT_MAX;
        c->kind = kind;
        dlist_init(&c->members);
        hmap_insert(&l->caps[kind], &c->link, bytes_of(c->name, len));
    }
    c->refs++;
    lock_drop(&l->lock);
    return c;
}

static void drop_locked(struct limits *l, struct cap *c)
{
    if (--c->refs > 0) { return; }
    assert(c->used == 0 && dlist_empty(&c->members));
    hmap_remove(&l->caps[c->kind], &c->link);
    mem_free(&c);
}

void limits_drop(struct limits *l, struct cap **c)
{
    if (*c == NULL) { return; }
    lock_take(&l->lock);
    drop_locked(l, *c);
    lock_drop(&l->lock);
    *c = NULL;
}

void limits_set(struct limits *l, struct cap *c, int most)
{
    lock_take(&l->lock);
    c->most = most <= 0 ? UINT_MAX : (unsigned)most;
    drop_and_tell(l);
}

unsigned limits_used(struct limits *l, struct cap *c)
{
    lock_take(&l->lock);
    unsigned used = c->used;
    lock_drop(&l->lock);
    return used;
}

void share_init(struct share *s, struct limits *l, struct cap *database, struct cap *user)
{
    *s = (struct share){.limits = l, .caps = {database, user}};
    dlist_init(&s->hungry);
    lock_take(&l->lock);
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        s->caps[k]->refs++;
        dlist_init(&s->member[k]);
        dlist_push_back(&s->caps[k]->members, &s->member[k]);
    }
    lock_drop(&l->lock);
}

static void be_sated_locked(struct share *s)
{
    if (dlist_empty(&s->hungry)) { return; }
    dlist_remove(&s->hungry);
    atomic_fetch_sub(&s->limits->hungry_count, 1);
}

void share_done(struct share *s)
{
    if (s->limits == NULL) { return; }
    lock_take(&s->limits->lock);
    be_sated_locked(s);
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        dlist_remove(&s->member[k]);
        s->caps[k]->used -= s->slots; /* of servers that were closed without ceremony */
        drop_locked(s->limits, s->caps[k]);
    }
    drop_and_tell(s->limits);
    s->limits = NULL;
}

bool share_is_unused(struct share *s)
{
    lock_take(&s->limits->lock);
    if (atomic_load(&s->oldest_us) == 0) { be_sated_locked(s); }
    bool unused = s->slots == 0 && s->granted == 0 && !s->claimed && dlist_empty(&s->hungry);
    drop_and_tell(s->limits);
    return unused;
}

void share_hide(struct share *s)
{
    lock_take(&s->limits->lock);
    be_sated_locked(s);
    for (unsigned k = 0; k < CAP_KINDS; k++) { dlist_remove(&s->member[k]); }
    drop_and_tell(s->limits);
}

void share_show(struct share *s)
{
    lock_take(&s->limits->lock);
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        dlist_push_back(&s->caps[k]->members, &s->member[k]);
    }
    lock_drop(&s->limits->lock);
}

static bool is_full(const struct cap *c)
{
    return c->used >= c->most;
}

const struct cap *limits_enter(struct limits *l, struct cap *database, struct cap *user)
{
    lock_take(&l->lock);
    const struct cap *full = is_full(database) ? database : is_full(user) ? user : NULL;
    if (full == NULL) {
        database->used++;
        user->used++;
    }
    lock_drop(&l->lock);
    return full;
}

void limits_leave(struct limits *l, struct cap *database, struct cap *user)
{
    lock_take(&l->lock);
    assert(database->used > 0 && user->used > 0);
    database->used--;
    user->used--;
    lock_drop(&l->lock);
}

static bool has_room(const struct share *s)
{
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        if (is_full(s->caps[k])) { return false; }
    }
    return true;
}

static void occupy(struct share *s)
{
    s->slots++;
    for (unsigned k = 0; k < CAP_KINDS; k++) { s->caps[k]->used++; }
}

static void vacate(struct share *s)
{
    assert(s->slots > 0);
    s->slots--;
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        assert(s->caps[k]->used > 0);
        s->caps[k]->used--;
    }
}

bool share_take(struct share *s)
{
    struct limits *l = s->limits;
    bool taken = true;
    lock_take(&l->lock);
    if (s->granted > 0) { /* counted when it was granted */
        s->granted--;
    } else if (has_room(s)) {
        occupy(s);
    } else {
        taken = false;
        if (dlist_empty(&s->hungry)) {
            dlist_push_back(&l->hungry, &s->hungry);
            atomic_fetch_add(&l->hungry_count, 1);
        }
    }
    if (taken) { be_sated_locked(s); }
    drop_and_tell(l);
    return taken;
}

bool share_take_spare(struct share *s)
{
    lock_take(&s->limits->lock);
    bool taken = dlist_empty(&s->limits->hungry) && has_room(s);
    if (taken) { occupy(s); }
    lock_drop(&s->limits->lock);
    return taken;
}

/* The hungry share that has waited longest among those that suit; those that want nothing any more
   leave the list. */
static struct share *hungriest_locked(struct limits *l, const struct share *giver,
                                      bool (*suits)(const struct share *s,
                                                    const struct share *giver))
{
    struct share *best = NULL;
    int64_t best_us = 0;
    dlist_each (node, &l->hungry) {
        struct share *s = container_of(node, struct share, hungry);
        int64_t oldest_us = atomic_load(&s->oldest_us);
        if (oldest_us == 0) {
            be_sated_locked(s);
        } else if (suits(s, giver) && (best == NULL || oldest_us < best_us)) {
            best = s;
            best_us = oldest_us;
        }
    }
    return best;
}

static bool may_take_now(const struct share *s, const struct share *giver)
{
    (void)giver;
    return has_room(s);
}

static struct share *grant_locked(struct limits *l)
{
    struct share *s = hungriest_locked(l, NULL, may_take_now);
    if (s == NULL) { return NULL; }
    be_sated_locked(s);
    occupy(s);
    s->granted++;
    return s;
}

struct share *share_give(struct share *s, struct share *made_for)
{
    lock_take(&s->limits->lock);
    if (made_for != NULL) { made_for->claimed = false; }
    vacate(s);
    struct share *next = grant_locked(s->limits);
    drop_and_tell(s->limits);
    return next;
}

struct share *share_rest(struct share *s)
{
    struct share *next = NULL;
    lock_take(&s->limits->lock);
    if (s->granted > 0) {
        s->granted--;
        vacate(s);
        next = grant_locked(s->limits);
    }
    drop_and_tell(s->limits);
    return next;
}

/* Would a slot of the giver's let it have one? Each cap that is full must be the giver's too. */
static bool is_helped_by(const struct share *s, const struct share *giver)
{
    bool helped = false;
    for (unsigned k = 0; k < CAP_KINDS; k++) {
        if (!is_full(s->caps[k])) { continue; }
        if (s->caps[k] != giver->caps[k]) { return false; }
        helped = true;
    }
    return helped;
}

static bool may_claim(const struct share *s, const struct share *giver)
{
    return s != giver && !s->claimed && is_helped_by(s, giver);
}

/* Would a slot of s do notably more good at the other? Not for a difference smaller than opening a
   connection takes. Whoever waits many times as long is helped however the numbers stand: its
   queries may take longer. */
static bool is_better_used_by(const struct share *other, const struct share *s, int64_t now_us)
{
    enum { MANY = 4 };
    int64_t oldest_us = atomic_load(&s->oldest_us);
    if (oldest_us == 0) { return true; } /* nobody waits here */
    int64_t own_us = now_us - oldest_us, its_us = now_us - atomic_load(&other->oldest_us);
    int64_t opening_us = atomic_load(&other->opening_us);
    if (its_us > MANY * own_us + opening_us) { return true; }
    if (its_us <= own_us + own_us / 8 + opening_us) { return false; }
    return (uint64_t)atomic_load(&other->waiting) * (s->slots - 1) >=
           (uint64_t)atomic_load(&s->waiting) * other->slots;
}

struct share *share_yield(struct share *s, int64_t now_us)
{
    struct limits *l = s->limits;
    if (atomic_load(&l->hungry_count) == 0) { return NULL; }
    lock_take(&l->lock);
    struct share *other = hungriest_locked(l, s, may_claim);
    if (other != NULL && !is_better_used_by(other, s, now_us)) { other = NULL; }
    if (other != NULL) { other->claimed = true; }
    drop_and_tell(l);
    return other;
}

unsigned share_victims(struct share *s, struct share **ret, unsigned room)
{
    unsigned count = 0;
    lock_take(&s->limits->lock);
    const struct cap *full = NULL;
    for (unsigned k = 0; k < CAP_KINDS && full == NULL; k++) {
        if (!is_full(s->caps[k])) { continue; }
        full = s->caps[k];
        dlist_each (node, &full->members) {
            struct share *other = container_of(node - k, struct share, member[0]);
            if (s->claimed || dlist_empty(&s->hungry) || !may_claim(s, other)) { continue; }
            if (count < room) { ret[count] = other; }
            count++;
        }
    }
    if (count > 0 && count <= room) { s->claimed = true; }
    lock_drop(&s->limits->lock);
    return count;
}

void share_unclaim(struct share *s)
{
    lock_take(&s->limits->lock);
    s->claimed = false;
    lock_drop(&s->limits->lock);
}
