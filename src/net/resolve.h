/*
 * Names to addresses, for all loops of the process: numbers, unix folders and what is remembered at
 * once, the rest by DNS on one loop, each name once at a time.
 */
#pragma once

#include "net/loop.h"
#include "net/names.h"
#include "net/socket.h"

struct resolve;
struct resolver;

/* ---- on the loop that asks */

/*
 * E_OK: *ret is filled. E_AGAIN: done() comes on the loop with the first address, or NULL when the
 * name has none; *ret_pending can be given to resolve_forget(). E_CONFIG: a socket path too long.
 * E_NOTFOUND: the name was looked up in vain not long ago.
 */
MUST_USE enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                                void (*done)(void *arg, const struct address *a), void *arg,
                                struct resolve **ret_pending);
/* Looks a name up again whose time is over, for whoever asks next and for names_has(). */
void resolve_refresh(struct loop *l, const char *host);
/* done() will not be called. */
void resolve_forget(struct resolve **r);

/* ---- on the loop that does it */

MUST_USE enum err resolver_new(struct loop *home, const char *resolv_conf, struct resolver **ret,
                               struct fault *why);
/* l may ask. */
void resolver_serve(struct resolver *r, struct loop *l);
/* For how long what was found, and what was not, is kept; how often serials of zones are looked at,
   whose change has their hosts asked for at once; 0: never. */
void resolver_configure(struct resolver *r, int64_t ttl_us, int64_t failed_ttl_us,
                        int64_t zone_check_us);
/* Whoever waits or asks from now on is told what is known; while their loops are there. */
void resolver_stop(struct resolver *r);
void resolver_free(struct resolver **r);

/* Questions to DNS that are not answered yet. Any thread. */
unsigned resolver_queries(const struct resolver *r);
