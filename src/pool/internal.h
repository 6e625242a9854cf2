/* Shared by the files of pool/ only. */
#pragma once

#include "base/log.h"
#include "pgwire/frame.h"
#include "pool/limits.h"
#include "pool/pool.h"
#include "pool/seats.h"

struct pool {
    struct lock lock;
    struct account *account;
    struct node *node;
    struct loop **loops;
    unsigned loops_count;
    struct dlist waiters; /* of all workers, in the order they came */
    struct dlist *idle;   /* one list per worker, the next to be used first */
    struct dlist all;
    unsigned waiting, idle_count, total, login;
    unsigned leaving;    /* were told good-bye, count until they are gone */
    unsigned checking;   /* idle for long, asked now whether they still are there */
    struct share share;  /* of the caps of its database and user */
    struct seats *seats; /* of pool_size, with the pools it followed and those that follow it */
    struct dlist kin;    /* in their list */
    unsigned pinned, pinned_limit; /* kept by their clients; the limit 0: none */
    struct server_target target;
    const char **startup; /* owned: the array; texts belong to the configuration */
    const char *reset_query, *check_query;

    /* ---- what a reload changes; pool_configure() */
    _Atomic unsigned min_size;
    int64_t reserve_wait_us; /* 0: the reserve is never used */
    int64_t login_retry_us;
    bool round_robin;
    bool reset_always; /* fixed, as the queries: who changes them gets new pools */
    _Atomic int64_t lifetime_us, age_gap_us, idle_timeout_us, clean_timeout_us, check_delay_us;

    /* ---- logins that fail; under the lock */
    int64_t failed_us;   /* of the last one; 0: it worked */
    struct fault failed; /* what is told until the next try */

    _Atomic int64_t aged_us;        /* when a server was closed for its age last */
    _Atomic unsigned cancels;       /* requests for its servers that are under way */
    _Atomic int64_t pinned_told_us; /* when the log said last that most are pinned */
};

/* How many servers it may have: replica_pool_size on a replica, else pool_size; 0 in the ini: no
 * limit. */
unsigned pool_limit(const struct pool *p);
/* A server is to be opened: within the limit and, if allowed, the reserve. */
bool pool_take_seat(struct pool *p, bool reserve);
/* One is gone. Returns another of the family whose first client has waited longer than any here, to
 * be pumped; or NULL. */
struct pool *pool_give_seat(struct pool *p);
struct log_who pool_who(const struct server *s);
void pool_log_closing(const struct server *s, const char *reason);

/* ---- pool.c */
void pool_set_ticket(struct ticket *t, enum ticket_state state);
/* The ticket's owner is told, on its loop: of a server, or why there is none. */
void pool_open_ticket(struct letter *l);
/* Caller holds the lock: whoever waits longest is to have it, if anybody; else NULL. */
struct ticket *pool_next_waiter_locked(struct pool *p);
/* Caller holds the lock: the list of those who wait has changed. */
void pool_note_waiters_locked(struct pool *p);
/* Caller holds the lock. The server is counted active from here on. */
void pool_promise_locked(struct ticket *t, struct server *s);
/* The server is on loop `at` and promised. */
void pool_deliver(struct server *s, struct loop *at);
/*
 * fresh: it was opened for who waits and serves once, whatever its lifetime or a reload says; else
 * it would be closed and opened again for as long as somebody waits.
 */
void pool_take_back(struct server *s, bool fresh);
/* made_for: whose claim it is closed for, or NULL. The slot goes to whoever is hungriest. */
void pool_close(struct server **s, const char *reason, struct share *made_for);
/* The same at once, without waiting for the server to let go. */
void pool_bury(struct server **s, const char *reason, struct share *made_for);

/* ---- pin.c */
/* The client has let go of it. */
void pool_unpin(struct server *s);

/* ---- open.c */
enum opening { OPEN_NOTHING, OPEN_NEW, OPEN_RESERVE, OPEN_HUNGRY, OPEN_CHECK };
struct plan { /* what can be done for who waits */
    enum opening how;
    struct server *server; /* CHECK: one that has rested for long */
    unsigned from;         /* ... on this loop */
};
/* Caller holds the lock. What it says is counted as done. */
struct plan pool_plan_locked(struct pool *p, const struct loop *l, int64_t now_us);
void pool_execute(struct pool *p, struct loop *l, struct plan plan);
/* Caller holds the lock: no server, and no try before the retry time: what to tell. NULL: go on. */
const struct fault *pool_failing_locked(const struct pool *p, int64_t now_us);
/* Closes the idle server of p that was used longest ago, for `hungry`, whose claim this is. */
void pool_evict(struct pool *p, struct share *hungry, struct loop *l);

/* ---- rest.c */
void pool_idle_event(struct server *s, int events);
/* Why it must not be lent again; NULL: it may. Of several that are too old, one at a time is. */
const char *pool_must_close(const struct server *s, int64_t now_us);
