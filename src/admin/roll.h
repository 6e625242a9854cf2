/*
 * Lists of what the registry holds, taken under its lock and walked without: for the callback they
 * were taken in, or for the tour (tour.h).
 */
#pragma once

#include "pool/pool.h"

struct database_roll {
    struct database **items;
    size_t count;
};
struct account_roll {
    struct account **items;
    size_t count;
};

/* Owner: the caller frees items. Retired ones are among them. */
struct database_roll roll_databases(struct registry *r);
struct account_roll roll_accounts(struct registry *r);

/* The database in force of that name; NULL when there is none. Makes none. */
struct database *roll_find(const struct database_roll *roll, const char *name);
/* scope NULL: all. */
static inline bool roll_in_scope(const struct database *db, const char *scope)
{
    return scope == NULL || strcmp(db->name, scope) == 0;
}

/* Sums over the account's own pools. */
struct pool_counts roll_counts(const struct account *a);

/* The servers of an account's own pools that this loop watches, with their states. Owner: the
 * caller. */
struct server_seen {
    struct server *server;
    enum server_state state;
};
struct server_roll {
    struct server_seen *items;
    size_t count;
};
void roll_servers(const struct account *a, const struct loop *l, struct server_roll *to);
