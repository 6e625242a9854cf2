/*
 * SHOW: each one is a row of a table: its name, its columns, what it collects on every worker's
 * loop and what it says at the end. Columns, their order and types are PgBouncer's; what pgusher
 * adds has SHOWs of its own.
 */
#pragma once

#include "admin/command.h"
#include "admin/fds.h"
#include "admin/ledger.h"
#include "admin/table.h"
#include "admin/tour.h"
#include "pool/pool.h"

struct tally { /* an account's clients and servers, counted on their own loops */
    struct hlink link;
    struct account *account; /* the key, by its address */
    unsigned active, waiting, cancels, being_canceled;
    int64_t oldest_wait_us; /* 0: nobody */
};

struct show;

struct gathering { /* what one SHOW has found so far */
    struct tour tour;
    const struct show *show;
    struct office *office; /* of the console client: for fill() only */
    struct config *config; /* one reference */
    struct buf rows;       /* DataRows made on other loops */
    struct hmap tallies;
    unsigned consoles, logins, requests; /* clients at the console, in login, on the road */
    struct page period;
    bool with_fds;
    struct fd_row *fds; /* of SHOW FDS */
    size_t fds_count;
};

struct show {
    const char *name;
    const struct column *columns;
    unsigned columns_count;
    void (*visit)(struct gathering *g, struct front *f);    /* on f's loop; may be NULL */
    void (*fill)(struct gathering *g, struct table *t);     /* at home; NULL: g->rows is all */
    void (*finish)(struct gathering *g, struct session *s); /* instead: answers all by itself */
};

/* The columns of what the command answers; NULL: it answers no rows. */
const struct column *show_columns_of(const struct session *s, const struct command *c,
                                     unsigned *ret_count);
/* false: no such SHOW; nothing was answered. */
bool show_run(struct session *s, const struct command *c);

#define SHOW_COLUMNS(columns) (columns), sizeof(columns) / sizeof *(columns)
#define SHOW_TEXT(name)                                                                            \
    {                                                                                              \
        name, COLUMN_TEXT                                                                          \
    }
#define SHOW_INT(name)                                                                             \
    {                                                                                              \
        name, COLUMN_INT4                                                                          \
    }
#define SHOW_LONG(name)                                                                            \
    {                                                                                              \
        name, COLUMN_INT8                                                                          \
    }
#define SHOW_NUMERIC(name)                                                                         \
    {                                                                                              \
        name, COLUMN_NUMERIC                                                                       \
    }

/* ---- show_sockets.c */
extern const struct show show_clients, show_servers, show_sockets, show_active_sockets, show_pins;
/* A table over g->rows, with the SHOW's columns. */
struct table show_table(struct gathering *g);
bool client_is_waiting(const struct client *c);
int64_t client_waits_since(const struct client *c);

/* ---- show_fds.c */
extern const struct show show_fds;

/* ---- show_pools.c */
extern const struct show show_pools;
/* Counts f's clients and servers by account. */
void tally_visit(struct gathering *g, struct front *f);
void tally_done(struct gathering *g);

/* ---- show_databases.c */
extern const struct show show_databases, show_databases_1_7, show_users, show_lists, show_state;

/* ---- show_stats.c */
extern const struct show show_stats, show_stats_1_7, show_stats_totals, show_stats_averages,
    show_totals;

/* ---- show_process.c */
extern const struct show show_config, show_version, show_mem, show_peers, show_peer_pools,
    show_dns_hosts, show_dns_zones;

/* ---- show_own.c */
extern const struct show show_nodes, show_routes, show_workers, show_settings, show_listens;

/* ---- show_cache.c */
extern const struct show show_cache, show_cache_rules;
/* SHOW CACHE WHY ['...'] */
void show_cache_why(struct session *s, const struct command *c);
const struct column *show_cache_why_columns(unsigned *ret_count);
