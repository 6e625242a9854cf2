/* Counters of one database and user, as SHOW STATS tells them. Any thread; times in microseconds.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct stats {
    _Atomic uint64_t assignments, xacts, queries, received, sent, xact_us, query_us, wait_us,
        client_parses, server_parses, binds, logins;
    _Atomic uint64_t cache_hits, replica_queries;
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
