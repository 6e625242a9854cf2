/*
 * Caps that pools share: so many server connections per database (max_db_connections) and per user
 * (max_user_connections), over all pools, nodes and workers, exact. A pool that wants a connection
 * and finds its cap full is hungry; a slot that becomes free goes to the pool whose first client
 * has waited longest. Who holds slots gives one up when another has waited notably longer, so that
 * equally loaded pools under one cap wait equally. One lock, for opening, closing and hunger only.
 */
#pragma once

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/dlist.h"
#include "base/hmap.h"
#include "base/sync.h"
#include "net/news.h"

enum cap_kind { CAP_DATABASE, CAP_USER, CAP_KINDS };

struct cap {
    struct hlink link;
    unsigned most; /* UINT_MAX: no limit */
    unsigned used;
    unsigned refs;
    enum cap_kind kind;
    struct dlist members; /* the shares under it */
    char name[];
};

struct limits {
    struct lock lock;
    struct hmap caps[CAP_KINDS];
    struct dlist hungry;
    _Atomic unsigned hungry_count; /* read without the lock: is there anybody to think of? */
    struct news room;              /* a connection may be opened that could not be before */
};

struct share { /* a pool's part; embedded in it */
    struct limits *limits;
    struct cap *caps[CAP_KINDS];
    struct dlist member[CAP_KINDS];
    struct dlist hungry;        /* in limits->hungry */
    unsigned slots;             /* that it has; */
    unsigned granted;           /* ... those among them that it has not used yet */
    bool claimed;               /* a server is being closed to make room for it */
    _Atomic int64_t oldest_us;  /* since when its first client waits; 0: nobody does */
    _Atomic unsigned waiting;   /* how many do */
    _Atomic int64_t opening_us; /* what opening a connection took last */
};

void limits_init(struct limits *l);
void limits_done(struct limits *l);
/* One reference for the caller; the cap is made at its first mention. */
struct cap *limits_cap(struct limits *l, enum cap_kind kind, const char *name);
/* Gives the reference back and clears the pointer. With the last one the cap is forgotten. */
void limits_drop(struct limits *l, struct cap **c);
/* 0: no limit. What is over a lowered limit is not closed, but not replaced either. */
void limits_set(struct limits *l, struct cap *c, int most);
unsigned limits_used(struct limits *l, struct cap *c);

/* ---- what is only counted */
/* One more under both. The cap that is full, or NULL: counted. */
const struct cap *limits_enter(struct limits *l, struct cap *database, struct cap *user);
void limits_leave(struct limits *l, struct cap *database, struct cap *user);

/* ---- what is shared */
/* Takes references of its own. */
void share_init(struct share *s, struct limits *l, struct cap *database, struct cap *user);
void share_done(struct share *s);
/* It holds nothing, wants nothing, and nobody has a claim or a grant to settle with it. */
bool share_is_unused(struct share *s);
/* No other share finds it any more, as a victim or as the hungriest; and back again. */
void share_hide(struct share *s);
void share_show(struct share *s);
/* A slot for one more connection. false: none; the share is hungry until one is granted. */
bool share_take(struct share *s);
/* The same for a connection that nobody waits for: only if nobody is hungry, and without hunger. */
bool share_take_spare(struct share *s);
/*
 * A slot is free again. made_for: whom it was freed for, or NULL. Returns whom it was granted to,
 * or NULL: that pool is to be pumped.
 */
struct share *share_give(struct share *s, struct share *made_for);
/* It wants no more now: what was granted and not used goes on. Returns as share_give(). */
struct share *share_rest(struct share *s);
/*
 * A server of s is free. Is it to be closed for somebody else? Returns for whom, claimed by this
 * call; NULL: no. Without clients of its own that wait, s always yields.
 */
struct share *share_yield(struct share *s, int64_t now_us);
/*
 * s is hungry: the shares whose giving up one server would let it have one, at most `room`; it is
 * claimed by this call if there are any. Returns how many there are in all.
 */
unsigned share_victims(struct share *s, struct share **ret, unsigned room);
/* The claim came to nothing. */
void share_unclaim(struct share *s);
