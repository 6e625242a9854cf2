/*
 * Single flight: of several requests of one worker with the same question at the same versions one
 * runs the query and the others wait for its answer. Equal versions are essential: a request that
 * began after a write must not be served by a query that began before it. Requests of other workers
 * are not joined: their wake-up would have to cross threads, and at most one query per worker runs.
 */
#pragma once

#include "base/hmap.h"
#include "cache/cache.h"
#include "cache/entry.h"

struct redis_ask;
struct flight;

enum wait_phase {
    WAIT_ASKS,   /* Redis has been asked */
    WAIT_KNOWS,  /* Redis has answered: verdict, found and the claim are filled */
    WAIT_JOINED, /* another request runs the query */
    WAIT_WOKEN,  /* it has ended: found, or NULL to start over */
    WAIT_LEADS,  /* this caller runs the query */
};

/* A ticket's state. */
struct wait {
    struct cache_ticket *ticket;
    enum wait_phase phase;
    struct dlist all;      /* of the side */
    struct dlist queue;    /* the flight's members, or the side's callers to be woken */
    struct dlist timed;    /* the side's members of flights, by due_us */
    struct flight *flight; /* led or joined */
    struct redis_ask *ask;
    struct cache_entry *found;
    enum err verdict;
    unsigned joins;     /* how often it has waited for others in vain */
    int64_t due_us;     /* of WAIT_JOINED, by the real clock */
    struct claim claim; /* points into data */
    _Alignas(8) uint8_t data[];
};

/* A copy of the claim with everything it points to; NULL without memory. */
struct wait *wait_new(struct cache_ticket *t, const struct claim *c);
uint64_t *wait_stamps(struct wait *w);
/* Leaves every list; the flight it leads must have ended. */
void wait_free(struct wait **w);

/* Joins a running query for an equal claim; false when there is none. */
bool flight_join(struct hmap *flights, struct wait *w);
/* A member goes its own way: it leads, with nobody to follow. */
void flight_leave(struct wait *w);
/* Whether others wait for what w leads. */
bool flight_awaited(const struct wait *w);
/* From now on equal claims join this one. */
void flight_lead(struct hmap *flights, struct wait *w);
/* Ends what w leads, if anything: its members get a reference to the entry, or NULL, and move to
 * `woken`. */
void flight_end(struct hmap *flights, struct wait *w, struct cache_entry *e, struct dlist *woken);
