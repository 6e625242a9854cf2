/*
 * The servers of one account on one node. The limit is global over all workers and exact; whoever
 * asked first is served first, whichever worker it is on; an idle server of the own worker is
 * preferred when nobody waits, and among those one that has the client's settings. One lock, held
 * for list and integer work.
 */
#pragma once

#include <stdatomic.h>

#include "pool/limits.h"
#include "pool/registry.h"

struct pool;

enum ticket_state { TICKET_NONE, TICKET_WAITING, TICKET_COMING };

struct ticket { /* one request for a server; embedded in who asks */
    struct dlist node;
    struct letter letter;
    _Atomic(enum ticket_state)
        state; /* changes under the pool's lock; its owner reads it without */
    struct pool *pool;
    struct loop *loop;
    void (*granted)(struct ticket *t); /* on t->loop: t->server, or NULL and why */
    const struct varset
        *want; /* of idle servers, one with these settings; compared only; or NULL */
    struct server *server;
    int64_t since_us;
    struct fault why;
};

/* before: the pool it takes the place of, whose servers count in its pool_size until they are gone;
 * or NULL. */
struct pool *pool_new(struct account *a, struct node *node, struct limits *limits,
                      struct loop **loops, unsigned loops_count, struct pool *before);
void pool_free(struct pool **p);
/* No server, nobody who waits for one, no request about one under way. */
bool pool_is_unused(struct pool *p);
/* Other pools under its caps take no notice of it any more; and do again. */
void pool_hide(struct pool *p);
void pool_show(struct pool *p);
/* Sizes and times as the configuration says now; of the definition it was made from, the rest
 * stays. */
void pool_configure(struct pool *p, const struct config *cfg);
struct account *pool_account(const struct pool *p);
struct node *pool_node(const struct pool *p);

/*
 * E_OK: t->server is the caller's. E_AGAIN: granted() comes. The deadline is the caller's:
 * pool_leave() ends the wait. Else t->why says why there is no server to wait for: logins have been
 * failing.
 */
MUST_USE enum err pool_checkout(struct pool *p, struct ticket *t, struct loop *l, int64_t now_us);
/* Stops waiting; a server on its way goes back. */
void pool_leave(struct ticket *t);
/* The server is in order: to the next who waits, or to rest. Clears the caller's pointer. */
void pool_checkin(struct server **s);
/* The server is not in order and is closed. reason: for the log. */
void pool_discard(struct server **s, const char *reason);
/*
 * Its client will keep it between transactions: it counts as pinned until it is checked in,
 * recovered or discarded. anyway: it does so already, whatever the limit. false: as many are pinned
 * as may be.
 */
bool pool_pin(struct server *s, bool anyway);
enum wash {
    WASH_NONE,
    WASH_QUERY, /* server_reset_query; DISCARD ALL when there is none */
    WASH_ALL,   /* DISCARD ALL: it holds what no client may see of another */
};
/* The server was left in disorder: it is put in order, then checked in, else closed. */
void pool_recover(struct server **s, bool cancel, enum wash wash);

/*
 * A server of the caller's own, with these startup parameters (name, value, ... NULL) in place of
 * the pool's; own.c. target is filled, and borrowed with startup for the server's life; opened() as
 * of server_open(). It ends with pool_discard(), also when it did not open. E_AGAIN: the pool is
 * full or paused, and pool_room() tells when it may be otherwise.
 */
MUST_USE enum err pool_open_own(struct pool *p, struct loop *l, struct server_target *target,
                                const char *const *startup,
                                void (*opened)(struct server *s, enum err e), void *holder,
                                struct server **ret);
struct news *pool_room(struct pool *p);

/*
 * The same beside the pool: it is counted and shown nowhere, and ends with server_free(). The
 * caller is one of its account's guests for as long.
 */
struct server *pool_open_beside(struct pool *p, struct loop *l, struct server_target *target,
                                const char *const *startup,
                                void (*opened)(struct server *s, enum err e), void *holder);

/* PgBouncer's line of it; for servers of the caller's own. */
void pool_log_opened(const struct server *s);

/* ---- upkeep, on the loop that watches them */
void pool_tidy(struct pool *p, struct loop *l, int64_t now_us); /* idle and old servers close */
/* A name may mean other machines now: servers of this loop that are on none of them must close. */
void pool_follow_names(struct pool *p, struct loop *l);
/* Looks its node's name up again when it is time. */
void pool_refresh_name(struct pool *p, struct loop *l);
/* Opens what min_pool_size asks for. */
void pool_fill(struct pool *p, struct loop *l, int64_t now_us);
/* After RESUME, when a limit grew, or when the reserve may be used: serve who waits. Any loop of
 * the workers. */
void pool_pump(struct pool *p, struct loop *l);
/* RECONNECT, PAUSE, retirement: idle servers close now, lent ones at their release. */
void pool_recycle(struct pool *p, struct loop *l);

/* The process stops and no client is left: closes every server that loop watches. */
void pool_shutdown(struct pool *p, struct loop *l);

struct pool_counts {
    unsigned total, idle, active, login, cleaning, waiting;
    unsigned used;          /* of the idle: they are checked before they are lent */
    int64_t oldest_wait_us; /* since when the first one waits; 0: nobody */
};
void pool_counts(struct pool *p, struct pool_counts *ret);
/* Under the pool's lock: short, no I/O; fields of a server change on its own loop. */
void pool_each_server(struct pool *p, void (*visit)(struct server *s, void *arg), void *arg);
