/* Shared by the files of pool/ only. */
#pragma once

#include "pgwire/frame.h"
#include "pool/pool.h"

struct pool {
    struct lock lock;
    struct account *account;
    struct node *node;
    struct loop **loops;
    unsigned loops_count;
    struct dlist waiters; /* of all workers, in the order they came */
    struct dlist *idle;   /* one list per worker, most recently used first */
    struct dlist all;
    unsigned waiting, idle_count, total, login;
    struct server_target target;
    const char **startup; /* owned: the array; texts belong to the configuration */
    int64_t lifetime_us, idle_timeout_us, clean_timeout_us;
    const char *reset_query;
};

/* How many servers it may have: replica_pool_size on a replica, else pool_size; 0 in the ini: no
 * limit. */
unsigned pool_limit(const struct pool *p);
