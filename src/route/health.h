/*
 * Probes of one topology over asynchronous libpq, on the control thread's loop: role, timeline,
 * LSNs. The sampled-LSN method: on each round the primary's pg_current_wal_insert_lsn() is sampled
 * and the time *before* that query was sent is kept with it; a replica whose replay LSN has passed
 * a sample has every commit acknowledged before that sample's time.
 */
#pragma once

#include "route/node.h"

struct health;
struct loop;

/*
 * The user needs no privilege but CONNECT; a member of pg_monitor sees a replica's switch to a new
 * timeline at once, anybody else only at that replica's next restartpoint (until then it serves
 * nothing).
 */
struct health_config {
    const char *dbname, *user, *password; /* password NULL: libpq's own sources (.pgpass) */
    int64_t period_us, timeout_us;
    const struct config
        *cfg; /* server_tls_*; NULL: libpq's defaults. Read by health_start() only */
};
/* Starts probing; sets topology->probed once every node was heard of and one is the primary. */
struct health *health_start(struct loop *loop, struct topology *t, const struct health_config *hc);
/* The loop must run until closed() was called; then t may be freed. */
void health_stop(struct health **h, void (*closed)(void *arg), void *arg);
