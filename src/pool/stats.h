/*
 * Counters of one database and user on one worker, as SHOW STATS adds them up; times in
 * microseconds. Only their worker counts, without a locked instruction; any thread may read.
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

struct stats {
    alignas(64) _Atomic uint64_t assignments, xacts, queries, received, sent, xact_us, query_us,
        wait_us, client_parses, server_parses, binds, logins;
    _Atomic uint64_t cache_hits, replica_queries;
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}
