/*
 * Several pgushers on one port (so_reuseport): a cancel request may come to another process than
 * the one whose client it is for. Keys then name their process, [peers] says where it is, and the
 * request is passed on, at most pool_size to a peer at a time. PgBouncer's keys are of the same
 * form, so both may stand in one [peers].
 */
#pragma once

#include "config/config.h"
#include "net/tls.h"

struct loop;

/* The layout, within the first 8 bytes: 1 and 2 are the peer's id, least byte first; the top bit of
 * byte 0 is clear; the last two bits of byte 7 say how often the request may still be passed on. */
enum { PEERS_HOPS = 3 };
void peers_mark_key(uint8_t *key, int peer_id);

/* What is on its way to whom, for all workers. */
struct peers;
struct peers *peers_new(void);
void peers_free(struct peers **p);

struct peer_counts {
    unsigned queued, connecting, active;
};
/* false: nothing was ever passed on to it. */
bool peers_count(struct peers *p, int peer_id, struct peer_counts *ret);

struct forward;
/*
 * Passes a cancel request on to the process that its key names. NULL: to nobody: [peers] is not in
 * use, it names us or nobody we know, or it was passed on often enough. cfg: stays until the end.
 * tls: as towards servers; NULL: none. done() comes later, from the loop, whether it arrived or
 * not.
 */
struct forward *forward_start(struct peers *p, struct loop *l, const struct config *cfg,
                              struct tls_context *tls, struct bytes key, void (*done)(void *arg),
                              void *arg);
/* It ends here; done() does not come. */
void forward_drop(struct forward **f);
