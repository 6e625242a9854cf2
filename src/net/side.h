/*
 * One PostgreSQL connection of the control thread: asynchronous libpq, one query at a time. For
 * probes, catalog reads and auth_query; no client's bytes ever pass here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/pq.h"

struct side;
struct loop;

struct side_target {
    const char *host; /* name, address, or a folder of unix sockets */
    int port;
    const char *dbname, *user;
    const char *password; /* NULL: libpq's own sources (.pgpass) */
    const char *tls;      /* the words of TLS as a connection string; NULL: libpq's defaults */
    bool own_search_path; /* the role's and database's; else pg_catalog alone */
    bool only_primary;    /* a server in recovery will not do */
    int64_t statement_timeout_us; /* at the server; 0: none */
};

/*
 * Connects, having loaded libpq if need be. The target is copied. opened() comes later, once,
 * unless side_close() comes first: why is NULL, or says what failed: E_SERVER with the server's
 * SQLSTATE when it answered and refused, E_TIMEOUT, E_NOTFOUND when the name has no address, else
 * E_LOST. After a failure only side_close() is left to do; it may be called from the callback.
 */
struct side *side_open(struct loop *loop, const struct side_target *target, int64_t timeout_us,
                       void (*opened)(void *arg, const struct fault *why), void *arg);

/*
 * Runs one statement; the side must be open and idle. done() comes later, once, unless side_close()
 * comes first. On success why is NULL and result is borrowed for the call. On failure result is
 * NULL: E_SERVER when the statement failed and the side is idle again; any other code (E_LOST,
 * E_TIMEOUT) when the connection is of no more use.
 */
void side_query(struct side *s, const char *sql, int64_t timeout_us,
                void (*done)(void *arg, PGresult *result, const struct fault *why), void *arg);
/* The same with text parameters for $1 ..., which must not be NULL. */
void side_query_params(struct side *s, const char *sql, const char *const *params,
                       unsigned params_count, int64_t timeout_us,
                       void (*done)(void *arg, PGresult *result, const struct fault *why),
                       void *arg);

/* Open, and no query under way. NULL is not. */
bool side_idle(const struct side *s);

/*
 * Ends the connection, in any state; no callback of it comes any more. closed (may be NULL) comes
 * from the loop when nothing of it is left there.
 */
void side_close(struct side **s, void (*closed)(void *arg), void *arg);
