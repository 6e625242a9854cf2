/*
 * The counters of SHOW STATS, by database, and what they were at the last two ends of stats_period:
 * averages are over the last whole period, as PgBouncer's. Lives on the first worker's loop.
 */
#pragma once

#include "client/client.h"

enum figure { /* in the order of PgBouncer's columns */
              FIGURE_ASSIGNMENTS,
              FIGURE_XACTS,
              FIGURE_QUERIES,
              FIGURE_RECEIVED,
              FIGURE_SENT,
              FIGURE_XACT_TIME,
              FIGURE_QUERY_TIME,
              FIGURE_WAIT_TIME,
              FIGURE_CLIENT_PARSES,
              FIGURE_SERVER_PARSES,
              FIGURE_BINDS,
              FIGURE_LOGINS,
              FIGURE_COUNT
};

struct figures {
    const char *database; /* owned by its page */
    uint64_t v[FIGURE_COUNT];
};

struct page {
    struct figures *rows;
    size_t count;
    int64_t at_us; /* of a difference: how long it took */
};

/* Sums now, retired definitions of a database included, and the console's row. Any thread. */
void page_read(struct page *p, const struct front *f, int64_t now_us);
void page_done(struct page *p);
/* NULL when the database is not on the page. */
const struct figures *page_find(const struct page *p, const char *database);
/* What happened between two pages, and in at_us how long that was. */
void page_differ(struct page *ret, const struct page *from, const struct page *to);
/* PgBouncer's averages of a difference: per second; times of transactions and queries per one of
 * them. */
struct figures figures_average(const struct figures *difference, int64_t period_us);

struct ledger;
struct ledger *ledger_new(struct front *f);
void ledger_free(struct ledger **l);
/* The last whole period; before there is one, what happened since the start. On its loop. */
void ledger_period(const struct ledger *l, struct page *ret);
