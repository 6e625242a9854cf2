/*
 * The machines of one database and what is known of them. Written by the control thread's probes
 * and by workers that meet an error; read by every worker without a lock: each field is atomic.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"
#include "config/config.h"
#include "net/news.h"

enum node_role { NODE_UNKNOWN, NODE_PRIMARY, NODE_REPLICA };

struct node {
    struct topology *topology;
    char *host;
    int port;
    unsigned index;               /* in its topology */
    _Atomic int role;             /* enum node_role */
    _Atomic bool up;              /* the last probe or connection worked */
    _Atomic int64_t caught_up_us; /* replica: every commit acknowledged before this monotonic time
                                     is replayed; primary: INT64_MAX */
    _Atomic int64_t lag_us;       /* replica: now - caught_up_us at the last probe */
    _Atomic uint64_t replay_lsn;
    _Atomic uint32_t timeline;
    _Atomic uint64_t system_id;
    _Atomic int64_t probed_us; /* of the last answer; 0: never */
    _Atomic int64_t failed_us; /* of the last failure; 0: none since it was up */
    struct lock error_lock;
    char last_error[160]; /* under error_lock; written by the control thread alone */
};

struct topology {
    struct node *nodes;
    size_t count;
    _Atomic bool settling; /* probes have begun and not every node was heard of yet: a primary may
                              still turn out to be an old one, so nobody is the primary */
    _Atomic bool probed;   /* roles come from probes; else nodes[0] is taken for the primary */
    _Atomic unsigned next; /* round robin */
    bool balance;          /* load_balance_hosts = round-robin: without probes all are alike */
    _Atomic uint32_t timeline; /* the newest that any node was seen on; no older one is followed */
    struct news news;          /* another node may be chosen than a moment ago, or one at last */
};

/* Without probes, a node that failed or turned out to be a replica is tried again after this. */
enum { ROUTE_RETRY_US = 1000000 };

struct topology *topology_new(const struct database_config *db);
void topology_free(struct topology **t);
const char *node_role_name(int role);
/* The last thing that was wrong with it, cut to size; empty: nothing. Any thread. */
void node_error(struct node *n, char *text, size_t size);
void node_set_error(struct node *n, const char *text);

/*
 * The node that takes writes: the primary of the highest timeline that is up; without probes the
 * first node in order (each in turn, when told to) that is not marked down, or the only one there
 * is. NULL: none now, or (for one round of probes at most) none known yet: t->news tells of one, or
 * it is time to ask again at route_again_us().
 */
struct node *route_primary(struct topology *t);
/* When a node that failed is tried again because nothing probes; 0: no time will change anything.
 */
int64_t route_again_us(const struct topology *t);
/*
 * A replica that is up, lags at most max_lag_us and has replayed every commit acknowledged up to
 * and including since_us (0: none is asked for); round robin among those. NULL: none, or
 * with_primary and it is the primary's turn among them.
 */
struct node *route_replica(struct topology *t, int64_t since_us, int64_t max_lag_us, int64_t now_us,
                           bool with_primary);
/* A worker met a dead node (connect refused, admin shutdown): no new query goes there until a probe
   says otherwise, or ROUTE_RETRY_US later when nothing probes. */
void route_node_failed(struct node *n, int64_t now_us);
void route_node_worked(struct node *n);
/* A worker saw 25006 or a recovery status that contradicts the role. */
void route_node_demoted(struct node *n);
