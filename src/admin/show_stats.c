/* STATS and its three relatives. */
#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"

static const struct column stats_columns[] = {
    SHOW_TEXT("database"),
    SHOW_NUMERIC("total_server_assignment_count"),
    SHOW_NUMERIC("total_xact_count"),
    SHOW_NUMERIC("total_query_count"),
    SHOW_NUMERIC("total_received"),
    SHOW_NUMERIC("total_sent"),
    SHOW_NUMERIC("total_xact_time"),
    SHOW_NUMERIC("total_query_time"),
    SHOW_NUMERIC("total_wait_time"),
    SHOW_NUMERIC("total_client_parse_count"),
    SHOW_NUMERIC("total_server_parse_count"),
    SHOW_NUMERIC("total_bind_count"),
    SHOW_NUMERIC("total_client_login_count"),
    SHOW_NUMERIC("avg_server_assignment_count"),
    SHOW_NUMERIC("avg_xact_count"),
    SHOW_NUMERIC("avg_query_count"),
    SHOW_NUMERIC("avg_recv"),
    SHOW_NUMERIC("avg_sent"),
    SHOW_NUMERIC("avg_xact_time"),
    SHOW_NUMERIC("avg_query_time"),
    SHOW_NUMERIC("avg_wait_time"),
    SHOW_NUMERIC("avg_client_parse_count"),
    SHOW_NUMERIC("avg_server_parse_count"),
    SHOW_NUMERIC("avg_bind_count"),
    SHOW_NUMERIC("avg_client_login_count"),
};

#define FIRST_COLUMNS                                                                              \
    SHOW_TEXT("database"), SHOW_NUMERIC("server_assignment_count"), SHOW_NUMERIC("xact_count"),    \
        SHOW_NUMERIC("query_count"), SHOW_NUMERIC("bytes_received"), SHOW_NUMERIC("bytes_sent"),   \
        SHOW_NUMERIC("xact_time"), SHOW_NUMERIC("query_time"), SHOW_NUMERIC("wait_time")

static const struct column totals_columns[] = {
    FIRST_COLUMNS,
    SHOW_NUMERIC("client_parse_count"),
    SHOW_NUMERIC("server_parse_count"),
    SHOW_NUMERIC("bind_count"),
    SHOW_NUMERIC("client_login_count"),
};

/* PgBouncer's names: the last four differ from those of STATS_TOTALS. */
static const struct column averages_columns[] = {
    FIRST_COLUMNS,
    SHOW_NUMERIC("avg_client_parse_count"),
    SHOW_NUMERIC("avg_server_parse_count"),
    SHOW_NUMERIC("avg_bind_count"),
    SHOW_NUMERIC("avg_client_login_count"),
};

static const struct column sum_columns[] = {SHOW_TEXT("name"), SHOW_NUMERIC("value")};

/* The ledger lives on the first worker. */
static void visit(struct gathering *g, struct front *f)
{
    const struct office *o = f->office;
    if (o->ledger != NULL) { ledger_period(o->ledger, &g->period); }
}

static void put_figures(struct table *t, const struct figures *f)
{
    for (unsigned i = 0; i < FIGURE_COUNT; i++) { table_int(t, (int64_t)f->v[i]); }
}

static void put_both(struct table *t, const struct figures *total, const struct figures *average)
{
    put_figures(t, total);
    put_figures(t, average);
}

static void put_total(struct table *t, const struct figures *total, const struct figures *average)
{
    (void)average;
    put_figures(t, total);
}

static void put_average(struct table *t, const struct figures *total, const struct figures *average)
{
    (void)total;
    put_figures(t, average);
}

static struct figures average_of(const struct gathering *g, const char *database)
{
    const struct figures *f = page_find(&g->period, database);
    return f == NULL ? (struct figures){0} : figures_average(f, g->period.at_us);
}

/* One row per database in force that has been used, and the console's. */
static void fill(struct gathering *g, struct table *t,
                 void (*put)(struct table *t, const struct figures *total,
                             const struct figures *average))
{
    struct registry *r = g->office->front->registry;
    struct database_roll roll = roll_databases(r);
    struct page now;
    page_read(&now, g->office->front, clock_now_us());
    for (size_t i = 0; i < roll.count + 1; i++) {
        bool console = i == roll.count;
        if (!console && atomic_load(&roll.items[i]->retired)) { continue; }
        const char *name = console ? "pgbouncer" : roll.items[i]->name;
        const struct figures *total = page_find(&now, name);
        if (total == NULL) { continue; }
        const struct figures average = average_of(g, name);
        table_row(t);
        table_text(t, name);
        put(t, total, &average);
        table_end(t);
    }
    page_done(&now);
    mem_free(&roll.items);
}

static void fill_stats(struct gathering *g, struct table *t)
{
    fill(g, t, put_both);
}

static void fill_totals(struct gathering *g, struct table *t)
{
    fill(g, t, put_total);
}

static void fill_averages(struct gathering *g, struct table *t)
{
    fill(g, t, put_average);
}

/* ---- SHOW STATS as PgBouncer 1.7 told it ----------------------------------------------------- */

static const enum figure old_figures[] = {FIGURE_QUERIES, FIGURE_RECEIVED, FIGURE_SENT,
                                          FIGURE_QUERY_TIME};
enum { OLD_FIGURES = sizeof old_figures / sizeof *old_figures };

static const struct column old_columns[] = {
    SHOW_TEXT("database"),   SHOW_LONG("total_requests"),   SHOW_LONG("total_received"),
    SHOW_LONG("total_sent"), SHOW_LONG("total_query_time"), SHOW_LONG("avg_req"),
    SHOW_LONG("avg_recv"),   SHOW_LONG("avg_sent"),         SHOW_LONG("avg_query"),
};

static void put_old(struct table *t, const struct figures *total, const struct figures *average)
{
    for (unsigned i = 0; i < OLD_FIGURES; i++) { table_int(t, (int64_t)total->v[old_figures[i]]); }
    for (unsigned i = 0; i < OLD_FIGURES; i++) {
        table_int(t, (int64_t)average->v[old_figures[i]]);
    }
}

static void fill_old(struct gathering *g, struct table *t)
{
    fill(g, t, put_old);
}

/* ---- SHOW TOTALS ----------------------------------------------------------------------------- */

static struct figures sum_page(const struct page *p)
{
    struct figures sum = {0};
    for (size_t i = 0; i < p->count; i++) {
        for (unsigned k = 0; k < FIGURE_COUNT; k++) { sum.v[k] += p->rows[i].v[k]; }
    }
    return sum;
}

static void put_sums(struct table *t, const char *prefix, const struct figures *f)
{
    static const char *const names[FIGURE_COUNT] = {
        "server_assignment_count",
        "xact_count",
        "query_count",
        "client_bytes",
        "server_bytes",
        "xact_time",
        "query_time",
        "wait_time",
        "ps_client_parse_count",
        "ps_server_parse_count",
        "ps_bind_count",
        "client_login_count",
    };
    for (unsigned i = 0; i < FIGURE_COUNT; i++) {
        char *name = mem_printf("%s%s", prefix, names[i]);
        table_row(t);
        table_text(t, name);
        table_int(t, (int64_t)f->v[i]);
        table_end(t);
        mem_free(&name);
    }
}

static void fill_sums(struct gathering *g, struct table *t)
{
    struct page now;
    page_read(&now, g->office->front, clock_now_us());
    const struct figures total = sum_page(&now), period = sum_page(&g->period);
    const struct figures average = figures_average(&period, g->period.at_us);
    put_sums(t, "total_", &total);
    put_sums(t, "avg_", &average);
    page_done(&now);
}

const struct show show_stats = {"stats", SHOW_COLUMNS(stats_columns), visit, fill_stats, NULL};
const struct show show_stats_1_7 = {"stats", SHOW_COLUMNS(old_columns), visit, fill_old, NULL};
const struct show show_stats_totals = {"stats_totals", SHOW_COLUMNS(totals_columns), NULL,
                                       fill_totals, NULL};
const struct show show_stats_averages = {"stats_averages", SHOW_COLUMNS(averages_columns), visit,
                                         fill_averages, NULL};
const struct show show_totals = {"totals", SHOW_COLUMNS(sum_columns), visit, fill_sums, NULL};
